"""Events once more: what an event says to look at is read from Stripe again, as if it had come just now.

An event is a hint, and what counts is the object's present state; so a replay can do no harm, however old it is.
"""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.stripe.dirty import mark
from flux_server.stripe.event_log import read_event
from flux_server.stripe.events import ObjectRef, changed_objects, parse_event
from flux_server.stripe.link import require_link

__all__ = ["objects_of", "replay_event"]


def objects_of(body: bytes) -> tuple[ObjectRef, ...]:
    """Return what the event of this body says to look at again; nothing if Flux does not follow its type."""
    try:
        return changed_objects(parse_event(body))
    except ValueError:  # stored by a version that understood it
        return ()


async def replay_event(
    connection: AsyncConnection, environment: str, event: str, now: float
) -> tuple[ObjectRef, ...]:
    """Have what the event is about read again, soon; return what that is.

    Raises:
        NotFoundError: there is no such event, or no link to read by.
    """
    await require_link(connection, environment)
    _, body = await read_event(connection, environment, event)
    objects = objects_of(body)
    await mark(connection, environment, objects, now)
    return objects
