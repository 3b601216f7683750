from __future__ import annotations

import pytest

from flux_middleware.snapshot import Feature, WireValue
from flux_server.dashboard.forms import Form
from flux_server.errors import ConflictError, InvalidRequestError

SSO, SEATS = Feature("sso", "boolean"), Feature("seats", "limit")


@pytest.mark.parametrize(
    ("typed", "feature", "value"),
    [
        pytest.param("", SSO, None, id="nothing"),
        pytest.param(" Yes ", SSO, True, id="yes"),
        pytest.param("false", SSO, False, id="false"),
        pytest.param("0", SEATS, 0, id="zero"),
        pytest.param("100,000", SEATS, 100_000, id="commas"),
        pytest.param("1,234,567", SEATS, 1_234_567, id="two-commas"),
        pytest.param("100 000", SEATS, 100_000, id="spaces"),
        pytest.param("100\u202f000", SEATS, 100_000, id="narrow-spaces"),
        pytest.param("100_000", SEATS, 100_000, id="underscores"),
        pytest.param("-5", SEATS, -5, id="negative"),
        pytest.param("-1,000", SEATS, -1_000, id="negative-commas"),
        pytest.param("UNLIMITED", SEATS, "unlimited", id="unlimited"),
    ],
)
def test_values_are_read_as_people_write_them(typed: str, feature: Feature, value: WireValue | None) -> None:
    form = Form.of({"value": typed})

    assert form.value("value", feature) == value
    assert form.ok


@pytest.mark.parametrize(
    ("typed", "feature"),
    [
        pytest.param("5", SSO, id="number-for-a-boolean"),
        pytest.param("maybe", SSO, id="neither"),
        pytest.param("yes", SEATS, id="truth-for-a-limit"),
        pytest.param("1.5", SEATS, id="fraction"),
        pytest.param("1,5", SEATS, id="decimal-comma"),
        pytest.param("1000,000", SEATS, id="odd-commas"),
        pytest.param(",000", SEATS, id="leading-comma"),
        pytest.param("--5", SEATS, id="two-signs"),
        pytest.param("٣", SEATS, id="other-digits"),
        pytest.param("9" * 30, SEATS, id="endless"),
        pytest.param("1e3", SEATS, id="exponent"),
    ],
)
def test_what_is_no_value_is_said_next_to_the_field(typed: str, feature: Feature) -> None:
    form = Form.of({"value": typed})

    assert form.value("value", feature) is None
    assert form.errors.keys() == {"value"}


@pytest.mark.parametrize(
    ("typed", "moment"),
    [
        ("", None),
        ("2025-10-09T12:00", 1_760_011_200),
        ("2025-10-09 12:00", 1_760_011_200),
        ("2025-10-09T14:00+02:00", 1_760_011_200),
        ("2025-10-09", 1_759_968_000),
    ],
)
def test_moments_are_utc_unless_they_say_otherwise(typed: str, moment: int | None) -> None:
    form = Form.of({"until": typed})

    assert form.moment("until") == moment
    assert form.ok


@pytest.mark.parametrize("typed", ["soon", "2025-13-01", "12:00"])
def test_what_is_no_moment_is_said(typed: str) -> None:
    form = Form.of({"until": typed})

    assert form.moment("until") is None
    assert "give a date" in form.errors["until"]


def test_what_a_concept_refuses_becomes_an_error_of_the_form() -> None:
    form = Form()
    with form.tried():
        raise ConflictError("there is one already")

    assert (form.refusals, form.status, form.ok) == (["there is one already"], 409, False)


def test_everything_that_is_wrong_is_listed() -> None:
    form = Form()
    with form.tried():
        raise InvalidRequestError("a: x; y", errors=["x", "y"])

    assert form.refusals == ["x", "y"]


def test_other_errors_are_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), Form().tried():
        raise ZeroDivisionError


def test_no_nul_gets_through() -> None:
    assert Form([("name", "a\0b")]).text("name") == "ab"
