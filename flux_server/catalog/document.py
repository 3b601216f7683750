"""The catalog document: everything that an environment sells, as one value that people keep in a file.

What a document leaves out has its default, and what it does not name is not sold. Two documents that mean the
same are equal once they are `canonical`. The types are the format: its JSON Schema is made from them.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar, get_args

import msgspec
from msgspec import Meta

from flux_middleware.snapshot import StatusPolicy, WireValue
from flux_server.catalog.values import MAX_GRACE, MAX_LEEWAY, MAX_PRICES

__all__ = [
    "DEFAULT_MERGE",
    "CatalogDocument",
    "EntitlementEntry",
    "Entry",
    "FeatureEntry",
    "MetricEntry",
    "PlanEntry",
    "PolicyEntry",
    "PriceEntry",
    "canonical",
    "document_json",
    "document_schema",
    "etag_of",
    "price_id",
]

_DEFAULT_POLICY = StatusPolicy()
_NO_NUL = "^[^\\u0000]*$"  # PostgreSQL cannot store it

Key = Annotated[str, Meta(extra_json_schema={"pattern": "^[a-z0-9.-]{1,64}$"})]
Reference: TypeAlias = str
"""The key of something else in the document; whether that is there is checked once the whole is read."""

Text = Annotated[str, Meta(max_length=255, pattern=_NO_NUL)]
LongText = Annotated[str, Meta(max_length=2_000, pattern=_NO_NUL)]
Unit = Annotated[str, Meta(max_length=64, pattern=_NO_NUL)]
PriceId = Annotated[str, Meta(min_length=1, max_length=255, pattern=_NO_NUL)]
Number = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Value = bool | Number | Literal["unlimited"]
Status = Literal["trialing", "past_due", "unpaid", "incomplete", "paused"]
Effect = Literal["grant", "grace", "revoke"]


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A part of a document."""


class PolicyEntry(Entry, frozen=True):
    """What a subscription's status gives, and for how long, in seconds."""

    leeway: Annotated[
        int,
        Meta(ge=0, le=MAX_LEEWAY, description="Access after a period ends, while its renewal is on the way."),
    ] = _DEFAULT_POLICY.leeway
    grace: Annotated[int, Meta(ge=0, le=MAX_GRACE, description="Access after a payment first failed.")] = (
        _DEFAULT_POLICY.grace
    )
    statuses: Annotated[
        dict[Status, Effect],
        Meta(
            description="What these statuses do; those left out do as by default.",
            extra_json_schema={"propertyNames": {"enum": sorted(get_args(Status))}},
        ),
    ] = {}
    pause_collection: Annotated[
        Literal["grant", "until_period_end"], Meta(description="What to do while payments are waived.")
    ] = "grant"


class MetricEntry(Entry, frozen=True):
    """Something that is counted."""

    name: Text = ""
    description: LongText = ""
    unit: Annotated[Unit, Meta(description="What one of it is called.")] = ""
    aggregation: Literal["sum"] = "sum"


class FeatureEntry(Entry, frozen=True):
    """A capability (boolean) or a number (limit) that plans can grant."""

    kind: Literal["boolean", "limit"]
    name: Text = ""
    description: LongText = ""
    merge: Annotated[
        Literal["any", "base_plus_addons", "sum", "max", "min"] | None,
        Meta(description="How several plans' values combine; a limit's base_plus_addons if left out."),
    ] = None
    metric: Annotated[Reference | None, Meta(description="The metric whose usage uses the limit up.")] = None
    reset: Annotated[
        Literal["billing", "day", "week", "month", "year", "never"],
        Meta(description="When a metered limit starts afresh."),
    ] = "billing"
    enforcement: Annotated[
        Literal["hard", "soft"], Meta(description="Whether a metered limit stops at its end.")
    ] = "hard"


class PriceEntry(Entry, frozen=True):
    """A metered price: the metric is what it bills."""

    price: PriceId
    metric: Reference | None = None


class EntitlementEntry(Entry, frozen=True):
    """A feature's value in a plan, in full."""

    value: Value
    per_unit: Annotated[bool, Meta(description="Multiply the number by the subscribed quantity.")] = False
    enforcement: Annotated[
        Literal["hard", "soft"] | None,
        Meta(description="This plan's way with a metered limit; the feature's if left out."),
    ] = None


