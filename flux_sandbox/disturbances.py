"""`/_sandbox/…` for tests that disturb: keys that may do less, requests and webhooks that go wrong, rolled secrets."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from flux_sandbox.account import Action
from flux_sandbox.control_route import Asked, control_route
from flux_sandbox.disorder import DeliveryPlan
from flux_sandbox.faults import FaultPlan
from flux_sandbox.signing import roll_secret

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


async def _deliveries(asked: Asked) -> dict[str, Any]:
    await asked.sandbox.deliveries.wait(float(asked.query.get("wait", 0)))
    return asked.sandbox.deliveries.described()


async def _plan_deliveries(asked: Asked) -> dict[str, Any]:
    disorder = asked.sandbox.deliveries.disorder
    disorder.plan(asked.read(DeliveryPlan))
    return disorder.described()


async def _delivery_plans(asked: Asked) -> dict[str, Any]:
    return asked.sandbox.deliveries.disorder.described()


async def _clear_deliveries(asked: Asked) -> dict[str, Any]:
    asked.sandbox.deliveries.disorder.clear()
    return asked.sandbox.deliveries.disorder.described()


async def _flush(asked: Asked) -> dict[str, Any]:
    return {"sent": asked.sandbox.deliveries.flush()}


class _Again(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    endpoint: str | None = None
    times: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 1


async def _deliver_again(asked: Asked) -> dict[str, Any]:
    wanted, deliveries = asked.read(_Again), asked.sandbox.deliveries
    sent = deliveries.send_again(asked.path["id"], receiver=wanted.endpoint, times=wanted.times)
    return {"sent": sent}


async def _webhook(asked: Asked) -> dict[str, Any]:
    body, headers = asked.sandbox.deliveries.webhook(asked.path["id"], asked.query.get("endpoint", ""))
    return {"body": body.decode(), "headers": headers}


class _NewEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    type: str
    object: dict[str, Any] | None = None
    data: dict[str, Any] | None = None


async def _make_event(asked: Asked) -> dict[str, Any]:
    wanted, account = asked.read(_NewEvent), asked.sandbox.account
    about = None if wanted.object is None else {"object": "unknown", **wanted.object}
    if wanted.type.startswith(("v1.", "v2.")):
        return asked.sandbox.publish_thin(wanted.type, about, wanted.data)
    if about is None or wanted.data is not None:
        raise ValueError("a snapshot event has an object, and no other data")
    return Action(account, account.clock.now()).record(wanted.type, about)


class _Silence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    silent: bool


async def _silence(asked: Asked) -> dict[str, Any]:
    asked.sandbox.account.silent = asked.read(_Silence).silent
    return {"silent": asked.sandbox.account.silent}


class _Validation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    later: bool


async def _check_meter_events(asked: Asked) -> dict[str, Any]:
    asked.sandbox.account.meter_errors.later = asked.read(_Validation).later
    return {"later": asked.sandbox.account.meter_errors.later}


class _Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    samples: Annotated[int, msgspec.Meta(ge=0, le=100)] = 3


async def _report_meter_errors(asked: Asked) -> dict[str, Any]:
    return {"data": asked.sandbox.report_meter_errors(samples=asked.read(_Report).samples)}


class _Roll(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    expires_in: Annotated[int, msgspec.Meta(ge=0)] = 86_400


async def _roll(asked: Asked) -> dict[str, Any]:
    id_, wanted = asked.path["id"], asked.read(_Roll)
    return {"id": id_, "secret": roll_secret(asked.sandbox.account, id_, wanted.expires_in)}


ROUTES: Final = (
    control_route("POST", "/_sandbox/keys", _make_key),
    control_route("DELETE", "/_sandbox/keys/{key}", _revoke_key),
    control_route("POST", "/_sandbox/faults", _plan_faults),
    control_route("GET", "/_sandbox/faults", _faults),
    control_route("DELETE", "/_sandbox/faults", _clear_faults),
    control_route("GET", "/_sandbox/deliveries", _deliveries),
    control_route("POST", "/_sandbox/deliveries/plan", _plan_deliveries),
    control_route("GET", "/_sandbox/deliveries/plan", _delivery_plans),
    control_route("DELETE", "/_sandbox/deliveries/plan", _clear_deliveries),
    control_route("POST", "/_sandbox/deliveries/flush", _flush),
    control_route("POST", "/_sandbox/events", _make_event),
    control_route("POST", "/_sandbox/events/silence", _silence),
    control_route("POST", "/_sandbox/events/{id}/deliver", _deliver_again),
    control_route("GET", "/_sandbox/events/{id}/webhook", _webhook),
    control_route("POST", "/_sandbox/meter_events/checks", _check_meter_events),
    control_route("POST", "/_sandbox/meter_events/report", _report_meter_errors),
    control_route("POST", "/_sandbox/webhook_endpoints/{id}/roll", _roll),
)
