"""A shop at Stripe, played by the sandbox, whose plans Flux knows: what its customers do, and what they have then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from flux_sandbox.testing import StripeSandbox
from flux_server.settings import Settings
from flux_server.stripe.dirty import oldest_mark
from tests.flux_server.running import RunningServer, run_server
from tests.flux_server.stripe.conftest import WallClock, wait_until

__all__ = ["DAY", "Shop", "open_shop"]

DAY = 86_400
_KEY = "rk_test_sandbox"
_PATIENCE = 30.0


class Shop:
    """A sandbox, and a server that is linked to it, goes by its clock and sells plans pro and team and add-on seats.

    `pro` grants sso and 5 seats, `team` 50 seats, each `seats` add-on one more for each unit.
    """

    def __init__(self, sandbox: StripeSandbox, server: RunningServer) -> None:
        self.sandbox = sandbox
        self.server = server
        self.flux = server.client("admin")
        self.stripe = sandbox.client().v1
        product = self.stripe.products.create({"name": "Pro"}).id
        self.product = product
        self.pro = self.price(product, "month", lookup_key="pro_monthly")
        self.yearly = self.price(product, "year")
        self.team = self.price(self.stripe.products.create({"name": "Team"}).id, "month")
        self.seats = self.price(self.stripe.products.create({"name": "Seats"}).id, "month")
        meter = {
            "display_name": "Calls",
            "event_name": "calls",
            "default_aggregation": {"formula": "sum"},
        }
        self.meter = self.stripe.billing.meters.create(meter).id
        self.calls = self.price(product, "month", usage_type="metered", meter=self.meter)
        self.organization = "acme"
        self.flux.put("/v1/catalog", json=self.catalog()).raise_for_status()
        self.link(api_key=_KEY)

    def link(self, **wanted: Any) -> None:
        """Link the server to the account, or change the link."""
        self.flux.put("/v1/stripe/link", json=wanted).raise_for_status()

    def catalog(self) -> dict[str, Any]:
        """Return what is sold."""
        calls = {"price": self.calls, "metric": "calls"}
        return {
            "metrics": {"calls": {}},
            "features": {"sso": {"kind": "boolean"}, "seats": {"kind": "limit"}},
            "plans": {
                "pro": {
                    "prices": [self.pro, self.yearly, calls],
                    "entitlements": {"sso": True, "seats": 5},
                },
                "team": {"prices": [self.team], "entitlements": {"seats": 50}},
                "seats": {
                    "kind": "addon",
                    "prices": [self.seats],
                    "entitlements": {"seats": {"value": 1, "per_unit": True}},
                },
            },
        }

    def price(self, product: str, interval: str, lookup_key: str | None = None, **terms: Any) -> str:
        """Sell the product by the interval."""
        named = {"lookup_key": lookup_key} if lookup_key else {}
        recurring = {"interval": interval, **terms}
        params = {"product": product, "currency": "eur", "unit_amount": 900, "recurring": recurring}
        return str(self.stripe.prices.create({**params, **named}).id)

    def customer(self, organization: str | None = None) -> str:
        """Make a customer, who names the story's organization, or another one; none if it is empty."""
        named = {"organization_id": organization or self.organization} if organization != "" else {}
        return str(self.stripe.customers.create({"name": "Acme", "metadata": named}).id)

    def subscribe(self, *items: str | dict[str, Any], customer: str = "", **more: Any) -> Any:
        """Subscribe the customer, or a new one, to items: pro if nothing is said."""
        wanted = [item if isinstance(item, dict) else {"price": item} for item in items or (self.pro,)]
        params = {"customer": customer or self.customer(), "items": wanted, **more}
        return self.stripe.subscriptions.create(params)

    def pays(self, customer: str, outcome: str) -> None:
        """Say how the customer's payments go from now on."""
        self.control(f"customers/{customer}/payments", {"outcome": outcome})

    def control(self, path: str, body: dict[str, Any]) -> None:
        httpx.post(f"{self.sandbox.url}/_sandbox/{path}", json=body, timeout=20).raise_for_status()

    def go_deaf(self) -> None:
        """Let no webhook come any more."""
        for endpoint in self.stripe.webhook_endpoints.list().data:
            self.stripe.webhook_endpoints.delete(endpoint.id)

    def explained(self, feature: str, organization: str = "") -> dict[str, Any]:
        whose = organization or self.organization
        answer = self.flux.get(f"/v1/organizations/{whose}/entitlements/{feature}")
        found: dict[str, Any] = answer.json()
        return found if answer.is_success else {"value": None, "until": None, "reasons": []}

    def value(self, feature: str = "seats", organization: str = "") -> Any:
        return self.explained(feature, organization)["value"]

    def statuses(self) -> set[str]:
        """Return what Flux knows the organization's subscriptions to be."""
        reasons = self.explained("sso")["reasons"]
        return {reason["unknown_status"] or reason["status"] for reason in reasons if reason["status"]}

    def waiting_reads(self) -> int:
        """Return how many objects are to be read from Stripe now."""
        now = self.sandbox.now()
        waiting, _ = self.server.read(lambda connection: oldest_mark(connection, "test", now))
        return waiting

    def soon(self, holds: Callable[[], bool], what: str) -> None:
        """Wait for what follows from what was done."""
        wait_until(holds, what, seconds=_PATIENCE)

    def has(self, value: Any, feature: str = "seats", organization: str = "") -> bool:
        """Wait until the organization has this much of the feature."""
        whose = organization or self.organization
        self.soon(lambda: self.value(feature, whose) == value, f"{whose} has {value} {feature}")
        return True

    def is_seen_as(self, status: str) -> None:
        """Wait until Flux knows a subscription of the organization's to be this."""
        self.soon(lambda: status in self.statuses(), f"{self.organization} is seen to be {status}")


@contextmanager
def open_shop(sandbox: StripeSandbox, settings: Settings) -> Iterator[Shop]:
    """Run a server beside the sandbox for the length of the block; Stripe would have refused none of its requests."""
    linked = settings.model_copy(
        update={"stripe_api_base": sandbox.url, "clock_url": f"{sandbox.url}/_sandbox/clock"}
    )
    with run_server(linked, WallClock()) as server:
        shop = Shop(sandbox, server)
        yield shop
        shop.flux.close()
