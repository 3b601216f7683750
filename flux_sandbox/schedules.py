"""Schedules: what a subscription becomes, phase after phase, each at its moment."""

from __future__ import annotations

from typing import Any, Final

from flux_sandbox.account import Action
from flux_sandbox.cancellation import cancel, in_future
from flux_sandbox.errors import InvalidParametersError, Problem, RefusedError, StripeError
from flux_sandbox.ledger import Document
from flux_sandbox.lists import in_range, page
from flux_sandbox.metadata import merge_metadata
from flux_sandbox.parameters import Params
from flux_sandbox.phases import current, enter, new_phases, phase_of, phase_params
from flux_sandbox.route import Call
from flux_sandbox.subscribing import subscribe
from flux_sandbox.subscription_changes import save

__all__ = [
    "cancel_schedule",
    "create_schedule",
    "list_schedules",
    "pass_schedule",
    "release_schedule",
    "update_schedule",
]

_ALIVE: Final = ("active", "not_started")


def create_schedule(call: Call) -> Document:
    """Create a schedule: of a subscription that there is, or of one to come."""
    if "from_subscription" in call.params:
        return _adopt(call)
    if "phases" not in call.params or "customer" not in call.params:
        missing = "phases" if "customer" in call.params else "customer"
        problem = Problem(missing, "parameter_missing", f"Missing required param: {missing}.")
        raise InvalidParametersError([problem])
    customer = call.ledger.require("customer", call.params["customer"], param="customer")
    wanted = call.params.get("start_date", "now")
    start = call.now if wanted == "now" else in_future(wanted, call.now, "start_date")
    document = _new(call, customer["id"], new_phases(call.action, call.params["phases"], start))
    schedule = call.action.create(document, "subscription_schedule.created")
    return _start(call.action, schedule) if start == call.now else schedule


def _adopt(call: Call) -> Document:
    """Begin with what a subscription is now."""
    if others := sorted(call.params.keys() - {"expand", "from_subscription"}):
        message = f"You cannot set {', '.join(others)} if from_subscription is set: update the schedule then."
        raise RefusedError(message, param=others[0])
    id_ = call.params["from_subscription"]
    subscription = call.ledger.require("subscription", id_, param="from_subscription")
    if subscription["ended_at"] is not None or subscription["schedule"] is not None:
        message = "The subscription has ended, or is attached to a schedule already."
        raise RefusedError(message, param="from_subscription")
    document = _new(call, subscription["customer"], [phase_of(subscription)])
    mode = {"billing_mode": subscription["billing_mode"]}
    schedule = call.action.create(
        {**document, **mode, **_active(document["phases"], call.now), "subscription": id_},
        "subscription_schedule.created",
    )
    save(call.action, subscription, {"schedule": schedule["id"]})
    return schedule


def _new(call: Call, customer: str, phases: list[Document]) -> Document:
    empty: dict[str, Any] = {"pause_schedules": []}
    return {
        **dict.fromkeys(
            (
                "application",
                "canceled_at",
                "completed_at",
                "current_phase",
                "customer_account",
                "released_at",
                "released_subscription",
                "subscription",
                "test_clock",
            )
        ),
        **empty,
        "id": call.action.account.new_id("sub_sched"),
        "object": "subscription_schedule",
        "billing_mode": call.params.get("billing_mode", {"type": "flexible"}),
        "created": call.now,
        "customer": customer,
        "default_settings": {
            "billing_cycle_anchor": "automatic",
            "collection_method": "charge_automatically",
        },
        "end_behavior": call.params.get("end_behavior", "release"),
        "livemode": False,
        "metadata": merge_metadata({}, call.params),
        "phases": phases,
        "status": "not_started",
    }


def update_schedule(call: Call) -> Document:
    """Change what is to come, and at once what the current phase says."""
    schedule = _alive(call)
    changes: Document = {"metadata": merge_metadata(schedule["metadata"], call.params)}
    if "end_behavior" in call.params:
        changes["end_behavior"] = call.params["end_behavior"]
    if "phases" not in call.params:
        return call.action.update(schedule, changes, "subscription_schedule.updated")
    start = _start_of(call.params["phases"], schedule, call.now)
    phases = new_phases(call.action, call.params["phases"], start)
    changes["phases"] = phases
    if schedule["status"] == "active":
        changes["current_phase"] = current(phases, call.now)
    updated = call.action.update(schedule, changes, "subscription_schedule.updated")
    if updated["status"] == "active":
        _enter_current(call.action, updated)
    return call.ledger.require("subscription_schedule", updated["id"])


