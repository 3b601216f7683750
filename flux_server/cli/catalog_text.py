"""Catalog documents as TOML text, as a person would write them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from flux_server.catalog.document import CatalogDocument, document_json

__all__ = ["document_text", "table_text", "toml_key", "toml_members", "toml_value"]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")
_LONGEST_LINE = 100
_SECTIONS = ("metrics", "features", "plans")
_TABLES_OF_PLANS = (("policy",), ("entitlements",))


def document_text(document: CatalogDocument) -> str:
    """Return the document as TOML."""
    return table_text((), toml_members(document))


def toml_members(document: CatalogDocument) -> dict[str, Any]:
    """Return the document as TOML would be read: tables as dicts, in the order of their keys."""
    members: dict[str, Any] = msgspec.json.decode(document_json(document))
    return members


def toml_key(key: str) -> str:
    """Return the key as TOML writes it, in quotes where it needs them."""
    return key if _BARE_KEY.match(key) else _text(key)


def toml_value(value: Any) -> str:
    """Return the value as TOML writes it, on one line."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{toml_key(key)} = {toml_value(member)}" for key, member in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, Sequence):
        return f"[{', '.join(map(toml_value, value))}]"
    return json.dumps(value)


def table_text(path: Sequence[str], members: Mapping[str, Any]) -> str:
    """Return the table, or the section of tables, that stands at the path of a document."""
    return "\n".join(_tables(path, members))


def _tables(path: Sequence[str], members: Mapping[str, Any]) -> Iterator[str]:
    inner = {name: value for name, value in members.items() if _has_header((*path, name), value)}
    own = {name: value for name, value in members.items() if name not in inner}
    if own or (not inner and len(path) > 1):
        header = f"[{'.'.join(map(toml_key, path))}]\n" if path else ""
        yield header + _lines(own)
    for name, value in inner.items():
        yield from _tables((*path, name), value)


def _has_header(path: Sequence[str], value: Any) -> bool:
    """The policy, sections and entries, a plan's policy and entitlements; smaller tables stand on one line."""
    if not isinstance(value, Mapping):
        return False
    return len(path) == 1 or (path[0] in _SECTIONS and (len(path) == 2 or path[2:] in _TABLES_OF_PLANS))


def _lines(members: Mapping[str, Any]) -> str:
    return "".join(f"{toml_key(key)} = {_wrapped(key, value)}\n" for key, value in members.items())


def _wrapped(key: str, value: Any) -> str:
    line = toml_value(value)
    if not isinstance(value, list) or len(key) + len(line) <= _LONGEST_LINE:
        return line
    return "[\n" + "".join(f"    {toml_value(item)},\n" for item in value) + "]"


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
