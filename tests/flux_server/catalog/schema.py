"""As much of JSON Schema as the catalog document's uses, told apart from it by failing on any other word."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

__all__ = ["fits"]

_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "boolean": bool,
    "null": type(None),
}
_SAID_TO_PEOPLE = {"$schema", "$defs", "title", "description", "default", "type"}


def fits(schema: dict[str, Any], value: Any, root: dict[str, Any] | None = None) -> bool:
    """Say whether the value fits the schema."""
    root = root or schema
    if "type" in schema and not _is(schema["type"], value):
        return False
    return all(_CHECKS[word](schema, value, root) for word in schema if word not in _SAID_TO_PEOPLE)


def _is(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, _TYPES[name])


def _members(schema: dict[str, Any], value: Any, root: dict[str, Any]) -> bool:
    known = schema.get("properties", {})
    others = schema.get("additionalProperties", {})
    for name, inner in value.items():
        if name not in known and others is False:
            return False
        if not fits(known.get(name, others), inner, root):
            return False
    return True


_CHECKS: dict[str, Callable[[dict[str, Any], Any, dict[str, Any]], bool]] = {
    "$ref": lambda schema, value, root: fits(root["$defs"][schema["$ref"].rpartition("/")[2]], value, root),
    "anyOf": lambda schema, value, root: any(fits(one, value, root) for one in schema["anyOf"]),
    "enum": lambda schema, value, root: isinstance(value, str) and value in schema["enum"],
    "minimum": lambda schema, value, root: value >= schema["minimum"],
    "maximum": lambda schema, value, root: value <= schema["maximum"],
    "minLength": lambda schema, value, root: len(value) >= schema["minLength"],
    "maxLength": lambda schema, value, root: len(value) <= schema["maxLength"],
    "maxItems": lambda schema, value, root: len(value) <= schema["maxItems"],
    "pattern": lambda schema, value, root: re.search(schema["pattern"], value) is not None,
    "required": lambda schema, value, root: set(schema["required"]) <= value.keys(),
    "properties": _members,
    "additionalProperties": _members,
    "propertyNames": lambda schema, value, root: all(
        fits(schema["propertyNames"], name, root) for name in value
    ),
    "items": lambda schema, value, root: all(fits(schema["items"], inner, root) for inner in value),
}
