"""schemathesis sends each operation what its description allows and what it does not, and judges the answers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from flux_server.api.examples import BODIES
from flux_server.settings import Settings
from tests.flux_server.running import run_server
from tests.flux_server.stripe.conftest import KEY, SECRET
from tests.flux_server.stripe.double import run_double

ROOT = Path(__file__).parents[3]
CONFIG = Path(__file__).parent / "fuzzing" / "schemathesis.toml"


def test_the_server_does_what_its_description_says(settings: Settings, tmp_path: Path) -> None:
    with run_double() as stripe:
        linked = settings.model_copy(update={"stripe_api_base": stripe.url})
        with run_server(linked) as server, server.client("admin") as admin:
            admin.put("/v1/stripe/link", json={"api_key": KEY, "webhook_secret": SECRET}).raise_for_status()
            for path, name in (
                ("/v1/metrics/api-calls", "put_metric"),
                ("/v1/features/calls", "put_feature"),
                ("/v1/organizations/acme", "put_organization"),
            ):
                admin.put(path, json=BODIES[name]).raise_for_status()
            admin.put("/v1/features/sso", json={"kind": "boolean"}).raise_for_status()
            command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"]
            ran = subprocess.run(
                [*command, f"{server.url}/v1/openapi.json", "--no-color"],
                env={**os.environ, "FLUX_API_KEY": server.make_key("admin"), "PYTHONPATH": str(ROOT)},
                cwd=tmp_path,  # it keeps what it finds
                capture_output=True,
                text=True,
                timeout=110,
                check=False,
            )

    print(ran.stdout[ran.stdout.find("= SUMMARY =") :])
    assert ran.returncode == 0, ran.stdout + ran.stderr
    selected = re.search(r"Selected: (\d+)/(\d+)\n\s+Tested: (\d+)", ran.stdout)
    assert selected is not None, ran.stdout
    assert len(set(selected.groups())) == 1
    assert re.search(r"(\d{3,}) generated, \1 passed", ran.stdout), ran.stdout
