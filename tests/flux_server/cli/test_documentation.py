"""What docs/plans.md says works, as it says it, and says all that there is."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from flux_server.catalog.document import (
    CatalogDocument,
    EntitlementEntry,
    Entry,
    FeatureEntry,
    MetricEntry,
    PlanEntry,
    PolicyEntry,
    document_schema,
)
from flux_server.catalog.document_checking import require_applicable
from flux_server.catalog.document_diff import differences
from flux_server.catalog.document_state import outcome
from flux_server.cli.catalog_file import parse_catalog, read_price_file, with_prices
from tests.flux_server.catalog.documents import EMPTY, SHOP, edited, plain
from tests.flux_server.catalog.schema import fits
from tests.flux_server.cli.desk import Desk, live
from tests.flux_server.cli.test_catalog_changes import printed
from tests.flux_server.running import NOON

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "plans.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
CATALOG, MAPPING = (text for language, text in BLOCKS if language == "toml")
EXAMPLE = ROOT / "examples" / "plans.toml"


def section(title: str) -> str:
    """Return the text below the heading, up to the next one."""
    return re.split(r"^#+ ", PAGE.split(f"{title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def test_the_schema_is_the_documents() -> None:
    text = (ROOT / "docs" / "plans.schema.json").read_text()

    assert json.loads(text) == json.loads(json.dumps(document_schema()))


@pytest.mark.parametrize("text", [CATALOG, EXAMPLE.read_text()], ids=["docs", "example"])
def test_the_examples_can_be_applied_and_fit_the_schema(text: str) -> None:
    document = parse_catalog(text, Path("plans.toml"))

    require_applicable(document, EMPTY)
    assert document.default_plan in outcome(EMPTY, document, existing="stay", now=NOON).plans
    assert fits(document_schema(), tomllib.loads(text))


def test_the_mapping_replaces_every_price_of_the_example(tmp_path: Path) -> None:
    path = tmp_path / "live-prices.toml"
    path.write_text(MAPPING)

    copied = with_prices(parse_catalog(CATALOG, path), read_price_file(path), keep=False)

    assert "price_1QlLiveMonthly" in plain(copied)["plans"]["pro"]["prices"]


@pytest.mark.parametrize(
    ("title", "kinds"),
    [
        ("### At the top", [CatalogDocument]),
        ("### `[metrics.KEY]`", [MetricEntry]),
        ("### `[features.KEY]`", [FeatureEntry]),
        ("### `[plans.KEY]`", [PlanEntry, EntitlementEntry]),
        ("### `[policy]`, and a plan's", [PolicyEntry]),
    ],
)
def test_every_field_is_described_and_no_other(title: str, kinds: list[type[Entry]]) -> None:
    rows = re.findall(r"^\| (`.*?) \|", section(title), re.MULTILINE)
    described = {name for row in rows for name in re.findall(r"`\[?(\w+)[^`]*`", row)}

    assert described == {field.name for kind in kinds for field in msgspec.structs.fields(kind)}


def test_every_word_and_default_is_said() -> None:
    schema = json.dumps(document_schema())
    words = {word for words in re.findall(r'"enum": \[(.*?)\]', schema) for word in json.loads(f"[{words}]")}

    assert {word for word in words if f'"{word}"' not in PAGE and f"`{word}`" not in PAGE} == set()
    assert all(f"`{default}`" in PAGE for default in (PolicyEntry().leeway, PolicyEntry().grace))


def test_the_commands_do_what_the_page_says(desk: Desk) -> None:
    desk.file.write_text(CATALOG)
    commands = [line for line in PAGE.splitlines() if line.startswith("flux plans ") and "#" in line]
    reviewed, merged, nightly = (line.partition("#")[0].split()[2:] for line in commands)

    assert desk.run(*nightly).returncode == 2
    assert desk.run(*reviewed).returncode == 0
    assert desk.run(*merged).returncode == 0
    assert desk.run(*nightly).returncode == 0
    assert live(desk) == parse_catalog(CATALOG, desk.file)
    assert desk.run("diff", "plans.toml").stdout in PAGE


def test_the_schema_is_printed(desk: Desk) -> None:
    assert desk.run("schema").stdout == (ROOT / "docs" / "plans.schema.json").read_text()


def test_changes_look_as_the_page_shows_them() -> None:
    (shown,) = (text for language, text in BLOCKS if language == "text")
    lines = re.sub(r" \(\d+ organizations subscribe\)", "", shown).splitlines()
    before = edited(SHOP, "plans", "legacy", to={})
    after = edited(SHOP, "features", "audit-log", to={"kind": "boolean"})
    after = edited(after, "plans", "pro", "entitlements", "audit-log", to=True)
    after = edited(after, "plans", "pro", "entitlements", "seats", to=10)

    state = outcome(EMPTY, before, existing="stay", now=NOON)
    assert printed(*differences(state, after)) == lines
