"""`/_sandbox/…`: what a test asks the sandbox about itself, and the clock to turn. No key is needed."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from flux_sandbox.passing import settle
from flux_sandbox.sandbox import Sandbox

__all__ = ["ROUTES"]


async def _violations(request: Request) -> JSONResponse:
    return JSONResponse({"data": [asdict(one) for one in reversed(_sandbox(request).api.violations)]})


async def _requests(request: Request) -> JSONResponse:
    return JSONResponse({"data": [asdict(one) for one in reversed(_sandbox(request).api.requests)]})


async def _clock(request: Request) -> JSONResponse:
    return JSONResponse({"now": _sandbox(request).account.clock.now()})


async def _turn_clock(request: Request) -> JSONResponse:
    account = _sandbox(request).account
    try:
        account.clock.advance(_seconds(await request.body()))
    except ValueError as error:
        return JSONResponse({"error": {"message": str(error)}}, status_code=400)
    settle(account)
    return JSONResponse({"now": account.clock.now()})


def _seconds(body: bytes) -> float:
    """Read how far to turn the clock."""
    asked: Any = json.loads(body or b"null")
    seconds = asked.get("advance") if isinstance(asked, dict) else None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise ValueError('send {"advance": SECONDS}')  # one kind of error for all bad bodies
    return seconds


def _sandbox(request: Request) -> Sandbox:
    sandbox: Sandbox = request.app.state.sandbox
    return sandbox


ROUTES: Final = (
    Route("/_sandbox/clock", _clock, methods=["GET"]),
    Route("/_sandbox/clock", _turn_clock, methods=["POST"]),
    Route("/_sandbox/requests", _requests, methods=["GET"]),
    Route("/_sandbox/violations", _violations, methods=["GET"]),
)
