"""Usage is counted once: whatever dies, is lost, is sent again or is sent by two at once."""

from __future__ import annotations

import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flux_middleware.conditions import Conditions
from flux_middleware.errors import ServerUnreachableError, StoreError, TransportError
from flux_middleware.journal import FIRST_ENTRY, Journal
from flux_middleware.journals import JournalReader, Journals
from flux_middleware.memory_store import MemoryStore
from flux_middleware.metering import BATCH, REFUSED_SECONDS, Drain, drain_turn
from flux_middleware.snapshot import SlotError, UsageBatch, UsageReceipt
from flux_middleware.transport import Transport
from tests.flux_middleware.hosts import HOUR, NOON, fill, forked
from tests.flux_middleware.servers import Connection, response, run_raw_server
from tests.flux_middleware.shop import Shop


class Timer:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class LosingTransport(Transport):
    """Loses as many answers as it is told to, after the server took what they answer."""

    lose = 0

    def send_usage(self, batch: UsageBatch, *, timeout: float = 5) -> UsageReceipt:
        receipt = super().send_usage(batch, timeout=timeout)
        if self.lose:
            self.lose -= 1
            raise ServerUnreachableError("the answer was lost")
        return receipt


class Host:
    """A host that counts, and sends to a server."""

    def __init__(self, directory: Path, url: str, key: str = "flux_test_0123456789") -> None:
        self.directory = directory
        self.directory.mkdir(exist_ok=True)
        self.store = MemoryStore()
        fill(self.store)
        self.journal = Journal(directory, "test")
        self.transport = LosingTransport(url, key)
        self.timer = Timer()
        self.drain = self.new_drain()

    def new_drain(self) -> Drain:
        """Return what another process of the host would send with."""
        return Drain(
            self.store,
            Journals(self.directory, "test"),
            self.transport,
            conditions=Conditions(),
            timer=self.timer,
        )

    def count(
        self, quantity: int = 1, organization: str = "acme", metric: str = "calls", hours: int = 0
    ) -> None:
        bucket = NOON - hours * HOUR
        self.journal.count(organization, metric, bucket, bucket + HOUR, quantity)

    def files(self, suffix: str = "journal") -> list[Path]:
        return sorted(self.directory.glob(f"*.{suffix}"))


@pytest.fixture
def host(tmp_path: Path, shop: Shop) -> Iterator[Host]:
    host = Host(tmp_path / "journals", shop.url, shop.key)
    yield host
    host.transport.close()


def test_what_was_counted_arrives(host: Host, shop: Shop) -> None:
    host.count(3)
    host.count(4, hours=1)
    host.count(5, "globex")

    assert host.drain.send()

    assert shop.used() == 7
    standing, _ = host.store.usage("acme", "calls", [])
    assert standing is not None
    assert standing.quantity == 7


def test_only_what_changed_is_sent_again(host: Host, shop: Shop) -> None:
    sent: list[int] = []
    send = host.transport.send_usage

    def watch(batch: UsageBatch, *, timeout: float = 5) -> UsageReceipt:
        sent.append(len(batch.slots))
        return send(batch, timeout=timeout)

    host.transport.send_usage = watch  # type: ignore[method-assign]
    for number in range(5):
        host.count(1, f"o{number}")
    host.drain.send()
    host.drain.send()
    host.count(1, "o3")
    host.drain.send()

    assert sent == [5, 1]


def test_sending_again_changes_nothing(host: Host, shop: Shop) -> None:
    host.count(3)
    host.drain.send()
    host.store = MemoryStore()
    fill(host.store)

    assert host.new_drain().send()

    assert shop.used() == 3


def test_a_lost_answer_counts_nothing_twice(host: Host, shop: Shop) -> None:
    host.count(3)
    host.transport.lose = 1
    with pytest.raises(ServerUnreachableError):
        host.drain.send()
    host.count(4)

    assert host.drain.send()

    assert shop.used() == 7


def test_a_slot_that_is_refused_waits_and_keeps_no_other(
    host: Host, shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "flux")
    host.count(3)
    host.count(5, metric="exports")

    first = host.drain.send()
    shop.put("metrics/exports")
    at_once = host.drain.send()
    host.timer.now += REFUSED_SECONDS
    later = host.drain.send()

    assert (first, at_once, later) == (False, False, True)
    assert (shop.used(), shop.used(metric="exports")) == (3, 5)
    assert len(caplog.messages) == 2
    assert "does not take usage of 'exports' (unknown_metric" in caplog.messages[0]
    assert caplog.messages[1] == "the server takes usage of 'exports' again"


