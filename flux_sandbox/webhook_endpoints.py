"""Webhook endpoints: who is told of events. The signing secret is shown once, in the answer that creates one."""

from __future__ import annotations

from typing import Final

from flux_sandbox.errors import RefusedError
from flux_sandbox.event_types import EVENT_TYPES
from flux_sandbox.ledger import Document
from flux_sandbox.lists import page
from flux_sandbox.metadata import merge_metadata
from flux_sandbox.parameters import LIST, METADATA, Clearable, Fields, Flag, ListOf, Text, Unsimulated, shape
from flux_sandbox.route import Call, Route
from flux_sandbox.signing import forget_secrets, make_secret
from flux_sandbox.versions import VERSIONS

__all__ = ["ROUTES", "checked_url"]


def _create(call: Call) -> Document:
    params = call.params
    endpoint = {
        "id": call.action.account.new_id("we"),
        "object": "webhook_endpoint",
        "api_version": params.get("api_version"),
        "application": None,
        "created": call.now,
        "description": params.get("description"),
        "enabled_events": params["enabled_events"],
        "livemode": False,
        "metadata": merge_metadata({}, params),
        "status": "enabled",
        "url": checked_url(params["url"]),
    }
    call.ledger.put(endpoint)
    secret = make_secret(call.action.account, endpoint["id"])
    return {**endpoint, "secret": secret} if call.action.origin.shows_secrets else endpoint


def checked_url(url: str) -> str:
    """Return a receiver's address, if it is one."""
    if not url.startswith(("http://", "https://")):
        message = "Invalid URL: An explicit scheme (such as https) must be provided."
        raise RefusedError(message, code="url_invalid", param="url")
    return url


def _retrieve(call: Call) -> Document:
    return call.ledger.require("webhook_endpoint", call.target)


def _update(call: Call) -> Document:
    endpoint, params = _retrieve(call), call.params
    plain = ("description", "enabled_events", "url")
    changes = {name: params[name] for name in plain if name in params}
    if "url" in changes:
        checked_url(changes["url"])
    if "disabled" in params:
        changes["status"] = "disabled" if params["disabled"] else "enabled"
    changes["metadata"] = merge_metadata(endpoint["metadata"], params)
    updated = {**endpoint, **changes}
    call.ledger.put(updated)
    return updated


def _delete(call: Call) -> Document:
    _retrieve(call)
    forget_secrets(call.ledger, call.target)
    return call.ledger.bury("webhook_endpoint", call.target)


def _list(call: Call) -> Document:
    return page("/v1/webhook_endpoints", call.ledger.every("webhook_endpoint"), call.params)


_WRITABLE: Final[Fields] = {
    "description": Clearable(Text()),
    "enabled_events": ListOf(Text(choices=("*", *EVENT_TYPES)), max_items=len(EVENT_TYPES)),
    "metadata": METADATA,
    "url": Text(),
}
ROUTES: Final = (
    Route(
        "POST",
        "/v1/webhook_endpoints",
        _create,
        shape(
            {**_WRITABLE, "api_version": Text(choices=VERSIONS), "connect": Unsimulated()},
            "enabled_events",
            "url",
        ),
    ),
    Route("GET", "/v1/webhook_endpoints", _list, shape(LIST)),
    Route("GET", "/v1/webhook_endpoints/{id}", _retrieve, shape()),
    Route("POST", "/v1/webhook_endpoints/{id}", _update, shape({**_WRITABLE, "disabled": Flag()})),
    Route("DELETE", "/v1/webhook_endpoints/{id}", _delete, shape()),
)
