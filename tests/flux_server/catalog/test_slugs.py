from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_server.catalog.errors import key_error
from flux_server.catalog.slugs import slug, unique_slug


@pytest.mark.parametrize(
    ("name", "key"),
    [
        pytest.param("Pro", "pro", id="capitals"),
        pytest.param("Audit_Logs & more!", "audit-logs-more", id="others-are-hyphens"),
        pytest.param("Équipe", "equipe", id="accents"),
        pytest.param("-a.b-", "-a.b-", id="a-key-stays"),
        pytest.param("専門家", "prod-1", id="without-letters"),
        pytest.param("x" * 80, "x" * 64, id="long"),
    ],
)
def test_a_name_becomes_a_key(name: str, key: str) -> None:
    assert slug(name, "prod_1") == key


@given(st.text(), st.sets(st.sampled_from(["unnamed", "a", "a-2"])))
def test_every_name_gives_a_key_of_its_own(name: str, taken: set[str]) -> None:
    key = unique_slug(name, "", taken)

    assert key_error(key) is None
    assert key not in taken


def test_a_taken_key_gets_a_number() -> None:
    assert unique_slug("Pro", "", {"pro", "pro-2"}) == "pro-3"
    assert unique_slug("x" * 70, "", {"x" * 64}) == "x" * 62 + "-2"
