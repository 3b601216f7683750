from __future__ import annotations

from collections.abc import Callable

import pytest

from flux_server.accounts.users import User, list_users
from tests.flux_server.accounts.conftest import PASSWORD
from tests.flux_server.dashboard.browsing import Person
from tests.flux_server.dashboard.conftest import make_user
from tests.flux_server.running import RunningServer


@pytest.fixture
def two(server: RunningServer, sign_in: Callable[[User], Person]) -> tuple[Person, Person]:
    """One user, signed in with two browsers."""
    user = make_user(server)
    return sign_in(user), sign_in(user)


def is_signed_in(person: Person) -> bool:
    return person.open("/test").heading == "Overview"


def test_one_sees_where_one_is_signed_in(two: tuple[Person, Person]) -> None:
    page = two[0].open("/account")

    rows = [row.text for row in page.root.all("tr")][1:]
    assert len(rows) == 2
    assert sum("this one" in row for row in rows) == 1
    assert all(row.startswith("Firefox on Linux") for row in rows)


@pytest.mark.parametrize("everywhere", [True, False])
def test_another_session_is_ended(two: tuple[Person, Person], everywhere: bool) -> None:
    here, there = two
    page = here.open("/account")

    if everywhere:
        csrf = dict(page.fields("/sign-out"))["csrf"]
        here.client.post("/account/sessions/end", data={"csrf": csrf, "all": "yes"})
    else:
        here.send(page, "/account/sessions/end")

    assert is_signed_in(here)
    assert not is_signed_in(there)


def test_somebody_elses_session_cannot_be_ended(
    server: RunningServer, two: tuple[Person, Person], sign_in: Callable[[User], Person]
) -> None:
    eve = sign_in(make_user(server, "eve@example.com"))
    session = dict(two[0].open("/account").fields("/account/sessions/end"))["session"]
    csrf = dict(eve.open("/account").fields("/sign-out"))["csrf"]

    eve.client.post("/account/sessions/end", data={"csrf": csrf, "session": session})

    assert all(is_signed_in(person) for person in two)


def test_a_new_password_ends_all_other_sessions(two: tuple[Person, Person]) -> None:
    here, there = two

    page = here.send(here.open("/account"), "/account/password", old=PASSWORD, new="another long password")

    assert page.said == "Your password is changed. All other sessions are ended."
    assert is_signed_in(here)
    assert not is_signed_in(there)


@pytest.mark.parametrize(
    ("typed", "field", "complaint"),
    [
        pytest.param({"old": "", "new": PASSWORD}, "old", "present password", id="none"),
        pytest.param({"old": PASSWORD, "new": "short"}, "new", "at least 12", id="short"),
        pytest.param({"old": "wrong", "new": PASSWORD}, "0", "do not belong together", id="wrong"),
    ],
)
def test_a_refused_password_says_why(
    two: tuple[Person, Person], typed: dict[str, str], field: str, complaint: str
) -> None:
    page = two[0].send(two[0].open("/account"), "/account/password", **typed)

    assert complaint in page.errors[field]
    assert is_signed_in(two[1])


def test_a_colleague_is_invited_and_gets_in(server: RunningServer, ada: Person, guest: Person) -> None:
    page = ada.send(ada.open("/people"), "/people/invite", email="Bob@example.com")
    (link,) = [code.text for code in page.root.all("code") if "/setup/" in code.text]
    assert "bob@example.com" in ada.open("/people").text

    path = link.removeprefix(server.url)
    page = guest.send(guest.open(path), path, password=PASSWORD)

    assert "bob@example.com" in page.text
    users = server.read(list_users)
    assert [user.email for user in users] == ["ada@example.com", "bob@example.com"]


def test_an_invitation_is_withdrawn(ada: Person, guest: Person, server: RunningServer) -> None:
    page = ada.send(ada.open("/people"), "/people/invite", email="bob@example.com")
    (link,) = [code.text for code in page.root.all("code") if "/setup/" in code.text]

    page = ada.send(ada.open("/people"), "/people/withdraw")

    assert page.said == "The link does not work any more."
    assert guest.open(link.removeprefix(server.url)).status == 404


def test_an_invitation_needs_an_email(ada: Person) -> None:
    page = ada.send(ada.open("/people"), "/people/invite", email="bob")

    assert "give an email address" in page.errors["0"]
    assert dict(page.fields("/people/invite"))["email"] == "bob"


def test_nobody_removes_themselves(server: RunningServer, ada: Person) -> None:
    (me,) = server.read(list_users)
    csrf = dict(ada.open("/people").fields("/sign-out"))["csrf"]

    answer = ada.client.post("/people/remove", data={"csrf": csrf, "user": me.id})

    assert answer.status_code == 409
    assert is_signed_in(ada)
