from __future__ import annotations

import httpx

from tests.flux_server.running import NOON, RunningServer


def test_a_new_key_works_and_its_secret_is_shown_once(server: RunningServer, admin: httpx.Client) -> None:
    made = admin.post("/v1/api-keys", json={"name": "ci", "scope": "read"})

    secret = made.json()["secret"]
    listed = admin.get("/v1/api-keys")
    assert made.status_code == 201
    assert secret.startswith(made.json()["prefix"])
    assert secret not in listed.text
    (found,) = [key for key in listed.json()["api_keys"] if key["id"] == made.json()["id"]]
    assert (found["name"], found["scope"], found["created_at"], found["revoked_at"]) == (
        "ci",
        "read",
        NOON,
        None,
    )
    headers = {"Authorization": f"Bearer {secret}"}
    assert httpx.get(f"{server.url}/v1/features", headers=headers, timeout=30).status_code == 200


def test_no_file_of_the_server_holds_a_key(server: RunningServer, admin: httpx.Client) -> None:
    secret = admin.post("/v1/api-keys", json={"name": "ci", "scope": "read"}).json()["secret"]

    assert all(secret.encode() not in file.read_bytes() for file in server.settings.data_dir.iterdir())


def test_revoking_twice_is_as_good_as_once(admin: httpx.Client) -> None:
    key = admin.post("/v1/api-keys", json={"name": "ci", "scope": "sdk"}).json()["id"]

    assert [admin.delete(f"/v1/api-keys/{key}").status_code for _ in range(2)] == [204, 204]

    revoked = {key["id"]: key["revoked_at"] for key in admin.get("/v1/api-keys").json()["api_keys"]}
    assert revoked[key] == NOON


def test_the_environment_says_how_far_it_has_come(admin: httpx.Client) -> None:
    before = admin.get("/v1/environment").json()
    admin.put("/v1/features/sso", json={"kind": "boolean"}).raise_for_status()

    after = admin.get("/v1/environment").json()

    assert after == before | {"revision": before["revision"] + 1}
