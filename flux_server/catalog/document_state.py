"""What is live as a catalog document, and what the catalog becomes once a document is applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Protocol, TypeVar

from flux_server.catalog.document import CatalogDocument, PlanEntry, PolicyEntry, canonical, etag_of
from flux_server.catalog.document_entries import (
    feature_entry,
    feature_of,
    grants_of,
    metric_entry,
    metric_of,
    plan_entry,
    policy_entry,
    policy_of,
    prices_of,
    same_grants,
)
from flux_server.catalog.plans import next_version
from flux_server.catalog.reading import Plan, PublishedVersion
from flux_server.catalog.state import CatalogState
from flux_server.catalog.values import Existing

__all__ = ["document_of", "outcome", "publishes", "state_etag"]

_NO_POLICY: Final = PolicyEntry()


class _Archivable(Protocol):
    @property
    def archived_at(self) -> int | None: ...


T = TypeVar("T", bound=_Archivable)


def document_of(state: CatalogState, *, archived: bool = False) -> CatalogDocument:
    """Return what is live: newest published versions, or the draft where nothing is published yet.

    With `archived`, everything that there is, as if it were live.
    """
    return canonical(
        CatalogDocument(
            default_plan=state.default_plan,
            policy=policy_entry(state.policy),
            metrics={key: metric_entry(metric) for key, metric in _shown(state.metrics, archived)},
            features={key: feature_entry(feature) for key, feature in _shown(state.features, archived)},
            plans={key: plan_entry(plan) for key, plan in _shown(state.plans, archived)},
        )
    )


def state_etag(state: CatalogState) -> str:
    """Return an entity tag of what is live, and of the drafts that publishing would replace."""
    drafts = {key: plan.draft for key, plan in state.plans.items() if plan.draft is not None}
    return etag_of(document_of(state), drafts)


def outcome(
    state: CatalogState, document: CatalogDocument, *, existing: Existing, now: float
) -> CatalogState:
    """Return how the catalog stands once the document is applied; what it does not name is archived."""
    sold = {price.price for entry in document.plans.values() for price in prices_of(entry)}
    return CatalogState(
        metrics={key: metric_of(key, entry) for key, entry in document.metrics.items()}
        | _others_archived(state.metrics, document.metrics, now),
        features={key: feature_of(key, entry) for key, entry in document.features.items()}
        | _others_archived(state.features, document.features, now),
        plans={
            key: _plan(key, entry, state.plans.get(key), existing, now)
            for key, entry in document.plans.items()
        }
        | {
            key: replace(plan, prices=tuple(price for price in plan.prices if price.price not in sold))
            for key, plan in _others_archived(state.plans, document.plans, now).items()
        },
        default_plan=document.default_plan,
        policy=policy_of(document.policy or _NO_POLICY),
    )


def publishes(entry: PlanEntry, present: Plan | None) -> bool:
    """Say whether applying the entry publishes a version of the plan."""
    if not entry.published:
        return False
    if present is None or not present.versions:
        return True
    return not same_grants(present.versions[-1].grants, grants_of(entry))


def _shown(things: Mapping[str, T], archived: bool) -> list[tuple[str, T]]:
    return [(key, thing) for key, thing in things.items() if archived or thing.archived_at is None]


def _others_archived(present: Mapping[str, T], named: Mapping[str, object], now: float) -> dict[str, T]:
    return {
        key: replace(thing, archived_at=int(now)) if thing.archived_at is None else thing  # type: ignore[type-var]  # both are dataclasses
        for key, thing in present.items()
        if key not in named
    }


def _plan(key: str, entry: PlanEntry, present: Plan | None, existing: Existing, now: float) -> Plan:
    """A draft that waits to be published stays, unless another version takes its place."""
    draft = present.draft if present else None
    versions = present.versions if present else ()
    if not entry.published:
        draft = grants_of(entry)
    elif publishes(entry, present):
        number = next_version(present)
        if existing == "migrate":
            versions = tuple(_replaced(version, number) for version in versions)
        versions = (*versions, PublishedVersion(number, grants_of(entry), int(now), None))
        draft = None
    return Plan(
        key=key,
        name=entry.name or key,
        kind=entry.kind,
        prices=prices_of(entry),
        draft=draft,
        versions=versions,
        description=entry.description,
        policy=None if entry.policy is None else policy_of(entry.policy),
    )


def _replaced(version: PublishedVersion, by: int) -> PublishedVersion:
    return version if version.replaced_by is not None else replace(version, replaced_by=by)
