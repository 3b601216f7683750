"""Hypothesis strategies for small random worlds: a catalog, a record and a moment.

Few names and moments close together, so that things meet: the same plan twice, an override of what expires, a
period that ends within a grace. Also what a server never sends: ids used twice, circles of replacements, words
that nobody knows.
"""

from __future__ import annotations

from hypothesis import strategies as st

from flux_middleware.snapshot import (
    Catalog,
    Feature,
    Grant,
    Metric,
    OrganizationRecord,
    Override,
    PauseCollection,
    PlanVersion,
    StatusPolicy,
    Subscription,
    SubscriptionItem,
    WireValue,
)

__all__ = ["STATUSES", "catalogs", "moments", "records", "subscriptions"]

BOOLEANS = ("sso", "audit-logs")
LIMITS = ("seats", "storage", "calls")
UNHEARD_OF = "unheard-of"
PLANS = ("free@1", "pro@1", "pro@2", "pack@1")
STATUSES = (
    "active",
    "trialing",
    "past_due",
    "canceled",
    "unpaid",
    "paused",
    "incomplete",
    "incomplete_expired",
    UNHEARD_OF,
)

moments = st.integers(0, 100)
maybe_moment = st.none() | moments
unlimited: st.SearchStrategy[WireValue] = st.just("unlimited")
values: st.SearchStrategy[WireValue] = (
    st.integers(-1, 9) | unlimited | st.booleans() | st.just(2**53 - 1) | st.just(2**53 + 5)
)
enforcements = st.sampled_from(("", "hard", "soft", UNHEARD_OF))


@st.composite
def grants(draw: st.DrawFn) -> tuple[Grant, ...]:
    keys = draw(st.sets(st.sampled_from((*BOOLEANS, *LIMITS, "gone"))))
    return tuple(
        Grant(key, draw(values), per_unit=draw(st.booleans()), enforcement=draw(enforcements)) for key in keys
    )


@st.composite
def policies(draw: st.DrawFn) -> StatusPolicy:
    actions = st.sampled_from(("grant", "grace", "revoke", UNHEARD_OF))
    return StatusPolicy(
        leeway=draw(st.integers(0, 10)),
        grace=draw(st.integers(0, 20)),
        statuses=draw(st.dictionaries(st.sampled_from(STATUSES), actions, max_size=4)),
        pause_collection=draw(st.sampled_from(("grant", "until_period_end", UNHEARD_OF))),
    )


@st.composite
def limits(draw: st.DrawFn, key: str) -> Feature:
    return Feature(
        key,
        "limit",
        merge=draw(st.sampled_from(("base_plus_addons", "sum", "max", "min", UNHEARD_OF))),
        metric=draw(st.none() | st.just("calls")),
        reset=draw(st.sampled_from(("billing", "day", "week", "month", "year", "never", UNHEARD_OF))),
        enforcement=draw(st.sampled_from(("hard", "soft", UNHEARD_OF))),
    )


@st.composite
def catalogs(draw: st.DrawFn, *, default_plan: bool = True) -> Catalog:
    features = tuple(Feature(key, "boolean", merge="any") for key in BOOLEANS)
    replaced_by = st.none() | st.sampled_from((*PLANS, "gone@9"))
    return Catalog(
        features=(*features, *(draw(limits(key)) for key in LIMITS), Feature("color", UNHEARD_OF)),
        metrics=(Metric("calls"),),
        plan_versions=tuple(
            PlanVersion(
                plan,
                plan[:-2],
                int(plan[-1]),
                draw(st.sampled_from(("addon", UNHEARD_OF))) if plan == "pack@1" else "base",
                draw(grants()),
                draw(replaced_by) if draw(st.booleans()) else None,
            )
            for plan in PLANS
        ),
        default_plan=draw(st.none() | st.sampled_from(PLANS)) if default_plan else None,
        policy=draw(policies()),
        plan_policies=draw(st.dictionaries(st.sampled_from(("pro", "pack")), policies(), max_size=1)),
    )


pauses = st.builds(
    PauseCollection,
    behavior=st.sampled_from(("void", "void", "keep_as_draft", "mark_uncollectible", UNHEARD_OF)),
    since=maybe_moment,
    resumes_at=maybe_moment,
)


@st.composite
def items(draw: st.DrawFn, name: str) -> SubscriptionItem:
    return SubscriptionItem(
        id=name,
        plan_version=draw(st.sampled_from((*PLANS, "gone@1"))),
        quantity=draw(st.integers(0, 4) | st.just(2**31)),
        metered=draw(st.booleans()),
        period_start=draw(maybe_moment),
        period_end=draw(maybe_moment),
    )


@st.composite
def subscriptions(draw: st.DrawFn, name: str) -> Subscription:
    ids = draw(st.lists(st.sampled_from("abc"), max_size=3))
    return Subscription(
        id=name,
        status=draw(st.sampled_from(STATUSES)),
        items=tuple(draw(items(f"{name}-{each}")) for each in ids),
        started_at=draw(maybe_moment),
        trial_end=draw(maybe_moment),
        cancel_at=draw(maybe_moment),
        ended_at=draw(maybe_moment),
        past_due_since=draw(maybe_moment),
        pause_collection=draw(st.none() | pauses),
    )


@st.composite
def overrides(draw: st.DrawFn, name: str) -> Override:
    return Override(
        name,
        draw(st.sampled_from((*BOOLEANS, *LIMITS, "gone"))),
        draw(st.sampled_from(("set", "add", "add", "deny", UNHEARD_OF))),
        draw(st.none() | values),
        draw(maybe_moment),
        since=draw(maybe_moment),
        enforcement=draw(enforcements),
    )


@st.composite
def records(draw: st.DrawFn) -> OrganizationRecord:
    names = draw(st.lists(st.sampled_from(("s0", "s1", "s2")), max_size=3))
    exceptions = draw(st.lists(st.sampled_from(("o0", "o1", "o2")), max_size=4))
    return OrganizationRecord(
        "acme",
        subscriptions=tuple(draw(subscriptions(name)) for name in names),
        overrides=tuple(draw(overrides(name)) for name in exceptions),
    )
