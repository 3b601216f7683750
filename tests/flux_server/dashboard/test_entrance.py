from __future__ import annotations

import re
from collections.abc import Callable

import httpx
import pytest

from flux_server.accounts.invitations import invite, invite_first_admin
from flux_server.accounts.users import User
from flux_server.dashboard.pages.entrance import local_path
from flux_server.settings import Settings
from tests.flux_server.accounts.conftest import PASSWORD
from tests.flux_server.dashboard.browsing import Page, Person
from tests.flux_server.dashboard.conftest import ADA, make_user
from tests.flux_server.running import RunningServer, run_server

DAY = 86_400


def make_first_link(server: RunningServer) -> str:
    made = server.write(lambda connection: invite_first_admin(connection, server.clock()))
    assert made is not None
    return f"/setup/{made[1]}"


def enter(person: Person, password: str = PASSWORD, path: str = "/sign-in") -> Page:
    return person.send(person.open(path), "/sign-in", email=ADA, password=password)


def test_the_one_time_link_makes_the_first_admin_and_signs_them_in(
    server: RunningServer, guest: Person
) -> None:
    link = make_first_link(server)
    page = guest.open(link)
    assert page.heading == "Become the first admin"

    page = guest.send(page, link, email="Ada@Example.com", password=PASSWORD)

    assert (page.status, page.path, page.said) == (200, "/test", "You are signed in.")
    assert ADA in page.text


def test_looking_at_the_link_does_not_use_it_up_but_using_it_does(
    server: RunningServer, guest: Person
) -> None:
    link = make_first_link(server)
    guest.open(link)
    page = guest.open(link)
    guest.send(page, link, email=ADA, password=PASSWORD)

    assert guest.open(link).status == 404
    assert guest.send(page, link, email="eve@example.com", password=PASSWORD).status == 404


@pytest.mark.parametrize("link", ["/setup/guessed", "/setup/%00", "/setup/é"])
def test_a_guessed_link_says_how_to_get_a_new_one(guest: Person, link: str) -> None:
    page = guest.open(link)

    assert (page.status, page.heading) == (404, "This link does not work any more")
    assert "flux users invite" in page.text


@pytest.mark.parametrize(
    ("typed", "field", "complaint"),
    [
        pytest.param({"email": ADA, "password": "too short"}, "password", "at least 12", id="password"),
        pytest.param({"email": "ada", "password": PASSWORD}, "0", "give an email address", id="email"),
    ],
)
def test_what_is_wrong_is_said_and_what_was_typed_is_kept(
    server: RunningServer, guest: Person, typed: dict[str, str], field: str, complaint: str
) -> None:
    link = make_first_link(server)

    page = guest.send(guest.open(link), link, **typed)

    assert page.status == 422
    assert complaint in page.errors[field]
    assert dict(page.fields(link))["email"] == typed["email"]
    assert typed["password"] not in page.answer.text


def test_a_colleague_gets_in_by_their_own_link(server: RunningServer, guest: Person) -> None:
    make_user(server)
    _, token = server.write(lambda connection: invite(connection, "bob@example.com", server.clock()))

    page = guest.send(guest.open(f"/setup/{token}"), f"/setup/{token}", password=PASSWORD)

    assert "bob@example.com" in page.text
    assert page.path == "/test"


def test_signing_in_leads_to_where_one_wanted_to_be(server: RunningServer, guest: Person) -> None:
    make_user(server)
    page = guest.open("/live/organizations?query=a%26b")
    assert page.heading == "Sign in"

    page = enter(guest, path=page.path)

    assert (page.heading, page.path) == ("Organizations", "/live/organizations?query=a%26b")


@pytest.mark.parametrize(
    "path",
    ["//evil.example", "/\\evil.example", "https://evil.example", "evil", "/\t/evil.example", "\n//evil", ""],
)
def test_nobody_is_sent_to_another_site(path: str) -> None:
    assert local_path(path) == "/"
    assert local_path("/test/plan?key=a") == "/test/plan?key=a"


