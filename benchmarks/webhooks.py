"""How many webhooks one server process takes in: a real `flux serve` on SQLite, asked over real connections."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
import stripe as stripe_lib

from benchmarks.figures import Figure

__all__ = ["webhooks_per_second"]

_SECRET = "whsec_benchmarkbenchmark"
_WEBHOOKS = 4_000
_WARM_UP = 400
_CONNECTIONS = 32
_SUBSCRIPTIONS = 100


def webhooks_per_second() -> Figure:
    """Measure how fast webhooks are verified, stored and answered; each is another event."""
    with _linked_server() as url:
        requests = [_request(url, number) for number in range(_WARM_UP + _WEBHOOKS)]
        asyncio.run(_send(url, requests[:_WARM_UP]))
        start = time.perf_counter()
        asyncio.run(_send(url, requests[_WARM_UP:]))
        rate = _WEBHOOKS / (time.perf_counter() - start)
    meaning = f"webhooks verified, stored and answered a second by one process, on {_CONNECTIONS} connections"
    return Figure("webhooks_per_s", rate, 500, meaning, at_least=True)


@contextmanager
def _linked_server() -> Iterator[str]:
    """Run a sandbox and a server that is linked to it; return the webhook's address."""
    with tempfile.TemporaryDirectory() as directory:
        own = {"FLUX_DATA_DIR": directory, "FLUX_PORT": "0", "FLUX_LOG_LEVEL": "error"}
        with _running(["-m", "flux_sandbox", "--port", "0"], "listening on") as sandbox:
            own["FLUX_STRIPE_API_BASE"] = sandbox
            with _running(["-m", "flux_server", "serve"], "Flux is at", own) as server:
                create = [sys.executable, "-m", "flux_server", "keys", "create", "--name", "benchmark"]
                key = subprocess.check_output([*create, "--scope", "admin"], env=os.environ | own, text=True)
                link = {"api_key": "rk_test_benchmark", "webhook_secret": _SECRET}
                headers = {"Authorization": f"Bearer {key.strip()}"}
                answer = httpx.put(f"{server}/v1/stripe/link", json=link, headers=headers, timeout=60)
                yield answer.raise_for_status().json()["webhook_url"]


@contextmanager
def _running(arguments: list[str], announced: str, settings: dict[str, str] | None = None) -> Iterator[str]:
    """Run the module; return the address that it prints after `announced`."""
    command = [sys.executable, *arguments]
    environment = os.environ | (settings or {})
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            yield next(line.split()[-1] for line in process.stdout if announced in line)
        finally:
            process.terminate()


def _request(url: str, number: int) -> bytes:
    body = json.dumps(_event(number)).encode()
    signature = stripe_lib.WebhookSignature.generate_signature_header(
        body.decode(), _SECRET, int(time.time())
    )
    parts = urlsplit(url)
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        f"Stripe-Signature: {signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _event(number: int) -> dict[str, object]:
    """Return an event of about the size that Stripe's have."""
    item = {"id": f"si_{number}", "object": "subscription_item", "price": {"id": "price_1"}, "quantity": 1}
    subscription = {
        "id": f"sub_{number % _SUBSCRIPTIONS}",
        "object": "subscription",
        "customer": "cus_1",
        "items": {"object": "list", "data": [item] * 8},
        "metadata": {f"key_{each}": "a value of some length" for each in range(20)},
    }
    return {
        "id": f"evt_{number:016}",
        "object": "event",
        "type": "customer.subscription.updated",
        "api_version": stripe_lib.api_version,
        "created": int(time.time()),
        "livemode": False,
        "data": {"object": subscription},
    }


async def _send(url: str, requests: list[bytes]) -> None:
    """Send all, each connection one after the other; every one must be answered 200."""
    waiting = iter(requests)

    async def connection() -> None:
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        for request in waiting:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
            await reader.readexactly(int(length.partition(b":")[2]))
        writer.close()

    await asyncio.gather(*(connection() for _ in range(_CONNECTIONS)))
