"""A Flask application with a gated route, a metered route, and one that is both.

FLUX_API_KEY=flux_test_… flask --app examples.flask_app run
curl -H 'Authorization: Bearer acme-token' 'http://127.0.0.1:5000/search?q=flux'
"""

from __future__ import annotations

from typing import Any

import flask

import flux
from flux_flask import Flux, meters, requires_entitlement
from flux_middleware.gate import Client

TOKENS = {"Bearer acme-token": "acme", "Bearer globex-token": "globex"}

blueprint = flask.Blueprint("api", __name__)


def organization_of(request: flask.Request) -> str | None:
    """Find out whose plan counts; the application's own authentication knows."""
    return TOKENS.get(request.headers.get("Authorization", ""))


@blueprint.get("/sso")
@requires_entitlement("sso")
def sso() -> dict[str, Any]:
    return {"identity_provider": "https://login.example"}


@blueprint.get("/search")
@meters("api-calls")
def search() -> dict[str, Any] | tuple[dict[str, Any], int]:
    if "q" not in flask.request.args:
        return {"error": "what shall be searched for?"}, 400  # not counted
    return {"results": [flask.request.args["q"]]}


@blueprint.get("/audit-log")
@requires_entitlement("audit-logs")
@meters("api-calls")
def audit_log() -> dict[str, Any]:
    return {"entries": []}


def create_app(client: Client | None = None) -> flask.Flask:
    """Return the application; it reads FLUX_API_KEY and FLUX_URL unless it is given a client."""
    app = flask.Flask(__name__)
    app.register_blueprint(blueprint)
    Flux(app, organization=organization_of, client=client or flux.init())
    return app
