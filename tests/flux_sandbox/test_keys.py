from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx
import pytest
import stripe

from flux_sandbox.app import ROUTES
from flux_sandbox.keys import redact
from flux_sandbox.permissions import permission_for
from tests.flux_sandbox.running import RunningSandbox, running_sandbox


def make_key(sandbox: RunningSandbox, *permissions: str, **options: Any) -> str:
    answer = sandbox.http.post("/_sandbox/keys", json={"permissions": permissions, **options})
    return str(answer.raise_for_status().json()["key"])


def client(sandbox: RunningSandbox, key: str) -> stripe.StripeClient:
    addresses: Any = {"api": sandbox.url}
    return stripe.StripeClient(key, base_addresses=addresses, http_client=stripe.RequestsClient())


def get(sandbox: RunningSandbox, key: str, path: str) -> httpx.Response:
    return sandbox.http.get(path, headers={"Authorization": f"Bearer {key}"})


def test_a_restricted_key_may_do_what_it_was_made_for(sandbox: RunningSandbox) -> None:
    key = make_key(sandbox, "rak_customer_write", "rak_plan_read")

    answers = [get(sandbox, key, path).status_code for path in ("/v1/customers", "/v1/prices", "/v1/account")]

    assert key.startswith("rk_test_")
    assert answers == [200, 200, 200]


@pytest.mark.parametrize(
    ("method", "path", "permission"),
    [
        pytest.param("GET", "/v1/subscriptions", "rak_subscription_read", id="read"),
        pytest.param("POST", "/v1/customers", "rak_customer_write", id="write"),
    ],
)
def test_what_it_may_not_is_refused_in_stripes_words(
    sandbox: RunningSandbox, method: str, path: str, permission: str
) -> None:
    key = make_key(sandbox, "rak_customer_read")

    answer = sandbox.http.request(method, path, headers={"Authorization": f"Bearer {key}"})

    assert answer.status_code == 403
    message = answer.json()["error"]["message"]
    assert message.endswith(f"Having the '{permission}' permission would allow this request to continue.")
    assert f"'rk_test_****{key[-4:]}'" in message
    assert sandbox.violations() == []


def test_a_key_that_nobody_made_may_do_everything(sandbox: RunningSandbox) -> None:
    assert get(sandbox, "rk_test_any", "/v1/subscriptions").status_code == 200


@pytest.mark.parametrize("key", ["rk_test_made_by_nobody_1234", None], ids=["any", "made-here"])
def test_a_revoked_key_is_refused(sandbox: RunningSandbox, key: str | None) -> None:
    key = key or make_key(sandbox, "rak_customer_read")

    sandbox.http.delete(f"/_sandbox/keys/{key}").raise_for_status()

    with pytest.raises(stripe.AuthenticationError) as refused:
        client(sandbox, key).v1.customers.list()
    body: Any = refused.value.json_body
    assert body["error"]["code"] == "api_key_expired"
    assert refused.value.user_message == f"Expired API Key provided: rk_test_****{key[-4:]}"
    assert sandbox.violations() == []


def test_an_endpoint_may_come_without_its_secret(sandbox: RunningSandbox) -> None:
    key = make_key(sandbox, "rak_webhook_write", shows_secrets=False)

    endpoint = client(sandbox, key).v1.webhook_endpoints.create(
        {"url": "http://localhost:1/hook", "enabled_events": ["*"]}
    )

    assert "secret" not in endpoint.to_dict()


@pytest.mark.parametrize(
    "body", [{}, {"permissions": "rak_customer_read"}, {"permissions": ["rak_customers_read"]}]
)
def test_other_wishes_for_keys_are_refused(sandbox: RunningSandbox, body: dict[str, Any]) -> None:
    answer = sandbox.http.post("/_sandbox/keys", json=body)

    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_what_was_never_a_key_cannot_be_revoked(sandbox: RunningSandbox) -> None:
    assert sandbox.http.delete("/_sandbox/keys/pk_test_1").status_code == 400


def test_live_mode_takes_live_keys_and_says_so_in_every_object() -> None:
    with running_sandbox(livemode=True, account_id="acct_other") as sandbox:
        live, test = (get(sandbox, key, "/v1/account") for key in ("rk_live_1", "rk_test_1"))
        customer = client(sandbox, "rk_live_1").v1.customers.create({"name": "Acme"})
        event = client(sandbox, "rk_live_1").v1.events.list().data[0]

    assert (live.status_code, live.json()["id"]) == (200, "acct_other")
    assert (test.status_code, "takes no test keys" in test.text) == (401, True)
    assert (customer.livemode, event.livemode, event.data.object["livemode"]) == (True, True, True)


def test_every_resource_has_a_permission() -> None:
    without = {route.path for route in ROUTES if permission_for(route.method, route.path) is None}

    assert without == {"/v1/account"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("key rk_test_abcdefgh1234.", "key rk_test_****1234."),
        ("sk_live_abc", "sk_live_****"),
        ("whsec_0123456789 and nothing", "whsec_****6789 and nothing"),
        ("/v1/customers", "/v1/customers"),
    ],
)
def test_keys_and_secrets_are_not_shown(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_no_log_shows_a_key(sandbox: RunningSandbox) -> None:
    key = make_key(sandbox, "rak_customer_read")
    for path in ("/v1/customers", "/v1/subscriptions", f"/v1/{key}"):
        get(sandbox, key, path)

    logs: Sequence[httpx.Response] = [
        sandbox.http.get(f"/_sandbox/{name}") for name in ("requests", "violations")
    ]

    assert [key in log.text for log in logs] == [False, False]
    assert {one["key"] for one in logs[0].json()["data"]} == {f"rk_test_****{key[-4:]}"}
