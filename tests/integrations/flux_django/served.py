"""The contract's project as a WSGI application, for a server process of its own."""

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

from flux_middleware.testing import InMemoryFlux
from tests.integrations.flux_django import sites

client = InMemoryFlux()
client.grant("acme", "sso")
site = sites.django_sync("wsgi", client=client)


def counted(request: HttpRequest) -> HttpResponse:
    """Answer what was counted for the organization that asks."""
    return HttpResponse(client.usage(sites.organization_of(request) or "", "api-calls"))


settings.configure(
    ALLOWED_HOSTS=["*"],
    FLUX=site.flux,
    LOGGING_CONFIG=None,
    MIDDLEWARE=["flux_django.middleware.FluxMiddleware"],
    ROOT_URLCONF=(*site.routes, path("counted", counted)),
    SECRET_KEY="for tests only",
)
django.setup()
application = get_wsgi_application()
