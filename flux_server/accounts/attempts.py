"""How often somebody may try to sign in: counted in the database, so that replicas count together.

An attempt is counted before its password is looked at, so that many at the same moment are many, too.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
from typing import Final

from sqlalchemy import case, delete, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.accounts.tables import sign_in_attempts
from flux_server.database import insert
from flux_server.errors import RequestError

__all__ = ["TooManyAttemptsError", "count_attempt", "forgive_attempts"]

_WINDOW = 15 * 60
# Many people may sit behind one address; nobody mistypes one password ten times in a quarter of an hour.
_MOST: Final = {"email": 10, "address": 50}


class TooManyAttemptsError(RequestError):
    """Too many attempts to sign in were made lately."""

    status = 429
    code = "too_many_attempts"
    title = "Too many attempts"

    def __init__(self, wait: int) -> None:
        minutes = math.ceil(wait / 60)
        super().__init__(
            f"too many attempts to sign in; wait {minutes} minute{'' if minutes == 1 else 's'}, then try again. "
            "With a new one-time link (`flux users invite EMAIL` on the server) you need not wait",
            retry_after=wait,
        )
        self.wait = wait

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.wait)}


async def count_attempt(connection: AsyncConnection, *, email: str, address: str, now: float) -> int:
    """Count an attempt; return the seconds to wait before it may be made, or 0 if it may be made now.

    Whoever tried too often from one network address is not counted against anybody's email address any more.
    """
    await connection.execute(delete(sign_in_attempts).where(sign_in_attempts.c.until <= int(now)))
    for kind, subject in _subjects(email, address).items():
        if wait := await _count(connection, kind, subject, now):
            return wait
    return 0


async def forgive_attempts(connection: AsyncConnection, *, email: str, address: str) -> None:
    """Forget the attempts on an email address that succeeded in the end, and one of the network address."""
    attempts = sign_in_attempts.c.attempts
    left = {"address": attempts - 1, "email": 0}
    for kind, subject in _subjects(email, address).items():
        mine = sign_in_attempts.c.subject == subject
        await connection.execute(update(sign_in_attempts).where(mine).values(attempts=left[kind]))


async def _count(connection: AsyncConnection, kind: str, subject: str, now: float) -> int:
    columns = sign_in_attempts.c
    counted = await connection.execute(
        insert(connection, sign_in_attempts)
        .values(subject=subject, attempts=1, until=int(now) + _WINDOW)
        .on_conflict_do_update(
            index_elements=[columns.subject],
            # Bounded, so that whoever goes on for years does not overflow it.
            set_={
                "attempts": case(
                    (columns.attempts > _MOST[kind], columns.attempts), else_=columns.attempts + 1
                )
            },
        )
        .returning(columns.attempts, columns.until)
    )
    attempts, until = counted.one()
    return max(1, int(until - now)) if attempts > _MOST[kind] else 0


def _subjects(email: str, address: str) -> dict[str, str]:
    return {  # always in this order, so that no two transactions wait for each other
        "address": f"address:{_network(address)}",
        "email": f"email:{hashlib.sha256(email.encode()).hexdigest()}",
    }


def _network(address: str) -> str:
    """Return the address; of IPv6 the network, because a household has 2^64 addresses."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:  # a Unix socket has none
        return address[:60]
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
