from __future__ import annotations

import pytest

from flux_server.stripe.errors import (
    AbsentError,
    AnswerError,
    CallError,
    KeyRefusedError,
    RefusedError,
    TemporaryError,
)
from flux_server.stripe.outcomes import Verdict, judge

DUPLICATE = RefusedError("An event already exists with identifier fx1_a.", status=400)
NO_METER = RefusedError("No active meter for event name calls", status=400)
NO_ANSWER = TemporaryError("no answer from Stripe (ReadTimeout)", arrived=True)
NOT_SENT = TemporaryError("no answer from Stripe (ConnectError)", arrived=False)


@pytest.mark.parametrize(
    ("error", "unanswered_before", "verdict", "unanswered"),
    [
        pytest.param(None, False, Verdict.SENT, False, id="answered"),
        pytest.param(None, True, Verdict.SENT, False, id="answered-at-last"),
        pytest.param(DUPLICATE, True, Verdict.SENT, False, id="counted-by-an-unanswered-attempt"),
        pytest.param(DUPLICATE, False, Verdict.SENT, False, id="counted-though-we-forgot-the-attempt"),
        pytest.param(NO_METER, False, Verdict.DEAD, False, id="refused"),
        pytest.param(NO_METER, True, Verdict.AMBIGUOUS, False, id="refused-after-an-unanswered-attempt"),
        pytest.param(AbsentError("gone"), False, Verdict.DEAD, False, id="nothing-there"),
        pytest.param(RefusedError("pay first", status=402), False, Verdict.DEAD, False, id="other-refusal"),
        pytest.param(NO_ANSWER, False, Verdict.RETRY, True, id="no-answer"),
        pytest.param(NOT_SENT, False, Verdict.RETRY, False, id="never-arrived"),
        pytest.param(AnswerError("not JSON"), False, Verdict.RETRY, True, id="unreadable-answer"),
        pytest.param(KeyRefusedError("revoked", status=401), False, Verdict.KEY, False, id="key-revoked"),
        pytest.param(KeyRefusedError("needs rak_x", status=403), False, Verdict.KEY, False, id="key-lacks"),
    ],
)
def test_an_attempt_is_judged_by_whether_stripe_may_have_counted_it(
    error: CallError | None, unanswered_before: bool, verdict: Verdict, unanswered: bool
) -> None:
    outcome = judge(error, unanswered_before=unanswered_before)

    assert (outcome.verdict, outcome.unanswered) == (verdict, unanswered)


def test_a_wait_that_stripe_asks_for_is_handed_on() -> None:
    slow_down = TemporaryError("too many requests", arrived=False, retry_after=30)

    assert judge(slow_down, unanswered_before=False).retry_after == 30
