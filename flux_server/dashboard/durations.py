"""How long something lasts, as people write it: `14 days`, `1 day 12 hours`."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["duration_words", "parse_duration"]

_UNITS: Final = (("week", 7 * 86_400), ("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
_SPOKEN: Final = _UNITS[1:]  # 14 days are said as such: nobody thinks of a trial as two weeks
_SECONDS: Final = {name[:length]: seconds for name, seconds in _UNITS for length in (1, len(name))} | {
    "min": 60,
    "sec": 1,
}
_PART = re.compile(r"(\d{1,9})\s*([a-z]+)[\s,]*", re.ASCII)


def parse_duration(text: str) -> int | None:
    """Return the seconds that `text` names; None if it names none."""
    text = text.strip().lower().replace(" and ", " ")
    if text == "0":
        return 0
    seconds, end = 0, 0
    while end < len(text):
        part = _PART.match(text, end)
        unit = _SECONDS.get(_singular(part[2])) if part else None
        if part is None or unit is None:
            return None
        seconds += int(part[1]) * unit
        end = part.end()
    return seconds if text else None


def duration_words(seconds: int) -> str:
    """Say how long it is, exactly, so that it can be typed again."""
    words = []
    for name, unit in _SPOKEN:
        number, seconds = divmod(seconds, unit)
        if number:
            words.append(f"{number} {name if number == 1 else name + 's'}")
    return " ".join(words) or "0"


def _singular(unit: str) -> str:
    return unit.removesuffix("s") if len(unit) > 1 else unit
