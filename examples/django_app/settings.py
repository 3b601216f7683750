"""Settings of the example; FLUX and the middleware are what it is about."""

import secrets

ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
INSTALLED_APPS = ["flux_django"]  # for the system checks
MIDDLEWARE = [
    "django.middleware.common.CommonMiddleware",
    "flux_django.middleware.FluxMiddleware",
]
ROOT_URLCONF = "examples.django_app.urls"
SECRET_KEY = secrets.token_urlsafe()

FLUX = {"ORGANIZATION": "examples.django_app.views.organization_of"}