def test_a_dead_journal_with_a_refused_slot_is_kept(host: Host, shop: Shop) -> None:
    host.count(5, metric="exports")
    host.journal.close()
    host.drain.send()
    kept = host.files()
    shop.put("metrics/exports")
    host.timer.now += REFUSED_SECONDS

    host.drain.send()

    assert (len(kept), host.files(), shop.used(metric="exports")) == (1, [], 5)


def test_a_journal_is_deleted_once_its_owner_is_dead_and_all_is_acknowledged(host: Host, shop: Shop) -> None:
    host.count(3)
    host.drain.send()
    (living,) = host.files()
    source = living.stem
    assert host.store.acknowledged(source) != {}

    host.journal.close()
    host.drain.send()

    assert host.files() == []
    assert host.store.acknowledged(source) == {}


def test_the_journal_of_a_killed_process_is_adopted(host: Host, shop: Shop) -> None:
    def work(say: Callable[[object], None]) -> None:
        host.journal.after_fork()
        for _ in range(1_000_000):
            host.count(1)
            say("counted")

    with forked(work) as child:
        for _ in range(100):
            child.line()
        child.kill()
        made = 100 + len(child.lines())

    assert host.drain.send()
    assert shop.used() - made in (0, 1)  # the last one may have been made and not said
    assert host.files() == []


def test_what_an_owner_counts_just_before_it_dies_is_sent(
    host: Host, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    journals = host.drain._journals
    ask = journals.is_abandoned

    def die_first(reader: JournalReader) -> bool:
        host.count(4, hours=1)
        host.journal.close()
        return ask(reader)

    host.count(3)
    monkeypatch.setattr(journals, "is_abandoned", die_first)

    assert host.drain.send()

    assert (shop.used(), host.files()) == (7, [])


def test_a_damaged_journal_is_sent_as_far_as_it_can_be_read(host: Host, shop: Shop) -> None:
    host.count(3)
    host.count(4, "globex")
    host.journal.close()
    (path,) = host.files()
    with path.open("r+b") as file:
        file.seek(FIRST_ENTRY + 40 + 26)
        file.write(b"X")

    assert not host.drain.send()

    assert shop.used() == 3
    assert (host.files(), len(host.files("broken"))) == ([], 1)
    assert host.drain.send()


def test_more_than_a_batch_arrives_in_batches(host: Host, shop: Shop) -> None:
    for hour in range(BATCH + 1):
        host.count(1, hours=hour)

    assert host.drain.send()

    assert len(host.store.acknowledged(host.files()[0].stem)) == BATCH + 1
    month_so_far = 8 * 24 + 12 + 1
    assert shop.used() == month_so_far


def test_another_history_is_told_everything_again(host: Host, shop: Shop) -> None:
    """A restored backup has the same instance: what it acknowledged before, it may not have any more."""
    host.count(3)
    host.drain.send()
    before = host.store.acknowledged(host.files()[0].stem)
    fill(host.store, revision=0)
    assert host.store.acknowledged(host.files()[0].stem) == {}

    host.drain.send()

    assert host.store.acknowledged(host.files()[0].stem) == before


def test_what_is_counted_while_it_is_sent_does_not_make_it_incomplete(host: Host, shop: Shop) -> None:
    send = host.transport.send_usage

    def count_meanwhile(batch: UsageBatch, *, timeout: float = 5) -> UsageReceipt:
        host.count(1)
        return send(batch, timeout=timeout)

    host.transport.send_usage = count_meanwhile  # type: ignore[method-assign]
    host.count(1)

    assert host.drain.send()


def test_no_time_left_sends_nothing_and_loses_nothing(host: Host, shop: Shop) -> None:
    host.count(3)

    with pytest.raises(ServerUnreachableError, match="stays in the journal"):
        host.drain.send(deadline=host.timer.now)

    assert shop.used() == 0
    assert host.drain.send(deadline=host.timer.now + 5)
    assert shop.used() == 3


def test_a_server_that_is_down_loses_nothing(host: Host, shop: Shop, tmp_path: Path) -> None:
    host.count(3)
    shop.stop()
    with pytest.raises(ServerUnreachableError):
        host.drain.send()
    host.count(4)
    shop.start()

    another = Host(tmp_path / "journals", shop.url, shop.key)

    assert another.drain.send()
    assert shop.used() == 7
    another.transport.close()


def test_two_senders_at_once_count_nothing_twice(host: Host, shop: Shop) -> None:
    senders = [host.new_drain() for _ in "ab"]
    done = threading.Event()
    failures: list[Exception] = []

    def send(drain: Drain) -> None:
        with closing(Transport(shop.url, shop.key)) as transport:
            drain._transport = transport
            while not done.is_set():
                try:
                    drain.send()
                except Exception as error:
                    failures.append(error)

    threads = [threading.Thread(target=send, args=(drain,)) for drain in senders]
    for thread in threads:
        thread.start()
    for number in range(200):
        host.count(1)
        if number % 20 == 0:
            host.journal.close()
    done.set()
    for thread in threads:
        thread.join()

    assert failures == []
    assert host.drain.send()
    assert shop.used() == 200


def test_only_one_at_a_time_has_its_turn(tmp_path: Path) -> None:
    def try_it(say: Callable[[object], None]) -> None:
        with drain_turn(tmp_path) as turn:
            say(turn)

    with drain_turn(tmp_path) as first, drain_turn(tmp_path) as second, forked(try_it) as child:
        assert child.line() == "False"
    with forked(try_it) as child:
        assert child.line() == "True"

    assert (first, second) == (True, False)


def test_a_killed_process_gives_up_its_turn(tmp_path: Path) -> None:
    def keep(say: Callable[[object], None]) -> None:
        with drain_turn(tmp_path) as turn:
            say(turn)
            threading.Event().wait()

    with forked(keep) as child:
        assert child.line() == "True"
        child.kill()

    with drain_turn(tmp_path) as turn:
        assert turn


def test_turns_that_cannot_be_taken_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StoreError, match="cannot take turns"), drain_turn(tmp_path / "file"):
        pass


