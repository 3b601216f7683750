from __future__ import annotations

import httpx
import pytest

from tests.flux_server.running import NOON, RunningServer


def test_a_feature_and_a_metric_are_as_they_were_put(admin: httpx.Client) -> None:
    metric = {"name": "API calls", "description": "each", "unit": "calls", "aggregation": "sum"}
    feature = {"kind": "limit", "name": "Calls", "description": "a day", "merge": "max", "metric": "calls"}
    feature |= {"reset": "day", "enforcement": "soft"}

    put_metric = admin.put("/v1/metrics/calls", json=metric).json()
    put_feature = admin.put("/v1/features/calls-per-day", json=feature).json()

    assert (
        put_metric == admin.get("/v1/metrics/calls").json() == metric | {"key": "calls", "archived_at": None}
    )
    assert (
        put_feature
        == admin.get("/v1/features/calls-per-day").json()
        == feature
        | {
            "key": "calls-per-day",
            "archived_at": None,
        }
    )
    assert admin.get("/v1/metrics").json() == {"metrics": [put_metric], "next_cursor": None}
    assert admin.get("/v1/features").json() == {"features": [put_feature], "next_cursor": None}


def test_a_boolean_feature_needs_its_kind_only(admin: httpx.Client) -> None:
    made = admin.put("/v1/features/sso", json={"kind": "boolean"}).json()

    assert (made["merge"], made["metric"], made["reset"]) == ("any", None, "billing")


def test_putting_the_same_again_changes_nothing(admin: httpx.Client) -> None:
    for _ in range(2):
        admin.put("/v1/features/sso", json={"kind": "boolean"}).raise_for_status()

    assert admin.get("/v1/environment").json()["revision"] == 1


def test_a_plan_is_drafted_published_and_drafted_again(admin: httpx.Client) -> None:
    admin.put("/v1/features/seats", json={"kind": "limit"}).raise_for_status()
    plan = {"name": "Pro", "kind": "base", "prices": [{"price": "price_1", "metric": None}]}
    five, ten = ({"grants": [{"feature": "seats", "value": value}]} for value in (5, 10))

    draft = admin.put("/v1/plans/pro", json=plan | five).json()
    published = admin.post("/v1/plans/pro/publish", json={"existing": "stay"}).json()
    admin.put("/v1/plans/pro", json=plan | ten).raise_for_status()

    assert plan.items() <= draft.items()
    assert published == {"id": "pro@1", "plan": "pro", "version": 1}
    (found,) = admin.get("/v1/plans").json()["plans"]
    (version,) = found["versions"]
    assert (version["id"], version["published_at"], version["replaced_by"]) == ("pro@1", NOON, None)
    values = [
        grant["value"] for grants in (draft["draft"], version["grants"], found["draft"]) for grant in grants
    ]
    assert values == [5, 5, 10]


def test_migrating_replaces_the_versions_before(admin: httpx.Client) -> None:
    admin.put("/v1/features/seats", json={"kind": "limit"}).raise_for_status()
    for value in (5, 10):
        admin.put("/v1/plans/pro", json={"grants": [{"feature": "seats", "value": value}]}).raise_for_status()
        admin.post("/v1/plans/pro/publish", json={"existing": "migrate"}).raise_for_status()

    versions = admin.get("/v1/plans/pro").json()["versions"]

    assert [version["replaced_by"] for version in versions] == ["pro@2", None]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        pytest.param(
            "/v1/features/pro", {"kind": "limit", "metric": "none"}, 422, "invalid_catalog", id="no-metric"
        ),
        pytest.param("/v1/features/SSO", {"kind": "boolean"}, 422, "invalid_request", id="not-a-key"),
        pytest.param("/v1/metrics/" + "m" * 65, {}, 422, "invalid_request", id="long-key"),
        pytest.param("/v1/plans/free", {"kind": "bundle"}, 422, "invalid_request", id="unknown-kind"),
        pytest.param(
            "/v1/plans/free", {"prices": [{"price": "price_1"}]}, 409, "price_taken", id="price-of-another"
        ),
        pytest.param("/v1/plans/pro", {"kind": "addon"}, 409, "conflict", id="kind-of-a-published-plan"),
        pytest.param("/v1/features/sso", {"kind": "limit"}, 409, "conflict", id="kind-of-a-granted-feature"),
        pytest.param("/v1/default-plan", {"plan": "gold"}, 404, "not_found", id="unknown-default"),
        pytest.param("/v1/default-plan", {"plan": "draft"}, 409, "conflict", id="unpublished-default"),
        pytest.param("/v1/default-plan", {"plan": "extra"}, 422, "invalid_request", id="addon-for-a-default"),
    ],
)
def test_what_contradicts_the_catalog_is_refused(
    catalog: httpx.Client, path: str, body: dict[str, object], status: int, code: str
) -> None:
    answer = catalog.put(path, json=body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    ("plan", "status", "code"), [("gold", 404, "not_found"), ("pro", 409, "nothing_to_publish")]
)
def test_only_a_draft_is_published(catalog: httpx.Client, plan: str, status: int, code: str) -> None:
    answer = catalog.post(f"/v1/plans/{plan}/publish", json={"existing": "stay"})

    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_taken_price_is_told_with_its_plan(catalog: httpx.Client) -> None:
    problem = catalog.put("/v1/plans/free", json={"prices": [{"price": "price_1"}]}).json()

    assert (problem["price"], problem["plan"]) == ("price_1", "pro")


