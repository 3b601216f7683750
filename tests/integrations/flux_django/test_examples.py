import pytest

from examples.django_app import settings
from flux_middleware.testing import InMemoryFlux
from tests.integrations.contract import assert_example_works
from tests.integrations.flux_django.sites import DjangoSite


@pytest.mark.parametrize("server", ["wsgi", "asgi"])
def test_the_example_works(server: str) -> None:
    client = InMemoryFlux()
    client.grant("acme", "sso")
    site = DjangoSite(server, settings.ROOT_URLCONF, settings.FLUX | {"CLIENT": client})

    with site.settings:
        assert_example_works(site, client)
