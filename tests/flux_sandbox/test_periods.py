from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_sandbox.periods import boundary, next_boundary

RECURRING = st.fixed_dictionaries(
    {
        "interval": st.sampled_from(["day", "week", "month", "year"]),
        "interval_count": st.integers(1, 12),
    }
)


def moment(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("interval", "number", "expected"),
    [
        pytest.param("month", 1, "2028-02-29T12:00", id="leap-february"),
        pytest.param("month", 2, "2028-03-31T12:00", id="the-anchors-day-comes-back"),
        pytest.param("month", 3, "2028-04-30T12:00", id="a-month-of-30-days"),
        pytest.param("year", 1, "2029-01-31T12:00", id="year"),
        pytest.param("week", 1, "2028-02-07T12:00", id="week"),
        pytest.param("day", 30, "2028-03-01T12:00", id="days"),
    ],
)
def test_periods_start_on_the_anchors_day(interval: str, number: int, expected: str) -> None:
    recurring = {"interval": interval, "interval_count": 1}

    assert boundary(moment("2028-01-31T12:00"), recurring, number) == moment(expected)


@given(st.integers(10**9, 2 * 10**9), RECURRING, st.integers(-(10**8), 10**8))
def test_the_next_boundary_is_the_first_after_the_moment(
    anchor: int, recurring: dict[str, Any], later: int
) -> None:
    grid = (boundary(anchor, recurring, number) for number in count())

    assert next_boundary(anchor, recurring, anchor + later) == next(
        start for start in grid if start > anchor + later
    )
