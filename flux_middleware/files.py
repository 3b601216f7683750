"""Room on disk for files that processes map."""

from __future__ import annotations

import os

__all__ = ["allocate"]


def allocate(descriptor: int, size: int) -> None:
    """Make the file at least `size` bytes long, and claim all of them: a hole kills who writes there on a full disk.

    Raises:
        OSError: there is no room.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    claimed = os.fstat(descriptor).st_size  # macOS
    while claimed < size:
        claimed += os.pwrite(descriptor, bytes(size - claimed), claimed)
