"""Following the clock that FLUX_CLOCK_URL names: the time of plans, periods and everything that comes due.

What belongs to the wall stays with it: sessions, invitations, and when a webhook was signed.
"""

from __future__ import annotations

from typing import Final

import httpx
import structlog

from flux_middleware.clock import FollowedClock, read_now
from flux_middleware.errors import InvalidRecordError

__all__ = ["Timekeeper"]

_BEHIND: Final = 60.0
"""Seconds by which the clock may go back before it is worth a word."""

_log = structlog.get_logger("flux.clock")


class Timekeeper:
    """Asks what time it is, whenever it is told to. Close it when done."""

    def __init__(self, url: str, clock: FollowedClock, *, timeout: float = 1) -> None:
        self._url = url
        self._clock = clock
        self._problem = ""
        self._http = httpx.AsyncClient(timeout=timeout)

    async def run(self) -> bool:
        """Take in what the clock says now; the time goes on from where it is if it says nothing."""
        try:
            answer = (await self._http.get(self._url)).raise_for_status()
            behind = self._clock.follow(read_now(answer.content))
        except (httpx.HTTPStatusError, httpx.DecodingError, InvalidRecordError) as error:
            self._note(f"what FLUX_CLOCK_URL names is no clock: {error}")
        except httpx.HTTPError:
            self._note("what FLUX_CLOCK_URL names does not answer")
        else:
            self._note(
                "" if behind < _BEHIND else "it went back; the time here stays ahead until a new start"
            )
        return False

    async def close(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    def _note(self, problem: str) -> None:
        """Log what is wrong when that changes, not each time."""
        if problem and problem != self._problem:
            _log.warning("the clock is not followed", url=self._url, reason=problem)
        elif self._problem and not problem:
            _log.info("the clock is followed again", url=self._url)
        self._problem = problem
