from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from flux_server.api.problems import PROBLEM_SCHEMA


@pytest.fixture
def document(shared_admin: httpx.Client) -> dict[str, Any]:
    """The document as anybody can read it."""
    found: dict[str, Any] = httpx.get(f"{shared_admin.base_url}/v1/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_every_reference_leads_somewhere_and_every_schema_is_used(document: dict[str, Any]) -> None:
    schemas = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}

    assert set(references(document)) == schemas


def test_every_operation_has_a_name_of_its_own_and_a_summary(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, operation in operations(document)]

    assert len(names) == len(set(names)) > 30
    assert all(operation["description"].endswith((".", "?")) for _, operation in operations(document))


def test_every_parameter_of_a_path_is_declared(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        declared = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
        assert declared == set(re.findall(r"{(\w+)}", name)), name


def test_every_refusal_is_described_as_a_problem(document: dict[str, Any]) -> None:
    assert document["components"]["schemas"]["Problem"] == PROBLEM_SCHEMA
    for name, operation in operations(document):
        refusals = {s: answer for s, answer in operation["responses"].items() if not s.startswith("2")}
        assert "default" in refusals, name
        for status, answer in refusals.items():
            schema = answer["content"]["application/problem+json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Problem"}, (name, status)


def test_whatever_needs_a_key_says_so(document: dict[str, Any]) -> None:
    open_to_all = {name for name, operation in operations(document) if "security" not in operation}

    assert open_to_all == {"get /healthz", "get /metrics", "post /v1/stripe/webhooks/{token}"}
    for name, operation in operations(document):
        assert ("401" in operation["responses"]) == (name not in open_to_all), name
