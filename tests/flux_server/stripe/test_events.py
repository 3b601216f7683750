from __future__ import annotations

import json
from typing import Any

import pytest

from flux_server.stripe.events import ObjectRef, StripeEvent, changed_objects, parse_event

SUBSCRIPTION = ObjectRef("subscription", "sub_1")


def event(kind: str, subject: dict[str, Any]) -> StripeEvent:
    return StripeEvent("evt_1", kind, 100, False, None, subject)


@pytest.mark.parametrize(
    ("kind", "subject", "changed"),
    [
        pytest.param("customer.subscription.updated", {"id": "sub_1"}, (SUBSCRIPTION,), id="subscription"),
        pytest.param("customer.updated", {"id": "cus_1"}, (ObjectRef("customer", "cus_1"),), id="customer"),
        pytest.param(
            "invoice.paid",
            {"id": "in_1", "parent": {"subscription_details": {"subscription": "sub_1"}}},
            (SUBSCRIPTION,),
            id="invoice",
        ),
        pytest.param(
            "invoice.paid", {"id": "in_1", "subscription": "sub_1"}, (SUBSCRIPTION,), id="old-invoice"
        ),
        pytest.param("invoice.paid", {"id": "in_1", "parent": None}, (), id="invoice-of-no-subscription"),
        pytest.param(
            "invoice.payment_failed",
            {"subscription": {"id": "sub_1"}},
            (SUBSCRIPTION,),
            id="expanded-reference",
        ),
        pytest.param(
            "checkout.session.completed",
            {"id": "cs_1", "subscription": "sub_1"},
            (ObjectRef("checkout.session", "cs_1"), SUBSCRIPTION),
            id="checkout",
        ),
        pytest.param(
            "subscription_schedule.released",
            {"id": "sub_sched_1", "subscription": None, "released_subscription": "sub_1"},
            (SUBSCRIPTION,),
            id="schedule",
        ),
        pytest.param(
            "billing.meter.updated", {"id": "mtr_1"}, (ObjectRef("billing.meter", "mtr_1"),), id="meter"
        ),
        pytest.param(
            "customer.discount.created", {"id": "di_1", "customer": "cus_1"}, (), id="not-a-customer"
        ),
        pytest.param("something.brand_new", {"id": "x"}, (), id="unknown"),
        pytest.param("customer.updated", {"id": 7}, (), id="id-that-is-none"),
    ],
)
def test_an_event_says_which_objects_to_look_at_again(
    kind: str, subject: dict[str, Any], changed: tuple[ObjectRef, ...]
) -> None:
    assert changed_objects(event(kind, subject)) == changed


def test_an_event_is_parsed() -> None:
    body = {
        "id": "evt_1",
        "object": "event",
        "type": "customer.created",
        "created": 100,
        "livemode": True,
        "account": "acct_1",
        "data": {"object": {"id": "cus_1"}},
    }

    assert parse_event(json.dumps(body).encode()) == StripeEvent(
        "evt_1", "customer.created", 100, True, "acct_1", {"id": "cus_1"}
    )


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[]", id="list"),
        pytest.param(b"{}", id="nothing-in-it"),
        pytest.param(b"\xff\xfe", id="not-utf-8"),
        pytest.param(
            b'{"id": 1, "type": "a", "created": 1, "livemode": false, "data": {"object": {}}}',
            id="id-is-a-number",
        ),
        pytest.param(
            b'{"id": "e", "type": "a", "created": 1, "livemode": false, "data": {"object": 1}}',
            id="about-nothing",
        ),
    ],
)
def test_what_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_event(body)
