"""What applications ask and tell: the hot path, the slow path behind it, and everything that is out of the ordinary."""

from __future__ import annotations

import ctypes
import enum
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flux_middleware.answering import Billing
from flux_middleware.answers import UsageEvent
from flux_middleware.cache import Cache
from flux_middleware.catalog import UNLIMITED, Catalog
from flux_middleware.conditions import Conditions
from flux_middleware.errors import (
    InvalidOrganizationError,
    InvalidQuantityError,
    InvalidRecordError,
    JournalError,
)
from flux_middleware.gate import DecisionReason
from flux_middleware.journal import Journal
from flux_middleware.journals import JournalReader, Journals
from flux_middleware.memory_store import MemoryStore
from flux_middleware.snapshot import Subscription, SubscriptionItem, UsageReceipt, UsageStanding, UsageUpdate
from flux_middleware.store import Store
from tests.flux_middleware.hosts import HOUR, NOON, change, fill, forked, header, record

MONTH = 1_759_276_800  # 2025-10-01
NEXT_MONTH = 1_761_955_200


class Clock:
    def __init__(self) -> None:
        self.now = float(NOON + 60)

    def __call__(self) -> float:
        return self.now


class Process:
    """One process of a host: what it answers with, and the store and the journals that it shares."""

    def __init__(self, directory: Path, store: Store, clock: Clock) -> None:
        self.conditions = Conditions()
        self.journal = Journal(directory, "test")
        self.forks = 0
        self.billing = Billing(
            store,
            Cache(store, clock=clock, conditions=self.conditions),
            self.journal,
            Journals(directory, "test"),
            clock=clock,
            conditions=self.conditions,
            in_new_process=self.after_fork,
        )

    def after_fork(self) -> None:
        self.forks += 1
        self.billing.after_fork()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    fill(store, record("acme", "sso"), record("globex", seats=5))
    return store


@pytest.fixture
def process(tmp_path: Path, store: MemoryStore, clock: Clock) -> Process:
    return Process(tmp_path, store, clock)


@pytest.fixture
def billing(process: Process) -> Billing:
    return process.billing


def totals(directory: Path) -> dict[tuple[str, str, int], int]:
    return {
        (entry.organization, entry.metric, entry.bucket): reader.total(entry)
        for reader in Journals(directory, "test").readers()
        for entry in reader.entries
    }


def readers(directory: Path) -> list[JournalReader]:
    return Journals(directory, "test").readers()


def acknowledge(store: Store, reader: JournalReader, quantity: int, usage_revision: int = 1) -> None:
    """Do what a drain does after the server took everything in this journal."""
    standing = UsageStanding("acme", "calls", MONTH, quantity)
    totals = {entry.place: reader.total(entry) for entry in reader.entries}
    store.acknowledge(
        reader.source, totals, UsageReceipt(1, standings=(standing,), usage_revision=usage_revision)
    )


# Checks


@pytest.mark.parametrize(
    ("organization", "feature", "entitled", "limit"),
    [
        pytest.param("acme", "sso", True, UNLIMITED, id="granted"),
        pytest.param("acme", "audit-logs", False, 0, id="not-granted"),
        pytest.param("acme", "seats", False, 0, id="limit-of-nothing"),
        pytest.param("globex", "seats", True, 5, id="limit"),
        pytest.param("initech", "sso", False, 0, id="organization-nobody-heard-of"),
        pytest.param("acme", "exports", False, 0, id="feature-nobody-heard-of"),
        pytest.param("acme", None, False, 0, id="no-feature-at-all"),
    ],
)
def test_the_second_answer_is_the_first(
    billing: Billing, organization: str, feature: str, entitled: bool, limit: Any
) -> None:
    slow = billing.is_entitled(organization, feature), billing.get_limit(organization, feature).value
    hot = billing.is_entitled(organization, feature), billing.get_limit(organization, feature).value

    assert slow == hot == (entitled, limit)
    assert billing.check(organization, feature).allowed is entitled
    assert billing.explain(organization, feature).allowed is entitled


