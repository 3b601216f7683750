from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from flux_server.stripe.checks import CHECKS, Case, Finding, findings, how_long, worst
from flux_server.stripe.health import Health, Heard
from flux_server.stripe.link import Link
from flux_server.stripe.permissions import PERMISSIONS
from flux_server.stripe.reading import FailedRead, UnknownCustomer
from flux_server.stripe.sweep_log import Sweep
from flux_server.subscriptions.reading import UnmappedPrice
from tests.flux_server.running import NOON

HOUR, DAY = 3_600, 86_400

LINK = Link(
    environment="live",
    token="t",
    account="acct_1",
    livemode=True,
    api_key_shown="rk_live_…p7dc",
    has_webhook_secret=True,
    is_paused=False,
    paused_reason=None,
    forwarding_paused=None,
    metadata_key="organization_id",
    created_at=NOON - 30 * DAY,
    endpoint="we_1",
    endpoint_problem=None,
    permissions=PERMISSIONS,
)
SWEEP = Sweep("s1", "nightly", NOON - 2 * HOUR, NOON - HOUR, 40, 0, None)
WELL = Health(
    at=NOON,
    link=LINK,
    heard=Heard("evt_1", "customer.created", NOON - 5, 1, 9, 0, 0, None, None),
    waiting=0,
    waiting_since=None,
    failed=(),
    looked_until=NOON - 900,
    sweep=SWEEP,
    swept_at=NOON - HOUR,
    outbox={"sent": 5},
    unsent_since=None,
    unknown_customers=(),
    unmapped_prices=(),
)
CASE = Case(WELL, "https://flux.example.com/v1/stripe/webhooks/t")


def case(**fields: Any) -> Case:
    return replace(CASE, health=replace(WELL, **fields))


def link(**fields: Any) -> Case:
    return case(link=replace(LINK, **fields))


def heard(**fields: Any) -> Case:
    return case(heard=replace(WELL.heard, **fields))


def lacking(needed: bool) -> Case:
    permissions = (replace(each, state="missing") for each in PERMISSIONS if each.is_needed is needed)
    return link(permissions=tuple(permissions)[:1])


def unreachable(*, live: bool) -> Case:
    why = "Stripe cannot reach localhost; set FLUX_PUBLIC_URL"
    return replace(link(livemode=live), unreachable=why)


def verdict(name: str, looked_at: Case) -> Finding:
    (found,) = [each for each in findings(looked_at) if each.check == name]
    return found


def test_nothing_is_wrong_with_a_link_that_is_well() -> None:
    found = findings(CASE)

    assert [each.check for each in found] == list(CHECKS)
    assert worst(found) == "ok"
    assert {each.fix for each in found} == {""}


SIGNATURE = {"refused": 3, "refused_reason": "no signature"}
PROBLEMS = [
    pytest.param("link", link(is_paused=True, paused_reason="revoked"), "revoked", id="paused"),
    pytest.param("secret", link(has_webhook_secret=False), "every webhook is refused", id="no-secret"),
    pytest.param("signatures", heard(refused_at=NOON - 1, **SIGNATURE), "Wrong secret?", id="signatures"),
    pytest.param(
        "signatures", heard(last_at=None, refused_at=NOON, **SIGNATURE), "Wrong secret?", id="never"
    ),
    pytest.param("permissions", lacking(needed=True), "lacks rak_customer_read", id="permission"),
    pytest.param("address", unreachable(live=True), "cannot reach localhost", id="loopback"),
    pytest.param("waiting", case(waiting=2, waiting_since=NOON - 2 * HOUR), "for 2 hours", id="waiting"),
    pytest.param("sweep", case(swept_at=NOON - 4 * DAY), "for 4 days", id="no-sweep"),
    pytest.param("sweep", case(sweep=None, swept_at=None), "for 30 days", id="never-swept"),
    pytest.param("forwarding", link(forwarding_paused="no permission"), "no permission", id="forwarding"),
    pytest.param("forwarding", case(outbox={"dead": 2}), "2 refused by Stripe", id="dead"),
    pytest.param("forwarding", case(outbox={"ambiguous": 1}), "1 of unknown fate", id="ambiguous"),
]
WARNINGS = [
    pytest.param(
        "signatures", heard(refused_at=NOON - 9, **SIGNATURE), "others are taken", id="some-refused"
    ),
    pytest.param("events", heard(last_id=None, last_at=None), "no webhook has come yet", id="none-yet"),
    pytest.param("events", heard(missed_day=2), "2 events of the last day never came", id="missed"),
    pytest.param("address", unreachable(live=False), "stripe listen", id="developing"),
    pytest.param("permissions", lacking(needed=False), "cannot be used", id="option"),
    pytest.param("waiting", case(waiting=1, waiting_since=NOON - 301), "1 object to be read", id="slow"),
    pytest.param(
        "failed",
        case(failed=(FailedRead("subscription", "sub_1", 3, "boom"),)),
        "3 attempts): boom",
        id="failed",
    ),
    pytest.param("looked", case(looked_until=NOON - 3 * HOUR), "up to 3 hours ago", id="looked"),
    pytest.param("looked", case(looked_until=None), "not read yet", id="never-looked"),
    pytest.param("sweep", case(swept_at=NOON - 27 * HOUR), "for 1 day", id="late-sweep"),
    pytest.param(
        "sweep", case(sweep=replace(SWEEP, finished_at=None, error="timeout")), "timeout", id="stuck-sweep"
    ),
    pytest.param("drift", case(sweep=replace(SWEEP, drifted=2)), "2 differences", id="drift"),
    pytest.param("forwarding", case(unsent_since=NOON - 2 * HOUR), "for 2 hours", id="unsent"),
    pytest.param(
        "customers",
        case(unknown_customers=(UnknownCustomer("cus_1", "sub_1", "active"),)),
        "such as sub_1 of cus_1",
        id="customers",
    ),
    pytest.param("prices", case(unmapped_prices=(UnmappedPrice("price_1", 2),)), "price_1", id="prices"),
    pytest.param("entitlements", replace(CASE, strangers=("sso",)), "sso", id="entitlements"),
]


@pytest.mark.parametrize(("name", "looked_at", "said"), PROBLEMS)
def test_a_problem_is_found_and_its_fix_is_said(name: str, looked_at: Case, said: str) -> None:
    found = verdict(name, looked_at)

    assert (found.level, worst((found,))) == ("problem", "problem")
    assert said in found.message
    assert found.fix


@pytest.mark.parametrize(("name", "looked_at", "said"), WARNINGS)
def test_a_warning_says_what_to_look_at(name: str, looked_at: Case, said: str) -> None:
    found = verdict(name, looked_at)

    assert (found.level, worst((found,))) == ("warning", "warning")
    assert said in found.message + found.fix
    assert found.fix


def test_every_check_can_find_something() -> None:
    assert {str(each.values[0]) for each in PROBLEMS + WARNINGS} == set(CHECKS)


@pytest.mark.parametrize(
    "looked_at",
    [
        pytest.param(heard(refused_at=NOON - 2 * DAY, **SIGNATURE), id="refused-long-ago"),
        pytest.param(case(waiting=900, waiting_since=NOON - 60), id="busy"),
    ],
)
def test_what_is_as_it_should_be_is_no_trouble(looked_at: Case) -> None:
    assert worst(findings(looked_at)) == "ok"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "a moment"), (1, "1 second"), (119, "1 minute"), (7_200, "2 hours"), (10 * DAY, "10 days")],
)
def test_how_long_it_is_is_said_roughly(seconds: int, words: str) -> None:
    assert how_long(seconds) == words
