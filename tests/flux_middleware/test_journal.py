"""What was counted stays counted: by every thread, through every rotation, and when the process is killed."""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flux_middleware.errors import InvalidQuantityError, JournalError
from flux_middleware.journal import SUFFIX, Journal
from flux_middleware.journals import Journals
from tests.flux_middleware.hosts import HOUR, NOON, forked

Say = Callable[[object], None]
Totals = Counter[tuple[str, str, int]]

organizations = st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=255
).filter(lambda name: len(name.encode()) <= 255)
counts = st.tuples(
    organizations,
    st.sampled_from(("calls", "tokens", "m" * 64)),
    st.integers(-1, 3).map(lambda hours: NOON + hours * HOUR),
    st.integers(0, 2**50),
)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path, "test")


def count(journal: Journal, organization: str = "acme", quantity: int = 1, bucket: int = NOON) -> None:
    journal.count(organization, "calls", bucket, bucket + HOUR, quantity)


def read(directory: Path) -> Totals:
    """Return what the journals of a host say."""
    totals: Totals = Counter()
    for reader in Journals(directory, "test").readers():
        assert not reader.is_damaged
        for entry in reader.entries:
            totals[entry.organization, entry.metric, entry.bucket] += reader.total(entry)
    return totals


def files(directory: Path) -> list[Path]:
    return sorted(directory.glob(f"*{SUFFIX}"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.lists(counts, max_size=30))
def test_what_was_counted_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, counted: list[tuple[str, str, int, int]]
) -> None:
    directory = tmp_path_factory.mktemp("journals")
    journal = Journal(directory, "test")
    expected: Totals = Counter()

    for organization, metric, bucket, quantity in counted:
        journal.count(organization, metric, bucket, bucket + HOUR, quantity)
        expected[organization, metric, bucket] += quantity

    assert read(directory) == expected
    journal.close()


def test_nothing_is_on_disk_before_the_first_count(journal: Journal, tmp_path: Path) -> None:
    assert list(tmp_path.iterdir()) == []

    count(journal)

    assert len(files(tmp_path)) == len(list(tmp_path.iterdir())) == 1


def test_a_counter_can_be_added_to_directly(journal: Journal, tmp_path: Path) -> None:
    slot = journal.count("acme", "calls", NOON, NOON + HOUR, 1)

    with journal.lock:
        slot.counters[slot.index] += 4

    assert (slot.until, read(tmp_path)["acme", "calls", NOON]) == (NOON + HOUR, 5)


def test_a_full_file_is_followed_by_a_larger_one(journal: Journal, tmp_path: Path) -> None:
    for number in range(4_000):
        count(journal, f"organization-{number:040}")

    sizes = sorted(path.stat().st_size for path in files(tmp_path))
    assert sizes == [1 << 18, 1 << 19]
    assert len(read(tmp_path)) == 4_000


def test_an_hour_later_another_file_begins(journal: Journal, tmp_path: Path) -> None:
    slot = journal.count("acme", "calls", NOON, NOON + HOUR, 1)

    count(journal, bucket=NOON + HOUR)

    assert len(files(tmp_path)) == 2
    assert read(tmp_path) == {("acme", "calls", NOON): 1, ("acme", "calls", NOON + HOUR): 1}
    with pytest.raises(ValueError, match="released"):
        slot.counters[slot.index] += 1


def test_the_hour_before_still_fits_the_file_of_this_one(journal: Journal, tmp_path: Path) -> None:
    count(journal, bucket=NOON + HOUR)

    count(journal, bucket=NOON)

    assert len(files(tmp_path)) == 1


def test_a_closed_journal_goes_on_in_another_file(journal: Journal, tmp_path: Path) -> None:
    count(journal)
    journal.close()

    count(journal)

    assert len(files(tmp_path)) == 2
    assert read(tmp_path)["acme", "calls", NOON] == 2


def test_a_counter_does_not_overflow(journal: Journal, tmp_path: Path) -> None:
    count(journal, quantity=2**63 - 1)

    with pytest.raises(InvalidQuantityError):
        count(journal)

    assert read(tmp_path)["acme", "calls", NOON] == 2**63 - 1


def test_threads_lose_no_count(journal: Journal, tmp_path: Path) -> None:
    def work() -> None:
        slot = journal.count("acme", "calls", NOON, NOON + HOUR, 1)
        for _ in range(19_999):
            with journal.lock:
                slot.counters[slot.index] += 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert read(tmp_path)["acme", "calls", NOON] == 160_000


