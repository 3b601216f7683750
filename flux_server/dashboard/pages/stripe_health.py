"""How the link to Stripe is: at a glance whether all is well, and below everything that tells why."""

from __future__ import annotations

from fastapi import APIRouter, Response

from flux_server.dashboard.visits import EnvironmentsVisit
from flux_server.stripe.checks import findings, how_long, worst
from flux_server.stripe.connector import NotLinkedError
from flux_server.stripe.doctor import diagnose
from flux_server.stripe.examining import read_case

__all__ = ["router"]

router = APIRouter(default_response_class=Response)


@router.get("/{environment}/stripe/health")
async def show_health(visit: EnvironmentsVisit) -> Response:
    """Show how the link is; asks nothing of Stripe."""
    async with visit.read() as connection:
        try:
            case = await read_case(visit.site.connector, connection, visit.key)
        except NotLinkedError:
            return visit.page("stripe_health.html", section="stripe", health=None)
    found = findings(case)
    return visit.page(
        "stripe_health.html",
        section="stripe",
        found=found,
        health=case.health,
        how_long=how_long,
        level=worst(found),
        wrong=[each for each in found if each.level != "ok"],
    )


@router.get("/{environment}/stripe/doctor")
async def show_doctor(visit: EnvironmentsVisit) -> Response:
    """Ask Stripe, too, and show what is wrong and how to mend it."""
    try:
        diagnosis = await diagnose(visit.site.connector, visit.key)
    except NotLinkedError:
        return visit.page("stripe_health.html", section="stripe", health=None)
    wrong = [each for each in diagnosis.findings if each.level != "ok"]
    return visit.page("stripe_doctor.html", section="stripe", diagnosis=diagnosis, wrong=wrong)
