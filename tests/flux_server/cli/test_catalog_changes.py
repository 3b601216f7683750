from __future__ import annotations

import io
from dataclasses import replace

import msgspec
import pytest
from rich.console import Console

from flux_middleware.snapshot import Grant
from flux_server.catalog.document import CatalogDocument
from flux_server.catalog.document_changes import Change, FieldChange
from flux_server.catalog.document_diff import differences
from flux_server.catalog.document_state import outcome
from flux_server.cli.catalog_changes import print_changes
from tests.flux_server.catalog.documents import EMPTY, SHOP, edited
from tests.flux_server.running import NOON


def printed(*changes: Change, terminal: bool = False) -> list[str]:
    """Return the lines that are printed of the changes, read as the command reads them."""
    file = io.StringIO()
    over_the_wire = msgspec.json.decode(msgspec.json.encode(changes), type=tuple[Change, ...])
    print_changes(Console(file=file, force_terminal=terminal, highlight=False, width=40), over_the_wire)
    return file.getvalue().splitlines()


def changes_to(document: CatalogDocument) -> tuple[Change, ...]:
    return differences(outcome(EMPTY, SHOP, existing="stay", now=NOON), document)


@pytest.mark.parametrize(
    ("document", "lines"),
    [
        pytest.param(
            edited(SHOP, "features", "beta", to={"kind": "boolean", "name": "[red]Beta\x1b"}),
            ["+ feature beta", '    + kind = "boolean"', r'    + name = "[red]Beta\u001b"'],
            id="new",
        ),
        pytest.param(
            edited(SHOP, "plans", "pro", "entitlements", to={"seats": 7, "calls": "unlimited"}),
            [
                "~ plan pro: publish version 2",
                '    ~ entitlements.calls: { value = 1000, enforcement = "soft" } -> "unlimited"',
                "    ~ entitlements.seats: { value = 5, per_unit = true } -> 7",
                "    - entitlements.sso = true",
            ],
            id="version",
        ),
        pytest.param(edited(SHOP, "plans", "pack"), ["- plan pack: archive"], id="gone"),
        pytest.param(
            edited(SHOP, "default_plan", to="pro"),
            ["~ default plan", '    ~ default_plan: "free" -> "pro"'],
            id="default-plan",
        ),
        pytest.param(
            edited(SHOP, "policy", to={"statuses": {"paused": "grant"}}),
            ["~ policy", '    ~ statuses: {} -> { paused = "grant" }'],
            id="policy",
        ),
    ],
)
def test_changes_are_lines_for_people(document: CatalogDocument, lines: list[str]) -> None:
    assert printed(*changes_to(document)) == lines


def test_whom_a_change_affects_is_said() -> None:
    publish = Change("publish", "plan", "free", version=3, organizations=1_200, is_default=True)
    archive = Change("archive", "plan", "old", organizations=1)

    assert printed(publish, archive) == [
        "~ plan free: publish version 3 (1,200 organizations subscribe; organizations without a base plan get it)",
        "- plan old: archive (1 organization subscribes)",
    ]


def test_a_draft_that_would_be_lost_is_said() -> None:
    state = outcome(EMPTY, SHOP, existing="stay", now=NOON)
    pro = replace(state.plans["pro"], draft=(Grant("seats", 7),))
    state = replace(state, plans={**state.plans, "pro": pro})

    (change,) = differences(state, edited(SHOP, "plans", "pro", "entitlements", "seats", to=9))

    assert printed(change)[0] == "~ plan pro: publish version 2 (replaces another draft)"


def test_colours_are_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    change = Change("add", "metric", "calls", (FieldChange(("name",), None, "Calls"),))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)

    assert printed(change) == ["+ metric calls", '    + name = "Calls"']
    assert printed(change, terminal=True)[0] == "\x1b[32m+ metric calls\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert printed(change, terminal=True)[0] == "+ metric calls"
