from __future__ import annotations

from collections.abc import Callable

import pytest

from flux_middleware.snapshot import Grant
from flux_server.accounts.users import User
from flux_server.catalog.reading import Plan, read_plan
from flux_server.dashboard.clashes import fingerprint
from tests.flux_server.dashboard.browsing import Page, Person
from tests.flux_server.dashboard.conftest import make_user
from tests.flux_server.dashboard.world import furnish
from tests.flux_server.running import RunningServer

EDIT = "/test/plan/edit"
PRO = f"{EDIT}?key=pro"


@pytest.fixture
def bob(server: RunningServer, sign_in: Callable[[User], Person]) -> Person:
    """Somebody else, who edits the same things."""
    furnish(server)
    return sign_in(make_user(server, "bob@example.com"))


def plan(server: RunningServer) -> Plan:
    return server.read(lambda connection: read_plan(connection, "test", "pro"))


def rows(page: Page) -> list[str]:
    (summary,) = page.root.all("div", id="summary")
    return [row.text for row in summary.all("tr")[1:]]


def test_saving_over_somebody_elses_change_shows_both_and_asks(
    server: RunningServer, ada: Person, bob: Person
) -> None:
    form = ada.open(PRO)
    bob.send(bob.open(PRO), EDIT, name="Professional", value__seats="20")

    page = ada.send(form, EDIT, value__seats="30", value__sso="")

    assert page.status == 409
    assert "bob@example.com changed it at 2025-10-09 12:00 UTC" in page.text
    assert rows(page) == ["name Professional Pro", "seats 20 30", "sso yes —"]
    assert plan(server).name == "Professional"


def test_sending_it_once_more_puts_it_in_its_place(server: RunningServer, ada: Person, bob: Person) -> None:
    form = ada.open(PRO)
    bob.send(bob.open(PRO), EDIT, name="Professional")
    page = ada.send(form, EDIT, value__seats="30")

    page = ada.send(page, EDIT, name="Pro 2")

    assert page.said.startswith("Plan pro is saved.")
    assert plan(server).name == "Pro 2"
    assert Grant("seats", 30) in (plan(server).draft or ())


def test_a_third_change_is_shown_again(server: RunningServer, ada: Person, bob: Person) -> None:
    form = ada.open(PRO)
    bob.send(bob.open(PRO), EDIT, name="Second")
    page = ada.send(form, EDIT)
    bob.send(bob.open(PRO), EDIT, name="Third")

    page = ada.send(page, EDIT)

    assert page.status == 409
    assert rows(page) == ["name Third Pro"]


@pytest.mark.parametrize(
    ("path", "typed"),
    [
        pytest.param("/test/feature?key=seats", {"name": "Seats"}, id="feature"),
        pytest.param("/test/metric?key=calls", {"name": "Calls"}, id="metric"),
        pytest.param("/test/policy", {"leeway": "1 day"}, id="policy"),
        pytest.param("/test/plan/policy?key=pro", {"own": "yes", "grace": "1 day"}, id="plan-policy"),
    ],
)
def test_whatever_two_people_edit_is_noticed(
    ada: Person, bob: Person, path: str, typed: dict[str, str]
) -> None:
    action = path.partition("?")[0]
    form = ada.open(path)
    assert bob.send(bob.open(path), action, **typed).said

    page = ada.send(form, action)

    assert page.status == 409
    assert len(rows(page)) == len(typed)


def test_nothing_is_published_but_what_was_shown(server: RunningServer, ada: Person, bob: Person) -> None:
    page = ada.open("/test/plan/publish?key=pro")
    bob.send(bob.open(PRO), EDIT, value__seats="20")

    page = ada.send(page, "/test/plan/publish")

    assert (page.status, len(plan(server).versions)) == (409, 1)
    assert "seats 10 20 changed" in page.text
    assert ada.send(page, "/test/plan/publish").said == "Version 2 of plan pro is published."


def test_a_form_without_a_fingerprint_saves_over_nothing(
    server: RunningServer, ada: Person, bob: Person
) -> None:
    assert ada.send(ada.open(PRO), EDIT, seen="").status == 409
    assert bob.open(PRO).status == 200
    assert plan(server).name == "Pro"


def test_equal_values_have_equal_fingerprints() -> None:
    assert fingerprint({"b": 1, "a": 2}) == fingerprint({"a": 2, "b": 1})
    assert fingerprint(Grant("a", 1)) != fingerprint(Grant("a", 2))
