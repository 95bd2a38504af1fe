"""One summary of several pytest runs, from the JUnit files they wrote.

Rule: counts what happened and nothing else; a file that cannot be read is an error of its own in the sum.
The last line has the form of pytest's own summary.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Counts:
    """How the tests of one or more runs ended; seconds is the sum of the runs' durations."""

    passed: int = 0
    failed: int = 0
    errors: int = 0
    skipped: int = 0
    seconds: float = 0.0

    def add(self, other: Counts) -> None:
        self.passed += other.passed
        self.failed += other.failed
        self.errors += other.errors
        self.skipped += other.skipped
        self.seconds += other.seconds

    def __str__(self) -> str:
        parts = [
            f"{count} {word}"
            for count, word in (
                (self.failed, "failed"),
                (self.passed, "passed"),
                (self.skipped, "skipped"),
                (self.errors, "error" if self.errors == 1 else "errors"),
            )
            if count
        ]
        return ", ".join(parts) or "no tests ran"


def read(path: Path) -> Counts:
    """The counts of one run; one error when the file is missing or broken, as after a crash of pytest itself."""
    counts = Counts()
    try:
        suites = list(ET.parse(path).iter("testsuite"))
    except (OSError, ET.ParseError):
        return Counts(errors=1)
    for suite in suites:
        failed, errors, skipped = (int(suite.get(name, "0")) for name in ("failures", "errors", "skipped"))
        counts.add(
            Counts(
                passed=int(suite.get("tests", "0")) - failed - errors - skipped,
                failed=failed,
                errors=errors,
                skipped=skipped,
                seconds=float(suite.get("time", "0")),
            )
        )
    return counts


def lines(paths: Iterable[Path]) -> list[str]:
    """One line for each run, named as its file, and the sum as the last line."""
    total = Counts()
    said: list[str] = []
    for path in paths:
        counts = read(path)
        total.add(counts)
        said.append(f"{path.stem:<32} {counts}")
    said.append(f" {total} in {total.seconds:.2f}s ".center(80, "="))
    return said


if __name__ == "__main__":
    print("\n".join(lines(Path(argument) for argument in sys.argv[1:])))
