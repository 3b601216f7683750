"""Flux: what each organization is entitled to, and how much it has used, answered in the application's process."""

from flux_middleware.answering import Billing
from flux_middleware.answers import Entitlement, Explanation, Limit, Status, Usage, UsageEvent
from flux_middleware.client import Flux, billing, flush, init, shutdown, status, wait_until_ready
from flux_middleware.decisions import Decision, DecisionReason
from flux_middleware.errors import (
    ConfigurationError,
    EntitlementRequired,
    FluxError,
    InvalidApiKeyError,
    InvalidOrganizationError,
    InvalidQuantityError,
    InvalidRecordError,
    JournalError,
    NotInitializedError,
    SchemaVersionError,
    ScopeError,
    ServerRefusedError,
    ServerUnreachableError,
    StoreError,
    TransportError,
)
from flux_middleware.keys import FeatureKey, LimitKey, MetricKey
from flux_middleware.snapshot import UNLIMITED

__all__ = [
    "UNLIMITED",
    "Billing",
    "ConfigurationError",
    "Decision",
    "DecisionReason",
    "Entitlement",
    "EntitlementRequired",
    "Explanation",
    "FeatureKey",
    "Flux",
    "FluxError",
    "InvalidApiKeyError",
    "InvalidOrganizationError",
    "InvalidQuantityError",
    "InvalidRecordError",
    "JournalError",
    "Limit",
    "LimitKey",
    "MetricKey",
    "NotInitializedError",
    "SchemaVersionError",
    "ScopeError",
    "ServerRefusedError",
    "ServerUnreachableError",
    "Status",
    "StoreError",
    "TransportError",
    "Usage",
    "UsageEvent",
    "billing",
    "flush",
    "init",
    "shutdown",
    "status",
    "wait_until_ready",
]
