"""What else the machine was doing: CPU taken by strangers, and time stolen by the hypervisor.

Rule: a measurement is kept or set aside by the noise around it, never by its result.
Linux only (/proc); elsewhere every figure is None and nothing is set aside.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PROC_STAT = Path("/proc/stat")


class Noise(NamedTuple):
    """Mean cores used by neither the measured process nor the server, and cores stolen, over a run."""

    foreign: float | None
    steal: float | None


class _Reading(NamedTuple):
    when: float
    busy: float
    stolen: float
    children: float
    server: float


def _process_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def _read(server_pid: int | None) -> _Reading:
    # user nice system idle iowait irq softirq steal
    ticks = [int(x) for x in PROC_STAT.read_text().splitlines()[0].split()[1:9]]
    times = os.times()
    return _Reading(
        time.monotonic(),
        (sum(ticks) - ticks[3] - ticks[4] - ticks[7]) / TICKS_PER_SECOND,
        ticks[7] / TICKS_PER_SECOND,
        times.children_user + times.children_system + times.user + times.system,
        _process_seconds(server_pid) if server_pid else 0.0,
    )


class Watch:
    """Measures the noise from its making to `stop()`; the measured processes must be our children, and waited for."""

    def __init__(self, server_pid: int | None) -> None:
        self._server = server_pid
        self._before = _read(server_pid) if PROC_STAT.exists() else None

    def stop(self) -> Noise:
        if self._before is None:
            return Noise(None, None)
        after, before = _read(self._server), self._before
        wall = max(after.when - before.when, 1e-3)
        known = after.children - before.children + after.server - before.server
        foreign = max(0.0, after.busy - before.busy - known) / wall
        return Noise(round(foreign, 3), round((after.stolen - before.stolen) / wall, 3))


def wait_for_quiet(limit: float, most_foreign: float, server_pid: int | None) -> None:
    """Return when strangers use at most `most_foreign` cores over a quarter second, or after `limit` seconds."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        watch = Watch(server_pid)
        time.sleep(0.25)
        foreign = watch.stop().foreign
        if foreign is None or foreign <= most_foreign:
            return


def machine() -> dict[str, str | int]:
    """What the figures were measured on."""
    processor = ""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    system = os.uname()
    return {
        "processor": processor or system.machine,
        "cores": os.cpu_count() or 0,
        "system": f"{system.sysname} {system.release}",
    }