@pytest.fixture(scope="module")
def catalog(shared_server: RunningServer, shared_admin: httpx.Client) -> httpx.Client:
    """A client of an environment with a plan that is published, one that is not, and an add-on."""
    shared_admin.put("/v1/features/sso", json={"kind": "boolean"}).raise_for_status()
    grants = [{"feature": "sso", "value": True}]
    pro = {"prices": [{"price": "price_1"}], "grants": grants}
    shared_admin.put("/v1/plans/pro", json=pro).raise_for_status()
    shared_admin.put("/v1/plans/draft", json={"grants": grants}).raise_for_status()
    shared_admin.put("/v1/plans/extra", json={"kind": "addon", "grants": grants}).raise_for_status()
    for plan in ("pro", "extra"):
        shared_admin.post(f"/v1/plans/{plan}/publish", json={"existing": "stay"}).raise_for_status()
    return shared_admin


@pytest.mark.parametrize("what", ["features/sso", "metrics/calls", "plans/pro"])
def test_what_is_archived_can_be_restored(admin: httpx.Client, what: str) -> None:
    admin.put(f"/v1/{what}", json=_body(what)).raise_for_status()

    archived = admin.post(f"/v1/{what}/archive").json()
    refused = admin.put(f"/v1/{what}", json=(_body(what) | {"name": "other"}))
    restored = admin.post(f"/v1/{what}/restore").json()

    assert archived["archived_at"] == NOON
    assert (refused.status_code, refused.json()["code"]) == (409, "archived")
    assert restored["archived_at"] is None


def _body(what: str) -> dict[str, str]:
    return {"kind": "boolean"} if "features" in what else {}


def test_a_preview_says_what_publishing_would_change_and_for_whom(admin: httpx.Client) -> None:
    admin.put("/v1/features/seats", json={"kind": "limit"}).raise_for_status()
    for value in (5, 10):
        admin.put("/v1/plans/pro", json={"grants": [{"feature": "seats", "value": value}]}).raise_for_status()
        if value == 5:
            admin.post("/v1/plans/pro/publish", json={"existing": "stay"}).raise_for_status()

    preview = admin.get("/v1/plans/pro/preview").json()

    (change,) = preview["changes"]
    assert (change["before"]["value"], change["after"]["value"]) == (5, 10)
    assert (preview["subscribers"], preview["is_default_plan"]) == ({}, False)


def test_policies_are_read_and_set(admin: httpx.Client) -> None:
    admin.put("/v1/plans/pro", json={}).raise_for_status()
    policy = {"leeway": 0, "grace": 60, "statuses": {"unpaid": "grace"}, "pause_collection": "grant"}

    assert admin.get("/v1/policy").json()["grace"] == 7 * 86_400
    assert admin.put("/v1/policy", json=policy).json() == admin.get("/v1/policy").json() == policy
    admin.put("/v1/plans/pro/policy", json=policy | {"grace": 0}).raise_for_status()
    assert admin.get("/v1/plans/pro").json()["policy"]["grace"] == 0
    admin.delete("/v1/plans/pro/policy").raise_for_status()
    assert admin.get("/v1/plans/pro").json()["policy"] is None
