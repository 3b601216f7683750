"""Two people editing one thing: a form knows what it was filled from, and what somebody else saved since is shown.

The form carries a fingerprint of what it was opened with. If that is not what is stored any more when the form is
sent, nothing is saved: both are shown, and the form sent once more saves over what it now knows of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.dashboard.forms import Clash, Difference, Form
from flux_server.environments.history import Kind, read_history

__all__ = ["SEEN", "fingerprint", "notice_clash"]

SEEN: Final = "seen"
"""The field that carries the fingerprint."""

_NOT_EDITED: Final = frozenset({"csrf", "key", SEEN})
_WORDS: Final = {
    "enforcement": "{} when used up",
    "price-metric": "what prices bill",
    "status": "status {}",
    "unit": "{} per unit",
    "value": "{}",
}


def fingerprint(value: object) -> str:
    """Return a few characters that are others when anything about the value is."""
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()[:20]


async def notice_clash(
    connection: AsyncConnection, environment: str, form: Form, stored: Form, kind: Kind, subject: str
) -> None:
    """Note it in the form if it was not filled from what is stored, which as a form is `stored`.

    Call it in the transaction that saves.
    """
    if form.typed(SEEN) == stored.typed(SEEN):
        return
    last = await read_history(connection, environment, kinds=(kind,), subject=subject, limit=1)
    actor, at = (last[0].actor, last[0].at) if last else ("", 0)
    form.clash = Clash(actor, at, tuple(_differences(stored, form)))
    form.status = 409
    form.fill(SEEN, stored.typed(SEEN))


def _differences(theirs: Form, mine: Form) -> Iterator[Difference]:
    for name in dict.fromkeys([*theirs.names, *mine.names]):
        stored, typed = (_shown(form, name) for form in (theirs, mine))
        if name not in _NOT_EDITED and stored != typed:
            yield Difference(_label(name), stored, typed)


def _shown(form: Form, name: str) -> str:
    return ", ".join(text.strip() for text in form.all_typed(name) if text.strip())


def _label(name: str) -> str:
    what, _, key = name.partition(":")
    return _WORDS.get(what, "{}").format(key) if key or what in _WORDS else what.replace("-", " ")
