from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import stripe as stripe_lib

from flux_server.stripe.checks import Case, worst
from flux_server.stripe.events import FOLLOWED_TYPES
from flux_server.stripe.live_checks import LIVE_CHECKS, Answers, Sent, live_findings
from flux_server.stripe.webhook_endpoint import StripeEndpoint
from tests.flux_server.stripe.test_checks import CASE, SIGNATURE, heard

ENDPOINT = StripeEndpoint(
    "we_1", CASE.webhook_url, True, frozenset(FOLLOWED_TYPES), {}, api_version=stripe_lib.api_version
)
WELL = Answers(account="acct_1", ahead=0.0, endpoints=(ENDPOINT,), sent=Sent(7, ()))


def answers(**fields: Any) -> Answers:
    return replace(WELL, **fields)


def endpoint(**fields: Any) -> Answers:
    return answers(endpoints=(replace(ENDPOINT, **fields),))


def without(*types: str) -> Answers:
    return endpoint(events=frozenset(FOLLOWED_TYPES).difference(types))


def found(name: str, given: Answers, case: Case = CASE) -> Any:
    (finding,) = [each for each in live_findings(case, given) if each.check == name]
    return finding


def test_nothing_is_wrong_where_stripe_answers_as_it_should() -> None:
    checked = live_findings(CASE, WELL)

    assert [each.check for each in checked] == list(LIVE_CHECKS)
    assert worst(checked) == "ok"
    assert {each.fix for each in checked} == {""}


MOVED = "https://old.example.com/v1/stripe/webhooks/t"
PROBLEMS = [
    pytest.param("key", Answers(refused="Stripe refuses the key"), "refuses the key", id="key"),
    pytest.param("account", answers(account="acct_2"), "account acct_2, the link to acct_1", id="account"),
    pytest.param("clock", answers(ahead=400.0), "6 minutes ahead of Stripe's, so every webhook", id="ahead"),
    pytest.param("clock", answers(ahead=-3_700.0), "1 hour behind Stripe's", id="behind"),
    pytest.param("endpoint", answers(endpoints=()), "none of the account's 0 endpoints", id="no-endpoint"),
    pytest.param("endpoint", endpoint(enabled=False), "is disabled", id="disabled"),
    pytest.param("endpoint", endpoint(url=MOVED), "this server expects", id="moved"),
    pytest.param("types", without("customer.deleted"), "does not send customer.deleted", id="types"),
    pytest.param("arrival", answers(sent=Sent(7, ("evt_1",))), "1 never came", id="some-missed"),
    pytest.param("arrival", answers(sent=Sent(1, ("evt_1",))), "none came", id="all-missed"),
]
WARNINGS = [
    pytest.param("clock", answers(ahead=31.0), "31 seconds ahead", id="clock"),
    pytest.param(
        "endpoint", answers(endpoints=None, endpoints_refused="rak_x"), "not be looked at: rak_x", id="unseen"
    ),
    pytest.param("endpoint", answers(endpoints=(ENDPOINT, ENDPOINT)), "2 endpoints send", id="two"),
    pytest.param("types", without("price.updated"), "does not send price.updated", id="lesser-types"),
    pytest.param("version", endpoint(api_version="2019-02-19"), "API version 2019-02-19", id="version"),
    pytest.param("arrival", answers(sent=None, sent_refused="rak_event_read"), "rak_event_read", id="list"),
]


@pytest.mark.parametrize(("name", "given", "said"), PROBLEMS)
def test_a_problem_is_found_and_its_fix_is_said(name: str, given: Answers, said: str) -> None:
    finding = found(name, given)

    assert finding.level == "problem"
    assert said in finding.message
    assert finding.fix


@pytest.mark.parametrize(("name", "given", "said"), WARNINGS)
def test_a_warning_says_what_to_look_at(name: str, given: Answers, said: str) -> None:
    finding = found(name, given)

    assert finding.level == "warning"
    assert said in finding.message
    assert finding.fix


def test_every_check_can_find_something() -> None:
    assert {str(each.values[0]) for each in PROBLEMS + WARNINGS} == set(LIVE_CHECKS)


def test_a_wrong_secret_is_suspected_where_webhooks_were_refused() -> None:
    refused = heard(refused_at=1, **SIGNATURE)

    assert found("arrival", answers(sent=Sent(1, ("evt_1",))), refused).message.endswith("Wrong secret?")
    assert "Wrong secret?" not in found("arrival", answers(sent=Sent(1, ("evt_1",)))).message


def test_what_was_not_asked_is_not_judged() -> None:
    assert [each.check for each in live_findings(CASE, Answers(refused="no"))] == ["key"]


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(endpoint(events=frozenset({"*"})), id="all-types"),
        pytest.param(endpoint(api_version=None), id="the-account's-version"),
        pytest.param(answers(sent=Sent(0, ())), id="nothing-sent"),
        pytest.param(endpoint(url=f"{CASE.webhook_url}/"), id="slash"),
    ],
)
def test_an_endpoint_that_somebody_made_will_do(given: Answers) -> None:
    assert worst(live_findings(CASE, given)) == "ok"
