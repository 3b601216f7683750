"""A Starlette application with a gated route, a metered route, and one that is both.

FLUX_API_KEY=flux_test_… uvicorn --factory examples.starlette_app:create_app
curl -H 'Authorization: Bearer acme-token' http://127.0.0.1:8000/search
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Scope

import flux
from flux_asgi import FluxMiddleware, meters, requires_entitlement
from flux_middleware.gate import Client

TOKENS = {b"Bearer acme-token": "acme", b"Bearer globex-token": "globex"}


def organization_of(scope: Scope) -> str | None:
    """Find out whose plan counts; the application's own authentication knows."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            return TOKENS.get(value)
    return None


@requires_entitlement("sso")
async def sso(request: Request) -> Response:
    return JSONResponse({"identity_provider": "https://login.example"})


@meters("api-calls")
async def search(request: Request) -> Response:
    if "q" not in request.query_params:
        return JSONResponse({"error": "what shall be searched for?"}, 400)  # not counted
    return JSONResponse({"results": [request.query_params["q"]]})


@requires_entitlement("audit-logs")
@meters("api-calls")
def audit_log(request: Request) -> Response:
    return JSONResponse({"entries": []})


def create_app(client: Client | None = None) -> Starlette:
    """Return the application; it reads FLUX_API_KEY and FLUX_URL unless it is given a client."""
    app = Starlette(
        routes=[Route("/sso", sso), Route("/search", search), Route("/audit-log", audit_log)],
    )
    app.add_middleware(FluxMiddleware, organization=organization_of, client=client or flux.init())
    return app
