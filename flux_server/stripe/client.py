"""Calls to Stripe: the one place that makes Stripe's client, and that knows its objects and exceptions."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

import httpx
import stripe as stripe_lib

from flux_server.stripe.errors import (
    AbsentError,
    AnswerError,
    CallError,
    KeyRefusedError,
    RefusedError,
    TemporaryError,
)
from flux_server.stripe.events import named_subscriptions
from flux_server.stripe.first_catalog import SoldInStripe
from flux_server.stripe.price_shapes import (
    StripeFeature,
    StripePrice,
    StripeProduct,
    read_feature,
    read_price,
    read_product,
)
from flux_server.stripe.shapes import (
    StripeCheckout,
    StripeCustomer,
    StripeMeter,
    StripeSubscription,
    SubscriptionPage,
    read_checkout,
    read_customer,
    read_meter,
    read_subscription,
    read_subscription_page,
)
from flux_server.stripe.webhook_endpoint import StripeEndpoint, read_endpoint

__all__ = ["PROBES", "StripeApi", "StripeClients", "Turn"]

T = TypeVar("T")

stripe_lib.enable_telemetry = False

_TIMEOUT = 20.0
_PAGE: Final = 100
_UNPAID: Final = frozenset({"past_due", "unpaid"})

# The request never left this machine.
_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.InvalidURL,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
)


Turn = Callable[[str], Awaitable[None]]
"""Waits until the endpoint may be asked once more."""


async def _no_turn(_: str) -> None:
    """Ask at once."""


class StripeClients:
    """Makes clients for the keys of links; all share one pool of connections. Close it when done."""

    def __init__(self, api_base: str | None) -> None:
        base = (api_base or "").rstrip("/")
        self._addresses: dict[str, str] = {"api": base, "meter_events": base} if base else {}
        self._http = _HttpClient()
        self._made: dict[str, stripe_lib.StripeClient] = {}  # making a client takes milliseconds

    def api(self, key: str, turn: Turn | None = None) -> StripeApi:
        """Return the calls that can be made with this key; `turn` is awaited before those it does not expect."""
        if key not in self._made:
            self._made[key] = self._client(key)
        return StripeApi(self._made[key], key, turn or _no_turn)

    def _client(self, key: str) -> stripe_lib.StripeClient:
        return stripe_lib.StripeClient(
            key,
            base_addresses=self._addresses,  # type: ignore[arg-type]  # a TypedDict, all of whose keys are optional
            http_client=self._http,
            max_network_retries=0,  # who calls decides about retries, and must know of each attempt
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._http.close_async()


class _HttpClient(stripe_lib.HTTPClient):
    """Sends one request, once. (Stripe's own adapter calls httpx in a way that httpx has deprecated.)"""

    name = "httpx"

    def __init__(self) -> None:
        super().__init__()
        # Whoever calls knows how many calls may be under way: those that hang must not keep connections from others.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
        self._connections = httpx.AsyncClient(timeout=_TIMEOUT, limits=limits)

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        try:
            answer = await self._connections.request(method, url, headers=headers, content=post_data)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise stripe_lib.APIConnectionError(str(error)) from error  # type: ignore[no-untyped-call]
        return answer.content, answer.status_code, answer.headers

    async def close_async(self) -> None:
        await self._connections.aclose()


class StripeApi:
    """What Flux asks of Stripe, answered with frozen values or a `CallError`; always of the library's API version.

    Whoever calls a method waits for one turn of its endpoint; a method that makes further calls waits for theirs.
    """

    def __init__(self, client: stripe_lib.StripeClient, key: str, turn: Turn) -> None:
        self._client = client
        self._v1 = client.v1
        self._key = key
        self._turn = turn

    async def account(self) -> str:
        """Return the id of the account that the key belongs to."""
        with self._translated():
            return (await self._v1.accounts.retrieve_current_async()).id

    async def time(self) -> float | None:
        """Return what time it is at Stripe, to the second; None if whoever answers does not say."""
        with self._translated():
            answer = (await self._v1.prices.list_async({"limit": 1})).last_response
        date = answer.headers.get("date", "") if answer is not None else ""
        try:
            return parsedate_to_datetime(date).timestamp()
        except ValueError:
            return None

    async def probe(self, resource: str) -> None:
        """Read one object of the kind (a key of PROBES), to learn whether the key may."""
        with self._translated():
            await PROBES[resource](self._v1)

    async def subscription(self, subscription: str) -> StripeSubscription:
        """Return the subscription with all its items."""
        with self._translated():
            found = (await self._v1.subscriptions.retrieve_async(subscription)).to_dict(for_json=True)
            more = await self._more_items(found) if _has_more_items(found) else []
            invoice = await self._unpaid_invoice(found) if found.get("status") in _UNPAID else None
        return read_subscription(found, more, invoice)

    async def _unpaid_invoice(self, subscription: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the latest invoice, which tells since when it is unpaid; None if the key may not read invoices."""
        invoice = subscription.get("latest_invoice")
        if not isinstance(invoice, str):
            return invoice if isinstance(invoice, Mapping) else None
        try:
            return (await self._v1.invoices.retrieve_async(invoice)).to_dict(for_json=True)
        except (stripe_lib.PermissionError, stripe_lib.InvalidRequestError):
            return None  # then it is unpaid since that was first seen

    async def _more_items(self, subscription: Mapping[str, Any]) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        last = subscription["items"]["data"][-1]["id"]
        while True:
            await self._turn("subscription_items")
            page = await self._v1.subscription_items.list_async(
                {"subscription": subscription["id"], "limit": _PAGE, "starting_after": last}
            )
            items += [item.to_dict(for_json=True) for item in page.data]
            if not page.has_more or not page.data:
                return items
            last = page.data[-1].id

    async def subscription_page(self, after: str | None) -> SubscriptionPage:
        """Return the next of all subscriptions, those that ended included, with their customers; newest first."""
        page = await self._page("/v1/subscriptions", after, {"status": "all", "expand": ["data.customer"]})
        return read_subscription_page(page["data"], has_more=bool(page.get("has_more")))

    async def event_page(
        self, types: Sequence[str], since: int, until: int, after: str | None
    ) -> tuple[list[dict[str, Any]], bool]:
        """Return events of these types (20 at most) created from `since` to before `until`, newest first, raw.

        Also whether there are more, which begin after the last of these.
        """
        wanted = {"types": list(types), "created": {"gte": since, "lt": until}}
        page = await self._page("/v1/events", after, wanted)
        return page["data"], bool(page.get("has_more"))

    async def _page(self, path: str, after: str | None, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Return a page of a list as JSON: making a hundred of the library's objects takes longer than saving them."""
        params = {**wanted, "limit": _PAGE} | ({} if after is None else {"starting_after": after})
        with self._translated():
            answer = await self._client.raw_request_async("get", path, **params)
        page = json.loads(answer.body)
        if not isinstance(page, dict) or not isinstance(page.get("data"), list):
            raise AnswerError(f"Stripe's list {path} is not of a shape that Flux knows")
        return page

    async def customer(self, customer: str) -> StripeCustomer:
        """Return the customer."""
        with self._translated():
            found = await self._v1.customers.retrieve_async(customer)
        return read_customer(found.to_dict(for_json=True))

    async def checkout(self, session: str) -> StripeCheckout:
        """Return the checkout session."""
        with self._translated():
            found = await self._v1.checkout.sessions.retrieve_async(session)
        return read_checkout(found.to_dict(for_json=True))

    async def invoice_subscriptions(self, invoice: str) -> tuple[str, ...]:
        """Return the subscription that the invoice is for, if it is for one."""
        with self._translated():
            found = await self._v1.invoices.retrieve_async(invoice)
        return named_subscriptions("invoice", found.to_dict(for_json=True))

    async def schedule_subscriptions(self, schedule: str) -> tuple[str, ...]:
        """Return the subscription that the schedule is of, or was."""
        with self._translated():
            found = await self._v1.subscription_schedules.retrieve_async(schedule)
        return named_subscriptions("subscription_schedule", found.to_dict(for_json=True))

    async def meter(self, meter: str) -> StripeMeter:
        """Return the meter."""
        with self._translated():
            found = await self._v1.billing.meters.retrieve_async(meter)
        return read_meter(found.to_dict(for_json=True))

    async def price(self, price: str) -> StripePrice:
        """Return the price, with its product's name."""
        with self._translated():
            found = await self._v1.prices.retrieve_async(price, {"expand": ["product"]})
        return read_price(found.to_dict(for_json=True))

    async def product(self, product: str) -> StripeProduct:
        """Return the product."""
        with self._translated():
            found = await self._v1.products.retrieve_async(product)
        return read_product(found.to_dict(for_json=True))

    async def sold(self) -> SoldInStripe:
        """Return everything that the account sells, those that are not sold any more included."""
        with self._translated():
            products = await self._all(self._v1.products, read_product)
            prices = await self._all(self._v1.prices, read_price)
        unreadable: dict[str, str] = {}
        features = await self._allowed("features", self._v1.entitlements.features, read_feature, unreadable)
        meters = await self._allowed("meters", self._v1.billing.meters, read_meter, unreadable)
        with self._translated():
            features_of = {
                product.id: await self._features_of(product.id)
                for product in (products if features else ())
                if product.active
            }
        return SoldInStripe(products, prices, features, features_of, meters, unreadable)

    async def active_entitlements(self, customer: str) -> tuple[StripeFeature, ...]:
        """Return everything that Stripe says the customer is entitled to."""
        with self._translated():
            return await self._all(self._v1.entitlements.active_entitlements, read_feature, customer=customer)

    async def _features_of(self, product: str) -> tuple[str, ...]:
        page = await self._v1.products.features.list_async(product, {"limit": _PAGE})
        return tuple(
            [read_feature(each.to_dict(for_json=True)).lookup_key async for each in page.auto_paging_iter()]
        )

    async def _allowed(
        self, what: str, resource: Any, read: Callable[[dict[str, Any]], T], unreadable: dict[str, str]
    ) -> tuple[T, ...]:
        """Return all of them, or note why the key cannot read them."""
        try:
            with self._translated():
                return await self._all(resource, read)
        except KeyRefusedError as error:
            if error.status == 401:
                raise
            unreadable[what] = f"the key may not read them: {error}"
        except (AbsentError, RefusedError) as error:
            unreadable[what] = f"Stripe has none to tell: {error}"
        return ()

    async def _all(self, resource: Any, read: Callable[[dict[str, Any]], T], **params: str) -> tuple[T, ...]:
        page = await resource.list_async({"limit": _PAGE, **params})
        return tuple([read(each.to_dict(for_json=True)) async for each in page.auto_paging_iter()])

    async def send_meter_event(
        self,
        event_name: str,
        payload: Mapping[str, str],
        *,
        identifier: str,
        timestamp: int,
        attempt_key: str,
    ) -> None:
        """Report usage to a meter, once per identifier; the attempt's key must differ in each attempt."""
        with self._translated():
            await self._v1.billing.meter_events.create_async(
                {
                    "event_name": event_name,
                    "payload": dict(payload),
                    "identifier": identifier,
                    "timestamp": timestamp,
                },
                {"idempotency_key": attempt_key},
            )

    async def webhook_endpoints(self) -> AsyncIterator[StripeEndpoint]:
        """Iterate over all webhook endpoints of the account, whoever made them."""
        with self._translated():
            page = await self._v1.webhook_endpoints.list_async({"limit": _PAGE})
            async for endpoint in page.auto_paging_iter():
                yield read_endpoint(endpoint.to_dict(for_json=True))

    async def create_webhook_endpoint(
        self, url: str, events: Sequence[str], metadata: Mapping[str, str]
    ) -> StripeEndpoint:
        """Make an endpoint that is sent these types of events, as the library's API version writes them."""
        wanted: Any = {
            "url": url,
            "enabled_events": list(events),
            "api_version": stripe_lib.api_version,
            "description": "Flux follows subscriptions by it",
            "metadata": dict(metadata),
        }
        with self._translated():
            made = await self._v1.webhook_endpoints.create_async(wanted)
        return read_endpoint(made.to_dict(for_json=True))

    async def update_webhook_endpoint(self, endpoint: str, url: str, events: Sequence[str]) -> None:
        """Have the endpoint be sent these types of events, at this address."""
        wanted: Any = {"url": url, "enabled_events": list(events), "disabled": False}
        with self._translated():
            await self._v1.webhook_endpoints.update_async(endpoint, wanted)

    async def delete_webhook_endpoint(self, endpoint: str) -> None:
        """Remove the endpoint."""
        with self._translated():
            await self._v1.webhook_endpoints.delete_async(endpoint)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except stripe_lib.StripeError as error:
            raise _call_error(error, self._key) from error


PROBES: Final[dict[str, Callable[[Any], Awaitable[object]]]] = {
    "customers": lambda v1: v1.customers.list_async({"limit": 1}),
    "subscriptions": lambda v1: v1.subscriptions.list_async({"limit": 1}),
    "products": lambda v1: v1.products.list_async({"limit": 1}),
    "prices": lambda v1: v1.prices.list_async({"limit": 1}),
    "invoices": lambda v1: v1.invoices.list_async({"limit": 1}),
    "events": lambda v1: v1.events.list_async({"limit": 1}),
    "checkout_sessions": lambda v1: v1.checkout.sessions.list_async({"limit": 1}),
    "entitlements": lambda v1: v1.entitlements.features.list_async({"limit": 1}),
    "meters": lambda v1: v1.billing.meters.list_async({"limit": 1}),
}
"""How to find out whether a key may read each kind of object."""


def _has_more_items(subscription: Mapping[str, Any]) -> bool:
    return bool((subscription.get("items") or {}).get("has_more"))


def _call_error(error: stripe_lib.StripeError, key: str) -> CallError:
    status = error.http_status
    message = (error.user_message or type(error).__name__).replace(key, "[the key]")
    if status is None:
        cause = error.__cause__
        return TemporaryError(
            f"no answer from Stripe ({type(cause).__name__})", arrived=not isinstance(cause, _NOT_SENT)
        )
    if status in (401, 403):
        return KeyRefusedError(message, status=status)
    if status in (409, 429):
        return TemporaryError(message, arrived=False, retry_after=_retry_after(error), too_many=status == 429)
    if status >= 500 or status < 400:  # below: a success whose body cannot be read
        return TemporaryError(message, arrived=True, retry_after=_retry_after(error))
    if status == 404 and isinstance(error, stripe_lib.InvalidRequestError):
        return AbsentError(message)
    return RefusedError(message, status=status)


def _retry_after(error: stripe_lib.StripeError) -> float:
    value = (error.headers or {}).get("retry-after", "")
    return float(value) if value.isdigit() else 0.0
