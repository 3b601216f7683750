"""A check of our own for schemathesis: what fits the description is refused only for what it cannot describe."""

from __future__ import annotations

import itertools
from typing import Any

import schemathesis

__all__ = ["refused_for_a_reason", "take_a_new_key"]

_numbers = itertools.count()

# Codes of refusals that depend on what is stored, or on two members together.
_REASONS = {
    "catalog_moved": "nothing has the entity tag that was made up",
    "invalid_catalog": "a boolean feature has no metric; a limit's metric must be there, and so must its merge be",
    "invalid_catalog_document": "what it refers to must be in it, and what is published never changes",
    "invalid_file": "a file that is imported has rows of its own",
    "invalid_moment": "a moment is a number, a date or a date and time, each within bounds",
    "invalid_override": "the value must fit the feature, and `until` lie ahead of now",
    "malformed_plan": "features and metrics that it names must be there, each once",
    "precondition_failed": "nothing has the entity tag that was made up",
    "stripe_link_refused": "a Stripe key has a form, and must be of the environment's mode",
}

# What `invalid_request` says in such a case.
_WORDS = (
    "query.cursor: this is",  # only the server can make one
    "an organization id is a string of 1 to 255 bytes",  # a schema counts characters
    "Input should be a valid integer",  # JSON Schema counts 1.0 as one
)


@schemathesis.hook("before_call")
def take_a_new_key(
    context: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]
) -> None:
    """Take another Idempotency-Key for each request, which would be refused for its key otherwise."""
    key = case.headers.get("Idempotency-Key") if case.headers else None
    if key and _fits(case):
        case.headers["Idempotency-Key"] = f"{key[:200]}-{next(_numbers)}"


@schemathesis.check
def refused_for_a_reason(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> None:
    """Fail if a request that fits the description is refused for no reason that is known here."""
    if response.status_code in (412, 422) and _fits(case):
        problem = response.json()
        known = problem["code"] in _REASONS or any(words in problem["detail"] for words in _WORDS)
        assert known, f"fits the description, and is refused: {problem['detail']}"


def _fits(case: schemathesis.Case[Any]) -> bool:
    """Say whether every part of the request fits the description."""
    if case.meta is None or not all(part.mode.is_positive for part in case.meta.components.values()):
        return False
    # Where it tests another header, schemathesis fills these with 0, which does not fit, and does not say so.
    return "0" not in (case.headers.get("If-Match"), case.headers.get("If-None-Match"))
