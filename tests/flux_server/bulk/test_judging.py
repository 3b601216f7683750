from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest

from flux_middleware.snapshot import Feature, Override
from flux_server.bulk.judging import Change, Stored, judge
from flux_server.bulk.rows import Duplicates, Row
from tests.flux_server.running import NOON

KEPT = Override("o1", "seats", "set", 50, NOON + 9, "ada", "pilot")
OVER = Override("o0", "seats", "set", 20, NOON - 9, "ada", "pilot")
STORED = Stored(
    names={"acme": "Acme", "globex": "Globex"},
    overrides={"acme": (OVER, KEPT)},
    owners={"cus_1": "acme", "cus_2": "globex", "cus_3": None},
    features={"seats": Feature("seats", "limit"), "sso": Feature("sso", "boolean")},
)


def judged(organization: str = "acme", **row: Any) -> Change:
    ids = (f"new-{number}" for number in itertools.count())
    return judge(Row(2, organization, **row), STORED, author="import", new_id=lambda: next(ids), now=NOON)


def given(**changes: Any) -> tuple[Override, ...]:
    return (msgspec.structs.replace(KEPT, id="", author="", **changes),)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param({}, id="only-an-id"),
        pytest.param({"name": "Acme"}, id="same-name"),
        pytest.param({"stripe_customers": ("cus_1",)}, id="same-customer"),
        pytest.param({"overrides": given()}, id="same-override"),
        pytest.param({"overrides": given(reason="  pilot\n")}, id="other-white-space"),
        pytest.param({"overrides": (KEPT,)}, id="same-override-by-id"),
        pytest.param({"overrides": (OVER, KEPT)}, id="also-one-that-is-over"),
    ],
)
def test_what_is_so_already_changes_nothing(row: dict[str, Any]) -> None:
    change = judged(**row)

    assert change.is_nothing
    assert change.errors == ()


def test_a_new_organization_is_made_also_without_a_name() -> None:
    assert judged("initech").is_new
    assert judged("initech").name == ""


def test_a_name_and_customers_of_nobody_are_taken() -> None:
    change = judged(name="ACME", stripe_customers=("cus_1", "cus_3", "cus_9"))

    assert (change.name, change.customers, change.is_new) == ("ACME", ("cus_3", "cus_9"), False)


def test_an_override_is_the_one_of_same_feature_effect_and_reason_that_lasts() -> None:
    change = judged(overrides=given(value=60, until=None))

    assert change.changed_overrides == (Override("o1", "seats", "set", 60, None, "ada", "pilot"),)
    assert change.new_overrides == ()


def test_an_override_is_the_one_of_its_id() -> None:
    change = judged(overrides=(Override("o1", "sso", "deny", reason="unpaid"),))

    assert change.changed_overrides == (Override("o1", "sso", "deny", author="ada", reason="unpaid"),)


@pytest.mark.parametrize(
    "changes", [{"reason": "else"}, {"effect": "add"}, {"feature": "sso", "value": True}]
)
def test_an_override_of_another_reason_effect_or_feature_is_new(changes: dict[str, Any]) -> None:
    change = judged(overrides=given(**changes))

    (new,) = change.new_overrides
    assert (new.id, new.author, change.changed_overrides) == ("new-0", "import", ())


def test_two_overrides_of_a_row_are_not_one() -> None:
    change = judged(overrides=given(until=None) + given(value=60, until=None))

    assert len(change.changed_overrides) == len(change.new_overrides) == 1


@pytest.mark.parametrize(
    ("row", "field", "detail"),
    [
        pytest.param(
            {"stripe_customers": ("cus_2",)}, "stripe_customers", "'globex'", id="anothers-customer"
        ),
        pytest.param(
            {"overrides": given(feature="magic")}, "override.magic", "no such feature", id="feature"
        ),
        pytest.param({"overrides": given(value=True)}, "override.seats", "whole number", id="value"),
        pytest.param({"overrides": given(effect="give")}, "override.seats", "one of set", id="effect"),
        pytest.param(
            {"overrides": given(until=NOON)}, "override.seats", "not in the future", id="over-already"
        ),
    ],
)
def test_what_does_not_fit_is_refused(row: dict[str, Any], field: str, detail: str) -> None:
    (error,) = judged(**row).errors

    assert (error.row, error.field) == (2, field)
    assert detail in error.detail


def test_a_file_names_an_organization_and_a_customer_once() -> None:
    seen = Duplicates()

    assert seen.errors(Row(2, "a", stripe_customers=("cus_1",))) == ()
    assert [error.field for error in seen.errors(Row(3, "a"))] == ["id"]
    assert [error.field for error in seen.errors(Row(4, "b", stripe_customers=("cus_1",)))] == [
        "stripe_customers"
    ]
    assert seen.errors(Row(5, "b")) == (), "row 4 was refused, so row 5 is no repetition"
