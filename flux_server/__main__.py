"""`flux` and `python -m flux_server`."""

from __future__ import annotations

import sys
from importlib import import_module


def main() -> None:
    """Run the `flux` command; say what to install if a package is missing that it needs."""
    try:
        import_module("flux_server.cli").app()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "flux_server":
            raise
        sys.exit(f"flux needs the package {error.name!r}: pip install 'flux-middleware[server]'")


if __name__ == "__main__":
    main()