def _start_of(wanted: list[Params], schedule: Document, now: int) -> int:
    """Return where the phases begin: what has begun cannot begin at another time."""
    begun: int = (schedule["current_phase"] or schedule["phases"][0])["start_date"]
    given = wanted[0].get("start_date", begun) if wanted else begun
    if schedule["status"] == "active" and given != begun:
        message = "You can not modify the start date of the current phase."
        raise RefusedError(message, param="phases[0][start_date]")
    return int(given) if schedule["status"] == "active" else in_future(given, now, "phases[0][start_date]")


def release_schedule(call: Call) -> Document:
    """Let the subscription go on without the schedule."""
    return _release(call.action, _alive(call))


def cancel_schedule(call: Call) -> Document:
    """End the schedule, and its subscription with it."""
    schedule = _alive(call)
    canceled = call.action.turn(
        schedule,
        {"canceled_at": call.now, "current_phase": None, "status": "canceled"},
        "subscription_schedule.canceled",
    )
    if schedule["subscription"] is not None:
        cancel(call.action, call.ledger.require("subscription", schedule["subscription"]))
    return canceled


def list_schedules(call: Call) -> Document:
    """Return a page of schedules."""
    found = call.ledger.every("subscription_schedule")
    return page("/v1/subscription_schedules", found, call.params, _matches)


def pass_schedule(action: Action, schedule: Document) -> None:
    """Do what is due for a schedule now; a phase that cannot be entered ends the schedule."""
    try:
        if schedule["status"] == "not_started":
            _start(action, schedule)
        elif schedule["current_phase"]["end_date"] == action.now:
            _next_phase(action, schedule)
        else:
            action.turn(schedule, {}, "subscription_schedule.expiring")
    except StripeError:
        changes = {"canceled_at": action.now, "current_phase": None, "status": "canceled"}
        action.turn(schedule, changes, "subscription_schedule.aborted")


def _start(action: Action, schedule: Document) -> Document:
    """Begin the subscription of a schedule."""
    params = {
        **phase_params(schedule["phases"][0]),
        "billing_mode": schedule["billing_mode"],
        "customer": schedule["customer"],
        "payment_behavior": "allow_incomplete",
    }
    subscription = subscribe(action, params, schedule=schedule["id"])
    changes = {**_active(schedule["phases"], action.now), "subscription": subscription["id"]}
    return action.update(schedule, changes, "subscription_schedule.updated")


def _next_phase(action: Action, schedule: Document) -> None:
    now_current = current(schedule["phases"], action.now)
    if now_current is not None:
        _enter_current(action, schedule)
        action.update(schedule, {"current_phase": now_current}, "subscription_schedule.updated")
    elif schedule["end_behavior"] == "release":
        _release(action, schedule)
    else:
        changes = {"completed_at": action.now, "current_phase": None, "status": "completed"}
        action.turn(schedule, changes, "subscription_schedule.completed")
        cancel(action, action.ledger.require("subscription", schedule["subscription"]))


def _enter_current(action: Action, schedule: Document) -> None:
    phase = next(one for one in schedule["phases"] if one["start_date"] <= action.now < one["end_date"])
    enter(action, action.ledger.require("subscription", schedule["subscription"]), phase)


def _release(action: Action, schedule: Document) -> Document:
    changes = {
        "current_phase": None,
        "released_at": action.now,
        "released_subscription": schedule["subscription"],
        "status": "released",
        "subscription": None,
    }
    released = action.turn(schedule, changes, "subscription_schedule.released")
    if schedule["subscription"] is not None:
        subscription = action.ledger.require("subscription", schedule["subscription"])
        save(action, subscription, {"schedule": None})
    return released


def _active(phases: list[Document], now: int) -> Document:
    return {"current_phase": current(phases, now), "status": "active"}


def _alive(call: Call) -> Document:
    schedule = call.ledger.require("subscription_schedule", call.target)
    if schedule["status"] not in _ALIVE:
        message = f"You cannot do this to a schedule that is {schedule['status']}."
        raise RefusedError(message)
    return schedule


def _matches(schedule: Document, params: Params) -> bool:
    moments = ("canceled_at", "completed_at", "created", "released_at")
    asked = [name for name in moments if name in params]
    return (
        schedule["customer"] == params.get("customer", schedule["customer"])
        and all(schedule[name] is not None and in_range(schedule[name], params[name]) for name in asked)
        and (not params.get("scheduled") or schedule["status"] == "not_started")
    )
