"""The names each package says it has: there, sorted, and the same under the public name."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import flux
import flux_middleware
from flux_middleware import errors

PACKAGES = (
    "flux",
    "flux_asgi",
    "flux_django",
    "flux_flask",
    "flux_middleware",
    "flux_sandbox",
    "flux_server",
)
NOT_IMPORTED = ("__main__", ".migrations.env", ".migrations.versions.")  # they run when they are imported


def modules_of(package: str) -> Iterator[str]:
    yield package
    for found in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        if not any(part in found.name for part in NOT_IMPORTED):
            yield found.name


MODULES = [module for package in PACKAGES for module in modules_of(package)]


def in_order(name: str) -> tuple[bool, bool, str]:
    """Constants, then classes, then functions: the order that ruff writes."""
    return not name.isupper(), not name[0].isupper(), name


def declared(module: ModuleType) -> list[str]:
    return list(vars(module).get("__all__", []))


def tree(module: ModuleType) -> ast.Module:
    return ast.parse(Path(str(module.__file__)).read_text())


@pytest.mark.parametrize("name", MODULES)
def test_declared_names_are_sorted_and_there(name: str) -> None:
    module = importlib.import_module(name)
    names = declared(module)

    assert names == sorted(set(names), key=in_order)
    assert [each for each in names if not hasattr(module, each)] == []


@pytest.mark.parametrize("name", MODULES)
def test_a_module_that_defines_something_declares_its_names(name: str) -> None:
    module = importlib.import_module(name)
    public = {
        node.name
        for node in tree(module).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
    }

    assert not public or "__all__" in vars(module)


@pytest.mark.parametrize("name", MODULES)
def test_what_is_declared_says_what_it_is(name: str) -> None:
    module = importlib.import_module(name)

    undocumented = [
        each
        for each in declared(module)
        if (inspect.isclass(value := getattr(module, each)) or inspect.isfunction(value))
        and not inspect.getdoc(value)
    ]

    assert undocumented == []


def test_the_public_name_is_the_core() -> None:
    assert flux.__all__ == flux_middleware.__all__
    assert [each for each in flux.__all__ if getattr(flux, each) is not getattr(flux_middleware, each)] == []


def test_the_public_name_has_no_name_of_its_own() -> None:
    own = {each for each in vars(flux) if not each.startswith("__")}
    modules = {found.name for found in pkgutil.iter_modules(flux.__path__)}

    assert own - modules == set(flux_middleware.__all__)


def test_the_public_name_of_the_testing_kit_is_the_kit() -> None:
    kit = importlib.import_module("flux_middleware.testing")
    public = importlib.import_module("flux.testing")

    assert public.__all__ == kit.__all__
    assert [each for each in kit.__all__ if getattr(public, each) is not getattr(kit, each)] == []


def drawn_tree() -> dict[str, str]:
    """Return each error's base as the docstring of `errors` draws it."""
    path: list[str] = []
    bases = {}
    lines = [
        line
        for line in (errors.__doc__ or "").splitlines()
        if line.startswith(("FluxError", "├", "│", "└", " "))
    ]
    for line in lines:
        name = line.lstrip("│├└─ ").split()[0]
        depth = (len(line) - len(line.lstrip("│├└─ "))) // 4
        path[depth:] = [name]
        bases[name] = path[depth - 1] if depth else "Exception"
    return bases


def test_every_error_is_in_the_drawn_tree() -> None:
    real = {each: getattr(errors, each).__bases__[0].__name__ for each in errors.__all__}

    assert drawn_tree() == real


def test_every_error_can_be_caught_by_its_public_name() -> None:
    assert {
        each for each in errors.__all__ if getattr(flux, each, None) is not getattr(errors, each)
    } == set()


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_is_a_flux_error(name: str) -> None:
    assert issubclass(getattr(errors, name), flux.FluxError)
