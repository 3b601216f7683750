"""Gates and meters the views of Django projects; `flux_django.middleware.FluxMiddleware` belongs in MIDDLEWARE."""

from flux_django.decorators import meters, requires_entitlement
from flux_middleware.gate import Denial

__all__ = ["Denial", "meters", "requires_entitlement"]
