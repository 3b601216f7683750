"""Stripe over HTTP: the link, the mapping of customers, webhooks, and what can be asked for by hand."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from flux_server.api.dependencies import Caller, Clock, DatabaseOf, requires_scope
from flux_server.api.fields import Text
from flux_server.api.problems import problem_responses
from flux_server.api.stripe_webhooks import ConnectorOf
from flux_server.stripe.connector import Connector
from flux_server.stripe.customers import map_customer, unmap_customer
from flux_server.stripe.forwarder import forward
from flux_server.stripe.link import Link, require_link
from flux_server.stripe.link_forms import require_webhook_secret
from flux_server.stripe.linking import end_link, set_link
from flux_server.stripe.webhook_secrets import add_secret, list_secrets, remove_secret

__all__ = ["router"]

router = APIRouter(prefix="/v1/stripe", tags=["stripe"])

Reader = Annotated[Caller, Depends(requires_scope("read"))]
Admin = Annotated[Caller, Depends(requires_scope("admin"))]


class LinkBody(BaseModel):
    """What to link with; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    api_key: SecretStr | None = Field(None, description="A restricted key (rk_…) of the Stripe account.")
    webhook_secret: SecretStr | None = Field(
        None,
        description="The signing secret (whsec_…) of a webhook endpoint that you made in Stripe yourself.",
    )
    thin_secret: SecretStr | None = Field(
        None, description="The signing secret (whsec_…) of a destination of thin events."
    )
    metadata_key: Text | None = Field(
        None, description="Which metadata of a customer names the organization; at first `organization_id`."
    )
    endpoint: bool | None = Field(
        None,
        description="Whether Flux makes its own webhook endpoint in Stripe. Left out, it does unless the secret of "
        "another was given.",
    )
    stripe_entitlements: bool | None = Field(
        None, description="Whether Stripe's own active entitlements grant features too; at first they do not."
    )


class PermissionAnswer(BaseModel):
    """Something that the key may do, or not. `unproven`: nothing tried it yet; `absent`: there is no such thing."""

    model_config = ConfigDict(from_attributes=True)

    name: str = Field(description="As Stripe's refusals call it.")
    resource: str
    access: Literal["read", "write"]
    state: Literal["granted", "missing", "unproven", "absent"]
    without: str = Field(description="What does not work without it; empty: nothing would.")


class WebhookSecretAnswer(BaseModel):
    """A signing secret that webhooks are taken by; it cannot be read again."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    shown: str = Field(description="The last four characters; empty if they were not kept.")
    kind: Literal["snapshot", "thin"]
    added_at: int
    expires_at: int | None = Field(description="Of one that was replaced: until when it is still taken.")


class WebhookSecretsAnswer(BaseModel):
    """The signing secrets in force, the newest first."""

    webhook_secrets: list[WebhookSecretAnswer]


class WebhookSecretBody(BaseModel):
    """A signing secret to take from now on; one of the same kind that it replaces is taken for a day more."""

    model_config = ConfigDict(extra="forbid")

    secret: SecretStr = Field(description="whsec_…")
    kind: Literal["snapshot", "thin"] = Field(
        "snapshot", description="What the endpoint sends: snapshot events, or thin ones."
    )


class UnlinkAnswer(BaseModel):
    """The link has ended."""

    left: str | None = Field(description="What is left in Stripe to be removed by hand, and why.")


class LinkAnswer(BaseModel):
    """The link. Of its secrets only the kind and the last four characters are ever shown."""

    account: str
    livemode: bool
    api_key: str
    has_webhook_secret: bool
    webhook_url: str = Field(description="Where Stripe must send events to.")
    endpoint: str | None = Field(description="The webhook endpoint in Stripe that Flux made for itself.")
    endpoint_problem: str | None = Field(description="Why it made none, or what is wrong with it.")
    status: Literal["active", "paused", "pending_secret"]
    paused_reason: str | None
    forwarding_paused: str | None = Field(description="Why usage is not sent, though the rest works.")
    metadata_key: str
    stripe_entitlements: bool
    permissions: list[PermissionAnswer]
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


@router.put("/link", responses=problem_responses(401, 403, 409, 422, 503))
async def put_stripe_link(body: LinkBody, connector: ConnectorOf, caller: Admin) -> LinkAnswer:
    """Link the environment to a Stripe account, or change its link; the key is tried first."""
    link = await set_link(
        connector,
        caller.environment,
        api_key=_revealed(body.api_key),
        webhook_secret=_revealed(body.webhook_secret),
        thin_secret=_revealed(body.thin_secret),
        metadata_key=body.metadata_key,
        endpoint=body.endpoint,
        stripe_entitlements=body.stripe_entitlements,
    )
    return _answer(connector, link)


@router.get("/link", responses=problem_responses(401, 403, 404))
async def read_stripe_link(connector: ConnectorOf, caller: Reader) -> LinkAnswer:
    """Return the environment's link."""
    async with connector.database.read() as connection:
        return _answer(connector, await require_link(connection, caller.environment))


@router.delete("/link", responses=problem_responses(401, 403, 404))
async def delete_stripe_link(connector: ConnectorOf, caller: Admin) -> UnlinkAnswer:
    """End the link, forget its secrets, and remove the webhook endpoint that Flux made."""
    return UnlinkAnswer(left=await end_link(connector, caller.environment, caller.actor))


@router.get("/webhook-secrets", responses=problem_responses(401, 403))
async def list_stripe_webhook_secrets(
    database: DatabaseOf, clock: Clock, caller: Reader
) -> WebhookSecretsAnswer:
    """Return which signing secrets webhooks are taken by; of each, the last four characters."""
    async with database.read() as connection:
        found = await list_secrets(connection, caller.environment, clock())
    return WebhookSecretsAnswer(webhook_secrets=[WebhookSecretAnswer.model_validate(each) for each in found])


@router.post("/webhook-secrets", status_code=201, responses=problem_responses(401, 403, 404, 422))
async def add_stripe_webhook_secret(
    body: WebhookSecretBody, connector: ConnectorOf, caller: Admin
) -> WebhookSecretAnswer:
    """Take webhooks by another signing secret, and by the one it replaces for a day."""
    secret, now = body.secret.get_secret_value(), connector.clock()
    require_webhook_secret(secret)
    async with connector.database.write(caller.actor) as connection:
        await require_link(connection, caller.environment)
        added = await add_secret(connection, connector.box, caller.environment, secret, body.kind, now)
    return WebhookSecretAnswer.model_validate(added)


@router.delete("/webhook-secrets/{secret}", status_code=204, responses=problem_responses(401, 403, 404))
async def delete_stripe_webhook_secret(
    secret: Text, database: DatabaseOf, clock: Clock, caller: Admin
) -> None:
    """Take webhooks by this signing secret no more."""
    async with database.write(caller.actor) as connection:
        await remove_secret(connection, caller.environment, secret, clock())


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


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _answer(connector: Connector, link: Link) -> LinkAnswer:
    return LinkAnswer(
        account=link.account,
        livemode=link.livemode,
        api_key=link.api_key_shown,
        has_webhook_secret=link.has_webhook_secret,
        webhook_url=connector.webhook_url(link.token),
        endpoint=link.endpoint,
        endpoint_problem=link.endpoint_problem,
        status=link.status,
        paused_reason=link.paused_reason,
        forwarding_paused=link.forwarding_paused,
        metadata_key=link.metadata_key,
        stripe_entitlements=link.stripe_entitlements,
        permissions=[PermissionAnswer.model_validate(each) for each in link.permissions],
        warnings=list(link.warnings),
    )
