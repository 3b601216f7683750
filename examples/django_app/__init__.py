"""A Django project with gated and metered views.

export DJANGO_SETTINGS_MODULE=examples.django_app.settings
FLUX_API_KEY=flux_test_… gunicorn examples.django_app.wsgi
curl -H 'Authorization: Bearer acme-token' 'http://127.0.0.1:8000/search?q=flux'
"""
