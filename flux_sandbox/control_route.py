"""How `/_sandbox/…` is asked: JSON comes, JSON goes; what cannot be understood is refused with 400."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from flux_sandbox.errors import StripeError
from flux_sandbox.sandbox import Sandbox

__all__ = ["Asked", "control_route"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a sandbox."""

    sandbox: Sandbox
    body: bytes
    path: Mapping[str, str]
    query: Mapping[str, str]

    def read(self, type_: type[T]) -> T:
        """Read the body as a value of this type."""
        return msgspec.json.decode(self.body or b"{}", type=type_)


def control_route(
    method: str, path: str, answer: Callable[[Asked], Awaitable[Any]], *, status: int = 200
) -> Route:
    """Make a route of what answers with JSON, or with a ValueError, which is a refusal."""

    async def endpoint(request: Request) -> JSONResponse:
        asked = Asked(
            request.app.state.sandbox, await request.body(), request.path_params, request.query_params
        )
        try:
            return JSONResponse(await answer(asked), status_code=status)
        except (ValueError, msgspec.MsgspecError) as error:
            return JSONResponse({"error": {"message": str(error)}}, status_code=400)
        except StripeError as error:  # no such object, most often
            return JSONResponse(error.body(), status_code=error.status)

    return Route(path, endpoint, methods=[method])
