from __future__ import annotations

import pytest

from tests.flux_server.dashboard.browsing import Page, Person
from tests.flux_server.dashboard.test_stripe import ada, link, server
from tests.flux_server.dashboard.world import furnish
from tests.flux_server.running import RunningServer
from tests.flux_server.stripe.conftest import KEY, running_double, stripe, wait_until
from tests.flux_server.stripe.double import StripeDouble, subscription

__all__ = ["ada", "running_double", "server", "stripe"]  # fixtures

HERE = "/test/stripe/quarantine"


@pytest.fixture
def waiting(server: RunningServer, stripe: StripeDouble, ada: Person) -> Page:
    """The page, when a subscription of a customer without metadata was read."""
    furnish(server)
    stripe.put_customer("cus_1", metadata={}, name="Beta Ltd", email="it@beta.example")
    stripe.put_subscription("sub_2")
    stripe.lists["/v1/subscriptions"] = [subscription("sub_2")]
    link(ada, api_key=KEY)
    wait_until(lambda: "Beta Ltd" in ada.open(HERE).text, "the subscription was read")
    return ada.open(HERE)


def whose(page: Page, name: str) -> Page:
    """Return the page as if its only form were that of the subscription."""
    forms = [form for form in page.root.all("form") if form.all("input", value=name)]
    page.root.children[:] = forms
    return page


def test_saying_whose_it_is_provisions_at_once(server: RunningServer, ada: Person, waiting: Page) -> None:
    page = ada.send(whose(waiting, "sub_2"), HERE, organization__sub_2="acme")

    assert page.said == "Customer cus_1 is organization acme now."
    assert "Beta Ltd" not in page.text
    assert "sub_2 active" in ada.open("/test/organization?id=acme").text


@pytest.mark.parametrize("typed", ["", "nobody"])
def test_an_organization_that_is_not_there_is_said_at_its_field(
    ada: Person, waiting: Page, typed: str
) -> None:
    page = ada.send(whose(waiting, "sub_2"), HERE, organization__sub_2=typed)

    assert page.status == 422
    assert list(page.errors) == ["organization:sub_2"]
    assert page.root.all("input", id="organization:sub_2")[0].attributes["value"] == typed
    assert "cus_1" in page.text


def test_a_price_is_put_on_a_plan(server: RunningServer, ada: Person) -> None:
    furnish(server)
    assert "price_stray — 1" in ada.open(HERE).text

    page = ada.open("/test/plan/edit?price=price_stray&key=pro")
    shown = [field.attributes["value"] for field in page.root.all("input", name="price")]
    page = ada.send(page, "/test/plan/edit")

    assert shown == ["price_calls", "price_pro", "price_stray", "", ""]
    assert page.said.startswith("Plan pro is saved.")
    assert "price_stray" in page.text
    wait_until(lambda: "price_stray" not in ada.open(HERE).text, "what waited for it was matched")


def test_long_lists_come_in_pages(server: RunningServer, ada: Person) -> None:
    page = ada.open(HERE)

    assert "Every subscription belongs to an organization." in page.text
    assert "No more." in ada.open(f"{HERE}?after=z").text
    assert "No more." in ada.open(f"{HERE}?price-after=z").text


def test_saying_whose_it_is_needs_the_page(server: RunningServer, ada: Person) -> None:
    sent = {"csrf": "guessed", "customer": "cus_nobody", "subscription": "s", "organization:s": "acme"}
    furnish(server)

    assert ada.client.post(HERE, data=sent).status_code == 403
    assert "cus_nobody" in ada.open(HERE).text
