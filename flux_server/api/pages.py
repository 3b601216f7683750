"""Pages of a list: a cursor is where a page ended, in a form that is nobody's to read."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

from fastapi import Query

from flux_server.errors import InvalidRequestError

__all__ = ["Cursor", "Limit", "cursor_after", "read_cursor"]

Cursor = Annotated[str, Query(max_length=1_000, description="`next_cursor` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=500, description="The most that a page holds.")]


def cursor_after(last: str) -> str:
    """Return the cursor of the page that follows the one that ends with `last`."""
    return base64.urlsafe_b64encode(last.encode()).decode()


def read_cursor(cursor: str) -> str:
    """Return what the page before ended with; nothing for the first page.

    Raises:
        InvalidRequestError: it is no cursor.
    """
    try:
        last = base64.b64decode(cursor, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidRequestError(_REFUSAL) from error
    if "\0" in last:
        raise InvalidRequestError(_REFUSAL)
    return last


_REFUSAL = "`cursor` is the `next_cursor` of the page before; leave it out at first"
