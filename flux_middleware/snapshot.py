"""What crosses the network, and what the local store keeps: organizations' records, and the messages around them.

Everything is normalized: the catalog says what a plan version grants, an organization's record names the plan
versions it subscribes to, so editing a plan is one change however many organizations have it. Times are whole
seconds since the epoch (UTC). The catalog's values (`catalog.py`) and their JSON (`wire.py`) are part of it, and
can be had from here.
"""

from __future__ import annotations

import re

from flux_middleware.catalog import (
    UNLIMITED,
    Catalog,
    Feature,
    FeatureValue,
    Grant,
    Metric,
    PlanVersion,
    StatusPolicy,
    Unlimited,
    WireValue,
    feature_value,
    plan_version_id,
    wire_value,
)
from flux_middleware.errors import InvalidOrganizationError, InvalidRecordError
from flux_middleware.wire import SCHEMA, WireStruct, decode, encode, require_schema

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
    "PauseCollection",
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

_KEY = re.compile(r"[a-z0-9.-]{1,64}\Z")
_MAX_ORGANIZATION_BYTES = 255


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


class SubscriptionItem(WireStruct, frozen=True):
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


class PauseCollection(WireStruct, frozen=True):
    """The processor collects no payments, and does `behavior` with what falls due (`void`: waives it).

    `since` is when that was first seen, `resumes_at` when it is known to end.
    """

    behavior: str
    since: int | None = None
    resumes_at: int | None = None


class Subscription(WireStruct, frozen=True):
    """What an organization subscribed to, in the processor's status words.

    `cancel_at` is when access is already known to end, `ended_at` when it did, `past_due_since` when a payment
    first failed. `unknown_status` is what the processor reports now, where `status` is kept from before because
    nobody knows what the new word means.
    """

    id: str
    status: str
    items: tuple[SubscriptionItem, ...] = ()
    started_at: int | None = None
    trial_end: int | None = None
    cancel_at: int | None = None
    ended_at: int | None = None
    past_due_since: int | None = None
    pause_collection: PauseCollection | None = None
    unknown_status: str = ""


class Override(WireStruct, frozen=True):
    """One organization's exception: `set` replaces the merged value, `add` adds to it, `deny` wins over all.

    It holds from `since` until `until`; an `enforcement` is that of the metered limit meanwhile.
    """

    id: str
    feature: str
    effect: str
    value: WireValue | None = None
    until: int | None = None
    author: str = ""
    reason: str = ""
    since: int | None = None
    enforcement: str = ""


class OrganizationRecord(WireStruct, frozen=True, tag="organization"):
    """Everything that decides one organization's entitlements besides the catalog and the time."""

    id: str
    revision: int = 0
    subscriptions: tuple[Subscription, ...] = ()
    overrides: tuple[Override, ...] = ()


# GET /v1/snapshot: one header line, a line an organization, one end line. Without the end line it was cut short.


class SnapshotHeader(WireStruct, frozen=True, tag="header"):
    """First line of a snapshot. `instance` changes when the server's database was made anew."""

    schema: str
    environment: str
    instance: str
    revision: int
    catalog: Catalog


class SnapshotEnd(WireStruct, frozen=True, tag="end"):
    """Last line of a snapshot: how many organizations went before it."""

    organizations: int


SnapshotLine = SnapshotHeader | OrganizationRecord | SnapshotEnd


# GET /v1/stream: server-sent events. `change` carries a Change under its revision as event id; `hello` opens,
# `heartbeat` repeats the newest revision, `usage` carries a UsageUpdate, `resync` asks for a new snapshot.


class Hello(WireStruct, frozen=True):
    """First event of a stream."""

    schema: str
    environment: str
    instance: str
    revision: int


class Heartbeat(WireStruct, frozen=True, omit_defaults=False):
    """Sent when nothing else was; a follower behind `revision` has missed a push and reconnects."""

    revision: int


class CatalogChanged(WireStruct, frozen=True, tag="catalog"):
    """The catalog as it stands at `revision` or later."""

    revision: int
    catalog: Catalog


class OrganizationChanged(WireStruct, frozen=True, tag="organization"):
    """One organization's record as it stands at `revision` or later."""

    revision: int
    record: OrganizationRecord


class OrganizationRemoved(WireStruct, frozen=True, tag="organization-removed"):
    """The organization is no longer known; it has what the default plan gives."""

    revision: int
    organization: str


Change = CatalogChanged | OrganizationChanged | OrganizationRemoved


# POST /v1/usage: totals under the sending journal's source id, never increments.


class UsageSlot(WireStruct, frozen=True, omit_defaults=False):
    """All that one source has counted for (organization, metric) since `bucket`, the bucket's first second."""

    organization: str
    metric: str
    bucket: int
    total: int


class UsageBatch(WireStruct, frozen=True):
    """One source's totals; sending them again, or in another order, changes nothing."""

    source: str
    slots: tuple[UsageSlot, ...]


class UsageStanding(WireStruct, frozen=True, omit_defaults=False):
    """What an organization used of a metric in its current period, all sources together."""

    organization: str
    metric: str
    period_start: int
    quantity: int


class SlotError(WireStruct, frozen=True, omit_defaults=False):
    """Why one slot of a batch was not taken; the others were."""

    index: int
    code: str
    detail: str


class UsageReceipt(WireStruct, frozen=True, omit_defaults=False):
    """Answer to a batch: every slot without an error is kept for good.

    The standings are those of `usage_revision`, so that an older push that comes later does not undo them.
    """

    accepted: int
    errors: tuple[SlotError, ...] = ()
    standings: tuple[UsageStanding, ...] = ()
    usage_revision: int = 0


class UsageUpdate(WireStruct, frozen=True, omit_defaults=False):
    """Standings that changed up to `usage_revision`, pushed to every host."""

    usage_revision: int
    standings: tuple[UsageStanding, ...]
