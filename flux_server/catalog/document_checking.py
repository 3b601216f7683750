"""Whether a catalog document can be applied to the catalog as it stands: everything that speaks against it.

What is live may refer to something that was archived since. Such a reference stands for as long as it is left as it
is, so that what was read can be applied again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from flux_middleware.snapshot import Feature, Metric
from flux_server.catalog.document import CatalogDocument, PlanEntry
from flux_server.catalog.document_entries import feature_of, grants_of, live_grants, prices_of, same_grants
from flux_server.catalog.errors import InvalidDocumentError, Wrong, nearest, place
from flux_server.catalog.features import MAX_FEATURES, MAX_METRICS
from flux_server.catalog.plans import MAX_PLANS
from flux_server.catalog.price_references import reference_error
from flux_server.catalog.reading import Described, Plan
from flux_server.catalog.state import CatalogState
from flux_server.catalog.values import feature_contradiction, grant_misfit

__all__ = ["require_applicable"]

_FEW = 1_000
"""Names among which to look for the one that was meant."""


def require_applicable(document: CatalogDocument, state: CatalogState) -> None:
    """Refuse a document that contradicts itself, or what can never change.

    Raises:
        InvalidDocumentError: it does; everything that is wrong is named.
    """
    wrong = [
        *_too_many(document, state),
        *_of_features(document, state),
        *_of_plans(document, state),
        *_of_prices(document, state),
        *_of_default_plan(document),
    ]
    if wrong:
        raise InvalidDocumentError(wrong)


def _too_many(document: CatalogDocument, state: CatalogState) -> Iterator[Wrong]:
    for section, named, present, most in (
        ("metrics", document.metrics, state.metrics, MAX_METRICS),
        ("features", document.features, state.features, MAX_FEATURES),
        ("plans", document.plans, state.plans, MAX_PLANS),
    ):
        count = len(named.keys() | present.keys())
        if count > most:
            yield Wrong(
                (section,),
                f"an environment has at most {most:,}, archived ones included; this would make {count:,}",
            )


def _of_features(document: CatalogDocument, state: CatalogState) -> Iterator[Wrong]:
    published = {
        grant.feature
        for plan in state.plans.values()
        for version in plan.versions
        for grant in version.grants
    }
    for key, entry in document.features.items():
        present = state.features.get(key)
        feature = feature_of(key, entry).value
        if present and present.value.kind != entry.kind and key in published:
            yield Wrong(
                ("features", key, "kind"),
                f"published plans grant it as {present.value.kind}, so its kind cannot change; define another feature",
            )
        if contradiction := feature_contradiction(feature):
            yield Wrong(("features", key), contradiction)
        elif entry.kind == "boolean" and feature.merge != "any":
            yield Wrong(("features", key, "merge"), f'a boolean is merged by "any", not {feature.merge!r}')
        if entry.metric is None or entry.metric in document.metrics:
            continue
        if (
            not present
            or present.value.metric != entry.metric
            or not _is_archived(state.metrics, entry.metric)
        ):
            yield Wrong(("features", key, "metric"), _missing("metric", entry.metric, document.metrics))


def _of_plans(document: CatalogDocument, state: CatalogState) -> Iterator[Wrong]:
    features = {key: feature_of(key, entry).value for key, entry in document.features.items()}
    for key, entry in document.plans.items():
        present = state.plans.get(key)
        if present and present.versions and present.kind != entry.kind:
            yield Wrong(
                ("plans", key, "kind"),
                f"it is published as {present.kind!r}, which cannot change; make another plan",
            )
        if present and present.versions and not entry.published:
            detail = "it is published already, which cannot be taken back; leave this line out"
            yield Wrong(("plans", key, "published"), detail)
        yield from _of_entitlements(key, entry, present, features, state)


def _of_entitlements(
    key: str, entry: PlanEntry, present: Plan | None, features: Mapping[str, Feature], state: CatalogState
) -> Iterator[Wrong]:
    grants = grants_of(entry)
    stays = present is not None and same_grants(live_grants(present), grants)
    for grant in grants:
        at = ("plans", key, "entitlements", grant.feature)
        feature = features.get(grant.feature)
        if feature is None:
            if not stays or not _is_archived(state.features, grant.feature):
                yield Wrong(at, _missing("feature", grant.feature, features))
        elif not stays and (misfit := grant_misfit(feature, grant)):
            yield Wrong(at, misfit)


def _of_prices(document: CatalogDocument, state: CatalogState) -> Iterator[Wrong]:
    had = {price for plan in state.plans.values() for price in plan.prices}
    plan_of: dict[str, str] = {}
    for key, entry in document.plans.items():
        for price in prices_of(entry):
            at = ("plans", key, "prices", price.price)
            if error := reference_error(price.price):
                yield Wrong(at, error)
            other = plan_of.setdefault(price.price, key)
            if other != key:
                yield Wrong(at, f"it is a price of plan {other!r} too; a price belongs to one plan only")
            if price.metric is None or price.metric in document.metrics:
                continue
            if price not in had or not _is_archived(state.metrics, price.metric):
                yield Wrong(at, _missing("metric", price.metric, document.metrics))
        for price_id, count in Counter(price.price for price in prices_of(entry)).items():
            if count > 1:
                yield Wrong(("plans", key, "prices", price_id), "it is named twice")


def _of_default_plan(document: CatalogDocument) -> Iterator[Wrong]:
    if document.default_plan is None:
        return
    plan = document.plans.get(document.default_plan)
    if plan is None:
        yield Wrong(("default_plan",), _missing("plan", document.default_plan, document.plans))
    elif plan.kind != "base":
        yield Wrong(("default_plan",), f"{document.default_plan!r} is an add-on; name a base plan")
    elif not plan.published:
        yield Wrong(("default_plan",), f"{document.default_plan!r} is not published; name a published plan")


def _is_archived(present: Mapping[str, Described[Feature] | Described[Metric]], key: str) -> bool:
    return key in present and present[key].archived_at is not None


def _missing(what: str, key: str, known: Mapping[str, object]) -> str:
    detail = f"the document has no {what} {key!r:.100}; write [{what}s.{place([key])}], or leave it out here"
    return detail + (nearest(key, known) if len(known) <= _FEW else "")
