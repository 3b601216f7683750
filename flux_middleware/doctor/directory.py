"""Can the client keep what it knows on this host?"""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from flux_middleware.configuration import STORE
from flux_middleware.doctor.finding import Finding, ok, problem, warning

__all__ = ["check_directory", "check_disk"]

_OWN: Final = "set FLUX_DIRECTORY to a directory of the application's user"
_REMOTE: Final = frozenset(
    {"9p", "afs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "lustre", "nfs", "nfs4", "smb3"}
)
_LITTLE: Final = 64 << 20
"""What a process may need at once for a journal."""


def check_directory(places: list[Path]) -> tuple[Finding, Path | None]:
    """Find out which place the client takes, and whether it is this user's; return it, whether it is there or not."""
    user = _user(os.geteuid())
    obstacles: list[str] = []
    for place in places:
        obstacle = _obstacle(place)
        if obstacle is None:
            return _look_at(place, user, obstacles), place
        obstacles.append(obstacle)
    return problem("directory", "; ".join(obstacles), f"{_OWN} (this one is {user})"), None


def check_disk(directory: Path) -> Finding:
    """See whether there is room where the directory is, or will be, and whether it is a local disk."""
    there = _nearest(directory)
    kind = _filesystem(there)
    if kind in _REMOTE:
        detail = f"{there} is on {kind}, where locks and shared memory do not work between processes"
        return problem("disk", detail, "set FLUX_DIRECTORY to a directory on a local disk")
    room = os.statvfs(there)
    free = shutil.disk_usage(there).free
    store = directory / STORE / "data.mdb"
    size = store.stat().st_blocks * 512 if store.exists() else 0
    detail = f"{_megabytes(free)} free; the store takes {_megabytes(size)}"
    if room.f_flag & os.ST_RDONLY:
        return problem("disk", f"{there} is on a read-only file system", _OWN)
    if free < _LITTLE or (room.f_files and not room.f_favail):
        return problem("disk", detail, "make room: without it usage cannot be counted, nor plans be kept")
    if free < size + _LITTLE:
        return warning("disk", detail, "make room: a new snapshot needs as much again as the store takes")
    return ok("disk", detail)


def _look_at(place: Path, user: str, obstacles: list[str]) -> Finding:
    if obstacles:
        return warning("directory", f"{place}, for {'; '.join(obstacles)}", _OWN)
    if not place.exists():
        return ok(
            "directory", f"{place} is not there yet; the application will make it, if it runs as {user}"
        )
    foreign = next(_foreign(place), None)
    if foreign is not None:
        owner = _user(foreign.lstat().st_uid)
        return problem(
            "directory", f"{foreign} belongs to {owner}, not to {user}", f"chown -R {user} {place}"
        )
    if place.stat().st_mode & 0o077:
        return warning("directory", f"others may look into {place}", f"chmod 700 {place}")
    return ok("directory", f"{place}, of {user}")


def _obstacle(place: Path) -> str | None:
    """Say why the client could not use the place."""
    there = _nearest(place)
    if place.is_symlink():
        return f"{place} is a link"
    if there == place and place.stat().st_uid != os.geteuid():
        return f"{place} belongs to {_user(place.stat().st_uid)}"
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return f"{there} cannot be written to"
    return None


def _nearest(place: Path) -> Path:
    """Return the place, or the nearest directory above it that is there."""
    while not place.exists() and place != place.parent:
        place = place.parent
    return place


def _foreign(place: Path) -> Iterator[Path]:
    for directory, _, files in os.walk(place):
        for path in (Path(directory), *(Path(directory, name) for name in files)):
            with suppress(FileNotFoundError):  # journals come and go
                if path.lstat().st_uid != os.geteuid():
                    yield path


def _filesystem(path: Path) -> str:
    """Return what kind of file system the path is on; nothing where Linux does not say so."""
    best, kind = "", ""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    resolved = path.resolve()
    for line in mounts.splitlines():
        _, mounted, type_, *_ = line.split()
        if resolved.is_relative_to(mounted) and len(mounted) >= len(best):
            best, kind = mounted, type_
    return kind


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _megabytes(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MB"
