from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate

from flux_server.api.examples import BODIES
from flux_server.api.problems import PROBLEM_SCHEMA
from tests.flux_server.api.routes import PUBLIC


@pytest.fixture
def document(shared_admin: httpx.Client) -> dict[str, Any]:
    """The document as anybody can read it."""
    found: dict[str, Any] = httpx.get(f"{shared_admin.base_url}/v1/openapi.json", timeout=30).json()
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


def test_the_document_is_openapi(document: dict[str, Any]) -> None:
    validate(document)

    assert document["openapi"].startswith("3.1.")


def test_every_reference_leads_somewhere_and_every_component_is_used(document: dict[str, Any]) -> None:
    parts = {part: document["components"][part] for part in ("schemas", "responses")}
    components = {f"#/components/{part}/{name}" for part, named in parts.items() for name in named}

    assert set(references(document)) == components


def test_every_operation_has_a_name_of_its_own_and_says_what_it_does(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, operation in operations(document)]
    tags = {tag["name"] for tag in document["tags"]}

    assert len(names) == len(set(names)) > 30
    assert all(re.fullmatch(r"[a-z][a-z_]+", name) for name in names)
    for name, operation in operations(document):
        assert set(operation["tags"]) <= tags, name
        assert operation["description"].partition("\n")[0].rstrip(".") == operation["summary"], name


def test_every_parameter_is_declared_and_described(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        parameters = operation.get("parameters", [])
        declared = {parameter["name"] for parameter in parameters if parameter["in"] == "path"}
        assert declared == set(re.findall(r"{(\w+)}", name)), name
        for parameter in parameters:
            assert parameter.get("description", "").endswith("."), (name, parameter)
            assert "anyOf" not in parameter["schema"], (name, parameter)


def test_every_refusal_is_described_as_a_problem_with_an_example_of_each_code(
    document: dict[str, Any],
) -> None:
    assert document["components"]["schemas"]["Problem"] == PROBLEM_SCHEMA
    for name, operation in operations(document):
        refused = {status for status in operation["responses"] if status[0] in "45"}
        assert {"500", "503"} <= refused, name
        for status in refused:
            described = operation["responses"][status]
            assert described == {"$ref": f"#/components/responses/Problem{status}"}, (name, status)
    for name, response in document["components"]["responses"].items():
        problems = response["content"]["application/problem+json"]
        assert problems["schema"] == {"$ref": "#/components/schemas/Problem"}
        for code, example in problems["examples"].items():
            assert (example["value"]["code"], f"Problem{example['value']['status']}") == (code, name)


def test_whatever_needs_a_key_says_which_scope(document: dict[str, Any]) -> None:
    (scheme,) = document["components"]["securitySchemes"].items()
    assert (scheme[0], scheme[1]["type"], scheme[1]["scheme"]) == ("ApiKey", "http", "bearer")
    for name, operation in operations(document):
        method, path = name.split()
        if PUBLIC.get(path) == method:
            assert "security" not in operation, name
            continue
        ((scope,),) = (requirement["ApiKey"] for requirement in operation["security"])
        assert f"`{scope}`" in operation["description"], name
        assert {"401", "403"} <= operation["responses"].keys(), name


def test_every_write_can_carry_an_idempotency_key_but_those_that_need_none(document: dict[str, Any]) -> None:
    without = {
        name
        for name, operation in operations(document)
        if not name.startswith("get ")
        and "Idempotency-Key" not in {parameter["name"] for parameter in operation.get("parameters", ())}
    }

    assert without - {"post /v1/catalog/diff", "post /v1/stripe/catalog"} == {
        "post /v1/usage",
        "post /v1/stripe/forward",
        "post /v1/stripe/webhooks/{token}",
    }


def test_what_answers_with_a_tag_takes_it_again(document: dict[str, Any]) -> None:
    for path in (
        "/v1/features/{key}",
        "/v1/metrics/{key}",
        "/v1/plans/{key}",
        "/v1/policy",
        "/v1/default-plan",
    ):
        for method, status, refusal in (("get", "200", "304"), ("put", "200", "412")):
            operation = document["paths"][path][method]
            headers = {parameter["name"] for parameter in operation["parameters"]}
            assert "ETag" in operation["responses"][status]["headers"], path
            assert refusal in operation["responses"], path
            assert ("If-Match" if method == "put" else "If-None-Match") in headers, path


def test_every_body_has_an_example_that_is_taken(
    document: dict[str, Any], shared_admin: httpx.Client
) -> None:
    shared_admin.put("/v1/features/sso", json={"kind": "boolean"}).raise_for_status()
    by_name = {operation["operationId"]: (name, operation) for name, operation in operations(document)}
    answers = {}
    for operation_id, body in BODIES.items():
        (name, operation) = by_name[operation_id]
        method, path = name.split()
        values = {p["name"]: p["example"] for p in operation.get("parameters", ()) if p["in"] == "path"}
        answers[operation_id] = shared_admin.request(method, path.format(**values), json=body)

    refused = {name: answer.json() for name, answer in answers.items() if answer.is_error}
    assert refused.keys() == {"put_stripe_link", "add_stripe_webhook_secret"}  # they need a link to change
    assert refused["put_stripe_link"]["code"] == "stripe_link_refused"
    takers = {
        name for name, (_, operation) in by_name.items() if "application/json" in json_bodies(operation)
    }
    documents = {"compare_catalog_document", "propose_stripe_catalog", "put_catalog_document"}
    assert takers - documents == BODIES.keys()


def json_bodies(operation: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = operation.get("requestBody", {}).get("content", {})
    return found
