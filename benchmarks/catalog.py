"""What the catalog costs: resolving an organization, and editing a plan that a million organizations have."""

from __future__ import annotations

import timeit
from collections.abc import Iterator
from typing import Final

from benchmarks.figures import Figure
from benchmarks.plan_edits import measure_plan_edit
from flux_middleware.entitlements import resolve
from flux_middleware.snapshot import (
    Catalog,
    Feature,
    Grant,
    OrganizationRecord,
    Override,
    PlanVersion,
    Subscription,
    SubscriptionItem,
    wire_value,
)
from tests.vectors import Case, cases

__all__ = ["measure"]

_CALLS: Final = 5
_ROUNDS: Final = 500
_NOW: Final = 1_000
_ORGANIZATIONS: Final = 1_000_000
_PERIOD_END: Final = 2_000_000


def measure() -> Iterator[Figure]:
    """Resolve an organization with 3 subscriptions of 4 items, 30 features and 5 overrides; then edit a plan."""
    catalog, record = _catalog(), _record()
    # The quickest of many short rounds is what it costs; the others also tell what else the machine was doing.
    rounds = timeit.repeat(lambda: resolve(catalog, record, _NOW), number=_CALLS, repeat=_ROUNDS)
    yield Figure("resolve_us", min(rounds) / _CALLS * 1e6, 100, "microseconds to resolve an organization")
    passing = sum(_holds(case, catalog) for _, case, catalog in cases())
    yield Figure("vectors", passing, 150, "conformance vectors whose values hold", at_least=True)
    yield from _plan_edit()


def _plan_edit() -> Iterator[Figure]:
    edit = measure_plan_edit(_ORGANIZATIONS)
    having = f"a plan that {edit.reached:,} organizations have"
    yield Figure(
        "plan_edit_changes_on_wire", edit.changes, 1, f"changes that followers get of an edit of {having}"
    )
    yield Figure("plan_edit_s", edit.edit_s, 1, f"seconds to change {having}, and to publish and migrate all")
    yield Figure(
        "plan_preview_s", edit.preview_s, 10, f"seconds to count whom that would reach, for {having}"
    )


def _holds(case: Case, catalog: Catalog) -> bool:
    entitlements = resolve(catalog, case.record, case.now)
    values = {key: wire_value(each.value) for key, each in entitlements.by_feature.items()}
    return values == {key: expected.value for key, expected in case.expect.features.items()}


def _catalog() -> Catalog:
    merges = ("base_plus_addons", "sum", "max")
    booleans = [Feature(f"capability-{number}", "boolean", merge="any") for number in range(10)]
    limits = [Feature(f"limit-{number}", "limit", merge=merges[number % 3]) for number in range(20)]
    everything = tuple(
        [Grant(feature.key, True) for feature in booleans] + [Grant(feature.key, 10) for feature in limits]
    )
    return Catalog(
        features=(*booleans, *limits),
        plan_versions=(
            *(PlanVersion(f"plan-{each}@1", f"plan-{each}", 1, grants=everything) for each in range(3)),
            *(
                PlanVersion(
                    f"addon-{each}@1",
                    f"addon-{each}",
                    1,
                    "addon",
                    (Grant(f"limit-{each}", 5, per_unit=True), Grant(f"capability-{each}", True)),
                )
                for each in range(9)
            ),
        ),
    )


def _record() -> OrganizationRecord:
    return OrganizationRecord(
        "acme",
        subscriptions=tuple(_subscription(number) for number in range(3)),
        overrides=tuple(
            Override(f"override-{each}", f"limit-{each}", ("set", "add")[each % 2], 7, until=_PERIOD_END)
            for each in range(5)
        ),
    )


def _subscription(number: int) -> Subscription:
    plans = [f"plan-{number}@1", *(f"addon-{number * 3 + each}@1" for each in range(3))]
    items = tuple(
        SubscriptionItem(f"item-{number}-{each}", plan, quantity=3, period_start=0, period_end=_PERIOD_END)
        for each, plan in enumerate(plans)
    )
    return Subscription(f"subscription-{number}", "active", items)
