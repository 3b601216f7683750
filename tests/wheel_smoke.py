"""Run by scripts/check-wheel in an environment that holds only the wheel: `wheel_smoke.py base|all`."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
import sysconfig
from pathlib import Path

SCRIPTS = Path(sysconfig.get_path("scripts"))


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def check_base() -> None:
    """With the base dependencies: `import flux` works, and the commands say what to install."""
    flux = importlib.import_module("flux")
    core = importlib.import_module("flux_middleware")
    assert flux.__all__ == core.__all__
    assert "site-packages" in str(core.__file__), core.__file__
    error = None
    try:
        flux.billing.is_entitled("acme", "sso")
    except flux.NotInitializedError as raised:
        error = raised
    assert "flux.init()" in str(error), "a check before flux.init() must say so"
    for command, extra in (("flux", "server"), ("flux-sandbox", "sandbox")):
        answer = run(str(SCRIPTS / command), "--help")
        assert answer.returncode != 0
        assert f"flux-middleware[{extra}]" in answer.stderr, answer
    for command in ("codegen", "doctor"):  # what applications' hosts have use for needs no extra
        answer = run(str(SCRIPTS / "flux"), command, "--help")
        assert answer.returncode == 0, answer


def check_all() -> None:
    """With every extra: each package can be imported and each command answers."""
    for package in ("flux_asgi", "flux_flask", "flux_django", "flux_server.app", "flux_sandbox"):
        importlib.import_module(package)
    for package in (
        "flux",
        "flux_middleware",
        "flux_asgi",
        "flux_flask",
        "flux_django",
        "flux_server",
        "flux_sandbox",
    ):
        spec = importlib.util.find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        assert Path(spec.origin).with_name("py.typed").exists(), f"{package} is not typed"
    for command in ("flux", "flux-sandbox"):
        answer = run(str(SCRIPTS / command), "--help")
        assert answer.returncode == 0, answer


{"base": check_base, "all": check_all}[sys.argv[1]]()
print(f"wheel, {sys.argv[1]}: ok")