def test_a_check_sees_each_change(billing: Billing, store: MemoryStore) -> None:
    answers = [billing.is_entitled("acme", "sso")]
    for revision, features in ((2, ()), (3, ("sso",)), (4, ())):
        store.apply([change("acme", *features, revision=revision)], revision=revision)
        answers.append(billing.is_entitled("acme", "sso"))

    assert answers == [True, False, True, False]


def test_a_right_ends_at_its_moment_on_the_hot_path_too(
    billing: Billing, store: MemoryStore, clock: Clock
) -> None:
    fill(store, record("acme", "sso", seats=3, until=NOON + 120), revision=2)
    before = [(billing.is_entitled("acme", "sso"), billing.get_limit("acme", "seats").value) for _ in "ab"]

    clock.now = NOON + 120

    assert before == [(True, 3)] * 2
    assert (billing.is_entitled("acme", "sso"), billing.get_limit("acme", "seats").value) == (False, 0)


@pytest.mark.parametrize("organization", ["", None, 7, "a" * 256, ["acme"], "\udcff"])
@pytest.mark.parametrize(
    "method", ["is_entitled", "get_limit", "check", "explain", "get_usage", "record_usage"]
)
def test_what_is_no_organizations_id_is_refused(billing: Billing, method: str, organization: object) -> None:
    with pytest.raises(InvalidOrganizationError):
        getattr(billing, method)(organization, "calls")


