from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, BrowserContext
from playwright.sync_api import Page as Tab

from flux_server.settings import Settings
from tests.flux_server.dashboard.conftest import make_session, make_user
from tests.flux_server.dashboard.world import PAGES, furnish
from tests.flux_server.running import RunningServer, run_server

AUDIT = (Path(__file__).parent / "audit.js").read_text()
WIDE, NARROW, ZOOMED = 1280, 320, 640  # 640 is a window of 1280 at 200 %


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with something of everything, for tests that only look."""
    with run_server(Settings(data_dir=tmp_path_factory.mktemp("data"), public_url="")) as server:
        furnish(server)
        make_user(server, "bob@example.com")
        yield server


@pytest.fixture(scope="module")
def session(furnished: RunningServer) -> str:
    return make_session(furnished, make_user(furnished))


@pytest.fixture
def visit(furnished: RunningServer, session: str, browser: Browser) -> Iterator[Callable[[str], Tab]]:
    """Opens a page of somebody who is signed in."""
    contexts: list[BrowserContext] = []

    def visit(path: str) -> Tab:
        context = browser.new_context(viewport={"width": WIDE, "height": 900}, color_scheme="light")
        contexts.append(context)
        context.add_cookies([{"name": "flux_session", "value": session, "url": furnished.url}])
        tab = context.new_page()
        tab.goto(furnished.url + path)
        return tab

    yield visit
    for context in contexts:
        context.close()


def look(tab: Tab, *, width: int, scheme: Literal["light", "dark"]) -> Tab:
    """Look at the page in a window of that width, by day or by night."""
    tab.set_viewport_size({"width": width, "height": 900})
    tab.emulate_media(color_scheme=scheme)
    return tab


def audit(tab: Tab) -> list[str]:
    tab.locator("details").evaluate_all("all => all.forEach(details => details.open = true)")
    found: list[str] = tab.evaluate(AUDIT)
    return found


@pytest.mark.parametrize("path", PAGES)
def test_everybody_can_read_and_use_the_page(visit: Callable[[str], Tab], path: str) -> None:
    tab = visit(path)

    assert audit(tab) == []
    assert audit(look(tab, width=ZOOMED, scheme="light")) == []
    assert audit(look(tab, width=NARROW, scheme="dark")) == []


@pytest.mark.parametrize("path", ["/sign-in", "/setup/guessed", "/nothing"])
def test_everybody_can_read_and_use_the_door(furnished: RunningServer, browser: Browser, path: str) -> None:
    tab = browser.new_page(color_scheme="light")
    tab.goto(furnished.url + path)

    assert audit(tab) == []
    assert audit(look(tab, width=NARROW, scheme="dark")) == []
    tab.close()


FORMS = {
    "/test/copy-catalog": "Compare",
    "/test/feature": "Save",
    "/test/organizations/import": "Try it",
    "/test/plan/edit": "Save",
    "/test/organization?id=acme": "Add",
    "/test/api-keys": "Make",
    "/test/stripe/events?since=soon": "Search",
    "/people": "Make a link",
    "/account": "Change it",
}


@pytest.mark.parametrize("path", FORMS)
def test_errors_are_announced_and_lead_to_their_fields(visit: Callable[[str], Tab], path: str) -> None:
    tab = visit(path)
    tab.locator("form").evaluate_all("forms => forms.forEach(form => form.noValidate = true)")

    tab.get_by_role("button", name=FORMS[path], exact=True).click()

    assert tab.title().startswith("Error: ")
    assert tab.get_by_role("alert").evaluate("summary => summary === document.activeElement")
    assert audit(tab) == []
    assert audit(look(tab, width=NARROW, scheme="dark")) == []
    link = tab.get_by_role("alert").get_by_role("link").first
    field = link.get_attribute("href")
    assert field is not None
    assert tab.locator(f'[id="{field[1:]}"]').get_attribute("aria-describedby")


def test_somebody_elses_change_is_shown_in_a_way_that_everybody_can_use(
    furnished: RunningServer, visit: Callable[[str], Tab]
) -> None:
    tab = visit("/test/policy")
    tab.locator("[name=seen]").evaluate("field => field.value = 'what was there before'")
    tab.get_by_label("Grace").fill("2 days")

    tab.get_by_role("button", name="Save", exact=True).click()

    assert tab.get_by_role("alert").evaluate("summary => summary === document.activeElement")
    assert tab.get_by_role("alert").get_by_role("row", name="grace").count() == 1
    assert audit(tab) == []
    assert audit(look(tab, width=NARROW, scheme="dark")) == []


def test_what_is_shown_before_it_is_done_can_be_used_by_everybody(visit: Callable[[str], Tab]) -> None:
    tab = visit("/test/copy-catalog")
    tab.get_by_label("price_pro").fill("price_live_pro")
    tab.get_by_label("price_calls").fill("price_live_calls")
    tab.get_by_role("button", name="Compare").click()
    assert audit(tab) == []
    assert audit(look(tab, width=NARROW, scheme="dark")) == []

    tab = visit("/test/organizations/import")
    tab.get_by_label("File", exact=True).set_input_files(
        {"name": "some.csv", "mimeType": "text/csv", "buffer": b"id,override.sso\nnew,yes\nbad,maybe\n"}
    )
    tab.get_by_role("button", name="Try it").click()

    assert tab.get_by_role("row", name="override.sso").count() == 1
    assert audit(tab) == []
    assert audit(look(tab, width=NARROW, scheme="dark")) == []


@pytest.mark.parametrize("path", PAGES)
def test_the_tab_key_reaches_every_control_in_the_order_of_the_page(
    visit: Callable[[str], Tab], path: str
) -> None:
    tab = visit(path)
    reached: list[int] = []
    expected: list[int] = tab.evaluate(
        """() => {
            window.controls = [...document.querySelectorAll("a[href], button, input, select, summary, [tabindex='0']")]
                .filter((each) => each.type !== "hidden" && each.checkVisibility())
                .filter((each) => each.type !== "radio" || each.checked || !document.querySelector(
                    `input[name="${each.name}"]:checked`));
            return window.controls.map((_, place) => place);
        }"""
    )
    for _ in range(len(expected) * 4):  # a date has a stop for each of its parts
        tab.keyboard.press("Tab")
        place, outlined = tab.evaluate(
            "[window.controls.indexOf(document.activeElement),"
            " parseFloat(getComputedStyle(document.activeElement).outlineWidth)]"
        )
        if place >= 0 and place not in reached:
            assert outlined >= 2, f"control {place} does not show that it has the focus"
            reached.append(place)
        if place == expected[-1]:
            break

    assert reached == expected


def test_the_first_tab_stop_skips_to_the_content(visit: Callable[[str], Tab]) -> None:
    tab = visit("/test/plans")

    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")

    assert tab.evaluate("document.activeElement.tagName") == "MAIN"


def test_live_looks_different_from_test(visit: Callable[[str], Tab]) -> None:
    def accent(tab: Tab) -> str:
        return str(
            tab.locator(".switch [aria-current]").evaluate("it => getComputedStyle(it).backgroundColor")
        )

    test, live = visit("/test"), visit("/live")

    assert accent(test) != accent(live)
    assert live.get_by_text("reaches your customers at once").is_visible()
    assert test.get_by_text("reaches your customers at once").count() == 0


def test_the_audit_finds_what_is_wrong(visit: Callable[[str], Tab]) -> None:
    tab = visit("/test/plans")
    tab.evaluate(
        """() => {
            const main = document.querySelector("main");
            main.insertAdjacentHTML("beforeend", '<input name="bare"><h4>Deep</h4><h1>Two</h1><svg role="img"></svg>');
            main.insertAdjacentHTML("beforeend", '<a href="#"></a><table><tr><th>No scope</th></tr></table>');
            const faint = document.createElement("p");
            faint.textContent = "faint";
            faint.style.color = "#999";
            main.append(faint);
        }"""
    )

    found = " | ".join(audit(tab))

    for complaint in ("bare> has no label", "skips a level", "exactly one h1", "no alternative", "no words"):
        assert complaint in found
    assert "has no scope" in found
    assert "a contrast of 2.8" in found
