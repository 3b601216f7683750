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
numbers = st.integers(-1, 9) | st.sampled_from((2**53 - 1, 2**53 + 5))
values = st.sampled_from(("unlimited", True, False)) | numbers
enforcements = st.sampled_from(("", "hard", "soft", UNHEARD_OF))

_grants = st.lists(
    st.builds(
        Grant, st.sampled_from((*BOOLEANS, *LIMITS, "gone")), values, st.booleans(), enforcement=enforcements
    ),
    max_size=6,
).map(tuple)

_policies = st.builds(
    StatusPolicy,
    leeway=st.integers(0, 10),
    grace=st.integers(0, 20),
    statuses=st.dictionaries(
        st.sampled_from(STATUSES), st.sampled_from(("grant", "grace", "revoke", UNHEARD_OF)), max_size=3
    ),
    pause_collection=st.sampled_from(("grant", "until_period_end", UNHEARD_OF)),
)

_features = st.tuples(
    *(st.just(Feature(key, "boolean", merge="any")) for key in BOOLEANS),
    *(
        st.builds(
            Feature,
            st.just(key),
            st.just("limit"),
            merge=st.sampled_from(("base_plus_addons", "sum", "max", "min", UNHEARD_OF)),
            metric=st.sampled_from((None, "calls")),
            reset=st.sampled_from(("billing", "day", "week", "month", "year", "never", UNHEARD_OF)),
            enforcement=st.sampled_from(("hard", "soft", UNHEARD_OF)),
        )
        for key in LIMITS
    ),
    st.just(Feature("color", UNHEARD_OF)),
)

_plan_versions = st.tuples(
    *(
        st.builds(
            PlanVersion,
            st.just(plan),
            st.just(plan[:-2]),
            st.just(int(plan[-1])),
            st.sampled_from(("addon", UNHEARD_OF)) if plan == "pack@1" else st.just("base"),
            _grants,
            st.sampled_from((None, None, None, *PLANS, "gone@9")),
        )
        for plan in PLANS
    )
)


def catalogs(*, default_plan: bool = True) -> st.SearchStrategy[Catalog]:
    """Return catalogs of a few plans; without `default_plan`, of subscribers only."""
    return st.builds(
        Catalog,
        features=_features,
        metrics=st.just((Metric("calls"),)),
        plan_versions=_plan_versions,
        default_plan=st.sampled_from((None, *PLANS) if default_plan else (None,)),
        policy=_policies,
        plan_policies=st.dictionaries(st.sampled_from(("pro", "pack")), _policies, max_size=1),
    )


_pauses = st.builds(
    PauseCollection,
    behavior=st.sampled_from(("void", "void", "keep_as_draft", "mark_uncollectible", UNHEARD_OF)),
    since=maybe_moment,
    resumes_at=maybe_moment,
)

_items = st.builds(
    SubscriptionItem,
    id=st.sampled_from("abc"),
    plan_version=st.sampled_from((*PLANS, "gone@1")),
    quantity=st.sampled_from((0, 1, 2, 3, 2**31)),
    metered=st.booleans(),
    period_start=maybe_moment,
    period_end=maybe_moment,
)

subscriptions = st.builds(
    Subscription,
    id=st.sampled_from(("s0", "s1", "s2")),
    status=st.sampled_from(STATUSES),
    items=st.lists(_items, max_size=3).map(tuple),
    started_at=maybe_moment,
    trial_end=maybe_moment,
    cancel_at=maybe_moment,
    ended_at=maybe_moment,
    past_due_since=maybe_moment,
    pause_collection=st.none() | _pauses,
)

_overrides = st.builds(
    Override,
    st.sampled_from(("o0", "o1", "o2")),
    st.sampled_from((*BOOLEANS, *LIMITS, "gone")),
    st.sampled_from(("set", "add", "add", "deny", UNHEARD_OF)),
    st.none() | values,
    maybe_moment,
    since=maybe_moment,
    enforcement=enforcements,
)


def records() -> st.SearchStrategy[OrganizationRecord]:
    """Return records of a few subscriptions and overrides."""
    return st.builds(
        OrganizationRecord,
        st.just("acme"),
        subscriptions=st.lists(subscriptions, max_size=3).map(tuple),
        overrides=st.lists(_overrides, max_size=4).map(tuple),
    )
