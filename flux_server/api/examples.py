"""What operations take, for their description: meanings and examples. The tests send every body."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["BODIES", "KEYS", "MEANINGS", "PARAMETERS"]

PARAMETERS: Final[dict[str, object]] = {
    "customer": "cus_NffrFeUfNV2Hib",
    "secret": "f3a91c5be07d2468",
    "organization": "acme",
    "metric": "api-calls",
    "Idempotency-Key": "4b1c6e4e-3a0f-4a51-9d0f-2f0a1f7f3f0b",
    "limit": 50,
    "query": "acme",
    "usage_since": 0,
}
"""A value of each parameter that is called so, wherever it is."""

MEANINGS: Final[dict[str, str]] = {
    "Accept-Encoding": "`gzip` has the answer compressed.",
    "customer": "The customer's id in Stripe.",
    "override": "The override's id.",
    "secret": "The signing secret's id.",
    "Stripe-Signature": "Stripe's signature of the body.",
    "token": "The last part of the link's `webhook_url`.",
}
"""What each parameter is that is called so, where its route does not say it."""

KEYS: Final[dict[str, tuple[str, str]]] = {
    "/v1/api-keys/": ("The API key's id.", "3f1f0c5c6d0e4c0f9d6f2b8f5a1c7e90"),
    "/v1/features/": ("The feature's key.", "calls"),
    "/v1/organizations/": ("The feature's key.", "calls"),
    "/v1/metrics/": ("The metric's key.", "api-calls"),
    "/v1/plans/": ("The plan's key.", "pro"),
}
"""What `key` is in addresses that begin so, and a value of it."""

BODIES: Final[dict[str, Any]] = {
    "create_api_key": {"name": "web", "scope": "sdk"},
    "put_metric": {"name": "API calls", "unit": "calls"},
    "put_feature": {"kind": "limit", "name": "API calls", "metric": "api-calls", "reset": "month"},
    "put_plan": {
        "name": "Pro",
        "prices": [{"price": "price_1Nq2"}, {"price": "price_1Nq3", "metric": "api-calls"}],
        "grants": [{"feature": "sso", "value": True}, {"feature": "calls", "value": 10_000}],
    },
    "publish_plan": {"existing": "stay"},
    "put_plan_policy": {"grace": 259_200},
    "put_policy": {"leeway": 3_600, "grace": 604_800, "statuses": {"unpaid": "grace"}},
    "put_default_plan": {"plan": "pro"},
    "put_organization": {"name": "Acme Ltd"},
    "create_override": {
        "feature": "calls",
        "effect": "set",
        "value": 50_000,
        "author": "ann",
        "reason": "pilot customer",
    },
    "put_stripe_link": {"metadata_key": "organization_id"},
    "put_stripe_customer": {"organization": "acme"},
    "add_stripe_webhook_secret": {"secret": "whsec_Nc0sRk2Wq8ZtP4", "kind": "thin"},
    "send_usage": {
        "source": "web-1-4711",
        "slots": [{"organization": "acme", "metric": "api-calls", "bucket": 1_760_011_200, "total": 17}],
    },
}
"""The body of each operation that takes one, by its `operationId`."""
