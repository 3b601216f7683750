from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flux_middleware.periods import usage_period
from flux_middleware.snapshot import Metric, OrganizationRecord, UsageBatch, UsageReceipt, UsageSlot
from flux_server.catalog.features import save_metric
from flux_server.database import Database
from flux_server.environments.revisions import current_revision
from flux_server.errors import InvalidRequestError
from flux_server.usage.ingest import MAX_SLOTS, ingest
from flux_server.usage.reading import read_buckets, read_standing
from flux_server.usage.tables import usage_buckets, usage_standings, usage_totals
from tests.flux_server.running import NOON

ENV = "test"
HOUR = NOON // 3600 * 3600
MONTH, _ = usage_period(OrganizationRecord(""), NOON)


@pytest.fixture
async def metered(database: Database) -> Database:
    """A database with the metrics `api-calls` and `storage`."""
    async with database.write() as connection:
        await save_metric(connection, ENV, Metric("api-calls"), NOON)
        await save_metric(connection, ENV, Metric("storage"), NOON)
    return database


def slot(total: int, organization: str = "acme", metric: str = "api-calls", bucket: int = HOUR) -> UsageSlot:
    return UsageSlot(organization, metric, bucket, total)


async def send(database: Database, *slots: UsageSlot, source: str = "s1", now: float = NOON) -> UsageReceipt:
    async with database.write() as connection:
        return await ingest(connection, ENV, UsageBatch(source, slots), now)


async def ledger(database: Database) -> dict[tuple[str, str, int], int]:
    async with database.read() as connection:
        rows = await connection.execute(sa.select(usage_buckets))
        return {(row.organization, row.metric, row.bucket): row.quantity for row in rows}


async def test_a_total_counts_once_however_often_it_is_sent(metered: Database) -> None:
    first = await send(metered, slot(5))
    again = await send(metered, slot(5))

    assert first == again
    assert (first.accepted, first.errors) == (1, ())
    assert [(s.organization, s.metric, s.period_start, s.quantity) for s in first.standings] == [
        ("acme", "api-calls", MONTH, 5)
    ]
    assert await ledger(metered) == {("acme", "api-calls", HOUR): 5}
    async with metered.read() as connection:
        assert await current_revision(connection, ENV, "usage") == 1, "nothing new, nothing to push"


async def test_an_older_total_that_arrives_late_changes_nothing(metered: Database) -> None:
    await send(metered, slot(9))
    await send(metered, slot(4))

    assert await ledger(metered) == {("acme", "api-calls", HOUR): 9}


async def test_sources_add_up(metered: Database) -> None:
    await send(metered, slot(5), source="s1")
    receipt = await send(metered, slot(7), source="s2")

    assert receipt.standings[0].quantity == 12


async def test_the_largest_of_one_batch_counts(metered: Database) -> None:
    receipt = await send(metered, slot(3), slot(8), slot(5))

    assert receipt.accepted == 3
    assert receipt.standings[0].quantity == 8


async def test_a_total_of_nothing_is_kept_as_nothing(metered: Database) -> None:
    receipt = await send(metered, slot(0))

    assert (receipt.accepted, receipt.standings[0].quantity) == (1, 0)
    assert await ledger(metered) == {}


async def test_last_months_usage_is_kept_but_not_in_this_months_standing(metered: Database) -> None:
    receipt = await send(metered, slot(5, bucket=MONTH - 3600), slot(2))

    assert [standing.quantity for standing in receipt.standings] == [2]
    assert await ledger(metered) == {("acme", "api-calls", MONTH - 3600): 5, ("acme", "api-calls", HOUR): 2}


async def test_a_standing_starts_afresh_with_the_month(metered: Database) -> None:
    await send(metered, slot(5))
    _, end = usage_period(OrganizationRecord(""), NOON)

    receipt = await send(metered, slot(2, bucket=end), now=end + 60)

    assert [(standing.period_start, standing.quantity) for standing in receipt.standings] == [(end, 2)]


async def test_unknown_metrics_and_impossible_slots_leave_the_others_alone(metered: Database) -> None:
    receipt = await send(
        metered,
        slot(1, metric="hits"),
        slot(2),
        slot(-1),
        slot(2**53),
        slot(1, bucket=NOON + 301),
        slot(1, bucket=-1),
        slot(1, organization=""),
        slot(1, organization="a\0b"),
        slot(3, bucket=NOON + 300),
    )

    assert receipt.accepted == 2
    assert [(error.index, error.code) for error in receipt.errors] == [
        (0, "unknown_metric"),
        (2, "invalid_total"),
        (3, "invalid_total"),
        (4, "bucket_in_future"),
        (5, "invalid_bucket"),
        (6, "invalid_organization"),
        (7, "invalid_organization"),
    ]
    assert "define it, and this slot is taken" in receipt.errors[0].detail
    assert sum((await ledger(metered)).values()) == 5


