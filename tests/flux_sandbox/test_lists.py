from __future__ import annotations

from typing import Any

import pytest

from flux_sandbox.errors import StripeError
from flux_sandbox.lists import in_range, page

NEWEST_FIRST = [{"id": str(number)} for number in range(9, -1, -1)]


@pytest.mark.parametrize(
    ("params", "expected", "more"),
    [
        pytest.param({}, "9876543210", False, id="ten-by-default"),
        pytest.param({"limit": 3}, "987", True, id="limit"),
        pytest.param({"limit": 3, "starting_after": "7"}, "654", True, id="next-page"),
        pytest.param({"limit": 3, "starting_after": "2"}, "10", False, id="last-page"),
        pytest.param({"limit": 3, "ending_before": "2"}, "543", True, id="page-before"),
        pytest.param({"limit": 3, "ending_before": "8"}, "9", False, id="nothing-newer-left"),
    ],
)
def test_pages(params: dict[str, Any], expected: str, more: bool) -> None:
    found = page("/v1/things", NEWEST_FIRST, params)

    assert "".join(one["id"] for one in found["data"]) == expected
    assert found["has_more"] is more


def test_a_cursor_need_not_match_nor_exist_any_longer() -> None:
    things: list[dict[str, Any]] = [{"id": "3"}, {"id": "2", "deleted": True}, {"id": "1"}]

    older = page("/v1/things", things, {"starting_after": "2"})
    newer = page("/v1/things", things, {"ending_before": "1"}, lambda thing, _: thing["id"] != "1")

    assert [one["id"] for one in older["data"]] == ["1"]
    assert [one["id"] for one in newer["data"]] == ["3"]


@pytest.mark.parametrize(
    "params",
    [
        pytest.param({"starting_after": "nobody"}, id="unknown-cursor"),
        pytest.param({"starting_after": "1", "ending_before": "2"}, id="two-cursors"),
    ],
)
def test_bad_cursors_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(StripeError):
        page("/v1/things", NEWEST_FIRST, params)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (None, True),
        (5, True),
        (6, False),
        ({"gte": 5, "lt": 6}, True),
        ({"gt": 5}, False),
        ({"lte": 4}, False),
    ],
)
def test_ranges(wanted: Any, expected: bool) -> None:
    assert in_range(5, wanted) is expected
