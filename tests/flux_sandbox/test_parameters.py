from __future__ import annotations

from typing import Any

import pytest

from flux_sandbox.errors import InvalidParametersError
from flux_sandbox.form import Raw
from flux_sandbox.parameters import (
    METADATA,
    RANGE,
    Clearable,
    Flag,
    Kind,
    ListOf,
    Number,
    Shape,
    Text,
    TextMap,
    Unsimulated,
    Whole,
    parse,
    shape,
)


@pytest.mark.parametrize(
    ("kind", "raw", "expected"),
    [
        pytest.param(Text(), "a", "a", id="text"),
        pytest.param(Whole(), "12", 12, id="whole"),
        pytest.param(Whole(words=("now",)), "now", "now", id="word-in-place-of-a-number"),
        pytest.param(Number(), "0.50", "0.50", id="decimal"),
        pytest.param(Flag(), "false", False, id="flag"),
        pytest.param(ListOf(Text()), {"10": "b", "2": "a"}, ["a", "b"], id="list-in-order-of-numbers"),
        pytest.param(METADATA, {"0": "a"}, {"0": "a"}, id="names-may-be-digits"),
        pytest.param(METADATA, "", None, id="all-metadata-cleared"),
        pytest.param(Clearable(Text()), "", None, id="cleared"),
        pytest.param(RANGE, "5", 5, id="a-moment"),
        pytest.param(RANGE, {"gte": "5"}, {"gte": 5}, id="a-range"),
        pytest.param(Shape({"a": Whole()}), {"a": "1"}, {"a": 1}, id="nested"),
    ],
)
def test_values_are_parsed_by_their_kind(kind: Kind, raw: Raw, expected: Any) -> None:
    assert parse(shape({"x": kind}), {"x": raw}) == {"x": expected}


@pytest.mark.parametrize(
    ("kind", "raw", "code", "param"),
    [
        pytest.param(Text(), "", "parameter_invalid_empty", "x", id="empty"),
        pytest.param(Text(max_length=2), "abc", "parameter_invalid_string_too_long", "x", id="too-long"),
        pytest.param(Text(choices=("a", "b")), "c", "parameter_invalid", "x", id="not-a-choice"),
        pytest.param(Text(), {"a": "b"}, "parameter_invalid", "x", id="object-for-text"),
        pytest.param(Whole(), "1.5", "parameter_invalid_integer", "x", id="fraction"),
        pytest.param(Whole(minimum=1), "0", "parameter_invalid_integer", "x", id="too-small"),
        pytest.param(Number(), "1e3", "parameter_invalid", "x", id="exponent"),
        pytest.param(Flag(), "yes", "parameter_invalid", "x", id="not-a-boolean"),
        pytest.param(ListOf(Text()), "a", "parameter_invalid", "x", id="text-for-list"),
        pytest.param(ListOf(Text()), {"a": "b"}, "parameter_invalid", "x", id="names-for-numbers"),
        pytest.param(ListOf(Text(), 1), {"0": "a", "1": "b"}, "parameter_invalid", "x", id="too-many"),
        pytest.param(TextMap(), {"a": {"b": "c"}}, "parameter_invalid", "x[a]", id="no-text-in-a-map"),
        pytest.param(
            TextMap(max_name_length=1), {"ab": "c"}, "parameter_invalid_string_too_long", "x[ab]", id="name"
        ),
        pytest.param(Shape({}), {"a": "b"}, "parameter_unknown", "x[a]", id="unknown-inside"),
        pytest.param(Shape({"a": Text()}, ("a",)), {}, "parameter_missing", "x[a]", id="missing-inside"),
        pytest.param(
            ListOf(Shape({"a": Whole()})),
            {"0": {"a": "b"}},
            "parameter_invalid_integer",
            "x[0][a]",
            id="deep",
        ),
        pytest.param(Unsimulated(), "1", "sandbox_not_simulated", "x", id="not-simulated"),
    ],
)
def test_problems_are_told_in_stripes_words(kind: Kind, raw: Raw, code: str, param: str) -> None:
    with pytest.raises(InvalidParametersError) as refused:
        parse(shape({"x": kind}), {"x": raw})

    assert [(problem.code, problem.param) for problem in refused.value.problems] == [(code, param)]


def test_every_problem_is_kept_and_the_first_is_told() -> None:
    with pytest.raises(InvalidParametersError) as refused:
        parse(shape({"a": Whole()}, "b"), {"a": "x", "c": "y"})

    assert [problem.param for problem in refused.value.problems] == ["a", "c", "b"]
    assert refused.value.body()["error"] == {
        "code": "parameter_invalid_integer",
        "message": "Invalid integer: x",
        "param": "a",
        "type": "invalid_request_error",
    }
