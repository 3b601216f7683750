from collections.abc import Callable

import pytest
from starlette.types import ASGIApp

from examples import fastapi_app, starlette_app
from flux_middleware.testing import InMemoryFlux
from tests.integrations.contract import assert_example_works
from tests.integrations.flux_asgi.sites import ASGISite


@pytest.mark.parametrize("create_app", [starlette_app.create_app, fastapi_app.create_app])
def test_the_example_works(create_app: Callable[[InMemoryFlux], ASGIApp]) -> None:
    client = InMemoryFlux()
    client.grant("acme", "sso")

    assert_example_works(ASGISite(create_app(client)), client)
