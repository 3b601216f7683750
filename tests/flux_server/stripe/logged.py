"""Events as they are in the log, without a Stripe that sends them."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.stripe.tables import stripe_events
from tests.flux_server.running import NOON

__all__ = ["log_event"]


async def log_event(connection: AsyncConnection, name: str, at: int = NOON, **fields: Any) -> None:
    """Put an event of subscription sub_1 of customer cus_1 into the log of `test`, that came at the moment."""
    kind = fields.get("type", "customer.subscription.updated")
    subject = {"id": fields.get("object_id", "sub_1"), "object": "subscription", "customer": "cus_1"}
    body = {
        "id": name,
        "object": "event",
        "type": kind,
        "created": at - 5,
        "livemode": False,
        "data": {"object": subject},
    }
    plain = {
        "environment": "test",
        "id": name,
        "type": kind,
        "object_type": "subscription",
        "object_id": "sub_1",
        "customer": "cus_1",
        "created_at": at - 5,
        "received_at": at,
        "deliveries": 1,
        "body": json.dumps(body).encode(),
    }
    await connection.execute(insert(stripe_events).values(plain | fields))
