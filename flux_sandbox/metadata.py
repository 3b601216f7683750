"""Metadata: texts that the application keeps with an object."""

from __future__ import annotations

from typing import Any

from flux_sandbox.parameters import Params

__all__ = ["merge_metadata"]


def merge_metadata(present: dict[str, str], params: Params) -> dict[str, str]:
    """Return metadata after a request: names are merged, empty values remove names, an empty text removes all."""
    if "metadata" not in params:
        return present
    given: dict[str, Any] | None = params["metadata"]
    return {} if given is None else {k: v for k, v in {**present, **given}.items() if v}
