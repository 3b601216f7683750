"""What may happen to webhooks on their way, by plan: lost, doubled, late, beside each other, or held back.

Fates are drawn from the plan's seed, for each receiver on its own: its events fare the same in each run.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

import msgspec

__all__ = ["DeliveryPlan", "Disorder"]

T = TypeVar("T")

_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=300)]


class DeliveryPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The share of events to which each thing happens."""

    endpoint: str | None = None
    """Whose events; everyone's who has no plan of its own, if nothing is said."""
    seed: int = 0
    drop: _Share = 0.0
    """Lost: never sent, and not tried again."""
    duplicate: _Share = 0.0
    """Sent once more, later."""
    reorder: _Share = 0.0
    """Sent later, while the others pass."""
    delay: _Seconds = 0.2
    """How many seconds later at most."""
    concurrent: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    """How many are sent at a time."""
    hold: bool = False
    """Whether all wait until they are flushed, in an order drawn from the seed."""


@dataclass(slots=True)
class Disorder:
    """The plans in force."""

    _plans: dict[str | None, DeliveryPlan] = field(default_factory=dict)
    _chances: dict[str, random.Random] = field(default_factory=dict)

    def plan(self, plan: DeliveryPlan) -> None:
        """Put a plan in force, in place of the one for the same events."""
        self._plans[plan.endpoint] = plan
        self._chances.clear()

    def clear(self) -> None:
        """Deliver everything once, in order."""
        self._plans.clear()

    def of(self, receiver: str) -> DeliveryPlan:
        """Return the plan for a receiver's events."""
        return self._plans.get(receiver) or self._plans.get(None) or DeliveryPlan()

    def fate(self, receiver: str) -> list[float]:
        """Return when each copy of the receiver's next event is sent, in seconds from when it could be."""
        plan, chance = self.of(receiver), self._chance(receiver)
        drawn = [
            chance.random() for _ in range(5)
        ]  # always as many, so that the shares do not depend on each other
        if drawn[0] < plan.drop:
            return []
        copies = [drawn[1] * plan.delay if drawn[2] < plan.reorder else 0.0]
        if drawn[3] < plan.duplicate:
            copies.append(copies[0] + drawn[4] * plan.delay)
        return copies

    def shuffled(self, receiver: str, held: list[T]) -> list[T]:
        """Return what was held back for a receiver in the order in which it goes out."""
        return self._chance(receiver).sample(held, len(held))

    def _chance(self, receiver: str) -> random.Random:
        """Return the receiver's chances. Ids differ from run to run, so it is known by when it first came."""
        if receiver not in self._chances:
            seed = f"{self.of(receiver).seed}:{len(self._chances)}"
            self._chances[receiver] = random.Random(seed)  # noqa: S311  # repeatable on purpose
        return self._chances[receiver]

    def described(self) -> dict[str, Any]:
        """Return the plans as JSON."""
        return {"plans": [msgspec.to_builtins(plan) for plan in self._plans.values()]}