def test_a_store_that_cannot_note_what_was_sent_sends_it_again(
    host: Host, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise StoreError("the disk is full")

    host.count(3)
    with monkeypatch.context() as failing:
        failing.setattr(host.store, "acknowledge", refuse)
        with pytest.raises(StoreError):
            host.drain.send()

    assert host.drain.send()
    assert shop.used() == 3


class Ledger(Transport):
    """The server's rule (the largest total of a source's slot counts) and a network that fails as it is told."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1", "flux_test_0123456789")
        self.totals: dict[tuple[str, str, int], int] = {}
        self.fails = iter("")

    def send_usage(self, batch: UsageBatch, *, timeout: float = 5) -> UsageReceipt:
        failure = next(self.fails, "")
        if failure == "unreachable":
            raise ServerUnreachableError("down")
        errors = tuple(
            SlotError(index, "refused", "") for index, _ in enumerate(batch.slots) if failure == "refused"
        )
        for slot in batch.slots if not errors else ():
            key = (batch.source, slot.organization, slot.bucket)
            self.totals[key] = max(slot.total, self.totals.get(key, 0))
        if failure == "lost":
            raise ServerUnreachableError("lost")
        return UsageReceipt(len(batch.slots) - len(errors), errors)

    def used(self) -> Counter[str]:
        used: Counter[str] = Counter()
        for (_, organization, _), total in self.totals.items():
            used[organization] += total
        return used


steps = st.one_of(
    st.tuples(st.just("count"), st.sampled_from(("acme", "globex")), st.integers(0, 9), st.integers(-1, 1)),
    st.tuples(st.just("send"), st.sampled_from(("", "unreachable", "lost", "refused"))),
    st.just(("die",)),
    st.just(("another sender",)),
    st.just(("other history",)),
)


@settings(max_examples=60)
@given(st.lists(steps, max_size=25))
def test_whatever_happens_usage_is_counted_once(story: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        host = Host(Path(directory), "http://127.0.0.1:1")
        ledger = host.transport = Ledger()  # type: ignore[assignment]
        host.drain = host.new_drain()
        counted: Counter[str] = Counter()

        for step, *details in story:
            if step == "count":
                organization, quantity, hours = details
                host.count(quantity, organization, hours=hours)
                counted[organization] += quantity
            elif step == "send":
                ledger.fails = iter(details)
                with suppress(TransportError):
                    host.drain.send()
                assert ledger.used() <= counted
            elif step == "die":
                host.journal.close()
            elif step == "another sender":
                host.drain = host.new_drain()
            else:
                fill(host.store, revision=0)
                fill(host.store, revision=1)
        ledger.fails = iter("")
        host.timer.now += REFUSED_SECONDS
        complete = host.drain.send()
        host.journal.close()
        host.drain.send()

        assert complete
        assert ledger.used() == +counted
        assert host.files() == []


def test_an_answer_that_is_late_is_given_up_in_time(tmp_path: Path) -> None:
    with run_raw_server(Connection.wait_for_the_end) as server:
        host = Host(tmp_path / "journals", server.url)
        host.count(3)
        with pytest.raises(ServerUnreachableError, match="does not answer"):
            host.drain.send(deadline=host.timer.now + 0.2)
        host.transport.close()


def test_nothing_counted_asks_nothing(tmp_path: Path) -> None:
    with run_raw_server(response(500)) as server:
        host = Host(tmp_path / "journals", server.url)
        assert host.drain.send()
        host.transport.close()

    assert server.requests == []
