"""The store in a file: several processes at once, killed ones, damaged files, full disks."""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lmdb
import pytest

from flux_middleware.beacon import GENERATION, INCARNATION
from flux_middleware.errors import StoreError
from flux_middleware.lmdb_store import LmdbStore
from flux_middleware.snapshot import OrganizationRecord, Override, encode
from tests.flux_middleware.hosts import change, fill, forked, header, receipt, record

Say = Callable[[object], None]
SOURCE = "a" * 32


def large(organization: str) -> OrganizationRecord:
    """Return a record that takes several pages."""
    overrides = tuple(Override(f"o{index}", "sso", "set", True) for index in range(200))
    return OrganizationRecord(organization, overrides=overrides)


def has_sso(store: LmdbStore, organization: str = "acme") -> bool:
    found = store.organization(organization)[1]
    return found is not None and bool(found.overrides)


def open_files(directory: Path) -> list[str]:
    """Return which of the directory's files this process has open; a child lets go of what other tests left open."""
    paths = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
    opened = [Path(os.readlink(path)) for path in paths if os.path.exists(path)]
    return sorted(path.name for path in opened if path.is_relative_to(directory))


def test_processes_see_each_others_commits(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path)
    fill(store, record("acme"))
    generation, _ = store.catalog()

    def commit(say: Say) -> None:
        LmdbStore(tmp_path).apply([change("acme", "sso", revision=2)], revision=2)

    with forked(commit) as child:
        assert child.wait() == 0

    assert store.beacon.words[GENERATION] == generation + 1
    assert store.changed_since(generation) == (generation + 1, frozenset({"acme"}))
    assert has_sso(store)


def test_two_stores_of_a_process_share_the_file(tmp_path: Path) -> None:
    first, second = LmdbStore(tmp_path), LmdbStore(tmp_path)

    fill(first, record("acme", "sso"))

    assert has_sso(second)


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    fill(LmdbStore(tmp_path), record("acme"))

    readable = {path.name for path in tmp_path.iterdir() if stat.S_IMODE(path.stat().st_mode) & 0o077}
    assert {"data.mdb", "lock.mdb", "beacon", "opening.lock"} <= {path.name for path in tmp_path.iterdir()}
    assert readable == set()


def test_a_directory_that_cannot_be_written_to_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)

    def open_it(say: Say) -> None:
        if os.geteuid() == 0:
            os.setuid(65_534)
        try:
            LmdbStore(tmp_path)
        except StoreError as error:
            say(error)

    with forked(open_it) as child:
        assert "set FLUX_DIRECTORY" in child.line()


def put_text(data: Path) -> None:
    data.write_text("Dear diary,\n" * 1_000)


def put_zeros(data: Path) -> None:
    with data.open("r+b") as file:
        file.seek(2 * 4096)  # behind the two pages that say where the others are
        file.write(bytes(data.stat().st_size - 2 * 4096))


def cut_within_a_page(data: Path) -> None:
    os.truncate(data, data.stat().st_size - 100)


def cut_pages_off(data: Path) -> None:
    os.truncate(data, 4 * 4096)


def put_a_newer_format(data: Path) -> None:
    put_meta(data, b"flux store 2")


def put_another_database(data: Path) -> None:
    data.unlink()
    put_meta(data, b"somebody's data")


def put_meta(data: Path, format_: bytes) -> None:
    with lmdb.Environment(os.fspath(data.parent), max_dbs=1) as environment:
        meta = environment.open_db(b"meta")
        with environment.begin(write=True) as transaction:
            transaction.put(b"format", format_, db=meta)


