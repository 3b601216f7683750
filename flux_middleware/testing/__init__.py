"""For tests of applications: Flux in memory, with the real rules; no server, no file, no thread."""

from flux_middleware.catalog import Catalog
from flux_middleware.snapshot import OrganizationRecord
from flux_middleware.testing.block import Block
from flux_middleware.testing.blocks import current, in_memory, override_entitlement, override_plan, usage
from flux_middleware.testing.client import InMemoryFlux
from flux_middleware.testing.clock import Clock

__all__ = [
    "Block",
    "Catalog",
    "Clock",
    "InMemoryFlux",
    "OrganizationRecord",
    "current",
    "in_memory",
    "override_entitlement",
    "override_plan",
    "usage",
]
