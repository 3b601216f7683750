"""A sweep a day for each linked environment, and forgetting the reports of long ago."""

from __future__ import annotations

import zlib
from typing import Final

from sqlalchemy import select

from flux_server.stripe.connector import Connector
from flux_server.stripe.sweeps import last_sweep, prune_sweeps, start_sweep
from flux_server.stripe.tables import stripe_links

__all__ = ["start_nightly_sweeps"]

_DAY: Final = 86_400
_SPREAD: Final = 3_600  # environments that were linked together need not be swept together for ever
_KEPT: Final = 90 * _DAY


async def start_nightly_sweeps(connector: Connector) -> bool:
    """Start a sweep where the last one began a day ago."""
    now = connector.clock()
    active = select(stripe_links.c.environment).where(stripe_links.c.status == "active")
    async with connector.database.read() as connection:
        environments = (await connection.execute(active)).scalars().all()
        last = {name: await last_sweep(connection, name) for name in environments}
    due = [
        name
        for name, sweep in last.items()
        if sweep is None or sweep.started_at <= now - _DAY - zlib.crc32(name.encode()) % _SPREAD
    ]
    if due:
        async with connector.database.write() as connection:
            for name in due:
                await start_sweep(connection, name, "nightly", now)
            await prune_sweeps(connection, before=now - _KEPT)
    return False
