"""The application of the demo: what a team that uses Flux writes.

Run by `scripts/demo` as `uvicorn examples.demo.app:app --workers 2`, with FLUX_API_KEY and FLUX_URL set.
"""

from __future__ import annotations

import os

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Scope

import flux
from flux_asgi import FluxMiddleware, meters, requires_entitlement

flux.init()


def organization(scope: Scope) -> str | None:
    """Say who is asking. A real application takes this from its session; the demo trusts a header."""
    headers = dict(scope["headers"])
    return headers.get(b"x-organization", b"").decode() or None


@requires_entitlement("sso")
async def sso(request: Request) -> JSONResponse:
    return JSONResponse({"sso": "welcome", "worker": os.getpid()})


@meters("api-calls")
async def search(request: Request) -> JSONResponse:
    if request.query_params.get("q") is None:
        return JSONResponse({"error": "say what to look for: ?q=", "worker": os.getpid()}, status_code=400)
    return JSONResponse({"results": [], "worker": os.getpid()})


async def usage(request: Request) -> JSONResponse:
    used = flux.billing.get_usage(request.path_params["organization"], "api-calls")
    return JSONResponse({"quantity": used.quantity, "worker": os.getpid()})


async def why(request: Request) -> JSONResponse:
    explanation = flux.billing.explain(request.path_params["organization"], request.path_params["feature"])
    return JSONResponse({"why": str(explanation).splitlines(), "worker": os.getpid()})


async def worker(request: Request) -> JSONResponse:
    """Which worker answers, and does it know the catalog yet?"""
    return JSONResponse({"ready": flux.wait_until_ready(0), "worker": os.getpid()})


app = Starlette(
    routes=[
        Route("/sso", sso),
        Route("/v1/search", search),
        Route("/usage/{organization}", usage),
        Route("/why/{organization}/{feature}", why),
        Route("/worker", worker),
    ],
    middleware=[Middleware(FluxMiddleware, organization=organization)],
)
