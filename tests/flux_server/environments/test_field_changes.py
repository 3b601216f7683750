from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_server.environments.field_changes import field_changes

RECORD: dict[str, Any] = {
    "type": "organization",
    "id": "acme",
    "revision": 7,
    "subscriptions": [{"id": "sub_1", "status": "active", "items": [{"id": "si_1", "quantity": 3}]}],
    "overrides": [{"id": "o1", "feature": "seats", "value": 5}],
}


def changed(before: object, after: object) -> list[tuple[str, object, object]]:
    states = [None if state is None else json.dumps(state) for state in (before, after)]
    return [(change.path, change.before, change.after) for change in field_changes(*states)]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param({"name": "A"}, {"name": "B"}, [("name", "A", "B")], id="changed"),
        pytest.param(None, {"name": "A"}, [("name", None, "A")], id="made"),
        pytest.param({"name": "A"}, None, [("name", "A", None)], id="gone"),
        pytest.param({"value": 1}, {"value": True}, [("value", 1, True)], id="one-is-not-true"),
        pytest.param(
            {"type": "x", "id": "1", "revision": 1}, {"revision": 2}, [], id="its-place-is-not-told"
        ),
        pytest.param({"a": None}, {}, [], id="nothing-is-nothing"),
        pytest.param(
            {"customers": ["a", "b"]}, {"customers": ["b"]}, [("customers[a]", "a", None)], id="out-of-a-list"
        ),
        pytest.param(
            {"prices": []}, {"prices": [{"price": "p"}]}, [("prices[p].price", None, "p")], id="only-a-name"
        ),
        pytest.param(
            {"l": ["a", "a"]}, {"l": ["b", "b"]}, [("l[0]", "a", "b"), ("l[1]", "a", "b")], id="twins"
        ),
    ],
)
def test_fields_that_differ_are_told(before: object, after: object, expected: list[object]) -> None:
    assert changed(before, after) == expected


def test_what_is_in_a_list_is_named_by_its_id() -> None:
    after = json.loads(json.dumps(RECORD))
    after["subscriptions"][0]["items"][0]["quantity"] = 4
    after["subscriptions"].insert(0, {"id": "sub_0", "status": "trialing", "items": []})
    after["overrides"] = []

    assert changed(RECORD, after) == [
        ("subscriptions[sub_1].items[si_1].quantity", 3, 4),
        ("overrides[o1].feature", "seats", None),
        ("overrides[o1].value", 5, None),
        ("subscriptions[sub_0].status", None, "trialing"),
    ]


scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3)
states = st.dictionaries(
    st.text(max_size=3),
    st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner)
    ),
    max_size=3,
)


@given(states)
def test_a_state_does_not_differ_from_itself(state: dict[str, object]) -> None:
    assert changed(state, state) == []


@given(states, states)
def test_changing_back_is_the_same_the_other_way_round(
    one: dict[str, object], other: dict[str, object]
) -> None:
    forth, back = changed(one, other), changed(other, one)

    assert sorted(map(str, forth)) == sorted(str((path, after, before)) for path, before, after in back)
