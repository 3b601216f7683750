from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import httpx
import pytest
from fastapi.routing import APIRoute

from flux_server.accounts.users import User
from flux_server.dashboard.headers import SECURITY_HEADERS
from flux_server.environments.api_keys import list_api_keys
from flux_server.organizations.organizations import ensure_organization
from tests.flux_server.dashboard.browsing import Page, Person
from tests.flux_server.dashboard.conftest import make_user
from tests.flux_server.dashboard.world import PAGES, furnish
from tests.flux_server.running import NOON, RunningServer

PUBLIC = {"/sign-in", "/setup/{token}", "/static/{hashed}"}
NASTY = "\"><script>alert(1)</script>'&"


def routes(server: RunningServer) -> Iterator[tuple[str, str]]:
    """Yield the method and the path of every route of the dashboard."""
    found = 0
    for route in server.app.state.dashboard.routes:
        for each in getattr(getattr(route, "original_router", None), "routes", [route]):
            assert isinstance(each, APIRoute), each
            for method in each.methods or ():
                found += 1
                yield method, each.path
    assert found > 30


def filled_in(path: str) -> str:
    return path.format(environment="test", token="guessed", hashed="none.css")


def test_every_route_but_the_few_public_ones_demands_a_session(server: RunningServer, guest: Person) -> None:
    guest.client.follow_redirects = False

    for method, path in routes(server):
        answer = guest.client.request(method, filled_in(path))
        if path in PUBLIC:
            assert answer.status_code in (200, 403, 404), path
        else:
            assert answer.status_code == 303, path
            assert answer.headers["location"].startswith("/sign-in"), path


@pytest.mark.parametrize("token", ["", "guessed", "another session's"])
def test_every_form_is_refused_without_its_sessions_token(
    server: RunningServer, ada: Person, sign_in: Callable[[User], Person], token: str
) -> None:
    if token == "another session's":
        other = sign_in(make_user(server, "bob@example.com"))
        token = dict(other.open("/account").fields("/sign-out"))["csrf"]
    posts = [path for method, path in routes(server) if method == "POST"]
    assert len(posts) > 15

    for path in posts:
        answer = ada.client.post(filled_in(path), data={"csrf": token} if token else {})
        assert answer.status_code == 403, path
        assert "This form is not current" in answer.text


@pytest.mark.parametrize("cookie", [None, "forged"])
def test_the_forms_of_guests_are_bound_to_their_browser(guest: Person, cookie: str | None) -> None:
    page = guest.open("/sign-in")
    guest.client.cookies.clear()
    if cookie:
        guest.client.cookies.set("flux_form", cookie, domain="127.0.0.1")

    assert guest.send(page, "/sign-in", email="a@b.c", password="x").status == 403


def every_answer(server: RunningServer, ada: Person) -> Iterator[httpx.Response]:
    for method, path in routes(server):
        yield ada.client.request(method, filled_in(path))
    for path in (*PAGES, "/nothing", "/test/nothing", "/robots.txt"):
        yield ada.client.get(path)


