"""Types of what callers send: strict, and never more than a column of either database can hold."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StrictBool, StrictInt

__all__ = ["Moment", "Text", "Value"]


def _require_text(text: str) -> str:
    # PostgreSQL cannot store NUL, and SQLite's functions end a text there.
    if "\0" in text:
        raise ValueError("a text cannot hold the character NUL")
    return text


Text = Annotated[str, AfterValidator(_require_text)]
Value = StrictBool | StrictInt | Literal["unlimited"]
Moment = Annotated[StrictInt, Field(ge=0, lt=2**53, description="Whole seconds since 1970 (UTC).")]
