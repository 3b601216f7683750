from __future__ import annotations

from pathlib import Path

import httpx

from flux_server.settings import Settings
from tests.flux_server.dashboard.browsing import Person
from tests.flux_server.dashboard.conftest import make_session, make_user
from tests.flux_server.dashboard.world import PAGES, furnish
from tests.flux_server.running import FakeClock, RunningServer, run_server


def test_every_page_opens_on_each_kind_of_database(
    database_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    settings = Settings(data_dir=tmp_path / "data", public_url="", database_url=database_url)
    with run_server(settings, clock) as server, httpx.Client(base_url=server.url, timeout=20) as client:
        furnish(server)
        client.cookies.set("flux_session", make_session(server, make_user(server)), domain="127.0.0.1")
        ada = Person(client)

        for path in (*PAGES, "/test/organizations?query=%25_%00'", "/test/plan?key=pro%00"):
            page = ada.open(path)
            assert (page.status, len(page.root.all("main"))) == (200, 1), path


def test_the_switch_between_environments_leads_to_the_same_page(ada: Person) -> None:
    page = ada.open("/test/organizations")

    (switch,) = page.root.all("nav", **{"aria-label": "Environment"})

    assert {link.text: link.attributes["href"] for link in switch.all("a")} == {
        "Test": "/test/organizations",
        "Live": "/live/organizations",
    }


def test_where_one_is_is_marked(server: RunningServer, ada: Person) -> None:
    furnish(server)

    for path in PAGES:
        navigations = ada.open(path).root.all("nav")
        marked = [len(nav.all("a", **{"aria-current": "page"})) for nav in navigations]
        assert max(marked) == 1, path
