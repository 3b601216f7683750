"""What to answer when there is too little to go by: nothing at all, or nothing recent."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, cast

from flux_middleware.beacon import CONTACT
from flux_middleware.catalog import FeatureValue, Unlimited
from flux_middleware.conditions import Conditions
from flux_middleware.errors import ConfigurationError, InvalidRecordError
from flux_middleware.snapshot import require_key

__all__ = ["NO_POLICIES", "Freshness", "Policies", "WhenStale", "read_policies", "require_max_stale"]

WhenStale = Literal["deny", "allow"]
"""How to answer when the server was not heard of for too long."""


@dataclass(frozen=True, slots=True)
class Policies:
    """What an application declared for when it cannot know.

    `fallbacks` answer for their features on a host that never heard from the server. Once the server was not
    heard of for more than `max_stale` seconds, every check is answered `when_stale`.
    """

    fallbacks: Mapping[str, FeatureValue] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    max_stale: float | None = None
    when_stale: WhenStale = "deny"


NO_POLICIES: Final = Policies()


def read_policies(
    fallbacks: Mapping[str, FeatureValue] | None, max_stale: float | None, when_stale: str
) -> Policies:
    """Return the policies as an application passes them.

    Raises:
        ConfigurationError: they are not what they should be.
    """
    declared = dict(fallbacks or {})
    for feature, value in declared.items():
        _require_fallback(feature, value)
    require_max_stale(max_stale, when_stale)
    return Policies(MappingProxyType(declared), max_stale, cast("WhenStale", when_stale))


def require_max_stale(max_stale: float | None, when_stale: str) -> None:
    """Require a bound on the age of what is known, and what to do beyond it.

    Raises:
        ConfigurationError: they are not what they should be.
    """
    if max_stale is not None:
        is_number = isinstance(max_stale, int | float) and not isinstance(max_stale, bool)
        if not is_number or not 0 < max_stale < math.inf:
            raise ConfigurationError(f"max_stale is a number of seconds above 0, not {max_stale!r:.100}")
    if when_stale not in ("deny", "allow"):
        raise ConfigurationError(f'when_stale is "deny" or "allow", not {when_stale!r:.100}')


def _require_fallback(feature: str, value: FeatureValue) -> None:
    try:
        require_key(feature)
    except (InvalidRecordError, TypeError) as error:
        raise ConfigurationError(f"fallbacks are by the key of a feature: {error}") from error
    if not isinstance(value, int | Unlimited) or value < 0:
        raise ConfigurationError(
            f"the fallback of {feature!r} is True, False, a whole number of 0 or more, or UNLIMITED, "
            f"not {value!r:.100}"
        )


class Freshness:
    """Tells how old what is known is, in real time, and whether that is too old."""

    def __init__(
        self, words: memoryview, policies: Policies, *, wall: Callable[[], float], conditions: Conditions
    ) -> None:
        self.is_bounded = policies.max_stale is not None
        self._words = words
        self._policies = policies
        self._wall = wall
        self._conditions = conditions

    def age(self) -> float | None:
        """Return how many seconds ago the server was last heard of; None if it never was."""
        contact = self._words[CONTACT] / 1000
        return max(0.0, self._wall() - contact) if contact else None

    def left(self) -> float:
        """Return for how many more seconds what is known is fresh enough; for ever, unless that is bounded."""
        if self._policies.max_stale is None:
            return math.inf
        age = self.age()
        return -math.inf if age is None else self._policies.max_stale - age

    def overdue(self, max_stale: float | None = None, when_stale: WhenStale | None = None) -> bool | None:
        """Return how to answer, allowing or not, if what is known is too old; None if it is not."""
        if max_stale is None and self._policies.max_stale is None:
            return None
        answer = (when_stale or self._policies.when_stale) == "allow"
        if max_stale is not None:
            age = self.age()
            return answer if age is None or age >= max_stale else None
        if self.left() > 0:
            self._conditions.end("stale", "the server is heard of again; checks go by what it says")
            return None
        said = "allowed" if answer else "denied"
        message = "the server was not heard of for %g seconds; checks are %s until it is"
        self._conditions.begin("stale", said, message, self._policies.max_stale, said)
        return answer
