from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_server.dashboard.durations import duration_words, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("14 days", 1_209_600),
        ("1 day", 86_400),
        ("2w", 1_209_600),
        ("36h", 129_600),
        ("1 day 12 hours", 129_600),
        ("1 Day, 12 Hours", 129_600),
        ("1 day and 12 hours", 129_600),
        ("90 min", 5_400),
        ("0", 0),
        ("0 days", 0),
    ],
)
def test_durations_are_read_as_people_write_them(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "14", "days", "soon", "-1 day", "1.5 days", "1 day soon", "٣ days"])
def test_what_is_no_duration_is_none(text: str) -> None:
    assert parse_duration(text) is None


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0"), (1_209_600, "14 days"), (129_601, "1 day 12 hours 1 second")]
)
def test_durations_are_said_in_full(seconds: int, words: str) -> None:
    assert duration_words(seconds) == words


@given(st.integers(0, 400 * 86_400))
def test_what_is_said_can_be_typed_again(seconds: int) -> None:
    assert parse_duration(duration_words(seconds)) == seconds
