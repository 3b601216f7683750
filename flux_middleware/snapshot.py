"""What crosses the network, and what the local store keeps: frozen values and their JSON.

Everything is normalized: the catalog says what a plan version grants, an organization's record names the plan
versions it subscribes to, so editing a plan is one change however many organizations have it. Times are whole
seconds since the epoch (UTC). Unknown fields are ignored, so a newer server may add some; a newer *major*
schema is refused (`require_schema`).
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Final, Literal, TypeVar

import msgspec

from flux_middleware.errors import InvalidOrganizationError, InvalidRecordError, SchemaVersionError

__all__ = [
    "SCHEMA",
    "UNLIMITED",
    "Catalog",
    "CatalogChanged",
    "Change",
    "Feature",
    "FeatureValue",
    "Grant",
    "Heartbeat",
    "Hello",
    "Metric",
    "OrganizationChanged",
    "OrganizationRecord",
    "OrganizationRemoved",
    "Override",
    "PlanVersion",
    "SlotError",
    "SnapshotEnd",
    "SnapshotHeader",
    "SnapshotLine",
    "StatusPolicy",
    "Subscription",
    "SubscriptionItem",
    "Unlimited",
    "UsageBatch",
    "UsageReceipt",
    "UsageSlot",
    "UsageStanding",
    "UsageUpdate",
    "WireValue",
    "decode",
    "encode",
    "feature_value",
    "plan_version_id",
    "require_key",
    "require_organization",
    "require_schema",
    "wire_value",
]

SCHEMA: Final = "1.0"
"""Schema of snapshot, stream and usage as `major.minor`."""

_KEY = re.compile(r"[a-z0-9.-]{1,64}\Z")
_MAX_ORGANIZATION_BYTES = 255


class Unlimited(float):
    """The number no usage reaches; compares, adds and formats as infinity."""

    def __new__(cls) -> Unlimited:
        return super().__new__(cls, "inf")

    def __repr__(self) -> str:
        return "UNLIMITED"

    def __reduce__(self) -> str:
        return "UNLIMITED"


UNLIMITED: Final = Unlimited()

WireValue = bool | int | Literal["unlimited"]
FeatureValue = bool | int | Unlimited


def feature_value(value: WireValue) -> FeatureValue:
    """Return the value as applications see it."""
    return UNLIMITED if isinstance(value, str) else value


def wire_value(value: FeatureValue) -> WireValue:
    """Return the value as it crosses the network."""
    return "unlimited" if isinstance(value, Unlimited) else value


def require_key(key: str) -> str:
    """Return `key` if it can name a feature, metric or plan: 1 to 64 of `[a-z0-9.-]`.

    Raises:
        InvalidRecordError: it cannot.
    """
    if not _KEY.match(key):
        raise InvalidRecordError(f"a key is 1 to 64 of a-z, 0-9, '.' and '-', not {key!r:.100}")
    return key


def require_organization(organization: object) -> str:
    """Return `organization` if it can be an organization's id: 1 to 255 bytes of UTF-8 without NUL.

    Raises:
        InvalidOrganizationError: it cannot.
    """
    if not isinstance(organization, str) or not organization or "\0" in organization:
        raise InvalidOrganizationError(organization)
    try:
        size = len(organization.encode())
    except UnicodeEncodeError as error:  # a lone surrogate, from undecodable input
        raise InvalidOrganizationError(organization) from error
    if size > _MAX_ORGANIZATION_BYTES:
        raise InvalidOrganizationError(organization)
    return organization


def require_schema(offered: str) -> None:
    """Refuse a schema whose major version is newer than ours.

    Raises:
        SchemaVersionError: this library is too old for the server.
    """
    major, _, _ = offered.partition(".")
    if not major.isdigit() or int(major) > int(SCHEMA.partition(".")[0]):
        raise SchemaVersionError(offered, SCHEMA)


class _Value(msgspec.Struct, frozen=True, omit_defaults=True):
    """A frozen value whose defaults are left out of its JSON."""


class Feature(_Value, frozen=True):
    """A named capability (`boolean`) or number (`limit`) that plans can grant.

    `merge` says how several live contributions combine: booleans `any`; limits `sum`, `max`, `min` or
    `base_plus_addons` (the largest base plan's number plus every add-on's). A limit that names a `metric` is
    used up by that metric's usage and starts afresh every `reset`.
    """

    key: str
    kind: Literal["boolean", "limit"]
    name: str = ""
    merge: Literal["any", "base_plus_addons", "sum", "max", "min"] = "base_plus_addons"
    metric: str | None = None
    reset: Literal["billing", "day", "week", "month", "year", "never"] = "billing"


class Metric(_Value, frozen=True):
    """Something that is counted, and how its counts combine over time."""

    key: str
    name: str = ""
    unit: str = ""
    aggregation: Literal["sum"] = "sum"


class Grant(_Value, frozen=True):
    """One feature's value in a plan version; `per_unit` numbers are multiplied by the item's quantity."""

    feature: str
    value: WireValue
    per_unit: bool = False


class PlanVersion(_Value, frozen=True):
    """What one published version of a plan grants. Never changes, except to say which version replaced it."""

    id: str
    plan: str
    version: int
    kind: Literal["base", "addon"] = "base"
    grants: tuple[Grant, ...] = ()
    replaced_by: str | None = None


def plan_version_id(plan: str, version: int) -> str:
    """Return the id that records use for a plan version: `pro@2`."""
    return f"{plan}@{version}"


class StatusPolicy(_Value, frozen=True):
    """How an environment reads the times of a subscription; seconds.

    `leeway` keeps access after a period or trial ends, while its renewal is on the way; `grace` after a payment
    first failed.
    """

    leeway: int = 3 * 86_400
    grace: int = 7 * 86_400


class Catalog(_Value, frozen=True, dict=True):
    """Everything an environment sells, and the rules that are the same for all its organizations."""

    features: tuple[Feature, ...] = ()
    metrics: tuple[Metric, ...] = ()
    plan_versions: tuple[PlanVersion, ...] = ()
    default_plan: str | None = None
    policy: StatusPolicy = StatusPolicy()

    @cached_property
    def feature_by_key(self) -> dict[str, Feature]:
        return {feature.key: feature for feature in self.features}

    @cached_property
    def metric_by_key(self) -> dict[str, Metric]:
        return {metric.key: metric for metric in self.metrics}

    @cached_property
    def plan_version_by_id(self) -> dict[str, PlanVersion]:
        return {version.id: version for version in self.plan_versions}

    def effective_version(self, plan_version: str) -> PlanVersion | None:
        """Follow `replaced_by` to the version in force; None if the catalog has no such version."""
        version = self.plan_version_by_id.get(plan_version)
        while version and version.replaced_by and version.replaced_by in self.plan_version_by_id:
            version = self.plan_version_by_id[version.replaced_by]
        return version


class SubscriptionItem(_Value, frozen=True):
    """One line of a subscription, already matched to a plan version by the catalog.

    A `metered` item bills usage; it grants its plan only where no other item of the subscription does.
    """

    id: str
    plan_version: str
    quantity: int = 1
    price: str = ""
    metered: bool = False
    period_start: int | None = None
    period_end: int | None = None


class Subscription(_Value, frozen=True):
    """What an organization subscribed to, in the processor's status words.

    `cancel_at` is when access is already known to end, `ended_at` when it did, `past_due_since` when a payment
    first failed.
    """

    id: str
    status: str
    items: tuple[SubscriptionItem, ...] = ()
    started_at: int | None = None
    trial_end: int | None = None
    cancel_at: int | None = None
    ended_at: int | None = None
    past_due_since: int | None = None


class Override(_Value, frozen=True):
    """One organization's exception: `set` replaces the merged value, `add` adds to it, `deny` wins over all."""

    id: str
    feature: str
    effect: Literal["set", "add", "deny"]
    value: WireValue | None = None
    until: int | None = None
    author: str = ""
    reason: str = ""


