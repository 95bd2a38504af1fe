"""How much each workload does, the same for every peer.

Rule: numbers only; a scale of 1 is the full workload.
"""

from __future__ import annotations

WORKLOADS = ["W1", "W2", "W3", "W4", "W5", "W6", "W7"]
# Operations at scale 1: per workload and part.
GETS, PIPELINED, WRITES, PER_CALLER, LISTINGS, BIG_GETS = 5_000, 30_000, 20_000, 1_000, 60, 100
WATCHES, SESSIONS, IDLE = 5_000, 200, 200
CALLERS, WINDOW, SAMPLE = 16, 1_000, 64
# Seconds of rest over which idle clients' CPU is taken, and their session timeout: short, so that they must ping.
REST, IDLE_TIMEOUT = 4.0, 4.0
# Seconds for all watches to fire before the run counts as failed.
LONGEST_FIRE = 60.0


def gets(scale: float) -> int:
    return max(1, int(GETS * scale))


def pipelined(scale: float) -> int:
    return max(2 * WINDOW, int(PIPELINED * scale))


def writes(scale: float) -> int:
    return max(2 * WINDOW, int(WRITES * scale))


def per_caller(scale: float) -> int:
    return max(1, int(PER_CALLER * scale))


def listings(scale: float) -> int:
    return max(3, int(LISTINGS * scale))


def big_gets(scale: float) -> int:
    return max(3, int(BIG_GETS * scale))


def watches(scale: float) -> int:
    return max(100, int(WATCHES * scale))


def sessions(scale: float) -> int:
    return max(10, int(SESSIONS * scale))


def idle(scale: float) -> int:
    return max(40, int(IDLE * scale))


def rest(scale: float) -> float:
    return max(1.5, REST * min(1.0, scale))


def operations(workload: str, scale: float) -> int:
    """How many operations a run of this scale measures, for dividing counts such as system calls."""
    return {"W1": gets(scale), "W2": pipelined(scale), "W4": CALLERS * per_caller(scale)}[workload]
