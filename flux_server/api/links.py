"""Links between operations, for OpenAPI: what can be done with what a write has made."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["link_operations"]

Schema = dict[str, Any]

_PARAMETER: Final = re.compile(r"{(\w+)}")
_SUCCESS: Final = ("200", "201", "204")


def link_operations(paths: Mapping[str, Mapping[str, Schema]]) -> None:
    """Link each write to the operations at its address and below, with the parameters that it gives them."""
    for path, methods in paths.items():
        for method in methods.keys() & {"post", "put"}:
            operation = methods[method]
            links = dict(_links(path, operation, paths))
            for status in operation["responses"].keys() & set(_SUCCESS):
                if links:
                    operation["responses"][status]["links"] = links


def _links(
    path: str, source: Schema, paths: Mapping[str, Mapping[str, Schema]]
) -> Iterator[tuple[str, Schema]]:
    given = {name: f"$request.path.{name}" for name in _PARAMETER.findall(path)}
    for other, methods in paths.items():
        if other != path and not other.startswith(f"{path}/"):
            continue
        missing = [name for name in _PARAMETER.findall(other) if name not in given]
        if missing and (len(missing) > 1 or "201" not in source["responses"]):
            continue
        parameters = given | dict.fromkeys(missing, "$response.body#/id")  # of what was made
        for operation in methods.values():
            if operation is not source:
                name = operation["operationId"]
                yield name, {"operationId": name, "parameters": parameters}
