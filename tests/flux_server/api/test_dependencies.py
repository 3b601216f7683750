"""Who may do what, over every route: keys, scopes, and environments that know nothing of each other."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.flux_server.api.routes import PUBLIC, ROUTES, Names, Route, call, furnish
from tests.flux_server.running import RunningServer

EVERY_ROUTE = pytest.mark.parametrize("route", ROUTES, ids=str)
GRANTING = {"sdk": ("sdk", "admin"), "read": ("read", "admin"), "admin": ("admin",)}
NOBODY = Names(key="0", override="0")


@pytest.fixture(scope="module")
def callers(shared_server: RunningServer) -> Iterator[dict[str, httpx.Client]]:
    """A client for each scope; the same for the whole module."""
    clients = {scope: shared_server.client(scope) for scope in GRANTING}
    yield clients
    for client in clients.values():
        client.close()


def test_the_table_holds_every_route(shared_admin: httpx.Client) -> None:
    paths = shared_admin.get("/v1/openapi.json").json()["paths"]

    described = {(method, path) for path, methods in paths.items() for method in methods}
    parameters = ("feature", "metric", "plan")
    tabled = {(route.method.lower(), route.path) for route in ROUTES}
    for name in parameters:
        tabled = {(method, path.replace(f"{{{name}}}", "{key}")) for method, path in tabled}
    assert described == tabled | {(method, path) for path, method in PUBLIC.items()}


@EVERY_ROUTE
def test_without_a_key_nothing_is_done(shared_server: RunningServer, route: Route) -> None:
    with httpx.Client(base_url=shared_server.url, timeout=30) as stranger:
        answer = call(stranger, route, NOBODY)

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "authorization",
    [
        pytest.param("", id="empty"),
        pytest.param("Bearer", id="no-key"),
        pytest.param("Basic dXNlcjpwYXNz", id="another-kind"),
        pytest.param("Bearer flux_test_" + "A" * 43, id="unknown"),
        pytest.param("Bearer flux_live_" + "A" * 43 + " ", id="trailing-space"),
        pytest.param("Bearer " + "A" * 7_000, id="long"),
        pytest.param("Bearer schlüssel", id="not-ascii"),
    ],
)
def test_what_is_not_a_key_is_refused_and_not_repeated(
    shared_server: RunningServer, authorization: str
) -> None:
    headers = {b"Authorization": authorization.strip().encode("latin-1")}

    answer = httpx.get(f"{shared_server.url}/v1/features", headers=headers, timeout=30)

    assert answer.status_code == 401
    assert "flux keys create" in answer.text or "Authorization: Bearer" in answer.text
    assert "AAAA" not in answer.text


def test_a_revoked_key_opens_nothing_more(shared_server: RunningServer, shared_admin: httpx.Client) -> None:
    with shared_server.client("read") as reader:
        assert reader.get("/v1/features").status_code == 200
        newest = next(
            key for key in shared_admin.get("/v1/api-keys").json()["api_keys"] if key["scope"] == "read"
        )

        shared_admin.delete(f"/v1/api-keys/{newest['id']}").raise_for_status()

        assert reader.get("/v1/features").status_code == 401


@EVERY_ROUTE
def test_a_key_of_another_scope_is_told_which_it_takes(
    callers: dict[str, httpx.Client], route: Route
) -> None:
    for scope in GRANTING.keys() - set(GRANTING[route.scope]):
        answer = call(callers[scope], route, NOBODY)

        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
        assert answer.json()["scope"] == route.scope


@EVERY_ROUTE
def test_a_key_of_the_right_scope_may(callers: dict[str, httpx.Client], route: Route) -> None:
    for scope in GRANTING[route.scope]:
        assert call(callers[scope], route, NOBODY).status_code not in (401, 403)


@pytest.mark.parametrize("environment", ["test", "live"])
def test_a_key_says_which_environment_it_belongs_to(shared_server: RunningServer, environment: str) -> None:
    with shared_server.client("sdk", environment) as client:
        answer = client.get("/v1/environment").json()

    assert answer["environment"] == environment
    assert answer["schema"].startswith("1.")


@pytest.fixture(scope="module")
def live(shared_server: RunningServer) -> Iterator[httpx.Client]:
    with shared_server.client("admin", "live") as client:
        yield client


@pytest.fixture(scope="module")
def live_names(live: httpx.Client) -> Names:
    return furnish(live, "OF-LIVE")


def portrait(client: httpx.Client, names: Names) -> dict[str, bytes]:
    """Return everything that can be read of the client's environment."""
    reads = [route for route in ROUTES if route.method == "GET" and route.path != "/v1/stream"]
    answers = {str(route): call(client, route, names).content for route in reads}
    assert sum(b"OF-LIVE" in content for content in answers.values()) >= 10
    return answers


@pytest.fixture(scope="module")
def untouched(live: httpx.Client, live_names: Names) -> dict[str, bytes]:
    return portrait(live, live_names)


@EVERY_ROUTE
def test_a_key_of_test_neither_sees_nor_changes_anything_of_live(
    shared_admin: httpx.Client,
    live: httpx.Client,
    live_names: Names,
    untouched: dict[str, bytes],
    route: Route,
) -> None:
    answer = call(shared_admin, route, live_names)

    assert b"OF-LIVE" not in answer.content
    assert portrait(live, live_names) == untouched


def test_names_of_live_are_not_found_with_a_key_of_test(server: RunningServer) -> None:
    with server.client("admin", "live") as live, server.client("admin", "test") as test:
        names = furnish(live, "OF-LIVE")

        found = {
            str(route): call(test, route, names).status_code
            for route in ROUTES
            if route.path.count("{") and route.method in ("GET", "DELETE")
        }

    assert len(found) == 17
    assert set(found.values()) == {404}


@pytest.mark.parametrize("environment", ["test", "live"])
def test_every_route_answers_what_it_says(server: RunningServer, environment: str) -> None:
    with server.client("admin", environment) as client:
        names = furnish(client)

        answers = {str(route): call(client, route, names).status_code for route in ROUTES}

    assert answers == {str(route): route.status for route in ROUTES}
