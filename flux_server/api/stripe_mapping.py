"""What Stripe knows and Flux cannot place yet: subscriptions of nobody known, prices of no plan, what is sold there."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from flux_server.api.catalog_document import document_content, read_document_body
from flux_server.api.dependencies import Caller, DatabaseOf, requires_scope
from flux_server.api.pages import Cursor, Limit, cut, read_cursor
from flux_server.api.problems import problem_responses
from flux_server.api.stripe_webhooks import ConnectorOf
from flux_server.stripe.catalog_proposals import propose_from_stripe
from flux_server.stripe.reading import describe_unmapped_prices, list_unmapped_subscriptions

__all__ = ["router"]

router = APIRouter(prefix="/v1/stripe", tags=["stripe"], responses=problem_responses(401, 403))

Reader = Annotated[Caller, Depends(requires_scope("read"))]
Admin = Annotated[Caller, Depends(requires_scope("admin"))]


class UnmappedSubscriptionAnswer(BaseModel):
    """A subscription that gives nothing to anybody until somebody says whose it is."""

    model_config = ConfigDict(from_attributes=True)

    subscription: str
    customer: str
    customer_name: str | None
    customer_email: str | None
    status: str
    since: int = Field(description="When the subscription began.")
    advice: str = Field(description="What to do, for people.")


class UnmappedSubscriptionsAnswer(BaseModel):
    """A page of subscriptions of nobody known, by id; `next_cursor` asks for the one after it."""

    subscriptions: list[UnmappedSubscriptionAnswer]
    next_cursor: str | None


class UnmappedPriceAnswer(BaseModel):
    """A price that somebody pays and no plan is sold by."""

    model_config = ConfigDict(from_attributes=True)

    price: str
    subscriptions: int = Field(description="How many wait for it.")
    since: int = Field(description="When the first of them began.")
    description: str
    lookup_key: str | None
    product: str | None
    product_name: str | None
    advice: str = Field(description="What to do, for people.")


class UnmappedPricesAnswer(BaseModel):
    """A page of prices of no plan, by id; `next_cursor` asks for the one after it."""

    prices: list[UnmappedPriceAnswer]
    next_cursor: str | None


@router.get("/unmapped", responses=problem_responses(422))
async def list_all_unmapped_subscriptions(
    database: DatabaseOf, caller: Reader, cursor: Cursor = "", limit: Limit = 50
) -> UnmappedSubscriptionsAnswer:
    """List subscriptions of which nobody has said which organization they belong to."""
    async with database.read() as connection:
        found = await list_unmapped_subscriptions(
            connection, caller.environment, after=read_cursor(cursor), limit=limit + 1
        )
    page, next_cursor = cut(found, limit, lambda each: each.subscription)
    return UnmappedSubscriptionsAnswer(
        subscriptions=[UnmappedSubscriptionAnswer.model_validate(each) for each in page],
        next_cursor=next_cursor,
    )


@router.get("/unmapped-prices", responses=problem_responses(422))
async def list_unmapped_prices(
    database: DatabaseOf, caller: Reader, cursor: Cursor = "", limit: Limit = 50
) -> UnmappedPricesAnswer:
    """List prices that somebody pays and no plan is sold by."""
    async with database.read() as connection:
        found = await describe_unmapped_prices(
            connection, caller.environment, after=read_cursor(cursor), limit=limit + 1
        )
    page, next_cursor = cut(found, limit, lambda each: each.price)
    return UnmappedPricesAnswer(
        prices=[UnmappedPriceAnswer.model_validate(each) for each in page], next_cursor=next_cursor
    )


@router.post(
    "/catalog",
    response_class=Response,
    openapi_extra={"requestBody": {**document_content("CatalogDocument"), "required": False}},
    responses={
        200: {"description": "The proposal.", **document_content("Proposal")},
        **problem_responses(404, 413, 422, 503),
    },
)
async def propose_stripe_catalog(request: Request, connector: ConnectorOf, caller: Admin) -> Response:
    """Return the document in the body, or what is live, with what the account sells added as drafts; write nothing."""
    base = await read_document_body(request) if await request.body() else None
    proposal = await propose_from_stripe(connector, caller.environment, base)
    return Response(msgspec.json.encode(proposal), media_type="application/json")
