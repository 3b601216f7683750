"""A method and path, the parameters it takes, and the function that answers."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from flux_sandbox.account import Action
from flux_sandbox.ledger import Document, Ledger
from flux_sandbox.parameters import Params, Shape

__all__ = ["Call", "Route"]


@dataclass(frozen=True, slots=True)
class Call:
    """One request, understood: what it asks for, and the action by which it may do so."""

    action: Action
    params: Params
    target: str = ""
    """The id in the path, if the path has one."""

    @property
    def ledger(self) -> Ledger:
        """The account's objects."""
        return self.action.ledger

    @property
    def now(self) -> int:
        """The account's time."""
        return self.action.now


def _nothing(_: Params) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Route:
    """One entry of the API. The answer is a stored document; it is rendered on its way out."""

    method: str
    path: str
    answer: Callable[[Call], Document]
    parameters: Shape
    gone_since: str | None = None
    """The first API version without it, if it is gone."""
    alone: Callable[[Params], Hashable] = _nothing
    """What only one request may touch at a time, if there is such a thing."""
