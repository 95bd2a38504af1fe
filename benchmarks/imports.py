"""What `import` costs over a bare interpreter, in fresh processes.

Rule: the bare interpreter and every library take turns, byte code is cached by a first run that does not count, and
the median difference is reported.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

REPETITIONS = 21


class ImportCost(NamedTuple):
    """Medians over a bare interpreter, in milliseconds, and how many modules the import loads beyond it."""

    wall_ms: float
    cpu_ms: float
    modules: int


def _once(code: str) -> tuple[float, float]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def import_costs(modules: Sequence[str], repetitions: int = REPETITIONS) -> tuple[float, dict[str, ImportCost]]:
    """Returns (the bare interpreter's wall time in ms, the cost of each module's import)."""
    codes = {"": "pass"} | {name: f"import {name}" for name in modules}
    for code in codes.values():
        _once(code)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in codes}
    for _ in range(repetitions):
        for name, code in codes.items():
            times[name].append(_once(code))
    medians = {name: [statistics.median(run[i] for run in runs) * 1e3 for i in (0, 1)] for name, runs in times.items()}
    costs = {}
    for name in modules:
        count = subprocess.run(
            [sys.executable, "-c", f"import sys; n = len(sys.modules); import {name}; print(len(sys.modules) - n)"],
            check=True,
            capture_output=True,
        )
        costs[name] = ImportCost(
            medians[name][0] - medians[""][0], medians[name][1] - medians[""][1], int(count.stdout)
        )
    return medians[""][0], costs
