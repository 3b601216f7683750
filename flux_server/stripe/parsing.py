"""What reading any of Stripe's objects takes: its texts, moments and references, or a refusal that says which. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from flux_server.stripe.errors import AnswerError

__all__ = ["id_of", "metadata_of", "moment", "shape", "text", "words"]

P = ParamSpec("P")
T = TypeVar("T")

_MOST_WORDS = 255


def shape(parse: Callable[P, T]) -> Callable[P, T]:
    """Turn what a misshapen object does to `parse` into an AnswerError."""

    @wraps(parse)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return parse(*args, **kwargs)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            what = parse.__name__.removeprefix("read_")
            raise AnswerError(f"Stripe's {what} is not of a shape that Flux knows: {error!r}") from error

    return checked


def metadata_of(data: Mapping[str, Any]) -> Mapping[str, str]:
    """Read an object's metadata."""
    return dict(data.get("metadata") or {})


def id_of(reference: Any) -> str:
    """Read a reference to another object: its id, or all of it where it was expanded."""
    return text(reference["id"] if isinstance(reference, Mapping) else reference)


def text(value: Any) -> str:
    """Read a text that must be there."""
    if not isinstance(value, str) or not value:
        raise TypeError(f"expected a text, found {type(value).__name__}")
    return value


def words(value: Any, most: int = _MOST_WORDS) -> str | None:
    """Read words for people, of which a part does as well as all."""
    return value.replace("\0", "")[:most] or None if isinstance(value, str) else None


def moment(value: Any) -> int | None:
    """Read a moment."""
    return None if value is None else int(value)
