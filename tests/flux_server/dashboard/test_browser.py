from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from flux_server.accounts.invitations import invite_first_admin
from flux_server.catalog.reading import read_catalog
from flux_server.organizations.organizations import ensure_organization
from tests.flux_server.accounts.conftest import PASSWORD
from tests.flux_server.dashboard.conftest import ADA, make_session, make_user
from tests.flux_server.running import NOON, RunningServer


@pytest.fixture(params=[True, False], ids=["scripts", "no-scripts"])
def tab(server: RunningServer, browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A browser's tab, with scripts and without; whatever its console complains about fails the test."""
    context = browser.new_context(base_url=server.url, java_script_enabled=request.param)
    complaints: list[str] = []
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert complaints == []


def press(tab: Page, name: str) -> None:
    tab.get_by_role("button", name=name, exact=True).click()


def follow(tab: Page, name: str) -> None:
    tab.get_by_role("link", name=name, exact=True).first.click()


def fill(tab: Page, **fields: str) -> None:
    for label, text in fields.items():
        tab.get_by_label(re.compile(f"^{label}")).fill(text)


def become_admin(server: RunningServer, tab: Page) -> None:
    made = server.write(lambda connection: invite_first_admin(connection, NOON))
    assert made is not None
    tab.goto(f"/setup/{made[1]}")
    fill(tab, Email=ADA, Password=PASSWORD)
    press(tab, "Create the account and sign in")
    expect(tab.get_by_role("status")).to_have_text("You are signed in.")


def define(tab: Page) -> None:
    follow(tab, "Features & metrics")
    follow(tab, "Define a metric")
    fill(tab, Key="calls", Unit="call")
    press(tab, "Save")
    follow(tab, "Define a feature")
    fill(tab, Key="sso", Name="Single sign-on")
    press(tab, "Save")
    follow(tab, "Define a feature")
    fill(tab, Key="calls-per-month")
    tab.get_by_label("A number").check()
    tab.get_by_label("It is used up by").select_option("calls")
    press(tab, "Save")
    expect(tab.get_by_role("status")).to_have_text("Feature calls-per-month is saved.")


def publish(tab: Page) -> None:
    follow(tab, "Plans")
    follow(tab, "New plan")
    fill(tab, Key="pro", Name="Pro")
    tab.get_by_label("Price 1", exact=True).fill("price_pro")
    tab.locator("[id='value:sso']").select_option("yes")
    tab.locator("[id='value:calls-per-month']").fill("100,000")
    press(tab, "Save")
    expect(tab.get_by_text("never published")).to_be_visible()
    follow(tab, "See what publishing changes")
    expect(tab.get_by_role("row", name="calls-per-month")).to_contain_text("100,000")
    press(tab, "Publish")
    expect(tab.get_by_role("status")).to_have_text("Version 1 of plan pro is published.")
    follow(tab, "Plans")
    tab.get_by_label("Organizations without a base plan have").select_option("pro")
    press(tab, "Save")
    expect(tab.get_by_role("status")).to_have_text("Plan pro is the default plan.")


def make_key(tab: Page) -> str:
    follow(tab, "API keys")
    tab.get_by_label("What it is for").fill("web")
    press(tab, "Make")
    secret = tab.get_by_label("API key", exact=True).inner_text()
    follow(tab, "I have copied it")
    expect(tab.get_by_text(secret)).to_have_count(0)
    return secret


def override(tab: Page) -> None:
    follow(tab, "Organizations")
    follow(tab, "acme")
    expect(tab.get_by_role("row", name="sso")).to_contain_text("Default plan, plan pro, version 1 grants it")
    tab.get_by_label("Deny it").check()
    tab.get_by_label("Feature", exact=True).select_option("sso")
    fill(tab, Why="They asked us to")
    press(tab, "Add")
    row = tab.get_by_role("row", name=re.compile("^sso Single"))
    expect(row).to_contain_text(f"Override by {ADA} denies it: They asked us to")
    expect(row.locator(".value")).to_have_text("no")


def look_back(tab: Page) -> None:
    """See that the override was not there an hour ago, and who made it."""
    tab.get_by_label("As of another moment").fill("-1h")
    press(tab, "Show")
    expect(tab.get_by_text("This is the past.")).to_be_visible()
    expect(tab.get_by_role("row", name=re.compile("^sso")).locator(".value")).to_have_text("yes")
    follow(tab, "What changed when")
    event = tab.locator(".events > li").first
    expect(event).to_contain_text(ADA)
    expect(event).to_contain_text("override of sso, effect: deny")
    event.get_by_role("link", name="As of then").click()
    expect(tab.get_by_role("row", name=re.compile("^sso")).locator(".value")).to_have_text("no")


def edit(server: RunningServer, tab: Page) -> None:
    """Change the published plan, see whom it reaches, and let present subscribers have it."""
    server.clock.now += 3_600
    follow(tab, "Plans")
    follow(tab, "Pro")
    follow(tab, "Edit")
    tab.locator("[id='value:calls-per-month']").fill("200,000")
    press(tab, "Save")
    follow(tab, "See what publishing changes")
    expect(tab.get_by_role("row", name="calls-per-month")).to_contain_text("200,000 changed")
    expect(tab.get_by_text("It is the default plan.")).to_be_visible()
    tab.get_by_label("They migrate to the new version").check()
    press(tab, "Publish")
    expect(tab.get_by_role("status")).to_have_text("Version 2 of plan pro is published.")


def test_from_the_one_time_link_to_an_override(server: RunningServer, tab: Page) -> None:
    server.write(lambda connection: ensure_organization(connection, "test", "acme", now=NOON))

    become_admin(server, tab)
    define(tab)
    publish(tab)
    secret = make_key(tab)
    server.clock.now += 7_200
    override(tab)
    look_back(tab)
    edit(server, tab)
    press(tab, "Sign out")

    expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()
    tab.goto("/test")
    assert tab.title() == "Sign in · Flux"
    catalog = server.read(lambda connection: read_catalog(connection, "test"))
    assert catalog.default_plan == "pro@2"
    assert secret.startswith("flux_test_")


def test_what_cannot_be_undone_asks_first(server: RunningServer, tab: Page) -> None:
    become_admin(server, tab)
    make_key(tab)
    expect(tab.get_by_role("button", name="Revoke it")).to_be_hidden()

    tab.get_by_text("Revoke…").click()
    press(tab, "Revoke it")

    expect(tab.get_by_role("status")).to_have_text("The key is revoked.")


def test_a_secret_is_copied_at_the_press_of_a_button(server: RunningServer, browser: Browser) -> None:
    context = browser.new_context(base_url=server.url, permissions=["clipboard-read", "clipboard-write"])
    token = make_session(server, make_user(server))
    context.add_cookies([{"name": "flux_session", "value": token, "url": server.url}])
    tab = context.new_page()
    tab.goto("/live/api-keys")
    tab.get_by_label("What it is for").fill("web")
    press(tab, "Make in live")

    press(tab, "Copy API key")

    expect(tab.get_by_role("button", name="Copied")).to_be_visible()
    secret = tab.get_by_label("API key", exact=True).inner_text()
    assert tab.evaluate("navigator.clipboard.readText()") == secret
    context.close()


def test_a_script_that_got_into_a_page_would_not_run(server: RunningServer, browser: Browser) -> None:
    tab = browser.new_page(base_url=server.url)
    tab.goto("/sign-in")

    tab.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.ran = true";
            document.body.append(script);
            document.body.insertAdjacentHTML("beforeend", '<img src="/nothing" onerror="window.ran = true">');
        }"""
    )
    tab.wait_for_load_state("networkidle")

    assert tab.evaluate("window.ran") is None
    tab.close()


def test_files_are_kept_by_browsers_and_pages_are_not(server: RunningServer, browser: Browser) -> None:
    tab = browser.new_page(base_url=server.url)
    kept: dict[str, str] = {}
    tab.on("response", lambda answer: kept.update({answer.url: answer.headers.get("cache-control", "")}))

    tab.goto("/sign-in")
    tab.wait_for_load_state("networkidle")

    assert kept.pop(f"{server.url}/sign-in") == "no-store"
    assert len(kept) >= 2
    assert set(kept.values()) == {"public, max-age=31536000, immutable"}
    tab.close()
