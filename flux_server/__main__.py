"""`flux` and `python -m flux_server`."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Final

_ON_APPLICATIONS_HOSTS: Final = {"codegen": "flux_middleware.codegen", "doctor": "flux_middleware.doctor"}
"""Commands that need nothing but what applications install."""


def main() -> None:
    """Run the `flux` command; say what to install if a package is missing that it needs."""
    name, *arguments = sys.argv[1:] or [""]
    if name in _ON_APPLICATIONS_HOSTS:
        sys.exit(import_module(_ON_APPLICATIONS_HOSTS[name]).main(arguments))
    try:
        import_module("flux_server.cli").app()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "flux_server":
            raise
        sys.exit(f"flux needs the package {error.name!r}: pip install 'flux-middleware[server]'")


if __name__ == "__main__":
    main()
