"""A plan as a form: a row for each price with some to spare, and a row for each feature there is."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest

from flux_middleware.snapshot import Feature, Grant, WireValue
from flux_server.catalog.plans import PlanDraft
from flux_server.catalog.reading import Described, Plan, PlanPrice
from flux_server.dashboard.clashes import SEEN, fingerprint
from flux_server.dashboard.forms import Form

__all__ = ["filled_in", "grantable", "price_rows", "read_draft"]

_ENFORCEMENTS = ("", "hard", "soft")
_KINDS = ("base", "addon")
_SPARE_ROWS = 2


def filled_in(plan: Plan) -> Form:
    """Return the form as it is opened: with the draft, or what was published last."""
    grants = plan.draft if plan.draft is not None else plan.versions[-1].grants if plan.versions else ()
    fields: dict[str, str | list[str] | None] = {
        SEEN: fingerprint(plan),
        "description": plan.description,
        "kind": plan.kind,
        "name": plan.name,
        "price": [price.price for price in plan.prices],
        "price-metric": [price.metric or "" for price in plan.prices],
    }
    for grant in grants:
        fields[f"value:{grant.feature}"] = _typed(grant.value)
        fields[f"unit:{grant.feature}"] = "on" if grant.per_unit else None
        fields[f"enforcement:{grant.feature}"] = grant.enforcement
    return Form.of(fields)


def read_draft(form: Form, key: str, features: Iterable[Feature]) -> PlanDraft:
    """Return the plan as the form says it should be, with the key of the one that is edited, if one is."""
    return PlanDraft(
        key=key or form.text("key", required="give a key: a-z, 0-9, “.” and “-”", most=64),
        name=form.text("name"),
        description=form.text("description", most=2_000),
        kind="addon" if form.choice("kind", _KINDS) == "addon" else "base",
        prices=tuple(_prices(form)),
        grants=tuple(grant for feature in features for grant in _grants(form, feature)),
    )


def grantable(features: Iterable[Described[Feature]], form: Form) -> list[Described[Feature]]:
    """Return the features that a plan can grant, and archived ones that this one grants all the same."""
    return [
        feature
        for feature in features
        if feature.archived_at is None or form.typed(f"value:{feature.value.key}")
    ]


def price_rows(form: Form, offered: str = "") -> list[PlanPrice]:
    """Return the rows of prices as they were typed, one that is offered, and some to spare."""
    typed = [*_prices(form)]
    new = [PlanPrice(offered)] if offered and offered not in {row.price for row in typed} else []
    return [*typed, *new, *([PlanPrice("")] * _SPARE_ROWS)]


def _prices(form: Form) -> Iterable[PlanPrice]:
    metrics = form.all_typed("price-metric")
    for price, metric in zip_longest(form.all_typed("price"), metrics, fillvalue=""):
        if price.strip():
            yield PlanPrice(price.strip(), metric or None)


def _grants(form: Form, feature: Feature) -> Iterable[Grant]:
    value = form.value(f"value:{feature.key}", feature)
    if value is None:
        return
    enforcement = form.typed(f"enforcement:{feature.key}")
    yield Grant(
        feature.key,
        value,
        per_unit=bool(form.typed(f"unit:{feature.key}")) and feature.kind == "limit",
        enforcement=enforcement if enforcement in _ENFORCEMENTS and feature.metric else "",
    )


def _typed(value: WireValue) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
