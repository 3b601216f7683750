from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from flux_server.environments.api_keys import list_api_keys
from flux_server.settings import Settings
from flux_server.stripe.link import pause_link, read_link
from tests.flux_server.dashboard.browsing import Page, Person
from tests.flux_server.dashboard.conftest import make_session, make_user
from tests.flux_server.running import NOON, FakeClock, RunningServer, run_server
from tests.flux_server.stripe.conftest import KEY, SECRET, wait_until
from tests.flux_server.stripe.double import StripeDouble, subscription


@pytest.fixture
def server(settings: Settings, stripe: StripeDouble, clock: FakeClock) -> Iterator[RunningServer]:
    """A server that asks the double."""
    with run_server(settings.model_copy(update={"stripe_api_base": stripe.url}), clock) as running:
        yield running


@pytest.fixture
def ada(server: RunningServer) -> Iterator[Person]:
    with httpx.Client(base_url=server.url, follow_redirects=True, timeout=20) as client:
        client.cookies.set("flux_session", make_session(server, make_user(server)), domain="127.0.0.1")
        yield Person(client)


def link(ada: Person, **typed: str) -> Page:
    return ada.send(ada.open("/test/stripe"), "/test/stripe", **typed)


def test_stripe_is_linked_in_two_steps(server: RunningServer, ada: Person) -> None:
    page = link(ada, api_key=KEY)
    assert page.said == "Stripe is linked. All subscriptions are being read."
    assert "No webhook secret yet" in page.text
    assert f"{server.url}/v1/stripe/webhooks/" in page.text

    page = link(ada, webhook_secret=SECRET)

    assert "No webhook secret yet" not in page.text
    found = server.read(lambda connection: read_link(connection, "test"))
    assert found is not None
    assert found.has_webhook_secret


def test_stripes_own_entitlements_are_switched_on_and_off(server: RunningServer, ada: Person) -> None:
    def counted() -> bool:
        found = server.read(lambda connection: read_link(connection, "test"))
        return found is not None and found.stripe_entitlements

    link(ada, api_key=KEY)
    assert not counted()

    page = link(ada, stripe_entitlements="yes")
    (box,) = page.root.all("input", name="stripe_entitlements")
    assert counted()
    assert "checked" in box.attributes

    link(ada, stripe_entitlements="")
    assert not counted()


def test_no_page_shows_a_secret(ada: Person) -> None:
    pages = [link(ada, api_key=KEY, webhook_secret=SECRET), ada.open("/test"), ada.open("/test/stripe")]

    for page in pages:
        assert KEY not in page.answer.text
        assert SECRET not in page.answer.text
        assert "rk_test_…p7dc" in page.text or page.path == "/test"


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        pytest.param({"api_key": "pk_test_oops1234"}, "this is a publishable key", id="publishable"),
        pytest.param({"api_key": "rk_live_" + "a" * 20}, "needs a test mode key", id="live"),
        pytest.param({}, "give `api_key`", id="nothing"),
    ],
)
def test_a_refused_key_says_which_to_paste_and_is_not_repeated(
    ada: Person, typed: dict[str, str], complaint: str
) -> None:
    page = link(ada, metadata_key="org", **typed)

    assert page.status == 422
    assert complaint in page.errors["0"]
    assert dict(page.fields("/test/stripe"))["metadata_key"] == "org"
    for secret in typed.values():
        assert secret not in page.answer.text


def test_a_paused_link_says_why(server: RunningServer, ada: Person) -> None:
    link(ada, api_key=KEY)
    server.write(lambda connection: pause_link(connection, "test", "the key was rolled"))

    for path in ("/test", "/test/stripe"):
        page = ada.open(path)
        assert "paused" in page.text
        assert "the key was rolled" in page.text


def test_subscriptions_are_read_again_when_asked_for(stripe: StripeDouble, ada: Person) -> None:
    page = link(ada, api_key=KEY)
    wait_until(lambda: stripe.calls["/v1/subscriptions"] >= 2, "the first reading of all")
    before = stripe.calls["/v1/subscriptions"]

    page = ada.send(page, "/test/stripe/sync")

    assert page.said == "All subscriptions are being read again."
    wait_until(lambda: stripe.calls["/v1/subscriptions"] > before, "another reading of all")