@pytest.mark.parametrize(
    "damage",
    [put_text, put_zeros, cut_within_a_page, cut_pages_off, put_a_newer_format, put_another_database],
)
def test_a_file_that_cannot_be_read_is_set_aside_and_made_anew(
    damage: Callable[[Path], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with forked(lambda say: fill(LmdbStore(tmp_path), *map(large, "abcdef"))) as child:
        assert child.wait() == 0
    damage(tmp_path / "data.mdb")

    store = LmdbStore(tmp_path)

    assert store.synced() is None
    assert store.organization("a")[1] is None
    assert (tmp_path / "data.mdb.broken").exists()
    assert [each.levelno for each in caplog.records] == [logging.ERROR]
    fill(store, record("acme", "sso"))
    assert has_sso(store)


def test_all_processes_go_over_from_a_damaged_file_to_the_new_one(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path)
    fill(store, record("acme", "sso"))

    def go_over(say: Say) -> None:
        store = LmdbStore(tmp_path)
        say(has_sso(store))
        os.read(go, 1)
        say(store.synced())
        os.read(go, 1)
        say(has_sso(store, "globex"))

    go, tell = os.pipe()
    with forked(go_over) as child:
        assert child.line() == "True"
        put_zeros(tmp_path / "data.mdb")
        with pytest.raises(StoreError, match="made anew"):
            store.organization("acme")
        os.write(tell, b".")
        assert child.line() == "None"
        fill(store, record("globex", "sso"))
        os.write(tell, b".")
        assert child.line() == "True"
    assert store.beacon.words[INCARNATION] == 1


def test_a_file_made_anew_takes_up_no_generation_that_was_seen(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path)
    fill(store, record("acme"))
    fill(store, record("acme"), revision=2)
    seen, _ = store.catalog()
    put_zeros(tmp_path / "data.mdb")
    with pytest.raises(StoreError):
        store.catalog()

    fill(store, record("acme", "sso"), revision=3)

    assert store.beacon.words[GENERATION] > seen
    assert store.changed_since(seen)[1] is None


def test_a_snapshot_is_not_spread_over_two_files(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path)
    fill(store, record("acme"))

    with store.replacement(header(2)) as replacement:
        replacement.add([("acme", encode(record("acme", "sso")))])
        put_zeros(tmp_path / "data.mdb")
        with pytest.raises(StoreError):
            store.catalog()
        with pytest.raises(StoreError, match="must begin again"):
            replacement.add([("globex", encode(record("globex")))])
        with pytest.raises(StoreError, match="must begin again"):
            replacement.commit()

    assert store.synced() is None


def test_a_whole_file_may_end_before_its_last_page(tmp_path: Path) -> None:
    """Pages that the commit which took them also freed are never written."""

    def shrink(say: Say) -> None:
        store = LmdbStore(tmp_path)
        fill(store, record("acme", "sso"))
        totals = dict.fromkeys(range(128, 12800), 1)
        store.acknowledge(SOURCE, totals, receipt("acme", 1, usage_revision=1))
        for _ in range(3):
            store.forget_source(SOURCE)
            store.acknowledge(SOURCE, totals, receipt("acme", 1, usage_revision=1))
        store.forget_source(SOURCE)
        handle = store._file._opened().handle
        say((handle.info()["last_pgno"] + 1) * handle.stat()["psize"])

    with forked(shrink) as child:
        reach = int(child.line())
    os.truncate(tmp_path / "data.mdb", min(reach - 4096, (tmp_path / "data.mdb").stat().st_size))

    store = LmdbStore(tmp_path)

    assert has_sso(store)
    assert not (tmp_path / "data.mdb.broken").exists()
    assert (tmp_path / "data.mdb").stat().st_size == reach


def test_a_crash_of_the_machine_that_takes_back_commits_hides_none_that_follow(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path)
    fill(store, record("acme"))
    generation, _ = store.catalog()
    lost = store.beacon.words[GENERATION] = (
        generation + 5
    )  # announced, and written to the disk before the commits

    store.apply([change("acme", "sso", revision=2)], revision=2)

    assert store.beacon.words[GENERATION] > lost
    assert store.changed_since(generation)[1] is None
    assert store.changed_since(lost) == (lost + 1, frozenset({"acme"}))


def test_a_writer_killed_within_a_snapshot_leaves_the_old_answers(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path)
    fill(store, record("acme", "sso"))

    def replace(say: Say) -> None:
        with LmdbStore(tmp_path).replacement(header(2)) as replacement:
            for number in range(1_000_000):
                replacement.add([(f"o{number}", encode(record(f"o{number}")))])
                say(number)

    with forked(replace) as child:
        for _ in range(20):
            assert child.line()
        child.kill()

    assert has_sso(store)
    assert store.organization("o1")[1] is None
    fill(store, record("globex", "sso"), revision=3)
    synced = store.synced()
    assert synced is not None
    assert (synced.organizations, has_sso(store, "globex")) == (1, True)


def test_writers_killed_at_any_moment_leave_whole_commits(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path)
    fill(store, record("acme"), record("globex"))

    def keep_changing(say: Say) -> None:
        store = LmdbStore(tmp_path)
        for revision in range(2, 1_000_000):
            features = ("sso",) if revision % 2 else ()
            both = [change(name, *features, revision=revision) for name in ("acme", "globex")]
            store.apply(both, revision=revision)
            say(revision)

    for _ in range(10):
        with forked(keep_changing) as child:
            child.line()
            child.kill()
            said = child.lines()
        acme, globex = (store.organization(name)[1] for name in ("acme", "globex"))
        synced = store.synced()
        assert acme is not None
        assert globex is not None
        assert synced is not None
        assert acme.revision == globex.revision == synced.revision
        assert synced.revision >= int(said[-1] if said else 2)


def test_a_full_disk_is_an_error_and_changes_no_answer(tmp_path: Path) -> None:
    def fill_up(say: Say) -> None:
        store = LmdbStore(tmp_path)
        fill(store, record("acme", "sso"))
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "data.mdb").stat().st_size, most))
        try:
            fill(store, *map(large, "abcdefgh"), revision=2)
        except StoreError as error:
            say(error)
        say(has_sso(store))
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        fill(store, record("globex", "sso"), revision=3)
        say(has_sso(store, "globex"))

    with forked(fill_up) as child:
        error, before, after = child.lines()

    assert "see that the disk has room" in error
    assert (before, after) == ("True", "True")


