"""Locks that the processes of a host take in turns; one whose holder dies is free at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["host_lock"]


@contextmanager
def host_lock(path: Path, *, timeout: float = 0.0) -> Iterator[bool]:
    """Hold the lock for the length of the block; say whether it is held, for which to wait up to `timeout` seconds.

    Raises:
        OSError: there can be no lock at this path.
    """
    # With the first lock, which a client takes where it is made: importing it takes a fifth of the time that
    # importing Flux does, and not every process that imports Flux makes a client.
    import filelock

    lock = filelock.FileLock(path, timeout=timeout, blocking=timeout > 0, mode=0o600)
    try:
        lock.acquire()
    except filelock.Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
