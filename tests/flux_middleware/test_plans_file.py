"""A catalog file sells without a server what it sells with one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from flux_middleware.errors import ConfigurationError
from flux_middleware.plans_file import read_plans_file
from flux_server.catalog.document import CatalogDocument
from flux_server.catalog.document_reading import read_document
from flux_server.catalog.document_state import outcome
from flux_server.cli.catalog_file import read_catalog_file
from flux_server.cli.catalog_text import document_text
from tests.flux_server.catalog.documents import EMPTY, documents
from tests.flux_server.running import NOON

EXAMPLE = Path(__file__).parents[2] / "examples" / "plans.toml"


def test_the_example_is_what_workers_get_of_it() -> None:
    served = outcome(EMPTY, read_catalog_file(EXAMPLE), existing="stay", now=NOON).wire()

    assert read_plans_file(EXAMPLE) == served
    assert len(served.plan_versions) == 4


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=documents())
def test_any_file_is_what_workers_get_of_it(document: CatalogDocument, tmp_path: Path) -> None:
    file = tmp_path / "plans.toml"
    file.write_text(document_text(document), encoding="utf-8")

    served = outcome(EMPTY, document, existing="stay", now=NOON).wire()

    assert read_plans_file(file) == served


@pytest.mark.parametrize(
    ("text", "error"),
    [
        pytest.param("[features", "no catalog file", id="not-toml"),
        pytest.param("[features.sso]\n", "kind", id="no-kind"),
        pytest.param("[features.sso]\nkind = 'bool'\n", "kind", id="unknown-kind"),
        pytest.param("[feature.sso]\nkind = 'boolean'\n", "unknown field `feature`", id="misspelt-table"),
        pytest.param("[plans.pro.entitlements]\nss0 = true\n", "grants 'ss0'", id="misspelt-feature"),
    ],
)
def test_what_is_no_catalog_is_refused_and_named(text: str, error: str, tmp_path: Path) -> None:
    file = tmp_path / "plans.toml"
    file.write_text(text)

    with pytest.raises(ConfigurationError, match=error) as refused:
        read_plans_file(file)
    assert str(file) in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_plans_file(tmp_path / "plans.toml")


def test_an_empty_file_sells_nothing(tmp_path: Path) -> None:
    file = tmp_path / "plans.toml"
    file.write_text("")

    assert read_plans_file(file) == outcome(EMPTY, read_document({}), existing="stay", now=NOON).wire()
