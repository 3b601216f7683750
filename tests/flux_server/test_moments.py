from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_server.moments import InvalidMomentError, moment_text, parse_moment, parse_past_moment
from tests.flux_server.running import NOON


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        pytest.param("0", 0, id="epoch"),
        pytest.param("1760011200.9", NOON, id="fraction-of-a-second"),
        pytest.param("2025-10-09", NOON - 12 * 3600, id="date-is-its-first-second"),
        pytest.param("2025-10-09T12:00:00Z", NOON, id="utc"),
        pytest.param("2025-10-09t12:00:00z", NOON, id="lower-case"),
        pytest.param("2025-10-09 14:00:00+02:00", NOON, id="offset"),
        pytest.param("2025-10-09T12:00", NOON, id="no-offset-is-utc"),
        pytest.param("2025-10-09T12:00:00.999999Z", NOON, id="fraction"),
    ],
)
def test_moments_are_read_as_people_and_programs_write_them(text: str, moment: int) -> None:
    assert parse_moment(text) == moment
    assert parse_past_moment(f" {text} ", NOON) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "-2h",
        "nan",
        "1e9",
        "٣",
        "2025-13-01",
        "2025-02-30",
        "2025-10-09T25:00Z",
        "9" * 12,
        "1969-12-31",
        "2025-10-09T14:00:00 02:00",
        "9999-12-31",
        "2025-W41",
        "20251009T120000",
    ],
)
def test_anything_else_is_no_moment(text: str) -> None:
    with pytest.raises(InvalidMomentError):
        parse_moment(text)


@pytest.mark.parametrize(
    ("text", "before"),
    [
        ("now", 0),
        ("Yesterday", 86_400),
        ("-90s", 90),
        ("-2h", 7_200),
        ("-1w", 604_800),
        ("-999999999w", NOON),
    ],
)
def test_people_may_count_back_from_now(text: str, before: int) -> None:
    assert parse_past_moment(text, NOON + 0.7) == NOON - before


def test_what_counts_back_from_nothing_says_how_to() -> None:
    with pytest.raises(InvalidMomentError, match="-2h"):
        parse_past_moment("2 hours ago", NOON)


@given(st.integers(0, 253_370_764_799))
def test_what_is_written_is_read_again(moment: int) -> None:
    assert parse_moment(moment_text(moment)) == moment
