"""`requires_entitlement` and `meters` for Flask views."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import flask

from flux_flask.extension import current_request
from flux_middleware.decorators import Decorator, counts, gated, is_async_callable, requires
from flux_middleware.gate import Denial, Requirements
from flux_middleware.keys import FeatureKey, MetricKey

__all__ = ["meters", "requires_entitlement"]


def requires_entitlement(feature: FeatureKey) -> Decorator:
    """Run the view only for organizations entitled to `feature`; others get a 403 that names it."""
    return gated(_views, requires(feature))


def meters(metric: MetricKey) -> Decorator:
    """Count a request as one of `metric` when it is answered with a status below 400."""
    return gated(_views, counts(metric))


class _Views:
    """Views return responses: the denial takes its place."""

    def admit(self, requirements: Requirements, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Any:
        request = current_request()
        admission = request.admit(requirements)
        return None if admission is None else request.answer(admission, _response)

    def wait(self, admission: Awaitable[Any], proceed: Callable[[], Any]) -> Any:
        denied = flask.current_app.ensure_sync(_outcome)(admission)
        return proceed() if denied is None else denied

    def is_async(self, function: Callable[..., Any]) -> bool:
        return is_async_callable(function)


def _response(denial: Denial) -> flask.Response:
    return flask.current_app.response_class(denial.body, denial.status, denial.text_headers)


async def _outcome(admission: Awaitable[Any]) -> Any:
    return await admission


_views = _Views()