class PlanEntry(Entry, frozen=True):
    """A plan: what it is called, which prices sell it, what it grants."""

    name: Annotated[Text, Meta(description="The plan's key if left out.")] = ""
    description: LongText = ""
    kind: Annotated[Literal["base", "addon"], Meta(description="Add-ons come on top of a base plan.")] = (
        "base"
    )
    prices: Annotated[
        tuple[PriceId | PriceEntry, ...],
        Meta(max_length=MAX_PRICES, description="Stripe's ids; each belongs to one plan only."),
    ] = ()
    published: Annotated[
        bool, Meta(description="false: keep it as a draft that nobody can have. A published plan stays so.")
    ] = True
    policy: Annotated[
        PolicyEntry | None, Meta(description="Instead of the environment's, for this plan's subscribers.")
    ] = None
    entitlements: Annotated[
        dict[Reference, Value | EntitlementEntry],
        Meta(description="What the plan grants: true, a number, 'unlimited', or a table."),
    ] = {}


class CatalogDocument(Entry, frozen=True):
    """Everything that an environment sells. What it does not name is archived when it is applied."""

    default_plan: Annotated[
        Reference | None, Meta(description="What organizations without a base plan have.")
    ] = None
    policy: Annotated[PolicyEntry | None, Meta(description="For every plan that has none of its own.")] = None
    metrics: dict[Key, MetricEntry] = {}
    features: dict[Key, FeatureEntry] = {}
    plans: dict[Key, PlanEntry] = {}


DEFAULT_MERGE: Final = {"boolean": "any", "limit": "base_plus_addons"}

E = TypeVar("E", bound=Entry)

_encoder = msgspec.json.Encoder(order="deterministic")


def document_json(document: CatalogDocument) -> bytes:
    """Return the document's JSON, the same bytes for equal documents."""
    return _encoder.encode(document)


def etag_of(document: CatalogDocument, drafts: object) -> str:
    """Return a strong entity tag of the document, and of the drafts that applying one may replace."""
    digest = hashlib.sha256(document_json(document) + b"\n" + _encoder.encode(drafts))
    return f'"{digest.hexdigest()}"'


def document_schema() -> dict[str, Any]:
    """Return the JSON Schema of a document, for editors."""
    schema = msgspec.json.schema(CatalogDocument)
    root = schema["$defs"].pop(CatalogDocument.__name__)  # some editors look no further than the first level
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **root,
        "title": "Flux catalog",
        "$defs": schema["$defs"],
    }


def canonical(document: CatalogDocument) -> CatalogDocument:
    """Return the document in the shortest form that means the same."""
    return CatalogDocument(
        default_plan=document.default_plan,
        policy=None
        if document.policy is None or document.policy == PolicyEntry()
        else _bare(document.policy),
        metrics={key: _bare(entry) for key, entry in document.metrics.items()},
        features={key: _canonical_feature(entry) for key, entry in document.features.items()},
        plans={key: _canonical_plan(key, entry) for key, entry in document.plans.items()},
    )


def price_id(price: str | PriceEntry) -> str:
    """Return the id of a price, however the document writes it."""
    return price if isinstance(price, str) else price.price


def _bare(entry: E) -> E:
    """Let defaults be the very objects that msgspec leaves out of JSON; it does not leave out equal ones."""
    equal = {
        name: default for name, default in _defaults(type(entry)).items() if getattr(entry, name) == default
    }
    return msgspec.structs.replace(entry, **equal)


@cache
def _defaults(kind: type[Entry]) -> dict[str, object]:
    return {
        field.name: field.default
        for field in msgspec.structs.fields(kind)
        if field.default is not msgspec.NODEFAULT
    }


def _canonical_feature(entry: FeatureEntry) -> FeatureEntry:
    merge = None if entry.merge == DEFAULT_MERGE[entry.kind] else entry.merge
    return _bare(msgspec.structs.replace(entry, merge=merge))


def _canonical_plan(key: str, entry: PlanEntry) -> PlanEntry:
    return msgspec.structs.replace(
        _bare(entry),
        name="" if entry.name == key else entry.name,
        prices=tuple(sorted(map(_canonical_price, entry.prices), key=price_id)),
        policy=None if entry.policy is None else _bare(entry.policy),
        entitlements={
            feature: _canonical_entitlement(value) for feature, value in entry.entitlements.items()
        },
    )


def _canonical_price(price: str | PriceEntry) -> str | PriceEntry:
    return price if isinstance(price, str) or price.metric is not None else price.price


def _canonical_entitlement(value: WireValue | EntitlementEntry) -> WireValue | EntitlementEntry:
    if isinstance(value, EntitlementEntry) and not value.per_unit and value.enforcement is None:
        return value.value
    return value
