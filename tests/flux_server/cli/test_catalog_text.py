from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given

from flux_server.catalog.document import CatalogDocument, document_json
from flux_server.cli.catalog_file import parse_catalog
from flux_server.cli.catalog_text import document_text, toml_value
from tests.flux_server.catalog.documents import SHOP, documents

FILE = Path("plans.toml")

SHOP_TEXT = """\
default_plan = "free"

[metrics.api-calls]
name = "API calls"
unit = "calls"

[features.calls]
kind = "limit"
metric = "api-calls"
reset = "month"

[features.seats]
kind = "limit"
merge = "sum"

[features.sso]
kind = "boolean"

[plans.free.entitlements]
seats = 1

[plans.pack]
kind = "addon"
prices = ["price_pack"]

[plans.pack.entitlements]
seats = 10

[plans.pro]
name = "Pro"
prices = [{ price = "price_calls", metric = "api-calls" }, "price_month"]

[plans.pro.entitlements]
calls = { value = 1000, enforcement = "soft" }
seats = { value = 5, per_unit = true }
sso = true
"""


def test_a_catalog_is_written_as_a_person_would() -> None:
    assert document_text(SHOP) == SHOP_TEXT


@given(documents())
def test_what_is_written_is_read_again(document: CatalogDocument) -> None:
    text = document_text(document)

    assert document_json(parse_catalog(text, FILE)) == document_json(document)


@pytest.mark.parametrize(
    "value",
    ['quo"te', "back\\slash", "two\nlines", "\x7f\x1b[31m", "größer", "", [], {}, {"a.b": [1, {"c": True}]}],
    ids=repr,
)
def test_a_value_is_written_on_one_line_that_toml_reads(value: object) -> None:
    text = toml_value(value)

    assert tomllib.loads(f"x = {text}") == {"x": value}
    assert text.isprintable()


def test_many_prices_stand_below_each_other() -> None:
    prices = [f"price_{number:030}" for number in range(4)]
    document = parse_catalog(f"[plans.pro]\nprices = {toml_value(prices)}\n", FILE)

    assert document_text(document).splitlines()[1:3] == ["prices = [", f'    "{prices[0]}",']
