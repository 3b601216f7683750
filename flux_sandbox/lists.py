"""Pages of objects, newest first."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, takewhile
from typing import Any

from flux_sandbox.errors import InvalidParametersError, MissingError, Problem
from flux_sandbox.ledger import Document
from flux_sandbox.parameters import Params

__all__ = ["in_range", "list_object", "page"]

_DEFAULT_LIMIT = 10


def _all(_: Document, __: Params) -> bool:
    return True


def page(
    url: str,
    documents: Iterable[Document],
    params: Params,
    matches: Callable[[Document, Params], bool] = _all,
) -> Document:
    """Return the page of matching documents that `limit`, `starting_after` and `ending_before` ask for.

    A cursor need not match, nor exist any longer: who goes through a list may change or delete what is in it.
    """
    after, before = params.get("starting_after"), params.get("ending_before")
    limit = params.get("limit", _DEFAULT_LIMIT)
    if after is not None and before is not None:
        message = "You can only specify one of these parameters: starting_after, ending_before."
        raise InvalidParametersError([Problem("starting_after", "parameters_exclusive", message)])
    rest = iter(documents)
    if after is not None:
        deque(_up_to(rest, after, "starting_after"), maxlen=0)
    elif before is not None:
        rest = _up_to(rest, before, "ending_before")
    found = (one for one in rest if not one.get("deleted") and matches(one, params))
    if before is not None:
        newer = list(found)
        return list_object(url, newer[-limit:], has_more=len(newer) > limit)
    first = list(islice(found, limit + 1))
    return list_object(url, first[:limit], has_more=len(first) > limit)


def list_object(url: str, documents: list[Document], *, has_more: bool = False) -> Document:
    """Return Stripe's list object."""
    return {"object": "list", "data": documents, "has_more": has_more, "url": url}


def in_range(value: int, wanted: Any) -> bool:
    """Say whether a moment is the one, or in the range, that a request asks for; any is, if it asks for none."""
    if wanted is None:
        return True
    if isinstance(wanted, int):
        return value == wanted
    return all(_COMPARE[name](value, bound) for name, bound in wanted.items())


def _up_to(documents: Iterable[Document], id_: str, param: str) -> Iterator[Document]:
    """Yield the documents before the one with this id, which must be there, and consume that one too."""
    met = False

    def before(document: Document) -> bool:
        nonlocal met
        met = document["id"] == id_
        return not met

    yield from takewhile(before, documents)
    if not met:
        raise MissingError("object", id_, param=param)


_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "gt": lambda value, bound: value > bound,
    "gte": lambda value, bound: value >= bound,
    "lt": lambda value, bound: value < bound,
    "lte": lambda value, bound: value <= bound,
}
