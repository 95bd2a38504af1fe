"""All checks by name, and which of them a history is for.

Rule: a check that finds none of its kinds of operation says nothing, unless it was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from .barriers import barrier, double_barrier
from .exclusion import fairness, fencing, leader, mutex, semaphore
from .linearizability import counter, register
from .operation import Operation, Value
from .queues import Order, queue
from .sessions import SLACK, in_time, monotonic
from .verdict import Verdict


@dataclass(frozen=True)
class Options:
    """What the checks cannot know of themselves; each is explained where the check is."""

    initial: Value = None
    start: int = 0
    returns: Literal["new", "old"] = "new"
    limit: int | None = None
    order: Order = "none"
    drained: bool = False
    members: int | None = None
    patience: float | None = None
    slack: float = SLACK


DEFAULT = Options()

CHECKS: dict[str, Callable[[Sequence[Operation], Options], Verdict]] = {
    "register": lambda operations, options: register(operations, initial=options.initial),
    "counter": lambda operations, options: counter(operations, initial=options.start, returns=options.returns),
    "mutex": lambda operations, _: mutex(operations),
    "leader": lambda operations, _: leader(operations),
    "fencing": lambda operations, _: fencing(operations),
    "semaphore": lambda operations, options: semaphore(operations, limit=options.limit),
    "queue": lambda operations, options: queue(operations, order=options.order, drained=options.drained),
    "barrier": lambda operations, _: barrier(operations),
    "double-barrier": lambda operations, options: double_barrier(operations, members=options.members),
    "fairness": lambda operations, _: fairness(operations),
    "monotonic": lambda operations, _: monotonic(operations),
    "in-time": lambda operations, options: in_time(operations, patience=options.patience, slack=options.slack),
}


def check(
    operations: Iterable[Operation], names: Sequence[str] | None = None, options: Options = DEFAULT
) -> list[Verdict]:
    """Run the checks with these names; without names, all that find something to look at.

    Raises ValueError for a name that is none, and for operations that a check cannot read.
    """
    known = list(operations)
    for name in names or ():
        if name not in CHECKS:
            message = f"no check is called {name!r}; there are {', '.join(CHECKS)}"
            raise ValueError(message)
    if names:
        return [CHECKS[name](known, options) for name in names]
    verdicts = [run(known, options) for name, run in CHECKS.items() if name != "mutex" or options.limit is None]
    return [verdict for verdict in verdicts if verdict.operations]
