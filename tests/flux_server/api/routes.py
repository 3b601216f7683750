"""Every route that asks for an API key, with a request that it takes in the world that `furnish` makes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import httpx

from tests.flux_server.running import NOON

__all__ = ["PUBLIC", "ROUTES", "Names", "Route", "call", "furnish"]

PUBLIC = {
    "/healthz": "get",
    "/metrics": "get",
    "/v1/stripe/webhooks/{token}": "post",
}


@dataclass(frozen=True, slots=True)
class Route:
    """A route, the scope that it needs, what to send and what it answers then."""

    method: str
    path: str
    scope: str
    body: object = None  # JSON, or bytes of `media_type`
    status: int = 200
    query: dict[str, str] = field(default_factory=dict)
    media_type: str = "application/json"

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Names:
    """What the parameters of paths stand for."""

    key: str
    override: str
    feature: str = "sso"
    metric: str = "calls"
    plan: str = "pro"
    organization: str = "acme"
    customer: str = "cus_1"
    sweep: str = "1"
    secret: str = "0123456789abcdef"
    event: str = "evt_1"


_PLAN = {"name": "Pro", "kind": "base", "prices": [{"price": "price_new"}], "grants": []}
_SLOT = {"organization": "acme", "metric": "calls", "bucket": NOON, "total": 1}

ROUTES = (
    Route("GET", "/v1/environment", "sdk"),
    Route("GET", "/v1/snapshot", "sdk"),
    Route("GET", "/v1/stream", "sdk"),
    Route("POST", "/v1/usage", "sdk", {"source": "s", "slots": [_SLOT]}),
    Route("GET", "/v1/api-keys", "read"),
    Route("POST", "/v1/api-keys", "admin", {"name": "new", "scope": "read"}, 201),
    Route("DELETE", "/v1/api-keys/{key}", "admin", status=204),
    Route("GET", "/v1/features", "read"),
    Route("GET", "/v1/features/{feature}", "read"),
    Route("PUT", "/v1/features/{feature}", "admin", {"kind": "boolean", "name": "new"}),
    Route("GET", "/v1/metrics", "read"),
    Route("GET", "/v1/metrics/{metric}", "read"),
    Route("PUT", "/v1/metrics/{metric}", "admin", {"name": "new"}),
    Route("POST", "/v1/features/{feature}/archive", "admin"),
    Route("POST", "/v1/features/{feature}/restore", "admin"),
    Route("POST", "/v1/metrics/{metric}/archive", "admin"),
    Route("POST", "/v1/metrics/{metric}/restore", "admin"),
    Route("GET", "/v1/plans", "read"),
    Route("GET", "/v1/plans/{plan}", "read"),
    Route("PUT", "/v1/plans/{plan}", "admin", _PLAN),
    Route("POST", "/v1/plans/{plan}/publish", "admin", {"existing": "migrate"}),
    Route("GET", "/v1/plans/{plan}/preview", "read"),
    Route("PUT", "/v1/plans/{plan}/policy", "admin", {"grace": 60}),
    Route("DELETE", "/v1/plans/{plan}/policy", "admin", status=204),
    Route("GET", "/v1/default-plan", "read"),
    Route("PUT", "/v1/default-plan", "admin", {"plan": "pro"}),
    Route("POST", "/v1/plans/{plan}/archive", "admin", status=409),
    Route("POST", "/v1/plans/{plan}/restore", "admin"),
    Route("GET", "/v1/policy", "read"),
    Route("PUT", "/v1/policy", "admin", {"grace": 60}),
    Route("GET", "/v1/catalog", "read"),
    Route("POST", "/v1/catalog/diff", "read", {"features": {"sso": {"kind": "boolean"}}}),
    Route("PUT", "/v1/catalog", "admin", {"features": {"sso": {"kind": "boolean"}}}),
    Route("GET", "/v1/organizations", "read"),
    Route("GET", "/v1/organizations/{organization}", "read"),
    Route("PUT", "/v1/organizations/{organization}", "admin", {"name": "new"}),
    Route("GET", "/v1/organizations/{organization}/entitlements/{feature}", "read"),
    Route("GET", "/v1/organizations/{organization}/history", "read"),
    Route("GET", "/v1/organizations/{organization}/overrides", "read"),
    Route("GET", "/v1/organizations/{organization}/stripe-customers", "read"),
    Route("GET", "/v1/organizations/{organization}/usage", "read", query={"metric": "calls"}),
    Route(
        "POST",
        "/v1/organizations/{organization}/overrides",
        "admin",
        {"feature": "sso", "effect": "deny"},
        201,
    ),
    Route("DELETE", "/v1/organizations/{organization}/overrides/{override}", "admin", status=204),
    Route("PUT", "/v1/stripe/link", "admin", {"metadata_key": "org"}, 422),
    Route("GET", "/v1/stripe/link", "read", status=404),
    Route("DELETE", "/v1/stripe/link", "admin", status=404),
    Route("GET", "/v1/stripe/webhook-secrets", "read"),
    Route("POST", "/v1/stripe/webhook-secrets", "admin", {"secret": "whsec_abcdefgh"}, 404),
    Route("DELETE", "/v1/stripe/webhook-secrets/{secret}", "admin", status=404),
    Route("PUT", "/v1/stripe/customers/{customer}", "admin", {"organization": "acme"}, 204),
    Route("DELETE", "/v1/stripe/customers/{customer}", "admin", status=204),
    Route("DELETE", "/v1/organizations/{organization}", "admin", status=204),
    Route("GET", "/v1/history", "read"),
    Route("POST", "/v1/import/organizations", "admin", b"id\nacme\n", media_type="text/csv"),
    Route("GET", "/v1/export/organizations", "read", query={"format": "csv"}),
    Route("POST", "/v1/stripe/catalog", "admin", status=404),
    Route("GET", "/v1/stripe/unmapped", "read"),
    Route("GET", "/v1/stripe/unmapped-prices", "read"),
    Route("POST", "/v1/stripe/sync", "admin", status=404),
    Route("GET", "/v1/stripe/sweeps", "read"),
    Route("GET", "/v1/stripe/sweeps/{sweep}", "read", status=404),
    Route("POST", "/v1/stripe/forward", "admin", status=404),
    Route("GET", "/v1/stripe/health", "read", status=404),
    Route("GET", "/v1/stripe/doctor", "admin", status=404),
    Route("GET", "/v1/stripe/events", "read"),
    Route("GET", "/v1/stripe/events/{event}", "read", status=404),
    Route("POST", "/v1/stripe/events/{event}/replay", "admin", status=404),
)


def furnish(admin: httpx.Client, name: str = "") -> Names:
    """Make something of every kind in the client's environment, called `name`; return what it is found by."""
    admin.put("/v1/metrics/calls", json={"name": name}).raise_for_status()
    admin.put("/v1/features/sso", json={"kind": "boolean", "name": name}).raise_for_status()
    grants = [{"feature": "sso", "value": True}]
    plan = {"name": name, "prices": [{"price": f"price_{name}"}], "grants": grants}
    admin.put("/v1/plans/pro", json=plan).raise_for_status()
    admin.post("/v1/plans/pro/publish", json={"existing": "stay"}).raise_for_status()
    admin.put("/v1/default-plan", json={"plan": "pro"}).raise_for_status()
    admin.put("/v1/organizations/acme", json={"name": name}).raise_for_status()
    override = {"feature": "sso", "effect": "set", "value": True, "author": name}
    made = admin.post("/v1/organizations/acme/overrides", json=override).raise_for_status()
    admin.put("/v1/stripe/customers/cus_1", json={"organization": "acme"}).raise_for_status()
    slot = {"organization": "acme", "metric": "calls", "bucket": NOON, "total": 7}
    admin.post("/v1/usage", json={"source": "furnish", "slots": [slot]}).raise_for_status()
    key = admin.post("/v1/api-keys", json={"name": name or "key", "scope": "read"}).raise_for_status()
    return Names(key=key.json()["id"], override=made.json()["id"])


def call(client: httpx.Client, route: Route, names: Names) -> httpx.Response:
    """Send the route's request; of a stream, which never ends, return the first event."""
    path = route.path.format(**{name: getattr(names, name) for name in Names.__slots__})
    content = route.body if isinstance(route.body, bytes) else json.dumps(route.body).encode()
    headers = {} if route.body is None else {"Content-Type": route.media_type}
    sent = b"" if route.body is None else content
    with client.stream(route.method, path, content=sent, headers=headers, params=route.query) as answer:
        if answer.headers.get("Content-Type", "").startswith("text/event-stream"):
            return httpx.Response(answer.status_code, content=next(answer.iter_bytes()))
        answer.read()
    return answer
