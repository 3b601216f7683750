"""Entitlements in words, for people who wonder."""

from __future__ import annotations

import datetime
import math
from typing import Final

from flux_middleware.catalog import FeatureValue
from flux_middleware.reasons import Reason, ReasonKind, Verdict

__all__ = ["sentence", "until_words", "value_words", "verdict_sentence", "why_not"]


def sentence(reason: Reason) -> str:
    """Say what was considered, what it gives and until when; or why it does not count."""
    if reason.verdict is not Verdict.COUNTED:
        return f"{_what(reason)}: not counted, for {why_not(reason)}"
    if reason.kind is ReasonKind.OVERRIDE:
        return f"{_what(reason)}{until_words(reason.until)}"
    return f"{_what(reason)}: {value_words(reason.value)}{until_words(reason.until)}"


def verdict_sentence(organization: str, feature: str, value: FeatureValue, until: float) -> str:
    """Say whether the organization is entitled to the feature, how much it may have of it, and until when."""
    if not value > 0:
        return f"{organization} is not entitled to {feature}{until_words(until)}"
    much = "" if isinstance(value, bool) else f": {value_words(value)}"
    return f"{organization} is entitled to {feature}{much}{until_words(until)}"


def value_words(value: FeatureValue) -> str:
    """Say a feature's value."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "unlimited" if value == math.inf else str(value)


def until_words(moment: float) -> str:
    """Say until when something lasts, to follow what it is; nothing if it has no end."""
    return "" if math.isinf(moment) else f", until {_date(moment)}"


def why_not(reason: Reason) -> str:
    """Say why it does not count."""
    return _WHY_NOT[reason.verdict].format(
        status=reason.status,
        price=reason.price,
        since="" if math.isinf(reason.until) else f" since {_date(reason.until)}",
        until_then=until_words(reason.since).removeprefix(","),
        begins=_date(reason.since),
    )


def _what(reason: Reason) -> str:
    if reason.kind is ReasonKind.DEFAULT_PLAN:
        return f"default plan, {reason.plan_version}"
    if reason.kind is ReasonKind.SUBSCRIPTION:
        status = reason.status
        if reason.unknown_status:
            status += f", reported as {reason.unknown_status}"
        return f"subscription {reason.subscription} ({status}), {reason.plan_version}"
    by = f" by {reason.author}" if reason.author else ""
    why = f" ({reason.note})" if reason.note else ""
    what = reason.effect if reason.effect == "deny" else f"{reason.effect} {value_words(reason.value)}"
    return f"override {reason.override}: {what}{by}{why}"


_WHY_NOT: Final = {
    Verdict.OUTDONE: "another one decides",
    Verdict.ABSORBED: "something unlimited absorbs it",
    Verdict.SUPERSEDED: "an override takes its place",
    Verdict.DENIED: "an override denies it",
    Verdict.STATUS: "the subscription is {status}",
    Verdict.TRIAL_ENDED: "its trial is over{since}",
    Verdict.PERIOD_ENDED: "its period is over{since} and no renewal was heard of",
    Verdict.GRACE_ENDED: "its grace is over{since}",
    Verdict.CANCELED: "the subscription has ended{since}",
    Verdict.COLLECTION_PAUSED: "no payments are collected for it{until_then}",
    Verdict.NO_QUANTITY: "its quantity is 0",
    Verdict.METERED: "it bills usage, and another item gives the plan",
    Verdict.UNKNOWN_PLAN: "no plan is sold by its price {price}",
    Verdict.BASE_PLAN: "a base plan takes its place",
    Verdict.UPCOMING: "it begins {begins}",
    Verdict.EXPIRED: "it has expired{since}",
    Verdict.UNKNOWN_EFFECT: "this version of Flux does not know that effect",
}


def _date(moment: float) -> str:
    if math.isinf(moment):
        return "never"
    return f"{datetime.datetime.fromtimestamp(moment, datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"
