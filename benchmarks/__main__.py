"""`scripts/bench NAME [--json]`: run one benchmark; without a name, list them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks import catalog, checks, stripe, usage
from benchmarks.figures import Figure

BENCHMARKS: dict[str, Callable[[], Iterable[Figure]]] = {
    "catalog": catalog.measure,
    "checks": checks.measure,
    "stripe": stripe.measure,
    "usage": usage.measure,
}


def main() -> int:
    """Run the benchmark that the command line names; exit code 1 if a figure misses its bar."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("name", nargs="?", choices=sorted(BENCHMARKS))
    parser.add_argument("--json", action="store_true", help="one line of JSON a figure")
    options = parser.parse_args()
    if options.name is None:
        print("\n".join(sorted(BENCHMARKS)))
        return 0
    figures = list(BENCHMARKS[options.name]())
    (print_json if options.json else print_table)(figures)
    return 0 if all(figure.holds for figure in figures) else 1


def print_json(figures: Iterable[Figure]) -> None:
    for figure in figures:
        line = {
            "figure": figure.key,
            "value": round(figure.value, 3),
            "bar": figure.bar,
            "holds": figure.holds,
        }
        print(json.dumps(line))


def print_table(figures: Iterable[Figure]) -> None:
    table = Table("figure", "value", "bar", "holds", "meaning")
    for figure in figures:
        bar = f"{'≥' if figure.at_least else '≤'} {figure.bar:g}"
        table.add_row(
            figure.key, f"{figure.value:.3g}", bar, "yes" if figure.holds else "NO", escape(figure.meaning)
        )
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