def count_for_ever(directory: Path) -> Callable[[Say], None]:
    """Return the work of a child that counts from several threads, and says each count after it was made."""

    def work(say: Say) -> None:
        journal = Journal(directory, "test")

        def keep_counting(thread: int) -> None:
            for number in range(1_000_000):
                organization = f"{thread}-{number // 3}"
                count(journal, organization, bucket=NOON + number // 50 * HOUR)
                say(organization)

        for thread in range(3):
            threading.Thread(target=keep_counting, args=(thread,)).start()

    return work


def test_a_killed_process_loses_no_count_that_was_made(tmp_path: Path) -> None:
    chance = random.Random(7)
    made = 0
    for round_ in range(120):
        directory = tmp_path / str(round_)
        directory.mkdir()
        with forked(count_for_ever(directory)) as child:
            for _ in range(chance.randrange(1, 250)):
                child.line()
            child.kill()
            said = Counter(child.lines())
        found: Counter[str] = Counter()
        for (organization, _, _), total in read(directory).items():
            found[organization] += total
        assert said <= found
        assert found.total() - said.total() <= 3 + 250  # those not said yet, and those read before the kill
        made += found.total()
    assert made > 1_000


@pytest.mark.parametrize("event", range(60))
def test_a_signal_handler_may_count_at_any_moment(event: int, tmp_path: Path) -> None:
    """Handlers run after calls; a profiler does as well, so it can choose the call."""
    journal = Journal(tmp_path, "test")
    events = 0

    def interrupt(frame: FrameType, kind: str, argument: object) -> None:
        nonlocal events
        events += 1
        if events == event + 1:
            sys.setprofile(None)
            count(journal, "acme", 10)
            count(journal, "globex", 20, bucket=NOON + HOUR)

    sys.setprofile(interrupt)
    count(journal, "acme", 1)
    count(journal, "acme", 2)
    sys.setprofile(None)
    count(journal, "globex", 5)

    totals = read(tmp_path)
    assert totals["acme", "calls", NOON] == (13 if events > event else 3)
    assert totals["globex", "calls", NOON] == 5
    assert totals["globex", "calls", NOON + HOUR] == (20 if events > event else 0)


def test_a_signal_handler_may_close_at_any_moment(tmp_path: Path) -> None:
    for event in range(60):
        journal = Journal(tmp_path, "test")
        count(journal, "globex")
        remaining = event

        def interrupt(frame: FrameType, kind: str, argument: object, journal: Journal = journal) -> None:
            nonlocal remaining
            remaining -= 1
            if remaining < 0:
                sys.setprofile(None)
                journal.close()

        sys.setprofile(interrupt)
        count(journal)
        sys.setprofile(None)
        journal.close()

    assert read(tmp_path)["acme", "calls", NOON] == 60


def test_real_signals_lose_no_count(journal: Journal, tmp_path: Path) -> None:
    interrupted = 0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted += 1
        count(journal, f"handled-{interrupted % 5}")
        signal.setitimer(signal.ITIMER_REAL, 0.0003)

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.0003)
    try:
        for number in range(20_000):
            count(journal, f"main-{number % 500}", bucket=NOON + number // 2_000 * HOUR)
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    totals = read(tmp_path)
    assert interrupted > 10
    assert sum(total for (name, _, _), total in totals.items() if name.startswith("main")) == 20_000
    assert sum(total for (name, _, _), total in totals.items() if name.startswith("handled")) == interrupted


def test_a_forked_child_counts_in_a_file_of_its_own(journal: Journal, tmp_path: Path) -> None:
    slot = journal.count("acme", "calls", NOON, NOON + HOUR, 1)

    def work(say: Say) -> None:
        journal.after_fork()
        count(journal, quantity=10)
        try:
            slot.counters[slot.index] += 100
        except ValueError:
            say("the parent's is closed")

    with forked(work) as child:
        assert child.line() == "the parent's is closed"
    count(journal, quantity=2)

    totals = [
        reader.total(entry) for reader in Journals(tmp_path, "test").readers() for entry in reader.entries
    ]
    assert sorted(totals) == [3, 10]


def test_a_lock_held_at_a_fork_does_not_block_the_child(journal: Journal, tmp_path: Path) -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with journal.lock:
            held.set()
            done.wait(10)

    def work(say: Say) -> None:
        journal.after_fork()
        count(journal)
        say("counted")

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    with forked(work) as child:
        assert child.line() == "counted"
    done.set()
    thread.join()


def test_a_full_disk_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    def work(say: Say) -> None:
        journal = Journal(tmp_path, "test")
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, most))
        before = os.listdir("/proc/self/fd")
        try:
            count(journal)
        except JournalError as error:
            say(error)
        say((list(tmp_path.iterdir()), len(os.listdir("/proc/self/fd")) - len(before)))
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        count(journal)

    with forked(work) as child:
        assert "see that the disk has room" in child.line()
        assert child.line() == "([], 0)"
        assert child.wait() == 0
    assert read(tmp_path)["acme", "calls", NOON] == 1


def test_a_directory_that_is_gone_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="FLUX_DIRECTORY"):
        count(Journal(tmp_path / "gone", "test"))


def test_no_file_is_left_open(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    journal = Journal(tmp_path, "test")

    for hour in range(5):
        count(journal, bucket=NOON + hour * HOUR)
    journal.close()

    assert os.listdir("/proc/self/fd") == before
