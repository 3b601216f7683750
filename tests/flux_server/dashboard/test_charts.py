from __future__ import annotations

from flux_server.dashboard.charts import chart
from flux_server.usage.reading import UsageBucket
from tests.flux_server.running import NOON

DAY = 86_400
MIDNIGHT = NOON - DAY // 2


def test_every_day_of_the_period_has_a_bar() -> None:
    drawn = chart(
        [UsageBucket(NOON, 5), UsageBucket(NOON + 3_600, 5), UsageBucket(NOON + 2 * DAY, 40)],
        NOON,
        NOON + 3 * DAY,
    )

    assert [(bar.start, bar.quantity, bar.share) for bar in drawn.bars] == [
        (MIDNIGHT, 10, 0.25),
        (MIDNIGHT + DAY, 0, 0),
        (MIDNIGHT + 2 * DAY, 40, 1),
        (MIDNIGHT + 3 * DAY, 0, 0),
    ]
    assert (drawn.step, drawn.most) == ("day", 40)


def test_a_year_is_drawn_by_week_and_loses_nothing() -> None:
    buckets = [UsageBucket(NOON + day * DAY, 1) for day in range(365)]

    drawn = chart(buckets, NOON, NOON + 365 * DAY)

    assert drawn.step == "week"
    assert sum(bar.quantity for bar in drawn.bars) == 365
    assert len(drawn.bars) == 53


def test_without_usage_there_are_flat_bars() -> None:
    drawn = chart([], MIDNIGHT, MIDNIGHT + 2 * DAY)

    assert [bar.share for bar in drawn.bars] == [0, 0]
    assert drawn.most == 0
