"""The doctor: asks Stripe with the link's key what is there, and says what is wrong with the link and how to mend it.

Whatever Stripe refuses to answer is a finding like any other, not a failure.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

from sqlalchemy import select

from flux_server.errors import UnavailableError
from flux_server.stripe.checks import Case, Finding, Level, findings, worst
from flux_server.stripe.client import StripeApi
from flux_server.stripe.connector import Connector
from flux_server.stripe.errors import CallError
from flux_server.stripe.events import FOLLOWED_TYPES
from flux_server.stripe.examining import read_case
from flux_server.stripe.link_forms import LinkRefusedError
from flux_server.stripe.live_checks import Answers, Sent, live_findings
from flux_server.stripe.permissions import Probed, probe_key
from flux_server.stripe.tables import stripe_events
from flux_server.stripe.webhook_endpoint import StripeEndpoint

__all__ = ["Diagnosis", "diagnose"]

T = TypeVar("T")

_TYPES_AT_ONCE: Final = 20  # Stripe's own limit
_DAY: Final = 86_400
_UNDER_WAY: Final = 300  # seconds for which an event may be on its way
_READ_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found at the moment `at`, by asking Stripe and by looking at what Flux knows."""

    at: int
    level: Level
    findings: tuple[Finding, ...]


async def diagnose(connector: Connector, environment: str) -> Diagnosis:
    """Ask Stripe, look at everything, and say what is wrong.

    Raises:
        NotLinkedError: there is no link.
    """
    async with connector.database.read() as connection:
        case = await read_case(connector, connection, environment)
    answers = await _ask(connector, environment, case)
    found = (*live_findings(case, answers), *findings(case))
    return Diagnosis(case.health.at, worst(found), found)


async def _ask(connector: Connector, environment: str, case: Case) -> Answers:
    api = await connector.api(environment)
    probed = await _probed(api)
    if isinstance(probed, str):
        return Answers(refused=probed)
    endpoints = await _tried(_endpoints(api))
    sent = await _tried(_sent(connector, environment, api, case))
    return Answers(
        account=probed.account,
        ahead=await _ahead(connector, api),
        endpoints=endpoints if isinstance(endpoints, tuple) else None,
        endpoints_refused=endpoints if isinstance(endpoints, str) else "",
        sent=sent if isinstance(sent, Sent) else None,
        sent_refused=sent if isinstance(sent, str) else "",
    )


async def _probed(api: StripeApi) -> Probed | str:
    """Return what the key may do, or why it cannot be used."""
    try:
        return await probe_key(api)
    except (LinkRefusedError, UnavailableError) as error:
        return str(error)


async def _tried(call: Awaitable[T]) -> T | str:
    """Return what the call returns, or what Stripe said instead."""
    try:
        return await call
    except CallError as error:
        return str(error)


async def _endpoints(api: StripeApi) -> tuple[StripeEndpoint, ...]:
    return tuple([each async for each in api.webhook_endpoints()])


async def _ahead(connector: Connector, api: StripeApi) -> float | None:
    """Return by how many seconds this server's clock is ahead of Stripe's, as far as that says."""
    before = connector.wall()
    there = await _tried(api.time())
    after = connector.wall()
    if not isinstance(there, float):
        return None
    # Stripe's time is of some moment in between, cut to the second.
    return before - there - 1 if before > there + 1 else after - there if after < there else 0.0


async def _sent(connector: Connector, environment: str, api: StripeApi, case: Case) -> Sent:
    """Return which of the events that Stripe has sent lately came here, by their webhook."""
    health = case.health
    until = health.at - _UNDER_WAY
    since = max(health.at - _DAY, health.link.created_at)
    names: list[str] = []
    if since < until:
        for types in _portions(FOLLOWED_TYPES):
            found, _ = await api.event_page(types, since, until, None)
            names += [each["id"] for each in found]
    came = await _came(connector, environment, names)
    return Sent(len(names), tuple(name for name in names if name not in came))


async def _came(connector: Connector, environment: str, names: list[str]) -> set[str]:
    stored = stripe_events.c
    async with connector.database.read() as connection:
        found = await connection.execute(
            select(stored.id).where(
                stored.environment == environment, stored.id.in_(names[:_READ_AT_ONCE]), stored.deliveries > 0
            )
        )
        return set(found.scalars())


def _portions(types: tuple[str, ...]) -> Iterable[tuple[str, ...]]:
    return (types[start : start + _TYPES_AT_ONCE] for start in range(0, len(types), _TYPES_AT_ONCE))
