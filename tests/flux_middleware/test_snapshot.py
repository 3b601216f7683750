"""Values survive the network, and what does not fit is refused with a reason."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given

from flux_middleware.errors import InvalidOrganizationError, InvalidRecordError, SchemaVersionError
from flux_middleware.snapshot import (
    SCHEMA,
    UNLIMITED,
    Catalog,
    Change,
    OrganizationChanged,
    OrganizationRecord,
    SnapshotEnd,
    SnapshotLine,
    UsageBatch,
    UsageSlot,
    decode,
    encode,
    feature_value,
    require_key,
    require_organization,
    require_schema,
    wire_value,
)
from tests.flux_middleware.worlds import catalogs, records


@given(catalogs())
def test_a_catalog_survives_dump_and_parse(catalog: Catalog) -> None:
    assert decode(encode(catalog), Catalog) == catalog


@given(records())
def test_a_record_survives_dump_and_parse_as_a_line_and_as_a_change(record: OrganizationRecord) -> None:
    change = OrganizationChanged(7, record)

    assert decode(encode(record), SnapshotLine) == record  # type: ignore[arg-type]  # a union is no type
    assert decode(encode(change), Change) == change  # type: ignore[arg-type]


def test_what_is_encoded_is_one_line() -> None:
    assert b"\n" not in encode(OrganizationRecord("two\nlines"))


def test_fields_of_a_newer_server_are_ignored() -> None:
    line = decode(b'{"type": "end", "organizations": 3, "mood": "sunny"}', SnapshotEnd)

    assert line == SnapshotEnd(3)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"{", id="not-json"),
        pytest.param(b'{"source": "s"}', id="field-missing"),
        pytest.param(b'{"x": ' + b"[" * 100_000, id="too-deep"),
        pytest.param(b'{"source": "s", "slots": [{"organization": 1}]}', id="wrong-type"),
        pytest.param(
            b'{"source": "s", "slots": [{"organization": "a", "metric": "m", "bucket": 0, "total": 1.5}]}',
            id="fraction",
        ),
    ],
)
def test_malformed_json_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRecordError, match="not a UsageBatch"):
        decode(data, UsageBatch)


def test_zero_is_written_out_where_it_means_something() -> None:
    assert encode(UsageSlot("acme", "api-calls", 0, 0)) == (
        b'{"organization":"acme","metric":"api-calls","bucket":0,"total":0}'
    )


@pytest.mark.parametrize("value", [True, False, 0, 7, UNLIMITED])
def test_a_value_is_the_same_after_the_wire(value: bool | int) -> None:
    assert feature_value(wire_value(value)) is value


def test_unlimited_compares_as_infinity_and_is_one_object() -> None:
    assert UNLIMITED > 10**18
    assert repr(UNLIMITED) == "UNLIMITED"
    assert pickle.loads(pickle.dumps(UNLIMITED)) is UNLIMITED


@pytest.mark.parametrize("key", ["", "SSO", "a" * 65, "with space", "sso\n", "ümlaut"])
def test_what_cannot_name_a_feature_is_refused(key: str) -> None:
    with pytest.raises(InvalidRecordError, match="1 to 64"):
        require_key(key)


@pytest.mark.parametrize("organization", ["a", "Größe/7 b", "ü" * 127])
def test_an_organization_id_is_up_to_255_bytes_of_anything(organization: str) -> None:
    assert require_organization(organization) is organization


@pytest.mark.parametrize("organization", ["", "ü" * 128, "a\0b", "\udc80", None, 7, b"acme"])
def test_what_cannot_be_an_organization_id_is_refused(organization: object) -> None:
    with pytest.raises(InvalidOrganizationError, match="255 bytes"):
        require_organization(organization)


@pytest.mark.parametrize("offered", [SCHEMA, "1.99", "0.3"])
def test_a_schema_of_our_major_version_is_understood(offered: str) -> None:
    require_schema(offered)

    assert int(offered.split(".")[0]) <= int(SCHEMA.split(".")[0])


@pytest.mark.parametrize("offered", ["2.0", "", "next"])
def test_a_newer_or_unreadable_schema_is_refused(offered: str) -> None:
    with pytest.raises(SchemaVersionError, match="upgrade flux-middleware"):
        require_schema(offered)
