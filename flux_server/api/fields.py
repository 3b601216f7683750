"""Types of what callers send: strict, and never more than a column of either database can hold."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StrictBool, StrictInt, WithJsonSchema

from flux_middleware.errors import InvalidRecordError
from flux_middleware.snapshot import require_key

__all__ = ["Key", "Moment", "Text", "Value"]


def _require_text(text: str) -> str:
    # PostgreSQL cannot store NUL, and SQLite's functions end a text there.
    if "\0" in text:
        raise ValueError("a text cannot hold the character NUL")
    return text


def _require_key(key: str) -> str:
    try:
        return require_key(key)
    except InvalidRecordError as error:
        raise ValueError(str(error)) from error


Key = Annotated[
    str,
    AfterValidator(_require_key),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[a-z0-9.-]+$"}),
]
"""The key of a feature, a metric or a plan, in the same words wherever it is wrong."""

Text = Annotated[str, AfterValidator(_require_text), Field(json_schema_extra={"pattern": "^[^\\u0000]*$"})]
Value = StrictBool | StrictInt | Literal["unlimited"]
Moment = Annotated[StrictInt, Field(ge=0, lt=2**53, description="Whole seconds since 1970 (UTC).")]
