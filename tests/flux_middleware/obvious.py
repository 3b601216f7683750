"""The rules of docs/entitlements.md once more: slow, obvious, on plain JSON, and sharing no code with Flux.

What is in force at a moment is found by looking at everything there is; the next change by trying every moment
that is mentioned anywhere.
"""

from __future__ import annotations

import calendar
import datetime
import math
from collections.abc import Iterator
from typing import Any

__all__ = ["answer"]

Json = dict[str, Any]
Token = tuple[Any, ...]
LARGEST = 9007199254740991
DAY = 24 * 60 * 60
END_OF_TIME = 10**11


def answer(catalog: Json, record: Json, now: int) -> Json:
    """Return `{"features": {key: {value, until, enforcement, period}}, "until": …}`; `until` may be infinite."""
    world = World(catalog, record)
    features = {key: world.feature_at(key, now) for key in world.features if world.in_force(key, now)}
    for key, feature in features.items():
        feature["until"] = world.next_change(lambda at, key=key: world.concerns(key, at), now)
    until = world.next_change(lambda at: world.everything(set(features), at), now)
    return {"features": features, "until": until}


class World:
    def __init__(self, catalog: Json, record: Json) -> None:
        self.catalog = catalog
        self.record = record
        self.features: dict[str, Json] = {
            feature["key"]: feature
            for feature in catalog.get("features", [])
            if feature["kind"] in ("boolean", "limit")
        }
        self.versions: dict[str, Json] = {
            version["id"]: version for version in catalog.get("plan_versions", [])
        }

    # What is in force

    def subscriptions(self) -> list[Json]:
        return list(self.record.get("subscriptions", []))

    def overrides(self) -> list[Json]:
        return list(self.record.get("overrides", []))

    def version_of(self, name: str) -> Json | None:
        seen: list[str] = []
        at = name
        while at in self.versions:
            if at in seen:
                return self.versions[name]
            seen.append(at)
            following = self.versions[at].get("replaced_by")
            if following not in self.versions:
                return self.versions[at]
            at = following
        return None

    def items_at(self, at: float) -> Iterator[tuple[Token, Json, int]]:
        """Yield (name, plan version, units) of each item that gives something."""
        for s, subscription in enumerate(self.subscriptions()):
            for i, item in enumerate(subscription.get("items", [])):
                version = self.version_of(item["plan_version"])
                if version is None or not self.is_bought(subscription, i):
                    continue
                if self.is_granting(subscription, item, version, at):
                    units = 1 if item.get("metered") else item.get("quantity", 1)
                    yield ("item", s, i), version, units

    def is_bought(self, subscription: Json, index: int) -> bool:
        items = subscription["items"]
        item = items[index]
        if not item.get("metered"):
            return bool(item.get("quantity", 1) > 0)
        for i, other in enumerate(items):
            if self.version_of(other["plan_version"]) != self.version_of(item["plan_version"]) or i == index:
                continue
            if not other.get("metered"):
                if other.get("quantity", 1) > 0:
                    return False
            elif (other["id"], i) < (item["id"], index):
                return False
        return True

    def is_granting(self, subscription: Json, item: Json, version: Json, at: float) -> bool:
        policies = self.catalog.get("plan_policies", {})
        policy = policies.get(version["plan"], self.catalog.get("policy", {}))
        for end in ("cancel_at", "ended_at"):
            if subscription.get(end) is not None and at >= subscription[end]:
                return False
        return self.status_grants(subscription, item, policy, at) and not self.is_waived(
            subscription, item, policy, at
        )

    def status_grants(self, subscription: Json, item: Json, policy: Json, at: float) -> bool:
        leeway, grace = policy.get("leeway", 3 * DAY), policy.get("grace", 7 * DAY)
        status = subscription["status"]
        if status == "canceled":
            return subscription.get("ended_at") is not None  # before which it is, as was just seen
        trial_end, period_end = subscription.get("trial_end"), item.get("period_end")
        failed, began = subscription.get("past_due_since"), subscription.get("started_at")
        # by default, what a grant ends with, what a grace counts from
        row = {
            "trialing": ("grant", trial_end, trial_end),
            "active": ("grant", period_end, None),
            "past_due": ("grace", period_end, failed),
            "unpaid": ("revoke", period_end, failed),
            "incomplete": ("revoke", period_end, began),
            "paused": ("revoke", None, period_end),
        }.get(status)
        if row is None:
            return False
        action, end, grace_from = row
        wanted = policy.get("statuses", {}).get(status)
        if status != "active" and wanted in ("grant", "grace", "revoke"):
            action = wanted
        if action == "revoke":
            return False
        if action == "grace" and grace_from is not None:
            return bool(at < grace_from + grace)
        return end is None or bool(at < end + leeway)

    def is_waived(self, subscription: Json, item: Json, policy: Json, at: float) -> bool:
        pause = subscription.get("pause_collection")
        if pause is None or pause["behavior"] != "void":
            return False
        if policy.get("pause_collection") != "until_period_end":
            return False
        if pause.get("resumes_at") is not None and at >= pause["resumes_at"]:
            return False
        start, end = item.get("period_start"), item.get("period_end")
        if start is not None and pause.get("since") is not None and start > pause["since"]:
            return bool(at >= start)
        return end is not None and bool(at >= end)

    def contributions(self, at: float) -> Iterator[tuple[Token, Json, int]]:
        items = list(self.items_at(at))
        yield from items
        if not any(version.get("kind", "base") == "base" for _, version, _ in items):
            default = self.version_of(self.catalog.get("default_plan") or "")
            if default is not None:
                yield ("default",), default, 1

    def overrides_at(self, key: str, at: float) -> Iterator[tuple[Token, Json]]:
        for o, override in enumerate(self.overrides()):
            since, until = override.get("since"), override.get("until")
            if override["feature"] != key or override["effect"] not in ("set", "add", "deny"):
                continue
            if (since is None or since <= at) and (until is None or at < until):
                yield ("override", o), override

    def grants(self, key: str, at: float) -> Iterator[tuple[Token, Json, int, Json]]:
        for name, version, units in self.contributions(at):
            for grant in version.get("grants", []):
                if grant["feature"] == key:
                    yield name, version, units, grant

    def in_force(self, key: str, at: float) -> set[Token]:
        return {name for name, *_ in self.grants(key, at)} | {name for name, _ in self.overrides_at(key, at)}

    # What it comes to

    def feature_at(self, key: str, at: int) -> Json:
        feature = self.features[key]
        value = self.value(feature, at)
        found: Json = {"value": "unlimited" if value == math.inf else value}
        if feature["kind"] == "limit" and feature.get("metric") is not None:
            found["enforcement"] = self.enforcement(feature, at)
            found["period"] = self.period(feature, at)
        return found

    def value(self, feature: Json, at: float) -> Any:
        merged = self.merged(feature, at)
        boolean = feature["kind"] == "boolean"
        overrides = [override for _, override in self.overrides_at(feature["key"], at)]
        if any(override["effect"] == "deny" for override in overrides):
            return False if boolean else 0
        sets = [fitting(feature, override) for override in overrides if override["effect"] == "set"]
        adds = [fitting(feature, override) for override in overrides if override["effect"] == "add"]
        value = max(sets) if sets else merged
        if boolean:
            return bool(value) or any(adds)
        return clamped(value + sum(adds))

    def merged(self, feature: Json, at: float) -> Any:
        base: list[Any] = []
        addons: list[Any] = []
        for _, version, units, grant in self.grants(feature["key"], at):
            value = fitting(feature, grant)
            if feature["kind"] == "limit":
                value = clamped(value)
                if grant.get("per_unit"):
                    value = clamped(value * units)
            (base if version.get("kind", "base") == "base" else addons).append(value)
        everything = base + addons
        if feature["kind"] == "boolean":
            return any(everything)
        if not everything or math.inf in everything:
            return math.inf if everything else 0
        merge = feature.get("merge")
        if merge == "sum":
            return clamped(sum(everything))
        if merge == "max":
            return max(everything)
        if merge == "min":
            return min(everything)
        return clamped(max(base, default=0) + sum(addons))

    def enforcement(self, feature: Json, at: float) -> str:
        overrides = [override for _, override in self.overrides_at(feature["key"], at)]
        if any(override["effect"] == "deny" for override in overrides):
            return "hard"
        declared = feature.get("enforcement", "hard")
        said = [override["enforcement"] for override in overrides if override.get("enforcement")]
        if not said:
            said = [
                grant.get("enforcement") or declared for *_, grant in self.grants(feature["key"], at)
            ] or [declared]
        return "soft" if "soft" in said else "hard"

    def period(self, feature: Json, at: float) -> tuple[float, float]:
        date = datetime.datetime.fromtimestamp(at, datetime.UTC).date()
        reset = feature.get("reset")
        if reset == "never":
            return 0, math.inf
        if reset == "day":
            return midnight(date), midnight(date) + DAY
        if reset == "week":
            monday = date - datetime.timedelta(days=date.weekday())
            return midnight(monday), midnight(monday) + 7 * DAY
        if reset == "year":
            return midnight(date.replace(month=1, day=1)), midnight(
                date.replace(year=date.year + 1, month=1, day=1)
            )
        first = date.replace(day=1)
        days = calendar.monthrange(date.year, date.month)[1]
        month = midnight(first), midnight(first + datetime.timedelta(days=days))
        return month if reset == "month" else self.billing_period(month, at)

    def billing_period(self, month: tuple[int, int], at: float) -> tuple[int, int]:
        periods = [
            (item["period_start"], item["period_end"])
            for subscription in self.subscriptions()
            for item in subscription.get("items", [])
            if item.get("period_start") is not None and item.get("period_end") is not None
        ]
        begun = sorted(period for period in periods if period[0] <= at)
        start, end = month
        if begun and at < begun[-1][1]:
            start, end = begun[-1]
        elif begun:
            start = max(month[0], *begun[-1])
        return start, min([end] + [ahead[0] for ahead in periods if ahead[0] > at])

    # When it changes

    def concerns(self, key: str, at: float) -> set[Token]:
        """Return all that is in force for the feature; where the default plan grants it, also each base plan."""
        names = self.in_force(key, at)
        default = self.version_of(self.catalog.get("default_plan") or "")
        if default is not None and any(grant["feature"] == key for grant in default.get("grants", [])):
            names |= {name for name, version, _ in self.items_at(at) if version.get("kind", "base") == "base"}
        return names | self.period_names({key}, at)

    def everything(self, keys: set[str], at: float) -> set[Token]:
        names = {name for name, *_ in self.contributions(at)}
        for key in self.features:
            names |= {name for name, _ in self.overrides_at(key, at)}
        return names | self.period_names(keys, at)

    def period_names(self, keys: set[str], at: float) -> set[Token]:
        metered = {key for key in keys if self.features[key].get("metric") is not None}
        return {
            ("period", key, *self.period(self.features[key], at))
            for key in metered
            if self.features[key]["kind"] == "limit"
        }

    def next_change(self, in_force: Any, now: int) -> float:
        present = in_force(now)
        for moment in sorted(self.moments(now)):
            if moment > now and moment < math.inf and in_force(moment) != present:
                return moment
        return math.inf

    def moments(self, now: int) -> set[float]:
        mentioned: set[float] = set(numbers_in(self.record))
        policies = [self.catalog.get("policy", {}), *self.catalog.get("plan_policies", {}).values()]
        for policy in policies:
            for seconds in (policy.get("leeway", 3 * DAY), policy.get("grace", 7 * DAY)):
                mentioned |= {moment + seconds for moment in numbers_in(self.record)}
        ends = {self.period(feature, now)[1] for feature in self.features.values()}
        return mentioned | ends


def fitting(feature: Json, given: Json) -> Any:
    value = given.get("value")
    if feature["kind"] == "boolean":
        return value is None or value == "unlimited" or value > 0
    if value == "unlimited":
        return math.inf
    return 0 if value is None or isinstance(value, bool) else max(-LARGEST, min(value, LARGEST))


def clamped(value: float) -> float:
    return value if value == math.inf else int(max(0, min(value, LARGEST)))


def midnight(date: datetime.date) -> int:
    return calendar.timegm(date.timetuple())


def numbers_in(value: Any) -> Iterator[int]:
    if isinstance(value, dict):
        for each in value.values():
            yield from numbers_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from numbers_in(each)
    elif isinstance(value, int) and not isinstance(value, bool) and value < END_OF_TIME:
        yield value
