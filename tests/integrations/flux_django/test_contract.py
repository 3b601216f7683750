import gc
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from flux_middleware.testing import InMemoryFlux
from tests.integrations.contract import AdapterContract, MakeSite, Site
from tests.integrations.flux_django import sites


class TestDjango(AdapterContract):
    @pytest.fixture(params=["wsgi", "asgi"])
    def server(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture(
        params=[sites.django_sync, sites.django_async, sites.django_classes, sites.django_async_classes],
        ids=lambda make_site: make_site.__name__,
    )
    def make_site(self, request: pytest.FixtureRequest, server: str) -> Iterator[MakeSite]:
        with ExitStack() as enabled:

            def make(**options: Any) -> sites.DjangoSite:
                site: sites.DjangoSite = request.param(server, **options)
                enabled.enter_context(site.settings)
                return site

            yield make

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_a_stream_that_fails_is_not_counted(self, site: Site, client: InMemoryFlux) -> None:
        super().test_a_stream_that_fails_is_not_counted(site, client)
        gc.collect()  # under ASGI, Django leaves the file of the request's body open when a stream fails
