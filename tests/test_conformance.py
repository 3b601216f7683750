"""Every vector in tests/conformance holds, for Flux and for the second implementation; and they are what they claim."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from flux_middleware.entitlements import Reason, Verdict, explain, resolve
from flux_middleware.snapshot import Catalog, encode, wire_value
from tests.flux_middleware.obvious import answer
from tests.vectors import FOLDER, Case, ExpectedReason, cases, schema, themes

CASES = list(cases())
DOCS = Path(__file__).parent.parent / "docs" / "entitlements.md"
each_case = pytest.mark.parametrize(
    ("case", "catalog"),
    [pytest.param(case, catalog, id=f"{theme}: {case.name}") for theme, case, catalog in CASES],
)


@each_case
def test_vector(case: Case, catalog: Catalog) -> None:
    entitlements = resolve(catalog, case.record, case.now)

    assert moment(entitlements.until) == case.expect.until
    assert entitlements.by_feature.keys() == case.expect.features.keys()
    for key, expected in case.expect.features.items():
        found = entitlements.by_feature[key]
        assert (wire_value(found.value), found.enforcement or None) == (expected.value, expected.enforcement)
        assert found.period is None or (found.period[0], moment(found.period[1])) == expected.period
        assert expected.until in (msgspec.UNSET, moment(found.until))
        if expected.reasons is not msgspec.UNSET:
            assert mismatched(found.reasons, expected.reasons) == []


@each_case
def test_vector_of_the_second_implementation(case: Case, catalog: Catalog) -> None:
    found = answer(builtins(catalog), builtins(case.record), case.now)

    assert moment(found["until"]) == case.expect.until
    assert found["features"].keys() == case.expect.features.keys()
    for key, expected in case.expect.features.items():
        feature = found["features"][key]
        assert (feature["value"], feature.get("enforcement")) == (expected.value, expected.enforcement)
        assert expected.until in (msgspec.UNSET, moment(feature["until"]))


@pytest.mark.parametrize(
    ("case", "catalog"),
    [pytest.param(case, it, id=case.name) for _, case, it in CASES if case.expect.explain],
)
def test_explanation(case: Case, catalog: Catalog) -> None:
    explained = explain(catalog, case.record, case.now)

    assert moment(explained.until) == case.expect.until
    for key, expected in case.expect.explain.items():
        assert mismatched(explained.by_feature[key].reasons, expected) == []


def test_there_are_enough_cases_each_with_a_sentence_of_its_own() -> None:
    names = Counter(case.name for _, case, _ in CASES)

    assert len(names) >= 300
    assert max(names.values()) == 1
    assert [name for name in names if len(name.split()) < 4 or name.endswith(".")] == []


def test_every_verdict_is_in_a_vector() -> None:
    written_down = {reason.verdict for _, case, _ in CASES for reason in reasons_of(case)}

    assert written_down == set(Verdict)


@pytest.mark.parametrize(
    "path", [path for path in themes() if path.stem != "wire"], ids=lambda path: path.stem
)
def test_nothing_is_misspelled(path: Path) -> None:
    vectors = json.loads(path.read_text())
    used = {key for case in vectors["cases"] for key in keys_in([case["catalog"], case["record"]])}
    used |= {key for catalog in vectors.get("catalogs", {}).values() for key in keys_in(catalog)}

    assert used <= fields_of(schema()) | FREE_KEYS


def test_the_schema_is_that_of_the_types_that_read_the_vectors() -> None:
    assert json.loads((FOLDER / "schema.json").read_text()) == schema(), (
        "write tests.vectors.schema() to tests/conformance/schema.json"
    )


def test_every_file_of_vectors_is_named_by_the_rules_and_by_its_readme() -> None:
    names = {path.name for path in themes()}

    assert set(re.findall(r"conformance/([a-z_]+\.json)", DOCS.read_text())) == names
    assert set(re.findall(r"`([a-z_]+\.json)`", (FOLDER / "README.md").read_text())) == names | {
        "schema.json"
    }


def moment(time: float) -> int | None:
    return None if math.isinf(time) else int(time)


def mismatched(found: Iterable[Reason], expected: Iterable[ExpectedReason]) -> list[object]:
    """Return the expected reasons that nothing says, and what is said that was not expected."""
    left, missing = list(found), []
    for wanted in expected:
        match = next((reason for reason in left if says(reason, wanted)), None)
        if match is None:
            missing.append(wanted)
        else:
            left.remove(match)
    return [*missing, *left]


def says(reason: Reason, wanted: ExpectedReason) -> bool:
    actual = {name: getattr(reason, name) for name in wanted.__struct_fields__}
    actual |= {
        "value": wire_value(reason.value),
        "since": moment(reason.since),
        "until": moment(reason.until),
    }
    return all(getattr(wanted, name) in (msgspec.UNSET, actual[name]) for name in actual)


def reasons_of(case: Case) -> Iterator[ExpectedReason]:
    for expected in case.expect.features.values():
        yield from () if isinstance(expected.reasons, msgspec.UnsetType) else expected.reasons
    for reasons in case.expect.explain.values():
        yield from reasons


def builtins(value: msgspec.Struct) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(encode(value)))


FREE_KEYS = {
    "trialing",
    "active",
    "past_due",
    "unpaid",
    "incomplete",
    "paused",
    "canceled",
    "incomplete_expired",
}
FREE_KEYS |= {"dormant", "basic", "pro", "pack", "gone"}  # plans and statuses that policies are by


def keys_in(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {key for each in value.values() for key in keys_in(each)}
    if isinstance(value, list):
        return {key for each in value for key in keys_in(each)}
    return set()


def fields_of(described: dict[str, Any]) -> set[str]:
    return {key for each in described["$defs"].values() for key in each.get("properties", ())}
