"""The format of tests/conformance, as types: they read the vectors, and `schema.json` is made from them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from flux_middleware.snapshot import Catalog, OrganizationRecord, WireValue

__all__ = [
    "FOLDER",
    "Case",
    "ExpectedFeature",
    "ExpectedReason",
    "Vectors",
    "cases",
    "read",
    "schema",
    "themes",
]

FOLDER = Path(__file__).parent / "conformance"


class ExpectedReason(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What a reason says, at least."""

    kind: str
    verdict: str
    value: WireValue | UnsetType = UNSET
    since: int | UnsetType | None = UNSET
    until: int | UnsetType | None = UNSET
    plan_version: str | UnsetType = UNSET
    subscription: str | UnsetType = UNSET
    status: str | UnsetType = UNSET
    unknown_status: str | UnsetType = UNSET
    item: str | UnsetType = UNSET
    price: str | UnsetType = UNSET
    override: str | UnsetType = UNSET
    effect: str | UnsetType = UNSET
    author: str | UnsetType = UNSET
    note: str | UnsetType = UNSET


class ExpectedFeature(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What is expected of a feature: its value, and whatever else is written down.

    A feature without `enforcement` and `period` has neither. `reasons`, in any order, are all that are in force.
    """

    value: WireValue
    until: int | UnsetType | None = UNSET
    enforcement: str | None = None
    period: tuple[int, int | None] | None = None
    reasons: tuple[ExpectedReason, ...] | UnsetType = UNSET


class Expected(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What is expected: every feature that anything in force mentions, and no other.

    `until` is the next moment at which the answer may change, null for never. `explain` names, by feature and in
    any order, all reasons, also those that are not in force.
    """

    features: dict[str, ExpectedFeature]
    until: int | None
    explain: dict[str, tuple[ExpectedReason, ...]] = {}


class Case(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A rule: what an organization is entitled to at `now`, which its name says as a sentence.

    `catalog` is one, or the name of one of the file's `catalogs`.
    """

    name: str
    catalog: Catalog | str
    record: OrganizationRecord
    now: int
    expect: Expected


class Vectors(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The cases of one theme, and the catalogs that they share."""

    cases: tuple[Case, ...]
    catalogs: dict[str, Catalog] = {}


def themes() -> list[Path]:
    """Return the files of vectors."""
    return sorted(path for path in FOLDER.glob("*.json") if path.name != "schema.json")


def read(path: Path) -> Vectors:
    """Return a file of vectors."""
    return msgspec.json.decode(path.read_bytes(), type=Vectors)


def cases() -> Iterator[tuple[str, Case, Catalog]]:
    """Yield the theme, the case and its catalog, of every vector."""
    for path in themes():
        vectors = read(path)
        for case in vectors.cases:
            shared = vectors.catalogs
            yield path.stem, case, shared[case.catalog] if isinstance(case.catalog, str) else case.catalog


def schema() -> dict[str, Any]:
    """Return the format of a file of vectors as JSON Schema."""
    made = json.dumps(msgspec.json.schema(Vectors)).replace(r"\n    ", r"\n")  # descriptions are docstrings
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **json.loads(made)}
