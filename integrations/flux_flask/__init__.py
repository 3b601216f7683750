"""Gates and meters the views of Flask applications."""

from flux_flask.decorators import meters, requires_entitlement
from flux_flask.extension import Flux
from flux_middleware.gate import Denial

__all__ = ["Denial", "Flux", "meters", "requires_entitlement"]
