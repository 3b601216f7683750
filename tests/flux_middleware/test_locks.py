"""Locks between processes: one at a time, free when their holder dies, and never a child's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flux_middleware.locks import host_lock
from tests.flux_middleware.hosts import forked, wait_until


def is_free(path: Path) -> bool:
    with host_lock(path) as held:
        return held


def hold(path: Path) -> Callable[[Callable[[object], None]], None]:
    def work(say: Callable[[object], None]) -> None:
        with host_lock(path) as held:
            say(held)
            wait_until(lambda: False, "its end", 60)

    return work


def test_one_process_holds_a_lock_at_a_time(tmp_path: Path) -> None:
    with forked(hold(tmp_path / "a.lock")) as child:
        assert child.line() == "True"
        assert (is_free(tmp_path / "a.lock"), is_free(tmp_path / "b.lock")) == (False, True)


def test_the_lock_of_a_process_that_was_killed_is_free(tmp_path: Path) -> None:
    with forked(hold(tmp_path / "a.lock")) as child:
        child.line()
        child.kill()

        assert is_free(tmp_path / "a.lock")


def test_who_waits_gets_the_lock_when_it_is_let_go(tmp_path: Path) -> None:
    with forked(hold(tmp_path / "a.lock")) as child:
        child.line()
        with host_lock(tmp_path / "a.lock", timeout=0.05) as early:
            pass
        child.kill()
        with host_lock(tmp_path / "a.lock", timeout=10) as late:
            assert (early, late) == (False, True)


def test_an_error_lets_go(tmp_path: Path) -> None:
    with pytest.raises(LookupError), host_lock(tmp_path / "a.lock"):
        raise LookupError

    assert is_free(tmp_path / "a.lock")


def test_a_lock_is_its_owners_only(tmp_path: Path) -> None:
    with host_lock(tmp_path / "a.lock"):
        assert (tmp_path / "a.lock").stat().st_mode & 0o777 == 0o600


def test_where_nothing_can_be_kept_there_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(OSError, match="File exists"), host_lock(tmp_path / "file" / "a.lock"):
        raise AssertionError
