"""Hypothesis strategies for small random worlds: a catalog, a record and a moment."""

from __future__ import annotations

from hypothesis import strategies as st

from flux_middleware.snapshot import (
    Catalog,
    Feature,
    Grant,
    OrganizationRecord,
    Override,
    PlanVersion,
    StatusPolicy,
    Subscription,
    SubscriptionItem,
)

__all__ = ["catalogs", "moments", "records"]

BOOLEANS = ("sso", "audit-logs")
LIMITS = ("seats", "storage", "projects")
PLANS = ("free@1", "pro@1", "team@1", "pack@1")

moments = st.integers(0, 100)
numbers = st.integers(0, 9) | st.just("unlimited")
maybe_moment = st.none() | moments


@st.composite
def grants(draw: st.DrawFn) -> tuple[Grant, ...]:
    booleans = [Grant(key, draw(st.booleans())) for key in draw(st.sets(st.sampled_from(BOOLEANS)))]
    limits = [
        Grant(key, draw(numbers), per_unit=draw(st.booleans()))  # type: ignore[arg-type]  # str is "unlimited"
        for key in draw(st.sets(st.sampled_from(LIMITS)))
    ]
    return tuple(booleans + limits)


@st.composite
def catalogs(draw: st.DrawFn) -> Catalog:
    merges = st.sampled_from(("base_plus_addons", "sum", "max", "min"))
    return Catalog(
        features=tuple(Feature(key, "boolean", merge="any") for key in BOOLEANS)
        + tuple(Feature(key, "limit", merge=draw(merges)) for key in LIMITS),
        plan_versions=tuple(
            PlanVersion(plan, plan[:-2], 1, "addon" if plan == "pack@1" else "base", draw(grants()))
            for plan in PLANS
        ),
        default_plan=draw(st.none() | st.sampled_from(PLANS)),
        policy=StatusPolicy(leeway=draw(st.integers(0, 10)), grace=draw(st.integers(0, 20))),
    )


STATUSES = ("active", "trialing", "past_due", "canceled", "unpaid", "paused", "incomplete", "unheard-of")


@st.composite
def subscriptions(draw: st.DrawFn, name: str) -> Subscription:
    items = tuple(
        SubscriptionItem(
            id=f"{name}-{index}",
            plan_version=draw(st.sampled_from((*PLANS, "gone@1"))),
            quantity=draw(st.integers(0, 4)),
            metered=draw(st.booleans()),
            period_start=0,
            period_end=draw(maybe_moment),
        )
        for index in range(draw(st.integers(0, 3)))
    )
    return Subscription(
        id=name,
        status=draw(st.sampled_from(STATUSES)),
        items=items,
        trial_end=draw(maybe_moment),
        cancel_at=draw(maybe_moment),
        ended_at=draw(maybe_moment),
        past_due_since=draw(maybe_moment),
    )


@st.composite
def overrides(draw: st.DrawFn, name: str) -> Override:
    feature = draw(st.sampled_from(BOOLEANS + LIMITS))
    value = draw(st.booleans() if feature in BOOLEANS else numbers)
    effect = draw(st.sampled_from(("set", "add", "deny")))
    return Override(name, feature, effect, value, draw(maybe_moment))  # type: ignore[arg-type]


@st.composite
def records(draw: st.DrawFn) -> OrganizationRecord:
    return OrganizationRecord(
        "acme",
        subscriptions=tuple(draw(subscriptions(f"s{index}")) for index in range(draw(st.integers(0, 3)))),
        overrides=tuple(draw(overrides(f"o{index}")) for index in range(draw(st.integers(0, 3)))),
    )
