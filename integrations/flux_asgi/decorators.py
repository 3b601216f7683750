"""`requires_entitlement` and `meters` for endpoints, and the same as FastAPI dependencies."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from anyio import from_thread

from flux_asgi.middleware import DenialResponse, current_request
from flux_middleware.decorators import Decorator, counts, gated, is_async_callable, requires
from flux_middleware.errors import ConfigurationError, EntitlementRequired
from flux_middleware.gate import GatedRequest, Requirements
from flux_middleware.keys import FeatureKey, MetricKey

__all__ = ["Meters", "RequiresEntitlement", "meters", "requires_entitlement"]


def requires_entitlement(feature: FeatureKey) -> Decorator:
    """Run the endpoint only for organizations entitled to `feature`; others get a 403 that names it."""
    return _gated(requires(feature))


def meters(metric: MetricKey) -> Decorator:
    """Count a request as one of `metric` when it is answered with a status below 400."""
    return _gated(counts(metric))


@dataclass(frozen=True)
class RequiresEntitlement:
    """The gate as a FastAPI dependency: `Depends(RequiresEntitlement("sso"))`, on a route or a whole router.

    Equal ones run once a request, wherever they were written.
    """

    feature: FeatureKey
    _requirements: Requirements = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_requirements", requires(self.feature))

    async def __call__(self) -> None:
        """Refuse the request without the entitlement."""
        await _require(self._requirements)


@dataclass(frozen=True)
class Meters:
    """The meter as a FastAPI dependency: `Depends(Meters("api-calls"))`, on a route or a whole router."""

    metric: MetricKey
    _requirements: Requirements = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_requirements", counts(self.metric))

    async def __call__(self) -> None:
        """Note what the request counts as, should it succeed."""
        await _require(self._requirements)


async def _require(requirements: Requirements) -> None:
    request = current_request()
    admission = request.admit(requirements)
    if admission is None:
        return
    denial = await admission if inspect.isawaitable(admission) else admission
    if denial is not None:
        _refuse(request)


def _refuse(request: GatedRequest) -> None:
    """Leave the endpoint where it can return no response of ours; the middleware answers."""
    denial = request.denial
    if denial is not None:
        raise EntitlementRequired(denial.feature, request.organization)


class _Endpoints:
    """Endpoints that return a response: the denial takes its place."""

    def admit(self, requirements: Requirements, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Any:
        request = current_request()
        admission = request.admit(requirements)
        return None if admission is None else request.answer(admission, DenialResponse)

    def wait(self, admission: Awaitable[Any], proceed: Callable[[], Any]) -> Any:
        if _on_event_loop():
            raise ConfigurationError(
                "an asynchronous `organization` or `on_denied` cannot be waited for in a synchronous function that "
                "runs on the event loop; make it `async def`, or use Depends(RequiresEntitlement(...)) instead"
            )
        denied = from_thread.run(_outcome, admission)
        return proceed() if denied is None else denied

    def is_async(self, function: Callable[..., Any]) -> bool:
        return is_async_callable(function)


class _Generators(_Endpoints):
    """FastAPI's streaming endpoints: what they yield is the body, so a denial cannot be returned."""

    def admit(self, requirements: Requirements, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Any:
        request = current_request()
        admission = request.admit(requirements)
        if inspect.isawaitable(admission):
            return admission
        if admission is not None:
            _refuse(request)
        return None


def _on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _outcome(admission: Awaitable[Any]) -> Any:
    return await admission


_endpoints = _Endpoints()
_generators = _Generators()


def _gated(requirements: Requirements) -> Decorator:
    def decorate(function: Any) -> Any:
        return gated(_generators if _is_generator(function) else _endpoints, requirements)(function)

    return decorate


def _is_generator(function: Any) -> bool:
    """Tell whether FastAPI streams what the endpoint yields; it looks through wrappers and at callable objects."""
    inmost = inspect.unwrap(function)
    return any(
        inspect.isgeneratorfunction(candidate) or inspect.isasyncgenfunction(candidate)
        for candidate in (inmost, type(inmost).__call__)
    )
