"""Event destinations: v2's webhook endpoints, told of snapshot events or of thin ones."""

from __future__ import annotations

from typing import Final

from flux_sandbox.errors import InvalidParametersError, Problem
from flux_sandbox.event_types import EVENT_TYPES
from flux_sandbox.ledger import Document
from flux_sandbox.metadata import merge_metadata
from flux_sandbox.moments import written
from flux_sandbox.parameters import Clearable, Fields, ListOf, Shape, Text, TextMap, Unsimulated
from flux_sandbox.route import Call, Route
from flux_sandbox.signing import forget_secrets, make_secret
from flux_sandbox.thin_events import THIN_EVENT_TYPES
from flux_sandbox.v2 import PAGE, v2_page
from flux_sandbox.versions import VERSIONS
from flux_sandbox.webhook_endpoints import checked_url

__all__ = ["ROUTES"]

_PATH: Final = "/v2/core/event_destinations"
_KIND: Final = "v2.core.event_destination"
_URL: Final = "webhook_endpoint.url"
_SECRET: Final = "webhook_endpoint.signing_secret"  # noqa: S105  # a member's name


def _create(call: Call) -> Document:
    params = call.params
    if "webhook_endpoint" not in params:
        raise _invalid(
            "webhook_endpoint", "flux-sandbox simulates webhook endpoints only: give webhook_endpoint[url]."
        )
    thin = params["event_payload"] == "thin"
    if thin and "snapshot_api_version" in params:
        raise _invalid("snapshot_api_version", "Thin events have no version.")
    document = {
        "id": call.action.account.new_id("ed"),
        "object": _KIND,
        "created": written(call.now),
        "description": params.get("description") or "",
        "enabled_events": _checked_events(params["enabled_events"], thin=thin),
        "event_payload": params["event_payload"],
        "events_from": params.get("events_from", ["@self"]),
        "livemode": False,
        "metadata": merge_metadata({}, params),
        "name": params["name"],
        "snapshot_api_version": None
        if thin
        else params.get("snapshot_api_version", call.action.account.profile.api_version),
        "status": "enabled",
        "status_details": None,
        "type": params["type"],
        "updated": written(call.now),
        "webhook_endpoint": {"url": checked_url(params["webhook_endpoint"]["url"])},
    }
    call.ledger.put(document)
    secret = make_secret(call.action.account, document["id"])
    shown = _shown(document, params.get("include", []))
    if _SECRET in params.get("include", []) and call.action.origin.shows_secrets:
        shown["webhook_endpoint"]["signing_secret"] = secret
    return shown


def _checked_events(wanted: list[str], *, thin: bool) -> list[str]:
    known = {"*", *(THIN_EVENT_TYPES if thin else EVENT_TYPES)}
    unknown = [name for name in wanted if name not in known]
    if unknown:
        kind = "thin" if thin else "snapshot"
        raise _invalid("enabled_events", f"There are no {kind} events of type {', '.join(unknown)}.")
    return wanted


def _shown(document: Document, include: list[str]) -> Document:
    """Return a destination without what must be asked for by name."""
    return {
        **document,
        "webhook_endpoint": {
            "signing_secret": None,
            "url": document["webhook_endpoint"]["url"] if _URL in include else None,
        },
    }


def _retrieve(call: Call) -> Document:
    return _shown(call.ledger.require(_KIND, call.target), call.params.get("include", []))


def _update(call: Call) -> Document:
    destination, params = call.ledger.require(_KIND, call.target), call.params
    plain = ("description", "name")
    changes: Document = {name: params[name] for name in plain if name in params}
    if "enabled_events" in params:
        thin = destination["event_payload"] == "thin"
        changes["enabled_events"] = _checked_events(params["enabled_events"], thin=thin)
    if "webhook_endpoint" in params:
        changes["webhook_endpoint"] = {"url": checked_url(params["webhook_endpoint"]["url"])}
    changes["metadata"] = merge_metadata(destination["metadata"], params)
    return _change(call, changes)


def _enable(call: Call) -> Document:
    return _change(call, {"status": "enabled", "status_details": None})


def _disable(call: Call) -> Document:
    return _change(call, {"status": "disabled", "status_details": {"disabled": {"reason": "user"}}})


def _change(call: Call, changes: Document) -> Document:
    destination = call.ledger.require(_KIND, call.target)
    updated = {**destination, **changes, "updated": written(call.now)}
    call.ledger.put(updated)
    return _shown(updated, call.params.get("include", []))


def _delete(call: Call) -> Document:
    call.ledger.require(_KIND, call.target)
    forget_secrets(call.ledger, call.target)
    call.ledger.bury(_KIND, call.target)
    return {"id": call.target, "object": _KIND}


def _list(call: Call) -> Document:
    include = call.params.get("include", [])
    found = (_shown(one, include) for one in call.ledger.newest_first(_KIND))
    asked = {f"include[{number}]": name for number, name in enumerate(include)}
    return v2_page(_PATH, found, call.params, asked)


def _invalid(param: str, message: str) -> InvalidParametersError:
    return InvalidParametersError([Problem(param, "parameter_invalid", message)])


_INCLUDE: Final[Fields] = {"include": ListOf(Text(choices=(_URL,)))}
_EVENTS: Final = ListOf(Text(), max_items=len(THIN_EVENT_TYPES))
_ENDPOINT: Final = Shape({"url": Text()}, ("url",))
_CREATE: Final = Shape(
    {
        "amazon_eventbridge": Unsimulated(),
        "azure_event_grid": Unsimulated(),
        "description": Clearable(Text()),
        "enabled_events": _EVENTS,
        "event_payload": Text(choices=("snapshot", "thin")),
        "events_from": ListOf(Text(choices=("@self",))),
        "include": ListOf(Text(choices=(_SECRET, _URL))),
        "metadata": TextMap(),
        "name": Text(),
        "snapshot_api_version": Text(choices=VERSIONS),
        "type": Text(choices=("webhook_endpoint",)),
        "webhook_endpoint": _ENDPOINT,
    },
    ("enabled_events", "event_payload", "name", "type"),
)
_UPDATE: Final = Shape(
    {
        **_INCLUDE,
        "description": Clearable(Text()),
        "enabled_events": _EVENTS,
        "metadata": TextMap(),
        "name": Text(),
        "webhook_endpoint": _ENDPOINT,
    }
)
_ONE: Final = f"{_PATH}/{{id}}"
ROUTES: Final = (
    Route("POST", _PATH, _create, _CREATE),
    Route("GET", _PATH, _list, Shape({**PAGE, **_INCLUDE})),
    Route("GET", _ONE, _retrieve, Shape(_INCLUDE)),
    Route("POST", _ONE, _update, _UPDATE),
    Route("DELETE", _ONE, _delete, Shape({})),
    Route("POST", f"{_ONE}/disable", _disable, Shape(_INCLUDE)),
    Route("POST", f"{_ONE}/enable", _enable, Shape(_INCLUDE)),
)
