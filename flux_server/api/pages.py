"""Pages of a list: a cursor is where a page ended, in a form that is nobody's to read.

A list is in the order of something that does not change (a key, an id), and the next page begins after where the
last one ended: whatever is added or removed meanwhile, nothing that stays is shown twice or left out.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Final, TypeVar

from fastapi import Query

from flux_server.errors import InvalidRequestError

__all__ = ["MAX_PAGE", "Cursor", "Limit", "cursor_after", "cut", "read_cursor", "read_numbered_cursor"]

T = TypeVar("T")

MAX_PAGE: Final = 500
"""The most that a page holds."""

Cursor = Annotated[
    str, Query(max_length=1_000, description="`next_cursor` of the page before; left out for the first.")
]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="The most that a page holds.")]

_CHECK_BYTES = 4
_NUMBER = re.compile(r"[0-9]{1,18}\Z")


def cut(found: Sequence[T], limit: int, place: Callable[[T], str]) -> tuple[Sequence[T], str | None]:
    """Return the page and the cursor of the next one, of up to `limit + 1` that were found."""
    page = found[:limit]
    return page, cursor_after(place(page[-1])) if len(found) > limit else None


def cursor_after(last: str) -> str:
    """Return the cursor of the page that follows the one that ends with `last`."""
    return base64.urlsafe_b64encode(_check(last.encode()) + last.encode()).decode()


def read_cursor(cursor: str) -> str:
    """Return what the page before ended with; nothing for the first page.

    Raises:
        InvalidRequestError: it is no cursor, or not as it was given.
    """
    if not cursor:
        return ""
    try:
        found = base64.b64decode(cursor, altchars=b"-_", validate=True)
        check, last = found[:_CHECK_BYTES], found[_CHECK_BYTES:]
        if check == _check(last):
            return last.decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidRequestError(_REFUSAL) from error
    raise InvalidRequestError(_REFUSAL)


def read_numbered_cursor(cursor: str) -> tuple[int, str] | None:
    """Return the number and the text that the page before ended with; None for the first page.

    Raises:
        InvalidRequestError: it is no cursor of such a list.
    """
    last = read_cursor(cursor)
    number, _, text = last.partition(" ")
    if last and not (_NUMBER.match(number) and text):
        raise InvalidRequestError(_REFUSAL)
    return (int(number), text) if last else None


def _check(last: bytes) -> bytes:
    """Tell what was cut off or mistyped from a cursor; not a secret: whoever made one sees their own list only."""
    return hashlib.sha256(b"cursor " + last).digest()[:_CHECK_BYTES]


_REFUSAL = (
    "query.cursor: this is not the `next_cursor` of a page; send it as it was given, or leave it out at first"
)
