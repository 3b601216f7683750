"""What `import flux` costs, beside the HTTP client that an application has anyway."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.figures import ROUNDS, Figure

__all__ = ["measure"]

# httpx imports its command line, too, where rich and click happen to be installed; an application has neither.
_PROGRAM = """
import sys, time
sys.modules["click"] = sys.modules["rich"] = None
begun = time.process_time()
import {module}
print(time.process_time() - begun)
"""


def measure() -> Iterator[Figure]:
    """Measure imports in processes of their own, by the processor time that they take."""
    modules = ("flux", "httpx")
    rounds = [tuple(map(_seconds, modules)) for _ in range(ROUNDS)]
    flux, httpx = map(statistics.median, zip(*rounds, strict=True))
    yield Figure("import_vs_httpx", flux / httpx, 1.3, "`import flux`, in times of `import httpx`")


def _seconds(module: str) -> float:
    command = [sys.executable, "-c", _PROGRAM.format(module=module)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
