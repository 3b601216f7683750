"""`scripts/bench` says what it measured, in the lines that issues and scripts read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import BENCHMARKS, print_json
from benchmarks.figures import Figure

ROOT = Path(__file__).parent.parent


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_without_a_name_it_lists_the_benchmarks() -> None:
    assert bench().stdout.split() == sorted(BENCHMARKS)


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    ran = bench("speed")

    assert ran.returncode == 2
    assert "usage" in ran.stderr


def test_a_benchmark_prints_a_line_of_json_a_figure() -> None:
    ran = bench("usage", "--json")

    figures = [json.loads(line) for line in ran.stdout.splitlines()]
    assert {figure["figure"] for figure in figures} >= {"record_vs_call", "threads_lost"}
    assert all(figure.keys() == {"figure", "value", "bar", "holds"} for figure in figures)
    assert ran.returncode == (0 if all(figure["holds"] for figure in figures) else 1), ran.stderr


@pytest.mark.parametrize(
    ("value", "at_least", "holds"),
    [
        pytest.param(1, False, True, id="below-a-most"),
        pytest.param(3, False, False, id="above-a-most"),
        pytest.param(3, True, True, id="above-a-least"),
        pytest.param(1, True, False, id="below-a-least"),
    ],
)
def test_a_figure_holds_on_its_side_of_the_bar(
    value: float, at_least: bool, holds: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    print_json([Figure("figure", value, 2, "meaning", at_least=at_least)])

    assert json.loads(capsys.readouterr().out)["holds"] is holds