async def test_a_slot_is_taken_once_its_metric_is_defined(metered: Database) -> None:
    assert (await send(metered, slot(4, metric="hits"))).accepted == 0
    async with metered.write() as connection:
        await save_metric(connection, ENV, Metric("hits"), NOON)

    assert (await send(metered, slot(4, metric="hits"))).standings[0].quantity == 4


@pytest.mark.parametrize(
    ("batch", "complaint"),
    [
        pytest.param(UsageBatch("", (slot(1),)), "a source is 1 to 32", id="no-source"),
        pytest.param(UsageBatch("s" * 33, (slot(1),)), "a source is 1 to 32", id="long-source"),
        pytest.param(UsageBatch("s1", (slot(1),) * (MAX_SLOTS + 1)), "at most 5000 slots", id="too-many"),
    ],
)
async def test_a_malformed_batch_is_refused_whole(
    metered: Database, batch: UsageBatch, complaint: str
) -> None:
    async with metered.write() as connection:
        with pytest.raises(InvalidRequestError, match=complaint):
            await ingest(connection, ENV, batch, NOON)


async def test_the_largest_batch_is_taken(metered: Database) -> None:
    slots = [slot(1, organization=f"org-{number}") for number in range(MAX_SLOTS)]

    assert len((await send(metered, *slots)).standings) == MAX_SLOTS
    assert len((await send(metered, *slots)).standings) == MAX_SLOTS


async def test_senders_at_the_same_time_neither_lose_nor_double(metered: Database) -> None:
    async def count(source: str) -> None:
        for total in range(1, 11):
            slots = [slot(total, organization=f"org-{number}") for number in range(5)]
            await send(metered, *(slots if source < "s4" else reversed(slots)), source=source)

    await asyncio.wait_for(asyncio.gather(*(count(f"s{source}") for source in range(8))), 60)

    assert set((await ledger(metered)).values()) == {80}
    async with metered.read() as connection:
        assert (await read_standing(connection, ENV, "org-3", "api-calls", NOON)).quantity == 80


@dataclass(frozen=True)
class Sending:
    """One batch on its way, perhaps for the second time."""

    source: str
    slots: tuple[UsageSlot, ...]


slots = st.builds(
    UsageSlot,
    organization=st.sampled_from(["acme", "ümläut/slash"]),
    metric=st.sampled_from(["api-calls", "storage"]),
    bucket=st.sampled_from([MONTH - 3600, MONTH, HOUR - 3600, HOUR]),
    total=st.integers(0, 50),
)
sendings = st.builds(
    Sending, st.sampled_from(["s1", "s2", "s3"]), st.lists(slots, min_size=1, max_size=6).map(tuple)
)


@st.composite
def deliveries(draw: st.DrawFn) -> list[Sending]:
    """Batches, some of them several times, in any order."""
    sent = draw(st.lists(sendings, min_size=1, max_size=8))
    repeated = sent + draw(st.lists(st.sampled_from(sent), max_size=6))
    return draw(st.permutations(repeated))


def expected_ledger(sent: Iterable[Sending]) -> dict[tuple[str, str, int], int]:
    largest: dict[tuple[str, str, str, int], int] = defaultdict(int)
    for sending in sent:
        for s in sending.slots:
            key = (sending.source, s.organization, s.metric, s.bucket)
            largest[key] = max(largest[key], s.total)
    sums: dict[tuple[str, str, int], int] = defaultdict(int)
    for (_, organization, metric, bucket), total in largest.items():
        sums[organization, metric, bucket] += total
    return {key: total for key, total in sums.items() if total}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=deliveries())
async def test_the_ledger_is_the_sum_over_sources_of_their_largest_totals(
    metered: Database, sent: list[Sending]
) -> None:
    async with metered.write() as connection:
        for table in (usage_totals, usage_buckets, usage_standings):
            await connection.execute(sa.delete(table))

    for sending in sent:
        await send(metered, *sending.slots, source=sending.source)

    assert await ledger(metered) == expected_ledger(sent)
    await assert_standings_are_sums(metered, {(s.organization, s.metric) for b in sent for s in b.slots})


async def assert_standings_are_sums(database: Database, pairs: set[tuple[str, str]]) -> None:
    async with database.read() as connection:
        for organization, metric in pairs:
            start, end = usage_period(OrganizationRecord(""), NOON)
            buckets = await read_buckets(connection, ENV, organization, metric, start=start, end=end)
            standing = await read_standing(connection, ENV, organization, metric, NOON)
            assert standing.quantity == sum(bucket.quantity for bucket in buckets)
