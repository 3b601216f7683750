"""`flux codegen`: stubs that let mypy and pyright refuse features and metrics that the catalog does not have.

The stubs take the place of `keys.py` and, as a package is found whole, of `__init__.py` above it; every other module
is found where it is installed. They go where type checkers look first: pyright in `typings`, mypy in its `mypy_path`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NoReturn

import flux_middleware
from flux_middleware.catalog import Catalog
from flux_middleware.configuration import DEFAULT_URL, environment_of, require_url
from flux_middleware.errors import FluxError, TransportError
from flux_middleware.plans_file import read_plans_file
from flux_middleware.snapshot import SnapshotHeader, require_schema
from flux_middleware.transport import Transport
from flux_middleware.wire import decode

__all__ = ["main", "stubs"]

OUT_OF_DATE: Final = 2
_HEAD: Final = "# Written by `flux codegen`: run it again instead of editing this file.\n"


def main(arguments: Sequence[str] | None = None, *, program: str = "flux codegen") -> int:
    """Run the command; return its exit code."""
    given = _parser(program).parse_args(arguments)
    try:
        catalog = read_plans_file(given.file) if given.file else _ask(given.url)
        wanted = {given.output / name: text for name, text in stubs(catalog).items()}
        stale = [path for path, text in wanted.items() if _text_of(path) != text]
        if given.check:
            return _report(stale, program)
        for path in stale:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
    except (FluxError, OSError) as error:
        sys.stderr.write(f"{program}: {error}\n")
        return 1
    sys.stdout.write("".join(f"{path}\n" for path in wanted))
    return 0


def stubs(catalog: Catalog) -> dict[str, str]:
    """Return the stubs of a catalog by their paths; the same ones for the same catalog and library."""
    package = flux_middleware.__name__
    public = Path(str(flux_middleware.__file__)).read_text(encoding="utf-8")
    return {f"{package}/__init__.pyi": f"{_HEAD}{public}", f"{package}/keys.pyi": _keys(catalog)}


def _keys(catalog: Catalog) -> str:
    keys = {
        "FeatureKey": [feature.key for feature in catalog.features],
        "LimitKey": [feature.key for feature in catalog.features if feature.kind == "limit"],
        "MetricKey": [metric.key for metric in catalog.metrics],
    }
    imports = "from typing import Literal, Never, TypeAlias\n"
    return "\n".join([_HEAD + imports, *(_alias(name, sorted(each)) for name, each in keys.items())])


def _alias(name: str, keys: Iterable[str]) -> str:
    lines = "".join(f'    "{key}",\n' for key in keys)
    return f"{name}: TypeAlias = Literal[\n{lines}]\n" if lines else f"{name}: TypeAlias = Never\n"


def _ask(url: str | None) -> Catalog:
    """Return the server's catalog: the first line of a snapshot, for which the application's own key will do."""
    key = os.environ.get("FLUX_API_KEY", "")
    environment_of(key)
    server = require_url("FLUX_URL", "the Flux server", url or os.environ.get("FLUX_URL") or DEFAULT_URL)
    transport = Transport(server, key)
    try:
        with transport.snapshot() as lines:
            header = decode(_first(lines, transport.url), SnapshotHeader)
        require_schema(header.schema)
        return header.catalog
    finally:
        transport.close()


def _first(lines: Iterator[str], url: str) -> str:
    for line in lines:
        return line
    raise TransportError(f"{url} does not answer as a Flux server does: its snapshot is empty")


def _text_of(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _report(stale: list[Path], program: str) -> int:
    for path in stale:
        sys.stderr.write(f"{path} is not what the catalog says; run `{program}` and commit what it writes\n")
    return OUT_OF_DATE if stale else 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """End with 1: the 2 that it usually ends with says that a stub is out of date."""
        self.print_usage(sys.stderr)
        self.exit(1, f"{self.prog}: {message}\n")


def _parser(program: str) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=program,
        description="Write stubs with the keys of your catalog, so that mypy and pyright find misspelt ones.",
    )
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        help="the catalog, as TOML; otherwise the server's that FLUX_API_KEY is for",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("typings"), help="where to write the stubs (default: typings)"
    )
    parser.add_argument(
        "--check", action="store_true", help=f"write nothing; end with {OUT_OF_DATE} if a stub is out of date"
    )
    parser.add_argument("--url", help="the address of the server; otherwise FLUX_URL")
    return parser


if __name__ == "__main__":
    sys.exit(main(program="python -m flux_middleware.codegen"))
