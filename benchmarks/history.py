"""How fast histories are checked: each check on what a correct service did, and on that with one fault near the end.

    python history.py [--quick] [--operations N] [--checks register,queue]

Rule: histories are made by a seed, outside the time; eight processes, each beginning its next operation soon after the
last; one in twenty operations that write has an unknown outcome. Time is the CPU's, of the check alone.
Prints a table, the goal with its outcome, and one JSON line. Exit status 1 when a verdict is wrong, 0 otherwise,
whatever the goal.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent / "packages" / "zk-testing" / "tests"))

import history_making as making
from choosing import names
from noise import machine
from report import aligned

from zk_testing.history import (
    Operation,
    Verdict,
    barrier,
    counter,
    double_barrier,
    fairness,
    fencing,
    in_time,
    leader,
    monotonic,
    mutex,
    queue,
    register,
    semaphore,
)

OPERATIONS = 100_000
GOAL = 10.0  # seconds for that many
PROCESSES = 8
UNKNOWN = 0.05

Made = list[Operation]


class Case(NamedTuple):
    """One line of the table. make: a correct history of about so many operations.   spoil: puts one fault in."""

    check: str
    what: str
    make: Callable[[int], Made]
    run: Callable[[Made], Verdict]
    spoil: Callable[[Made], None]


def late(history: Made, kind: str) -> int:
    """The place of an operation of a kind, nine tenths through."""
    return next(place for place in range(len(history) * 9 // 10, len(history)) if wanted(history[place], kind))


def wanted(operation: Operation, kind: str) -> bool:
    return operation.kind == kind and operation.ok and (kind != "dequeue" or operation.result is not None)


def changing(kind: str, **change: Any) -> Callable[[Made], None]:
    def spoil(history: Made) -> None:
        place = late(history, kind)
        history[place] = history[place]._replace(**change)

    return spoil


def adding(kind: str, **change: Any) -> Callable[[Made], None]:
    """The same once more, by somebody else."""

    def spoil(history: Made) -> None:
        history.insert(late(history, kind), history[late(history, kind)]._replace(process="other", **change))

    return spoil


def hasty(kind: str) -> Callable[[Made], None]:
    """Ends at once."""

    def spoil(history: Made) -> None:
        place = late(history, kind)
        history[place] = history[place]._replace(end=history[place].begin)

    return spoil


def registers(values: int | None, cas: float) -> Callable[[int], Made]:
    return lambda count: making.register_history(1, count, processes=PROCESSES, values=values, unknown=UNKNOWN, cas=cas)


def counters(amounts: int, *, answers: bool) -> Callable[[int], Made]:
    return lambda count: making.counter_history(
        1, count, processes=PROCESSES, amounts=amounts, unknown=UNKNOWN, answers=answers
    )


def entries(levels: int) -> Callable[[int], Made]:
    return lambda count: making.queue_history(1, count, processes=PROCESSES, unknown=UNKNOWN / 10, levels=levels)


def holds(limit: int = 1, kinds: tuple[str, str] = ("acquire", "release")) -> Callable[[int], Made]:
    return lambda count: making.hold_history(1, count // 3, processes=PROCESSES, limit=limit, kinds=kinds)


def first(history: Made) -> Verdict:
    return register(history, initial=0)


def versions(count: int) -> Made:
    return making.version_history(1, count, processes=PROCESSES)


CASES = [
    Case("register", "each value once", registers(None, 0.0), first, changing("read", result=-1)),
    Case("register", "five values", registers(5, 0.0), first, changing("read", result=-1)),
    Case("register", "compare-and-set, each value once", registers(None, 0.2), first, changing("read", result=-1)),
    Case("counter", "by one, no answers", counters(1, answers=False), counter, changing("get", result=-1)),
    Case("counter", "by one to five, with the sum", counters(5, answers=True), counter, changing("get", result=-1)),
    Case("mutex", "with tokens", holds(), mutex, adding("acquire")),
    Case("leader", "with tokens", holds(kinds=("lead", "resign")), leader, adding("lead")),
    Case("fencing", "", holds(), lambda made: fencing(uses(made)), changing("use", token=1)),
    Case("semaphore", "of five", holds(5), lambda made: semaphore(made, limit=5), adding("acquire", begin=0.0)),
    Case("fairness", "by places", holds(), fairness, changing("acquire", place=1)),
    Case("queue", "nothing lost, nothing twice", entries(1), queue, adding("dequeue")),
    Case("queue", "in order", entries(1), lambda made: queue(made, order="fifo"), adding("dequeue")),
    Case("queue", "by 100 priorities", entries(100), lambda made: queue(made, order="priority"), adding("dequeue")),
    Case("barrier", "", lambda count: making.gate_history(1, count // 10, processes=8), barrier, hasty("pass")),
    Case(
        "double-barrier", "", lambda count: making.barrier_history(1, count // 16, members=8), double_barrier,
        hasty("leave"),
    ),
    Case("monotonic", "", versions, monotonic, changing("read", version=-1)),
    Case("in-time", "", versions, in_time, changing("read", timeout=-1.0)),
]  # fmt: skip


def uses(history: Made) -> Made:
    return [one._replace(key="/guarded") for one in history if one.kind == "use"]


def timed(run: Callable[[Made], Verdict], history: Made) -> tuple[float, Verdict]:
    start = time.process_time()
    verdict = run(history)
    return time.process_time() - start, verdict


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the operations")
    parser.add_argument("--operations", type=int, default=OPERATIONS)
    parser.add_argument("--checks", type=names(list(dict.fromkeys(case.check for case in CASES))), default=None)
    options = parser.parse_args()
    count = options.operations // 10 if options.quick else options.operations
    rows = [["check", "history", "operations", "correct, s", "with a fault, s", "verdicts"]]
    results: list[dict[str, object]] = []
    slowest, is_right = 0.0, True
    for case in CASES:
        if options.checks and case.check not in options.checks:
            continue
        history = case.make(count)
        good, holds_ = timed(case.run, history)
        case.spoil(history)
        bad, broken = timed(case.run, history)
        right = holds_.holds is True and broken.holds is False
        is_right = is_right and right
        slowest = max(slowest, good, bad)
        said = "right" if right else f"WRONG: {holds_.holds}, {broken.holds}"
        rows.append([case.check, case.what, str(len(history)), f"{good:.2f}", f"{bad:.2f}", said])
        results.append({"check": case.check, "history": case.what, "operations": len(history), "s": good, "bad_s": bad})
    print(aligned(rows))
    bound = GOAL * count / OPERATIONS
    print(f"goal: each of {count} operations in {bound:g} s: {'reached' if slowest <= bound else 'MISSED'}")
    print(json.dumps({"benchmark": "history", "operations": count, "results": results, "machine": machine()}))
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