def test_tending_frees_the_readers_of_killed_processes(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path)

    def read_for_ever(say: Say) -> None:
        with LmdbStore(tmp_path)._file._opened().handle.begin():
            say("reading")
            threading.Event().wait()

    with forked(read_for_ever) as child:
        child.line()
        child.kill()
    assert str(child.pid) in store._file._opened().handle.readers()

    store.tend()

    assert str(child.pid) not in store._file._opened().handle.readers()


def test_a_fork_disturbs_neither_side(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path)
    fill(store, record("acme", "sso"))
    before = open_files(tmp_path)

    def read(say: Say) -> None:
        say(has_sso(store))
        say(open_files(tmp_path).count("data.mdb") == before.count("data.mdb") > 0)
        store.apply([change("globex", "sso", revision=2)], revision=2)

    for _ in range(3):
        assert has_sso(store)
        with forked(read) as child:
            assert child.lines() == ["True", "True"]

    assert has_sso(store, "globex")
    assert open_files(tmp_path) == before


def test_a_child_that_no_hook_told_of_its_fork_opens_the_store_for_itself(tmp_path: Path) -> None:
    """uWSGI forks without telling Python."""
    store = LmdbStore(tmp_path)
    fill(store, record("acme", "sso"))

    def read(say: Say) -> None:
        say((has_sso(store), store._file._opened().pid == os.getpid()))

    with forked(read, fork=ctypes.PyDLL(None).fork) as child:
        assert child.line() == "(True, True)"

    assert has_sso(store)


def test_children_of_a_process_whose_threads_never_stop_reading_and_writing_can_do_both(
    tmp_path: Path,
) -> None:
    store = LmdbStore(tmp_path)
    fill(store, record("acme", "sso"))
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            assert has_sso(store)

    def write() -> None:
        for revision in range(2, 1_000_000):
            store.apply([change("acme", "sso", revision=revision)], revision=revision)
            if done.is_set():
                return

    def read_and_write(say: Say) -> None:
        say(has_sso(store))
        store.apply([change("globex", "sso", revision=1_000_000)], revision=1_000_000)

    with ThreadPoolExecutor() as pool:
        threads = [pool.submit(read), pool.submit(read), pool.submit(write)]
        for _ in range(20):
            with forked(read_and_write) as child:
                assert child.line() == "True"
                assert child.wait() == 0
        done.set()

    assert [each.result() for each in threads] == [None, None, None]
    assert has_sso(store, "globex")
