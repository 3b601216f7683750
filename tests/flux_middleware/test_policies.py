"""What an application declared for when it cannot know: fallbacks, and how old what is known may be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import flux
from flux_middleware.answering import Billing
from flux_middleware.beacon import CONTACT
from flux_middleware.cache import Cache
from flux_middleware.catalog import UNLIMITED
from flux_middleware.client import Flux
from flux_middleware.decisions import DecisionReason
from flux_middleware.errors import ConfigurationError
from flux_middleware.memory_store import MemoryStore
from flux_middleware.policies import NO_POLICIES, Policies, read_policies
from tests.flux_middleware.clients import KEY
from tests.flux_middleware.hosts import fill, record
from tests.flux_middleware.test_answering import Clock, Process

FALLBACKS: dict[str, Any] = {"sso": True, "seats": 5, "audit-logs": False, "exports": UNLIMITED}
NOBODY = "http://127.0.0.1:9"


class Host:
    """A host on a wall clock of its own, and when it last heard from the server."""

    def __init__(self, directory: Path, policies: Policies) -> None:
        self.store = MemoryStore()
        self.wall = Clock()
        process = Process(directory, self.store, Clock())
        self.billing: Billing = process.billing
        self.billing._cache = Cache(
            self.store,
            clock=process.billing._clock,
            conditions=process.conditions,
            policies=policies,
            wall=self.wall,
        )

    def hear(self) -> None:
        self.store.beacon.words[CONTACT] = int(self.wall.now * 1000)

    def answers(self) -> tuple[bool, Any, bool]:
        """Return one answer of each kind, asked twice, so that the hot path answers as well."""
        billing = self.billing
        first, again = (
            (billing.is_entitled("acme", "sso"), billing.get_limit("acme", "seats").value) for _ in range(2)
        )
        assert first == again
        return *first, billing.check("acme", "sso").allowed


def test_fallbacks_answer_where_there_is_nothing_at_all(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    host = Host(tmp_path, read_policies(FALLBACKS, None, "deny"))

    assert host.answers() == (True, 5, True)
    assert [host.billing.get_limit("acme", key).value for key in ("sso", "audit-logs", "exports", "fax")] == [
        UNLIMITED,
        0,
        UNLIMITED,
        0,
    ]
    assert len(caplog.messages) == 1
    assert "declared fallbacks" in caplog.text


def test_a_decision_says_that_it_is_a_fallbacks(tmp_path: Path) -> None:
    billing = Host(tmp_path, read_policies(FALLBACKS, None, "deny")).billing

    granted, denied, unknown = (billing.check("acme", key) for key in ("sso", "audit-logs", "fax"))

    assert (granted.allowed, granted.reason, granted.revision) == (True, DecisionReason.FALLBACK, None)
    assert (denied.allowed, denied.reason) == (False, DecisionReason.FALLBACK)
    assert (unknown.allowed, unknown.reason) == (False, DecisionReason.UNAVAILABLE)
    assert "allowed by its fallback" in str(billing.explain("acme", "sso"))


def test_a_quantity_fits_into_a_fallback_too(tmp_path: Path) -> None:
    billing = Host(tmp_path, read_policies(FALLBACKS, None, "deny")).billing

    assert [billing.check("acme", "seats", more, used=3).allowed for more in (2, 3)] == [True, False]
    assert billing.check("acme", "seats", 3, used=3).reason is DecisionReason.FALLBACK
    assert billing.check("acme", "seats", 5).allowed


def test_all_fallbacks_are_told_at_once(tmp_path: Path) -> None:
    found = Host(tmp_path, read_policies(FALLBACKS, None, "deny")).billing.entitlements("acme")

    assert {key: each.value for key, each in found.items()} == FALLBACKS


def test_what_is_known_ends_the_fallbacks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    host = Host(tmp_path, read_policies({"sso": True, "exports": True}, None, "deny"))
    before = host.answers()
    caplog.set_level("INFO", "flux")

    fill(host.store, record("acme", seats=2))

    assert (before, host.answers()) == ((True, 0, True), (False, 2, False))
    assert host.billing.check("acme", "exports").reason is DecisionReason.UNKNOWN_FEATURE
    assert "there is something to go by now" in caplog.messages


@pytest.mark.parametrize(
    ("when_stale", "beyond"),
    [
        pytest.param("deny", (False, 0, False), id="deny"),
        pytest.param("allow", (True, UNLIMITED, True), id="allow"),
    ],
)
def test_what_is_too_old_is_not_gone_by(
    tmp_path: Path, when_stale: str, beyond: Any, caplog: pytest.LogCaptureFixture
) -> None:
    host = Host(tmp_path, read_policies(None, 60, when_stale))
    fill(host.store, record("acme", "sso", seats=2))
    host.hear()
    answers = []
    for _ in range(4):
        answers.append(host.answers())
        host.wall.now += 25
        host.billing._clock.now += 25  # type: ignore[attr-defined]  # this one can be turned
    caplog.set_level("INFO", "flux")
    host.hear()

    assert answers == [(True, 2, True)] * 3 + [beyond]
    assert host.answers() == (True, 2, True)
    assert [message for message in caplog.messages if "60 seconds" in message] == caplog.messages[:1]
    assert "heard of again" in caplog.messages[-1]


def test_a_decision_says_that_too_little_was_heard(tmp_path: Path) -> None:
    host = Host(tmp_path, read_policies(None, 60, "allow"))
    fill(host.store, record("acme", "sso"))

    decision = host.billing.check("acme", "audit-logs", 3)

    assert (decision.allowed, decision.reason) == (True, DecisionReason.STALE)
    assert host.billing.check("acme", "fax").reason is DecisionReason.UNKNOWN_FEATURE
    assert not host.billing.is_entitled("acme", "fax")
    assert "allowed, for the server was not heard of for too long" in str(host.billing.explain("acme", "sso"))
    assert {each.value for each in host.billing.entitlements("acme").values()} == {True, UNLIMITED}


def test_a_check_may_bound_the_age_by_itself(tmp_path: Path) -> None:
    host = Host(tmp_path, NO_POLICIES)
    fill(host.store, record("acme", "sso"))
    host.hear()
    host.wall.now += 30

    def check(max_stale: float, **options: Any) -> tuple[bool, DecisionReason]:
        decision = host.billing.check("acme", "sso", max_stale=max_stale, **options)
        return decision.allowed, decision.reason

    assert check(31) == (True, DecisionReason.ENTITLED)
    assert check(30) == (False, DecisionReason.STALE)
    assert check(30, when_stale="allow") == (True, DecisionReason.STALE)
    assert host.billing.is_entitled("acme", "sso")


def test_a_checks_own_bound_goes_before_that_of_all(tmp_path: Path) -> None:
    host = Host(tmp_path, read_policies(None, 60, "deny"))
    fill(host.store, record("acme", "sso"))
    host.hear()
    host.wall.now += 90

    assert not host.billing.check("acme", "sso").allowed
    assert host.billing.check("acme", "sso", max_stale=100).allowed


def test_a_month_that_a_sandbox_lets_pass_makes_nothing_old(tmp_path: Path) -> None:
    host = Host(tmp_path, read_policies(None, 60, "deny"))
    fill(host.store, record("acme", "sso", seats=2))
    host.hear()
    before = host.answers()

    host.billing._clock.now += 31 * 86_400  # type: ignore[attr-defined]  # this one can be turned

    assert before == host.answers() == (True, 2, True)


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        pytest.param({"max_stale": 0}, "max_stale is a number of seconds above 0", id="no-time"),
        pytest.param({"max_stale": "60"}, "max_stale is a number", id="text"),
        pytest.param({"max_stale": float("nan")}, "max_stale is a number", id="nan"),
        pytest.param({"max_stale": 60, "when_stale": "raise"}, 'when_stale is "deny" or "allow"', id="word"),
        pytest.param({"fallbacks": {"SSO": True}}, "by the key of a feature: .*'SSO'", id="no-key"),
        pytest.param({"fallbacks": {7: True}}, "by the key of a feature", id="number-for-a-key"),
        pytest.param(
            {"fallbacks": {"sso": "yes"}}, "fallback of 'sso' is True, False, a whole", id="no-value"
        ),
        pytest.param({"fallbacks": {"seats": -1}}, "fallback of 'seats'", id="negative"),
        pytest.param({"fallbacks": {"seats": 1.5}}, "fallback of 'seats'", id="part"),
    ],
)
def test_a_wrong_policy_says_what_is_right(tmp_path: Path, settings: Any, advice: str) -> None:
    with pytest.raises(ConfigurationError, match=advice):
        Flux(KEY, directory=tmp_path, start=False, **settings)


def test_a_wrong_bound_of_a_check_is_refused(tmp_path: Path) -> None:
    wrong: Any = "never"
    with pytest.raises(ConfigurationError, match="when_stale"):
        Host(tmp_path, NO_POLICIES).billing.check("acme", "sso", max_stale=1, when_stale=wrong)


def test_the_default_client_takes_the_policies(tmp_path: Path) -> None:
    options: Any = {"url": NOBODY, "directory": tmp_path, "start": False, "fallbacks": {"sso": True}}
    try:
        first = flux.init(KEY, **options)

        assert flux.billing.is_entitled("acme", "sso")
        assert flux.init(KEY, **options) is first
        assert flux.init(KEY, **options, max_stale=60) is not first
    finally:
        flux.shutdown(0)
        vars(flux.billing).clear()
