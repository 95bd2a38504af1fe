"""Histories of what clients did, and checks of whether a correct service could have answered like that.

Rule: recording decides nothing and checks read nothing but the history; so one recorded on real servers, in a
simulation or by a program in another language is checked alike. Names are loaded when they are first asked for.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .barriers import barrier, double_barrier
    from .checks import CHECKS, Options, check
    from .exclusion import fairness, fencing, leader, mutex, semaphore
    from .linearizability import counter, register
    from .lines import HistoryFormatError
    from .operation import Ending, Operation, Value
    from .queues import queue
    from .recording import History, Pending
    from .sessions import in_time, monotonic
    from .verdict import HistoryViolatedError, Verdict, Violation

_ROOMS = {
    "barrier": "barriers",
    "double_barrier": "barriers",
    "CHECKS": "checks",
    "Options": "checks",
    "check": "checks",
    "fairness": "exclusion",
    "fencing": "exclusion",
    "leader": "exclusion",
    "mutex": "exclusion",
    "semaphore": "exclusion",
    "counter": "linearizability",
    "register": "linearizability",
    "HistoryFormatError": "lines",
    "Ending": "operation",
    "Operation": "operation",
    "Value": "operation",
    "queue": "queues",
    "History": "recording",
    "Pending": "recording",
    "in_time": "sessions",
    "monotonic": "sessions",
    "HistoryViolatedError": "verdict",
    "Verdict": "verdict",
    "Violation": "verdict",
}

__all__ = [
    "History",
    "Pending",
    "Operation",
    "Ending",
    "Value",
    "register",
    "counter",
    "mutex",
    "leader",
    "fencing",
    "semaphore",
    "queue",
    "barrier",
    "double_barrier",
    "fairness",
    "monotonic",
    "in_time",
    "check",
    "CHECKS",
    "Options",
    "Verdict",
    "Violation",
    "HistoryFormatError",
    "HistoryViolatedError",
]


def __getattr__(name: str) -> object:
    """Load what is asked for."""
    if name in _ROOMS:
        import importlib

        return getattr(importlib.import_module(f".{_ROOMS[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
