from __future__ import annotations

import pytest

from flux_server.bulk.rows import InvalidFileError
from flux_server.dashboard.uploads import MOST_ROWS, chunks_of, format_of, packed, unpacked
from flux_server.environments.history import read_history
from flux_server.organizations.organizations import list_organizations
from tests.flux_server.dashboard.browsing import Page, Person
from tests.flux_server.dashboard.conftest import ADA
from tests.flux_server.dashboard.test_organizations import by_ada
from tests.flux_server.dashboard.world import furnish
from tests.flux_server.running import RunningServer

IMPORT = "/test/organizations/import"
CSV = b"id,name,override.sso\nacme,Acme GmbH,no (unpaid)\nglobex,Globex,\nglobex,Again,\nbad,,maybe\n"


def names(server: RunningServer) -> dict[str, str]:
    found = server.read(lambda connection: list_organizations(connection, "test"))
    return {organization.id: organization.name for organization in found}


def attempt(ada: Person, content: bytes) -> Page:
    return ada.upload(ada.open(IMPORT), IMPORT, content)


def test_a_file_is_tried_before_it_changes_anything(server: RunningServer, ada: Person) -> None:
    furnish(server)

    page = attempt(ada, CSV)

    assert "Nothing is changed yet." in page.text
    assert "New 1 organization Changed 1 organization" in page.text
    rows = [row.text for row in page.root.all("tr")[1:]]
    assert rows[0].startswith("4 id Row 3 has the same id")
    assert rows[1].startswith("5 override.sso ")
    assert names(server) == {"acme": "Acme Inc."}


def test_what_was_tried_is_imported_in_the_name_of_who_is_signed_in(
    server: RunningServer, ada: Person
) -> None:
    furnish(server)

    page = ada.send(attempt(ada, CSV), f"{IMPORT}/do")

    assert page.said == "2 organizations are imported."
    assert "Refused 2 rows" in page.text
    assert names(server) == {"acme": "Acme GmbH", "globex": "Globex"}
    made = by_ada(server)
    assert (made.feature, made.effect, made.reason) == ("sso", "set", "unpaid")
    (last, *_) = server.read(
        lambda connection: read_history(connection, "test", kinds=("record",), subject="acme", limit=1)
    )
    assert last.actor == ADA


def test_importing_again_changes_nothing(server: RunningServer, ada: Person) -> None:
    furnish(server)
    ada.send(attempt(ada, CSV), f"{IMPORT}/do")

    page = attempt(ada, CSV)

    assert "There is nothing to import." in page.text
    assert "As it is there already 2 organizations" in page.text


def test_ndjson_is_taken_as_well(server: RunningServer, ada: Person) -> None:
    page = ada.send(attempt(ada, b'{"id": "a/b", "name": "\xc3\x84"}\n'), f"{IMPORT}/do")

    assert page.said == "1 organization is imported."
    assert names(server) == {"a/b": "Ä"}


@pytest.mark.parametrize(
    ("content", "field", "complaint"),
    [
        pytest.param(b"", "file", "choose a file", id="empty"),
        pytest.param(b"name\nAcme\n", "0", "id", id="no-id"),
        pytest.param(b"id,name\nacme,\xff\n", "0", "is not UTF-8", id="encoding"),
        pytest.param(b"id\n" + b"x" * 2_100_000, "0", "larger than 2 MiB", id="large"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(
    server: RunningServer, ada: Person, content: bytes, field: str, complaint: str
) -> None:
    page = attempt(ada, content)

    assert page.status == 422
    assert complaint in page.errors[field]
    assert names(server) == {}


def test_a_file_of_many_rows_is_imported_chunk_by_chunk(server: RunningServer, ada: Person) -> None:
    lines = "".join(f"org-{number}\n" for number in range(2_500))

    page = ada.send(attempt(ada, f"id\n{lines}org-7\n".encode()), f"{IMPORT}/do")

    assert page.said == "2,500 organizations are imported."
    assert page.root.all("tr")[1].text.startswith("2,502 id Row 9 has the same id")


def test_what_is_exported_can_be_imported(server: RunningServer, ada: Person) -> None:
    furnish(server)

    for format_ in ("csv", "ndjson"):
        answer = ada.client.get("/test/organizations/export", params={"format": format_})
        assert f"organizations-test.{format_}" in answer.headers["content-disposition"]
        assert answer.headers["cache-control"] == "no-store"
        page = attempt(ada, answer.content)
        assert "As it is there already 1 organization Refused no row" in page.text
    assert ada.open("/test/organizations/export?format=xml").status == 404


def test_a_file_that_is_lost_on_the_way_is_said(server: RunningServer, ada: Person) -> None:
    furnish(server)
    page = attempt(ada, CSV)

    page = ada.send(page, f"{IMPORT}/do", content="nö")

    assert (page.status, page.errors["0"]) == (422, "the file was lost on the way; choose it again")


def test_there_is_an_end_to_how_many_rows_are_taken() -> None:
    with pytest.raises(InvalidFileError, match="flux organizations import"):
        chunks_of(b"id\n" + b"".join(b"%d\n" % number for number in range(MOST_ROWS + 1)))


@pytest.mark.parametrize(
    ("data", "format_"),
    [(b"id,name\n", "csv"), (b'\xef\xbb\xbf\n {"id": "a"}', "ndjson"), (b"", "csv")],
)
def test_a_files_format_is_seen_from_how_it_begins(data: bytes, format_: str) -> None:
    assert format_of(data) == format_


def test_a_file_comes_back_as_it_was_packed() -> None:
    data = bytes(range(256)) + b"\r\n\n"

    assert unpacked(packed(data)) == data
