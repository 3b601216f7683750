"""Something to sell, and somebody who buys."""

from __future__ import annotations

import stripe
from stripe.params.billing import MeterEventCreateParams


class Shop:
    """A product with a monthly, a yearly and a metered price, the meter, and a customer."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._v1 = client.v1
        self.product = self._v1.products.create({"name": "Pro"}).id
        self.meter = self._v1.billing.meters.create(
            {
                "display_name": "API calls",
                "event_name": "api-calls",
                "default_aggregation": {"formula": "sum"},
            }
        ).id
        self.monthly = self._price("month")
        self.yearly = self._price("year")
        self.metered = self._v1.prices.create(
            {
                "product": self.product,
                "currency": "eur",
                "unit_amount": 1,
                "recurring": {"interval": "month", "usage_type": "metered", "meter": self.meter},
            }
        ).id
        self.customer = self._v1.customers.create({"name": "Acme"}).id

    def subscribe(self, *prices: str) -> stripe.Subscription:
        """Subscribe the customer, to the monthly price unless others are named."""
        wanted = prices or (self.monthly,)
        return self._v1.subscriptions.create(
            {"customer": self.customer, "items": [{"price": price} for price in wanted]}
        )

    def use(
        self, value: int | str, identifier: str, timestamp: int | None = None
    ) -> stripe.billing.MeterEvent:
        """Report usage of the customer's."""
        payload = {"stripe_customer_id": self.customer, "value": str(value)}
        params: MeterEventCreateParams = {
            "event_name": "api-calls",
            "identifier": identifier,
            "payload": payload,
        }
        if timestamp is not None:
            params["timestamp"] = timestamp
        return self._v1.billing.meter_events.create(params)

    def _price(self, interval: str) -> str:
        return self._v1.prices.create(
            {
                "product": self.product,
                "currency": "eur",
                "unit_amount": 4900,
                "recurring": {"interval": interval},
            }
        ).id
