"""One Django project for all tests of the adapter; each test overrides what it is about."""

from __future__ import annotations

import django
from django.conf import settings

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        INSTALLED_APPS=["flux_django"],
        LOGGING_CONFIG=None,
        MIDDLEWARE=["flux_django.middleware.FluxMiddleware"],
        ROOT_URLCONF=(),
        SECRET_KEY="for tests only",
        USE_TZ=True,
    )
    django.setup()
