"""The API's page says what the API's description says, and its commands run as printed."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from flux_server.api.pages import MAX_PAGE
from flux_server.api.requests import MAX_BODY
from flux_server.app import create_app
from flux_server.catalog.features import MAX_FEATURES, MAX_METRICS
from flux_server.catalog.plans import MAX_PLANS
from flux_server.catalog.values import MAX_PRICES
from flux_server.environments.kept_answers import KEPT_SECONDS
from flux_server.settings import Settings
from flux_server.usage.ingest import MAX_SLOTS
from tests.test_docs import API, Shell, blocks, table


def test_every_operation_is_named_with_its_address_and_its_scope(tmp_path: Path) -> None:
    paths: dict[str, dict[str, Any]] = create_app(Settings(data_dir=tmp_path)).openapi()["paths"]

    described = {
        (operation["operationId"], f"{method.upper()} {path}", scope(operation))
        for path, methods in paths.items()
        for method, operation in methods.items()
    }
    rows = table("| operation | call | scope |", API)
    assert {tuple(cell.strip("`") for cell in row) for row in rows} == described


def scope(operation: dict[str, Any]) -> str:
    return "".join(name for needed in operation.get("security", ()) for name in needed["ApiKey"])


def test_limits_are_those_of_the_code() -> None:
    limits = " ".join(row[1] for row in table("| what | limit | beyond it |", API))

    assert MAX_METRICS == MAX_PLANS
    for number in (MAX_FEATURES, MAX_PLANS, MAX_PRICES, MAX_SLOTS, MAX_PAGE):
        assert f"{number:,}" in limits
    assert f"{MAX_BODY // 1024**2} MiB" in limits
    assert f"at least {KEPT_SECONDS // 3600} hours" in API


def test_the_commands_of_the_api_run_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shell = Shell(tmp_path)
    session = blocks(API, "console")
    (program,) = blocks(API, "python")
    (tmp_path / "program.py").write_text(program)

    with shell.process(["flux", "serve"], "Flux is at"):
        printed = shell.run("\n".join([*session, f"{sys.executable} program.py"]))

    first, again = re.findall(r'"id":"([0-9a-f]{32})","feature":"sso","effect":"set"', printed)
    assert first == again
    assert printed.lower().count("idempotent-replayed: true") == 1
    assert '"id":"pro@1"' in printed
    assert printed.endswith("SSO\n")


def test_the_problem_that_is_shown_is_one_that_is_answered() -> None:
    (shown,) = map(json.loads, blocks(API, "json"))

    assert shown["type"] == f"urn:flux:problem:{shown['code'].replace('_', '-')}"
    assert f"`{shown['code']}`" in {row[0] for row in table("| code | status | when, and what to do |", API)}
