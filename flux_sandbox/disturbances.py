"""`/_sandbox/…` for tests that disturb: keys that may do less or are revoked, and requests that go wrong."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from flux_sandbox.control_route import Asked, control_route
from flux_sandbox.faults import FaultPlan

__all__ = ["ROUTES"]


class _NewKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    permissions: tuple[str, ...]
    shows_secrets: bool = True


async def _make_key(asked: Asked) -> dict[str, Any]:
    wanted = asked.read(_NewKey)
    key = asked.sandbox.api.keys.make(wanted.permissions, shows_secrets=wanted.shows_secrets)
    return {"key": key.text, "permissions": sorted(key.permissions or ()), "shows_secrets": key.shows_secrets}


async def _revoke_key(asked: Asked) -> dict[str, Any]:
    asked.sandbox.api.keys.revoke(asked.path["key"])
    return {"revoked": True}


async def _plan_faults(asked: Asked) -> dict[str, Any]:
    plan = asked.read(FaultPlan)
    asked.sandbox.api.faults.plan(plan.rules, seed=plan.seed)
    return asked.sandbox.api.faults.described()


async def _faults(asked: Asked) -> dict[str, Any]:
    return asked.sandbox.api.faults.described()


async def _clear_faults(asked: Asked) -> dict[str, Any]:
    asked.sandbox.api.faults.clear()
    return asked.sandbox.api.faults.described()


ROUTES: Final = (
    control_route("POST", "/_sandbox/keys", _make_key),
    control_route("DELETE", "/_sandbox/keys/{key}", _revoke_key),
    control_route("POST", "/_sandbox/faults", _plan_faults),
    control_route("GET", "/_sandbox/faults", _faults),
    control_route("DELETE", "/_sandbox/faults", _clear_faults),
)
