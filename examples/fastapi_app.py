"""A FastAPI application: decorators on endpoints, and the same as dependencies of a router.

FLUX_API_KEY=flux_test_… uvicorn --factory examples.fastapi_app:create_app
curl -H 'Authorization: Bearer acme-token' 'http://127.0.0.1:8000/search?q=flux'
"""

from __future__ import annotations

from fastapi import APIRouter, Depends, FastAPI
from pydantic import BaseModel
from starlette.types import Scope

import flux
from flux_asgi import FluxMiddleware, Meters, RequiresEntitlement, meters, requires_entitlement
from flux_middleware.gate import Client

TOKENS = {b"Bearer acme-token": "acme", b"Bearer globex-token": "globex"}


def organization_of(scope: Scope) -> str | None:
    """Find out whose plan counts; the application's own authentication knows."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            return TOKENS.get(value)
    return None


class Results(BaseModel):
    results: list[str]


router = APIRouter()
audit = APIRouter(dependencies=[Depends(RequiresEntitlement("audit-logs")), Depends(Meters("api-calls"))])


@router.get("/sso")
@requires_entitlement("sso")
async def sso() -> dict[str, str]:
    return {"identity_provider": "https://login.example"}


@router.get("/search")
@meters("api-calls")
async def search(q: str) -> Results:
    return Results(results=[q])


@audit.get("/audit-log")
def audit_log() -> dict[str, list[str]]:
    return {"entries": []}


def create_app(client: Client | None = None) -> FastAPI:
    """Return the application; it reads FLUX_API_KEY and FLUX_URL unless it is given a client."""
    app = FastAPI()
    app.include_router(router)
    app.include_router(audit)
    app.add_middleware(FluxMiddleware, organization=organization_of, client=client or flux.init())
    return app
