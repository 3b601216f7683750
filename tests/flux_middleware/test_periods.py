"""How time is cut into periods and buckets."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_middleware.periods import HOUR, bucket_bounds, limit_period, usage_period
from flux_middleware.snapshot import OrganizationRecord, Subscription, SubscriptionItem


def at(*date: int) -> int:
    return int(datetime(*date, tzinfo=UTC).timestamp())  # type: ignore[misc, arg-type]


def billed(*periods: tuple[int | None, int | None]) -> OrganizationRecord:
    items = tuple(
        SubscriptionItem(f"i{index}", "pro@1", period_start=start, period_end=end)
        for index, (start, end) in enumerate(periods)
    )
    return OrganizationRecord("acme", subscriptions=(Subscription("s", "active", items=items),))


@pytest.mark.parametrize(
    ("record", "now", "expected"),
    [
        pytest.param(billed(), at(2026, 2, 14), (at(2026, 2, 1), at(2026, 3, 1)), id="calendar-month"),
        pytest.param(billed(), at(2026, 12, 31, 23), (at(2026, 12, 1), at(2027, 1, 1)), id="december"),
        pytest.param(
            billed((None, None)), at(2026, 2, 14), (at(2026, 2, 1), at(2026, 3, 1)), id="item-without-period"
        ),
        pytest.param(
            billed((at(2026, 2, 10), at(2026, 3, 10))),
            at(2026, 2, 14),
            (at(2026, 2, 10), at(2026, 3, 10)),
            id="billing-period",
        ),
        pytest.param(
            billed((at(2026, 1, 1), at(2027, 1, 1)), (at(2026, 2, 10), at(2026, 3, 10))),
            at(2026, 2, 14),
            (at(2026, 2, 10), at(2026, 3, 10)),
            id="the-item-that-began-last",
        ),
        pytest.param(
            billed((at(2026, 2, 10), at(2026, 3, 10))),
            at(2026, 3, 10, 5),
            (at(2026, 3, 10), at(2026, 4, 1)),
            id="renewal-not-heard-of-yet",
        ),
        pytest.param(
            billed((at(2026, 2, 10), at(2026, 3, 10))),
            at(2026, 2, 1),
            (at(2026, 2, 1), at(2026, 2, 10)),
            id="before-it-began",
        ),
    ],
)
def test_the_period_is(record: OrganizationRecord, now: int, expected: tuple[int, int]) -> None:
    assert usage_period(record, now) == expected


def test_a_bucket_is_an_hour_cut_at_the_period_boundary() -> None:
    start = at(2026, 2, 10, 12) + 1200
    record = billed((start, at(2026, 3, 10, 12) + 1200))

    assert bucket_bounds(record, start + 60) == (start, at(2026, 2, 10, 13))
    assert bucket_bounds(record, at(2026, 2, 10, 15) + 1) == (at(2026, 2, 10, 15), at(2026, 2, 10, 16))
    assert bucket_bounds(record, at(2026, 3, 10, 12) + 1199)[1] == at(2026, 3, 10, 12) + 1200


lengths_of_periods = st.lists(st.tuples(st.integers(0, 2**33), st.integers(-(10**8), 10**8)), max_size=3)


@given(
    st.integers(0, 2**33),
    st.floats(0, 1, exclude_max=True),
    lengths_of_periods,
    st.sampled_from(("billing", "day", "week", "month", "year", "unheard-of")),
)
def test_periods_follow_each_other_without_gap_or_overlap(
    now: int, part: float, lengths: list[tuple[int, int]], reset: str
) -> None:
    record = billed(*[(start, start + length) for start, length in lengths])

    start, end = limit_period(record, reset, now)

    assert start <= now < end
    assert limit_period(record, reset, start + int((end - start) * part)) == (start, end)
    assert limit_period(record, reset, end)[0] == end


def test_a_limit_that_never_resets_counts_all_time() -> None:
    assert limit_period(billed((5, 10)), "never", 7) == (0, math.inf)


@given(st.integers(0, 2**33), lengths_of_periods)
def test_a_bucket_holds_its_moment_and_lies_in_one_hour_and_one_period(
    now: int, lengths: list[tuple[int, int]]
) -> None:
    record = billed(*[(start, start + length) for start, length in lengths])

    start, end = bucket_bounds(record, now)
    period_start, period_end = usage_period(record, now)

    assert period_start <= start <= now < end <= period_end
    assert start // HOUR == (end - 1) // HOUR
