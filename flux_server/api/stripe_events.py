"""The log of Stripe's events over HTTP: searched, read one by one with their bodies, and replayed."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from flux_server.api.dependencies import Caller, Clock, DatabaseOf, requires_scope
from flux_server.api.fields import Text
from flux_server.api.pages import Cursor, Limit, cut, read_numbered_cursor
from flux_server.api.problems import problem_responses
from flux_server.moments import parse_past_moment
from flux_server.stripe.event_log import EventSearch, LoggedEvent, read_event, search_events
from flux_server.stripe.replay import objects_of, replay_event

__all__ = ["router"]

router = APIRouter(prefix="/v1/stripe", tags=["stripe"], responses=problem_responses(401, 403, 422))

Reader = Annotated[Caller, Depends(requires_scope("read"))]
Admin = Annotated[Caller, Depends(requires_scope("admin"))]
EventId = Annotated[Text, Path(max_length=255, description="The event's id in Stripe.")]
_Moment = Annotated[
    str | None,
    Query(max_length=64, description="Seconds since 1970, RFC 3339, or back from now: `-2h`, `yesterday`."),
]


class ObjectAnswer(BaseModel):
    """An object at Stripe: its type, in Stripe's word, and its id."""

    model_config = ConfigDict(from_attributes=True)

    type: str
    id: str


class EventSummary(BaseModel):
    """An event that Stripe sent, or that was found in its list."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    type: str
    object_type: str | None
    object_id: str | None
    customer: str | None
    created_at: int = Field(description="When it happened at Stripe.")
    received_at: int = Field(description="When it first came.")
    deliveries: int = Field(description="How often it came; 0: it was missed, and found in Stripe's list.")
    kind: str = Field(description="`snapshot` or `thin`.")
    api_version: str | None


class EventsAnswer(BaseModel):
    """A page of events, those that came last first; `next_cursor` asks for the one after it."""

    events: list[EventSummary]
    next_cursor: str | None


class EventAnswer(EventSummary):
    """An event with its body, and the objects that it has read from Stripe again."""

    marks: list[ObjectAnswer]
    body: Any = Field(description="As Stripe sent it; may hold personal data.")


class ReplayAnswer(BaseModel):
    """The objects that are being read from Stripe again; none if Flux does not follow events of this type."""

    marked: list[ObjectAnswer]


@router.get("/events")
async def list_stripe_events(
    database: DatabaseOf,
    clock: Clock,
    caller: Reader,
    query: Annotated[
        Text, Query(max_length=255, description="The id of an event, of its object or of its customer.")
    ] = "",
    type: Annotated[Text, Query(max_length=255, description="Only of this type.")] = "",  # noqa: A002  Stripe's word
    since: _Moment = None,
    until: _Moment = None,
    missed: Annotated[bool, Query(description="Only those whose webhook never came.")] = False,
    cursor: Cursor = "",
    limit: Limit = 50,
) -> EventsAnswer:
    """List the events that Stripe sent, those that came last first."""
    search = EventSearch(query.strip(), type.strip(), *_moments(since, until, clock()), missed=missed)
    before = read_numbered_cursor(cursor)
    async with database.read() as connection:
        found = await search_events(connection, caller.environment, search, before=before, limit=limit + 1)
    page, next_cursor = cut(found, limit, lambda event: f"{event.received_at} {event.id}")
    return EventsAnswer(
        events=[EventSummary.model_validate(event) for event in page], next_cursor=next_cursor
    )


@router.get("/events/{event}", responses=problem_responses(404))
async def read_stripe_event(event: EventId, database: DatabaseOf, caller: Reader) -> EventAnswer:
    """Return an event with its body, and what it has read again."""
    async with database.read() as connection:
        found, body = await read_event(connection, caller.environment, event)
    return _answer(found, body)


@router.post("/events/{event}/replay", status_code=202, responses=problem_responses(404))
async def replay_stripe_event(
    event: EventId, database: DatabaseOf, clock: Clock, caller: Admin
) -> ReplayAnswer:
    """Have what the event is about read from Stripe again; however old it is, this does no harm."""
    async with database.write(caller.actor) as connection:
        marked = await replay_event(connection, caller.environment, event, clock())
    return ReplayAnswer(marked=[ObjectAnswer.model_validate(each) for each in marked])


def _moments(since: str | None, until: str | None, now: float) -> tuple[int | None, int | None]:
    first, last = (parse_past_moment(each, now) if each else None for each in (since, until))
    return first, last


def _answer(event: LoggedEvent, body: bytes) -> EventAnswer:
    summary = EventSummary.model_validate(event).model_dump()
    marks = [ObjectAnswer.model_validate(each) for each in objects_of(body)]
    return EventAnswer(**summary, marks=marks, body=json.loads(body))
