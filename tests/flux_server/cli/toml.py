"""Catalogs as people write them: in every way that TOML has."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from flux_server.cli.catalog_text import toml_key, toml_value

__all__ = ["HAND_WRITTEN", "handwritten"]

HAND_WRITTEN = """\
#:schema ./plans.schema.json

# What we sell. Ask Ada before you change anything.
default_plan = "free"   # everybody starts here

[plans]
free.name = "Free"      # dotted
free.entitlements = { seats = 1 }  # inline

# The one that sells.
[plans.pro] # most popular
kind = "base"           # said, though it is the default
prices = [
    "price_month", # 49 EUR
    # the yearly one comes next
    "price_year",
    { price = "price_calls", metric = "api-calls" }, # metered
]
name = 'Pro'

  [plans.pro.entitlements] # indented
  seats = { value = 5, per_unit = true } # per seat
  sso = true

[metrics]
api-calls.name = "API calls"

[features]
# capabilities
sso.kind = "boolean"
# limits
seats.kind = "limit"
seats.merge = "sum"
# the end
"""


def handwritten(members: dict[str, Any], taste: Random) -> str:
    """Write the catalog as somebody of this taste would: with headers, dotted keys or inline tables, and comments."""
    return "\n".join(_lines(members, (), taste)) + "\n"


def _lines(members: dict[str, Any], path: tuple[str, ...], taste: Random) -> Iterator[str]:
    tables = {}
    own = []
    for key, value in members.items():
        way = taste.choice(("header", "dotted", "inline")) if isinstance(value, dict) else "inline"
        if way == "header" and len(path) < 4:
            tables[key] = value
        elif way == "dotted" and path and value:
            own += [
                f"{toml_key(key)}.{toml_key(name)} = {toml_value(inner)}" for name, inner in value.items()
            ]
        else:
            own.append(f"{toml_key(key)} = {toml_value(value)}")
    if path and (own or not tables):
        yield from ("", f"# about {path[-1]}", f"[{'.'.join(map(toml_key, path))}] # {len(own)} lines")
    yield from (f"{line} # {position}" for position, line in enumerate(own))
    for key, table in tables.items():
        yield from _lines(table, (*path, key), taste)
