"""The application for WSGI servers. Management commands do not come by here, so they start no client."""

from django.core.wsgi import get_wsgi_application

import flux

flux.init()
application = get_wsgi_application()
