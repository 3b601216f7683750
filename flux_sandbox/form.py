"""Nested parameters as Stripe's v1 writes them: `items[0][price]=price_1&expand[]=customer`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeAlias
from urllib.parse import parse_qsl

from flux_sandbox.errors import InvalidParametersError, Problem

__all__ = ["Raw", "decode", "pairs"]

Raw: TypeAlias = str | dict[str, "Raw"]
"""A value as it came: a text, or more values by name. Whether names are positions, a parameter's kind knows."""

_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_MAX_PAIRS = 1_000


def pairs(encoded: bytes) -> list[tuple[str, str]]:
    """Split a query or a form body."""
    try:
        return parse_qsl(
            encoded.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_PAIRS
        )
    except ValueError as error:  # UnicodeDecodeError is one
        raise _malformed("", f"Invalid form encoding: {error}") from error


def decode(named: Iterable[tuple[str, str]]) -> dict[str, Raw]:
    """Build the tree that the bracketed names describe."""
    tree: dict[str, Raw] = {}
    for name, value in named:
        *parents, last = _keys(name)
        node = tree
        for parent in parents:
            child = node.setdefault(parent, {})
            if isinstance(child, str):
                raise _malformed(name, f"Parameter {name} is both a value and an object")
            node = child
        node[last or str(len(node))] = value
    return tree


def _keys(name: str) -> list[str]:
    match = _NAME.fullmatch(name)
    if match is None:
        raise _malformed(name, f"Invalid parameter name: {name}")
    first, brackets = match.groups()
    keys = [first, *brackets[1:-1].split("][")] if brackets else [first]
    if "" in keys[:-1]:
        raise _malformed(name, f"Number the elements: {name.replace('[]', '[0]', 1)}")
    return keys


def _malformed(name: str, message: str) -> InvalidParametersError:
    return InvalidParametersError([Problem(name, "parameter_invalid", message)])
