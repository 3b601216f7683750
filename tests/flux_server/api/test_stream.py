from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import islice

import httpx
import pytest

from flux_server.environments.revisions import prune_changes
from tests.flux_server.api.following import Event, follow
from tests.flux_server.running import NOON, RunningServer


@pytest.fixture
def sdk(server: RunningServer) -> Iterator[httpx.Client]:
    with server.client("sdk") as client:
        yield client


@pytest.fixture(autouse=True)
def sso(admin: httpx.Client) -> None:
    admin.put("/v1/features/sso", json={"kind": "boolean"}).raise_for_status()
    admin.put("/v1/metrics/calls", json={}).raise_for_status()


def revision(client: httpx.Client) -> int:
    return int(client.get("/v1/environment").json()["revision"])


def change(admin: httpx.Client, organization: str = "acme") -> int:
    """Change the organization; return the revision of the change."""
    admin.put(f"/v1/organizations/{organization}", json={}).raise_for_status()
    deny = {"feature": "sso", "effect": "deny"}
    admin.post(f"/v1/organizations/{organization}/overrides", json=deny).raise_for_status()
    return revision(admin)


def use(client: httpx.Client, total: int) -> int:
    """Report usage of acme; return the usage revision."""
    slot = {"organization": "acme", "metric": "calls", "bucket": NOON, "total": total}
    answer = client.post("/v1/usage", json={"source": "s", "slots": [slot]}).raise_for_status()
    return int(answer.json()["usage_revision"])


def subjects(events: list[Event]) -> list[str]:
    """Return whose changes these are."""
    return [event.data.get("record", {}).get("id", event.data["type"]) for event in events]


def test_hello_says_where_the_environment_stands(sdk: httpx.Client) -> None:
    with follow(sdk) as events:
        hello = next(events)

    assert (hello.name, hello.id) == ("hello", "")
    assert hello.data == sdk.get("/v1/environment").json()


def test_a_change_is_pushed_with_its_revision(sdk: httpx.Client, admin: httpx.Client) -> None:
    with follow(sdk) as events:
        next(events)
        changed = change(admin)
        event = next(events)

    assert (event.name, event.id, event.data["revision"]) == ("change", str(changed), changed)
    assert event.data["type"] == "organization"
    assert event.data["record"]["overrides"][0]["effect"] == "deny"


def test_a_change_of_the_catalog_brings_the_whole_catalog(sdk: httpx.Client, admin: httpx.Client) -> None:
    with follow(sdk) as events:
        next(events)
        admin.put("/v1/features/seats", json={"kind": "limit"}).raise_for_status()
        event = next(events)

    assert (event.data["type"], event.id) == ("catalog", str(revision(sdk)))
    assert [feature["key"] for feature in event.data["catalog"]["features"]] == ["seats", "sso"]


def test_usage_is_pushed_as_it_stands(sdk: httpx.Client) -> None:
    with follow(sdk) as events:
        next(events)
        at = use(sdk, 7)
        event = next(events)

    standing = {"organization": "acme", "metric": "calls", "period_start": 1_759_276_800, "quantity": 7}
    assert (event.name, event.data) == ("usage", {"usage_revision": at, "standings": [standing]})


def test_standings_that_the_follower_has_are_not_sent_again(sdk: httpx.Client) -> None:
    with follow(sdk, usage_since=use(sdk, 7), heartbeat=0.2) as events:
        names = [event.name for event in islice(events, 2)]

    assert names == ["hello", "heartbeat"]


def test_a_follower_of_a_database_that_is_gone_gets_all_standings(sdk: httpx.Client) -> None:
    use(sdk, 7)

    with follow(sdk, usage_since=1_000_000) as events:
        names = [event.name for event in islice(events, 2)]

    assert names == ["hello", "usage"]


