"""What is in the client's directory, read without changing anything: nothing is made, mended or set aside.

In a process of its own, for LMDB can end the process that reads a damaged page.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec

from flux_middleware.configuration import JOURNALS, STORE
from flux_middleware.errors import InvalidRecordError, StoreError
from flux_middleware.journal import SUFFIX
from flux_middleware.journals import JournalReader, NewerJournalError
from flux_middleware.lmdb_store import look_into
from flux_middleware.store import Synced
from flux_middleware.wire import decode

__all__ = ["Look", "in_its_own_process", "look", "print_look"]

_SECONDS: Final = 60


class Look(msgspec.Struct, frozen=True):
    """What was found. `waiting` are counters that the server has not acknowledged as they stand."""

    synced: Synced | None = None
    wrong: str = ""
    journals: int = 0
    waiting: int = 0
    unreadable: tuple[str, ...] = ()


def look(directory: Path, environment: str) -> Look:
    """Read the store and the journals."""
    synced, wrong = None, ""
    acknowledged: dict[str, dict[int, int]] = {}
    readers, unreadable = _journals(directory / JOURNALS, environment)
    if (directory / STORE / "data.mdb").exists():
        try:
            synced, acknowledged = look_into(directory / STORE, [reader.source for reader in readers])
        except (StoreError, InvalidRecordError) as error:
            wrong = str(error)
    waiting = sum(
        reader.total(entry) != acknowledged.get(reader.source, {}).get(entry.place, 0)
        for reader in readers
        for entry in reader.entries
    )
    return Look(synced, wrong, len(readers), waiting, tuple(unreadable))


def print_look(directory: str, environment: str) -> None:
    """Print what `look` returns, as JSON."""
    sys.stdout.buffer.write(msgspec.json.encode(look(Path(directory), environment)))


def in_its_own_process(directory: Path, environment: str) -> Look:
    """Read them in another process; if it dies of it, that is what is wrong."""
    program = f"import sys; from {__name__} import print_look; print_look(*sys.argv[1:])"
    command = [sys.executable, "-c", program, str(directory), environment]
    try:
        ran = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)  # noqa: S603
        return decode(ran.stdout, Look)
    except (subprocess.TimeoutExpired, InvalidRecordError):
        return Look(wrong=f"the local store in {directory / STORE} cannot be read; it is damaged")


def _journals(directory: Path, environment: str) -> tuple[list[JournalReader], list[str]]:
    readers, unreadable = [], []
    for path in sorted(directory.glob(f"*{SUFFIX}")):
        try:
            reader = JournalReader(path, environment)
        except FileNotFoundError:  # sent and deleted meanwhile
            continue
        except NewerJournalError:
            unreadable.append(f"{path} is of a newer flux-middleware")
        except (OSError, ValueError) as error:
            unreadable.append(f"{path}: {error}")
        else:
            reader.catch_up()
            readers.append(reader)
    return readers, unreadable
