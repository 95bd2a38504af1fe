"""A stopwatch for tests that bound a time, on machines that are shared.

Rule: a bound is as strict as it says while the machine has enough for everybody. Time in which somebody waited for a
processor, or in which the host took them away, does not count; but a quarter of all time always does.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["Stopwatch", "short_of_processors"]

_LEAST_PART = 0.25


class Stopwatch:
    """Runs from its making on: ``assert stopwatch.within(1.5), stopwatch``."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self._short = short_of_processors()

    @property
    def seconds(self) -> float:
        """The time since it was made."""
        return time.monotonic() - self.begun

    @property
    def short(self) -> float:
        """The part of it, in seconds, in which the machine had less to give than it was asked for."""
        return short_of_processors() - self._short

    def counted(self, until: float | None = None) -> float:
        """The seconds that count.

        until: a moment of `time.monotonic` at which what is timed had happened; None for now.
        """
        took = (time.monotonic() if until is None else until) - self.begun
        return max(took - self.short, took * _LEAST_PART)

    def within(self, bound: float, *, until: float | None = None) -> bool:
        """Whether less than *bound* seconds count."""
        return self.counted(until) < bound

    def __repr__(self) -> str:
        return f"<Stopwatch at {self.seconds:.3f} s, in {self.short:.3f} s of which processors were short>"


def short_of_processors() -> float:
    """Seconds, since the machine started, in which somebody waited for a processor or the host had taken one.

    0.0 where the system does not tell (it is Linux that does).
    """
    seconds = 0.0
    with suppress(OSError, ValueError, IndexError):
        pressure = Path("/proc/pressure/cpu").read_text(encoding="ascii")
        seconds += int(pressure.split("total=")[1].split()[0]) / 1e6
    with suppress(OSError, ValueError, IndexError):
        total = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0].split()
        seconds += int(total[8]) / os.sysconf("SC_CLK_TCK")
    return seconds
