"""The link to Stripe: making and ending it, how it is, and what can be asked for by hand."""

from __future__ import annotations

from fastapi import APIRouter, Response

from flux_server.dashboard.forms import Form
from flux_server.dashboard.visits import EnvironmentsVisit, EnvironmentVisit, UsersForm
from flux_server.stripe.dirty import oldest_mark
from flux_server.stripe.events import FOLLOWED_TYPES, THIN_TYPES
from flux_server.stripe.forwarder import forward
from flux_server.stripe.link import DEFAULT_METADATA_KEY, Link, read_link, require_link
from flux_server.stripe.linking import end_link, set_link
from flux_server.stripe.outbox import count_outbox
from flux_server.stripe.permissions import PERMISSIONS
from flux_server.stripe.reading import list_failed_reads
from flux_server.stripe.sweeps import start_sweep
from flux_server.stripe.webhook_secrets import list_secrets, remove_secret

__all__ = ["router"]

router = APIRouter(default_response_class=Response)

_MOST = 50


@router.get("/{environment}/stripe")
async def show_stripe(visit: EnvironmentsVisit) -> Response:
    """Show the link and its state."""
    return await _page(visit)


@router.post("/{environment}/stripe")
async def link_stripe(visit: EnvironmentsVisit, form: UsersForm) -> Response:
    """Link the environment, or change its link. What is left empty stays as it is; the key is tried first."""
    with form.tried():
        await set_link(
            visit.site.connector,
            visit.key,
            api_key=form.text("api_key") or None,
            webhook_secret=form.text("webhook_secret") or None,
            thin_secret=form.text("thin_secret") or None,
            metadata_key=form.text("metadata_key") or None,
            stripe_entitlements=form.text("stripe_entitlements") == "yes",
        )
        return visit.goto(visit.address("stripe"), say="Stripe is linked. All subscriptions are being read.")
    return await _page(visit, form)


@router.post("/{environment}/stripe/unlink")
async def unlink_stripe(visit: EnvironmentsVisit, form: UsersForm) -> Response:  # noqa: ARG001  asking for it checks it
    """End the link, forget its secrets, and remove the webhook endpoint that Flux made."""
    left = await end_link(visit.site.connector, visit.key, visit.user.email)
    said = "The link is ended and its secrets are forgotten."
    return visit.goto(visit.address("stripe"), say=f"{said} But {left}." if left else said)


@router.post("/{environment}/stripe/secrets/remove")
async def remove_webhook_secret(visit: EnvironmentsVisit, form: UsersForm) -> Response:
    """Take webhooks by a signing secret no more."""
    async with visit.write() as connection:
        await remove_secret(connection, visit.key, form.text("id"), visit.now)
    return visit.goto(visit.address("stripe"), say="Webhooks are no longer taken by that secret.")


@router.post("/{environment}/stripe/sync")
async def sync_stripe(visit: EnvironmentsVisit, form: UsersForm) -> Response:  # noqa: ARG001  asking for it checks it
    """Have every subscription read again, soon."""
    async with visit.write() as connection:
        await require_link(connection, visit.key)
        await start_sweep(connection, visit.key, "asked", visit.now)
    return visit.goto(visit.address("stripe/drift"), say="All subscriptions are being read again.")


@router.post("/{environment}/stripe/forward")
async def forward_usage(visit: EnvironmentsVisit, form: UsersForm) -> Response:
    """Forward usage now, and say what was done."""
    with form.tried():
        async with visit.read() as connection:
            await require_link(connection, visit.key)
        done = await forward(visit.site.connector, visit.key)
        said = f"Usage: {done.sent} sent, {done.retried} to be tried again, {done.dead} refused."
        return visit.goto(visit.address("stripe"), say=said)
    return await _page(visit, form)


def _values(link: Link | None) -> dict[str, str]:
    if link is None:
        return {"metadata_key": DEFAULT_METADATA_KEY}
    chosen = {"stripe_entitlements": "yes"} if link.stripe_entitlements else {}
    return {"metadata_key": link.metadata_key, **chosen}


async def _page(visit: EnvironmentVisit, form: Form | None = None) -> Response:
    async with visit.read() as connection:
        link = await read_link(connection, visit.key)
        waiting, _ = await oldest_mark(connection, visit.key, visit.now)
        shown = {
            "failed": await list_failed_reads(connection, visit.key, _MOST),
            "outbox": await count_outbox(connection, visit.key),
            "secrets": await list_secrets(connection, visit.key, visit.now),
        }
    form = form or Form.of(_values(link))
    return visit.page(
        "stripe.html",
        status=200 if form.ok else form.status,
        section="stripe",
        followed=FOLLOWED_TYPES,
        thin=THIN_TYPES,
        needed=[each.resource for each in PERMISSIONS if each.is_needed],
        optional=[f"{each.access} {each.resource}" for each in PERMISSIONS if not each.is_needed],
        form=form,
        link=link,
        waiting=waiting,
        webhook_url=visit.site.connector.webhook_url(link.token) if link else "",
        **shown,
    )