class OrganizationRecord(_Value, frozen=True, tag="organization"):
    """Everything that decides one organization's entitlements besides the catalog and the time."""

    id: str
    revision: int = 0
    subscriptions: tuple[Subscription, ...] = ()
    overrides: tuple[Override, ...] = ()


# GET /v1/snapshot: one header line, a line an organization, one end line. Without the end line it was cut short.


class SnapshotHeader(_Value, frozen=True, tag="header"):
    """First line of a snapshot. `instance` changes when the server's database was made anew."""

    schema: str
    environment: str
    instance: str
    revision: int
    catalog: Catalog


class SnapshotEnd(_Value, frozen=True, tag="end"):
    """Last line of a snapshot: how many organizations went before it."""

    organizations: int


SnapshotLine = SnapshotHeader | OrganizationRecord | SnapshotEnd


# GET /v1/stream: server-sent events. `change` carries a Change under its revision as event id; `hello` opens,
# `heartbeat` repeats the newest revision, `usage` carries a UsageUpdate, `resync` asks for a new snapshot.


class Hello(_Value, frozen=True):
    """First event of a stream."""

    schema: str
    environment: str
    instance: str
    revision: int


class Heartbeat(_Value, frozen=True, omit_defaults=False):
    """Sent when nothing else was; a follower behind `revision` has missed a push and reconnects."""

    revision: int


