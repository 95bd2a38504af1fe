"""What is measured of a process: wall and CPU time of a span, and what it holds at a moment.

Rule: nothing of any peer. CPU is user plus system time of the whole process, so a client's own threads count.
"""

from __future__ import annotations

import gc
import os
import resource
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

Metrics = dict[str, float]


class Span:
    """Wall and CPU seconds, and context switches, of what runs inside it."""

    def __enter__(self) -> Span:
        gc.collect()
        self._before = resource.getrusage(resource.RUSAGE_SELF)
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall = time.perf_counter() - self._start
        after, before = resource.getrusage(resource.RUSAGE_SELF), self._before
        self.cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        self.switches = after.ru_nvcsw - before.ru_nvcsw + after.ru_nivcsw - before.ru_nivcsw

    def metrics(self, count: int, prefix: str = "", latencies: Sequence[float] = ()) -> Metrics:
        found = {
            "ops_s": count / self.wall,
            "cpu_us": self.cpu / count * 1e6,
            "switches": self.switches / count,
        }
        if latencies:
            ordered = sorted(latencies)
            found["p50_us"] = ordered[len(ordered) // 2] * 1e6
            found["p99_us"] = ordered[int(len(ordered) * 0.99)] * 1e6
        return {prefix + name: value for name, value in found.items()}


class Holding(NamedTuple):
    """What this process holds: threads, descriptors, KiB of resident memory (0 where /proc tells none of it)."""

    threads: int
    fds: int
    rss_kib: float

    @staticmethod
    def now() -> Holding:
        gc.collect()
        try:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            threads, fds = (len(os.listdir(f"/proc/self/{name}")) for name in ("task", "fd"))
        except OSError:
            return Holding(0, 0, 0.0)
        return Holding(threads, fds, pages * os.sysconf("SC_PAGE_SIZE") / 1024)

    def each(self, before: Holding, count: int, prefix: str) -> Metrics:
        """How much more than before it is, for each of `count`."""
        pairs = zip(self._fields, self, before, strict=True)
        return {prefix + name: (after - earlier) / count for name, after, earlier in pairs}


def check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise SystemExit(f"wrong result: {otherwise}")
