from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_server.catalog.document import CatalogDocument, document_json, document_schema
from flux_server.catalog.document_reading import read_document
from flux_server.catalog.errors import InvalidDocumentError, place
from tests.flux_server.catalog.documents import SHOP, documents, plain
from tests.flux_server.catalog.schema import fits


def complaints(data: object) -> dict[str, str]:
    """Return what is said to be wrong, by place."""
    try:
        read_document(data)
    except InvalidDocumentError as refused:
        return {place(wrong.at): wrong.detail for wrong in refused.wrong}
    return {}


def in_plan(**members: object) -> dict[str, Any]:
    return {"plans": {"pro": members}}


@given(documents())
def test_a_document_is_read_from_its_json(document: CatalogDocument) -> None:
    assert read_document(plain(document)) == document
    assert document_json(read_document(plain(document))) == document_json(document)


def test_what_means_the_same_is_equal() -> None:
    long = {
        "default_plan": None,
        "policy": {"leeway": 3 * 86_400},
        "features": {
            "sso": {"kind": "boolean", "merge": "any", "name": ""},
            "seats": {"kind": "limit", "merge": "base_plus_addons", "reset": "billing"},
        },
        "plans": {
            "pro": {
                "name": "pro",
                "kind": "base",
                "prices": ["b", {"price": "a"}],
                "entitlements": {"seats": {"value": 5, "per_unit": False}},
            }
        },
    }
    short = {
        "features": {"seats": {"kind": "limit"}, "sso": {"kind": "boolean"}},
        "plans": {"pro": {"prices": ["a", "b"], "entitlements": {"seats": 5}}},
    }

    assert document_json(read_document(long)) == document_json(read_document(short))


@pytest.mark.parametrize(
    ("data", "at", "complaint"),
    [
        pytest.param([], "the document", "a table belongs here, not []", id="no-table"),
        pytest.param({"plan": {}}, "plan", "no such field; did you mean 'plans'?", id="unknown-section"),
        pytest.param({"x": 1}, "x", "there is no such field", id="nothing-like-it"),
        pytest.param(in_plan(naem=""), "plans.pro.naem", "did you mean 'name'?", id="unknown-field"),
        pytest.param(in_plan(kind="adon"), "plans.pro.kind", "\"base\", not 'adon'; did you", id="word"),
        pytest.param(in_plan(name=5), "plans.pro.name", "a text of 0 to 255 characters, not 5", id="text"),
        pytest.param(in_plan(name="n" * 256), "plans.pro.name", "0 to 255 characters", id="long-text"),
        pytest.param(in_plan(name="\0"), "plans.pro.name", "cannot hold the character NUL", id="nul"),
        pytest.param(in_plan(published=1), "plans.pro.published", "give true or false, not 1", id="flag"),
        pytest.param(in_plan(prices="p"), "plans.pro.prices", "a list belongs here, not 'p'", id="no-list"),
        pytest.param(in_plan(prices=["p"] * 101), "plans.pro.prices", "100 is the most", id="long-list"),
        pytest.param(in_plan(prices=["a", 7]), "plans.pro.prices.1", "1 to 255 characters, not 7", id="item"),
        pytest.param(
            in_plan(prices=[{}]), "plans.pro.prices.0.price", "is missing: give a text", id="missing"
        ),
        pytest.param(in_plan(policy=7), "plans.pro.policy", "a table belongs here, not 7", id="no-policy"),
        pytest.param({"policy": {"grace": -1}}, "policy.grace", "from 0 to 31622400, not -1", id="range"),
        pytest.param(
            {"policy": {"statuses": {"gone": "grant"}}}, "policy.statuses.gone", "give", id="status"
        ),
        pytest.param({"plans": {"Pro": {}}}, "plans.Pro", "1 to 64 of a-z", id="key"),
        pytest.param({"plans": {"p\n": {}}}, 'plans."p\\n"', "1 to 64 of a-z", id="key-of-two-lines"),
        pytest.param({"features": {"a.b": {}}}, 'features."a.b".kind', '"boolean" or "limit"', id="no-kind"),
        pytest.param(
            in_plan(entitlements={"seats": 1.5}), "plans.pro.entitlements.seats", "not 1.5", id="fraction"
        ),
        pytest.param(
            in_plan(entitlements={"seats": "many"}), "plans.pro.entitlements.seats", '"unlimited"', id="value"
        ),
        pytest.param(
            in_plan(entitlements={"seats": {"value": 2**53}}),
            "plans.pro.entitlements.seats.value",
            "from 0 to 9007199254740991",
            id="too-large",
        ),
    ],
)
def test_a_malformed_document_is_told_where(data: object, at: str, complaint: str) -> None:
    found = complaints(data)

    assert list(found) == [at]
    assert complaint in found[at]


def test_everything_wrong_is_named_at_once() -> None:
    data = {"default_plan": 1, "features": {"sso": {}}, "plans": {"pro": {"prcies": [], "kind": 2}}}

    assert list(complaints(data)) == [
        "default_plan",
        "features.sso.kind",
        "plans.pro.prcies",
        "plans.pro.kind",
    ]


def test_the_message_of_a_hopeless_document_stays_short() -> None:
    with pytest.raises(InvalidDocumentError, match="and 1,980 more") as refused:
        read_document({f"x{number}": 1 for number in range(2_000)})

    assert len(str(refused.value)) < 2_000


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2**54) | st.sampled_from(["unlimited", "", "sso", "\0", 1.5]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["kind", "value", "price", "sso", "entitlements"]), inner, max_size=3
        )
    ),
    max_leaves=4,
)


@given(documents(), st.data())
def test_the_schema_takes_what_is_read_and_nothing_else(
    document: CatalogDocument, data: st.DataObject
) -> None:
    mutant = plain(document)
    _put_junk(mutant, data)

    wrong = complaints(mutant)

    assert bool(wrong) != fits(document_schema(), mutant)
    assert "the document" not in wrong, "a part of it is named, not the whole"


def _put_junk(at: dict[str, Any], data: st.DataObject) -> None:
    """Replace something, however deep, by anything."""
    key = data.draw(st.sampled_from([*at, "name", "kind", "default_plan"]))
    if isinstance(at.get(key), dict) and data.draw(st.sampled_from([True, True, False])):
        _put_junk(at[key], data)
    else:
        at[key] = data.draw(JUNK)


def test_the_shop_fits_the_schema() -> None:
    assert fits(document_schema(), plain(SHOP))
