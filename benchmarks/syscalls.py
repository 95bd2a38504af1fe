"""System calls per operation: `strace -c -f` of a run of two sizes, the difference over the operations between them.

Rule: start-up, warm-up and shutdown cancel out in the difference; nothing is timed, because strace slows everything.
strace is not required: without it (or where tracing is not permitted) the answer is None.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

SMALL_SCALE = {"W1": 0.02, "W2": 0.1, "W4": 0.02}
LARGE_SCALE = {"W1": 0.32, "W2": 0.4, "W4": 0.12}
WORKLOADS = list(SMALL_SCALE)
LEAST_SHOWN = 0.02


class SystemCalls(NamedTuple):
    """Calls per operation in all, and by name where there are any to speak of, most frequent first."""

    total: float
    by_name: dict[str, float]


def available() -> bool:
    """Whether strace is installed and may trace here."""
    strace = shutil.which("strace")
    if strace is None:
        return False
    return subprocess.run([strace, "-c", "-o", "/dev/null", "true"], check=False, capture_output=True).returncode == 0


def _counts(command: list[str]) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "counts"
        # -U: only these columns, in this order, whatever the version of strace puts into its table.
        subprocess.run(
            ["strace", "-f", "-c", "-U", "calls,name", "-o", str(output), *command],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        counts = {}
        for line in output.read_text().splitlines():
            fields = line.split()
            if len(fields) == 2 and fields[0].isdigit() and fields[1] != "total":
                counts[fields[1]] = int(fields[0])
        return counts


def per_operation(small: list[str], large: list[str], operations_between: int) -> SystemCalls:
    """Trace two commands that differ only in how many operations they do."""
    few, many = _counts(small), _counts(large)
    each = {name: (count - few.get(name, 0)) / operations_between for name, count in many.items()}
    shown = {name: round(x, 2) for name, x in sorted(each.items(), key=lambda item: -item[1]) if x >= LEAST_SHOWN}
    return SystemCalls(sum(each.values()), shown)
