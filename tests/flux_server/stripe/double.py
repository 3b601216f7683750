"""A Stripe that answers what a test put there, and fails when told to: for what the sandbox cannot do."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, parse_qsl

import uvicorn
from starlette.types import Receive, Scope, Send

from flux_server.serving import bind

__all__ = ["StripeDouble", "run_double", "subscription"]

Answer = tuple[int, dict[str, Any]]


def subscription(name: str = "sub_1", *, status: str = "active", **fields: Any) -> dict[str, Any]:
    """Return a subscription of one licensed item, as an API version of today writes it."""
    item = {
        "id": f"si_{name}",
        "price": {"id": "price_pro", "recurring": {"usage_type": "licensed"}},
        "quantity": 1,
        "current_period_start": 1_760_000_000,
        "current_period_end": 1_762_600_000,
    }
    plain = {
        "id": name,
        "object": "subscription",
        "customer": "cus_1",
        "status": status,
        "start_date": 1_760_000_000,
        "ended_at": 1_760_005_000 if status == "canceled" else None,
        "metadata": {},
        "items": {"object": "list", "data": [item], "has_more": False},
    }
    return plain | fields


class StripeDouble:
    """Objects by path, lists by path, meter events by identifier; `fail` says what the next calls meet instead."""

    def __init__(self) -> None:
        self.url = ""
        self.objects: dict[str, dict[str, Any]] = {}
        self.lists: dict[str, list[dict[str, Any]]] = {
            "/v1/subscriptions": [],
            "/v1/customers": [],
            "/v1/prices": [],
        }
        self.shows_secrets = True
        self.meter_events: dict[str, dict[str, str]] = {}
        self.calls: Counter[str] = Counter()
        self.headers: list[dict[str, str]] = []
        self.failures: dict[str, list[Answer | str]] = {}
        self.awaited: dict[str, tuple[int, threading.Event]] = {}
        self.gates: dict[str, tuple[threading.Event, threading.Event]] = {}
        self._saved: dict[str, Answer] = {}
        self.put("/v1/account", {"id": "acct_1", "object": "account"})

    def put(self, path: str, value: dict[str, Any]) -> None:
        """Have GET `path` answer this object from now on."""
        self.objects[path] = value

    def put_subscription(self, name: str = "sub_1", **fields: Any) -> None:
        self.put(f"/v1/subscriptions/{name}", subscription(name, **fields))

    def put_customer(self, name: str = "cus_1", /, **fields: Any) -> None:
        self.put(f"/v1/customers/{name}", {"id": name, "object": "customer", "metadata": {}} | fields)

    def put_meter(self, name: str = "mtr_1", **fields: Any) -> None:
        plain = {
            "id": name,
            "object": "billing.meter",
            "event_name": "calls",
            "customer_mapping": {"type": "by_id", "event_payload_key": "stripe_customer_id"},
            "value_settings": {"event_payload_key": "value"},
            "default_aggregation": {"formula": "sum"},
            "event_time_window": None,
            "status": "active",
        }
        self.put(f"/v1/billing/meters/{name}", plain | fields)

    def fail(self, path: str, *answers: Answer | str) -> None:
        """Meet the next calls of `path` with these: an answer, `lost` (done, but unanswered), or `saved-500`."""
        self.failures.setdefault(path, []).extend(answers)

    @contextmanager
    def held(self, path: str) -> Iterator[threading.Event]:
        """Hold back the answer to the next call of `path` until the block ends; the event says that it is written."""
        arrived, go_on = threading.Event(), threading.Event()
        self.gates[path] = (arrived, go_on)
        try:
            yield arrived
        finally:
            go_on.set()

    def wait_for_calls(self, path: str, count: int, unless: Callable[[], bool]) -> None:
        """Wait until the path was called so many times more, unless that is not going to happen."""
        reached = threading.Event()
        self.awaited[path] = (self.calls[path] + count, reached)
        while not reached.wait(0.05) and not unless():
            pass

    def metered(self, customer: str = "cus_1") -> int:
        """Return what the meters have counted for the customer."""
        return sum(
            int(event["payload[value]"])
            for event in self.meter_events.values()
            if event["payload[stripe_customer_id]"] == customer
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        self.calls[path] += 1
        count, reached = self.awaited.get(path, (0, threading.Event()))
        if self.calls[path] >= count:
            reached.set()
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.headers.append(headers)
        form = dict(parse_qsl(await _body(receive)))
        failure = self.failures[path].pop(0) if self.failures.get(path) else None
        if isinstance(failure, tuple):
            status, body = failure
        else:
            status, body = self._answer(
                scope["method"], path, scope["query_string"].decode(), form, headers, failure
            )
        await self._wait(path)
        payload = json.dumps(body).encode()
        length = len(payload) + (1 if failure == "lost" else 0)
        start = [(b"content-type", b"application/json"), (b"content-length", str(length).encode())]
        await send({"type": "http.response.start", "status": status, "headers": start})
        await send({"type": "http.response.body", "body": payload})

    def _answer(
        self,
        method: str,
        path: str,
        query: str,
        form: dict[str, str],
        headers: dict[str, str],
        failure: str | None,
    ) -> Answer:
        if method == "POST":
            if path.startswith("/v1/webhook_endpoints"):
                return self._take_endpoint(path, form)
            key = headers.get("idempotency-key", "")
            if key not in self._saved:
                self._saved[key] = _error(500, "try again") if failure == "saved-500" else self._take(form)
            return self._saved[key]
        if method == "DELETE":
            return self._delete(path)
        if path in self.lists:
            return 200, self._page(path, {name: values[0] for name, values in parse_qs(query).items()})
        if path in self.objects:
            return 200, self.objects[path]
        return _error(404, f"No such object: '{path}'", code="resource_missing")

    def _take(self, form: dict[str, str]) -> Answer:
        if form["identifier"] in self.meter_events:
            return _error(400, f"An event already exists with identifier {form['identifier']}.")
        self.meter_events[form["identifier"]] = form
        return 200, {"object": "billing.meter_event", "identifier": form["identifier"]}

    def put_endpoints(self, *endpoints: dict[str, Any]) -> None:
        """Have webhook endpoints from now on, and these to begin with."""
        self.lists["/v1/webhook_endpoints"] = list(endpoints)

    def _take_endpoint(self, path: str, form: dict[str, str]) -> Answer:
        if "/v1/webhook_endpoints" not in self.lists:
            return _error(404, f"No such path: '{path}'")
        endpoints = self.lists["/v1/webhook_endpoints"]
        events = [value for name, value in form.items() if name.startswith("enabled_events")]
        known = next((each for each in endpoints if path.endswith(f"/{each['id']}")), None)
        if known is not None:
            known |= {"url": form["url"], "enabled_events": events, "status": "enabled"}
            return 200, known
        made = {
            "id": f"we_{self.calls[path]}",
            "object": "webhook_endpoint",
            "url": form["url"],
            "enabled_events": events,
            "status": "enabled",
            "api_version": form["api_version"],
            "metadata": {
                name[len("metadata[") : -1]: value
                for name, value in form.items()
                if name.startswith("metadata[")
            },
        }
        endpoints.append(made)
        shown = {"secret": f"whsec_ofdouble{made['id']}"} if self.shows_secrets else {}
        return 200, made | shown

    def _delete(self, path: str) -> Answer:
        parent, _, name = path.rpartition("/")
        found = self.lists.get(parent, [])
        if name not in [each["id"] for each in found]:
            return _error(404, f"No such object: '{path}'", code="resource_missing")
        self.lists[parent] = [each for each in found if each["id"] != name]
        return 200, {"id": name, "deleted": True}

    def _page(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        found = self.lists[path]
        ids = [value["id"] for value in found]
        if query.get("starting_after", ids[0] if ids else "") not in ids:
            return {"object": "list", "url": path, "data": [], "has_more": False}
        first = ids.index(query["starting_after"]) + 1 if "starting_after" in query else 0
        last = first + int(query.get("limit", 10))
        return {"object": "list", "url": path, "data": found[first:last], "has_more": last < len(found)}

    async def _wait(self, path: str) -> None:
        gate = self.gates.pop(path, None)
        if gate is not None:
            arrived, go_on = gate
            arrived.set()
            await _until(go_on)


async def _until(event: threading.Event) -> None:
    await asyncio.get_running_loop().run_in_executor(None, event.wait, 20)


async def _body(receive: Receive) -> str:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body.decode()


def _error(status: int, message: str, **fields: str) -> Answer:
    return status, {"error": {"type": "invalid_request_error", "message": message, **fields}}


@contextmanager
def run_double() -> Iterator[StripeDouble]:
    """Run one on a loopback port for the length of the block."""
    double = StripeDouble()
    listener = bind("127.0.0.1", 0)
    double.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(double, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield double
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
