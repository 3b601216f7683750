"""A few numbers that all processes of a host share: read in nanoseconds, without a system call.

They only ever hint that the store has something new; what it is, and what is true, the store says.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Final

from flux_middleware.errors import StoreError
from flux_middleware.files import allocate

__all__ = ["CONTACT", "GENERATION", "INCARNATION", "REFRESHER", "Beacon"]

GENERATION: Final = 0
"""How many commits the store has seen that change an answer."""

INCARNATION: Final = 1
"""How many times the store's file was made anew."""

CONTACT: Final = 2
"""When the server was last heard of, in milliseconds since the epoch."""

REFRESHER: Final = 3
"""Process id of the refresher; 0 if there is none."""

_BYTES = 4096


class Beacon:
    """The shared numbers, as `words`; of one process only if there is no file."""

    def __init__(self, path: Path | None = None) -> None:
        self.words = memoryview(bytearray(_BYTES) if path is None else _map(path)).cast("q")

    def announce(self, generation: int) -> None:
        """Tell every process of a commit; never goes back, whichever of two writers comes last."""
        if generation > self.words[GENERATION]:
            self.words[GENERATION] = generation


def _map(path: Path) -> mmap.mmap:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if os.fstat(descriptor).st_size < _BYTES:
                allocate(descriptor, _BYTES)
            return mmap.mmap(descriptor, _BYTES)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StoreError(
            f"cannot share {path} with this host's other processes ({error}); see that the disk has room, or set "
            "FLUX_DIRECTORY to a directory of this user's"
        ) from error
