"""Features and metrics: what plans can grant, and what is counted."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import APIRouter, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.snapshot import Feature, Metric
from flux_server.catalog.features import save_feature, save_metric
from flux_server.catalog.reading import (
    Plan,
    list_features,
    list_metrics,
    list_plans,
    read_feature,
    read_metric,
)
from flux_server.dashboard.forms import Form
from flux_server.dashboard.visits import EnvironmentsVisit, EnvironmentVisit, UsersForm

__all__ = ["router"]

router = APIRouter(default_response_class=Response)

KINDS = {
    "boolean": ("On or off", "An organization has it, or has not."),
    "limit": ("A number", "How many, or how much."),
}
MERGES = {
    "base_plus_addons": "what the base plan gives, plus what each add-on gives",
    "sum": "the sum of all",
    "max": "the largest",
    "min": "the smallest",
}
RESETS = {
    "billing": "with each billing period",
    "day": "every day (UTC)",
    "week": "every Monday (UTC)",
    "month": "every calendar month (UTC)",
    "year": "every calendar year (UTC)",
    "never": "never",
}
ENFORCEMENTS = {
    "hard": "it stops there",
    "soft": "more can be used, and is billed",
}
_KEY_NEEDED = "give a key: a-z, 0-9, “.” and “-”"


@router.get("/{environment}/features")
async def show_features(visit: EnvironmentsVisit) -> Response:
    """List what can be granted and what is counted."""
    async with visit.read() as connection:
        features = await list_features(connection, visit.key)
        metrics = await list_metrics(connection, visit.key)
        plans = await list_plans(connection, visit.key)
    return visit.page(
        "features.html",
        section="features",
        features=features,
        granting={feature.key: _granting(plans, feature.key) for feature in features},
        limiting={metric.key: _limiting(features, metric.key) for metric in metrics},
        merges=MERGES,
        metrics=metrics,
        resets=RESETS,
    )


@router.get("/{environment}/feature")
async def show_feature(visit: EnvironmentsVisit) -> Response:
    """Show the form of a feature; without a key that of a new one."""
    form = Form.of(
        {"kind": "boolean", "merge": "base_plus_addons", "reset": "billing", "enforcement": "hard"}
    )
    if key := visit.query("key"):
        async with visit.read() as connection:
            described = await read_feature(connection, visit.key, key)
        feature = described.value
        form = Form.of(
            {
                "description": described.description,
                "enforcement": feature.enforcement,
                "key": feature.key,
                "kind": feature.kind,
                "merge": feature.merge,
                "metric": feature.metric,
                "name": feature.name,
                "reset": feature.reset,
            }
        )
    return await _feature_page(visit, form)


@router.post("/{environment}/feature")
async def define_feature(visit: EnvironmentsVisit, form: UsersForm) -> Response:
    """Define a feature, or change it."""
    present = visit.query("key")
    feature = _read_feature(form, present)
    description = form.text("description", most=2_000)
    if form.ok:
        with form.tried():
            async with visit.write() as connection:
                if not present:
                    _require_new(form, feature.key, await list_features(connection, visit.key))
                if form.ok:
                    await save_feature(connection, visit.key, feature, visit.now, description=description)
    if form.ok:
        return visit.goto(visit.address("features"), say=f"Feature {feature.key} is saved.")
    return await _feature_page(visit, form)


@router.get("/{environment}/metric")
async def show_metric(visit: EnvironmentsVisit) -> Response:
    """Show the form of a metric; without a key that of a new one."""
    form = Form()
    if key := visit.query("key"):
        async with visit.read() as connection:
            described = await read_metric(connection, visit.key, key)
        metric = described.value
        form = Form.of(
            {
                "description": described.description,
                "key": metric.key,
                "name": metric.name,
                "unit": metric.unit,
            }
        )
    return _metric_page(visit, form)


@router.post("/{environment}/metric")
async def define_metric(visit: EnvironmentsVisit, form: UsersForm) -> Response:
    """Define a metric, or change it."""
    present = visit.query("key")
    key = present or form.text("key", required=_KEY_NEEDED, most=64)
    metric = Metric(key, name=form.text("name"), unit=form.text("unit", most=64))
    description = form.text("description", most=2_000)
    if form.ok:
        with form.tried():
            async with visit.write() as connection:
                if not present:
                    _require_new(form, key, await list_metrics(connection, visit.key))
                if form.ok:
                    await save_metric(connection, visit.key, metric, visit.now, description=description)
    if form.ok:
        return visit.goto(visit.address("features"), say=f"Metric {key} is saved.")
    return _metric_page(visit, form)


def _read_feature(form: Form, key: str) -> Feature:
    key = key or form.text("key", required=_KEY_NEEDED, most=64)
    name = form.text("name")
    if form.choice("kind", KINDS) != "limit":
        return Feature(key, "boolean", name=name, merge="any")
    return Feature(
        key,
        "limit",
        name=name,
        merge=form.choice("merge", MERGES),
        metric=form.text("metric") or None,
        reset=form.choice("reset", RESETS),
        enforcement=form.choice("enforcement", ENFORCEMENTS),
    )


def _require_new(form: Form, key: str, present: Iterable[Feature | Metric]) -> None:
    if key in {known.key for known in present}:
        form.wrong("key", f"there is a “{key}” already; edit that one, or choose another key")


def _granting(plans: Iterable[Plan], feature: str) -> list[str]:
    """Return the plans whose newest version or draft grants the feature."""
    return [
        plan.key
        for plan in plans
        if any(
            grant.feature == feature
            for grants in (plan.draft, plan.versions[-1].grants if plan.versions else ())
            for grant in grants or ()
        )
    ]


def _limiting(features: Iterable[Feature], metric: str) -> list[str]:
    return [feature.key for feature in features if feature.metric == metric]


async def _feature_page(visit: EnvironmentVisit, form: Form) -> Response:
    async with visit.read() as connection:
        metrics = await _metric_choices(connection, visit.key)
    return visit.page(
        "feature.html",
        status=200 if form.ok else form.status,
        section="features",
        form=form,
        key=visit.query("key"),
        kinds=[(kind, *words) for kind, words in KINDS.items()],
        merges=MERGES.items(),
        metrics=metrics,
        resets=RESETS.items(),
        enforcements=ENFORCEMENTS.items(),
    )


def _metric_page(visit: EnvironmentVisit, form: Form) -> Response:
    status = 200 if form.ok else form.status
    return visit.page("metric.html", status=status, section="features", form=form, key=visit.query("key"))


async def _metric_choices(connection: AsyncConnection, environment: str) -> list[tuple[str, str]]:
    metrics = await list_metrics(connection, environment)
    return [
        ("", "nothing: the number itself is the limit"),
        *((metric.key, metric.key) for metric in metrics),
    ]
