"""What every adapter does alike, whatever the framework and whether its views are synchronous.

A framework's test module makes a `Site` with the routes named below and inherits the tests. Requests name their
organization in a header; `sso` is the feature, `api-calls` the metric.

/plain             neither gated nor metered
/gated             requires sso
/metered           meters api-calls
/both              requires sso, meters api-calls twice
/answers/<status>  meters api-calls, answers that status
/raises            meters api-calls, raises RuntimeError
/streams           meters api-calls, streams "one", "two", "three"
/stream-fails      meters api-calls, streams "one", then raises RuntimeError
/whoami            requires sso, meters api-calls, waits for others a little, answers the header's organization
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pytest

from flux_middleware.errors import ConfigurationError
from flux_middleware.gate import Denial
from flux_middleware.testing import InMemoryFlux, in_memory

ORGANIZATION_HEADER = "X-Organization"


@dataclass(frozen=True)
class Reply:
    """What came back; headers by lower-case name."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Order:
    """A request to make."""

    path: str
    organization: str | None = None
    method: str = "GET"
    authorization: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The headers that say who is asking."""
        named = {ORGANIZATION_HEADER: self.organization, "Authorization": self.authorization}
        return {name: value for name, value in named.items() if value is not None}


class Site(Protocol):
    """An application with the routes above, served in this process."""

    def send(self, orders: Sequence[Order]) -> list[Reply]:
        """Make the requests at the same time and return their replies in order."""


MakeSite = Callable[..., Site]
"""Makes a site given `client=`, `organization=` (default: from the header) and `on_denied=`."""


class AdapterContract:
    """The tests; a subclass gives the fixture `make_site`."""

    @pytest.fixture
    def client(self) -> InMemoryFlux:
        client = InMemoryFlux()
        client.grant("acme", "sso")
        return client

    @pytest.fixture
    def site(self, make_site: MakeSite, client: InMemoryFlux) -> Site:
        return make_site(client=client)

    def test_a_plain_route_asks_for_nothing(self, make_site: MakeSite, client: InMemoryFlux) -> None:
        site = make_site(client=client, organization=unreachable)

        reply = send(site, "/plain")

        assert (reply.status, reply.body) == (200, b"plain")

    def test_an_entitled_organization_reaches_the_view(self, site: Site) -> None:
        reply = send(site, "/gated", "acme")

        assert (reply.status, reply.body) == (200, b"gated")

    def test_a_denied_request_never_reaches_the_view(self, site: Site) -> None:
        reply = send(site, "/gated", "globex")

        problem = json.loads(reply.body)
        assert (reply.status, problem["status"]) == (403, 403)
        assert (problem["code"], problem["feature"]) == ("entitlement_required", "sso")
        assert reply.headers["content-type"] == "application/problem+json"
        assert reply.headers["content-length"] == str(len(reply.body))
        assert reply.headers["cache-control"] == "no-store"
        assert not {"www-authenticate", "retry-after"} & reply.headers.keys()

    def test_nobody_is_refused_a_gated_view(self, site: Site) -> None:
        reply = send(site, "/gated")

        assert reply.status == 403
        assert json.loads(reply.body)["code"] == "organization_required"

    def test_a_refused_head_request_has_no_body(self, site: Site) -> None:
        reply = send(site, "/gated", "globex", "HEAD")

        assert reply.status in {403, 405}  # FastAPI has no HEAD of its own
        assert reply.body == b""

    def test_a_metered_success_counts_one(self, site: Site, client: InMemoryFlux) -> None:
        reply = send(site, "/metered", "acme")

        assert (reply.status, reply.body) == (200, b"metered")
        assert client.usage("acme", "api-calls") == 1

    def test_nobody_passes_a_metered_view_uncounted(self, site: Site, client: InMemoryFlux) -> None:
        assert send(site, "/metered").status == 200
        assert not client.recorded

    @pytest.mark.parametrize(
        ("status", "counted"), [(201, 1), (204, 1), (304, 1), (404, 0), (429, 0), (503, 0)]
    )
    def test_a_success_is_a_status_below_400(
        self, site: Site, client: InMemoryFlux, status: int, counted: int
    ) -> None:
        assert send(site, f"/answers/{status}", "acme").status == status
        assert client.usage("acme", "api-calls") == counted

    def test_an_exception_is_not_counted(self, site: Site, client: InMemoryFlux) -> None:
        assert send(site, "/raises", "acme").status == 500
        assert not client.recorded

    @pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
    def test_head_and_options_are_not_counted(self, site: Site, client: InMemoryFlux, method: str) -> None:
        assert send(site, "/metered", "acme", method).status in {200, 204, 405}
        assert not client.recorded

    def test_stacked_decorators_all_hold(self, site: Site, client: InMemoryFlux) -> None:
        assert send(site, "/both", "acme").status == 200
        assert send(site, "/both", "globex").status == 403
        assert client.recorded == {("acme", "api-calls"): 1}

    def test_a_stream_streams_and_counts_once(self, site: Site, client: InMemoryFlux) -> None:
        assert send(site, "/streams", "acme").body == b"onetwothree"
        assert client.usage("acme", "api-calls") == 1

    def test_a_stream_that_fails_is_not_counted(self, site: Site, client: InMemoryFlux) -> None:
        with pytest.raises(RuntimeError, match="view failed"):
            send(site, "/stream-fails", "acme")
        assert not client.recorded

    def test_metering_never_breaks_a_response(
        self,
        site: Site,
        client: InMemoryFlux,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(client.billing, "record_usage", full_disk)

        replies = [send(site, "/metered", "acme") for _ in range(3)]

        assert [reply.status for reply in replies] == [200, 200, 200]
        assert len([record for record in caplog.records if record.name == "flux"]) == 1

    def test_a_failing_resolver_refuses_gated_and_passes_metered(
        self, make_site: MakeSite, client: InMemoryFlux, caplog: pytest.LogCaptureFixture
    ) -> None:
        site = make_site(client=client, organization=unreachable)

        gated, metered = send(site, "/gated", "acme"), send(site, "/metered", "acme")

        assert (gated.status, metered.status) == (503, 200)
        assert gated.headers["retry-after"].isdigit()
        assert not client.recorded
        assert len([record for record in caplog.records if record.name == "flux"]) == 1

    def test_the_resolver_may_be_asynchronous(self, make_site: MakeSite, client: InMemoryFlux) -> None:
        site = make_site(client=client, organization=acme_later)

        assert send(site, "/both").status == 200
        assert client.usage("acme", "api-calls") == 1

    def test_an_asynchronous_resolver_can_refuse(self, make_site: MakeSite, client: InMemoryFlux) -> None:
        site = make_site(client=client, organization=nobody_later)

        assert send(site, "/gated").status == 403

    def test_an_application_can_restyle_a_denial(self, make_site: MakeSite, client: InMemoryFlux) -> None:
        asked: list[tuple[Any, Denial]] = []
        site = make_site(client=client, on_denied=lambda subject, denial: asked.append((subject, denial)))

        assert send(site, "/gated", "globex").status == 403
        assert [denial.feature for _, denial in asked] == ["sso"]

    def test_the_default_client_can_be_in_memory(self, make_site: MakeSite) -> None:
        site = make_site(client=None)

        with in_memory() as testing, testing.override_entitlement("acme", "sso"):
            entitled, denied = send(site, "/both", "acme"), send(site, "/both", "globex")
            with testing.unavailable():
                unavailable = send(site, "/gated", "acme")

        assert [reply.status for reply in (entitled, denied, unavailable)] == [200, 403, 503]
        assert testing.recorded == {("acme", "api-calls"): 1}

    def test_a_client_that_was_given_can_be_replaced(self, site: Site, client: InMemoryFlux) -> None:
        with in_memory(replacing=client) as testing:
            assert send(site, "/both", "acme").status == 403
            testing.grant("globex", "sso")
            assert send(site, "/both", "globex").status == 200

        assert send(site, "/both", "acme").status == 200
        assert (testing.recorded, client.recorded) == (
            {("globex", "api-calls"): 1},
            {("acme", "api-calls"): 1},
        )

    def test_interleaved_tenants_never_mix(self, site: Site, client: InMemoryFlux) -> None:
        for number in range(0, 100, 2):
            client.grant(f"org-{number}", "sso")

        replies = site.send([Order("/whoami", f"org-{number}") for number in range(100)])

        for number, reply in enumerate(replies):
            entitled = number % 2 == 0
            assert reply.status == (200 if entitled else 403)
            assert not entitled or reply.body == f"org-{number}".encode()
            assert client.usage(f"org-{number}", "api-calls") == entitled


def send(site: Site, path: str, organization: str | None = None, method: str = "GET") -> Reply:
    """Make one request."""
    [reply] = site.send([Order(path, organization, method)])
    return reply


def assert_example_works(site: Site, client: InMemoryFlux) -> None:
    """Go through the routes that each example application has; `acme` has sso, nobody has audit-logs."""

    def get(path: str, organization: str) -> int:
        [reply] = site.send([Order(path, authorization=f"Bearer {organization}-token")])
        return reply.status

    assert [get("/sso", name) for name in ("acme", "globex", "nobody")] == [200, 403, 403]
    assert [get("/search?q=flux", name) for name in ("acme", "globex", "nobody")] == [200, 200, 200]
    assert get("/search", "acme") in {400, 422}
    assert get("/audit-log", "acme") == 403
    client.grant("acme", "audit-logs")
    assert get("/audit-log", "acme") == 200
    assert client.recorded == {("acme", "api-calls"): 2, ("globex", "api-calls"): 1}


def full_disk(organization: str, metric: str, quantity: int) -> None:
    raise OSError("disk full")


def unreachable(subject: Any) -> str:
    raise ConnectionError("the session store is down")


async def acme_later(subject: Any) -> str:
    return "acme"


async def nobody_later(subject: Any) -> None:
    return None


def assert_says_what_to_add(error: BaseException, line: str) -> None:
    """Check that a decorator without its adapter names the line that is missing."""
    assert isinstance(error, ConfigurationError)
    assert line in str(error)
