"""`flux stripe link` and what belongs to it, beside a server and a sandbox; `rotate` beside a database."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from flux_sandbox.testing import StripeSandbox
from flux_server.settings import Settings
from tests.flux_server.running import RunningServer, run_server
from tests.flux_server.stripe.conftest import WallClock

SECRET = "whsec_ofanendpoint"
OLD, NEW = "an old key of thirty-two characters, or so", "a new key of thirty-two characters, or so"

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[StripeSandbox]:
    with StripeSandbox() as sandbox:
        yield sandbox


@pytest.fixture
def office(settings: Settings, sandbox: StripeSandbox) -> Iterator[RunningServer]:
    asking = settings.model_copy(update={"stripe_api_base": sandbox.url})
    with run_server(asking, WallClock()) as server:
        yield server


def run_with(
    environment: dict[str, str], arguments: tuple[str, ...], typed: str
) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("FLUX_")}
    return subprocess.run(
        [sys.executable, "-m", "flux_server", "stripe", *arguments],
        env=own | environment | {"COLUMNS": "200"},
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def run(office: RunningServer) -> Command:
    """Runs `flux stripe …` with an admin key of the environment."""
    environment = {"FLUX_URL": office.url, "FLUX_API_KEY": office.make_key()}

    def run(*arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        return run_with(environment, arguments, typed)

    return run


def test_a_link_is_made_shown_and_ended(run: Command, sandbox: StripeSandbox) -> None:
    made = run("link", "--key-stdin", typed="rk_test_desk\n")
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.startswith("active: account acct_")

    shown = run("status")
    assert shown.stdout == made.stdout
    assert "by Flux's own endpoint we_" in shown.stdout
    assert "rk_test_desk" not in made.stdout

    ended = run("unlink", "--yes")
    assert ended.stdout == "The link is ended.\n"
    assert list(sandbox.client().v1.webhook_endpoints.list().data) == []
    assert "is not linked to Stripe" in run("status").stderr


def test_secrets_are_added_and_removed(run: Command) -> None:
    made = run("link", "--key-stdin", "--webhook-secret", typed=f"rk_test_desk\n{SECRET}\n").stdout

    added = run("secrets", "add", "--thin", "--secret-stdin", typed="whsec_ofthinones\n").stdout
    removed = run("secrets", "remove", added.split()[0])

    assert "whsec_…ones  thin, since" in added
    assert removed.stdout == "It is taken no more.\n"
    listed = run("secrets").stdout
    assert "by an endpoint of yours" in made
    assert "whsec_…oint  snapshot, since" in listed
    assert listed.count("whsec_") == 1
    assert SECRET not in listed


def test_a_refused_key_ends_with_1_and_is_not_repeated(run: Command) -> None:
    refused = run("link", "--key-stdin", typed="pk_test_oops1234\n")

    assert refused.returncode == 1
    assert "this is a publishable key" in refused.stderr
    assert "oops1234" not in refused.stderr + refused.stdout


def rotate(settings: Settings, *arguments: str, **keys: str) -> subprocess.CompletedProcess[str]:
    environment = {"FLUX_DATA_DIR": str(settings.data_dir), "FLUX_DATABASE_URL": settings.database_url}
    return run_with(environment | keys, ("rotate", *arguments), "")


@pytest.fixture
def linked(settings: Settings, sandbox: StripeSandbox) -> Settings:
    """A database that a server left behind, linked under the old key."""
    asking = settings.model_copy(update={"stripe_api_base": sandbox.url, "secret_key": SecretStr(OLD)})
    with run_server(asking, WallClock()) as server, server.client() as admin:
        link = {"api_key": "rk_test_desk", "webhook_secret": SECRET}
        admin.put("/v1/stripe/link", json=link).raise_for_status()
    return asking


def test_everything_is_encrypted_anew_with_the_present_key(linked: Settings, tmp_path: Path) -> None:
    file = tmp_path / "old.key"
    file.write_text(f"{OLD}\n")

    done = rotate(linked, "--old-key-file", str(file), FLUX_SECRET_KEY=NEW)
    again = rotate(linked, FLUX_SECRET_KEY=NEW, FLUX_SECRET_KEY_OLD=OLD)

    assert done.stdout == "Encrypted 2 values anew. The old key opens nothing any more.\n"
    assert again.stdout.startswith("Encrypted 0 values anew.")


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        pytest.param({}, "give the key until now: --old-key-file FILE, or FLUX_SECRET_KEY_OLD", id="none"),
        pytest.param({"FLUX_SECRET_KEY_OLD": NEW}, "are the same", id="the-same"),
        pytest.param({"FLUX_SECRET_KEY_OLD": "wrong"}, "nothing was changed: neither key opens", id="wrong"),
    ],
)
def test_without_the_right_old_key_nothing_is_changed(
    linked: Settings, keys: dict[str, str], complaint: str
) -> None:
    refused = rotate(linked, FLUX_SECRET_KEY=NEW, **keys)

    assert refused.returncode == 1
    assert complaint in refused.stderr
