"""Forwarding usage: the ledger's differences go into the outbox, and the outbox goes to Stripe."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import select

from flux_server.stripe.client import StripeApi
from flux_server.stripe.connector import Connector
from flux_server.stripe.errors import CallError, KeyRefusedError, TemporaryError
from flux_server.stripe.link import pause_forwarding, pause_link
from flux_server.stripe.outbox import Delivery, claim_deliveries, due_environments, record_outcome
from flux_server.stripe.outcomes import Outcome, Verdict, judge
from flux_server.stripe.planning import plan_forwarding
from flux_server.stripe.sinks import SINKS
from flux_server.stripe.tables import stripe_links

__all__ = ["Forwarded", "forward", "plan_all", "send_due"]

_AT_ONCE = 32
_log = structlog.get_logger("flux.stripe")


@dataclass(frozen=True, slots=True)
class Forwarded:
    """What a run of the forwarder did: rows written to the outbox, and what became of attempts to send."""

    planned: int
    sent: int
    retried: int
    ambiguous: int
    dead: int


async def forward(connector: Connector, environment: str) -> Forwarded:
    """Plan and send, now, everything of the environment that is due."""
    planned = await _plan(connector, environment)
    verdicts: Counter[Verdict] = Counter()
    while round_ := await _send(connector, environment):
        verdicts.update(round_)
    return Forwarded(
        planned=planned,
        sent=verdicts[Verdict.SENT],
        retried=verdicts[Verdict.RETRY],
        ambiguous=verdicts[Verdict.AMBIGUOUS],
        dead=verdicts[Verdict.DEAD],
    )


async def plan_all(connector: Connector) -> bool:
    """Plan every linked environment; answer that there is nothing more to do at once."""
    async with connector.database.read() as connection:
        linked = (await connection.execute(select(stripe_links.c.environment))).scalars().all()
    for environment in linked:
        await _plan(connector, environment)
    return False


async def send_due(connector: Connector) -> bool:
    """Send some of what is due; answer whether anything was."""
    async with connector.database.read() as connection:
        environments = await due_environments(connection, connector.clock())
    sent = [await _send(connector, environment) for environment in environments]
    return any(sent)


async def _plan(connector: Connector, environment: str) -> int:
    written = 0
    while True:
        async with connector.database.write() as connection:
            planned = await plan_forwarding(connection, environment, connector.clock())
        written += planned.rows
        if not planned.more:
            return written


async def _send(connector: Connector, environment: str) -> list[Verdict]:
    """Send one row for each customer and meter that has one due; return what became of them."""
    api = await connector.api(environment)  # first: what is claimed counts as perhaps sent
    async with connector.database.write() as connection:
        deliveries = await claim_deliveries(connection, environment, connector.clock(), _AT_ONCE)
    if not deliveries:
        return []
    errors = await asyncio.gather(*(_attempt(api, delivery) for delivery in deliveries))
    _note_answers(connector, environment, errors)
    outcomes = [
        judge(error, unanswered_before=delivery.unanswered_since is not None)
        for delivery, error in zip(deliveries, errors, strict=True)
    ]
    await _record(connector, deliveries, outcomes)
    await _pause_on_refused_key(connector, environment, errors)
    return [outcome.verdict for outcome in outcomes]


async def _attempt(api: StripeApi, delivery: Delivery) -> CallError | None:
    try:
        await SINKS[delivery.sink].send(api, delivery)
    except CallError as error:
        return error
    return None


def _note_answers(connector: Connector, environment: str, errors: Sequence[CallError | None]) -> None:
    silent = [error for error in errors if isinstance(error, TemporaryError)]
    connector.note_answer(environment, silent[0] if len(silent) == len(errors) else None)


async def _record(connector: Connector, deliveries: Sequence[Delivery], outcomes: Sequence[Outcome]) -> None:
    now = connector.clock()
    async with connector.database.write() as connection:
        for delivery, outcome in zip(deliveries, outcomes, strict=True):
            await record_outcome(connection, delivery, outcome, now=now, chance=connector.chance())
    for delivery, outcome in zip(deliveries, outcomes, strict=True):
        if outcome.verdict in (Verdict.DEAD, Verdict.AMBIGUOUS):
            _log.error(
                "usage was not billed"
                if outcome.verdict is Verdict.DEAD
                else "usage may not have been billed",
                environment=delivery.environment,
                identifier=delivery.identifier,
                reason=outcome.error,
            )


async def _pause_on_refused_key(
    connector: Connector, environment: str, errors: Sequence[CallError | None]
) -> None:
    refused = next((error for error in errors if isinstance(error, KeyRefusedError)), None)
    if refused is None:
        return
    # A revoked key can do nothing; one without this permission can still follow subscriptions.
    pause = pause_link if refused.status == 401 else pause_forwarding
    async with connector.database.write() as connection:
        await pause(connection, environment, f"Stripe refuses the key: {refused}")
    _log.error("forwarding to Stripe paused", environment=environment, reason=str(refused))
