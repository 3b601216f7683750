from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_middleware.snapshot import Override
from flux_server.bulk.csv_files import header, override_cell, read_override_cell, write_csv
from flux_server.bulk.files import Format, read_rows
from flux_server.bulk.ndjson import write_ndjson
from flux_server.bulk.rows import InvalidFileError, Refusal, Row


def read(data: bytes, format_: Format = "csv") -> tuple[list[Row], list[Refusal]]:
    rows: list[Row] = []
    errors: list[Refusal] = []
    for row, wrong in read_rows(io.BytesIO(data), format_):
        errors += wrong
        if row is not None and not wrong:
            rows.append(row)
    return rows, errors


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"id,name\nacme,Acme\n", id="lf"),
        pytest.param(b"id,name\r\nacme,Acme\r\n", id="crlf"),
        pytest.param(b"\xef\xbb\xbfid,name\r\nacme,Acme", id="byte-order-mark"),
        pytest.param(b'"id"," name"\n"acme","Acme"\n', id="quoted"),
        pytest.param(b"name,id,stripe_customers\nAcme,acme\n", id="cells-left-out-at-the-end"),
        pytest.param(b"id,name,override.seats\nacme,Acme,\n,,\n\n", id="empty-cells-and-rows"),
    ],
)
def test_a_file_is_read_however_a_spreadsheet_wrote_it(data: bytes) -> None:
    assert read(data) == ([Row(2, "acme", "Acme")], [])


def test_a_quoted_line_break_is_part_of_its_cell_and_no_row() -> None:
    rows, errors = read(b'id,name\na,"two\r\nlines"\nb,"5"" pipe, red"\n,x\n')

    assert [(row.number, row.name) for row in rows] == [(2, "two\r\nlines"), (3, '5" pipe, red')]
    assert [(error.row, error.field) for error in errors] == [(4, "id")]


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        pytest.param(b"", "none called id", id="empty"),
        pytest.param(b"acme,Acme\n", "none called id", id="no-header"),
        pytest.param(b"id;name\nacme;Acme\n", "separated by commas", id="semicolons"),
        pytest.param(b"id,nmae\n", "no column 'nmae'", id="unknown-column"),
        pytest.param(b"id,override.\n", "no column 'override.'", id="no-feature"),
        pytest.param(b"id,name,id\n", "two columns called 'id'", id="column-twice"),
        pytest.param(b'id,name\na,b\nc,"d"e\n', "row 3 cannot be read", id="stray-quote"),
        pytest.param(b'id,name\na,"b\n', "row 2 cannot be read", id="open-quote"),
        pytest.param("id,name\na,Müller\n".encode("latin-1"), "not UTF-8", id="latin-1"),
        pytest.param("id,name\na,b\n".encode("utf-16"), "not UTF-8", id="utf-16"),
    ],
)
def test_a_file_that_cannot_be_read_says_what_to_do(data: bytes, complaint: str) -> None:
    with pytest.raises(InvalidFileError, match=complaint):
        read(data)


@pytest.mark.parametrize(
    ("row", "field"),
    [
        pytest.param("é" * 128 + ",,,", "id", id="long-id"),
        pytest.param("a," + "n" * 256 + ",,", "name", id="long-name"),
        pytest.param("a,,cus_\x07,", "stripe_customers", id="control-character"),
        pytest.param("a,,,lots", "override.seats", id="no-override"),
        pytest.param("a,,,5 until tomorrow", "override.seats", id="no-moment"),
        pytest.param("a,,,set deny", "override.seats", id="set-deny"),
        pytest.param("a,,,5 5", "override.seats", id="two-values"),
        pytest.param("a,,,5.0", "override.seats", id="fraction"),
        pytest.param("a,,,5,6", "", id="more-cells-than-columns"),
    ],
)
def test_a_row_that_is_wrong_says_where_and_the_others_are_read(row: str, field: str) -> None:
    data = f"id,name,stripe_customers,override.seats\n{row}\nb,,,5\n"

    rows, (error,) = read(data.encode())

    assert [each.id for each in rows] == ["b"]
    assert (error.row, error.field) == (2, field)
    assert error.detail


