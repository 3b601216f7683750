"""The API to subscriptions' schedules."""

from __future__ import annotations

from typing import Final

from flux_sandbox.ledger import Document
from flux_sandbox.parameters import (
    LIST,
    METADATA,
    RANGE,
    Fields,
    Flag,
    ListOf,
    Shape,
    Text,
    Unsimulated,
    Whole,
    shape,
)
from flux_sandbox.route import Call, Route
from flux_sandbox.schedules import (
    cancel_schedule,
    create_schedule,
    list_schedules,
    release_schedule,
    update_schedule,
)
from flux_sandbox.subscription_parameters import BILLING_MODE

__all__ = ["ROUTES"]

_UNSIMULATED: Final = (
    "add_invoice_items application_fee_percent automatic_tax billing_cycle_anchor billing_thresholds "
    "collection_method currency default_payment_method default_tax_rates description discounts invoice_settings "
    "iterations on_behalf_of transfer_data trial trial_end"
)
_PRORATION: Final = Text(choices=("always_invoice", "create_prorations", "none"))
_PHASE: Final = Shape(
    {
        "duration": Shape(
            {
                "interval": Text(choices=("day", "week", "month", "year")),
                "interval_count": Whole(minimum=1, maximum=60),
            },
            ("interval",),
        ),
        "end_date": Whole(),
        "items": ListOf(
            Shape(
                {
                    "metadata": METADATA,
                    "price": Text(),
                    "quantity": Whole(maximum=999_999),
                    **dict.fromkeys(
                        ("billing_thresholds", "discounts", "plan", "price_data", "tax_rates"), Unsimulated()
                    ),
                },
                ("price",),
            ),
            max_items=20,
        ),
        "metadata": METADATA,
        "proration_behavior": _PRORATION,
        "start_date": Whole(),
        **dict.fromkeys(_UNSIMULATED.split(), Unsimulated()),
    },
    ("items",),
)
_COMMON: Final[Fields] = {
    "default_settings": Unsimulated(),
    "end_behavior": Text(choices=("cancel", "release")),
    "metadata": METADATA,
    "phases": ListOf(_PHASE, max_items=10),
}


def _retrieve(call: Call) -> Document:
    return call.ledger.require("subscription_schedule", call.target)


ROUTES: Final = (
    Route(
        "POST",
        "/v1/subscription_schedules",
        create_schedule,
        shape(
            {
                **_COMMON,
                "billing_mode": BILLING_MODE,
                "customer": Text(),
                "customer_account": Unsimulated(),
                "from_subscription": Text(),
                "start_date": Whole(words=("now",)),
            }
        ),
    ),
    Route(
        "GET",
        "/v1/subscription_schedules",
        list_schedules,
        shape(
            {
                **LIST,
                **dict.fromkeys(("canceled_at", "completed_at", "created", "released_at"), RANGE),
                "customer": Text(),
                "customer_account": Unsimulated(),
                "scheduled": Flag(),
            }
        ),
    ),
    Route("GET", "/v1/subscription_schedules/{id}", _retrieve, shape()),
    Route(
        "POST",
        "/v1/subscription_schedules/{id}",
        update_schedule,
        shape({**_COMMON, "proration_behavior": _PRORATION}),
    ),
    Route(
        "POST",
        "/v1/subscription_schedules/{id}/cancel",
        cancel_schedule,
        shape({"invoice_now": Unsimulated(), "prorate": Flag()}),
    ),
    Route(
        "POST",
        "/v1/subscription_schedules/{id}/release",
        release_schedule,
        shape({"preserve_cancel_date": Flag()}),
    ),
)
