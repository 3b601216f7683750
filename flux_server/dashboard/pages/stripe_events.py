"""The log of Stripe's events: searched, looked at one by one, and replayed."""

from __future__ import annotations

import json
from typing import Final

from fastapi import APIRouter, Response

from flux_server.dashboard.forms import Form
from flux_server.dashboard.visits import EnvironmentsVisit, EnvironmentVisit, UsersForm
from flux_server.moments import InvalidMomentError, parse_past_moment
from flux_server.stripe.event_log import EventSearch, LoggedEvent, read_event, search_events
from flux_server.stripe.events import FOLLOWED_TYPES, ObjectRef
from flux_server.stripe.owners import find_owners
from flux_server.stripe.replay import objects_of, replay_event

__all__ = ["router"]

router = APIRouter(default_response_class=Response)

_PAGE: Final = 50
_LONGEST_BODY: Final = 200_000
_FIELDS: Final = ("about", "type", "since", "until", "missed")


@router.get("/{environment}/stripe/events")
async def show_events(visit: EnvironmentsVisit) -> Response:
    """List the events that came last, or those that are searched for, a page at a time."""
    form = Form.of({name: visit.query(name) or None for name in _FIELDS})
    search, before = _search(form, visit.now), _before(visit.query("before"))
    found: tuple[LoggedEvent, ...] = ()
    if form.ok:
        async with visit.read() as connection:
            found = await search_events(connection, visit.key, search, before=before, limit=_PAGE + 1)
    last = found[_PAGE - 1] if len(found) > _PAGE else None
    return visit.page(
        "stripe_events.html",
        status=200 if form.ok else form.status,
        section="stripe",
        before=before,
        events=found[:_PAGE],
        form=form,
        followed=FOLLOWED_TYPES,
        next=f"{last.received_at}.{last.id}" if last else "",
        searched={name: form.typed(name) for name in _FIELDS},
        searching=search != EventSearch(),
    )


@router.get("/{environment}/stripe/event")
async def show_event(visit: EnvironmentsVisit) -> Response:
    """Show one event: when it came, what it has read again, and its body."""
    return await _page(visit, Form())


@router.post("/{environment}/stripe/event/replay")
async def replay(visit: EnvironmentsVisit, form: UsersForm) -> Response:
    """Have what the event is about read from Stripe again."""
    event = visit.query("id")
    with form.tried():
        async with visit.write() as connection:
            marked = await replay_event(connection, visit.key, event, visit.now)
        return visit.goto(visit.address("stripe/event", id=event), say=_said(marked))
    return await _page(visit, form)


async def _page(visit: EnvironmentVisit, form: Form) -> Response:
    async with visit.read() as connection:
        event, body = await read_event(connection, visit.key, visit.query("id"))
        about = {event.customer, event.object_id} - {None, ""}
        owners = {owner for name in about for owner in await find_owners(connection, visit.key, str(name))}
    return visit.page(
        "stripe_event.html",
        status=200 if form.ok else form.status,
        section="stripe",
        body=_readable(body),
        event=event,
        form=form,
        marks=objects_of(body),
        organizations=sorted(owners),
    )


def _search(form: Form, now: float) -> EventSearch:
    return EventSearch(
        about=form.text("about"),
        type=form.text("type"),
        since=_moment(form, "since", now),
        until=_moment(form, "until", now),
        missed=form.typed("missed") == "yes",
    )


def _moment(form: Form, name: str, now: float) -> int | None:
    text = form.text(name, most=64)
    try:
        return parse_past_moment(text, now) if text else None
    except InvalidMomentError as error:
        form.wrong(name, error.detail)
        return None


def _before(typed: str) -> tuple[int, str] | None:
    moment, _, event = typed.partition(".")
    return (int(moment), event) if moment.isascii() and moment.isdigit() and len(moment) < 19 else None


def _said(marked: tuple[ObjectRef, ...]) -> str:
    if not marked:
        return "Flux does not follow events of this type, so there is nothing to read again."
    return f"Being read from Stripe again: {', '.join(f'{each.type} {each.id}' for each in marked)}."


def _readable(body: bytes) -> str:
    text = json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    return (
        text
        if len(text) <= _LONGEST_BODY
        else f"{text[:_LONGEST_BODY]}\n… and {len(text) - _LONGEST_BODY:,} more"
    )
