"""Acceptance scenarios 1 to 9: linking, and what is let in. A server and a sandbox, each on a socket of its own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import stripe as stripe_lib
from pydantic import SecretStr
from sqlalchemy import func, select

from flux_sandbox.testing import StripeSandbox
from flux_server.settings import Settings
from flux_server.stripe.resealing import reseal
from flux_server.stripe.secrets import SecretBox
from flux_server.stripe.tables import stripe_events
from flux_server.stripe.webhooks import MAX_WEBHOOK
from tests.flux_server.running import RunningServer, run_server
from tests.flux_server.stripe.conftest import WallClock

NEEDED = (
    "rak_customer_read",
    "rak_subscription_read",
    "rak_product_read",
    "rak_plan_read",
    "rak_invoice_read",
    "rak_event_read",
    "rak_checkout_session_read",
)
ALL = (*NEEDED, "rak_entitlement_read", "rak_billing_meter_write", "rak_webhook_write")


class Office:
    """A server that is pointed at a sandbox, and an administrator of environment `test`."""

    def __init__(self, sandbox: StripeSandbox, server: RunningServer, admin: httpx.Client) -> None:
        self.sandbox = sandbox
        self.server = server
        self.admin = admin

    def link(self, **wanted: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.try_link(**wanted).raise_for_status().json()
        return found

    def try_link(self, **wanted: Any) -> httpx.Response:
        return self.admin.put("/v1/stripe/link", json=wanted)

    def status(self) -> int:
        return self.admin.get("/v1/stripe/link").status_code

    def endpoints(self) -> list[Any]:
        page = self.sandbox.client().v1.webhook_endpoints.list({"limit": 100})
        return list(page.auto_paging_iter())

    def post(self, url: str, body: bytes, signature: str) -> int:
        return httpx.post(url, content=body, headers={"Stripe-Signature": signature}, timeout=30).status_code

    def stored(self) -> int:
        async def count(connection: Any) -> int:
            return int(
                (await connection.execute(select(func.count()).select_from(stripe_events))).scalar_one()
            )

        return self.server.read(count)


@pytest.fixture
def sandbox() -> Iterator[StripeSandbox]:
    with StripeSandbox() as sandbox:
        yield sandbox


@pytest.fixture
def office(sandbox: StripeSandbox, settings: Settings) -> Iterator[Office]:
    linked = settings.model_copy(update={"stripe_api_base": sandbox.url})
    with run_server(linked, WallClock()) as server, server.client("admin") as admin:
        yield Office(sandbox, server, admin)


def test_01_a_key_with_all_permissions_links_and_is_not_readable(
    office: Office, capfd: pytest.CaptureFixture[str]
) -> None:
    key = office.sandbox.restricted_key(*ALL)

    made = office.link(api_key=key)

    account = office.sandbox.client().v1.accounts.retrieve_current().id
    assert (made["status"], made["account"]) == ("active", account)
    states = {each["name"]: each["state"] for each in made["permissions"]}
    assert states["rak_subscription_read"] == states["rak_webhook_write"] == "granted"
    assert states["rak_billing_meter_write"] == "unproven"
    for file in office.server.settings.data_dir.iterdir():
        assert key.encode() not in file.read_bytes()
    assert key not in json.dumps(made) + "".join(capfd.readouterr())


def test_02_a_key_that_cannot_read_subscriptions_is_refused_and_the_permission_named(office: Office) -> None:
    key = office.sandbox.restricted_key(*(each for each in ALL if each != "rak_subscription_read"))

    refused = office.try_link(api_key=key)

    assert refused.status_code == 422
    assert refused.json()["missing"] == ["rak_subscription_read"]
    assert "rak_subscription_read; add them to the key" in refused.json()["detail"]
    assert office.status() == 404


def test_02_a_key_that_lacks_what_is_optional_links_with_warnings(office: Office) -> None:
    made = office.link(api_key=office.sandbox.restricted_key(*NEEDED))

    said = " ".join(made["warnings"])
    assert "the key lacks rak_billing_meter_read: usage cannot be billed" in said
    assert "rak_webhook_write" in said
    assert made["status"] == "pending_secret"


def test_03_what_is_no_api_key_is_refused_before_anything_is_asked(office: Office) -> None:
    for pasted in ("pk_test_oops1234", "whsec_oops1234", "mk_oops1234"):
        refused = office.try_link(api_key=pasted)
        assert (refused.status_code, refused.json()["code"]) == (422, "stripe_link_refused")

    assert office.sandbox.requests == []


def test_03_a_full_secret_key_links_with_a_warning(office: Office) -> None:
    made = office.link(api_key=office.sandbox.key)

    assert "this is a full secret key" in made["warnings"][0]


def test_04_a_live_key_on_a_test_link_is_refused(office: Office) -> None:
    refused = office.try_link(api_key="rk_live_abcdefgh")

    assert "needs a test mode key" in refused.json()["detail"]
    assert office.sandbox.requests == []


def test_05_the_own_endpoint_is_made_once_among_thirty_others(office: Office) -> None:
    others = {office.sandbox.listen(f"https://example.com/{number}").id for number in range(30)}
    first = office.link(api_key=office.sandbox.restricted_key(*ALL))
    made = [each.to_dict(for_json=True) for each in office.endpoints() if each.id == first["endpoint"]]

    again = office.link(api_key=office.sandbox.restricted_key(*ALL))

    assert again["endpoint"] == first["endpoint"]
    found = [each.to_dict(for_json=True) for each in office.endpoints()]
    assert {each["id"] for each in found} == others | {first["endpoint"]}
    assert [each for each in found if each["id"] == first["endpoint"]] == made
    assert made[0]["api_version"] == stripe_lib.api_version
    assert made[0]["metadata"]["flux_environment"] == "test"
    changes = [each for each in office.sandbox.requests if each.method != "GET"]
    assert len(changes) == 31  # the others, and ours once


def test_06_an_endpoint_whose_secret_is_not_shown_is_removed_and_the_secret_asked_for(office: Office) -> None:
    made = office.link(api_key=office.sandbox.restricted_key(*ALL, shows_secrets=False))

    assert (made["status"], made["endpoint"]) == ("pending_secret", None)
    assert "paste" in made["warnings"][0]
    assert office.endpoints() == []

    pasted = office.link(webhook_secret=office.sandbox.listen(made["webhook_url"]).secret)
    assert (pasted["status"], pasted["endpoint_problem"]) == ("active", None)


def event(name: str) -> bytes:
    plain = {"id": name, "object": "event", "type": "x", "created": 1, "livemode": False}
    return json.dumps(plain | {"data": {"object": {}}}).encode()


def signed(body: bytes, secret: str, at: float) -> str:
    header = stripe_lib.WebhookSignature.generate_signature_header
    return str(header(body.decode(errors="replace"), secret, int(at)))


def test_07_what_stripe_did_not_send_is_refused_and_nothing_stored(office: Office) -> None:
    url = office.link(api_key=office.sandbox.key, webhook_secret=(secret := "whsec_ours1234"))["webhook_url"]
    now = time.time()
    body = event("evt_1")
    good = signed(body, secret, now)
    answers = {
        "another secret": office.post(url, body, signed(body, "whsec_theirs", now)),
        "old": office.post(url, body, signed(body, secret, now - 400)),
        "future": office.post(url, body, signed(body, secret, now + 400)),
        "only v0": office.post(url, body, good.replace("v1=", "v0=")),
        "written anew": office.post(url, json.dumps(json.loads(body), indent=1).encode(), good),
        "no text": office.post(url, b"\xff\xfe", good),
        "no event": office.post(url, b"{}", signed(b"{}", secret, now)),
    }

    large = office.post(url, b" " * (2 * MAX_WEBHOOK), good)

    assert set(answers.values()) == {400}, answers
    assert large == 413
    assert office.stored() == 0
    assert office.post(url, body, good) == 200


def test_08_while_a_secret_is_rolled_both_are_taken_and_then_the_new_one_only(office: Office) -> None:
    made = office.link(api_key=office.sandbox.key, endpoint=False)
    endpoint = office.sandbox.listen(made["webhook_url"])
    office.link(webhook_secret=endpoint.secret)
    made_event = office.sandbox.make_event("customer.created", {"id": "cus_1", "object": "customer"})

    def deliver() -> int:
        webhook = office.sandbox.webhook(made_event, endpoint.id)
        return office.post(made["webhook_url"], webhook.body, webhook.headers["Stripe-Signature"])

    assert deliver() == 200
    rolled = office.sandbox.roll_secret(endpoint.id)
    assert deliver() == 200  # signed with both, of which we know the old one
    office.link(webhook_secret=rolled)
    assert deliver() == 200

    secrets = office.admin.get("/v1/stripe/webhook-secrets").json()["webhook_secrets"]
    old = next(each for each in secrets if each["expires_at"] is not None)
    body = event("evt_9")
    by_old = signed(body, endpoint.secret, time.time())
    assert office.post(made["webhook_url"], body, by_old) == 200
    office.admin.delete(f"/v1/stripe/webhook-secrets/{old['id']}").raise_for_status()

    assert office.post(made["webhook_url"], body, by_old) == 400
    assert deliver() == 200


def test_09_after_everything_is_encrypted_anew_webhooks_still_verify(office: Office) -> None:
    url = office.link(api_key=office.sandbox.key, webhook_secret="whsec_ours1234")["webhook_url"]
    settings = office.server.settings
    old = SecretBox(settings.secret_key.get_secret_value())
    present = "another key, of thirty-two characters or more"

    count = office.server.write(lambda connection: reseal(connection, old, SecretBox(present)))

    assert count == 2
    body = event("evt_1")
    update = {"secret_key": SecretStr(present)}
    with run_server(settings.model_copy(update=update), WallClock()) as server:
        path = url.rpartition("/v1/")[2]
        answer = office.post(f"{server.url}/v1/{path}", body, signed(body, "whsec_ours1234", time.time()))
    assert answer == 200
