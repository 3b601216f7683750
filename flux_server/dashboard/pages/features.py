"""Features and metrics: what plans can grant, and what is counted."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import APIRouter, Response

from flux_middleware.snapshot import Feature, Metric
from flux_server.catalog.features import archive_feature, archive_metric, save_feature, save_metric
from flux_server.catalog.reading import (
    Described,
    Plan,
    describe_features,
    describe_metrics,
    find_feature,
    find_metric,
    list_plans,
    read_feature,
    read_metric,
)
from flux_server.dashboard.clashes import SEEN, fingerprint, notice_clash
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
_NEW_FEATURE = {"kind": "boolean", "merge": "base_plus_addons", "reset": "billing", "enforcement": "hard"}
_KEY_NEEDED = "give a key: a-z, 0-9, “.” and “-”"


@router.get("/{environment}/features")
async def show_features(visit: EnvironmentsVisit) -> Response:
    """List what can be granted and what is counted."""
    async with visit.read() as connection:
        features = await describe_features(connection, visit.key)
        metrics = await describe_metrics(connection, visit.key)
        plans = await list_plans(connection, visit.key)
    archived = [
        *(("feature", each) for each in features if each.archived_at is not None),
        *(("metric", each) for each in metrics if each.archived_at is not None),
    ]
    return visit.page(
        "features.html",
        section="features",
        archived=archived,
        features=[each for each in features if each.archived_at is None],
        granting={each.value.key: _granting(plans, each.value.key) for each in features},
        limiting={each.value.key: _limiting(features, each.value.key) for each in metrics},
        merges=MERGES,
        metrics=[each for each in metrics if each.archived_at is None],
        resets=RESETS,
    )


@router.get("/{environment}/feature")
async def show_feature(visit: EnvironmentsVisit) -> Response:
    """Show the form of a feature; without a key that of a new one."""
    return await _feature_page(visit)


@router.post("/{environment}/feature")
async def define_feature(visit: EnvironmentsVisit, form: UsersForm) -> Response:
    """Define a feature, or change it."""
    present = visit.query("key")
    feature = _read_feature(form, present)
    description = form.text("description", most=2_000)
    if form.ok:
        with form.tried():
            async with visit.edit() as connection:
                if present:
                    stored = _feature_form(await read_feature(connection, visit.key, present))
                    await notice_clash(connection, visit.key, form, stored, "feature", present)
                else:
                    _require_new(form, await find_feature(connection, visit.key, feature.key))
                if form.ok:
                    await save_feature(connection, visit.key, feature, visit.now, description=description)
    if form.ok:
        return visit.goto(visit.address("features"), say=f"Feature {feature.key} is saved.")
    return await _feature_page(visit, form)


@router.post("/{environment}/feature/archive")
async def archive_one_feature(visit: EnvironmentsVisit, form: UsersForm) -> Response:
    """Archive the feature, or with `restore` take that back."""
    key, archived = visit.query("key"), not form.typed("restore")
    async with visit.write() as connection:
        await archive_feature(connection, visit.key, key, visit.now, archived=archived)
    said = f"Feature {key} is {'archived' if archived else 'restored'}."
    return visit.goto(visit.address("features"), say=said)


@router.get("/{environment}/metric")
async def show_metric(visit: EnvironmentsVisit) -> Response:
    """Show the form of a metric; without a key that of a new one."""
    return await _metric_page(visit)


@router.post("/{environment}/metric")
async def define_metric(visit: EnvironmentsVisit, form: UsersForm) -> Response:
    """Define a metric, or change it."""
    present = visit.query("key")
    key = present or form.text("key", required=_KEY_NEEDED, most=64)
    metric = Metric(key, name=form.text("name"), unit=form.text("unit", most=64))
    description = form.text("description", most=2_000)
    if form.ok:
        with form.tried():
            async with visit.edit() as connection:
                if present:
                    stored = _metric_form(await read_metric(connection, visit.key, present))
                    await notice_clash(connection, visit.key, form, stored, "metric", present)
                else:
                    _require_new(form, await find_metric(connection, visit.key, key))
                if form.ok:
                    await save_metric(connection, visit.key, metric, visit.now, description=description)
    if form.ok:
        return visit.goto(visit.address("features"), say=f"Metric {key} is saved.")
    return await _metric_page(visit, form)


@router.post("/{environment}/metric/archive")
async def archive_one_metric(visit: EnvironmentsVisit, form: UsersForm) -> Response:
    """Archive the metric, or with `restore` take that back."""
    key, archived = visit.query("key"), not form.typed("restore")
    async with visit.write() as connection:
        await archive_metric(connection, visit.key, key, visit.now, archived=archived)
    said = f"Metric {key} is {'archived' if archived else 'restored'}."
    return visit.goto(visit.address("features"), say=said)


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


def _require_new(form: Form, present: Described[Feature] | Described[Metric] | None) -> None:
    if present is not None:
        which = "edit that one" if present.archived_at is None else "it is archived; restore that one"
        form.wrong("key", f"there is a “{present.value.key}” already; {which}, or choose another key")


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


def _limiting(features: Iterable[Described[Feature]], metric: str) -> list[str]:
    return [each.value.key for each in features if each.value.metric == metric and each.archived_at is None]


def _feature_form(described: Described[Feature]) -> Form:
    feature = described.value
    return Form.of(
        {
            SEEN: fingerprint(described),
            "description": described.description,
            "enforcement": feature.enforcement,
            "kind": feature.kind,
            "merge": feature.merge if feature.merge in MERGES else _NEW_FEATURE["merge"],
            "metric": feature.metric,
            "name": feature.name,
            "reset": feature.reset,
        }
    )


def _metric_form(described: Described[Metric]) -> Form:
    metric = described.value
    return Form.of(
        {
            SEEN: fingerprint(described),
            "description": described.description,
            "name": metric.name,
            "unit": metric.unit,
        }
    )


async def _feature_page(visit: EnvironmentVisit, form: Form | None = None) -> Response:
    key = visit.query("key")
    async with visit.read() as connection:
        described = await read_feature(connection, visit.key, key) if key else None
        metrics = await describe_metrics(connection, visit.key)
    form = form or (_feature_form(described) if described else Form.of(_NEW_FEATURE))
    return visit.page(
        "feature.html",
        status=200 if form.ok else form.status,
        section="features",
        archived_at=described.archived_at if described else None,
        form=form,
        key=key,
        kinds=[(kind, *words) for kind, words in KINDS.items()],
        merges=MERGES.items(),
        metrics=_metric_choices(metrics, form.typed("metric")),
        resets=RESETS.items(),
        enforcements=ENFORCEMENTS.items(),
    )


async def _metric_page(visit: EnvironmentVisit, form: Form | None = None) -> Response:
    key = visit.query("key")
    async with visit.read() as connection:
        described = await read_metric(connection, visit.key, key) if key else None
    form = form or (_metric_form(described) if described else Form())
    return visit.page(
        "metric.html",
        status=200 if form.ok else form.status,
        section="features",
        archived_at=described.archived_at if described else None,
        form=form,
        key=key,
    )


def _metric_choices(metrics: Iterable[Described[Metric]], chosen: str) -> list[tuple[str, str]]:
    """Return the metrics that a limit can be used up by: not archived ones, but the one it has."""
    return [
        ("", "nothing: the number itself is the limit"),
        *(
            (each.value.key, each.value.key)
            for each in metrics
            if each.archived_at is None or each.value.key == chosen
        ),
    ]
