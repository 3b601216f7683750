"""What v2 of the API does in another way than v1: JSON comes, errors have codes, lists name their next page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import dropwhile, islice
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from flux_sandbox.errors import InvalidParametersError, Problem, StripeError
from flux_sandbox.form import Raw
from flux_sandbox.ledger import Document
from flux_sandbox.parameters import Fields, Params, Text, Whole

__all__ = ["PAGE", "decode_json", "error_body", "v2_page"]

_DEFAULT_LIMIT: Final = 20
_CODES: Final = {"resource_missing": "not_found", "rate_limit": "rate_limit_exceeded"}
PAGE: Final[Fields] = {"limit": Whole(minimum=1, maximum=100), "page": Text()}
"""What every list takes."""


def decode_json(body: bytes) -> dict[str, Raw]:
    """Read a body as the tree that a form would have been."""
    try:
        value = msgspec.json.decode(body or b"{}")
    except msgspec.DecodeError as error:
        raise _malformed(f"Invalid JSON: {error}") from error
    if not isinstance(value, dict):
        raise _malformed("Invalid JSON: an object is expected")
    return {name: _raw(each) for name, each in value.items()}


def _raw(value: Any) -> Raw:
    if isinstance(value, dict):
        return {name: _raw(each) for name, each in value.items()}
    if isinstance(value, list):
        return {str(number): _raw(each) for number, each in enumerate(value)}
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _malformed(message: str) -> InvalidParametersError:
    return InvalidParametersError([Problem("", "invalid_json", message)])


def error_body(error: StripeError) -> Document:
    """Return an answer's JSON: every error has a code."""
    code = _CODES.get(error.code or "", error.code or error.type)
    return {"error": {"code": code, "message": error.message, "type": error.type}}


def v2_page(path: str, documents: Iterable[Document], params: Params, asked: Mapping[str, Any]) -> Document:
    """Return a page of matching documents; `asked` is what the next page must be asked with, too."""
    limit, after = params.get("limit", _DEFAULT_LIMIT), params.get("page")
    rest = iter(documents)
    if after is not None:
        rest = islice(dropwhile(lambda one: one["id"] != after, rest), 1, None)
    found = list(islice(rest, limit + 1))
    following = None
    if len(found) > limit:
        query = {**asked, "limit": limit, "page": found[limit - 1]["id"]}
        following = f"{path}?{urlencode(query)}"
    return {"data": found[:limit], "next_page_url": following, "previous_page_url": None}
