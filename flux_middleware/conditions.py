"""What is wrong at the moment: logged when it begins, changes or ends, never again in between."""

from __future__ import annotations

import logging

__all__ = ["Conditions"]

_MOST = 1_000
_logger = logging.getLogger("flux")


class Conditions:
    """Named conditions; a condition's `problem` tells its occurrences apart."""

    def __init__(self) -> None:
        self._present: dict[str, str] = {}

    def begin(self, name: str, problem: str, message: str, *arguments: object) -> None:
        """Log the message as a warning, unless the condition is known to be just that."""
        if self._present.get(name) == problem:
            return
        if len(self._present) < _MOST:  # names may come from callers: neither memory nor log may run full
            self._present[name] = problem
            _logger.warning(message, *arguments)

    def end(self, name: str, message: str = "", *arguments: object) -> None:
        """Log, if there was such a condition, that it is over."""
        if self._present.pop(name, None) is not None and message:
            _logger.info(message, *arguments)

    def problem(self, name: str) -> str | None:
        """Return the condition's problem, if it is present."""
        return self._present.get(name)

    def present(self) -> dict[str, str]:
        """Return the problem of each condition that is present, by the condition's name."""
        return dict(self._present)
