from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import pytest

from flux_server.usage.ingest import MAX_SLOTS
from tests.flux_server.running import NOON, RunningServer


@dataclass(frozen=True)
class Sender:
    """Sends usage of one organization."""

    client: httpx.Client
    organization: str

    def slot(self, total: object, **other: object) -> dict[str, object]:
        return {"organization": self.organization, "metric": "calls", "bucket": NOON, "total": total} | other

    def send(self, *slots: object, source: str = "s") -> httpx.Response:
        return self.client.post("/v1/usage", json={"source": source, "slots": slots})

    def used(self) -> int:
        path = f"/v1/organizations/{self.organization}/usage"
        return int(self.client.get(path, params={"metric": "calls"}).raise_for_status().json()["quantity"])


@pytest.fixture
def sender(shared_admin: httpx.Client, request: pytest.FixtureRequest) -> Sender:
    """Each test's own organization, on a server that they share."""
    shared_admin.put("/v1/metrics/calls", json={}).raise_for_status()
    return Sender(shared_admin, f"org-{hash(request.node.name):x}")


def test_the_receipt_says_what_is_kept_and_how_it_stands(sender: Sender) -> None:
    receipt = sender.send(sender.slot(7)).json()

    standing = {
        "organization": sender.organization,
        "metric": "calls",
        "period_start": 1_759_276_800,
        "quantity": 7,
    }
    assert receipt.pop("usage_revision") > 0
    assert receipt == {"accepted": 1, "errors": [], "standings": [standing]}


@pytest.mark.parametrize(
    "totals", [(3, 5, 9), (9, 9, 9), (9, 5, 3), (5, 9, 3)], ids=["in-order", "resent", "reversed", "mixed"]
)
def test_resending_and_reordering_change_nothing(sender: Sender, totals: tuple[int, ...]) -> None:
    for total in totals:
        sender.send(sender.slot(total)).raise_for_status()

    assert sender.used() == 9


def test_sources_are_added_up(sender: Sender) -> None:
    for source in ("a", "b", "a"):
        sender.send(sender.slot(4), source=source).raise_for_status()

    assert sender.used() == 8


def test_two_senders_of_one_journal_count_it_once(server_on_each: RunningServer) -> None:
    with server_on_each.client("admin") as admin, ThreadPoolExecutor(2) as senders:
        admin.put("/v1/metrics/calls", json={}).raise_for_status()
        sender = Sender(admin, "acme")
        answers = list(senders.map(lambda total: sender.send(sender.slot(total)), [*range(1, 31)] * 2))

        assert {answer.status_code for answer in answers} == {200}
        assert sender.used() == 30


def test_a_slot_that_cannot_be_kept_is_told_by_its_index(sender: Sender) -> None:
    slots = [
        sender.slot(1, metric="steps"),
        sender.slot(2),
        sender.slot(-1),
        sender.slot(1, organization="a\0b"),
    ]

    receipt = sender.send(*slots).json()

    assert receipt["accepted"] == 1
    assert [(error["index"], error["code"]) for error in receipt["errors"]] == [
        (0, "unknown_metric"),
        (2, "invalid_total"),
        (3, "invalid_organization"),
    ]
    assert sender.used() == 2


def test_a_number_no_column_holds_is_an_error_of_its_slot(sender: Sender) -> None:
    receipt = sender.send(sender.slot(2**80), sender.slot(1, bucket=-(2**80)), sender.slot(5)).json()

    assert [error["code"] for error in receipt["errors"]] == ["invalid_total", "invalid_bucket"]
    assert sender.used() == 5


@pytest.mark.parametrize("total", [True, 1.5, "1", None], ids=repr)
def test_a_total_is_a_whole_number(sender: Sender, total: object) -> None:
    answer = sender.send(sender.slot(total))

    assert answer.status_code == 422
    assert "$.slots[0].total" in answer.json()["detail"]


def test_fields_of_a_newer_sender_are_ignored(sender: Sender) -> None:
    assert sender.send(sender.slot(3, color="blue")).json()["accepted"] == 1


def test_a_batch_has_a_size(sender: Sender) -> None:
    slots = [sender.slot(1, bucket=NOON - number) for number in range(MAX_SLOTS + 1)]

    assert sender.send(*slots[:-1]).json()["accepted"] == MAX_SLOTS
    refused = sender.send(*slots)
    assert refused.status_code == 422
    assert "split it" in refused.json()["detail"]


def test_an_empty_batch_is_a_way_to_ask(sender: Sender) -> None:
    present = sender.send(sender.slot(1)).raise_for_status().json()["usage_revision"]

    assert sender.send().json() == {"accepted": 0, "errors": [], "standings": [], "usage_revision": present}
