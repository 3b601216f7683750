"""The application for ASGI servers. Management commands do not come by here, so they start no client."""

from django.core.asgi import get_asgi_application

import flux

flux.init()
application = get_asgi_application()