@pytest.mark.parametrize(
    ("line", "field"),
    [
        pytest.param('{"id": "a"', "", id="no-json"),
        pytest.param("[]", "", id="no-object"),
        pytest.param("{}", "", id="no-id"),
        pytest.param('{"id": 1}', "id", id="number-for-an-id"),
        pytest.param('{"id": "a", "nmae": "A"}', "", id="unknown-field"),
        pytest.param('{"id": "a", "stripe_customers": "cus_1"}', "stripe_customers", id="no-list"),
        pytest.param(
            '{"id": "a", "overrides": [{"feature": "s", "value": 1.5}]}',
            "overrides[0].value",
            id="fraction",
        ),
        pytest.param(
            '{"id": "a", "overrides": [{"feature": "s", "until": "soon"}]}', "overrides[0]", id="no-moment"
        ),
        pytest.param("[" * 50_000, "", id="deep"),
    ],
)
def test_a_line_that_is_wrong_says_where_and_the_others_are_read(line: str, field: str) -> None:
    rows, (error,) = read(f'{line}\n\n{{"id": "b"}}'.encode(), "ndjson")

    assert [(row.number, row.id) for row in rows] == [(3, "b")]
    assert (error.row, error.field) == (1, field)


def test_moments_of_ndjson_may_be_written_out() -> None:
    line = b'{"id": "a", "overrides": [{"feature": "s", "value": 5, "since": 0, "until": "2027-01-31"}]}'

    ((row,), _) = read(line, "ndjson")

    assert row.overrides == (Override("", "s", "set", 5, until=1_801_353_600, since=0),)


@pytest.mark.parametrize(
    ("cell", "override"),
    [
        pytest.param("50", Override("", "f", "set", 50), id="number"),
        pytest.param("TRUE", Override("", "f", "set", True), id="as-spreadsheets-write-it"),
        pytest.param("no", Override("", "f", "set", False), id="as-people-write-it"),
        pytest.param("Add -5", Override("", "f", "add", -5), id="add"),
        pytest.param("deny (unpaid)", Override("", "f", "deny", reason="unpaid"), id="deny"),
        pytest.param(
            "set unlimited from 2026-01-01 until 2027-01-31T12:00:00Z soft (a (b) c)",
            Override("", "f", "set", "unlimited", 1_801_396_800, "", "a (b) c", 1_767_225_600, "soft"),
            id="everything",
        ),
    ],
)
def test_a_cell_says_what_a_support_person_would(cell: str, override: Override) -> None:
    assert read_override_cell("f", f" {cell} ") == [override]


def test_several_overrides_of_a_feature_stand_on_lines_of_their_own() -> None:
    found = read_override_cell("f", "50 (pilot)\r\n\nadd 5")

    assert [(override.effect, override.value) for override in found] == [("set", 50), ("add", 5)]


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
moments = st.none() | st.integers(0, 4_000_000_000)
overrides = st.builds(
    Override,
    id=st.just(""),
    feature=st.sampled_from(["sso", "seats.max"]),
    effect=st.just("set"),
    value=st.booleans() | st.integers(0, 2**53 - 1) | st.just("unlimited"),
    since=moments,
    until=moments,
    enforcement=st.sampled_from(["", "hard", "soft"]),
    reason=texts.map(lambda text: " ".join(text.split())),
) | st.builds(Override, id=st.just(""), feature=st.just("seats.max"), effect=st.just("deny"), until=moments)
rows = st.builds(
    Row,
    st.just(2),
    texts.filter(bool),
    texts,
    st.lists(st.from_regex(r"cus_[a-z]{1,4}", fullmatch=True), unique=True, max_size=3).map(tuple),
    st.lists(overrides, max_size=3).map(lambda found: tuple(sorted(found, key=lambda o: o.feature))),
)


@given(overrides)
def test_a_written_cell_is_read_as_the_same_override(override: Override) -> None:
    assert read_override_cell(override.feature, override_cell(override)) == [override]


@given(rows)
def test_a_written_row_of_csv_is_read_as_the_same_row(row: Row) -> None:
    columns = header(sorted({override.feature for override in row.overrides}))
    text = io.StringIO(newline="")
    csv.writer(text).writerows([columns, write_csv(row, columns)])

    assert read(text.getvalue().encode()) == ([row], [])


@given(rows)
def test_a_written_line_of_ndjson_is_read_as_the_same_row(row: Row) -> None:
    ((found,), errors) = read(write_ndjson(row), "ndjson")

    assert (found.id, found.name, found.stripe_customers, found.overrides, errors) == (
        row.id,
        row.name,
        row.stripe_customers,
        row.overrides,
        [],
    )


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''", "'=", "'"])
def test_no_cell_is_a_formula_and_every_name_survives(name: str) -> None:
    cells = write_csv(Row(2, name, name), header([]))
    text = io.StringIO(newline="")
    csv.writer(text).writerows([header([]), cells])

    assert cells[1][0] not in "=+-@\t\r"
    ((row,), _) = read(text.getvalue().encode())
    assert (row.id, row.name) == (name, name)
