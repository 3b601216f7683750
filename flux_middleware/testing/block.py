"""What can stand before `with` and above a function alike."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Generic, TypeVar, cast

from flux_middleware.errors import ConfigurationError

__all__ = ["Block"]

T = TypeVar("T")
Function = TypeVar("Function", bound=Callable[..., Any])


class Block(Generic[T]):
    """A context manager, and a decorator of functions and coroutine functions; each use begins anew."""

    def __init__(self, make: Callable[[], AbstractContextManager[T]]) -> None:
        self._make = make
        self._entered: list[AbstractContextManager[T]] = []

    def __enter__(self) -> T:
        entered = self._make()
        value = entered.__enter__()
        self._entered.append(entered)
        return value

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered.pop().__exit__(kind, error, trace)

    def __call__(self, function: Function) -> Function:
        """Run the function within the block, each time it is called.

        Raises:
            ConfigurationError: it is a class or a generator, whose body runs when the block is over.
        """
        if (
            isinstance(function, type)
            or inspect.isgeneratorfunction(function)
            or inspect.isasyncgenfunction(function)
        ):
            raise ConfigurationError(
                f"{function.__qualname__} cannot be decorated by flux.testing: decorate a function or a method, and in "
                "a generator, such as a fixture, use `with`"
            )
        wrapper = _async_wrapper if inspect.iscoroutinefunction(function) else _wrapper
        return cast("Function", functools.update_wrapper(wrapper(self._make, function), function))


def _wrapper(
    make: Callable[[], AbstractContextManager[Any]], function: Callable[..., Any]
) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with make():
            return function(*args, **kwargs)

    return call


def _async_wrapper(
    make: Callable[[], AbstractContextManager[Any]], function: Callable[..., Any]
) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        with make():
            return await function(*args, **kwargs)

    return call
