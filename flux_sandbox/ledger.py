"""Every object of the account, as Stripe's documents: in memory, gone when the process ends.

A document is never changed in place, but replaced; so one that was handed out, or that an event shows, stays as it is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, TypeAlias

from flux_sandbox.errors import MissingError

__all__ = ["Document", "Ledger"]

Document: TypeAlias = dict[str, Any]
"""A JSON object. What travels on the wire is the sandbox's only model, so it has no types beside it."""


class Ledger:
    """Documents by kind and id; each kind remembers in which order its documents came."""

    def __init__(self) -> None:
        self._kinds: defaultdict[str, dict[str, Document]] = defaultdict(dict)

    def put(self, document: Document) -> None:
        """Add the document, or put it in place of the one with its id."""
        self._kinds[document["object"]][document["id"]] = document

    def bury(self, kind: str, id_: str) -> Document:
        """Put in a document's place that it was deleted, and return that; its place in lists stays known."""
        grave = {"id": id_, "object": kind, "deleted": True}
        self.put(grave)
        return grave

    def find(self, kind: str, id_: str) -> Document | None:
        """Return the document, if there is one."""
        found = self._kinds[kind].get(id_)
        return None if found is None or found.get("deleted") else found

    def remember(self, kind: str, id_: str) -> Document | None:
        """Return the document, or that it was deleted, or nothing if it never was."""
        return self._kinds[kind].get(id_)

    def require(self, kind: str, id_: str, *, param: str | None = None) -> Document:
        """Return the document, or refuse a request whose path (or parameter `param`) names it."""
        found = self.find(kind, id_)
        if found is None:
            raise MissingError(kind, id_, param=param)
        return found

    def newest_first(self, kind: str) -> Iterator[Document]:
        """Iterate over the documents of a kind."""
        return (document for document in self.every(kind) if not document.get("deleted"))

    def every(self, kind: str) -> Iterator[Document]:
        """Iterate over the documents of a kind, newest first, those that tell of a deletion included."""
        return reversed(self._kinds[kind].values())
