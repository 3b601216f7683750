"""What each subscription item contributes to an organization's entitlements, and from when until when.

Each item is judged on its own: is anything bought, does the subscription's status grant it, has its time come,
is it over? The verdict is kept, so that "why not" can be answered as well as "why".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter
from typing import Final

import msgspec

from flux_middleware.snapshot import (
    Catalog,
    OrganizationRecord,
    PlanVersion,
    StatusPolicy,
    Subscription,
    SubscriptionItem,
)

__all__ = ["Contribution", "ReasonKind", "Verdict", "contributions", "default_contribution"]


class ReasonKind(StrEnum):
    """Where a part of an entitlement comes from."""

    SUBSCRIPTION = "subscription"
    DEFAULT_PLAN = "default_plan"
    OVERRIDE = "override"


class Verdict(StrEnum):
    """What became of a contribution or an override: counted, or why it was not."""

    COUNTED = "counted"
    # In force, but something else decides:
    OUTDONE = "outdone"
    ABSORBED = "absorbed"
    SUPERSEDED = "superseded"
    DENIED = "denied"
    # Not in force:
    STATUS = "status"
    TRIAL_ENDED = "trial_ended"
    PERIOD_ENDED = "period_ended"
    GRACE_ENDED = "grace_ended"
    CANCELED = "canceled"
    COLLECTION_PAUSED = "collection_paused"
    NO_QUANTITY = "no_quantity"
    METERED = "metered"
    UNKNOWN_PLAN = "unknown_plan"
    BASE_PLAN = "base_plan"
    UPCOMING = "upcoming"
    EXPIRED = "expired"
    UNKNOWN_EFFECT = "unknown_effect"


class Contribution(msgspec.Struct, frozen=True):
    """A plan version that counts `units` times from `since` until `until`, if the verdict is `counted`.

    The times are those of the stretch that `now` lies in; else of the next one, or of the one that is over.
    """

    kind: ReasonKind
    verdict: Verdict
    version: PlanVersion | None
    is_base: bool = False
    units: int = 1
    since: float = -math.inf
    until: float = math.inf
    subscription: Subscription | None = None
    item: SubscriptionItem | None = None

    def next_change(self, now: float) -> float:
        """Return when this begins or ends to count."""
        if self.verdict is Verdict.COUNTED:
            return self.until
        return self.since if self.since > now else math.inf


def contributions(catalog: Catalog, record: OrganizationRecord, now: float) -> list[Contribution]:
    """Return what every subscription item contributes at `now`, or why it does not, in the order of the ids."""
    found = []
    for subscription in sorted(record.subscriptions, key=_by_id):
        granted: set[str] = set()
        # Metered items last: one adds nothing to what another item of the subscription grants already.
        for item in sorted(subscription.items, key=_by_usage_and_id):
            version = catalog.effective_version(item.plan_version)
            verdict = _bought(item, version, granted)
            since, until = -math.inf, math.inf
            if version is not None and verdict is Verdict.COUNTED:
                granted.add(version.id)
                policy = catalog.plan_policies.get(version.plan, catalog.policy)
                verdict, since, until = _stretch(subscription, item, policy, now)
            is_base = version is not None and version.kind == "base"
            units = 1 if item.metered else item.quantity
            kind = ReasonKind.SUBSCRIPTION
            found.append(
                Contribution(kind, verdict, version, is_base, units, since, until, subscription, item)
            )
    return found


def default_contribution(catalog: Catalog, considered: list[Contribution], now: float) -> Contribution | None:
    """Return what the default plan contributes, if there is one: it counts while no base plan does."""
    version = catalog.effective_version(catalog.default_plan or "")
    if version is None:
        return None
    bases = [each for each in considered if each.is_base]
    change = min((base.next_change(now) for base in bases), default=math.inf)
    if any(base.verdict is Verdict.COUNTED for base in bases):
        return Contribution(ReasonKind.DEFAULT_PLAN, Verdict.BASE_PLAN, version, since=change)
    is_base = version.kind == "base"
    return Contribution(ReasonKind.DEFAULT_PLAN, Verdict.COUNTED, version, is_base, until=change)


_by_id = attrgetter("id")
_by_usage_and_id = attrgetter("metered", "id")


def _bought(item: SubscriptionItem, version: PlanVersion | None, granted: set[str]) -> Verdict:
    if version is None:
        return Verdict.UNKNOWN_PLAN
    if item.metered:
        return Verdict.METERED if version.id in granted else Verdict.COUNTED
    return Verdict.COUNTED if item.quantity > 0 else Verdict.NO_QUANTITY


_Moment = Callable[[Subscription, SubscriptionItem], int | None]


@dataclass(frozen=True, slots=True)
class _Status:
    """What a status does unless a policy says otherwise, and the moments that bound it.

    A grant lasts until `ends` and the leeway; the grace counts from `began`. A moment that the record does not
    name ends nothing.
    """

    default: str
    ends: _Moment
    began: _Moment
    is_fixed: bool = False


# docs/entitlements.md, "How long it lasts". A status that is not here grants nothing, whatever a policy says.
_STATUSES: Final = {
    "trialing": _Status(
        "grant",
        ends=lambda subscription, item: subscription.trial_end,
        began=lambda subscription, item: subscription.trial_end,
    ),
    "active": _Status(
        "grant",
        ends=lambda subscription, item: item.period_end,
        began=lambda subscription, item: item.period_end,
        is_fixed=True,
    ),
    "past_due": _Status(
        "grace",
        ends=lambda subscription, item: item.period_end,
        began=lambda subscription, item: subscription.past_due_since,
    ),
    "unpaid": _Status(
        "revoke",
        ends=lambda subscription, item: item.period_end,
        began=lambda subscription, item: subscription.past_due_since,
    ),
    "incomplete": _Status(
        "revoke",
        ends=lambda subscription, item: item.period_end,
        began=lambda subscription, item: subscription.started_at,
    ),
    "paused": _Status(
        "revoke",
        ends=lambda subscription, item: None,
        began=lambda subscription, item: item.period_end,
    ),
}


def _stretch(
    subscription: Subscription, item: SubscriptionItem, policy: StatusPolicy, now: float
) -> tuple[Verdict, float, float]:
    """Return whether the item grants at `now`, and from when until when it does, will or did."""
    until, over = _granted_until(subscription, item, policy)
    if subscription.pause_collection is not None:
        pauses, resumes = _pause(subscription, item, policy)
        if pauses < min(resumes, until):
            if now < pauses or until <= resumes:
                until, over = pauses, Verdict.COLLECTION_PAUSED
            elif now < resumes:
                return Verdict.COLLECTION_PAUSED, resumes, until
    if now >= until:
        return over, -math.inf, until
    # Only to be told: a subscription is there since it began, so a beginning ahead is a clock that is behind.
    return Verdict.COUNTED, -math.inf if subscription.started_at is None else subscription.started_at, until


def _granted_until(
    subscription: Subscription, item: SubscriptionItem, policy: StatusPolicy
) -> tuple[float, Verdict]:
    """Return the moment that ends access, and what it is."""
    until, over = _status_until(subscription, item, policy)
    for end in (subscription.cancel_at, subscription.ended_at):
        if end is not None and end <= until:
            until, over = end, Verdict.CANCELED
    return until, over


def _status_until(
    subscription: Subscription, item: SubscriptionItem, policy: StatusPolicy
) -> tuple[float, Verdict]:
    if subscription.status == "canceled":
        return (-math.inf if subscription.ended_at is None else subscription.ended_at), Verdict.CANCELED
    status = _STATUSES.get(subscription.status)
    if status is None:
        return -math.inf, Verdict.STATUS
    action = status.default if status.is_fixed else policy.statuses.get(subscription.status, status.default)
    if action not in _ACTIONS:
        action = status.default
    if action == "revoke":
        return -math.inf, Verdict.STATUS
    began = status.began(subscription, item)
    if action == "grace" and began is not None:
        return began + policy.grace, Verdict.GRACE_ENDED
    end = status.ends(subscription, item)
    over = Verdict.TRIAL_ENDED if subscription.status == "trialing" else Verdict.PERIOD_ENDED
    return (math.inf if end is None else end + policy.leeway), over


_ACTIONS: Final = frozenset({"grant", "grace", "revoke"})


def _pause(subscription: Subscription, item: SubscriptionItem, policy: StatusPolicy) -> tuple[float, float]:
    """Return from when until when nothing is granted because nothing is collected."""
    pause = subscription.pause_collection
    # What is kept for later, or given up as uncollectible, is still delivered; only what is waived is not.
    if pause is None or pause.behavior != "void" or policy.pause_collection != "until_period_end":
        return math.inf, math.inf
    paid_until = item.period_end
    if pause.since is not None and item.period_start is not None and item.period_start > pause.since:
        paid_until = item.period_start  # this period began during the pause, so nobody paid for it
    return (
        math.inf if paid_until is None else paid_until,
        math.inf if pause.resumes_at is None else pause.resumes_at,
    )
