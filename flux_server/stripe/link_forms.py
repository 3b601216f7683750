"""What can be pasted to link with: checked before anything leaves this machine, and never repeated. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from flux_server.errors import InvalidRequestError

__all__ = ["LinkRefusedError", "LinkWanted", "require_forms", "require_webhook_secret"]

_API_KEY = re.compile(r"(?P<kind>rk|sk)_(?P<mode>test|live)_[A-Za-z0-9_]{4,}\Z")
_WEBHOOK_SECRET = re.compile(r"whsec_[A-Za-z0-9+/=_-]{4,}\Z")
_METADATA_KEY_LENGTH: Final = 40  # Stripe's own limit

_PASTED_BY_MISTAKE: Final = {
    "pk": "this is a publishable key, which can read nothing",
    "whsec": "this is a webhook secret, which goes into `webhook_secret`",
    "mk": "this is not an API key of an account",
}


class LinkRefusedError(InvalidRequestError):
    """The key or the secret cannot be used; the message says which to paste instead."""

    code = "stripe_link_refused"
    title = "Stripe link refused"


@dataclass(frozen=True, slots=True)
class LinkWanted:
    """What somebody wants to link with; what is None stays as it is."""

    api_key: str | None = field(repr=False)
    webhook_secret: str | None = field(repr=False)
    thin_secret: str | None = field(repr=False)
    metadata_key: str | None
    endpoint: bool | None
    stripe_entitlements: bool | None = None


def require_forms(environment: str, wanted: LinkWanted) -> None:
    """Refuse what cannot be right.

    Raises:
        LinkRefusedError: the message says what to give instead.
    """
    if wanted.api_key is not None:
        _require_api_key(environment, wanted.api_key)
    for secret in (wanted.webhook_secret, wanted.thin_secret):
        if secret is not None:
            require_webhook_secret(secret)
    if wanted.endpoint and wanted.webhook_secret is not None:
        raise LinkRefusedError("give `webhook_secret` of an endpoint of your own, or `endpoint`, not both")
    if wanted.metadata_key is not None and not 0 < len(wanted.metadata_key) <= _METADATA_KEY_LENGTH:
        raise LinkRefusedError(f"a metadata key has 1 to {_METADATA_KEY_LENGTH} characters")


def require_webhook_secret(secret: str) -> None:
    """Refuse what is no signing secret."""
    if not _WEBHOOK_SECRET.match(secret):
        raise LinkRefusedError("a webhook secret begins with whsec_; Stripe shows it with the endpoint")


def _require_api_key(environment: str, api_key: str) -> None:
    form = _API_KEY.match(api_key)
    if form is None:
        known = _PASTED_BY_MISTAKE.get(api_key.partition("_")[0], "this is not a Stripe API key")
        raise LinkRefusedError(f"{known}; paste a restricted key (rk_…), or a secret key (sk_…)")
    needed = "live" if environment == "live" else "test"
    if form["mode"] != needed:
        raise LinkRefusedError(
            f"environment {environment!r} needs a {needed} mode key ({form['kind']}_{needed}_…), this is a "
            f"{form['mode']} mode key"
        )
