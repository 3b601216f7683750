"""What do this host's processes know, who refreshes it, and what have they not sent yet?"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from flux_middleware.beacon import CONTACT, REFRESHER
from flux_middleware.configuration import JOURNALS, STORE
from flux_middleware.doctor.finding import Finding, ok, problem, warning
from flux_middleware.doctor.look import Look
from flux_middleware.snapshot import Hello

__all__ = ["Host", "check_refresher", "check_store", "check_usage"]

_OLD: Final = 30.0
"""Seconds without a heartbeat, of which there is one a second."""

_START: Final = "start the application, as the same user and with the same FLUX_* variables as here"
_NOTED: Final = "start the application, as said of the refresher"


class Host:
    """What is in the client's directory, and what its processes say of themselves."""

    def __init__(self, directory: Path, look: Look) -> None:
        self.directory = directory
        self.look = look
        try:
            words = memoryview((directory / STORE / "beacon").read_bytes()).cast("q")
            self.contact, self.refresher = words[CONTACT] / 1000, words[REFRESHER]
        except (OSError, TypeError, IndexError):  # not there, or not whole
            self.contact, self.refresher = 0.0, 0
        self.is_refreshed = _is_locked(directory / STORE / "refresher.lock")


def check_refresher(host: Host, now: float) -> Finding:
    """See whether a process of the application follows the server, and hears from it."""
    if not host.is_refreshed:
        detail = "no process of the application runs here, so nothing is fetched or sent"
        return warning("refresher", detail, _START)
    age = max(0.0, now - host.contact) if host.contact else None
    who = f"process {host.refresher}" if host.refresher else "a process"
    if age is None or age > _OLD:
        heard = "never heard of it" if age is None else f"last heard of it {age:,.0f} seconds ago"
        fix = "read the application's log for what the logger `flux` says, and see the lines about the server above"
        return problem("refresher", f"{who} follows the server, but {heard}", fix)
    return ok("refresher", f"{who} follows the server, and heard of it {age:.0f} seconds ago")


def check_store(host: Host, hello: Hello | None, now: float) -> Finding:
    """See what checks are answered from."""
    if host.look.wrong:
        fix = "restart the application: it sets the file aside and fetches everything again"
        return problem("store", host.look.wrong, fix)
    synced = host.look.synced
    if synced is None:
        level = problem if host.is_refreshed else warning
        fix = "see the lines about key and server above" if host.is_refreshed else _NOTED
        return level("store", "this host never heard from the server, so every check is denied", fix)
    age = f", {_age(now - host.contact)} old" if host.contact else ""
    detail = f"revision {synced.revision}, {synced.organizations:,} organizations{age}"
    aside = host.directory / STORE / "data.mdb.broken"
    if hello is not None and hello.instance != synced.instance:
        fix = _NOTED if not host.is_refreshed else "wait a moment and look again; the snapshot is on its way"
        return warning("store", f"{detail}, of another database than the server has now", fix)
    if hello is not None and hello.revision > synced.revision:
        missing = f"{detail}; the server is at revision {hello.revision}"
        fix = (
            _START
            if not host.is_refreshed
            else "look again; if it stays behind, see the lines about the stream"
        )
        return warning("store", missing, fix)
    if aside.exists():
        fix = f"delete {aside} once you know why (a full disk, a crash of the machine)"
        return warning("store", f"{detail}; a damaged one was set aside", fix)
    return ok("store", detail)


def check_usage(host: Host) -> Finding:
    """See whether what was counted gets to the server."""
    look = host.look
    broken = sorted((host.directory / JOURNALS).glob("*.broken"))
    detail = f"{look.journals} journals, {look.waiting:,} counters wait to be sent"
    if look.unreadable:
        fix = "see that the application's user may read and write it; nothing of it is sent meanwhile"
        return problem("usage", "; ".join(look.unreadable), fix)
    if broken:
        fix = "what is in it was not sent: have a look, correct the usage through the API, then delete it"
        return warning("usage", f"{detail}; {broken[0]} was set aside as damaged", fix)
    if look.waiting and not host.is_refreshed:
        return warning("usage", f"{detail}, and nobody sends them", _NOTED)
    return ok("usage", detail)


def _is_locked(path: Path) -> bool:
    """Say whether a process holds the lock; it is let go of at once where none does."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _age(seconds: float) -> str:
    if seconds < 120:
        return f"{max(0.0, seconds):.0f} seconds"
    return f"{seconds / 60:,.0f} minutes" if seconds < 7200 else f"{seconds / 3600:,.0f} hours"
