"""All journals of a host: the living, the dead, the torn, the damaged and those of others."""

from __future__ import annotations

import logging
import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from flux_middleware.journal import END, FIRST_ENTRY, NEW, Journal
from flux_middleware.journals import Journals
from tests.flux_middleware.hosts import HOUR, NOON, forked


@pytest.fixture
def journals(tmp_path: Path) -> Iterator[Journals]:
    with closing(Journals(tmp_path, "test")) as journals:
        yield journals


def count(journal: Journal, *organizations: str) -> None:
    for organization in organizations:
        journal.count(organization, "calls", NOON, NOON + HOUR, 1)


def dead_journal(directory: Path, *organizations: str, environment: str = "test") -> Path:
    """Return the file of a process that counted one for each organization, and died."""

    def work(say: Callable[[object], None]) -> None:
        count(Journal(directory, environment), *organizations)

    before = set(directory.iterdir())
    with forked(work) as child:
        assert child.wait() == 0
    (path,) = set(directory.iterdir()) - before
    return path


def patch(path: Path, place: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        file.write(content)


def names(journals: Journals) -> list[str]:
    return sorted(entry.organization for reader in journals.readers() for entry in reader.entries)


def test_a_reader_follows_its_owner(journals: Journals, tmp_path: Path) -> None:
    journal = Journal(tmp_path, "test")
    count(journal, "acme")
    (reader,) = journals.readers()
    (entry,) = reader.entries

    count(journal, "acme", "globex")

    assert reader.total(entry) == 2
    assert journals.readers() == [reader]
    assert [entry.organization for entry in reader.by_pair["globex", "calls"]] == ["globex"]


def test_a_living_owner_is_known_from_a_dead_one(journals: Journals, tmp_path: Path) -> None:
    journal = Journal(tmp_path, "test")
    count(journal, "living")
    dead_journal(tmp_path, "dead")

    abandoned = {
        entry.organization: journals.is_abandoned(reader)
        for reader in journals.readers()
        for entry in reader.entries
    }

    assert abandoned == {"living": False, "dead": True}


def test_a_file_that_its_owner_left_is_abandoned(journals: Journals, tmp_path: Path) -> None:
    journal = Journal(tmp_path, "test")
    count(journal, "acme")
    (reader,) = journals.readers()
    assert not journals.is_abandoned(reader)

    journal.close()

    assert journals.is_abandoned(reader)


def test_a_child_that_lives_on_does_not_keep_its_parents_journal(journals: Journals, tmp_path: Path) -> None:
    def parent(say: Callable[[object], None]) -> None:
        journal = Journal(tmp_path, "test")
        count(journal, "acme")
        if os.fork() == 0:
            journal.after_fork()
            say(os.getpid())
            os.read(hold, 1)
            os._exit(0)

    hold, let_go = os.pipe()
    with forked(parent) as child:
        assert child.line()
        child.wait()
        (reader,) = journals.readers()
        abandoned = journals.is_abandoned(reader)
        os.write(let_go, b".")

    assert abandoned


def test_a_retired_journal_is_gone(journals: Journals, tmp_path: Path) -> None:
    path = dead_journal(tmp_path, "acme")
    (reader,) = journals.readers()

    reader.retire()

    assert reader.is_retired
    assert not path.exists()
    assert journals.readers() == []


def test_another_process_sees_that_a_journal_was_retired(journals: Journals, tmp_path: Path) -> None:
    dead_journal(tmp_path, "acme")
    (reader,) = journals.readers()

    with closing(Journals(tmp_path, "test")) as others:
        others.readers()[0].retire()

    assert reader.is_retired
    assert journals.readers() == []


def test_a_damaged_entry_hides_none_before_it(
    journals: Journals, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = dead_journal(tmp_path, "acme", "globex", "initech")
    patch(path, FIRST_ENTRY + 40 + 24 + 2, b"X")  # within the second entry

    (reader,) = journals.readers()
    journals.readers()

    assert [entry.organization for entry in reader.entries] == ["acme"]
    assert reader.is_damaged
    assert [each.levelno for each in caplog.records] == [logging.ERROR]


def test_a_file_set_aside_is_kept_and_not_read_again(journals: Journals, tmp_path: Path) -> None:
    path = dead_journal(tmp_path, "acme")
    content = path.read_bytes()
    (reader,) = journals.readers()

    reader.set_aside()

    assert journals.readers() == []
    kept = tmp_path / f"{path.name}.broken"
    assert kept.read_bytes()[FIRST_ENTRY:] == content[FIRST_ENTRY:]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"Dear diary,\n" * 100, id="somebody's"),
        pytest.param(b"FluxJrnl", id="cut-off"),
        pytest.param(b"FluxJrnl" + b"\xff" * 1016, id="garbage"),
    ],
)
def test_a_file_that_is_no_journal_is_set_aside(
    content: bytes, journals: Journals, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "odd.journal").write_bytes(content)
    dead_journal(tmp_path, "acme")

    assert names(journals) == ["acme"]

    assert (tmp_path / "odd.journal.broken").read_bytes() == content
    assert "set aside" in caplog.text


def test_an_end_beyond_the_file_is_not_followed(journals: Journals, tmp_path: Path) -> None:
    path = dead_journal(tmp_path, "acme")
    patch(path, END * 8, struct.pack("=q", 2**62))

    (reader,) = journals.readers()

    assert [entry.organization for entry in reader.entries] == ["acme"]
    assert reader.is_damaged


def test_a_journal_of_a_newer_version_is_left_to_that(
    journals: Journals, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = dead_journal(tmp_path, "acme")
    patch(path, 8, struct.pack("=q", 2))

    assert journals.readers() == journals.readers() == []

    assert path.exists()
    assert [each.levelno for each in caplog.records] == [logging.WARNING]


def test_a_journal_of_another_environment_is_not_sent(journals: Journals, tmp_path: Path) -> None:
    dead_journal(tmp_path, "acme", environment="live")

    assert journals.readers() == []


def test_a_torn_file_is_removed_once_it_is_old_and_nobodys(journals: Journals, tmp_path: Path) -> None:
    young, old = tmp_path / f"young.journal{NEW}", tmp_path / f"old.journal{NEW}"
    for path in (young, old):
        path.write_bytes(b"torn")
    long_ago = time.time() - 3600
    os.utime(old, (long_ago, long_ago))

    journals.remove_torn()

    assert list(tmp_path.iterdir()) == [young]


def test_a_directory_that_is_gone_holds_no_journals(tmp_path: Path) -> None:
    journals = Journals(tmp_path / "gone", "test")

    assert journals.readers() == []


def test_readers_keep_no_file_open(tmp_path: Path) -> None:
    dead_journal(tmp_path, "acme")
    before = os.listdir("/proc/self/fd")

    with closing(Journals(tmp_path, "test")) as journals:
        (reader,) = journals.readers()
        journals.is_abandoned(reader)
        during = os.listdir("/proc/self/fd")
    mapped = Path("/proc/self/maps").read_text()

    assert len(during) - len(before) <= 1  # Python's mmap keeps one
    assert os.listdir("/proc/self/fd") == before
    assert str(tmp_path) not in mapped