def test_every_answer_carries_the_security_headers(server: RunningServer, ada: Person) -> None:
    furnish(server)

    for answer in every_answer(server, ada):
        assert {name: answer.headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS, answer.url
        assert answer.headers["cache-control"] == "no-store", answer.url


def test_the_policy_allows_nothing_but_our_own_files() -> None:
    policy = dict(part.split(" ", 1) for part in SECURITY_HEADERS["Content-Security-Policy"].split("; "))

    assert policy.pop("default-src") == "'none'"
    assert set(policy.values()) == {"'self'", "'none'"}
    assert {"form-action", "frame-ancestors", "base-uri", "script-src", "style-src"} <= policy.keys()


def test_no_page_has_scripts_or_styles_of_its_own(server: RunningServer, ada: Person) -> None:
    furnish(server)

    for path in PAGES:
        page = ada.open(path)
        assert page.status == 200, path
        for element in page.root.walk():
            assert element.tag != "style"
            assert element.tag != "script" or element.attributes.get("src", "").startswith("/static/")
            assert not [name for name in element.attributes if name == "style" or name.startswith("on")]


def test_names_that_people_chose_are_text_and_nothing_else(server: RunningServer, ada: Person) -> None:
    furnish(server, organization=NASTY)
    server.write(lambda connection: ensure_organization(connection, "test", NASTY, name=NASTY, now=NOON))
    page = ada.open("/test/organizations")
    (link,) = [link for link in page.root.all("a") if link.text == NASTY]

    for shown in (page, ada.open(link.attributes["href"]), ada.open(f"/test/organizations?query={NASTY}")):
        assert shown.status == 200
        assert "<script>alert" not in shown.answer.text
        assert NASTY in shown.text


@pytest.mark.parametrize(
    "organization",
    ["a/b", "..", ".", "a?b=c&d", "a#b", "100%", "%2F", "a b+c", "組織 ünï", "x" * 255, "\u202etxt", " a "],
)
def test_every_id_has_an_address(server: RunningServer, ada: Person, organization: str) -> None:
    server.write(lambda connection: ensure_organization(connection, "test", organization, now=NOON))
    links = ada.open("/test/organizations").root.all("a")
    (row,) = [link for link in links if "organization?id=" in link.attributes["href"]]

    page = ada.open(row.attributes["href"])

    assert page.status == 200
    assert page.root.all("code")[0].text == " ".join(organization.split())
    page = ada.send(page, "/test/organization/customer", customer="cus_1")
    assert (page.status, page.said) == (200, "Customer cus_1 is this organization.")


@pytest.mark.parametrize("organization", ["", "a\0b", "x" * 256, "nobody"])
def test_what_cannot_be_an_organization_is_not_found(ada: Person, organization: str) -> None:
    answer = ada.client.get("/test/organization", params={"id": organization})

    assert answer.status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/live/plan?key=pro",
        "/live/plan/edit?key=pro",
        "/live/feature?key=sso",
        "/live/metric?key=calls",
        "/live/organization?id=acme",
        "/staging",
        "/staging/plans",
    ],
)
def test_what_is_of_another_environment_is_not_found(server: RunningServer, ada: Person, path: str) -> None:
    furnish(server)

    assert ada.open(path.replace("/live", "/test")).status == (404 if "staging" in path else 200)
    assert ada.open(path).status == 404


def test_keys_and_overrides_of_another_environment_cannot_be_ended(
    server: RunningServer, ada: Person
) -> None:
    furnish(server)
    (key,) = server.read(lambda connection: list_api_keys(connection, "test"))
    page = ada.open("/live/api-keys")
    csrf = dict(page.fields("/sign-out"))["csrf"]

    answer = ada.client.post("/live/api-keys/revoke", data={"csrf": csrf, "key": key.id})

    assert answer.status_code == 404
    (key,) = server.read(lambda connection: list_api_keys(connection, "test"))
    assert key.revoked_at is None


def test_an_api_keys_secret_is_shown_once(server: RunningServer, ada: Person) -> None:
    page = ada.send(ada.open("/test/api-keys"), "/test/api-keys", name="web")
    (secret,) = set(re.findall(r"flux_test_[A-Za-z0-9_-]{43}", page.text))
    assert ada.client.get("/v1/environment", headers={"Authorization": f"Bearer {secret}"}).status_code == 200

    for path in PAGES:
        assert secret not in ada.open(path).answer.text


def test_every_address_that_is_not_the_apis_answers_with_a_page(guest: Person) -> None:
    for path in ("/nothing", "/a/b/c", "/test/nothing/at/all", "/favicon.ico"):
        page = guest.open(path)
        assert (page.status, page.heading) == (404, "Not found")
        assert page.root.all("a", href="/")


@pytest.mark.parametrize("path", ["/v1", "/v1/nothing", "/v2/features", "/v1/features"])
def test_the_api_answers_with_problems_as_ever(guest: Person, path: str) -> None:
    answer = guest.client.get(path)

    assert answer.headers["content-type"] == "application/problem+json"


def test_a_failure_is_a_page_that_says_what_to_do(
    server: RunningServer, ada: Person, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise RuntimeError("a test's secret reason")

    server.app.state.dashboard.add_api_route("/a/failing/page", fail)

    page = Page(ada.client.get("/a/failing/page"))

    assert (page.status, page.heading) == (500, "Something went wrong")
    assert "secret reason" not in page.text
    assert page.answer.headers["cache-control"] == "no-store"
    assert SECURITY_HEADERS["Referrer-Policy"] == page.answer.headers["referrer-policy"]
    assert ada.open("/test").status == 200


def test_an_oversized_form_is_refused(ada: Person) -> None:
    answer = ada.client.post("/test/plan/edit", data={"name": "x" * (4 * 1024 * 1024 + 1)})

    assert answer.status_code == 413