def test_usage_is_sent_when_asked_for(ada: Person) -> None:
    page = ada.send(link(ada, api_key=KEY), "/test/stripe/forward")

    assert page.said == "Usage: 0 sent, 0 to be tried again, 0 refused."


def test_the_link_is_ended(server: RunningServer, ada: Person) -> None:
    page = ada.send(link(ada, api_key=KEY), "/test/stripe/unlink")

    assert page.said == "The link is ended and its secrets are forgotten."
    assert server.read(lambda connection: read_link(connection, "test")) is None


def test_whose_subscription_nobody_knows_is_shown_and_mapped(
    server: RunningServer, stripe: StripeDouble, ada: Person
) -> None:
    stripe.put_customer("cus_1", metadata={})
    stripe.put_subscription("sub_1")
    stripe.lists["/v1/subscriptions"] = [subscription("sub_1")]
    link(ada, api_key=KEY)
    wait_until(lambda: "cus_1" in ada.open("/test/stripe/quarantine").text, "the subscription was read")
    ada.send(ada.open("/test/organization/new"), "/test/organization/new", id="acme")

    page = ada.open("/test/organization?id=acme")
    page = ada.send(page, "/test/organization/customer", customer="cus_1")

    assert "cus_1 somebody, by hand" in page.text
    assert "sub_1 active" in page.text
    assert "cus_1" not in ada.open("/test/stripe/quarantine").text


def test_a_key_is_made_and_revoked(server: RunningServer, ada: Person) -> None:
    page = ada.send(ada.open("/live/api-keys"), "/live/api-keys", name="web", scope="sdk")
    assert (page.status, page.heading) == (201, "The new API key")

    page = ada.send(ada.open("/live/api-keys"), "/live/api-keys/revoke")

    assert page.said == "The key is revoked."
    (key,) = server.read(lambda connection: list_api_keys(connection, "live"))
    assert (key.name, key.scope, key.revoked_at) == ("web", "sdk", NOON)


@pytest.mark.parametrize("typed", [{"name": ""}, {"name": "web", "scope": "root"}])
def test_a_key_without_a_name_or_a_scope_is_refused(ada: Person, typed: dict[str, str]) -> None:
    page = ada.send(ada.open("/live/api-keys"), "/live/api-keys", **typed)

    assert page.status == 422
    assert page.errors.keys() <= {"name", "scope"}


def test_the_overview_says_what_to_do_next(ada: Person) -> None:
    def done() -> list[str]:
        steps = ada.open("/test").root.all("li", **{"class": "done"})
        return [step.all("a")[0].text for step in steps]

    assert done() == []

    link(ada, api_key=KEY, webhook_secret=SECRET)
    ada.send(ada.open("/test/api-keys"), "/test/api-keys", name="web", scope="sdk")

    assert done() == ["Link Stripe", "Make an API key"]


def test_what_the_key_may_do_and_the_own_endpoint_are_shown(stripe: StripeDouble, ada: Person) -> None:
    message = "Having the 'rak_billing_meter_read' permission would allow this request to continue."
    stripe.fail("/v1/billing/meters", (403, {"error": {"message": message}}))
    stripe.put_endpoints()

    page = link(ada, api_key=KEY)

    assert "made and kept by Flux" in page.text
    assert "rak_billing_meter_read read meters missing usage cannot be billed" in page.text
    assert "The key lacks rak_billing_meter_read: usage cannot be billed." in page.text


def test_a_rolled_secret_is_listed_beside_the_one_it_replaces_until_it_is_removed(ada: Person) -> None:
    link(ada, api_key=KEY, webhook_secret=SECRET)
    page = link(ada, webhook_secret="whsec_another", thin_secret="whsec_thinones")
    for shown in ("whsec_…ther snapshot", "whsec_…ones thin", f"whsec_…{SECRET[-4:]} snapshot"):
        assert shown in page.text
    before = page.text.count("Remove…")

    page = ada.send(page, "/test/stripe/secrets/remove")

    assert page.said == "Webhooks are no longer taken by that secret."
    assert (before, page.text.count("Remove…")) == (3, 2)
