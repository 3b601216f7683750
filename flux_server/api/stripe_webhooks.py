"""Stripe's webhooks over HTTP."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Header, Request
from pydantic import BaseModel

from flux_server.api.fields import Text
from flux_server.api.problems import problem_responses
from flux_server.errors import BodyTooLargeError
from flux_server.stripe.connector import Connector
from flux_server.stripe.webhooks import MAX_WEBHOOK, receive

__all__ = ["ConnectorOf", "router"]

router = APIRouter(prefix="/v1/stripe", tags=["stripe"])


async def _get_connector(request: Request) -> Connector:
    return cast("Connector", request.app.state.stripe)


ConnectorOf = Annotated[Connector, Depends(_get_connector)]


class ReceivedAnswer(BaseModel):
    """The event is kept."""

    received: bool = True


@router.post("/webhooks/{token}", responses=problem_responses(400, 404, 413, 429))
async def receive_stripe_webhook(
    token: Text,
    request: Request,
    connector: ConnectorOf,
    stripe_signature: Annotated[str, Header()] = "",
) -> ReceivedAnswer:
    """Take in an event that Stripe sends; its signature is its authorization."""
    await receive(connector, token, await _body(request), stripe_signature)
    return ReceivedAnswer()


async def _body(request: Request) -> bytes:
    """Read the body as it was sent: the signature is over these bytes."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_WEBHOOK:
            raise BodyTooLargeError(f"a webhook has at most {MAX_WEBHOOK} bytes")
    return bytes(body)
