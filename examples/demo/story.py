"""The story in eight steps. Each does something as its user would and checks what must then be true."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import stripe

from examples.demo.processes import DemoError, Process, free_port, wait_for

__all__ = ["STEPS", "Figures", "Story"]

ORGANIZATION = "acme"
PYTHON = (sys.executable, "-m")


@dataclass
class Figures:
    """What the story measured; printed as the last line of `scripts/demo --once`."""

    opened_ms: float = 0
    closed_ms: float = 0
    metered: int = 0
    billed: int = 0


@dataclass
class Story:
    """Everything that runs, and what the steps hand on to each other."""

    directory: Path
    say: Callable[[str], None]
    figures: Figures = field(default_factory=Figures)
    processes: dict[str, Process] = field(default_factory=dict)
    url: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=20))

    def close(self) -> None:
        """End every process, the application first."""
        for name in ("application", "server", "sandbox"):
            if name in self.processes:
                self.processes.pop(name).stop()
        self.http.close()

    # Step 1

    def serve(self) -> None:
        """`flux serve` starts on SQLite and prints a one-time link for the first admin"""
        self.url["server"] = f"http://127.0.0.1:{free_port(8400)}"
        self.url["sandbox"] = f"http://127.0.0.1:{free_port(8420)}"
        self.start_server()
        self.say(f"dashboard {self.url['server']}, first admin at {self.url['first admin']}")

    def start_server(self) -> None:
        port = self.url["server"].rpartition(":")[2]
        self.processes["server"] = Process(
            "flux serve",
            [*PYTHON, "flux_server", "serve", "--port", port, "--data-dir", str(self.directory / "server")],
            log=self.directory / "server.log",
            env={"FLUX_STRIPE_API_BASE": self.url["sandbox"], "FLUX_CLOCK_URL": self.clock_url},
        )
        # A new one at each start, which voids the one before, as long as nobody has used any.
        link = self.processes["server"].wait_for_line(r"http://\S+/setup/\S+").group()
        self.url["first admin"] = link
        wait_for("flux serve answers", lambda: self.answers(self.url["server"] + "/healthz"))

    # Step 2

    def start_sandbox(self) -> None:
        """A Stripe sandbox starts on another port"""
        self.processes["sandbox"] = Process(
            "flux-sandbox",
            [*PYTHON, "flux_sandbox", "--port", self.url["sandbox"].rpartition(":")[2]],
            log=self.directory / "sandbox.log",
            env={},
        )
        self.processes["sandbox"].wait_for_line(r"listening on http://\S+")
        self.say(f"sandbox {self.url['sandbox']}")

    # Step 3

    def define_plans(self) -> None:
        """Plans `free` and `pro` are defined, and the environment is linked to Stripe"""
        for scope in ("admin", "sdk"):
            self.keys[scope] = self.new_key(scope)
        for key, kind in (("sso", "boolean"), ("audit-logs", "boolean"), ("seats", "limit")):
            self.put(f"/v1/features/{key}", {"kind": kind})
        self.put("/v1/metrics/api-calls", {"name": "API calls", "unit": "call"})
        limit = {"kind": "limit", "metric": "api-calls", "reset": "month"}
        self.put("/v1/features/api-calls-per-month", limit)
        prices = self.sell_in_stripe()
        self.define_plan("free", [], {"seats": 1, "api-calls-per-month": 1_000})
        pro = {"sso": True, "audit-logs": True, "seats": 10, "api-calls-per-month": 100_000}
        self.define_plan("pro", prices, pro)
        self.put("/v1/default-plan", {"plan": "free"})
        self.link_stripe()
        self.say("plans free and pro published, Stripe linked")

    def new_key(self, scope: str) -> str:
        """Make an API key as an operator does, beside the running server."""
        command = ["keys", "create", "--environment", "test", "--scope", scope, "--name", f"demo {scope}"]
        made = Process(
            "flux keys create",
            [*PYTHON, "flux_server", *command, "--data-dir", str(self.directory / "server")],
            log=self.directory / f"key-{scope}.log",
            env={},
        )
        return made.wait_for_line(r"flux_test_\S+").group()

    def sell_in_stripe(self) -> list[dict[str, str]]:
        """Create in Stripe what `pro` costs: a monthly price, and one a call."""
        meter = self.stripe.v1.billing.meters.create(
            {
                "display_name": "API calls",
                "event_name": "api-calls",
                "default_aggregation": {"formula": "sum"},
            }
        )
        product = self.stripe.v1.products.create({"name": "Pro"})
        monthly = self.stripe.v1.prices.create(
            {
                "product": product.id,
                "currency": "eur",
                "unit_amount": 4900,
                "recurring": {"interval": "month"},
            }
        )
        per_call = self.stripe.v1.prices.create(
            {
                "product": product.id,
                "currency": "eur",
                "unit_amount": 1,
                "recurring": {"interval": "month", "usage_type": "metered", "meter": meter.id},
            }
        )
        self.ids |= {"meter": meter.id, "monthly": monthly.id, "per_call": per_call.id}
        return [{"price": monthly.id}, {"price": per_call.id, "metric": "api-calls"}]

    def define_plan(self, key: str, prices: list[dict[str, str]], values: dict[str, Any]) -> None:
        grants = [{"feature": feature, "value": value} for feature, value in values.items()]
        self.put(
            f"/v1/plans/{key}", {"name": key.title(), "kind": "base", "prices": prices, "grants": grants}
        )
        self.post(f"/v1/plans/{key}/publish", {"existing": "stay"})

    def link_stripe(self) -> None:
        link = self.put("/v1/stripe/link", {"api_key": "sk_test_demo"})
        endpoint = self.stripe.v1.webhook_endpoints.create(
            {"url": link["webhook_url"], "enabled_events": ["*"]}
        )
        self.put("/v1/stripe/link", {"api_key": "sk_test_demo", "webhook_secret": endpoint.secret})

    # Step 4

    def start_application(self) -> None:
        """A Starlette application runs in two workers; GET /sso is refused"""
        port = free_port(8440)
        self.url["application"] = f"http://127.0.0.1:{port}"
        self.processes["application"] = Process(
            "application",
            [*PYTHON, "uvicorn", "examples.demo.app:app", "--port", str(port), "--workers", "2"],
            log=self.directory / "application.log",
            env={
                "FLUX_API_KEY": self.keys["sdk"],
                "FLUX_URL": self.url["server"],
                "FLUX_DIRECTORY": str(self.directory / "client"),
                "FLUX_CLOCK_URL": self.clock_url,
            },
        )
        wait_for("two workers are ready", lambda: len(self.ready_workers()) == 2)
        answer = self.ask("/sso")
        problem = answer.json()
        expect("GET /sso without the entitlement", answer.status_code, 403)
        expect("its content type", answer.headers["content-type"], "application/problem+json")
        expect("the entitlement it names", problem.get("feature"), "sso")
        self.say(f"GET /sso answers 403: {problem['detail']}")

    # Step 5

    def subscribe(self) -> None:
        """The organization subscribes to `pro`; GET /sso opens in both workers"""
        customer = self.stripe.v1.customers.create(
            {"name": "Acme Inc.", "metadata": {"organization_id": ORGANIZATION}}
        )
        start = time.monotonic()
        subscription = self.stripe.v1.subscriptions.create(
            {
                "customer": customer.id,
                "items": [{"price": self.ids["monthly"]}, {"price": self.ids["per_call"]}],
            }
        )
        self.ids |= {"customer": customer.id, "subscription": subscription.id}
        self.figures.opened_ms = self.wait_for_both_workers(200, since=start)
        self.say(
            f"GET /sso answers 200 in both workers, {self.figures.opened_ms:.0f} ms after the call to Stripe"
        )

    # Step 6

    def use(self) -> None:
        """100 metered calls, 90 of which succeed; get_usage says 90 at once, Stripe's meter soon after"""
        for call in range(100):
            answer = self.ask("/v1/search" if call % 10 == 0 else "/v1/search?q=flux")
            expect("GET /v1/search", answer.status_code, 400 if call % 10 == 0 else 200)
        for answer in self.ask_both_workers(f"/usage/{ORGANIZATION}"):
            expect("get_usage right after the calls", answer.json()["quantity"], 90)
        self.say("get_usage says 90 in both workers")
        took = wait_for("Stripe's meter says 90", lambda: self.forward() == 90)
        self.say(f"the meter in the sandbox says 90, {took:.0f} ms later")

    # Step 7

    def survive(self) -> None:
        """The server is stopped, a worker is killed; checks go on and nothing is lost"""
        self.processes["server"].stop()
        for answer in self.ask_both_workers("/sso"):
            expect("GET /sso while the server is down", answer.status_code, 200)
        self.say("the server is down, GET /sso still answers 200 in both workers")
        for _ in range(10):
            answer = self.ask("/v1/search?q=flux")
            expect("GET /v1/search while the server is down", answer.status_code, 200)
        killed = answer.json()["worker"]
        os.kill(killed, signal.SIGKILL)
        self.say(f"10 more calls, then worker {killed}, which answered the last of them, was killed")
        self.start_server()
        took = wait_for("Stripe's meter says 100", lambda: self.forward() == 100)
        self.figures.billed = self.metered_at_stripe()
        wait_for("two workers are ready again", lambda: len(self.ready_workers() - {killed}) == 2)
        wait_for("get_usage says 100", lambda: self.used() == 100)
        self.figures.metered = self.used()
        self.say(
            f"the server is back; {took:.0f} ms later the meter in the sandbox says {self.figures.billed}"
        )

    # Step 8

    def cancel(self) -> None:
        """The subscription is cancelled; GET /sso is refused again"""
        start = time.monotonic()
        self.stripe.v1.subscriptions.cancel(self.ids["subscription"])
        self.figures.closed_ms = self.wait_for_both_workers(403, since=start)
        self.say(
            f"GET /sso answers 403 in both workers, {self.figures.closed_ms:.0f} ms after the call to Stripe"
        )

    # What the steps use

    @property
    def stripe(self) -> stripe.StripeClient:
        """Stripe's own client, pointed at the sandbox."""
        return stripe.StripeClient("sk_test_demo", base_addresses={"api": self.url["sandbox"]})

    @property
    def clock_url(self) -> str:
        """The sandbox's clock, which server and application go by."""
        return self.url["sandbox"] + "/_sandbox/clock"

    def answers(self, url: str) -> bool:
        try:
            return self.http.get(url).is_success
        except httpx.TransportError:
            return False

    def put(self, path: str, body: dict[str, Any]) -> Any:
        return self.call_server("PUT", path, body)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self.call_server("POST", path, body)

    def call_server(self, method: str, path: str, body: dict[str, Any]) -> Any:
        authorization = {"Authorization": f"Bearer {self.keys['admin']}"}
        answer = self.http.request(method, self.url["server"] + path, json=body, headers=authorization)
        if answer.is_error:
            raise DemoError(f"{method} {path} answered {answer.status_code}: {answer.text}")
        return answer.json() if answer.content else None

    def forward(self) -> int:
        """Run the forwarder now, and return what Stripe's meter says."""
        self.post("/v1/stripe/forward", {})
        return self.metered_at_stripe()

    def metered_at_stripe(self) -> int:
        now = int(self.http.get(self.clock_url).json()["now"])
        minute = now // 60 * 60
        summaries = self.stripe.v1.billing.meters.event_summaries.list(
            self.ids["meter"],
            {"customer": self.ids["customer"], "start_time": minute - 86_400, "end_time": minute + 3_600},
        )
        return int(sum(summary.aggregated_value for summary in summaries.data))

    def used(self) -> int:
        return int(self.ask(f"/usage/{ORGANIZATION}").json()["quantity"])

    def ask(self, path: str) -> httpx.Response:
        """Ask the application as a user of the organization, over a new connection, so that any worker answers."""
        with httpx.Client(timeout=20) as browser:
            return browser.get(self.url["application"] + path, headers={"X-Organization": ORGANIZATION})

    def ask_both_workers(self, path: str) -> list[httpx.Response]:
        """Return one answer of each of the two workers; which one answers is the kernel's choice."""
        answers: dict[int, httpx.Response] = {}
        deadline = time.monotonic() + 30
        while len(answers) < 2:
            if time.monotonic() > deadline:
                raise DemoError(f"only the workers {list(answers)} answered GET {path}")
            worker, answer = self.ask_one_worker(path)
            answers[worker] = answer
        return list(answers.values())

    def ask_one_worker(self, path: str) -> tuple[int, httpx.Response]:
        with httpx.Client(
            base_url=self.url["application"], timeout=20
        ) as browser:  # one connection, one worker
            worker = browser.get("/worker").json()["worker"]
            return worker, browser.get(path, headers={"X-Organization": ORGANIZATION})

    def ready_workers(self) -> set[int]:
        """Return the workers that answered a handful of questions and know the catalog."""
        found: set[int] = set()
        for _ in range(12):
            try:
                answer = self.ask("/worker").json()
            except httpx.TransportError:
                continue
            if answer["ready"]:
                found.add(answer["worker"])
        return found

    def wait_for_both_workers(self, status: int, *, since: float) -> float:
        """Wait until both workers answer GET /sso with `status`; milliseconds since the moment `since`."""
        changed: set[int] = set()

        def both_changed() -> bool:
            worker, answer = self.ask_one_worker("/sso")
            if answer.status_code == status:
                changed.add(worker)
            return len(changed) == 2

        wait_for(f"GET /sso answers {status} in both workers", both_changed)
        return (time.monotonic() - since) * 1000


def expect(what: str, seen: object, wanted: object) -> None:
    """Raise DemoError if what the story saw is not what it promises."""
    if seen != wanted:
        raise DemoError(f"{what}: expected {wanted!r}, saw {seen!r}")


STEPS: tuple[Callable[[Story], None], ...] = (
    Story.serve,
    Story.start_sandbox,
    Story.define_plans,
    Story.start_application,
    Story.subscribe,
    Story.use,
    Story.survive,
    Story.cancel,
)
