"""Bringing a file up to date with the catalog that is live: what stays the same is left as somebody wrote it.

Comments, order, and the way a value is written survive wherever the meaning did not change.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, MutableMapping, Sequence
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Array, InlineTable

from flux_server.catalog.document import CatalogDocument, document_json
from flux_server.cli.catalog_file import parse_catalog
from flux_server.cli.catalog_text import table_text, toml_members, toml_value
from flux_server.cli.running import CommandError

__all__ = ["merged"]

_SECTIONS = 2
_ENTRIES = 3
"""How deep tables have headers of their own: those of metrics, features and plans; those within these, too."""

Members = dict[str, Any]
Keys = tuple[str, ...]
Container = MutableMapping[str, Any]


def merged(text: str, document: CatalogDocument, path: Path) -> str:
    """Return the text of the file at `path`, changed so that it says what the document does.

    Raises:
        CommandError: the text is no catalog, or written in a way that cannot be kept.
    """
    old, new = toml_members(parse_catalog(text, path)), toml_members(document)
    gone = list(_superfluous(old, new, ()))
    # tomlkit loses its way in tables that stand apart from each other once something was taken out of them. So it
    # reads the text anew after that, and if need be after each one. Nor does it know that no table with a header can
    # stand among dotted keys.
    for steps, headers in (([gone], _ENTRIES), ([[one] for one in gone], _ENTRIES), ([gone], _SECTIONS)):
        try:
            file = tomlkit.parse(reduce(_without, steps, text))
            _set(file, old, new, (), headers)
            result = file.as_string()
        except (TOMLKitError, IndexError, KeyError):
            continue
        for candidate in (_spaced(text, result), result):
            if _says(candidate, document):
                return candidate
    raise CommandError(
        f"{path}: the changes do not fit into the way this file is written; pull into a new file instead"
    )


def _says(text: str, document: CatalogDocument) -> bool:
    try:
        return document_json(parse_catalog(text, Path())) == document_json(document)
    except CommandError:
        return False


def _superfluous(old: Members, new: Members, path: Keys) -> Iterator[Keys]:
    """Name what the file says and is not to say."""
    for key, value in old.items():
        if key not in new:
            yield (*path, key)
        elif isinstance(value, dict) or isinstance(new[key], dict):
            yield from _superfluous(_in_full(value), _in_full(new[key]), (*path, key))


def _without(text: str, gone: Sequence[Keys]) -> str:
    file = tomlkit.parse(text)
    for *ways, last in gone:
        container: Container = file
        for step in ways:
            container = container[step]
        del container[last]
    return file.as_string()


def _set(container: Container, old: Members, new: Members, path: Keys, headers: int) -> None:
    """Put into the file what it does not say yet, or says otherwise; new tables have headers down to a depth."""
    for key, value in new.items():
        if key in old and _same(old[key], value):
            continue
        item = container.get(key)
        if isinstance(item, InlineTable):
            container[key] = tomlkit.value(toml_value(_in_order(item, value)))
        elif isinstance(item, MutableMapping):
            _set(item, _in_full(old.get(key, {})), _in_full(value), (*path, key), headers)
        elif isinstance(item, Array):
            _change_list(item, value)
        elif item is not None or not isinstance(value, dict) or len(path) >= headers:
            container[key] = tomlkit.value(toml_value(value))
        else:
            container[key] = _new_table((*path, key), value)


def _in_order(item: InlineTable, value: Any) -> Any:
    """Return the value with its members in the order in which the file had them."""
    if not isinstance(value, dict):
        return value
    return {key: value[key] for key in item if key in value} | value


def _change_list(array: Array, new: list[Any]) -> None:
    """Take out and add what differs, so that the comments of the others stay; a price is also written as a table."""
    wanted = [_in_short(item) for item in new]
    for position in reversed(range(len(array))):
        if _in_short(array[position]) not in wanted:
            del array[position]
    present = [_in_short(item) for item in array]
    for item, short in zip(new, wanted, strict=True):
        if short not in present:
            array.append(tomlkit.value(toml_value(item)))


def _new_table(path: Keys, value: Members) -> Any:
    """Return a table as the parser makes it, to be put where there is none."""
    found: Any = tomlkit.parse(table_text(path, value))
    for step in path:
        found = found[step]
    return found


def _same(this: object, that: object) -> bool:
    return json.dumps(this, sort_keys=True) == json.dumps(that, sort_keys=True)  # to Python, True == 1


def _in_full(value: Any) -> Members:
    """A table may say in full what the document says in short: `seats = { value = 5 }`."""
    return value if isinstance(value, dict) else {"value": value}


def _in_short(price: Any) -> Any:
    plain = price.unwrap() if hasattr(price, "unwrap") else price
    return plain["price"] if isinstance(plain, dict) and plain.keys() == {"price"} else plain


def _spaced(before: str, after: str) -> str:
    """Put an empty line before each new table, unless the file did not have any such lines either."""
    kept = set(pairwise(before.splitlines()))
    lines = after.splitlines(keepends=True)
    spaced = lines[:1]
    for above, line in pairwise(lines):
        is_new = (above.rstrip("\r\n"), line.rstrip("\r\n")) not in kept
        if is_new and line.startswith("[") and above.strip() and not above.startswith("#"):
            spaced.append("\n")
        spaced.append(line)
    return "".join(spaced)
