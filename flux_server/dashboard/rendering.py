"""HTML from templates: everything is escaped, and a name that a page forgot to give is an error."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from flux_middleware.snapshot import Unlimited
from flux_server.dashboard.assets import Assets

__all__ = ["Templates", "address", "in_words", "moment"]


class Templates:
    """The templates of `templates/`, with the filters that they share."""

    def __init__(self, assets: Assets) -> None:
        self._templates = Environment(
            loader=PackageLoader("flux_server.dashboard"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals |= {"address": address, "asset": assets.address}
        self._templates.filters |= {
            "counted": _counted,
            "moment": moment,
            "number": _number,
            "sentence": _sentence,
            "words": in_words,
        }

    def render(self, name: str, context: dict[str, Any]) -> str:
        """Return the page."""
        return self._templates.get_template(name).render(context)


def address(path: str, **query: str) -> str:
    """Return an address of the dashboard. Names that people chose go into its query: a path would lose `..` and `/`."""
    given = {name: value for name, value in query.items() if value}
    return f"{path}?{urlencode(given, quote_via=quote)}" if given else path


def in_words(value: object) -> str:
    """Return a feature's value as people say it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value == "unlimited" or isinstance(value, Unlimited):
        return "unlimited"
    return _number(value)


def _number(value: object) -> str:
    return f"{value:,}"


def _counted(number: int, thing: str, things: str = "") -> str:
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("." if text else "")


def moment(seconds: float | None) -> str:
    """Return the moment as people read it, marked up for programs; nothing of none."""
    if seconds is None or seconds == math.inf:
        return ""
    try:
        date = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError):  # beyond the year 9999
        return "in the far future"
    return Markup('<time datetime="{}">{}</time>').format(
        date.strftime("%Y-%m-%dT%H:%M:%SZ"), date.strftime("%Y-%m-%d %H:%M UTC")
    )
