"""What docs/organizations.md says works, as it says it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
import pytest

from tests.flux_server.running import RunningServer

PAGE = (Path(__file__).parents[2] / "docs" / "organizations.md").read_text()
EXAMPLES = dict(re.findall(r"^```(csv|json)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
MEDIA_TYPES = {"csv": "text/csv", "json": "application/x-ndjson"}


@pytest.mark.parametrize("language", ["csv", "json"])
def test_the_examples_can_be_imported_and_are_what_is_exported(server: RunningServer, language: str) -> None:
    with server.client("admin") as admin:
        admin.put("/v1/features/sso", json={"kind": "boolean"}).raise_for_status()
        admin.put("/v1/features/seats", json={"kind": "limit"}).raise_for_status()
        for expected in ({"created": 3, "unchanged": 0}, {"created": 0, "unchanged": 3}):
            answer = admin.post(
                "/v1/import/organizations",
                content=EXAMPLES[language].encode(),
                headers={"Content-Type": MEDIA_TYPES[language]},
            ).json()
            assert answer == expected | {"changed": 0, "refused": 0, "errors": []}

        exported = admin.get("/v1/export/organizations", params={"format": "csv"}).content
    first_line = exported.decode("utf-8-sig").splitlines()[0]
    assert set(first_line.split(",")) == {"id", "name", "stripe_customers", "override.sso", "override.seats"}


def test_every_address_on_the_page_is_there(server: RunningServer) -> None:
    document = httpx.get(f"{server.url}/v1/openapi.json", timeout=30).json()
    paths = [re.sub(r"{\w+}", "{}", path) for path in document["paths"]]
    named = re.findall(r"`(?:GET|PUT|POST|DELETE) (/v1/[^`?]+)", PAGE)

    assert len(named) > 10
    assert {path for path in named if re.sub(r"{\w+}", "{}", path) not in paths} == set()


def test_the_field_change_on_the_page_is_json() -> None:
    (change,) = re.findall(r'`({"path".*?})`', PAGE)

    assert json.loads(change).keys() == {"path", "before", "after"}
