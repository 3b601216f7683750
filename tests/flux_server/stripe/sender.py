"""A forwarder as a process of its own, to be killed: python -m tests.flux_server.stripe.sender DATABASE STRIPE NOW"""

from __future__ import annotations

import asyncio
import sys

from flux_server.database import Database
from flux_server.settings import Settings
from flux_server.stripe.connector import Connector
from flux_server.stripe.forwarder import forward


async def main(url: str, stripe: str, now: int) -> None:
    database = Database(url)
    settings = Settings.model_validate({"secret_key": "a test's", "stripe_api_base": stripe})
    connector = Connector(database, settings, lambda: now)
    await forward(connector, "test")
    await connector.close()
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
