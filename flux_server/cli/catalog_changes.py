"""Changes of a catalog as lines for people: coloured on a terminal, plain where they are piped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from rich.console import Console
from rich.text import Text

from flux_server.catalog.document_changes import Change, FieldChange
from flux_server.catalog.errors import place
from flux_server.cli.catalog_text import toml_value

__all__ = ["print_changes"]

_SIGNS = {"add": "+", "restore": "+", "archive": "-", "change": "~", "publish": "~"}
_COLOURS = {"+": "green", "-": "red", "~": "yellow"}
_TITLES = {"default_plan": "default plan", "policy": "policy"}


def print_changes(console: Console, changes: Sequence[Change]) -> None:
    """Print what the changes do, and to how many organizations."""
    for change in changes:
        _print(console, _SIGNS[change.action], _title(change))
        for field in change.fields:
            sign, text = _field(field)
            _print(console, sign, text, indent="    ")


def _print(console: Console, sign: str, text: str, indent: str = "") -> None:
    # Not as markup: names may hold brackets.
    console.print(Text(f"{indent}{sign} {text}", style=_COLOURS[sign]), soft_wrap=True)


def _title(change: Change) -> str:
    title = _TITLES.get(change.of) or f"{change.of} {change.key}"
    notes = list(_notes(change))
    if change.action == "publish":
        title += f": publish version {change.version}"
    elif change.action in ("archive", "restore"):
        title += f": {change.action}"
    return f"{title} ({'; '.join(notes)})" if notes else title


def _notes(change: Change) -> Iterator[str]:
    if change.organizations is not None:
        one = change.organizations == 1
        yield f"{change.organizations:,} {'organization subscribes' if one else 'organizations subscribe'}"
    if change.is_default:
        yield "organizations without a base plan get it"
    if change.replaces_draft:
        yield "replaces another draft"


def _field(field: FieldChange) -> tuple[str, str]:
    at = place(field.at)
    before, after = (toml_value(msgspec.to_builtins(value)) for value in (field.before, field.after))
    if field.before is None:
        return "+", f"{at} = {after}"
    if field.after is None:
        return "-", f"{at} = {before}"
    return "~", f"{at}: {before} -> {after}"
