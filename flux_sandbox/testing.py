"""A sandbox for an application's tests: a real server on a free port, in a thread of the tests' own process.

    with StripeSandbox() as sandbox:
        client = sandbox.client()

`flux_sandbox.pytest_plugin` makes it a fixture.
"""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, Final

import httpx
import msgspec
import uvicorn

from flux_sandbox.api import LoggedRequest, Violation
from flux_sandbox.app import create_app
from flux_sandbox.deliveries import RETRY_DELAYS, Delivery
from flux_sandbox.disorder import DeliveryPlan
from flux_sandbox.faults import Fault, FaultPlan
from flux_sandbox.profile import Profile

__all__ = ["Endpoint", "StripeSandbox", "Webhook"]

_START: Final = 20.0
_STOP: Final = 20.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A webhook endpoint or an event destination: its id, and the secret to verify its webhooks with."""

    id: str
    secret: str


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook, signed, to be posted to the application by the test itself."""

    body: bytes
    headers: Mapping[str, str]


class StripeSandbox:
    """A Stripe to test against, while the context is open or between `start` and `stop`.

    Args:
        clock: what it takes for the wall's time.
        retry_delays: seconds before each further attempt to deliver a webhook.
        livemode: play an account in live mode.
        account_id: which account it is.
        api_version: the version of requests that name none, and of events.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        retry_delays: tuple[float, ...] = RETRY_DELAYS,
        livemode: bool = False,
        account_id: str = Profile.id,
        api_version: str = Profile.api_version,
    ) -> None:
        self.key = f"sk_{'live' if livemode else 'test'}_sandbox"
        """A secret key of the account's."""
        app = create_app(
            clock=clock,
            retry_delays=retry_delays,
            livemode=livemode,
            account_id=account_id,
            api_version=api_version,
        )
        config = uvicorn.Config(app, port=0, log_level="error", timeout_graceful_shutdown=2)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, name="flux-sandbox", daemon=True)

    def start(self) -> None:
        """Start the server, and return once it listens."""
        self._thread.start()
        deadline = time.monotonic() + _START
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("flux-sandbox did not start; its log says why")
            self._thread.join(0.01)
        # No proxy of the environment's: it would not find its way back to this machine.
        self._http = httpx.Client(base_url=self.url, timeout=60, trust_env=False)

    def stop(self) -> None:
        """Stop the server; all that it knew is gone."""
        self._http.close()
        self._server.should_exit = True
        self._thread.join(_STOP)

    def __enter__(self) -> StripeSandbox:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The address to point Stripe's client at."""
        return f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"

    def client(self, key: str | None = None, **options: Any) -> Any:
        """Return a `stripe.StripeClient` for this sandbox; Stripe's package must be installed."""
        stripe = importlib.import_module("stripe")  # the sandbox itself does without
        addresses = {"api": self.url, "meter_events": self.url}
        return stripe.StripeClient(key or self.key, base_addresses=addresses, **options)

    def reset(self) -> None:
        """Begin anew: an empty account, nothing planned, nothing on its way, the clock at the wall's time."""
        self._ask("POST", "reset")

    def now(self) -> int:
        """Return the account's time, in seconds since the epoch."""
        return int(self._ask("GET", "clock")["now"])

    def advance(self, by: float | timedelta) -> int:
        """Turn the account's time forward, by seconds or by a timedelta, and return it."""
        seconds = by.total_seconds() if isinstance(by, timedelta) else by
        return int(self._ask("POST", "clock", {"advance": seconds})["now"])

    def restricted_key(self, *permissions: str, shows_secrets: bool = True) -> str:
        """Make a key that may do no more than this."""
        wanted = {"permissions": permissions, "shows_secrets": shows_secrets}
        return str(self._ask("POST", "keys", wanted)["key"])

    def revoke_key(self, key: str) -> None:
        """Have a key refused from now on."""
        self._ask("DELETE", f"keys/{key}")

    def faults(self, *faults: Fault, seed: int = 0) -> None:
        """Let requests go wrong in these ways, in place of those until now; without any, all is well again."""
        self._ask("POST", "faults", FaultPlan(rules=faults, seed=seed))

    def disturb_deliveries(self, plan: DeliveryPlan | None = None) -> None:
        """Let webhooks go astray as planned; without a plan, all is well again."""
        if plan is None:
            self._ask("DELETE", "deliveries/plan")
        else:
            self._ask("POST", "deliveries/plan", plan)

    def flush(self) -> int:
        """Send the webhooks that a plan holds back; return how many they are."""
        return int(self._ask("POST", "deliveries/flush")["sent"])

    def deliver(self, event: str, *, endpoint: str | None = None, times: int = 1) -> int:
        """Send an event once more, all copies at once; return how many they are."""
        wanted = {"endpoint": endpoint, "times": times}
        return int(self._ask("POST", f"events/{event}/deliver", wanted)["sent"])

    def wait_delivered(self, timeout: float = 10) -> None:
        """Wait until every webhook was taken or given up, or raise a TimeoutError."""
        pending = self._ask("GET", f"deliveries?wait={timeout}")["pending"]
        if pending:
            raise TimeoutError(f"{pending} webhooks are still on their way after {timeout} seconds")

    def listen(self, url: str, *events: str) -> Endpoint:
        """Have an address told of events of these types, or of all."""
        wanted = {f"enabled_events[{number}]": name for number, name in enumerate(events or ("*",))}
        made = self._post("/v1/webhook_endpoints", data={"url": url, **wanted})
        return Endpoint(made["id"], made["secret"])

    def listen_thin(self, url: str, *events: str) -> Endpoint:
        """Have an address told of thin events of these types, or of all."""
        wanted = {
            "name": "tests",
            "type": "webhook_endpoint",
            "event_payload": "thin",
            "enabled_events": events or ("*",),
            "webhook_endpoint": {"url": url},
            "include": ["webhook_endpoint.signing_secret"],
        }
        made = self._post("/v2/core/event_destinations", json=wanted)
        return Endpoint(made["id"], made["webhook_endpoint"]["signing_secret"])

    def roll_secret(self, endpoint: str, *, expires_in: int = 86_400) -> str:
        """Give an endpoint a new secret; the one until now signs too, for so many seconds."""
        return str(
            self._ask("POST", f"webhook_endpoints/{endpoint}/roll", {"expires_in": expires_in})["secret"]
        )

    def silence(self, silent: bool = True) -> None:
        """Let changes leave no events at all, or let them leave some again."""
        self._ask("POST", "events/silence", {"silent": silent})

    def make_event(
        self, type_: str, about: Mapping[str, Any] | None = None, *, data: Mapping[str, Any] | None = None
    ) -> str:
        """Tell of an event of any type about any object, and return its id; one of `v1.` or `v2.` is thin."""
        return str(self._ask("POST", "events", {"type": type_, "object": about, "data": data})["id"])

    def check_meter_events(self, *, later: bool) -> None:
        """Take meter events that are wrong, until their errors are reported; or refuse them at once again."""
        self._ask("POST", "meter_events/checks", {"later": later})

    def report_meter_errors(self, *, samples: int = 3) -> int:
        """Report meter events that were wrong by thin events; return how many of those there are."""
        return len(self._ask("POST", "meter_events/report", {"samples": samples})["data"])

    def webhook(self, event: str, endpoint: str) -> Webhook:
        """Return the webhook by which an endpoint hears of an event, for a test client to post."""
        found = self._ask("GET", f"events/{event}/webhook?endpoint={endpoint}")
        return Webhook(found["body"].encode(), found["headers"])

    @property
    def violations(self) -> list[Violation]:
        """What Stripe would refuse in the requests so far, newest first."""
        return msgspec.convert(self._ask("GET", "violations")["data"], list[Violation])

    @property
    def requests(self) -> list[LoggedRequest]:
        """The latest requests, newest first."""
        return msgspec.convert(self._ask("GET", "requests")["data"], list[LoggedRequest])

    @property
    def deliveries(self) -> list[Delivery]:
        """The latest attempts to deliver webhooks, newest first."""
        return msgspec.convert(self._ask("GET", "deliveries")["data"], list[Delivery])

    def _post(self, path: str, **sent: Any) -> dict[str, Any]:
        return _read(self._http.post(path, headers={"Authorization": f"Bearer {self.key}"}, **sent))

    def _ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        content = b"" if body is None else msgspec.json.encode(body)
        return _read(self._http.request(method, f"/_sandbox/{path}", content=content))


def _read(answer: httpx.Response) -> dict[str, Any]:
    """Return an answer's JSON; a refusal is a ValueError, which says what was wrong."""
    found: dict[str, Any] = answer.json()
    if answer.is_error:
        raise ValueError(found["error"]["message"])
    return found
