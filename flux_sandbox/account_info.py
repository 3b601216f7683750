"""The account itself."""

from __future__ import annotations

from typing import Final

from flux_sandbox.ledger import Document
from flux_sandbox.parameters import shape
from flux_sandbox.route import Call, Route

__all__ = ["ROUTES"]


def _retrieve(call: Call) -> Document:
    return {
        "id": call.action.account.profile.id,
        "object": "account",
        "business_profile": {"name": "flux-sandbox"},
        "charges_enabled": True,
        "country": "DE",
        "default_currency": "eur",
        "details_submitted": True,
        "email": "sandbox@example.com",
        "metadata": {},
        "payouts_enabled": True,
        "settings": {"dashboard": {"display_name": "flux-sandbox", "timezone": "Etc/UTC"}},
        "type": "standard",
    }


ROUTES: Final = (Route("GET", "/v1/account", _retrieve, shape()),)
