import json
from collections.abc import Awaitable
from typing import Any

import pytest

from flux_middleware.errors import ConfigurationError, NotInitializedError, StoreError
from flux_middleware.gate import (
    Billing,
    Decision,
    DecisionReason,
    Denial,
    Gate,
    GatedRequest,
    OnDenied,
    OrganizationResolver,
    Requirements,
    denial_for,
)
from tests.integrations.recording import RecordingBilling

SSO = Requirements(features=("sso",))
CALLS = Requirements(metrics=("api-calls",))


class Resolver:
    """Answers what it is told and counts how often it was asked."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked = 0

    def __call__(self, subject: Any) -> Any:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def billing() -> RecordingBilling:
    billing = RecordingBilling()
    billing.entitled = {("acme", "sso"), ("acme", "audit-logs")}
    return billing


def request_for(
    billing: Billing,
    organization: OrganizationResolver,
    method: str = "GET",
    on_denied: OnDenied | None = None,
) -> GatedRequest:
    return GatedRequest(Gate(billing, organization, on_denied), {"subject": 1}, method)


def refused(admission: Denial | Awaitable[Denial | None] | None) -> Denial:
    assert isinstance(admission, Denial)
    return admission


def test_an_entitled_organization_passes(billing: RecordingBilling) -> None:
    request = request_for(billing, lambda _: "acme")

    assert request.admit(SSO) is None


def test_the_first_missing_feature_is_named(billing: RecordingBilling) -> None:
    request = request_for(billing, lambda _: "acme")

    denial = refused(request.admit(Requirements(features=("sso", "seats", "exports"))))

    assert denial.feature == "seats"


@pytest.mark.parametrize(
    ("reason", "status", "code"),
    [
        pytest.param(DecisionReason.NOT_ENTITLED, 403, "entitlement_required", id="not-in-the-plan"),
        pytest.param(DecisionReason.UNKNOWN_FEATURE, 403, "entitlement_required", id="no-such-feature"),
        pytest.param(DecisionReason.NO_ORGANIZATION, 403, "organization_required", id="nobody"),
        pytest.param(DecisionReason.LIMIT_REACHED, 403, "limit_reached", id="no-more-fits"),
        pytest.param(DecisionReason.UNAVAILABLE, 503, "entitlements_unavailable", id="nothing-to-go-by"),
        pytest.param(DecisionReason.FALLBACK, 503, "entitlements_unavailable", id="denied-by-its-fallback"),
        pytest.param(DecisionReason.STALE, 503, "entitlements_unavailable", id="nothing-recent-to-go-by"),
    ],
)
def test_a_denial_is_problem_details(reason: DecisionReason, status: int, code: str) -> None:
    denial = denial_for("sso", reason)

    problem = json.loads(denial.body)
    headers = dict(denial.headers)
    assert denial.status == problem["status"] == status
    assert problem["type"] == f"urn:flux:problem:{code.replace('_', '-')}"
    assert (problem["code"], problem["feature"], problem["detail"]) == (code, "sso", denial.detail)
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"content-length"] == str(len(denial.body)).encode()
    assert headers[b"cache-control"] == b"no-store"
    assert b"www-authenticate" not in headers
    assert [(name.encode(), value.encode()) for name, value in denial.text_headers] == list(denial.headers)


def test_only_what_comes_back_by_itself_says_when_to_retry() -> None:
    plain = denial_for("sso", DecisionReason.NOT_ENTITLED)
    unavailable = {
        int(dict(denial_for("sso", DecisionReason.UNAVAILABLE).text_headers)["retry-after"])
        for _ in range(200)
    }

    assert "retry-after" not in dict(plain.text_headers)
    assert unavailable == {1, 2, 3, 4, 5}


def test_the_same_denial_is_prepared_once() -> None:
    assert denial_for("sso", DecisionReason.NOT_ENTITLED) is denial_for("sso", DecisionReason.NOT_ENTITLED)


def test_the_reason_of_the_check_decides_the_denial(billing: RecordingBilling) -> None:
    billing.reason = DecisionReason.UNAVAILABLE
    request = request_for(billing, lambda _: "globex")

    assert refused(request.admit(SSO)).status == 503


def test_an_entitlement_that_arrives_between_look_and_check_passes(billing: RecordingBilling) -> None:
    class Arriving(RecordingBilling):
        def check(self, organization: str, feature: str, /) -> Decision:
            self.entitled.add((organization, feature))
            return super().check(organization, feature)

    request = request_for(Arriving(), lambda _: "globex")

    assert request.admit(SSO) is None


def test_the_organization_is_asked_once(billing: RecordingBilling) -> None:
    resolver = Resolver("acme")
    request = request_for(billing, resolver)

    request.admit(SSO)
    request.admit(CALLS)

    assert resolver.asked == 1


def test_nobody_asks_for_the_organization_of_a_plain_route(billing: RecordingBilling) -> None:
    resolver = Resolver("acme")
    request = request_for(billing, resolver)

    request.commit(200)

    assert resolver.asked == 0


async def test_an_asynchronous_resolver_is_awaited_once(billing: RecordingBilling) -> None:
    calls = []

    async def organization(subject: Any) -> str:
        calls.append(subject)
        return "acme"

    request = request_for(billing, organization)
    admission = request.admit(SSO)
    assert isinstance(admission, Awaitable)

    assert await admission is None
    assert request.admit(CALLS) is None
    assert calls == [{"subject": 1}]


@pytest.mark.parametrize("nobody", [None, ""])
def test_nobody_is_refused_a_gated_route(billing: RecordingBilling, nobody: str | None) -> None:
    request = request_for(billing, lambda _: nobody)

    assert refused(request.admit(SSO)).code == "organization_required"


@pytest.mark.parametrize("nobody", [None, ""])
def test_nobody_passes_a_metered_route_uncounted(billing: RecordingBilling, nobody: str | None) -> None:
    request = request_for(billing, lambda _: nobody)

    assert request.admit(CALLS) is None
    request.commit(200)
    assert not billing.usage


def test_a_failing_resolver_refuses_gated_and_passes_metered(
    billing: RecordingBilling, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate(billing, Resolver(KeyError("org_id")))

    denials = [refused(GatedRequest(gate, None, "GET").admit(SSO)).status for _ in range(3)]
    metered = GatedRequest(gate, None, "GET")

    assert denials == [503, 503, 503]
    assert metered.admit(CALLS) is None
    metered.commit(200)
    assert not billing.usage
    assert [record.getMessage() for record in caplog.records] == [
        "the organization resolver failed (KeyError)"
    ]


async def test_a_failing_asynchronous_resolver_refuses_too(
    billing: RecordingBilling, caplog: pytest.LogCaptureFixture
) -> None:
    async def organization(subject: Any) -> str:
        raise LookupError("no session")

    admission = request_for(billing, organization).admit(SSO)
    assert isinstance(admission, Awaitable)

    assert refused(await admission).status == 503
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "answer",
    [pytest.param(42, id="number"), pytest.param("x" * 300, id="too-long"), pytest.param("a\0b", id="nul")],
)
def test_what_is_no_organization_id_is_nobody(
    billing: RecordingBilling, caplog: pytest.LogCaptureFixture, answer: Any
) -> None:
    request = request_for(billing, lambda _: answer)

    assert refused(request.admit(SSO)).code == "organization_required"
    assert "an organization id is a string" in caplog.text


def test_a_lasting_failure_is_logged_again_after_a_minute(
    billing: RecordingBilling, caplog: pytest.LogCaptureFixture
) -> None:
    times = iter([100.0, 159.0, 160.0, 161.0])
    gate = Gate(billing, lambda _: "acme", clock=lambda: next(times))

    for _ in range(4):
        gate.report("the organization resolver failed", KeyError("org_id"))

    assert len(caplog.records) == 2


def test_an_unreadable_store_refuses(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(RecordingBilling):
        def is_entitled(self, organization: str, feature: str, /) -> bool:
            raise StoreError("the store is gone")

    assert refused(request_for(Broken(), lambda _: "acme").admit(SSO)).status == 503
    assert "the store is gone" in caplog.text


def test_a_missing_init_is_said_aloud() -> None:
    class Missing(RecordingBilling):
        def is_entitled(self, organization: str, feature: str, /) -> bool:
            raise NotInitializedError

    with pytest.raises(NotInitializedError, match=r"flux\.init"):
        request_for(Missing(), lambda _: "acme").admit(SSO)


@pytest.mark.parametrize(
    ("status", "counted"),
    [(200, 1), (201, 1), (204, 1), (206, 1), (301, 1), (304, 1), (307, 1)]
    + [(status, 0) for status in (400, 401, 402, 403, 404, 409, 422, 429, 500, 503)],
)
def test_a_success_is_a_status_below_400(billing: RecordingBilling, status: int, counted: int) -> None:
    request = request_for(billing, lambda _: "acme")
    request.admit(CALLS)

    request.commit(status)

    assert billing.usage["acme", "api-calls"] == counted


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_head_and_options_are_not_counted(billing: RecordingBilling, method: str) -> None:
    request = request_for(billing, lambda _: "acme", method)
    request.admit(CALLS)

    request.commit(200)

    assert not billing.usage


def test_a_request_counts_once_per_metric(billing: RecordingBilling) -> None:
    request = request_for(billing, lambda _: "acme")
    request.admit(CALLS)
    request.admit(Requirements(metrics=("api-calls", "searches")))

    request.commit(200)
    request.commit(200)

    assert billing.usage == {("acme", "api-calls"): 1, ("acme", "searches"): 1}


def test_a_request_that_ended_without_an_answer_is_not_counted(billing: RecordingBilling) -> None:
    request = request_for(billing, lambda _: "acme")
    request.admit(CALLS)

    request.ended = True
    request.commit(200)

    assert not billing.usage


def test_a_denied_request_is_not_usage_whatever_its_status(billing: RecordingBilling) -> None:
    request = request_for(billing, lambda _: "globex")
    request.admit(CALLS)
    request.admit(SSO)

    request.commit(200)  # an application may answer a denial with a page that sells the plan

    assert not billing.usage


def test_metering_never_breaks_a_request(billing: RecordingBilling, caplog: pytest.LogCaptureFixture) -> None:
    billing.broken = OSError("disk full")
    gate = Gate(billing, lambda _: "acme")

    for _ in range(3):
        request = GatedRequest(gate, None, "GET")
        request.admit(CALLS)
        request.commit(200)

    assert [record.getMessage() for record in caplog.records] == [
        "usage could not be recorded and is lost (OSError)"
    ]


def test_an_answered_request_decides_nothing_any_more(billing: RecordingBilling) -> None:
    request = request_for(billing, lambda _: "acme")
    request.commit(200)

    with pytest.raises(ConfigurationError, match=r"after its request was answered.*flux\.billing"):
        request.admit(SSO)


def test_a_refused_head_request_has_no_body(billing: RecordingBilling) -> None:
    denial = refused(request_for(billing, lambda _: "globex", "HEAD").admit(SSO))

    assert denial.body == b""
    assert int(dict(denial.text_headers)["content-length"]) > 0


def test_options_is_never_refused_and_never_a_way_round(billing: RecordingBilling) -> None:
    denial = refused(request_for(billing, lambda _: "globex", "OPTIONS").admit(SSO))

    assert (denial.status, denial.body) == (204, b"")


def test_an_application_can_restyle_a_denial(billing: RecordingBilling) -> None:
    request = request_for(
        billing, lambda _: "globex", on_denied=lambda subject, denial: (subject, denial.feature)
    )

    assert request.answer(refused(request.admit(SSO)), lambda denial: "usual") == ({"subject": 1}, "sso")


def test_restyling_is_declined_with_none(billing: RecordingBilling) -> None:
    request = request_for(billing, lambda _: "globex", on_denied=lambda subject, denial: None)

    assert request.answer(refused(request.admit(SSO)), lambda denial: "usual") == "usual"


@pytest.mark.parametrize(("restyled", "answer"), [("page", "page"), (None, "usual")])
async def test_restyling_may_be_asynchronous(
    billing: RecordingBilling, restyled: str | None, answer: str
) -> None:
    async def on_denied(subject: Any, denial: Denial) -> str | None:
        return restyled

    async def organization(subject: Any) -> str:
        return "globex"

    request = request_for(billing, organization, on_denied=on_denied)
    admission = request.admit(SSO)
    assert admission is not None

    assert await request.answer(admission, lambda denial: "usual") == answer


def test_requirements_add_up_from_the_outermost_in() -> None:
    outer = Requirements(features=("sso",), metrics=("api-calls",))
    inner = Requirements(features=("audit-logs", "sso"), metrics=("api-calls", "searches"))

    assert outer.and_then(inner) == Requirements(("sso", "audit-logs"), ("api-calls", "searches"))


def test_an_organization_that_cannot_be_asked_is_refused_at_once(billing: RecordingBilling) -> None:
    with pytest.raises(ConfigurationError, match="organization is a function"):
        Gate(billing, "acme")  # type: ignore[arg-type]


def test_an_on_denied_that_cannot_be_called_is_refused_at_once(billing: RecordingBilling) -> None:
    with pytest.raises(ConfigurationError, match="on_denied is a function"):
        Gate(billing, lambda _: "acme", "page.html")  # type: ignore[arg-type]
