"""What can be wrong with a link, one small function each: how bad it is, what it means, and what to do. Pure.

These look at what Flux knows itself, so that a page can show them at any time; `doctor` adds those that ask Stripe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from flux_server.stripe.health import Health

__all__ = ["CHECKS", "Case", "Finding", "Level", "Verdict", "findings", "how_long", "worst"]

Level = Literal["ok", "warning", "problem"]

_MINUTE = 60
_HOUR = 3_600
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Case:
    """What is looked at: the link's health, where its webhooks go, and why Stripe cannot reach that, if it cannot.

    `strangers` are features that Stripe says somebody is entitled to, and that the catalog does not know.
    """

    health: Health
    webhook_url: str
    unreachable: str | None = None
    strangers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found, in words, and what to do about it."""

    level: Level
    message: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict and the check that gave it."""

    check: str
    title: str
    level: Level
    message: str
    fix: str


def findings(case: Case) -> tuple[Finding, ...]:
    """Look at everything that can be told without asking Stripe."""
    return tuple(_all(case))


def worst(found: tuple[Finding, ...]) -> Level:
    """Return how bad the worst of them is."""
    levels = {each.level for each in found}
    return "problem" if "problem" in levels else "warning" if "warning" in levels else "ok"


def how_long(seconds: float) -> str:
    """Say roughly how long that is."""
    for length, name in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute"), (1, "second")):
        if seconds >= length:
            number = int(seconds // length)
            return f"{number:,} {name}{'s' if number != 1 else ''}"
    return "a moment"


def _all(case: Case) -> Iterator[Finding]:
    for name, (title, look) in CHECKS.items():
        verdict = look(case)
        yield Finding(name, title, verdict.level, verdict.message, verdict.fix)


def _link(case: Case) -> Verdict:
    link = case.health.link
    if not link.is_paused:
        return Verdict("ok", "it is active")
    return Verdict(
        "problem",
        f"Stripe is not called: {link.paused_reason}",
        "make another key in Stripe and give it to the link; Flux then catches up by itself",
    )


def _permissions(case: Case) -> Verdict:
    missing = [each for each in case.health.link.permissions if each.state == "missing"]
    if not missing:
        return Verdict("ok", "the key was allowed all that was tried")
    needed = [each.name for each in missing if each.is_needed]
    without = "; ".join(f"without {each.name} {each.without}" for each in missing if not each.is_needed)
    message = f"the key lacks {', '.join(needed)}, which Flux cannot do without" if needed else without
    return Verdict(
        "problem" if needed else "warning",
        message,
        "add these permissions to the key in Stripe, then save the link again",
    )


def _secret(case: Case) -> Verdict:
    if case.health.link.has_webhook_secret:
        return Verdict("ok", "the link has one")
    return Verdict(
        "problem",
        "there is none, so every webhook is refused, and changes are seen late",
        f"in Stripe, have an endpoint send to {case.webhook_url}, and give its signing secret (whsec_…) to the link",
    )


def _signatures(case: Case) -> Verdict:
    heard = case.health.heard
    if heard.refused_at is None:
        return Verdict("ok", "no webhook was refused")
    often = f"{heard.refused:,} so far, the last {how_long(case.health.at - heard.refused_at)} ago"
    if heard.last_at is None or heard.refused_at > heard.last_at:
        return Verdict(
            "problem",
            f"webhooks are refused ({often}), and none was taken since: {heard.refused_reason}. Wrong secret?",
            f"give the link the signing secret (whsec_…) of the endpoint that sends to {case.webhook_url}, and see "
            "that this server's clock is right",
        )
    if case.health.at - heard.refused_at > _DAY:
        return Verdict("ok", f"none was refused lately ({often})")
    return Verdict(
        "warning",
        f"some webhooks are refused ({often}), others are taken: {heard.refused_reason}",
        "in Stripe, look for a second endpoint that sends to this address, and delete it or give its secret too",
    )


def _events(case: Case) -> Verdict:
    heard = case.health.heard
    if heard.last_at is None:
        return Verdict(
            "warning",
            "no webhook has come yet",
            "change something in Stripe, such as a customer's name; if nothing comes, run `flux stripe doctor`",
        )
    last = f"the last came {how_long(case.health.at - heard.last_at)} ago"
    if heard.missed_day:
        return Verdict(
            "warning",
            f"{_count(heard.missed_day, 'event')} of the last day never came and had to be looked up; {last}",
            "run `flux stripe doctor`: it asks Stripe whether the endpoint is there, enabled, and sends all types",
        )
    return Verdict("ok", f"{last}; {heard.hour:,} in the last hour, {heard.day:,} in the last day")


def _address(case: Case) -> Verdict:
    if case.unreachable is None:
        return Verdict("ok", f"Stripe sends to {case.webhook_url}")
    message, _, fix = case.unreachable.partition("; ")
    if case.health.link.livemode:
        return Verdict("problem", message, fix)
    return Verdict(
        "warning", message, f"{fix}; or run `stripe listen --forward-to {case.webhook_url}` while you develop"
    )


def _waiting(case: Case) -> Verdict:
    health = case.health
    if not health.waiting or health.waiting_since is None:
        return Verdict("ok", "nothing waits to be read")
    age = health.at - health.waiting_since
    message = f"{_count(health.waiting, 'object')} to be read, the first for {how_long(age)}"
    if age < 5 * _MINUTE:
        return Verdict("ok", message)
    fix = "see below what cannot be read and why; if nothing is listed there, see that a server runs its jobs"
    return Verdict("problem" if age > _HOUR else "warning", message, fix)


def _failed(case: Case) -> Verdict:
    failed = case.health.failed
    if not failed:
        return Verdict("ok", "everything could be read")
    first = failed[0]
    return Verdict(
        "warning",
        f"{_count(len(failed), 'object')} could not be read so far, such as {first.object_type} {first.object_id} "
        f"({_count(first.attempts, 'attempt')}): {first.error}",
        "mend what Stripe says; it is tried again by itself",
    )


def _looked(case: Case) -> Verdict:
    health = case.health
    if health.looked_until is None:
        age = health.at - health.link.created_at
        message = f"Stripe's list of events was not read yet; the link was made {how_long(age)} ago"
    else:
        age = health.at - health.looked_until
        message = f"Stripe's list of events was read up to {how_long(age)} ago"
    if age < 2 * _HOUR:
        return Verdict("ok", message)
    return Verdict(
        "warning",
        message,
        "see in the server's log why it is not read; the key must be allowed to read events",
    )


def _sweep(case: Case) -> Verdict:
    health = case.health
    age = health.at - (health.swept_at if health.swept_at is not None else health.link.created_at)
    if health.sweep is not None and health.sweep.error and health.sweep.finished_at is None:
        return Verdict(
            "warning", f"the last sweep does not get on: {health.sweep.error}", "it is tried again"
        )
    if age > 26 * _HOUR:
        level: Level = "problem" if age > 3 * _DAY else "warning"
        message = f"not all subscriptions were compared with Stripe for {how_long(age)}"
        return Verdict(level, message, "run `flux stripe sync`, and see in the server's log what stops it")
    if health.swept_at is None:
        return Verdict("ok", "the first is still to come")
    return Verdict("ok", f"all subscriptions were compared with Stripe {how_long(age)} ago")


def _drift(case: Case) -> Verdict:
    sweep = case.health.sweep
    if sweep is None or not sweep.drifted:
        return Verdict("ok", "the last sweep found nothing to repair")
    return Verdict(
        "warning",
        f"the last sweep repaired {_count(sweep.drifted, 'difference')}: webhooks were missed",
        "look at the drift page for what differed; run `flux stripe doctor` for why webhooks do not come",
    )


def _forwarding(case: Case) -> Verdict:
    health, outbox = case.health, case.health.outbox
    if health.link.forwarding_paused:
        return Verdict(
            "problem",
            f"usage is kept, but not sent: {health.link.forwarding_paused}",
            "give the link a key that may write meter events",
        )
    lost = [f"{outbox[state]:,} {word}" for state, word in _LOST.items() if outbox.get(state)]
    if lost:
        return Verdict(
            "problem",
            f"usage may not have been billed: {', '.join(lost)}",
            "compare the ledger with the meter's sum in Stripe, and bill the difference there by hand",
        )
    if health.unsent_since is not None and (age := health.at - health.unsent_since) > _HOUR:
        return Verdict(
            "warning", f"usage waits to be sent for {how_long(age)}", "see in the server's log why"
        )
    return Verdict("ok", f"{outbox.get('sent', 0):,} sent, {outbox.get('pending', 0):,} waiting")


_LOST: Final[Mapping[str, str]] = {"dead": "refused by Stripe", "ambiguous": "of unknown fate"}


def _customers(case: Case) -> Verdict:
    unknown = case.health.unknown_customers
    if not unknown:
        return Verdict("ok", "every subscription belongs to an organization")
    return Verdict(
        "warning",
        f"nobody has said whose {_count(len(unknown), 'subscription')} {'is' if len(unknown) == 1 else 'are'}, such "
        f"as {unknown[0].subscription} of {unknown[0].id}: their customers paid and get nothing",
        f"say whose they are on the quarantine page, or give the customer metadata {case.health.link.metadata_key!r} "
        "in Stripe",
    )


def _prices(case: Case) -> Verdict:
    unmapped = case.health.unmapped_prices
    if not unmapped:
        return Verdict("ok", "every price that somebody subscribed to is on a plan")
    names = ", ".join(price.price for price in unmapped[:5])
    return Verdict(
        "warning",
        f"{_count(len(unmapped), 'price')} that somebody subscribed to {'is' if len(unmapped) == 1 else 'are'} on no "
        f"plan and {'gives' if len(unmapped) == 1 else 'give'} nothing: {names}{'…' if len(unmapped) > 5 else ''}",
        "put them on a plan",
    )


def _entitlements(case: Case) -> Verdict:
    if not case.strangers:
        return Verdict("ok", "nothing that Stripe grants is unknown here")
    return Verdict(
        "warning",
        f"Stripe grants features that are no on/off features here: {', '.join(case.strangers[:10])}",
        "make on/off features with these keys, or correct the lookup keys in Stripe",
    )


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'s' if number != 1 else ''}"


CHECKS: Final[Mapping[str, tuple[str, Callable[[Case], Verdict]]]] = {
    "link": ("The link", _link),
    "permissions": ("Permissions of the key", _permissions),
    "secret": ("Webhook secret", _secret),
    "signatures": ("Signatures of webhooks", _signatures),
    "events": ("Webhooks", _events),
    "address": ("Address of webhooks", _address),
    "waiting": ("Objects to be read", _waiting),
    "failed": ("Reading from Stripe", _failed),
    "looked": ("Looking for missed events", _looked),
    "sweep": ("Comparing all subscriptions", _sweep),
    "drift": ("Drift", _drift),
    "forwarding": ("Usage", _forwarding),
    "customers": ("Whose subscriptions", _customers),
    "prices": ("Prices", _prices),
    "entitlements": ("Features that Stripe grants", _entitlements),
}
"""Each check by its name: what it is about, and the function that looks."""
