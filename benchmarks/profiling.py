"""cProfile over every thread of a run, for finding where a peer's time goes.

python workloads.py ours 127.0.0.1 PORT W1 0.5 --profile
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
SHOWN_FUNCTIONS, LEAST_SECONDS = 25, 0.05


def profiled(body: Callable[[], T]) -> T:
    """Run body with a profile per thread; prints those that took any time to stderr."""
    profiles: list[tuple[str, cProfile.Profile]] = []
    plain_run = threading.Thread.run

    def run(self: threading.Thread) -> None:
        profile = cProfile.Profile()
        profiles.append((self.name, profile))
        profile.runcall(plain_run, self)

    threading.Thread.run = run  # type: ignore[method-assign]
    main = cProfile.Profile()
    profiles.append(("main", main))
    try:
        return main.runcall(body)
    finally:
        threading.Thread.run = plain_run  # type: ignore[method-assign]
        for name, profile in profiles:
            _show(name, profile)


def _show(name: str, profile: cProfile.Profile) -> None:
    try:
        statistics = pstats.Stats(profile, stream=sys.stderr)
    except TypeError:  # a thread that has not ended yet has no profile
        return
    if statistics.total_tt >= LEAST_SECONDS:  # type: ignore[attr-defined]
        print(f"=== thread {name}", file=sys.stderr)
        statistics.strip_dirs().sort_stats("tottime").print_stats(SHOWN_FUNCTIONS)
