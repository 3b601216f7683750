"""`requires_entitlement` and `meters` for views: functions, methods, and `method_decorator` on a class."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import async_to_sync, iscoroutinefunction
from django.http import HttpResponse

from flux_django.middleware import request_of
from flux_middleware.decorators import Decorator, counts, gated, is_async_callable, requires
from flux_middleware.gate import Denial, Requirements
from flux_middleware.keys import FeatureKey, MetricKey

__all__ = ["asked_for", "meters", "requires_entitlement"]

asked_for: set[str] = set()
"""The features and metrics that decorators named, for the system check: code that names some needs the middleware."""


def requires_entitlement(feature: FeatureKey) -> Decorator:
    """Run the view only for organizations entitled to `feature`; others get a 403 that names it."""
    return _gated(requires(feature))


def meters(metric: MetricKey) -> Decorator:
    """Count a request as one of `metric` when it is answered with a status below 400."""
    return _gated(counts(metric))


def _gated(requirements: Requirements) -> Decorator:
    asked_for.update(requirements.features, requirements.metrics)
    return gated(_views, requirements)


class _Views:
    """Views return responses, or awaitables of them if what Django calls is asynchronous."""

    def admit(self, requirements: Requirements, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Any:
        request, bound = request_of(args)
        admission = bound.admit(requirements)
        if admission is None:
            return None
        answer = bound.answer(admission, _response)
        if isinstance(answer, HttpResponse) and _is_awaited(request):
            return _ready(answer)
        return answer

    def wait(self, admission: Awaitable[Any], proceed: functools.partial[Any]) -> Any:
        request, _ = request_of(proceed.args)
        if _is_awaited(request):
            return _proceed_later(admission, proceed)
        denied = async_to_sync(_outcome)(admission)
        return proceed() if denied is None else denied

    def is_async(self, function: Callable[..., Any]) -> bool:
        return iscoroutinefunction(function) or is_async_callable(function)


def _is_awaited(request: Any) -> bool:
    """Tell whether Django awaits the view: `dispatch` of an asynchronous view is itself an ordinary function."""
    return request.resolver_match is not None and iscoroutinefunction(request.resolver_match.func)


async def _ready(response: HttpResponse) -> HttpResponse:
    return response


async def _outcome(admission: Awaitable[Any]) -> Any:
    return await admission


async def _proceed_later(admission: Awaitable[Any], proceed: functools.partial[Any]) -> Any:
    denied = await admission
    return await proceed() if denied is None else denied


def _response(denial: Denial) -> HttpResponse:
    response = HttpResponse(denial.body, status=denial.status, headers=dict(denial.text_headers))
    # A denial is an answer, not a warning: Django would log each one, under ASGI through a thread.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


_views = _Views()
