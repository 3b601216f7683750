from __future__ import annotations

import pytest
import stripe

from tests.flux_sandbox.running import RunningSandbox


def test_the_secret_is_shown_once(sandbox: RunningSandbox) -> None:
    endpoints = sandbox.stripe.v1.webhook_endpoints

    created = endpoints.create({"url": "http://localhost:1/hook", "enabled_events": ["customer.created"]})

    assert created.secret is not None
    assert created.secret.startswith("whsec_")
    for shown in (endpoints.retrieve(created.id), endpoints.list().data[0], endpoints.update(created.id, {})):
        assert "secret" not in shown.to_dict()


def test_an_endpoint_is_changed_and_deleted(sandbox: RunningSandbox) -> None:
    endpoints = sandbox.stripe.v1.webhook_endpoints
    created = endpoints.create({"url": "http://localhost:1/hook", "enabled_events": ["*"]})

    changed = endpoints.update(
        created.id, {"url": "http://localhost:2/hook", "disabled": True, "metadata": {"flux_link": "1"}}
    )

    assert (changed.url, changed.status, changed.metadata["flux_link"]) == (
        "http://localhost:2/hook",
        "disabled",
        "1",
    )
    assert endpoints.delete(created.id).deleted
    assert endpoints.list().data == []


@pytest.mark.parametrize(
    ("url", "event"),
    [
        pytest.param("localhost:1/hook", "*", id="no-scheme"),
        pytest.param("http://localhost:1/hook", "customer.renamed", id="no-such-event"),
    ],
)
def test_impossible_endpoints_are_refused(sandbox: RunningSandbox, url: str, event: str) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        sandbox.stripe.v1.webhook_endpoints.create({"url": url, "enabled_events": [event]})  # type: ignore[list-item]  # wrong on purpose