class CatalogChanged(_Value, frozen=True, tag="catalog"):
    """The catalog as it stands at `revision` or later."""

    revision: int
    catalog: Catalog


class OrganizationChanged(_Value, frozen=True, tag="organization"):
    """One organization's record as it stands at `revision` or later."""

    revision: int
    record: OrganizationRecord


class OrganizationRemoved(_Value, frozen=True, tag="organization-removed"):
    """The organization is no longer known; it has what the default plan gives."""

    revision: int
    organization: str


Change = CatalogChanged | OrganizationChanged | OrganizationRemoved


# POST /v1/usage: totals under the sending journal's source id, never increments.


class UsageSlot(_Value, frozen=True, omit_defaults=False):
    """All that one source has counted for (organization, metric) since `bucket`, the bucket's first second."""

    organization: str
    metric: str
    bucket: int
    total: int


class UsageBatch(_Value, frozen=True):
    """One source's totals; sending them again, or in another order, changes nothing."""

    source: str
    slots: tuple[UsageSlot, ...]


class UsageStanding(_Value, frozen=True, omit_defaults=False):
    """What an organization used of a metric in its current period, all sources together."""

    organization: str
    metric: str
    period_start: int
    quantity: int


class SlotError(_Value, frozen=True, omit_defaults=False):
    """Why one slot of a batch was not taken; the others were."""

    index: int
    code: str
    detail: str


class UsageReceipt(_Value, frozen=True, omit_defaults=False):
    """Answer to a batch: every slot without an error is kept for good.

    The standings are those of `usage_revision`, so that an older push that comes later does not undo them.
    """

    accepted: int
    errors: tuple[SlotError, ...] = ()
    standings: tuple[UsageStanding, ...] = ()
    usage_revision: int = 0


class UsageUpdate(_Value, frozen=True, omit_defaults=False):
    """Standings that changed up to `usage_revision`, pushed to every host."""

    usage_revision: int
    standings: tuple[UsageStanding, ...]


T = TypeVar("T")

_encoder = msgspec.json.Encoder()


def encode(value: msgspec.Struct) -> bytes:
    """Return the value's JSON, on one line."""
    return _encoder.encode(value)


def decode(data: bytes | str, kind: type[T]) -> T:
    """Parse JSON into `kind`.

    Raises:
        InvalidRecordError: the JSON is malformed or does not fit.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InvalidRecordError(f"not a {getattr(kind, '__name__', kind)}: {error}") from error
