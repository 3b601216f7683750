"""Every vector in tests/conformance holds for this implementation."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flux_middleware.entitlements import resolve
from flux_middleware.snapshot import Catalog, OrganizationRecord, decode, wire_value


def cases() -> Iterator[Any]:
    for path in sorted((Path(__file__).parent / "conformance").glob("*.json")):
        vectors = json.loads(path.read_text())
        for case in vectors["cases"]:
            catalog = case["catalog"]
            if isinstance(catalog, str):
                catalog = vectors["catalogs"][catalog]
            yield pytest.param({**case, "catalog": catalog}, id=f"{path.stem}: {case['name']}")


@pytest.mark.parametrize("case", list(cases()))
def test_vector(case: dict[str, Any]) -> None:
    catalog = decode(json.dumps(case["catalog"]), Catalog)
    record = decode(json.dumps(case["record"]), OrganizationRecord)

    entitlements = resolve(catalog, record, case["now"])

    values = {key: wire_value(entitlement.value) for key, entitlement in entitlements.by_feature.items()}
    assert values == case["values"]
    assert entitlements.until == (math.inf if case["until"] is None else case["until"])
