from __future__ import annotations

import time

import pytest

from tests.flux_sandbox.running import RunningSandbox


def test_the_clock_goes_with_the_wall_and_is_turned_forward(sandbox: RunningSandbox) -> None:
    before = sandbox.now()

    after = sandbox.advance(3_600)

    assert abs(before - time.time()) < 10
    assert 3_600 <= after - before < 3_610


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"no json", b'{"advance": -1}', b'{"advance": 1e12}', b'{"advance": true}']
)
def test_other_turns_are_refused(sandbox: RunningSandbox, body: bytes) -> None:
    answer = sandbox.http.post("/_sandbox/clock", content=body)

    assert answer.status_code == 400
    assert answer.json()["error"]["message"]
