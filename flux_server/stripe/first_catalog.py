"""A first catalog out of what is sold in Stripe: added to a document for somebody to review. Pure.

A product becomes a plan that is a draft, its recurring prices what the plan is sold by, entitlement features booleans,
meters metrics. What a document sells already is left alone, so the same proposal made again adds nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from flux_server.catalog.document import (
    CatalogDocument,
    FeatureEntry,
    MetricEntry,
    PlanEntry,
    PriceEntry,
    canonical,
    price_id,
)
from flux_server.catalog.document_changes import LeftOut, Proposal
from flux_server.catalog.features import MAX_FEATURES, MAX_METRICS
from flux_server.catalog.plans import MAX_PLANS
from flux_server.catalog.price_references import references
from flux_server.catalog.slugs import slug, unique_slug
from flux_server.catalog.values import MAX_PRICES
from flux_server.stripe.price_shapes import StripeFeature, StripePrice, StripeProduct
from flux_server.stripe.shapes import StripeMeter

__all__ = ["KIND", "SoldInStripe", "propose_catalog"]

KIND: Final = "flux_kind"
"""Metadata of a product: `addon` makes it an add-on."""


@dataclass(frozen=True, slots=True)
class SoldInStripe:
    """Everything that an account sells; `features_of` has the lookup keys of each product's features.

    `unreadable` says of each kind that could not be read why.
    """

    products: tuple[StripeProduct, ...] = ()
    prices: tuple[StripePrice, ...] = ()
    features: tuple[StripeFeature, ...] = ()
    features_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    meters: tuple[StripeMeter, ...] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)


def propose_catalog(
    sold: SoldInStripe, base: CatalogDocument, known: CatalogDocument, in_use: Collection[str]
) -> Proposal:
    """Return the document `base` with what is sold added to it that neither it nor `known` has.

    `known` is everything that there is, also what is archived: that was put aside by somebody, and stays so. Prices
    `in_use` are taken also if they are not sold any more.
    """
    proposer = _Proposer(sold, base, known, in_use)
    for kind, reason in sold.unreadable.items():
        proposer.leave_out(kind, "", reason)
    proposer.add_metrics()
    proposer.add_features()
    proposer.add_plans()
    return proposer.proposal()


class _Proposer:
    def __init__(
        self, sold: SoldInStripe, base: CatalogDocument, known: CatalogDocument, in_use: Collection[str]
    ) -> None:
        self._sold = sold
        self._base = base
        self._known = known
        self._in_use = in_use
        self._metrics = dict(base.metrics)
        self._features = dict(base.features)
        self._plans = dict(base.plans)
        self._metric_of: dict[str, str] = {}  # by the meter's id
        self._feature_of: dict[str, str] = {}  # by lookup key
        self._left_out: list[LeftOut] = []

    def proposal(self) -> Proposal:
        document = msgspec.structs.replace(
            self._base, metrics=self._metrics, features=self._features, plans=self._plans
        )
        return Proposal(canonical(document), tuple(self._left_out))

    def leave_out(self, id_: str, name: str, reason: str) -> None:
        self._left_out.append(LeftOut(id_, name, reason))

    def add_metrics(self) -> None:
        for meter in sorted(self._sold.meters, key=lambda each: each.id):
            if not meter.active:
                continue
            key = slug(meter.event_name, meter.id)
            if reason := _unforwardable(meter) or self._misfit("metric", key, self._metric_of.values()):
                self.leave_out(meter.id, meter.event_name, reason)
                continue
            self._metric_of[meter.id] = key
            self._metrics.setdefault(key, MetricEntry(name=meter.event_name))

    def add_features(self) -> None:
        for feature in sorted(self._sold.features, key=lambda each: each.lookup_key):
            if not feature.active:
                continue
            key = slug(feature.lookup_key, feature.id)
            present = self._features.get(key)
            if present is not None and present.kind != "boolean":
                self.leave_out(
                    feature.id, feature.name, f"feature {key!r} is a limit here; rename one of them"
                )
            elif reason := self._misfit("feature", key, self._feature_of.values()):
                self.leave_out(feature.id, feature.name, reason)
            else:
                self._feature_of[feature.lookup_key] = key
                self._features.setdefault(key, FeatureEntry("boolean", name=feature.name))

    def add_plans(self) -> None:
        plan_of = _plan_of(self._known) | _plan_of(self._base)
        prices: dict[str, list[StripePrice]] = {}
        for price in sorted(self._sold.prices, key=lambda each: each.id):
            prices.setdefault(price.product, []).append(price)
        for product in sorted(self._sold.products, key=lambda each: each.id):
            mine = [price for price in prices.get(product.id, ()) if self._is_sold(product, price)]
            sellers = {plan_of[name] for price in mine for name in _names(price) if name in plan_of}
            if sellers:
                self._leave_to(min(sellers), mine, plan_of)
            elif product.active or mine:
                self._add_plan(product, mine)

    def _is_sold(self, product: StripeProduct, price: StripePrice) -> bool:
        return (product.active and price.active) or price.id in self._in_use

    def _leave_to(self, plan: str, prices: list[StripePrice], plan_of: Mapping[str, str]) -> None:
        """The plan is somebody's already: say what of the product it is not sold by."""
        is_archived = plan not in self._base.plans
        for price in prices:
            if price.recurring and not is_archived and not any(name in plan_of for name in _names(price)):
                reason = f"plan {plan!r} sells this product already; add the price to it, if it is to be sold by it"
                self.leave_out(price.id, price.description, reason)
        if is_archived:
            self.leave_out(
                prices[0].product,
                plan,
                f"its plan {plan!r} is archived, or not in this document; restore it there",
            )

    def _add_plan(self, product: StripeProduct, prices: list[StripePrice]) -> None:
        taken = self._plans.keys() | self._known.plans.keys()
        entries = tuple(self._entries(prices))
        if not entries:
            self.leave_out(product.id, product.name, "it has no active recurring price")
        elif len(taken) >= MAX_PLANS:
            self.leave_out(product.id, product.name, f"an environment has at most {MAX_PLANS:,} plans")
        else:
            kind = product.metadata.get(KIND, "base")
            if kind not in ("base", "addon"):
                self.leave_out(
                    product.id,
                    product.name,
                    f"taken as a base plan: its {KIND} is 'base' or 'addon', not {kind!r:.50}",
                )
            features = (self._feature_of.get(name) for name in self._sold.features_of.get(product.id, ()))
            self._plans[unique_slug(product.name, product.id, taken)] = PlanEntry(
                name=product.name,
                description=product.description,
                kind="addon" if kind == "addon" else "base",
                prices=entries,
                published=False,
                entitlements={feature: True for feature in features if feature is not None},
            )

    def _entries(self, prices: list[StripePrice]) -> Iterator[str | PriceEntry]:
        count = 0
        for price in prices:
            if not price.recurring:
                self.leave_out(
                    price.id, price.description, "it is paid once; plans are sold by recurring prices"
                )
                continue
            count += 1
            if count > MAX_PRICES:
                reason = f"a plan is sold by at most {MAX_PRICES} prices; name the product: product:{price.product}"
                self.leave_out(price.id, price.description, reason)
                continue
            metric = self._metric_of.get(price.meter or "")
            if price.metered and metric is None:
                reason = "taken without a metric: its usage is not billed by a meter that Flux can send to"
                self.leave_out(price.id, price.description, reason)
            yield price.id if metric is None else PriceEntry(price.id, metric)

    def _misfit(self, what: str, key: str, others: Collection[str]) -> str | None:
        """Say why nothing can be added under the key; None if it can, or is there."""
        mine, known, most = {
            "feature": (self._features.keys(), self._known.features.keys(), MAX_FEATURES),
            "metric": (self._metrics.keys(), self._known.metrics.keys(), MAX_METRICS),
        }[what]
        if key in others:
            return f"another one has the key {key!r} already"
        if key in mine:
            return None
        if key in known:
            return f"{what} {key!r} is archived, or not in this document; restore it there"
        if len(mine | known) >= most:
            return f"an environment has at most {most:,} {what}s"
        return None


def _unforwardable(meter: StripeMeter) -> str | None:
    if meter.formula != "sum":
        return f"its meter takes the {meter.formula} of what it is sent; Flux sends to meters that add up"
    if meter.time_window is not None:
        return f"its meter keeps only the last value of each {meter.time_window}; Flux sends to meters that add up"
    return None


def _plan_of(document: CatalogDocument) -> dict[str, str]:
    return {price_id(price): key for key, plan in document.plans.items() for price in plan.prices}


def _names(price: StripePrice) -> tuple[str, ...]:
    return references(price.id, price.lookup_key, price.product)
