"""Receiving Stripe's webhooks: verify, store once, mark what changed. Nothing is asked of Stripe meanwhile.

One address takes both kinds of events, and their bodies say which they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import stripe as stripe_lib
import structlog

from flux_server.errors import NotFoundError, RequestError
from flux_server.stripe.arrivals import Arrival, Receiver
from flux_server.stripe.connector import Connector
from flux_server.stripe.events import StripeEvent, parse_event
from flux_server.stripe.secrets import SealedError
from flux_server.stripe.webhook_secrets import COLUMN

__all__ = ["MAX_WEBHOOK", "TooManyWebhooksRefusedError", "WebhookRefusedError", "receive", "verify"]

MAX_WEBHOOK: Final = 1024 * 1024
"""Bytes that a webhook's body may have."""

_TOLERANCE: Final = 300  # seconds, in both directions; Stripe signs every attempt anew
_log = structlog.get_logger("flux.stripe")


class WebhookRefusedError(RequestError):
    """The request is not one that Stripe sent to this link. It does not say why; the log does."""

    code = "webhook_refused"
    title = "Webhook refused"

    def __init__(self) -> None:
        super().__init__("this is not a webhook of the linked Stripe account")


class TooManyWebhooksRefusedError(RequestError):
    """So many requests to this address were refused lately that no more of them are looked into or logged."""

    status = 429
    code = "webhooks_refused"
    title = "Too many webhooks refused"

    def __init__(self, seconds: int) -> None:
        super().__init__("too many requests to this address were not webhooks of the linked Stripe account")
        self._seconds = seconds

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self._seconds)}


async def receive(connector: Connector, token: str, body: bytes, signature: str) -> None:
    """Take in one webhook; when this returns, its event will not be lost.

    Raises:
        NotFoundError: there is no link with this address.
        WebhookRefusedError: the request is forged, replayed, misdirected or malformed.
        TooManyWebhooksRefusedError: it is, and so were many before.
    """
    now = connector.clock()
    receiver = await connector.receivers.join(token)
    if receiver is None:
        raise NotFoundError("there is no webhook at this address; GET /v1/stripe/link says the right one")
    try:
        event = _verified(connector, receiver, body, signature)
    except ValueError as error:
        raise _refusal(connector, receiver, error, now) from error
    is_new = await connector.arrivals.join(Arrival(receiver.environment, event, body, int(now)))
    connector.count_webhook(receiver.environment, "received" if is_new else "duplicate")


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


def _verified(connector: Connector, receiver: Receiver, body: bytes, signature: str) -> StripeEvent:
    secrets = _opened(connector, receiver)
    if not secrets:
        raise ValueError("the link has no webhook secret yet")
    verify(body, signature, secrets, connector.wall())
    event = parse_event(body)
    _require_same_account(receiver, event)
    return event


def _opened(connector: Connector, receiver: Receiver) -> list[str]:
    """Return the secrets; those sealed with a key that was lost are passed over, as long as there is another."""
    opened, lost = [], None
    for sealed in receiver.secrets:
        try:
            opened.append(connector.box.open(sealed, environment=receiver.environment, column=COLUMN))
        except SealedError as error:
            lost = error
    if lost is not None and not opened:
        raise lost
    return opened


def _is_signed(body: bytes, signature: str, secret: str) -> bool:
    try:
        # Recency is checked by the caller's clock, and in both directions, which the library does not do.
        stripe_lib.WebhookSignature.verify_header(body, signature, secret, tolerance=None)
    except stripe_lib.SignatureVerificationError:
        return False
    return True


def _require_same_account(receiver: Receiver, event: StripeEvent) -> None:
    if event.livemode != receiver.livemode:
        raise ValueError(f"its event is of {'live' if event.livemode else 'test'} mode, the link is not")
    if event.account and receiver.account and event.account != receiver.account:
        raise ValueError(f"its event is of account {event.account}, the link of {receiver.account}")


def _refusal(connector: Connector, receiver: Receiver, error: ValueError, now: float) -> RequestError:
    """Return what to answer. True webhooks are let in however many others are refused."""
    connector.refused.note(receiver.environment, str(error), now)
    connector.count_webhook(receiver.environment, "refused")
    seconds = connector.refusals.count(receiver.environment, now)
    if seconds:
        return TooManyWebhooksRefusedError(seconds)
    _log.warning("webhook refused", environment=receiver.environment, reason=str(error))
    return WebhookRefusedError()
