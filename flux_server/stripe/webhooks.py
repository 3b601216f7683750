"""Receiving Stripe's webhooks: verify, store once, mark what changed. Nothing is asked of Stripe meanwhile."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import stripe as stripe_lib
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.database import insert
from flux_server.errors import NotFoundError, RequestError
from flux_server.stripe.connector import Connector
from flux_server.stripe.dirty import mark
from flux_server.stripe.event_log import customer_of
from flux_server.stripe.events import StripeEvent, changed_objects, parse_event
from flux_server.stripe.link import Link, find_link
from flux_server.stripe.tables import stripe_events

__all__ = ["MAX_WEBHOOK", "WebhookRefusedError", "receive", "verify"]

MAX_WEBHOOK: Final = 1024 * 1024
"""Bytes that a webhook's body may have."""

_TOLERANCE = 300  # seconds, in both directions; Stripe signs every attempt anew
_log = structlog.get_logger("flux.stripe")


class WebhookRefusedError(RequestError):
    """The request is not one that Stripe sent to this link. It does not say why; the log does."""

    code = "webhook_refused"
    title = "Webhook refused"

    def __init__(self) -> None:
        super().__init__("this is not a webhook of the linked Stripe account")


async def receive(connector: Connector, token: str, body: bytes, signature: str) -> None:
    """Take in one webhook; when this returns, its event will not be lost.

    Raises:
        NotFoundError: there is no link with this address.
        WebhookRefusedError: the request is forged, replayed, misdirected or malformed.
    """
    now = connector.clock()
    async with connector.database.read() as connection:
        found = await find_link(connection, token)
    if found is None:
        raise NotFoundError("there is no webhook at this address; GET /v1/stripe/link says the right one")
    link, sealed = found
    try:
        if sealed is None:
            raise ValueError("the link has no webhook secret yet")
        secret = connector.box.open(sealed, environment=link.environment, column="webhook_secret")
        verify(body, signature, [secret], connector.wall())
        event = parse_event(body)
        _require_same_account(link, event)
    except ValueError as error:
        _log.warning("webhook refused", environment=link.environment, reason=str(error))
        raise WebhookRefusedError from error
    async with connector.database.write() as connection:
        await _store(connection, link.environment, event, body, now)
        await mark(connection, link.environment, changed_objects(event), now)


def verify(body: bytes, signature: str, secrets: Iterable[str], now: float) -> None:
    """Check that the body was signed with one of the secrets, at about `now`.

    Raises:
        ValueError: it was not.
    """
    if not any(_is_signed(body, signature, secret) for secret in secrets):
        raise ValueError("no signature in it was made with the link's webhook secret")
    signed_at = int(next(part[2:] for part in signature.split(",") if part.startswith("t=")))
    if abs(now - signed_at) > _TOLERANCE:
        raise ValueError(f"it was signed {now - signed_at:.0f} seconds ago; is this server's clock right?")


def _is_signed(body: bytes, signature: str, secret: str) -> bool:
    try:
        # Recency is checked by the caller's clock, and in both directions, which the library does not do.
        stripe_lib.WebhookSignature.verify_header(body, signature, secret, tolerance=None)
    except stripe_lib.SignatureVerificationError:
        return False
    return True


def _require_same_account(link: Link, event: StripeEvent) -> None:
    if event.livemode != link.livemode:
        raise ValueError(f"its event is of {'live' if event.livemode else 'test'} mode, the link is not")
    if event.account and link.account and event.account != link.account:
        raise ValueError("its event is of another account than the link's")


async def _store(
    connection: AsyncConnection, environment: str, event: StripeEvent, body: bytes, now: float
) -> None:
    subject = event.object
    new = {
        "type": event.type,
        "object_type": _short(subject.get("object"), 64),
        "object_id": _short(subject.get("id"), 255),
        "customer": customer_of(subject),
        "created_at": event.created_at,
        "received_at": int(now),
        "deliveries": 1,
        "body": body,
    }
    await connection.execute(
        insert(connection, stripe_events)
        .values(environment=environment, id=event.id, **new)
        .on_conflict_do_update(
            index_elements=stripe_events.primary_key,
            set_={"deliveries": stripe_events.c.deliveries + 1},
        )
    )


def _short(value: object, length: int) -> str | None:
    return value[:length] if isinstance(value, str) else None
