"""API keys: the list, making one, whose secret is shown this once, and revoking one."""

from __future__ import annotations

from fastapi import APIRouter, Response

from flux_server.dashboard.forms import Form
from flux_server.dashboard.visits import EnvironmentsVisit, EnvironmentVisit, UsersForm
from flux_server.environments.api_keys import create_api_key, list_api_keys, revoke_api_key

__all__ = ["router"]

router = APIRouter(default_response_class=Response)

SCOPES = [
    ("sdk", "Application (sdk)", "Reads entitlements and reports usage: what your application needs."),
    ("read", "Read only (read)", "Reads everything over the API."),
    ("admin", "Everything (admin)", "Also changes plans, organizations and the Stripe link over the API."),
]


@router.get("/{environment}/api-keys")
async def show_api_keys(visit: EnvironmentsVisit) -> Response:
    """List the keys, without their secrets."""
    return await _page(visit, Form.of({"scope": "sdk"}))


@router.post("/{environment}/api-keys")
async def make_api_key(visit: EnvironmentsVisit, form: UsersForm) -> Response:
    """Make a key and show its secret in this very answer: it is kept nowhere to be shown after a redirect."""
    name = form.text("name", required="say what it is for, like “web in production”")
    scope = form.choice("scope", {scope for scope, _, _ in SCOPES})
    if form.ok:
        with form.tried():
            async with visit.write() as connection:
                made, secret = await create_api_key(
                    connection, visit.key, name=name, scope=scope, now=visit.now
                )
            return visit.page(
                "api_key.html",
                status=201,
                section="api-keys",
                made=made,
                secret=secret,
                url=visit.site.settings.url,
            )
    return await _page(visit, form)


@router.post("/{environment}/api-keys/revoke")
async def revoke(visit: EnvironmentsVisit, form: UsersForm) -> Response:
    """Refuse a key from now on."""
    async with visit.write() as connection:
        await revoke_api_key(connection, visit.key, form.typed("key"), now=visit.now)
    return visit.goto(visit.address("api-keys"), say="The key is revoked.")


async def _page(visit: EnvironmentVisit, form: Form) -> Response:
    async with visit.read() as connection:
        keys = await list_api_keys(connection, visit.key)
    return visit.page(
        "api_keys.html",
        status=200 if form.ok else form.status,
        section="api-keys",
        form=form,
        keys=sorted(keys, key=lambda key: key.revoked_at is not None),
        scopes=SCOPES,
    )
