from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select

from flux_server.stripe.events import (
    FOLLOWED_TYPES,
    THIN_TYPES,
    ObjectRef,
    changed_objects,
    is_followed,
    parse_event,
)
from flux_server.stripe.tables import stripe_events
from flux_server.stripe.webhooks import WebhookRefusedError
from tests.flux_server.running import NOON
from tests.flux_server.stripe.conftest import World
from tests.flux_server.stripe.test_webhooks import deliver, event, marked, sign, stored


def thin(kind: str = "v1.customer.subscription.updated", **fields: Any) -> bytes:
    plain = {
        "id": "evt_test_1",
        "object": "v2.core.event",
        "type": kind,
        "created": "2025-10-09T11:58:20.123Z",
        "livemode": False,
        "context": None,
        "related_object": {
            "id": "sub_1",
            "type": "subscription",
            "url": "https://elsewhere.example.com/v1/subscriptions/sub_1",
        },
    }
    return json.dumps(plain | fields).encode()


def related(object_type: str, name: str) -> dict[str, str]:
    return {"id": name, "type": object_type, "url": f"/v1/x/{name}"}


@pytest.mark.parametrize(
    ("kind", "subject", "changed"),
    [
        pytest.param(
            "v1.customer.subscription.updated", ("subscription", "sub_1"), "subscription", id="same"
        ),
        pytest.param("v1.customer.subscription.past_due", ("subscription", "s"), "subscription", id="finer"),
        pytest.param("v1.customer.deleted", ("customer", "cus_1"), "customer", id="customer"),
        pytest.param("v1.invoice.paid", ("invoice", "in_1"), "invoice", id="invoice"),
        pytest.param("v1.price.lookup_key_changed", ("price", "p"), "price", id="price"),
        pytest.param("v1.product.updated", ("product", "prod_1"), "product", id="product"),
        pytest.param(
            "v1.subscription_schedule.released",
            ("subscription_schedule", "s"),
            "subscription_schedule",
            id="schedule",
        ),
        pytest.param(
            "v1.checkout.session.completed", ("checkout.session", "cs_1"), "checkout.session", id="checkout"
        ),
        pytest.param(
            "v1.billing.meter.error_report_triggered", ("billing.meter", "m"), "billing.meter", id="meter"
        ),
    ],
)
def test_a_thin_event_names_what_to_look_at_again(kind: str, subject: tuple[str, str], changed: str) -> None:
    found = parse_event(thin(kind, related_object=related(*subject)))

    assert changed_objects(found) == (ObjectRef(changed, subject[1]),)
    assert is_followed(kind)


def test_an_event_that_stripe_could_not_make_has_everything_read() -> None:
    lost = parse_event(thin("v2.core.health.event_generation_failure.resolved", related_object=None))

    assert changed_objects(lost) == (ObjectRef("subscriptions", "all"),)


def test_a_type_of_one_kind_is_none_of_the_other() -> None:
    snapshot = parse_event(event("v1.customer.subscription.updated"))
    assert changed_objects(snapshot) == changed_objects(parse_event(thin("customer.updated"))) == ()


def test_all_types_to_ask_for_are_followed() -> None:
    assert all(is_followed(each) for each in (*FOLLOWED_TYPES, *THIN_TYPES))
    assert not is_followed("invoice.created")


async def test_both_kinds_come_to_one_address_and_say_which_they_are(world: World) -> None:
    await deliver(world, event(api_version="2026-10-28.endive"))
    await deliver(world, thin())

    async with world.database.read() as connection:
        columns = stripe_events.c
        rows = await connection.execute(
            select(columns.kind, columns.api_version, columns.created_at, columns.object_id).order_by(
                columns.id
            )
        )
        assert [tuple(row) for row in rows] == [
            ("snapshot", "2026-10-28.endive", NOON - 100, "sub_1"),
            ("thin", None, NOON - 100, "sub_1"),
        ]
    assert await marked(world) == ["sub_1"]


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"livemode": True}, id="live"),
        pytest.param({"context": "acct_9"}, id="account"),
        pytest.param({"context": "org_1/acct_9"}, id="account-of-an-organization"),
        pytest.param({"created": "yesterday"}, id="no-time"),
        pytest.param({"created": 5}, id="time-of-the-other-kind"),
        pytest.param({"id": "evt_\0"}, id="id-that-no-database-takes"),
        pytest.param({"related_object": "sub_1"}, id="no-object"),
    ],
)
async def test_a_misdirected_or_malformed_one_is_refused(world: World, fields: dict[str, Any]) -> None:
    body = thin(**fields)

    with pytest.raises(WebhookRefusedError):
        await deliver(world, body, sign(body))

    assert await stored(world) == []


async def test_a_context_that_ends_in_the_links_account_is_its_own(world: World) -> None:
    await deliver(world, thin(context="org_1/acct_1"))

    assert await marked(world) == ["sub_1"]


@pytest.mark.parametrize(
    ("kind", "object_type", "path", "found"),
    [
        pytest.param(
            "v1.invoice.paid",
            "invoice",
            "/v1/invoices/x_1",
            {"parent": {"subscription_details": {"subscription": "sub_1"}}},
            id="invoice",
        ),
        pytest.param(
            "v1.subscription_schedule.released",
            "subscription_schedule",
            "/v1/subscription_schedules/x_1",
            {"subscription": None, "released_subscription": "sub_1"},
            id="schedule",
        ),
    ],
)
async def test_an_object_that_is_no_subscription_leads_to_its_own(
    world: World, kind: str, object_type: str, path: str, found: dict[str, Any]
) -> None:
    world.stripe.put(path, {"id": "x_1", "object": object_type} | found)
    world.stripe.put_customer(metadata={"organization_id": "acme"})
    world.stripe.put_subscription()

    await deliver(world, thin(kind, related_object=related(object_type, "x_1")))
    await world.sync()

    assert await world.is_entitled("acme")
    assert "x_1" not in await marked(world)


async def test_a_kind_of_object_that_is_not_read_is_settled(world: World) -> None:
    await world.mark(("something_new", "x_1"))

    await world.sync()

    assert await marked(world) == []
