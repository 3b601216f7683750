from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from flux_server.usage.ingest import MAX_SLOTS
from tests.flux_server.running import NOON, RunningServer


@pytest.fixture
def sender(server_on_each: RunningServer) -> Iterator[httpx.Client]:
    with server_on_each.client("admin") as client:
        client.put("/v1/metrics/calls", json={}).raise_for_status()
        yield client


def slot(total: object, **other: object) -> dict[str, object]:
    return {"organization": "acme", "metric": "calls", "bucket": NOON, "total": total} | other


def send(client: httpx.Client, *slots: object, source: str = "s") -> httpx.Response:
    return client.post("/v1/usage", json={"source": source, "slots": slots})


def used(client: httpx.Client) -> int:
    return int(client.get("/v1/organizations/acme/usage", params={"metric": "calls"}).json()["quantity"])


def test_the_receipt_says_what_is_kept_and_how_it_stands(sender: httpx.Client) -> None:
    receipt = send(sender, slot(7)).json()

    standing = {"organization": "acme", "metric": "calls", "period_start": 1_759_276_800, "quantity": 7}
    assert receipt == {"accepted": 1, "errors": [], "standings": [standing], "usage_revision": 1}


@pytest.mark.parametrize(
    "totals", [(3, 5, 9), (9, 9, 9), (9, 5, 3), (5, 9, 3)], ids=["in-order", "resent", "reversed", "mixed"]
)
def test_resending_and_reordering_change_nothing(sender: httpx.Client, totals: tuple[int, ...]) -> None:
    for total in totals:
        send(sender, slot(total)).raise_for_status()

    assert used(sender) == 9


def test_sources_are_added_up(sender: httpx.Client) -> None:
    for source in ("a", "b", "a"):
        send(sender, slot(4), source=source).raise_for_status()

    assert used(sender) == 8


def test_two_senders_of_one_journal_count_it_once(sender: httpx.Client) -> None:
    with ThreadPoolExecutor(2) as senders:
        answers = list(senders.map(lambda total: send(sender, slot(total)), [*range(1, 31)] * 2))

    assert {answer.status_code for answer in answers} == {200}
    assert used(sender) == 30


def test_a_slot_that_cannot_be_kept_is_told_by_its_index(sender: httpx.Client) -> None:
    receipt = send(sender, slot(1, metric="steps"), slot(2), slot(-1), slot(1, organization="a\0b")).json()

    assert receipt["accepted"] == 1
    assert [(error["index"], error["code"]) for error in receipt["errors"]] == [
        (0, "unknown_metric"),
        (2, "invalid_total"),
        (3, "invalid_organization"),
    ]
    assert used(sender) == 2


def test_a_number_no_column_holds_is_an_error_of_its_slot(sender: httpx.Client) -> None:
    receipt = send(sender, slot(2**80), slot(1, bucket=-(2**80)), slot(5)).json()

    assert [error["code"] for error in receipt["errors"]] == ["invalid_total", "invalid_bucket"]
    assert used(sender) == 5


@pytest.mark.parametrize("total", [True, 1.5, "1", None], ids=repr)
def test_a_total_is_a_whole_number(sender: httpx.Client, total: object) -> None:
    answer = send(sender, slot(total))

    assert answer.status_code == 422
    assert "$.slots[0].total" in answer.json()["detail"]


def test_fields_of_a_newer_sender_are_ignored(sender: httpx.Client) -> None:
    assert send(sender, slot(3, color="blue")).json()["accepted"] == 1


def test_a_batch_has_a_size(sender: httpx.Client) -> None:
    slots = [slot(1, bucket=NOON - number) for number in range(MAX_SLOTS + 1)]

    assert send(sender, *slots[:-1]).json()["accepted"] == MAX_SLOTS
    refused = send(sender, *slots)
    assert refused.status_code == 422
    assert "split it" in refused.json()["detail"]


def test_an_empty_batch_is_a_way_to_ask(sender: httpx.Client) -> None:
    send(sender, slot(1)).raise_for_status()

    assert send(sender).json() == {"accepted": 0, "errors": [], "standings": [], "usage_revision": 1}