def test_the_next_page_is_one_of_this_server(server: RunningServer, guest: Person) -> None:
    make_user(server)

    page = enter(guest, path="/sign-in?next=//evil.example/")

    assert page.answer.request.url.host == "127.0.0.1"
    assert page.path == "/test"


def test_a_wrong_password_is_refused_without_saying_what_is_wrong(
    server: RunningServer, guest: Person
) -> None:
    make_user(server)

    page = enter(guest, "wrong password")

    assert page.status == 422
    assert page.errors == {"0": "this email address and this password do not belong together"}
    assert dict(page.fields("/sign-in"))["email"] == ADA


def test_after_too_many_attempts_one_is_told_to_wait(server: RunningServer, guest: Person) -> None:
    make_user(server)
    for _ in range(10):
        enter(guest, "wrong password")

    page = enter(guest)
    assert page.status == 429
    assert "wait 15 minutes" in page.errors["0"]

    server.clock.now += 15 * 60
    assert enter(guest).path == "/test"


def test_a_session_is_new_at_each_sign_in(server: RunningServer, guest: Person) -> None:
    make_user(server)
    guest.client.cookies.set("flux_session", "chosen-by-somebody-else", domain="127.0.0.1", path="/")

    enter(guest)
    first = guest.client.cookies["flux_session"]
    enter(guest)

    assert first not in ("chosen-by-somebody-else", guest.client.cookies["flux_session"])


def test_signing_out_ends_the_session_for_good(server: RunningServer, guest: Person) -> None:
    make_user(server)
    page = enter(guest)
    token = guest.client.cookies["flux_session"]

    page = guest.send(page, "/sign-out")

    assert (page.heading, page.said) == ("Sign in", "You are signed out.")
    guest.client.cookies.set("flux_session", token, domain="127.0.0.1", path="/")
    assert guest.open("/test").heading == "Sign in"


def test_a_session_in_use_goes_on_and_an_idle_one_ends(server: RunningServer, guest: Person) -> None:
    make_user(server)
    enter(guest)
    for _ in range(3):
        server.clock.now += 5 * DAY
        assert guest.open("/test").heading == "Overview"

    server.clock.now += 7 * DAY
    assert guest.open("/test").heading == "Sign in"


def cookies_of(answer: httpx.Response) -> dict[str, str]:
    found = {}
    for cookie in answer.headers.get_list("set-cookie"):
        name, _, rest = cookie.partition("=")
        found[name] = rest.partition("; ")[2]
    return found


def test_cookies_are_out_of_reach_of_scripts_and_other_sites(server: RunningServer, guest: Person) -> None:
    make_user(server)
    guest.client.follow_redirects = False

    page = enter(guest)

    flags = cookies_of(page.answer)["flux_session"]
    assert re.fullmatch(r"HttpOnly; Max-Age=\d+; Path=/; SameSite=lax", flags)


def test_over_https_cookies_are_of_this_host_and_never_sent_in_the_clear(settings: Settings) -> None:
    settings = settings.model_copy(update={"public_url": "https://flux.example"})
    with run_server(settings) as server, httpx.Client(timeout=30) as client:
        address = str(server.app.state.dashboard.url_path_for("show_sign_in"))
        port = server.app.state.settings.port
        answer = client.get(f"http://127.0.0.1:{port}{address}")

    (name, flags), *_ = cookies_of(answer).items()
    assert name == "__Host-flux_form"
    assert {"Secure", "HttpOnly", "Path=/"} <= set(flags.split("; "))
    assert "Domain" not in flags


def test_a_removed_user_is_signed_out_at_once(
    server: RunningServer, ada: Person, sign_in: Callable[[User], Person]
) -> None:
    bob = make_user(server, "bob@example.com")
    bobs_browser = sign_in(bob)
    assert bobs_browser.open("/test").heading == "Overview"

    page = ada.send(ada.open("/people"), "/people/remove", user=bob.id)

    assert page.said == "They cannot sign in any more."
    assert bobs_browser.open("/test").heading == "Sign in"
