"""Stripe over HTTP: the link, the mapping of customers, webhooks, and what can be asked for by hand."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Header, Path, Request
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from flux_server.api.dependencies import Caller, Clock, DatabaseOf, requires_scope
from flux_server.api.fields import Text
from flux_server.api.problems import problem_responses
from flux_server.errors import BodyTooLargeError
from flux_server.stripe.connector import Connector
from flux_server.stripe.customers import map_customer, unmap_customer
from flux_server.stripe.forwarder import forward
from flux_server.stripe.link import Link, require_link, set_link, unlink
from flux_server.stripe.webhooks import MAX_WEBHOOK, receive

__all__ = ["router"]

router = APIRouter(prefix="/v1/stripe", tags=["stripe"])

Reader = Annotated[Caller, Depends(requires_scope("read"))]
Admin = Annotated[Caller, Depends(requires_scope("admin"))]


def _get_connector(request: Request) -> Connector:
    return cast("Connector", request.app.state.stripe)


ConnectorOf = Annotated[Connector, Depends(_get_connector)]


class LinkBody(BaseModel):
    """What to link with; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    api_key: SecretStr | None = Field(None, description="A restricted key (rk_…) of the Stripe account.")
    webhook_secret: SecretStr | None = Field(None, description="The endpoint's signing secret (whsec_…).")
    metadata_key: Text | None = Field(
        None, description="Which metadata of a customer names the organization; at first `organization_id`."
    )


class LinkAnswer(BaseModel):
    """The link. Of its secrets only the kind and the last four characters are ever shown."""

    account: str
    livemode: bool
    api_key: str
    has_webhook_secret: bool
    webhook_url: str = Field(description="Where Stripe must send events to.")
    status: str
    paused_reason: str | None
    forwarding_paused: str | None = Field(description="Why usage is not sent, though the rest works.")
    metadata_key: str
    warnings: list[str]


class CustomerBody(BaseModel):
    """Whose customer it is."""

    model_config = ConfigDict(extra="forbid")

    organization: Text


class ForwardAnswer(BaseModel):
    """What the forwarder did."""

    model_config = ConfigDict(from_attributes=True)

    planned: int
    sent: int
    retried: int
    ambiguous: int
    dead: int


class ReceivedAnswer(BaseModel):
    """The event is kept."""

    received: bool = True


@router.put("/link", responses=problem_responses(401, 403, 409, 422, 503))
async def put_stripe_link(body: LinkBody, connector: ConnectorOf, caller: Admin) -> LinkAnswer:
    """Link the environment to a Stripe account, or change its link; the key is tried first."""
    link = await set_link(
        connector,
        caller.environment,
        api_key=_revealed(body.api_key),
        webhook_secret=_revealed(body.webhook_secret),
        metadata_key=body.metadata_key,
    )
    return _answer(connector, link)


@router.get("/link", responses=problem_responses(401, 403, 404))
async def read_stripe_link(connector: ConnectorOf, caller: Reader) -> LinkAnswer:
    """Return the environment's link."""
    async with connector.database.read() as connection:
        return _answer(connector, await require_link(connection, caller.environment))


@router.delete("/link", status_code=204, responses=problem_responses(401, 403, 404))
async def delete_stripe_link(database: DatabaseOf, caller: Admin) -> None:
    """End the link and forget its secrets."""
    async with database.write(caller.actor) as connection:
        await unlink(connection, caller.environment)


@router.put("/customers/{customer}", status_code=204, responses=problem_responses(401, 403, 422))
async def put_stripe_customer(
    customer: Annotated[Text, Path(max_length=255)],
    body: CustomerBody,
    database: DatabaseOf,
    clock: Clock,
    caller: Admin,
) -> None:
    """Say which organization a customer of Stripe is; what it subscribed to is provisioned at once."""
    async with database.write(caller.actor) as connection:
        await map_customer(connection, caller.environment, customer, body.organization, clock())


@router.delete("/customers/{customer}", status_code=204, responses=problem_responses(401, 403, 404))
async def delete_stripe_customer(
    customer: Annotated[Text, Path(max_length=255)], database: DatabaseOf, clock: Clock, caller: Admin
) -> None:
    """Take back which organization a customer is; what its metadata in Stripe says counts again."""
    async with database.write(caller.actor) as connection:
        await unmap_customer(connection, caller.environment, customer, clock())


@router.post("/forward", responses=problem_responses(401, 403, 404))
async def forward_usage(connector: ConnectorOf, caller: Admin) -> ForwardAnswer:
    """Forward usage now, and say what was done."""
    async with connector.database.read() as connection:
        await require_link(connection, caller.environment)
    return ForwardAnswer.model_validate(await forward(connector, caller.environment))


@router.post("/webhooks/{token}", responses=problem_responses(400, 404, 413))
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


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _answer(connector: Connector, link: Link) -> LinkAnswer:
    return LinkAnswer(
        account=link.account,
        livemode=link.livemode,
        api_key=link.api_key_shown,
        has_webhook_secret=link.has_webhook_secret,
        webhook_url=connector.webhook_url(link.token),
        status=link.status,
        paused_reason=link.paused_reason,
        forwarding_paused=link.forwarding_paused,
        metadata_key=link.metadata_key,
        warnings=list(link.warnings),
    )
