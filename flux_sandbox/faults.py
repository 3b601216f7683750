"""What goes wrong with requests, by plan: a list of faults, each with the requests that it meets.

The plan is drawn from a seed: the same requests in the same order meet the same faults.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final, Literal

import msgspec

from flux_sandbox.errors import ConflictError, CrashedError, RateLimitedError

__all__ = ["NO_FAULT", "Fault", "FaultPlan", "Faults"]

_Count = Annotated[int, msgspec.Meta(ge=0)]
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=300)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What happens to which requests."""

    what: Literal["answer_lost", "conflict", "error", "outage", "rate_limit", "slow"]
    """
    - `error`: 500. It is saved under the request's idempotency key, and replayed, unless `saved` is false.
    - `rate_limit`: 429, with `Retry-After` if `retry_after` is given.
    - `conflict`: 409.
    - `answer_lost`: the request is carried out, but the connection is closed in place of the answer.
    - `outage`: the connection is closed before anything happens.
    - `slow`: nothing but the wait of `seconds`, which the others may have too.
    """
    method: str = "*"
    path: str = "/*"
    """A pattern: `/v1/billing/*`."""
    times: _Count | None = None
    """How many requests it meets; all, if nothing is said."""
    above_per_second: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """How many matching requests pass in any second, by the wall's clock; it meets those that come beside them."""
    after: _Count = 0
    """How many matching requests pass before the first that it may meet."""
    probability: _Share = 1.0
    saved: bool = True
    carried_out: bool = False
    """Whether the request of an `error` was carried out all the same."""
    retry_after: _Count | None = None
    seconds: _Seconds = 0.0

    def matches(self, method: str, path: str) -> bool:
        """Say whether a request is one of those that it is about."""
        return fnmatchcase(method, self.method) and fnmatchcase(path, self.path)

    @property
    def strikes_at_once(self) -> bool:
        """Whether it strikes before a request is looked at closely."""
        forgotten = self.what == "error" and not self.saved and not self.carried_out
        return forgotten or self.what in ("conflict", "outage", "rate_limit")

    def refuse(self) -> None:
        """Raise what is answered before a request is looked at closely, and never saved."""
        if self.what == "rate_limit":
            raise RateLimitedError(self.retry_after)
        if self.what == "conflict":
            raise ConflictError
        if self.what == "error" and self.strikes_at_once:
            raise CrashedError

    def crash(self, *, carried_out: bool) -> None:
        """Raise what fails in the midst of a request, before or after it was carried out."""
        if self.what == "error" and self.carried_out == carried_out:
            raise CrashedError


class FaultPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Faults, the first that meets a request first, and the seed of their chances."""

    rules: tuple[Fault, ...] = ()
    seed: int = 0


@dataclass(slots=True)
class _Rule:
    fault: Fault
    chance: random.Random
    seen: int = 0
    met: int = 0
    passed: deque[float] = field(default_factory=deque)

    def meets(self, now: float) -> bool:
        """Say whether the request, a matching one, meets the fault."""
        self.seen += 1
        hit = self.chance.random() < self.fault.probability
        spent = self.fault.times is not None and self.met >= self.fault.times
        if spent or not hit or self.seen <= self.fault.after or self._few(now):
            return False
        self.met += 1
        return True

    def _few(self, now: float) -> bool:
        """Say whether the request is one of those that pass in any second."""
        if self.fault.above_per_second is None:
            return False
        while self.passed and self.passed[0] <= now - 1:
            self.passed.popleft()
        if len(self.passed) >= self.fault.above_per_second:
            return False
        self.passed.append(now)
        return True


@dataclass(slots=True)
class Faults:
    """The plan that is in force, and how much of it has happened."""

    _rules: list[_Rule] = field(default_factory=list)
    _seed: int = 0

    def plan(self, faults: Sequence[Fault], *, seed: int = 0) -> None:
        """Put these faults in place of the plan in force."""
        self._seed = seed
        self._rules = [
            _Rule(fault, random.Random(f"{seed}:{number}"))  # noqa: S311  # repeatable on purpose
            for number, fault in enumerate(faults)
        ]

    def clear(self) -> None:
        """Let nothing go wrong any more."""
        self._rules = []

    def meet(self, method: str, path: str, now: float) -> Fault | None:
        """Return the fault that a request meets, if it meets one."""
        for rule in self._rules:
            if rule.fault.matches(method, path) and rule.meets(now):
                return rule.fault
        return None

    def described(self) -> dict[str, Any]:
        """Return the plan as JSON, with how many requests each fault could have met, and has."""
        rules = [{**msgspec.to_builtins(one.fault), "seen": one.seen, "met": one.met} for one in self._rules]
        return {"rules": rules, "seed": self._seed}


NO_FAULT: Final = Fault(what="slow")
"""What a request meets that meets nothing."""
