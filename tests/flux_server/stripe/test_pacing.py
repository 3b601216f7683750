from __future__ import annotations

import pytest

from flux_server.stripe.pacing import retry_delay


@pytest.mark.parametrize(
    ("attempts", "chance", "at_least", "expected"),
    [
        pytest.param(1, 1.0, 0, 2, id="first"),
        pytest.param(1, 0.0, 0, 1, id="spread-over-half"),
        pytest.param(4, 1.0, 0, 16, id="doubles"),
        pytest.param(50, 1.0, 0, 3600, id="at-most-an-hour"),
        pytest.param(1, 1.0, 60, 60, id="as-asked-for"),
    ],
)
def test_waits_grow_and_are_spread(attempts: int, chance: float, at_least: float, expected: int) -> None:
    assert retry_delay(attempts, chance, at_least=at_least) == expected
