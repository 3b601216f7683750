"""`flux-sandbox` and `python -m flux_sandbox`."""

from __future__ import annotations

import sys

try:
    from flux_sandbox.cli import app
except ModuleNotFoundError as error:
    if error.name is None or error.name.partition(".")[0] == "flux_sandbox":
        raise
    _missing = error.name
else:
    _missing = ""


def main() -> None:
    """Run the `flux-sandbox` command."""
    if _missing:
        sys.exit(f"flux-sandbox needs the package {_missing!r}: pip install 'flux-middleware[sandbox]'")
    app(prog_name="flux-sandbox")


if __name__ == "__main__":
    main()
