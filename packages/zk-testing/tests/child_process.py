"""A Python process of a test's own, and how to talk with it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def python(*lines: str) -> Iterator[subprocess.Popen[str]]:
    """A process that runs these lines; it is killed at the end."""
    with subprocess.Popen(
        [sys.executable, "-c", "\n".join(lines)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def announced(process: subprocess.Popen[str]) -> list[str]:
    """The words of the next line it prints."""
    assert process.stdout is not None
    return process.stdout.readline().split()


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What the process still prints, and its errors, until it ends.

    Not communicate(): that forgets what reading a line has read ahead.
    """
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdin is not None
    process.stdin.close()
    output, errors = process.stdout.read(), process.stderr.read()
    process.wait(timeout=30)
    return output, errors
