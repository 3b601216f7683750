"""Gates and meters the routes of Starlette, FastAPI and other ASGI applications."""

from flux_asgi.decorators import Meters, RequiresEntitlement, meters, requires_entitlement
from flux_asgi.middleware import FluxMiddleware
from flux_middleware.errors import EntitlementRequired
from flux_middleware.gate import Denial

__all__ = [
    "Denial",
    "EntitlementRequired",
    "FluxMiddleware",
    "Meters",
    "RequiresEntitlement",
    "meters",
    "requires_entitlement",
]