def test_a_feature_nobody_heard_of_is_logged_once(billing: Billing, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        billing.is_entitled("acme", "exports")
        billing.get_limit("globex", "exports")

    assert caplog.messages == ["feature 'exports' is not in the catalog; it is denied"]


def test_a_denial_that_is_in_order_is_not_logged(billing: Billing, caplog: pytest.LogCaptureFixture) -> None:
    billing.is_entitled("acme", "audit-logs")
    billing.get_limit("acme", "seats")

    assert caplog.messages == []


def test_everything_is_denied_while_nothing_is_known(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    billing = Process(tmp_path, MemoryStore(), clock).billing

    answers = [billing.is_entitled(organization, "sso") for organization in ("acme", "globex", "acme")]

    assert answers == [False] * 3
    assert billing.get_limit("acme", "seats").value == 0
    assert billing.check("acme", "sso").reason is DecisionReason.UNAVAILABLE
    assert len(caplog.messages) == 1
    assert "the server was never reached" in caplog.text


def test_the_first_snapshot_ends_the_denials(tmp_path: Path, clock: Clock) -> None:
    store = MemoryStore()
    billing = Process(tmp_path, store, clock).billing
    before = billing.is_entitled("acme", "sso")

    fill(store, record("acme", "sso"))

    assert (before, billing.is_entitled("acme", "sso")) == (False, True)


@pytest.mark.parametrize(
    ("organization", "feature", "reason"),
    [
        pytest.param("acme", "sso", DecisionReason.ENTITLED, id="entitled"),
        pytest.param("acme", "audit-logs", DecisionReason.NOT_ENTITLED, id="not-entitled"),
        pytest.param("acme", "exports", DecisionReason.UNKNOWN_FEATURE, id="unknown-feature"),
    ],
)
def test_a_decision_says_why_and_on_what(
    billing: Billing, store: MemoryStore, organization: str, feature: str, reason: DecisionReason
) -> None:
    store.apply([], revision=41)

    decision = billing.check(organization, feature)

    assert (decision.organization, decision.feature) == (organization, feature)
    assert (decision.reason, decision.revision) == (reason, 41)


def test_an_explanation_prints_the_chain(billing: Billing, store: MemoryStore) -> None:
    fill(store, record("acme", "sso", until=NOON + HOUR), revision=17)

    text = str(billing.explain("acme", "sso")).splitlines()

    assert text[0] == "acme: sso = yes"
    assert text[1] == "  override o-sso: set yes, until 2025-10-09 13:00:00 UTC"
    assert text[-1] == "  so: acme is entitled to sso, until 2025-10-09 13:00:00 UTC, revision 17"


def test_an_explanation_of_a_denial_says_what_is_missing(billing: Billing) -> None:
    assert "nothing that is live grants audit-logs" in str(billing.explain("acme", "audit-logs"))
    assert "the catalog has no feature exports" in str(billing.explain("acme", "exports"))


# Counting


def test_usage_is_counted_in_the_hours_bucket(billing: Billing, tmp_path: Path) -> None:
    billing.record_usage("acme", "calls")
    billing.record_usage("acme", "calls", 4)
    billing.record_usage(UsageEvent(org_id="acme", metric="calls", quantity=5))
    billing.record_usage("acme", "tokens", 0)

    assert totals(tmp_path) == {("acme", "calls", NOON): 10, ("acme", "tokens", NOON): 0}


def test_an_hour_later_another_bucket_begins(billing: Billing, tmp_path: Path, clock: Clock) -> None:
    billing.record_usage("acme", "calls")
    clock.now = NOON + HOUR - 0.001
    billing.record_usage("acme", "calls")
    clock.now = NOON + HOUR
    billing.record_usage("acme", "calls")

    assert totals(tmp_path) == {("acme", "calls", NOON): 2, ("acme", "calls", NOON + HOUR): 1}


def test_a_bucket_ends_with_the_organizations_period(
    billing: Billing, store: MemoryStore, tmp_path: Path, clock: Clock
) -> None:
    store.apply([renewal(2, MONTH, NOON + 120)], revision=2)
    billing.record_usage("acme", "calls")
    clock.now = NOON + 120
    billing.record_usage("acme", "calls")

    assert totals(tmp_path) == {("acme", "calls", NOON): 1, ("acme", "calls", NOON + 120): 1}


def test_a_period_that_moves_cuts_the_bucket_of_who_counts_already(
    billing: Billing, store: MemoryStore, tmp_path: Path
) -> None:
    billing.record_usage("acme", "calls")

    store.apply([renewal(2, NOON + 30, NOON + 86_400)], revision=2)
    billing.record_usage("acme", "calls")

    assert totals(tmp_path) == {("acme", "calls", NOON): 1, ("acme", "calls", NOON + 30): 1}


def renewal(revision: int, start: int, end: int) -> Any:
    item = SubscriptionItem("si", "pro@1", period_start=start, period_end=end)
    changed = change("acme", revision=revision)
    subscribed = Subscription("sub", "active", (item,))
    return type(changed)(revision, type(changed.record)("acme", revision, (subscribed,)))


class Fruit(enum.IntEnum):
    APPLE = 3


@pytest.mark.parametrize("warm", [False, True], ids=["first", "later"])
@pytest.mark.parametrize("quantity", [-1, 1.5, 1.0, True, "3", 2**63, None, float("nan")])
def test_a_quantity_is_a_whole_number_of_zero_or_more(
    billing: Billing, tmp_path: Path, quantity: Any, warm: bool
) -> None:
    if warm:
        billing.record_usage("acme", "calls")

    with pytest.raises(InvalidQuantityError, match="whole numbers of 0 or more"):
        billing.record_usage("acme", "calls", quantity)
    with pytest.raises(InvalidQuantityError):
        billing.record_usage(UsageEvent(org_id="acme", metric="calls", quantity=quantity))

    assert sum(totals(tmp_path).values()) == warm


def test_a_number_that_is_more_than_a_number_counts(billing: Billing, tmp_path: Path) -> None:
    billing.record_usage("acme", "calls", Fruit.APPLE)

    assert totals(tmp_path) == {("acme", "calls", NOON): 3}


def test_a_counter_does_not_overflow(billing: Billing, tmp_path: Path) -> None:
    billing.record_usage("acme", "calls", 2**63 - 2)
    billing.record_usage("acme", "calls", 1)

    with pytest.raises(InvalidQuantityError):
        billing.record_usage("acme", "calls", 1)

    assert totals(tmp_path) == {("acme", "calls", NOON): 2**63 - 1}


@pytest.mark.parametrize("metric", ["", "API calls", "a" * 65, "é"])
def test_a_malformed_metric_is_refused(billing: Billing, metric: str) -> None:
    with pytest.raises(InvalidRecordError, match="1 to 64"):
        billing.record_usage("acme", metric)
    with pytest.raises(InvalidRecordError, match="1 to 64"):
        billing.get_usage("acme", metric)


def test_a_count_names_its_metric(billing: Billing) -> None:
    with pytest.raises(TypeError, match="a metric, or a UsageEvent"):
        billing.record_usage("acme")  # type: ignore[call-overload]  # what a caller may forget


def test_a_metric_nobody_heard_of_is_kept_and_logged_once(
    billing: Billing, tmp_path: Path, caplog: pytest.LogCaptureFixture, store: MemoryStore
) -> None:
    for revision in range(2, 5):
        billing.record_usage("acme", "exports")
        billing.record_usage("globex", "exports")
        fill(store, revision=revision)

    assert sum(totals(tmp_path).values()) == 6
    assert caplog.messages == [
        "metric 'exports' is not in the catalog; its usage is kept, and sent once it is"
    ]


def test_usage_is_counted_while_nothing_is_known(tmp_path: Path, clock: Clock) -> None:
    billing = Process(tmp_path, MemoryStore(), clock).billing

    billing.record_usage("acme", "calls")

    assert billing.get_usage("acme", "calls").quantity == 1


def test_no_room_to_count_in_is_an_error_and_checks_go_on(
    store: MemoryStore, tmp_path: Path, clock: Clock
) -> None:
    billing = Process(tmp_path / "gone", store, clock).billing

    with pytest.raises(JournalError, match="cannot count usage"):
        billing.record_usage("acme", "calls")

    assert billing.is_entitled("acme", "sso")


def test_threads_count_exactly(billing: Billing) -> None:
    def work() -> None:
        for _ in range(20_000):
            billing.record_usage("acme", "calls")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert billing.get_usage("acme", "calls").quantity == 160_000


def test_threads_count_exactly_while_the_journal_goes_from_file_to_file(
    process: Process, billing: Billing
) -> None:
    done = threading.Event()

    def rotate() -> None:
        while not done.is_set():
            process.journal.close()

    def work() -> None:
        for _ in range(2_000):
            billing.record_usage("acme", "calls")

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in (rotating := threading.Thread(target=rotate), *threads):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    rotating.join()

    assert billing.get_usage("acme", "calls").quantity == 6_000


# Usage so far


def test_usage_so_far_is_that_of_the_calendar_month_without_a_subscription(billing: Billing) -> None:
    usage = billing.get_usage("acme", "calls")

    assert (usage.quantity, usage.period_start, usage.period_end) == (0, MONTH, NEXT_MONTH)


def test_usage_so_far_has_what_is_not_sent_yet_from_every_process_of_the_host(
    tmp_path: Path, store: MemoryStore, clock: Clock
) -> None:
    first, second = (Process(tmp_path, store, clock).billing for _ in "ab")
    store.apply([], [UsageUpdate(1, (UsageStanding("acme", "calls", MONTH, 100),))])

    first.record_usage("acme", "calls", 3)
    second.record_usage("acme", "calls", 4)
    first.record_usage("acme", "tokens", 1_000)
    first.record_usage("globex", "calls", 1_000)

    assert first.get_usage("acme", "calls").quantity == second.get_usage("acme", "calls").quantity == 107


def test_usage_of_the_last_period_is_not_in_this_ones(
    billing: Billing, store: MemoryStore, clock: Clock
) -> None:
    store.apply([], [UsageUpdate(1, (UsageStanding("acme", "calls", MONTH, 100),))])
    billing.record_usage("acme", "calls", 3)

    clock.now = NEXT_MONTH
    billing.record_usage("acme", "calls", 1)

    assert billing.get_usage("acme", "calls").quantity == 1


def test_what_is_acknowledged_is_not_counted_again(
    billing: Billing, store: MemoryStore, tmp_path: Path
) -> None:
    billing.record_usage("acme", "calls", 3)
    acknowledge(store, readers(tmp_path)[0], 103)
    billing.record_usage("acme", "calls", 2)

    assert billing.get_usage("acme", "calls").quantity == 105
    assert billing.backlog() == 1


@pytest.mark.parametrize(
    "before", [True, False], ids=["before-the-store-is-asked", "after-the-store-is-asked"]
)
def test_a_journal_that_goes_over_to_the_server_meanwhile_is_counted_once(
    process: Process, store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    """What is acknowledged may be forgotten as soon as the journal is retired."""
    process.billing.record_usage("acme", "calls", 3)
    process.journal.close()
    ask = store.usage

    def ask_while_another_drains(*question: Any) -> Any:
        answer = None if before else ask(*question)
        for reader in readers(tmp_path):
            acknowledge(store, reader, 3)
            reader.retire()
            store.forget_source(reader.source)
        return answer or ask(*question)

    monkeypatch.setattr(store, "usage", ask_while_another_drains)

    assert process.billing.get_usage("acme", "calls").quantity == 3


def test_a_journal_whose_drain_was_killed_before_it_was_deleted_is_counted_once(
    process: Process, store: MemoryStore, tmp_path: Path
) -> None:
    process.billing.record_usage("acme", "calls", 3)
    process.journal.close()
    (reader,) = readers(tmp_path)
    acknowledge(store, reader, 3)
    kept = reader.path.read_bytes()
    reader.retire()
    reader.path.write_bytes(
        kept[:24] + (1).to_bytes(8, sys.byteorder) + kept[32:]
    )  # retired, and still there

    assert process.billing.get_usage("acme", "calls").quantity == 3
    assert process.billing.backlog() == 0


def test_a_drain_of_another_process_is_never_seen_half_done(
    process: Process, store: MemoryStore, tmp_path: Path
) -> None:
    """Each journal in turn is acknowledged, retired and forgotten, as fast as can be."""
    done = threading.Event()
    sent = 0

    def drain() -> None:
        nonlocal sent
        journals = Journals(tmp_path, "test")
        revision = 0
        while not done.is_set():
            for reader in journals.readers():
                if journals.is_abandoned(reader):
                    reader.catch_up()
                    sent += sum(reader.total(entry) for entry in reader.entries)
                    revision += 1
                    acknowledge(store, reader, sent, revision)
                    reader.retire()
                    store.forget_source(reader.source)

    thread = threading.Thread(target=drain)
    thread.start()
    wrong = []
    try:
        for number in range(1, 500):
            process.billing.record_usage("acme", "calls")
            process.journal.close()
            if (found := process.billing.get_usage("acme", "calls").quantity) != number:
                wrong.append((number, found))
    finally:
        done.set()
        thread.join()

    assert wrong == []
    assert sent > 20


# Processes


def test_a_child_counts_for_itself(process: Process, tmp_path: Path) -> None:
    process.billing.record_usage("acme", "calls", 1)

    def work(say: Callable[[object], None]) -> None:
        process.after_fork()
        process.billing.record_usage("acme", "calls", 10)
        say(process.billing.get_usage("acme", "calls").quantity)

    with forked(work) as child:
        assert child.line() == "11"
    process.billing.record_usage("acme", "calls", 100)

    assert sorted(reader.total(entry) for reader in readers(tmp_path) for entry in reader.entries) == [
        10,
        101,
    ]


def test_a_child_that_no_hook_told_of_its_fork_finds_out(process: Process) -> None:
    """uWSGI forks without telling Python."""
    billing = process.billing
    for _ in "ab":
        billing.record_usage("acme", "calls", 1)

    def work(say: Callable[[object], None]) -> None:
        billing.record_usage("acme", "calls", 10)
        say((process.forks, process.journal.pid == os.getpid(), billing.get_usage("acme", "calls").quantity))

    with forked(work, fork=ctypes.PyDLL(None).fork) as child:
        assert child.line() == "(1, True, 12)"


def test_locks_held_at_a_fork_do_not_block_the_child(process: Process) -> None:
    held, done = threading.Event(), threading.Event()
    billing = process.billing

    def hold() -> None:
        with process.journal.lock, billing._cache._lock, billing._usage_lock:
            held.set()
            done.wait(10)

    def work(say: Callable[[object], None]) -> None:
        process.after_fork()
        billing.record_usage("acme", "calls", 10)
        say((billing.is_entitled("globex", "seats"), billing.get_usage("acme", "calls").quantity))

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    with forked(work) as child:
        assert child.line() == "(True, 10)"
    done.set()
    thread.join()


def test_a_changed_catalog_makes_a_feature_known(billing: Billing, store: MemoryStore) -> None:
    before = billing.check("acme", "sso").reason

    with store.replacement(header(2, catalog=Catalog())) as replacement:
        replacement.commit()

    assert (before, billing.check("acme", "sso").reason) == (
        DecisionReason.ENTITLED,
        DecisionReason.UNKNOWN_FEATURE,
    )
