from __future__ import annotations

import json
import time
from collections.abc import Iterator

import httpx
import pytest
import stripe as stripe_lib

from flux_server.settings import Settings
from flux_server.stripe.webhooks import MAX_WEBHOOK
from tests.flux_server.running import NOON, FakeClock, RunningServer, run_server
from tests.flux_server.stripe.conftest import KEY, SECRET
from tests.flux_server.stripe.double import StripeDouble


@pytest.fixture
def server(settings: Settings, clock: FakeClock, stripe: StripeDouble) -> Iterator[RunningServer]:
    linked = settings.model_copy(update={"stripe_api_base": stripe.url})
    with run_server(linked, clock) as running:
        yield running


@pytest.fixture
def admin(server: RunningServer) -> Iterator[httpx.Client]:
    with server.client("admin") as client:
        yield client


def link(admin: httpx.Client) -> dict[str, object]:
    answer = admin.put("/v1/stripe/link", json={"api_key": KEY, "webhook_secret": SECRET})
    found: dict[str, object] = answer.raise_for_status().json()
    return found


def post_webhook(url: object, body: bytes, secret: str = SECRET) -> httpx.Response:
    signature = stripe_lib.WebhookSignature.generate_signature_header(body.decode(), secret, NOON)
    return httpx.post(str(url), content=body, headers={"Stripe-Signature": signature}, timeout=30)


def test_a_webhook_opens_what_its_customer_paid_for(
    admin: httpx.Client, stripe: StripeDouble, server: RunningServer
) -> None:
    admin.put("/v1/features/sso", json={"kind": "boolean"}).raise_for_status()
    draft = {"prices": [{"price": "price_pro"}], "grants": [{"feature": "sso", "value": True}]}
    admin.put("/v1/plans/pro", json={"name": "Pro", "kind": "base"} | draft).raise_for_status()
    admin.post("/v1/plans/pro/publish", json={"existing": "stay"}).raise_for_status()
    url = link(admin)["webhook_url"]
    stripe.put_customer(metadata={"organization_id": "acme"})
    stripe.put_subscription()
    event = {"id": "evt_1", "type": "customer.subscription.created", "created": NOON, "livemode": False}
    body = json.dumps(event | {"data": {"object": {"id": "sub_1"}}}).encode()

    answer = post_webhook(url, body)

    assert (answer.status_code, answer.json()) == (200, {"received": True})
    deadline = time.monotonic() + 10
    while not admin.get("/v1/organizations/acme").json().get("entitlements"):
        assert time.monotonic() < deadline


def test_the_link_is_shown_without_its_secrets(admin: httpx.Client, server: RunningServer) -> None:
    made = link(admin)

    assert admin.get("/v1/stripe/link").json() == made
    assert made["api_key"] == "rk_test_…p7dc"
    assert str(made["webhook_url"]).startswith(f"{server.url}/v1/stripe/webhooks/")
    assert SECRET not in json.dumps(made)


def test_no_file_of_the_server_holds_a_secret_readable(admin: httpx.Client, server: RunningServer) -> None:
    link(admin)

    for file in server.settings.data_dir.iterdir():
        assert KEY.encode() not in file.read_bytes()
        assert SECRET.encode() not in file.read_bytes()


def test_a_refused_key_is_not_repeated(admin: httpx.Client) -> None:
    for body in ({"api_key": "pk_test_oops1234"}, {"api_key": {"nested": "pk_test_oops1234"}}):
        answer = admin.put("/v1/stripe/link", json=body)

        assert answer.status_code == 422
        assert "oops1234" not in answer.text


def test_missing_permissions_are_members_of_the_problem(admin: httpx.Client, stripe: StripeDouble) -> None:
    message = "Having the 'rak_customer_read' permission would allow this request to continue."
    stripe.fail("/v1/customers", (403, {"error": {"message": message}}))

    problem = admin.put("/v1/stripe/link", json={"api_key": KEY}).json()

    assert problem["code"] == "stripe_link_refused"
    assert problem["missing"] == ["rak_customer_read"]


def test_a_link_can_be_ended_and_made_anew(admin: httpx.Client) -> None:
    first = link(admin)

    assert admin.delete("/v1/stripe/link").json() == {"left": None}
    assert admin.get("/v1/stripe/link").json()["code"] == "stripe_not_linked"
    assert link(admin)["webhook_url"] != first["webhook_url"]


@pytest.mark.parametrize("path", ["/v1/stripe/sync", "/v1/stripe/forward"])
def test_without_a_link_there_is_nothing_to_do(admin: httpx.Client, path: str) -> None:
    answer = admin.post(path)

    assert (answer.status_code, answer.json()["code"]) == (404, "stripe_not_linked")


def test_usage_is_forwarded_when_asked_for(admin: httpx.Client) -> None:
    link(admin)

    answer = admin.post("/v1/stripe/forward", json={})

    assert answer.json() == {"planned": 0, "sent": 0, "retried": 0, "ambiguous": 0, "dead": 0}


def test_a_customer_can_be_mapped_before_anything_is_known_of_it(admin: httpx.Client) -> None:
    answer = admin.put("/v1/stripe/customers/cus_1", json={"organization": "acme"})

    assert answer.status_code == 204


@pytest.mark.parametrize("scope", ["sdk", "read"])
def test_only_administrators_change_the_link(server: RunningServer, scope: str) -> None:
    with server.client(scope) as client:
        assert client.put("/v1/stripe/link", json={"api_key": KEY}).status_code == 403
        assert client.delete("/v1/stripe/link").status_code == 403
        assert client.post("/v1/stripe/forward").status_code == 403


def test_a_forged_webhook_is_refused_without_a_reason(admin: httpx.Client) -> None:
    url = link(admin)["webhook_url"]

    answer = post_webhook(url, b"{}", secret="whsec_forged")

    assert (answer.status_code, answer.json()["code"]) == (400, "webhook_refused")


def test_a_webhook_larger_than_any_is_not_read(admin: httpx.Client) -> None:
    url = link(admin)["webhook_url"]

    assert post_webhook(url, b" " * (MAX_WEBHOOK + 1)).status_code == 413


def test_an_unguessed_webhook_address_is_not_found(server: RunningServer) -> None:
    answer = post_webhook(f"{server.url}/v1/stripe/webhooks/guessed", b"{}")

    assert answer.status_code == 404
