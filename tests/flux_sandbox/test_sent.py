from __future__ import annotations

from typing import Any

import httpx
import pytest

from flux_sandbox.api import Request
from tests.flux_sandbox.running import running_sandbox
from tests.flux_sandbox.sent import Sent
from tests.flux_sandbox.shop import Shop


def objections(method: str, path: str, params: dict[str, Any]) -> list[str]:
    """Return what Stripe's types say of a request."""
    request = httpx.Request(method, f"http://stripe{path}", data=params)
    sent = Sent([Request(method, path, {}, b"", request.content)])
    return sent.objections()


@pytest.mark.parametrize(
    ("path", "params", "where"),
    [
        pytest.param("/v1/customers", {"nmae": "Acme"}, "nmae", id="unknown"),
        pytest.param("/v1/subscriptions", {"items[0][prcie]": "p"}, "items.0.prcie", id="nested"),
        pytest.param("/v1/subscriptions", {"coupon": "half"}, "coupon", id="removed"),
        pytest.param("/v1/billing/meter_events", {"event_name": "a"}, "payload", id="missing"),
        pytest.param(
            "/v1/billing/meter_events",
            {"event_name": "a", "payload[value]": "1", "timestamp": "1.5"},
            "timestamp",
            id="float",
        ),
        pytest.param(
            "/v1/webhook_endpoints",
            {"url": "http://a", "enabled_events[0]": "customer.renamed"},
            "enabled_events.0",
            id="no-such-event",
        ),
    ],
)
def test_what_stripes_types_do_not_know_is_told(path: str, params: dict[str, Any], where: str) -> None:
    found = objections("POST", path, params)

    assert [each for each in found if each.startswith(f"POST {path}: {where}: ")] == found != []


def test_a_good_shop_sends_nothing_to_object_to() -> None:
    sent = Sent()
    with running_sandbox(hold=sent.hold) as sandbox:
        shop = Shop(sandbox.stripe)
        v1, subscription = sandbox.stripe.v1, shop.subscribe(shop.monthly, shop.metered)
        shop.use(7, "i1", sandbox.now())
        v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True, "metadata": {"a": "1"}})
        v1.subscriptions.cancel(subscription.id)
        v1.events.list({"types": ["customer.created"], "created": {"gte": 1}, "limit": 3})
        destinations = sandbox.stripe.v2.core.event_destinations
        destinations.create(
            {
                "name": "ours",
                "type": "webhook_endpoint",
                "event_payload": "thin",
                "enabled_events": ["*"],
                "webhook_endpoint": {"url": sandbox.url},
            }
        )
        destinations.list({"limit": 3})
        violations = sandbox.violations()

    assert len(sent.requests) == 13
    assert (sent.objections(), violations) == ([], [])
