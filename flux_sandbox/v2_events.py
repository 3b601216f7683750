"""Thin events, for those who missed the webhook or want to know more. They can be read for 30 days."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile
from typing import Any, Final

from flux_sandbox.errors import MissingError, Problem
from flux_sandbox.form import Raw
from flux_sandbox.ledger import Document
from flux_sandbox.moments import read_moment, written
from flux_sandbox.parameters import Kind, ListOf, Params, Shape, Text
from flux_sandbox.route import Call, Route
from flux_sandbox.v2 import PAGE, v2_page

__all__ = ["ROUTES"]

_PATH: Final = "/v2/core/events"
_KEPT: Final = 30 * 86_400


class _Moment:
    """A moment, kept as the seconds since the epoch."""

    def parse(self, raw: Raw, name: str, problems: list[Problem]) -> float | None:
        moment = read_moment(raw) if isinstance(raw, str) else None
        if moment is None:
            problems.append(Problem(name, "parameter_invalid", f"Invalid timestamp: {name}"))
        return moment


_BOUNDS: Final = {
    "gt": lambda moment, bound: moment > bound,
    "gte": lambda moment, bound: moment >= bound,
    "lt": lambda moment, bound: moment < bound,
    "lte": lambda moment, bound: moment <= bound,
}
_MOMENT: Final[Kind] = _Moment()


def _retrieve(call: Call) -> Document:
    event = call.ledger.require("v2.core.event", call.target)
    if _created(event) <= call.now - _KEPT:
        raise MissingError("event", call.target)
    return event


def _list(call: Call) -> Document:
    kept = takewhile(lambda event: _created(event) > call.now - _KEPT, call.ledger.every("v2.core.event"))
    matching: Iterable[Document] = (event for event in kept if _matches(event, call.params))
    return v2_page(_PATH, matching, call.params, _asked(call.params))


def _created(event: Document) -> float:
    moment = read_moment(event["created"])
    assert moment is not None, "the sandbox wrote it"
    return moment


def _matches(event: Document, params: Params) -> bool:
    related = event["related_object"]
    created = _created(event)
    return (
        event["type"] in params.get("types", [event["type"]])
        and ("object_id" not in params or (related is not None and related["id"] == params["object_id"]))
        and all(_BOUNDS[name](created, bound) for name, bound in params.get("created", {}).items())
    )


def _asked(params: Params) -> dict[str, Any]:
    asked: dict[str, Any] = {f"types[{number}]": name for number, name in enumerate(params.get("types", []))}
    asked |= {f"created[{name}]": written(int(bound)) for name, bound in params.get("created", {}).items()}
    return asked | {name: params[name] for name in ("object_id",) if name in params}


ROUTES: Final = (
    Route(
        "GET",
        _PATH,
        _list,
        Shape(
            {
                **PAGE,
                "created": Shape(dict.fromkeys(_BOUNDS, _MOMENT)),
                "object_id": Text(),
                "types": ListOf(Text(), max_items=20),
            }
        ),
    ),
    Route("GET", f"{_PATH}/{{id}}", _retrieve, Shape({})),
)
