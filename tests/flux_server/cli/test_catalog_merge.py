from __future__ import annotations

import difflib
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flux_server.catalog.document import CatalogDocument, document_json
from flux_server.cli.catalog_file import parse_catalog
from flux_server.cli.catalog_merge import merged
from flux_server.cli.catalog_text import document_text
from flux_server.cli.running import CommandError
from tests.flux_server.catalog.documents import documents, edited, plain
from tests.flux_server.cli.toml import HAND_WRITTEN, handwritten

FILE = Path("plans.toml")
PRESENT = parse_catalog(HAND_WRITTEN, FILE)


def changed_lines(document: CatalogDocument) -> list[str]:
    """Return the lines that a pull takes out of the hand-written file, and those it puts in."""
    diff = difflib.ndiff(HAND_WRITTEN.splitlines(), merged(HAND_WRITTEN, document, FILE).splitlines())
    return [line for line in diff if line[0] in "+-"]


def test_a_file_that_says_what_is_live_stays_as_it_is() -> None:
    assert merged(HAND_WRITTEN, PRESENT, FILE) == HAND_WRITTEN


@pytest.mark.parametrize(
    ("path", "to", "lines"),
    [
        pytest.param(
            "plans.pro.entitlements.seats",
            {"value": 9, "per_unit": True},
            [
                "-   seats = { value = 5, per_unit = true } # per seat",
                "+   seats = { value = 9, per_unit = true } # per seat",
            ],
            id="inline-table",
        ),
        pytest.param(
            "plans.pro.entitlements.seats",
            9,
            ["-   seats = { value = 5, per_unit = true } # per seat", "+   seats = 9 # per seat"],
            id="inline-table-becomes-short",
        ),
        pytest.param("plans.pro.name", "Max", ["- name = 'Pro'", '+ name = "Max"'], id="value"),
        pytest.param("plans.pro.description", "New", ['+ description = "New"'], id="new-field"),
        pytest.param("plans.pro.entitlements.sso", None, ["-   sso = true"], id="gone"),
        pytest.param("features.seats.merge", None, ['- seats.merge = "sum"'], id="dotted-gone"),
        pytest.param(
            "features.seats.merge",
            "max",
            ['- seats.merge = "sum"', '+ seats.merge = "max"'],
            id="dotted",
        ),
        pytest.param(
            "plans.free.entitlements.sso",
            True,
            [
                "- free.entitlements = { seats = 1 }  # inline",
                "+ free.entitlements = { seats = 1, sso = true }  # inline",
            ],
            id="into-an-inline-table",
        ),
        pytest.param(
            "plans.pro.prices",
            ["price_month", "price_new", {"price": "price_calls", "metric": "api-calls"}],
            ['-     "price_year",', '+     "price_new",'],
            id="price-of-many",
        ),
        pytest.param(
            "default_plan",
            None,
            ['- default_plan = "free"   # everybody starts here'],
            id="default-plan-gone",
        ),
        pytest.param(
            "plans.team",
            {"prices": ["price_team"], "entitlements": {"sso": True}},
            [
                "+ ",
                "+ [plans.team]",
                '+ prices = ["price_team"]',
                "+ ",
                "+ [plans.team.entitlements]",
                "+ sso = true",
            ],
            id="new-plan-after-the-others",
        ),
    ],
)
def test_only_the_lines_that_say_otherwise_change(path: str, to: object, lines: list[str]) -> None:
    document = edited(PRESENT, *path.split("."), to=to)

    assert sorted(changed_lines(document)) == sorted(lines)


def test_what_was_said_in_more_words_than_needed_stays_so() -> None:
    renamed = merged(HAND_WRITTEN, edited(PRESENT, "plans", "pro", "name", to="Max"), FILE)

    assert 'kind = "base"           # said, though it is the default' in renamed


@settings(max_examples=150, deadline=None)
@given(documents(), documents(), st.integers(0, 2**32))
def test_any_file_becomes_any_catalog(before: CatalogDocument, after: CatalogDocument, taste: int) -> None:
    text = handwritten(plain(before), Random(taste))
    assert parse_catalog(text, FILE) == before, "the file is what it is meant to be"

    assert merged(text, before, FILE) == text
    assert document_json(parse_catalog(merged(text, after, FILE), FILE)) == document_json(after)


@settings(max_examples=100, deadline=None)
@given(documents(), documents(), st.randoms(use_true_random=False))
def test_tables_may_stand_in_any_order(
    before: CatalogDocument, after: CatalogDocument, order: Random
) -> None:
    top, *tables = ["", *document_text(before).split("\n\n")]
    if tables and not tables[0].startswith("["):
        top = tables.pop(0)
    order.shuffle(tables)
    text = "\n\n".join([top, *tables]) + "\n"
    assert parse_catalog(text, FILE) == before

    assert document_json(parse_catalog(merged(text, after, FILE), FILE)) == document_json(after)


def test_ends_of_lines_stay_as_they_are() -> None:
    windows = HAND_WRITTEN.replace("\n", "\r\n")

    assert merged(windows, PRESENT, FILE) == windows


def test_a_file_that_is_no_catalog_is_not_touched() -> None:
    with pytest.raises(CommandError, match=r"plans.toml: plans.pro.naem: there is no such field; did you"):
        merged("[plans.pro]\nnaem = 1\n", PRESENT, FILE)


def test_true_of_a_capability_becomes_1_of_a_limit() -> None:
    flag = '[features.beta]\nkind = "boolean"\n\n[plans.pro.entitlements]\nbeta = true\n'
    number = flag.replace("boolean", "limit").replace("true", "1")

    assert merged(flag, parse_catalog(number, FILE), FILE) == number
