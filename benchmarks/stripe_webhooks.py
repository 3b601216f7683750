"""From a webhook's delivery to the changed answer in a running process: sandbox, server, client, as users run them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import stripe as stripe_lib

from flux_middleware import Flux
from flux_server.serving import bind

__all__ = ["webhook_to_gate_ms"]

_CHANGES: Final = 200
_PATIENCE: Final = 20.0
_SECRET: Final = "whsec_benchmarkbenchmark"


def webhook_to_gate_ms() -> float:
    """Return the 99th percentile of the milliseconds that it takes."""
    with tempfile.TemporaryDirectory(prefix="flux-bench-") as name:
        directory = Path(name)
        with _sandbox() as stripe, _server(directory, stripe) as (url, key):
            taken = sorted(_changes(directory, stripe, url, key))
    return taken[int(len(taken) * 0.99)] * 1000


def _changes(directory: Path, stripe: str, url: str, key: str) -> Iterator[float]:
    """Change what acme subscribes to, tell Flux, and wait for the answer to follow; yield what that took."""
    admin = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=20)
    shop = _Shop(stripe)
    address = shop.link(admin)
    worker = _sent(admin, "POST", "/v1/api-keys", {"name": "worker", "scope": "sdk"})["secret"]
    client = Flux(worker, url=url, directory=directory / "host")
    try:
        _wait(lambda: client.billing.is_entitled("acme", "sso"))
        with httpx.Client(timeout=20) as plain:
            for number in range(_CHANGES):
                opens = number % 2 == 1
                body = shop.change(number, to_pro=opens)
                signature = stripe_lib.WebhookSignature.generate_signature_header(body, _SECRET)
                start = time.perf_counter()
                headers = {"Stripe-Signature": signature}
                plain.post(address, content=body, headers=headers).raise_for_status()
                _wait(lambda opens=opens: client.billing.is_entitled("acme", "sso") is opens)  # type: ignore[misc]
                yield time.perf_counter() - start
    finally:
        client.shutdown()
        admin.close()


class _Shop:
    """What acme subscribes to at the sandbox: pro, which Flux knows, or something else."""

    def __init__(self, stripe: str) -> None:
        self._v1 = stripe_lib.StripeClient("sk_test_benchmark", base_addresses={"api": stripe}).v1
        product = self._v1.products.create({"name": "Pro"}).id
        sold: dict[str, Any] = {"product": product, "currency": "eur", "recurring": {"interval": "month"}}
        wanted: list[Any] = [sold | {"unit_amount": cents} for cents in (900, 1900)]
        self.pro, self._other = (self._v1.prices.create(each).id for each in wanted)
        customer = self._v1.customers.create({"metadata": {"organization_id": "acme"}}).id
        made = self._v1.subscriptions.create({"customer": customer, "items": [{"price": self.pro}]})
        self._subscription, self._item = made.id, made["items"]["data"][0]["id"]

    def link(self, admin: httpx.Client) -> str:
        """Sell plan pro, link the sandbox, and return the address for webhooks."""
        _sent(admin, "PUT", "/v1/features/sso", {"kind": "boolean"})
        grants = [{"feature": "sso", "value": True}]
        _sent(
            admin, "PUT", "/v1/plans/pro", {"name": "Pro", "prices": [{"price": self.pro}], "grants": grants}
        )
        _sent(admin, "POST", "/v1/plans/pro/publish", {"existing": "stay"})
        link = {"api_key": "rk_test_benchmark", "webhook_secret": _SECRET}
        return str(_sent(admin, "PUT", "/v1/stripe/link", link)["webhook_url"])

    def change(self, number: int, *, to_pro: bool) -> str:
        """Change the subscription; return the body of the webhook that tells of it."""
        item: Any = {"id": self._item, "price": self.pro if to_pro else self._other}
        self._v1.subscriptions.update(self._subscription, {"items": [item]})
        about = {"id": self._subscription, "object": "subscription"}
        event = {"id": f"evt_{number}", "object": "event", "type": "customer.subscription.updated"}
        return json.dumps(event | {"created": int(time.time()), "livemode": False, "data": {"object": about}})


@contextmanager
def _sandbox() -> Iterator[str]:
    command = [sys.executable, "-m", "flux_sandbox", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


@contextmanager
def _server(directory: Path, stripe: str) -> Iterator[tuple[str, str]]:
    """Run `flux serve`; yield its address and an admin's key."""
    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    listener.close()
    own = {name: value for name, value in os.environ.items() if not name.startswith("FLUX_")}
    env = own | {"FLUX_DATA_DIR": str(directory / "data"), "FLUX_STRIPE_API_BASE": stripe}
    flux = [sys.executable, "-m", "flux_server"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        [*flux, "serve", "--port", str(port)], env=env, stdout=quiet, stderr=quiet
    ) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(lambda: _is_well(url))
            create = [*flux, "keys", "create", "--name", "benchmark", "--scope", "admin"]
            made = subprocess.run(create, env=env, capture_output=True, text=True, check=True)
            yield url, made.stdout.split()[-1]
        finally:
            server.terminate()


def _is_well(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").is_success
    except httpx.TransportError:
        return False


def _sent(client: httpx.Client, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = client.request(method, path, json=body)
    if answer.is_error:
        raise RuntimeError(f"{method} {path}: {answer.text}")
    found: dict[str, Any] = answer.json()
    return found


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("the answer does not change")
        time.sleep(0.001)
