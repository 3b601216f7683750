from __future__ import annotations

from functools import partial
from typing import Any

import httpx

from tests.flux_server.running import NOON, RunningServer
from tests.flux_server.stripe.logged import log_event


def log(server: RunningServer, name: str, **fields: Any) -> None:
    server.write(partial(log_event, name=name, **fields))


def names(answer: httpx.Response) -> list[str]:
    return [event["id"] for event in answer.raise_for_status().json()["events"]]


def test_events_come_in_pages_of_what_is_searched_for(server: RunningServer, admin: httpx.Client) -> None:
    for number in range(3):
        log(server, f"evt_{number}", at=NOON + number)
    log(server, "evt_old", at=NOON - 7_201)
    query = {"query": "cus_1", "since": "-2h", "limit": "2"}

    first = admin.get("/v1/stripe/events", params=query)
    cursor = first.json()["next_cursor"]
    second = admin.get("/v1/stripe/events", params={**query, "cursor": cursor})

    assert (names(first), names(second)) == (["evt_2", "evt_1"], ["evt_0"])
    assert second.json()["next_cursor"] is None


def test_missed_events_and_those_of_a_type_are_told_apart(server: RunningServer, admin: httpx.Client) -> None:
    log(server, "evt_1")
    log(server, "evt_2", deliveries=0)
    log(server, "evt_3", type="customer.created")

    assert names(admin.get("/v1/stripe/events", params={"missed": "true"})) == ["evt_2"]
    assert names(admin.get("/v1/stripe/events", params={"type": "customer.created"})) == ["evt_3"]


def test_an_event_is_answered_with_its_body_and_what_it_marks(
    server: RunningServer, admin: httpx.Client
) -> None:
    log(server, "evt_1", api_version="2026-10-28.endive")

    found = admin.get("/v1/stripe/events/evt_1").raise_for_status().json()

    assert found["marks"] == [{"type": "subscription", "id": "sub_1"}]
    assert found["body"]["data"]["object"]["customer"] == "cus_1"
    assert (found["kind"], found["api_version"]) == ("snapshot", "2026-10-28.endive")


def test_an_event_of_another_environment_is_not_there(server: RunningServer) -> None:
    log(server, "evt_1")

    with server.client("read", "live") as live:
        assert live.get("/v1/stripe/events/evt_1").json()["code"] == "not_found"
        assert names(live.get("/v1/stripe/events")) == []


def test_a_moment_that_is_none_is_refused(admin: httpx.Client) -> None:
    answer = admin.get("/v1/stripe/events", params={"since": "soon"})

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_moment")
