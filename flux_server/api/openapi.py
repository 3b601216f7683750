"""The API's description, as OpenAPI 3.1: FastAPI's, completed with what holds for every route alike.

What a route says itself (its scope, its own problems, its parameters) it says where it is. What comes with the way
requests are handled (keys that make writes idempotent, preconditions, bodies that cannot be read, a server that is
stopping) is added here, so that no route can forget it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from flux_server.api.catalog_document import catalog_document_schemas
from flux_server.api.examples import BODIES, KEYS, MEANINGS, PARAMETERS
from flux_server.api.idempotency import takes_idempotency_key
from flux_server.api.links import link_operations
from flux_server.api.problems import OTHER_PROBLEMS, PROBLEM_SCHEMA, problem_content, problem_type
from flux_server.errors import RequestError

__all__ = ["describe"]

Schema = dict[str, Any]

_DESCRIPTION: Final = """\
Defines what plans grant, answers what organizations are entitled to and why, and takes in their usage.

Every call needs an API key, `Authorization: Bearer flux_<environment>_…`, which belongs to one environment and has one
scope: `sdk` for applications, `read` to read everything, `admin` for everything. Every refusal is a problem (RFC 9457)
with a stable `code`. Lists come in pages. Writes can be sent again with the same `Idempotency-Key`, and made for what
was read with `If-Match`."""

_TAGS: Final = {
    "catalog": "Features, metrics and plans: what can be granted, and what is.",
    "organizations": "The application's customers: what each is entitled to and why, its exceptions, its usage.",
    "environment": "The environment of the API key, and its API keys.",
    "history": "Who changed what, when, from what to what.",
    "stripe": "The link to Stripe, and what can be asked for by hand.",
    "sdk": "What applications follow and send; `flux_middleware` does it for Python.",
    "operations": "For whoever runs the server.",
}

_NEVER_ANSWERED: Final = ("HTTPValidationError", "ValidationError")  # FastAPI's own form of a 422
_PAGES: Final = ("flux_server.dashboard", "flux_server.accounts")  # their refusals are pages, not problems

_IDEMPOTENCY_KEY: Final[Schema] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same request with the same key is done once, and answered again, for 24 hours.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}
_REPLAYED: Final[Schema] = {
    "description": "`true`: this was done before, and is what was answered then.",
    "schema": {"type": "string", "enum": ["true"]},
}
_ETAG: Final[Schema] = {
    "description": "Tags the content, for `If-Match` and `If-None-Match`.",
    "schema": {"type": "string"},
}


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of the application's routes."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            summary="Entitlements and usage of the customers of an application.",
            description=_DESCRIPTION,
            routes=app.routes,
            servers=[{"url": "/", "description": "This server."}],
            license_info={"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        )
        schemas = document["components"]["schemas"]
        for name in _NEVER_ANSWERED:
            schemas.pop(name, None)
        schemas["Problem"] = PROBLEM_SCHEMA
        schemas |= catalog_document_schemas()
        tags: set[str] = set()
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                _complete(operation, method.upper(), path, schemas)
                tags |= set(operation["tags"])
        link_operations(document["paths"])
        document["components"]["responses"] = {
            name: response
            for name, response in _problem_responses().items()
            if name in str(document["paths"])
        }
        document["tags"] = [
            {"name": name, "description": description} for name, description in _TAGS.items() if name in tags
        ]
        app.openapi_schema = document
    return app.openapi_schema


def _complete(operation: Schema, method: str, path: str, schemas: Schema) -> None:
    if takes_idempotency_key(method, path):
        operation.setdefault("parameters", []).append(dict(_IDEMPOTENCY_KEY))
    headers = set()
    for parameter in operation.get("parameters", ()):
        _simplify(parameter)
        _explain(parameter, path)
        if parameter["in"] == "header":
            headers.add(parameter["name"])
    if "summary" in operation:
        operation["summary"] = operation["description"].partition("\n")[0].rstrip(".")
    _give_example(operation)
    for scopes in operation.get("security", ()):
        (needed,) = scopes.values()
        operation["description"] += f"\n\nNeeds an API key with scope `{'`, `'.join(needed)}`."
    _describe_success(operation["responses"], method, headers, schemas)
    _describe_problems(operation, method, headers)


def _simplify(parameter: Schema) -> None:
    """Leave out that a parameter can be null: neither an address nor a header can say so."""
    if parameter["in"] == "header":
        parameter["name"] = parameter["name"].title()
    schema = parameter["schema"]
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) == 1:
        del schema["anyOf"]
        parameter["schema"] = kinds[0] | schema
    parameter["schema"].pop("description", None)  # the parameter has it
    parameter["schema"].pop("title", None)


def _explain(parameter: Schema, path: str) -> None:
    name = parameter["name"]
    for prefix, (meaning, key) in KEYS.items():
        if name == "key" and path.startswith(prefix):
            parameter.setdefault("description", meaning)
            parameter["example"] = key
    if name in PARAMETERS:
        parameter["example"] = PARAMETERS[name]
    if name in MEANINGS:
        parameter.setdefault("description", MEANINGS[name])


def _give_example(operation: Schema) -> None:
    if operation["operationId"] in BODIES:
        content = operation["requestBody"]["content"]["application/json"]
        content["example"] = BODIES[operation["operationId"]]


def _describe_success(responses: Schema, method: str, headers: set[str], schemas: Schema) -> None:
    for status, response in list(responses.items()):
        if not status.startswith("2"):
            continue
        if response["description"] == "Successful Response":
            response["description"] = _meaning(response, schemas)
        if status != "204" and headers & {"If-Match", "If-None-Match"}:
            response.setdefault("headers", {})["ETag"] = _ETAG
        if "Idempotency-Key" in headers:
            response.setdefault("headers", {})["Idempotent-Replayed"] = _REPLAYED
    if method == "GET" and "If-None-Match" in headers:
        responses["304"] = {"description": "What the caller has is current.", "headers": {"ETag": _ETAG}}


def _meaning(response: Schema, schemas: Schema) -> str:
    """Return the first sentence about what is answered."""
    for content in response.get("content", {}).values():
        name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
        if name in schemas:
            return str(schemas[name].get("description", name)).partition("\n\n")[0].replace("\n", " ")
    return "Done."


def _describe_problems(operation: Schema, method: str, headers: set[str]) -> None:
    statuses = {int(status) for status in operation["responses"] if int(status) >= 400}
    statuses |= {500, 503}
    if operation.get("parameters"):
        statuses.add(422)
    if "requestBody" in operation:
        statuses |= {400, 413, 422}
    if "Idempotency-Key" in headers:
        statuses.add(409)
    if method != "GET" and "If-Match" in headers:
        statuses.add(412)
    for status in sorted(statuses):
        operation["responses"].pop(str(status), None)
        operation["responses"][str(status)] = {"$ref": f"#/components/responses/{_name(status)}"}


def _problem_responses() -> Schema:
    """Return a response for each status of a problem, with an example of each code."""
    examples: dict[int, Schema] = {}
    for status, code, title, detail in sorted(_refusals()):
        problem = {
            "type": problem_type(code),
            "title": title,
            "status": status,
            "detail": detail,
            "code": code,
        }
        examples.setdefault(status, {})[code] = {"summary": title, "value": problem}
    return {
        _name(status): {
            "description": "Refused: " + ", ".join(f"`{code}`" for code in found) + ".",
            "content": {kind: {**body, "examples": found} for kind, body in problem_content().items()},
        }
        for status, found in examples.items()
    }


def _refusals() -> Iterator[tuple[int, str, str, str]]:
    kinds: list[type[RequestError]] = [RequestError]
    for kind in kinds:
        kinds += kind.__subclasses__()
        if not kind.__module__.startswith(_PAGES) and kind is not RequestError:
            yield kind.status, kind.code, kind.title, (kind.__doc__ or kind.title).partition("\n")[0]
    for status, (code, title, detail) in OTHER_PROBLEMS.items():
        yield status, code, title, detail


def _name(status: int) -> str:
    return f"Problem{status}"
