"""What can be wrong with a link that only Stripe can tell: one small function each, as in `checks`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import stripe as stripe_lib

from flux_server.stripe.checks import Case, Finding, Level, Verdict, how_long
from flux_server.stripe.events import FOLLOWED_TYPES
from flux_server.stripe.webhook_endpoint import StripeEndpoint

__all__ = ["LIVE_CHECKS", "Answers", "Sent", "live_findings"]

_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Sent:
    """How many events Stripe says it has sent lately, and which of them never came with a valid signature."""

    count: int
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answers:
    """What Stripe answered. What it did not answer is None, and `…_refused` says why.

    `refused` says why the key cannot be used at all; then nothing else was asked. `ahead` is by how many seconds this
    server's clock is ahead of Stripe's.
    """

    refused: str = ""
    account: str = ""
    ahead: float | None = None
    endpoints: tuple[StripeEndpoint, ...] | None = None
    endpoints_refused: str = ""
    sent: Sent | None = None
    sent_refused: str = ""


def live_findings(case: Case, answers: Answers) -> tuple[Finding, ...]:
    """Look at everything that Stripe answered."""
    return tuple(_all(case, answers))


def _all(case: Case, answers: Answers) -> Iterator[Finding]:
    for name, (title, look) in LIVE_CHECKS.items():
        verdict = look(case, answers)
        if verdict is not None:
            yield Finding(name, title, verdict.level, verdict.message, verdict.fix)


def _key(_: Case, answers: Answers) -> Verdict:
    if not answers.refused:
        return Verdict("ok", "it works, and may read all that is needed")
    return Verdict(
        "problem",
        answers.refused,
        "give the link a key that works, from Developers, API keys in Stripe; and see that this server reaches Stripe",
    )


def _account(case: Case, answers: Answers) -> Verdict | None:
    linked = case.health.link.account
    if answers.refused or not answers.account or not linked:
        return None
    if answers.account == linked:
        return Verdict("ok", f"the key belongs to {linked}")
    return Verdict(
        "problem",
        f"the key belongs to account {answers.account}, the link to {linked}",
        "unlink, and link again with a key of the right account",
    )


def _clock(_: Case, answers: Answers) -> Verdict | None:
    if answers.ahead is None:
        return None
    off = abs(answers.ahead)
    if off < _CLOCK_MAY_BE_OFF:
        return Verdict("ok", "this server's clock and Stripe's agree")
    side = "ahead of" if answers.ahead > 0 else "behind"
    level: Level = "problem" if off >= _WEBHOOKS_MAY_BE_OLD else "warning"
    too_much = ", so every webhook is refused" if level == "problem" else ""
    return Verdict(
        level, f"this server's clock is {how_long(off)} {side} Stripe's{too_much}", "have it set by NTP"
    )


_CLOCK_MAY_BE_OFF: Final = 30
_WEBHOOKS_MAY_BE_OLD: Final = 300


def _endpoint(case: Case, answers: Answers) -> Verdict | None:
    if answers.endpoints is None:
        return _not_seen(case, answers)
    ours = _ours(case, answers.endpoints)
    enabled = [each for each in ours if each.enabled]
    if len(enabled) == 1:
        return Verdict("ok", f"{enabled[0].id} sends to {case.webhook_url}")
    if enabled:
        names = ", ".join(each.id for each in enabled)
        return Verdict(
            "warning",
            f"{len(enabled)} endpoints send to {case.webhook_url}: {names}",
            "delete all but the one whose signing secret the link has",
        )
    if ours:
        return Verdict(
            "problem", f"{ours[0].id}, which sends to {case.webhook_url}, is disabled", "enable it in Stripe"
        )
    token = case.health.link.token
    moved = next((each for each in answers.endpoints if each.url.rstrip("/").endswith(f"/{token}")), None)
    if moved is not None:
        return Verdict(
            "problem",
            f"{moved.id} sends to {moved.url}, and this server expects {case.webhook_url}",
            "set FLUX_PUBLIC_URL to this server's address, or change the endpoint's address in Stripe",
        )
    return Verdict(
        "problem",
        f"none of the account's {len(answers.endpoints):,} endpoints sends to {case.webhook_url}",
        "save the link again to have Flux make it, or make one in Stripe and give its signing secret to the link",
    )


def _not_seen(case: Case, answers: Answers) -> Verdict | None:
    if not answers.endpoints_refused:
        return None
    return Verdict(
        "warning",
        f"it could not be looked at: {answers.endpoints_refused}",
        f"allow the key to read webhook endpoints, or see yourself that one is enabled and sends to {case.webhook_url}",
    )


def _types(case: Case, answers: Answers) -> Verdict | None:
    ours = [each for each in _ours(case, answers.endpoints or ()) if each.enabled]
    if not ours:
        return None
    sent = frozenset[str]().union(*(each.events for each in ours))
    missing = [] if "*" in sent else [name for name in FOLLOWED_TYPES if name not in sent]
    if not missing:
        return Verdict("ok", "it sends all that Flux follows")
    level: Level = "problem" if any(name.startswith("customer.") for name in missing) else "warning"
    return Verdict(
        level,
        f"it does not send {', '.join(missing)}: such changes are seen late, by looking for them",
        "add these types to the endpoint in Stripe; save the link again if Flux made it",
    )


def _version(case: Case, answers: Answers) -> Verdict | None:
    ours = [each for each in _ours(case, answers.endpoints or ()) if each.enabled]
    if not ours:
        return None
    written = ours[0].api_version
    if written in (None, stripe_lib.api_version):
        return Verdict("ok", f"events are written as {written or 'the account prescribes'}")
    return Verdict(
        "warning",
        f"events are written as API version {written}, and Flux was tried with {stripe_lib.api_version}",
        "nothing is lost, since Flux reads everything again; make the endpoint anew to be sure",
    )


def _arrival(case: Case, answers: Answers) -> Verdict | None:
    if answers.sent is None:
        if not answers.sent_refused:
            return None
        refused = f"Stripe's list of events could not be read: {answers.sent_refused}"
        return Verdict("warning", refused, "allow the key to read events")
    sent = answers.sent
    if not sent.count:
        return Verdict("ok", "Stripe sent none lately")
    if not sent.missing:
        return Verdict("ok", f"each event that Stripe sent lately came ({sent.count:,})")
    names = ", ".join(sent.missing[:_NAMED]) + ("…" if len(sent.missing) > _NAMED else "")
    all_or_some = "none" if len(sent.missing) == sent.count else f"{len(sent.missing):,}"
    never = "came" if all_or_some == "none" else "never came"
    wrong = " Wrong secret?" if case.health.heard.refused else ""
    return Verdict(
        "problem",
        f"of {sent.count:,} events that Stripe sent in the last day, {all_or_some} {never} with a valid signature "
        f"({names}).{wrong}",
        "mend what else is said here, and look in Stripe at the endpoint's failed deliveries; what was missed is "
        "found by itself",
    )


def _ours(case: Case, endpoints: tuple[StripeEndpoint, ...]) -> list[StripeEndpoint]:
    return [each for each in endpoints if each.url.rstrip("/") == case.webhook_url]


LIVE_CHECKS: Final[Mapping[str, tuple[str, Callable[[Case, Answers], Verdict | None]]]] = {
    "key": ("The key", _key),
    "account": ("The account", _account),
    "clock": ("Clocks", _clock),
    "endpoint": ("The webhook endpoint", _endpoint),
    "types": ("Types of events", _types),
    "version": ("API version", _version),
    "arrival": ("Events that Stripe sent", _arrival),
}
"""Each check by its name: what it is about, and the function that looks; None: there is nothing to look at."""
