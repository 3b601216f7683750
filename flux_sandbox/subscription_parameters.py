"""What a request may say of a subscription."""

from __future__ import annotations

from typing import Final

from flux_sandbox.items import CHANGED_ITEM, ITEM, MAX_ITEMS
from flux_sandbox.parameters import (
    LIST,
    METADATA,
    RANGE,
    Clearable,
    Either,
    Fields,
    Flag,
    ListOf,
    Shape,
    Text,
    Unsimulated,
    Whole,
)

__all__ = [
    "BILLING_MODE",
    "CANCEL",
    "CREATE",
    "LIST_OF_SUBSCRIPTIONS",
    "PAUSE",
    "RESUME",
    "TRIAL_SETTINGS",
    "UPDATE",
]

_STATUSES: Final = (
    "active",
    "all",
    "canceled",
    "ended",
    "incomplete",
    "incomplete_expired",
    "past_due",
    "paused",
    "trialing",
    "unpaid",
)
BILLING_MODE: Final = Shape(
    {"type": Text(choices=("classic", "flexible")), "flexible": Unsimulated()}, ("type",)
)
TRIAL_SETTINGS: Final = Shape(
    {
        "end_behavior": Shape(
            {"missing_payment_method": Text(choices=("cancel", "create_invoice", "pause"))},
            ("missing_payment_method",),
        )
    },
    ("end_behavior",),
)
_COMMON: Final[Fields] = {
    "cancel_at": Clearable(Whole(words=("min_period_end", "max_period_end"))),
    "cancel_at_period_end": Flag(),
    "collection_method": Text(choices=("charge_automatically", "send_invoice")),
    "days_until_due": Whole(),
    "default_payment_method": Text(),
    "description": Clearable(Text(max_length=500)),
    "metadata": METADATA,
    "off_session": Flag(),
    "payment_behavior": Text(
        choices=("allow_incomplete", "default_incomplete", "error_if_incomplete", "pending_if_incomplete")
    ),
    "proration_behavior": Text(choices=("always_invoice", "create_prorations", "none")),
    "trial_end": Whole(words=("now",)),
    "trial_settings": TRIAL_SETTINGS,
    **dict.fromkeys(
        (
            "add_invoice_items",
            "application_fee_percent",
            "automatic_tax",
            "billing_schedules",
            "billing_thresholds",
            "default_source",
            "default_tax_rates",
            "discounts",
            "invoice_settings",
            "on_behalf_of",
            "payment_settings",
            "pending_invoice_item_interval",
            "transfer_data",
            "trial_from_plan",
        ),
        Unsimulated(),
    ),
}
_DETAILS: Final = Shape(
    {"comment": Clearable(Text()), "feedback": Clearable(Text()), "feedback_option": Text()}
)
CREATE: Final[Fields] = {
    **_COMMON,
    "backdate_start_date": Unsimulated(),
    "billing_cycle_anchor": Unsimulated(),
    "billing_cycle_anchor_config": Unsimulated(),
    "billing_mode": BILLING_MODE,
    "currency": Text(max_length=3),
    "customer": Text(),
    "customer_account": Unsimulated(),
    "items": ListOf(Shape(ITEM), max_items=MAX_ITEMS),
    "trial_period_days": Whole(minimum=1, maximum=730),
}
UPDATE: Final[Fields] = {
    **_COMMON,
    "billing_cycle_anchor": Unsimulated(),
    "cancellation_details": _DETAILS,
    "items": ListOf(Shape(CHANGED_ITEM), max_items=2 * MAX_ITEMS),
    "pause_collection": Clearable(
        Shape(
            {
                "behavior": Text(choices=("keep_as_draft", "mark_uncollectible", "void")),
                "resumes_at": Clearable(Whole()),
            },
            ("behavior",),
        )
    ),
    "proration_date": Whole(),
}
CANCEL: Final[Fields] = {
    "cancellation_details": _DETAILS,
    "invoice_now": Flag(),
    "prorate": Flag(),
}
PAUSE: Final[Fields] = {
    "bill_for": Shape(
        {
            "outstanding_usage_through": Shape({"type": Text(choices=("none", "now"))}, ("type",)),
            "unused_time_from": Unsimulated(),
        }
    ),
    "invoicing_behavior": Text(choices=("invoice", "pending_invoice_item")),
    "type": Text(choices=("subscription",)),
}
_ANCHOR: Final = Text(choices=("now", "unchanged"))
RESUME: Final[Fields] = {
    "billing_cycle_anchor": Either(_ANCHOR, Shape({"type": _ANCHOR}, ("type",))),
    "payment_behavior": Text(choices=("resume_on_payment_attempt", "resume_on_payment_success")),
    "proration_behavior": Text(choices=("always_invoice", "create_prorations", "none")),
    "proration_date": Whole(),
}
LIST_OF_SUBSCRIPTIONS: Final[Fields] = {
    **LIST,
    "collection_method": Text(choices=("charge_automatically", "send_invoice")),
    "created": RANGE,
    "customer": Text(),
    "price": Text(),
    "status": Text(choices=_STATUSES),
}