def test_a_heartbeat_tells_of_a_change_whose_push_was_lost(
    server: RunningServer, admin: httpx.Client, sdk: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with follow(sdk, heartbeat=0.2) as events:
        next(events)
        monkeypatch.setattr(server.database.bell, "ring", lambda topic: None)
        changed = change(admin)

        heard = next(event for event in events if event.name == "change" or event.data["revision"] >= changed)

    assert (heard.name, heard.data["revision"]) == ("heartbeat", changed)


def test_heartbeats_come_when_nothing_else_does(sdk: httpx.Client) -> None:
    with follow(sdk, heartbeat=0.2) as events:
        beats = list(islice(events, 1, 4))

    assert [(beat.name, beat.id) for beat in beats] == [("heartbeat", "")] * 3
    assert beats[-1].data == {"revision": revision(sdk)}


@pytest.mark.parametrize("behind", [True, False], ids=["behind-the-log", "ahead-of-the-log"])
def test_who_stands_outside_the_log_is_sent_for_a_snapshot(
    server: RunningServer, sdk: httpx.Client, admin: httpx.Client, behind: bool
) -> None:
    present = change(admin)
    server.write(lambda connection: prune_changes(connection, "test", keep=1))

    with follow(sdk, since=present - 2 if behind else present + 1) as events:
        names = [event.name for event in events]

    assert names == ["hello", "resync"]


def test_who_stands_at_the_edge_of_the_log_goes_on(
    server: RunningServer, sdk: httpx.Client, admin: httpx.Client
) -> None:
    present = change(admin)
    server.write(lambda connection: prune_changes(connection, "test", keep=1))

    with follow(sdk, since=present - 1) as events:
        assert [event.name for event in islice(events, 2)] == ["hello", "change"]


@pytest.mark.parametrize("taken", range(6))
def test_a_follower_goes_on_where_it_was_cut_off(sdk: httpx.Client, admin: httpx.Client, taken: int) -> None:
    start = revision(sdk)
    organizations = [f"org-{number}" for number in range(5)]
    last = [change(admin, organization) for organization in organizations][-1]

    with follow(sdk, since=start) as events:
        first = list(islice(events, 1, 1 + taken))
    with follow(sdk, since=first[-1].id if first else start) as events:
        second = list(islice(events, 1, 1 + 5 - taken))

    assert subjects(first + second) == organizations
    ids = [int(event.id) for event in first + second]
    assert ids == sorted(set(ids))
    assert ids[-1] == last


def test_what_changed_several_times_is_sent_once_as_it_is(sdk: httpx.Client, admin: httpx.Client) -> None:
    start = revision(sdk)
    for organization in ("acme", "beta", "acme"):
        last = change(admin, organization)

    with follow(sdk, since=start) as events:
        sent = list(islice(events, 1, 3))

    assert subjects(sent) == ["beta", "acme"]
    assert len(sent[1].data["record"]["overrides"]) == 2
    assert sent[1].id == str(last)


def test_the_catalog_comes_before_the_records_that_need_it(sdk: httpx.Client, admin: httpx.Client) -> None:
    start = change(admin)
    change(admin)
    admin.put("/v1/features/seats", json={"kind": "limit"}).raise_for_status()

    for _ in range(2):  # cut off after the catalog, a follower asks for both again: the catalog has no id
        with follow(sdk, since=start) as events:
            catalog = next(islice(events, 1, None))
            assert (subjects([catalog]), catalog.id) == (["catalog"], "")
    with follow(sdk, since=start) as events:
        record = next(islice(events, 2, None))

    assert (subjects([record]), record.id) == (["acme"], str(revision(sdk)))


def test_what_many_writers_change_arrives_complete_and_in_order(
    server: RunningServer, sdk: httpx.Client
) -> None:
    organizations = {f"org-{number:02}" for number in range(24)}
    seen: list[Event] = []
    with ExitStack() as stack:
        events = stack.enter_context(follow(sdk))
        writers = stack.enter_context(ThreadPoolExecutor(4))
        admins = [stack.enter_context(server.client("admin")) for _ in range(4)]
        next(events)
        for number, organization in enumerate(sorted(organizations)):
            writers.submit(change, admins[number % 4], organization)
        while {*subjects(seen)} != organizations:
            seen.append(next(events))

    ids = [int(event.id) for event in seen]
    assert ids == sorted(ids)
    assert ids[-1] == revision(sdk)


def test_a_stream_ends_when_its_key_is_revoked(
    server: RunningServer, sdk: httpx.Client, admin: httpx.Client
) -> None:
    (key,) = [key["id"] for key in admin.get("/v1/api-keys").json()["api_keys"] if key["scope"] == "sdk"]
    with follow(sdk) as events, server.client("sdk") as other, follow(other) as others:
        next(events)
        next(others)

        admin.delete(f"/v1/api-keys/{key}").raise_for_status()

        assert list(events) == []
        change(admin)
        assert next(others).name == "change"


def test_a_stopping_server_ends_its_streams_and_opens_no_more(
    server: RunningServer, sdk: httpx.Client
) -> None:
    with follow(sdk) as events:
        next(events)

        server.loop.call_soon_threadsafe(server.app.state.streams.close)

        assert list(events) == []
    refused = sdk.get("/v1/stream")
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert refused.headers["Retry-After"] == "5"


def test_changes_of_another_process_are_followed(server_on_each: RunningServer) -> None:
    with server_on_each.client("admin") as admin:
        admin.put("/v1/features/sso", json={"kind": "boolean"}).raise_for_status()
        with follow(admin) as events:
            next(events)
            url = server_on_each.settings.database
            subprocess.run(
                [sys.executable, "-m", "tests.flux_server.api.writer", url, "acme"], check=True, timeout=60
            )
            committed = time.monotonic()
            event = next(events)

    assert subjects([event]) == ["acme"]
    assert time.monotonic() - committed < 5  # it looks each second


def open_streams(server: RunningServer) -> float:
    lines = httpx.get(f"{server.url}/metrics", timeout=30).text.splitlines()
    (line,) = [line for line in lines if line.startswith('flux_streams{environment="test"}')]
    return float(line.rpartition(" ")[2])


def test_streams_are_counted_until_their_clients_are_gone(server: RunningServer, sdk: httpx.Client) -> None:
    with ExitStack() as stack:
        followers = [stack.enter_context(follow(sdk)) for _ in range(20)]
        assert {next(events).name for events in followers} == {"hello"}
        assert open_streams(server) == 20

    deadline = time.monotonic() + 10
    while open_streams(server):
        assert time.monotonic() < deadline
