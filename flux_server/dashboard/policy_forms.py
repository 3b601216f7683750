"""A status policy as a form, and as sentences that say what it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flux_middleware.snapshot import StatusPolicy
from flux_server.catalog.policies import CHANGEABLE_STATUSES
from flux_server.catalog.values import MAX_GRACE, MAX_LEEWAY
from flux_server.dashboard.clashes import SEEN, fingerprint
from flux_server.dashboard.durations import duration_words
from flux_server.dashboard.forms import Form
from flux_server.dashboard.reasons import STATUS_WORDS

__all__ = ["DEFAULTS", "EFFECTS", "PAUSES", "Sentence", "policy_form", "read_policy", "sentences"]

DEFAULTS: Final = {
    "trialing": "grant",
    "past_due": "grace",
    "unpaid": "revoke",
    "incomplete": "revoke",
    "paused": "revoke",
}
"""What the statuses do that a policy leaves out (stripe.md 2.6)."""

EFFECTS: Final = {
    "grant": "grants",
    "grace": "grants for the grace, then no more",
    "revoke": "grants nothing",
}
PAUSES: Final = {
    "grant": ("Grants on", "As Stripe advises: the service goes on."),
    "until_period_end": (
        "Grants to the end of what was paid",
        "Where what falls due is waived: nothing from the first period on that nobody paid for.",
    ),
}

# By status: until when it grants, by effect. {leeway} begins with a comma, or is empty.
_UNTIL: Final = {
    "active": {"grant": "until its period ends{leeway}"},
    "trialing": {
        "grant": "until its trial ends{leeway}",
        "grace": "until {grace} after its trial ends",
    },
    "past_due": {
        "grant": "until its period ends{leeway}",
        "grace": "for {grace} after the payment first failed",
    },
    "unpaid": {
        "grant": "until its period ends{leeway}",
        "grace": "for {grace} after the payment first failed",
    },
    "incomplete": {"grant": "until its period ends{leeway}", "grace": "for {grace} after it began"},
    "paused": {"grant": "for as long as it is paused", "grace": "until {grace} after its period ends"},
}


@dataclass(frozen=True, slots=True)
class Sentence:
    """What a subscription of this status gives its organization; `meaning` is what the status says."""

    status: str
    meaning: str
    gives: str


def policy_form(policy: StatusPolicy) -> Form:
    """Return the form as it is opened."""
    return Form.of(
        {
            SEEN: fingerprint(policy),
            "grace": duration_words(policy.grace),
            "leeway": duration_words(policy.leeway),
            "pause_collection": policy.pause_collection,
            **{
                f"status:{status}": policy.statuses.get(status, DEFAULTS[status])
                for status in CHANGEABLE_STATUSES
            },
        }
    )


def read_policy(form: Form) -> StatusPolicy:
    """Return the policy that the form asks for; what is wrong with it is noted in the form."""
    needed = "say how long, like 3 days; 0 for not at all"
    effects = {status: form.choice(f"status:{status}", EFFECTS) for status in CHANGEABLE_STATUSES}
    return StatusPolicy(
        leeway=form.duration("leeway", most=MAX_LEEWAY, required=needed) or 0,
        grace=form.duration("grace", most=MAX_GRACE, required=needed) or 0,
        statuses={status: effect for status, effect in effects.items() if effect != DEFAULTS[status]},
        pause_collection=form.choice("pause_collection", PAUSES),
    )


def sentences(policy: StatusPolicy) -> list[Sentence]:
    """Return what each status does under the policy."""
    leeway = f", and {duration_words(policy.leeway)} more" if policy.leeway else ""
    grace = duration_words(policy.grace) if policy.grace else "no time"
    found = [
        Sentence("canceled", STATUS_WORDS["canceled"], "grants until it ends, then nothing"),
        Sentence("incomplete_expired", STATUS_WORDS["incomplete_expired"], "grants nothing"),
    ]
    for status in reversed(("active", *CHANGEABLE_STATUSES)):
        effect = policy.statuses.get(status, DEFAULTS.get(status, "grant"))
        until = _UNTIL[status].get(effect)
        gives = f"grants {until.format(leeway=leeway, grace=grace)}" if until else "grants nothing"
        found.insert(0, Sentence(status, STATUS_WORDS[status], gives))
    return found
