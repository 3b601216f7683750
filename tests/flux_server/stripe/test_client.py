from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import stripe as stripe_lib

from flux_server.stripe.client import StripeApi, StripeClients
from flux_server.stripe.errors import (
    AbsentError,
    CallError,
    KeyRefusedError,
    RefusedError,
    TemporaryError,
)
from tests.flux_server.stripe.conftest import KEY
from tests.flux_server.stripe.double import Answer, StripeDouble, subscription

CUSTOMER = "/v1/customers/cus_1"


@pytest.fixture
async def api(stripe: StripeDouble) -> AsyncIterator[StripeApi]:
    clients = StripeClients(stripe.url)
    yield clients.api(KEY)
    await clients.close()


def refusal(status: int, message: str = "no", **fields: str) -> Answer:
    return status, {"error": {"type": "invalid_request_error", "message": message, **fields}}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(refusal(400), RefusedError, id="400"),
        pytest.param(refusal(401), KeyRefusedError, id="401"),
        pytest.param(refusal(402), RefusedError, id="402"),
        pytest.param(refusal(403), KeyRefusedError, id="403"),
        pytest.param(refusal(404), AbsentError, id="404"),
        pytest.param((404, {}), RefusedError, id="404-of-something-else-than-stripe"),
        pytest.param(refusal(409), TemporaryError, id="409"),
        pytest.param(refusal(429), TemporaryError, id="429"),
        pytest.param(refusal(500), TemporaryError, id="500"),
        pytest.param("lost", TemporaryError, id="no-answer"),
    ],
)
async def test_every_failure_is_of_one_kind_and_is_met_once(
    api: StripeApi, stripe: StripeDouble, answer: Answer | str, kind: type[CallError]
) -> None:
    stripe.fail(CUSTOMER, answer)

    with pytest.raises(kind) as failure:
        await api.customer("cus_1")

    assert type(failure.value) is kind
    assert stripe.calls[CUSTOMER] == 1


@pytest.mark.parametrize(
    ("answer", "arrived"),
    [
        pytest.param(refusal(409), False, id="409"),
        pytest.param(refusal(429), False, id="429"),
        pytest.param(refusal(503), True, id="503"),
        pytest.param("lost", True, id="no-answer"),
    ],
)
async def test_it_is_known_whether_a_failed_call_may_have_arrived(
    api: StripeApi, stripe: StripeDouble, answer: Answer | str, arrived: bool
) -> None:
    stripe.fail(CUSTOMER, answer)

    with pytest.raises(TemporaryError) as failure:
        await api.customer("cus_1")

    assert failure.value.arrived is arrived


async def test_a_call_that_reached_nobody_did_not_arrive() -> None:
    clients = StripeClients("http://127.0.0.1:1")

    with pytest.raises(TemporaryError, match="no answer from Stripe") as failure:
        await clients.api(KEY).customer("cus_1")

    assert failure.value.arrived is False
    await clients.close()


async def test_an_error_names_the_missing_permission_and_never_the_key(
    api: StripeApi, stripe: StripeDouble
) -> None:
    message = f"The key {KEY} needs more. Having the 'rak_customer_read' permission would allow this request."
    stripe.fail(CUSTOMER, refusal(403, message))

    with pytest.raises(KeyRefusedError) as failure:
        await api.customer("cus_1")

    assert failure.value.permission == "rak_customer_read"
    assert KEY not in str(failure.value)


async def test_calls_pin_the_version_and_send_no_telemetry(api: StripeApi, stripe: StripeDouble) -> None:
    stripe.put_customer()
    for _ in range(2):
        await api.customer("cus_1")

    for headers in stripe.headers:
        assert headers["stripe-version"] == stripe_lib.api_version
        assert "x-stripe-client-telemetry" not in headers


async def test_all_subscriptions_are_paged(api: StripeApi, stripe: StripeDouble) -> None:
    stripe.lists["/v1/subscriptions"] = [subscription(f"sub_{number}") for number in range(205)]

    found, after, has_more = [], None, True
    while has_more:
        page = await api.subscription_page(after)
        found += [each.state.id for each in page.found]
        after, has_more = page.last, page.has_more

    assert len(set(found)) == len(found) == 205
    assert stripe.calls["/v1/subscriptions"] == 3
