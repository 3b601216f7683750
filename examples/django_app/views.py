"""The views, and who is asking."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.decorators import method_decorator
from django.views import View

from flux_django import meters, requires_entitlement

TOKENS = {"Bearer acme-token": "acme", "Bearer globex-token": "globex"}


def organization_of(request: HttpRequest) -> str | None:
    """Find out whose plan counts; the application's own authentication knows."""
    return TOKENS.get(request.headers.get("Authorization", ""))


@requires_entitlement("sso")
async def sso(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"identity_provider": "https://login.example"})


@meters("api-calls")
def search(request: HttpRequest) -> HttpResponse:
    if "q" not in request.GET:
        return JsonResponse({"error": "what shall be searched for?"}, status=400)  # not counted
    return JsonResponse({"results": [request.GET["q"]]})


@method_decorator([requires_entitlement("audit-logs"), meters("api-calls")], name="dispatch")
class AuditLog(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return JsonResponse({"entries": []})
