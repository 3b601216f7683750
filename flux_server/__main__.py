"""`flux` and `python -m flux_server`."""

from __future__ import annotations

import sys

try:
    from flux_server.cli import app
except ModuleNotFoundError as error:
    if error.name is None or error.name.partition(".")[0] == "flux_server":
        raise
    _missing = error.name
else:
    _missing = ""


def main() -> None:
    """Run the `flux` command."""
    if _missing:
        sys.exit(f"flux needs the package {_missing!r}: pip install 'flux-middleware[server]'")
    app()


if __name__ == "__main__":
    main()
