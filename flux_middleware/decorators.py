"""The one implementation of `requires_entitlement` and `meters` that every adapter gives its framework's manners.

A decorator gates: it asks the adapter before the function runs, and answers in its place when refused. Stacked
decorators become one wrapper. The function stays what it was: asynchronous if it was, with its name, signature
and attributes.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from flux_middleware.errors import ConfigurationError, InvalidRecordError
from flux_middleware.gate import Requirements
from flux_middleware.snapshot import require_key

__all__ = ["Adapter", "Decorator", "counts", "gated", "is_async_callable", "require_gated", "requires"]

Function = TypeVar("Function", bound=Callable[..., Any])
_GATE = "__flux_gate__"
_GATED_ORIGINAL = "__flux_gated__"


class Decorator(Protocol):
    """Returns a function with the signature of the one it is given."""

    def __call__(self, function: Function, /) -> Function: ...


class Adapter(Protocol):
    """What the decorators need to know about a framework."""

    def admit(self, requirements: Requirements, args: tuple[Any, ...], kwargs: dict[str, Any], /) -> Any:
        """Return `None` to let the call happen, the response to give instead, or an awaitable of either."""

    def wait(self, admission: Awaitable[Any], proceed: functools.partial[Any], /) -> Any:
        """Wait for `admission` in a synchronous function; return what it denies with, else what the call returns."""

    def is_async(self, function: Callable[..., Any], /) -> bool:
        """Tell whether calling `function` gives something to await."""


@dataclass(frozen=True, slots=True)
class _Gated:
    """A wrapper of ours and what it stands for; other decorators copy attributes, so it names its bearer."""

    wrapper: Callable[..., Any]
    function: Callable[..., Any]
    requirements: Requirements


def requires(feature: str) -> Requirements:
    """Return the requirement to be entitled to `feature`."""
    return Requirements(features=(_name(feature, "requires_entitlement", "sso"),))


def counts(metric: str) -> Requirements:
    """Return the requirement to be counted as `metric`."""
    return Requirements(metrics=(_name(metric, "meters", "api-calls"),))


def gated(adapter: Adapter, requirements: Requirements) -> Decorator:
    """Return the decorator that asks `adapter` about `requirements` before each call."""

    def decorate(function: Function) -> Function:
        return _gate(adapter, requirements, function)

    return decorate


def require_gated(function: object) -> None:
    """Refuse a view that was decorated, but handed to the framework without the decoration.

    Raises:
        ConfigurationError: `function` is the undecorated one; its gate would never be asked.
    """
    marked = getattr(function, _GATED_ORIGINAL, None)
    if marked is not None and marked == id(function):
        name = getattr(function, "__qualname__", repr(function))
        raise ConfigurationError(
            f"{name} is served without the gate written above it: put @requires_entitlement and @meters below "
            "the line that registers the route, next to the function (and give a route that shall have no gate a "
            "function of its own)"
        )


def is_async_callable(function: Callable[..., Any]) -> bool:
    """Tell whether calling `function` gives a coroutine; sees through partials and callable objects."""
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.iscoroutinefunction(function):
        return True
    return not inspect.isroutine(function) and inspect.iscoroutinefunction(type(function).__call__)


def _name(name: str, decorator: str, example: str) -> str:
    if callable(name):
        raise ConfigurationError(f"@{decorator} takes a name: write @{decorator}({example!r})")
    try:
        return require_key(name)
    except (InvalidRecordError, TypeError) as error:
        raise ConfigurationError(f"@{decorator}({name!r:.100}): {error}") from error


def _gate(adapter: Adapter, requirements: Requirements, function: Function) -> Function:
    if isinstance(function, type):
        raise ConfigurationError(
            f"{function.__qualname__} is a class; decorate its methods, or use what the framework offers for classes"
        )
    target: Callable[..., Any] = function
    inner = getattr(function, _GATE, None)
    if isinstance(inner, _Gated) and inner.wrapper is function:
        target, requirements = inner.function, requirements.and_then(inner.requirements)
    make = _async_wrapper if adapter.is_async(target) else _sync_wrapper
    wrapper: Any = functools.update_wrapper(make(adapter, requirements, target), target)
    setattr(wrapper, _GATE, _Gated(wrapper, target, requirements))
    _remember(target)
    return cast("Function", wrapper)


def _remember(function: Callable[..., Any]) -> None:
    """Note on the function that it has a gate, for `require_gated`; its own id, as wrappers copy attributes."""
    try:
        setattr(function, _GATED_ORIGINAL, id(function))
    except AttributeError:  # a bound method or a slotted object; it goes without this check
        return


def _async_wrapper(
    adapter: Adapter, requirements: Requirements, function: Callable[..., Any]
) -> Callable[..., Any]:
    admit = adapter.admit

    async def call(*args: Any, **kwargs: Any) -> Any:
        denied = admit(requirements, args, kwargs)
        if denied is not None and inspect.isawaitable(denied):
            denied = await denied
        if denied is not None:
            return denied
        return await function(*args, **kwargs)

    return call


def _sync_wrapper(
    adapter: Adapter, requirements: Requirements, function: Callable[..., Any]
) -> Callable[..., Any]:
    admit = adapter.admit

    def call(*args: Any, **kwargs: Any) -> Any:
        denied = admit(requirements, args, kwargs)
        if denied is not None and inspect.isawaitable(denied):
            return adapter.wait(denied, functools.partial(function, *args, **kwargs))
        if denied is not None:
            return denied
        return function(*args, **kwargs)

    return call
