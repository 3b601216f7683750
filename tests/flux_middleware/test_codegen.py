"""`flux codegen`: a misspelt feature fails where types are checked."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import flux_middleware
from flux_middleware.catalog import Catalog, Feature, Metric
from flux_middleware.codegen import main, stubs
from tests.flux_middleware.shop import Shop

EXAMPLE = Path(__file__).parents[2] / "examples" / "plans.toml"

APPLICATION = """
import flux
import flux.testing
import flux_asgi
import flux_django
import flux_flask

flux.billing.is_entitled("acme", "sso")
flux.billing.is_entitled("acme", "ss0")  # wrong
flux.billing.check("acme", "ss0")  # wrong
flux.billing.check("acme", "seats", 2, used=3, max_stale=60, when_stale="allow")
flux.billing.check("acme", "seats", when_stale="maybe")  # wrong
flux.billing.entitlements("acme")["sso"].value
flux.billing.entitlements("acme")["ss0"]  # wrong
flux.billing.explain("acme", "ss0")  # wrong
flux.billing.get_limit("acme", "seats")
flux.billing.get_limit("acme", "sso")  # wrong: no limit
flux.billing.record_usage("acme", "api-calls", 3)
flux.billing.record_usage("acme", "api-call")  # wrong
flux.billing.record_usage(flux.UsageEvent(org_id="acme", metric="api-calls"))
flux.UsageEvent(org_id="acme", metric="api-call")  # wrong
flux.billing.get_usage("acme", "api-call")  # wrong

client = flux.init()
client.billing.is_entitled("acme", "sso")
client.billing.is_entitled("acme", "ss0")  # wrong
flux.init(fallbacks={"sso": True, "seats": 5})
flux.init(fallbacks={"ss0": True})  # wrong


def gate(feature: flux.FeatureKey) -> bool:
    return flux.billing.is_entitled("acme", feature)


gate("sso")
gate("ss0")  # wrong
flux.testing.override_entitlement("acme", "ss0")  # wrong


@flux_asgi.requires_entitlement("sso")
@flux_asgi.meters("api-calls")
async def right() -> None: ...


@flux_asgi.requires_entitlement("ss0")  # wrong
@flux_asgi.meters("api-call")  # wrong
async def endpoint() -> None: ...


@flux_flask.requires_entitlement("ss0")  # wrong
def flask_view() -> None: ...


@flux_django.meters("api-call")  # wrong
def django_view() -> None: ...


flux_asgi.RequiresEntitlement("ss0")  # wrong
flux_asgi.Meters("api-call")  # wrong
flux_asgi.FluxMiddleware(right, organization=lambda scope: "acme", client=client)  # type: ignore[arg-type]
"""


def mypy(directory: Path, **env: str) -> list[int]:
    """Return the lines that mypy finds something wrong in."""
    (directory / "shop.py").write_text(APPLICATION)
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir=cache", "shop.py"],
        cwd=directory,
        env=env,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr
    return [int(line) for line in re.findall(r"^shop\.py:(\d+): error", ran.stdout, re.MULTILINE)]


def test_every_misspelt_key_fails_in_mypy(tmp_path: Path) -> None:
    assert main([str(EXAMPLE), "--output", str(tmp_path / "typings")]) == 0

    found = mypy(tmp_path, MYPYPATH="typings")

    wrong = [number for number, line in enumerate(APPLICATION.splitlines(), 1) if "# wrong" in line]
    assert found == wrong
    assert len(wrong) == 19


def test_the_stubs_name_every_key_once_and_in_order() -> None:
    catalog = Catalog(
        features=(Feature("sso", "boolean"), Feature("seats", "limit"), Feature("api.v2", "boolean")),
        metrics=(Metric("tokens"), Metric("calls")),
    )

    keys = stubs(catalog)["flux_middleware/keys.pyi"]

    assert re.findall(r"^(\w+): TypeAlias|\"(.+)\"", keys, re.MULTILINE) == [
        ("FeatureKey", ""),
        *[("", key) for key in ("api.v2", "seats", "sso")],
        ("LimitKey", ""),
        ("", "seats"),
        ("MetricKey", ""),
        *[("", key) for key in ("calls", "tokens")],
    ]


def test_there_is_no_key_where_nothing_is_sold() -> None:
    assert "MetricKey: TypeAlias = Never" in stubs(Catalog())["flux_middleware/keys.pyi"]


def test_the_package_keeps_its_public_names() -> None:
    stub = stubs(Catalog())["flux_middleware/__init__.pyi"]

    assert [name for name in flux_middleware.__all__ if f'"{name}"' not in stub] == []


def test_a_check_says_what_is_out_of_date_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plans, output = tmp_path / "plans.toml", tmp_path / "typings"
    plans.write_text(EXAMPLE.read_text())
    check = [str(plans), "--output", str(output), "--check"]
    never_written = main(check)
    assert main(check[:-1]) == 0
    up_to_date = main(check)
    plans.write_text("[features.scim]\nkind = 'boolean'\n")
    capsys.readouterr()

    assert (never_written, up_to_date, main(check)) == (2, 0, 2)
    assert "keys.pyi is not what the catalog says" in capsys.readouterr().err
    assert "scim" not in (output / "flux_middleware" / "keys.pyi").read_text()


def test_writing_again_writes_the_same(tmp_path: Path) -> None:
    for _ in range(2):
        assert main([str(EXAMPLE), "--output", str(tmp_path)]) == 0

    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.pyi")}
    assert written == {"flux_middleware/__init__.pyi", "flux_middleware/keys.pyi"}


def test_the_servers_catalog_is_asked_with_the_applications_key(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLUX_API_KEY", shop.key)
    monkeypatch.setenv("FLUX_URL", shop.url)

    assert main(["--output", str(tmp_path)]) == 0

    assert '"audit-logs"' in (tmp_path / "flux_middleware" / "keys.pyi").read_text()


@pytest.mark.parametrize(
    ("key", "arguments", "said"),
    [
        pytest.param("", [], "FLUX_API_KEY", id="no-key"),
        pytest.param("flux_test_0123456789", ["--url", "http://127.0.0.1:1"], "cannot reach", id="no-server"),
        pytest.param("flux_test_0123456789", ["--url", "flux"], "http(s) address", id="no-address"),
        pytest.param("", ["nowhere.toml"], "nowhere.toml cannot be read", id="no-file"),
    ],
)
def test_what_goes_wrong_is_said(
    key: str,
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FLUX_API_KEY", key)

    assert main(arguments) == 1
    assert said in capsys.readouterr().err


def test_a_mistake_on_the_command_line_is_not_taken_for_a_stub_out_of_date() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--chekc"])

    assert ended.value.code == 1
