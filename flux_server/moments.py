"""Moments as people and programs write them, always read as whole seconds since 1970."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from flux_server.errors import InvalidRequestError

__all__ = ["InvalidMomentError", "moment_text", "parse_moment", "parse_past_moment"]

_END = 253_370_764_800  # year 9999: periods around a moment must still be dates
_WRITTEN = re.compile(r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?([Zz]|[+-]\d\d:\d\d)?)?", re.ASCII)
_EPOCH = re.compile(r"\d{1,12}(\.\d{1,9})?", re.ASCII)
_AGO = re.compile(r"-(\d{1,9})([smhdw])", re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400}
_FORMS = "seconds since 1970, a date (2027-01-31) or a date and time (2027-01-31T12:00:00Z)"


class InvalidMomentError(InvalidRequestError):
    """A text names no moment."""

    code = "invalid_moment"
    title = "Invalid moment"


def parse_moment(text: str) -> int:
    """Return the second that `text` names: seconds since 1970, or RFC 3339.

    A date alone is its first second; without an offset it is UTC.

    Raises:
        InvalidMomentError: it names none.
    """
    if _EPOCH.fullmatch(text):
        moment = int(float(text))
    elif _WRITTEN.fullmatch(text):
        moment = _parse_date(text)
    else:
        raise InvalidMomentError(f"{text!r:.60} is no moment; give {_FORMS}, with a + in an address as %2B")
    if not 0 <= moment < _END:
        raise InvalidMomentError(f"{text!r:.60} is not between 1970 and 9999")
    return moment


def parse_past_moment(text: str, now: float) -> int:
    """Return the second that `text` names, as `parse_moment` does or counted back from now.

    `-2h` is two hours ago (s, m, h, d, w); `yesterday` is a day ago; `now` is now.

    Raises:
        InvalidMomentError: it names none.
    """
    word = text.strip().lower()
    if word == "now":
        return int(now)
    ago = _AGO.fullmatch("-1d" if word == "yesterday" else word)
    if ago is None:
        try:
            return parse_moment(text.strip())
        except InvalidMomentError as error:
            raise InvalidMomentError(f"{error.detail}; or -2h, -30m, -7d, yesterday") from None
    return max(0, int(now) - int(ago[1]) * _SECONDS[ago[2]])


def moment_text(moment: int) -> str:
    """Return the moment as `parse_moment` reads it: a date where that says it all."""
    date = datetime.fromtimestamp(moment, UTC)
    return f"{date:%Y-%m-%d}" if moment % 86_400 == 0 else f"{date:%Y-%m-%dT%H:%M:%SZ}"


def _parse_date(text: str) -> int:
    try:
        date = datetime.fromisoformat(text.upper())
    except ValueError as error:
        raise InvalidMomentError(f"there is no {text!r:.60} in the calendar") from error
    return int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() // 1)
