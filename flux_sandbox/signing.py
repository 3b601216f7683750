"""Signing secrets: each receiver of events has its own. A rolled one signs beside its successor until it ends."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from flux_sandbox.account import Account
from flux_sandbox.errors import MissingError
from flux_sandbox.ledger import Document, Ledger

__all__ = ["forget_secrets", "make_secret", "roll_secret", "signature", "signing_secrets"]

_KIND: Final = "signing_secret"


def make_secret(account: Account, receiver: str) -> str:
    """Make the secret of a new receiver."""
    secret = f"whsec_{account.token(16)}"
    account.ledger.put({"id": receiver, "object": _KIND, "secret": secret, "previous": []})
    return secret


def roll_secret(account: Account, receiver: str, expires_in: int) -> str:
    """Make a new secret; the one until now signs too, for so many seconds of the account's time."""
    known, now = _known(account.ledger, receiver), account.clock.now()
    secret = make_secret(account, receiver)
    ending = {"secret": known["secret"], "ends": now + expires_in}
    previous = [each for each in (*known["previous"], ending) if each["ends"] > now]
    account.ledger.put({"id": receiver, "object": _KIND, "secret": secret, "previous": previous})
    return secret


def signing_secrets(ledger: Ledger, receiver: str, now: int) -> list[str]:
    """Return the secrets that a receiver's webhooks are signed with now, the newest first."""
    known = _known(ledger, receiver)
    previous = [each["secret"] for each in known["previous"] if each["ends"] > now]
    return [known["secret"], *reversed(previous)]


def _known(ledger: Ledger, receiver: str) -> Document:
    found = ledger.find(_KIND, receiver)
    if found is None:
        raise MissingError("webhook_endpoint", receiver)
    return found


def forget_secrets(ledger: Ledger, receiver: str) -> None:
    """Forget the secrets of a receiver that is deleted."""
    ledger.bury(_KIND, receiver)


def signature(secrets: Sequence[str], body: bytes, timestamp: int) -> str:
    """Return the `Stripe-Signature` header of a webhook's body: one signature for each secret."""
    signed = b"%d.%b" % (timestamp, body)
    digests = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in secrets]
    return ",".join([f"t={timestamp}", *(f"v1={digest}" for digest in digests)])
