"""Locks, offices and semaphores: who held when, under which token, and in which order.

Rule: what counts is what the holders could believe (`holding.py`). An overlap of two believers is a fault, whatever the
server knew; that is what fencing tokens are for, and `use` says whether they did their work.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable

from . import kinds
from .holding import BEGINS, Hold, holds_of, overlaps, tokens, uses
from .operation import Ending, Operation, UnfitOperationError, is_whole
from .searching import by_key
from .verdict import Verdict, Violation, verdict_of, violation

_LOCK = frozenset({kinds.ACQUIRE, kinds.RELEASE, kinds.LOST, kinds.RENEW, kinds.LIMIT, kinds.USE})
_OFFICE = frozenset({kinds.LEAD, kinds.RESIGN, kinds.LOST, kinds.RENEW, kinds.USE})


def mutex(operations: Iterable[Operation]) -> Verdict:
    """Check that a lock had one holder at a time, that tokens grew, and that no work was done under an old one.

    operations: "acquire" (result False: not got; `token`, `until`: the lease's end), "release", "lost" (when the holder
    was told), "renew" (`until`), and "use" (`token`): work under a token that was let through.
    Keys with a "limit" are semaphores, and not looked at.
    """
    keys = {key: own for key, own in by_key(operations, _LOCK).items() if _has(own, kinds.ACQUIRE)}
    keys = {key: own for key, own in keys.items() if not _has(own, kinds.LIMIT)}
    return _exclusive("mutex", keys, "holders")


def leader(operations: Iterable[Operation]) -> Verdict:
    """Check that at most one led at each instant of the lease clock, and that terms' tokens grew.

    operations: "lead" (result False: not won; `token`, `until`: the lease's end), "renew" (`until`), "resign", "lost",
    and "use" (`token`).
    """
    keys = {key: own for key, own in by_key(operations, _OFFICE).items() if _has(own, kinds.LEAD)}
    return _exclusive("leader", keys, "leaders")


def semaphore(operations: Iterable[Operation], *, limit: int | None = None) -> Verdict:
    """Check that a semaphore never let in more than its limit.

    operations: as of a mutex, and "limit" (argument: how many may hold), which may change on the way: holders that are
    there may stay when it sinks. limit: that of keys without one, and of all before it is set; None: no limit.
    Raises ValueError for a limit that is no whole number.
    """
    keys = {key: own for key, own in by_key(operations, _LOCK).items() if _has(own, kinds.ACQUIRE)}
    if limit is None:
        keys = {key: own for key, own in keys.items() if _has(own, kinds.LIMIT)}
    found: list[Violation] = []
    for key, own in keys.items():
        found += _beyond(key, own, math.inf if limit is None else limit)
    return verdict_of("semaphore", len(keys), sum(map(len, keys.values())), found)


def fairness(operations: Iterable[Operation]) -> Verdict:
    """Check that a lock was given in the order of queueing: that of `place`, which each "acquire" or "lead" says.

    Only for what one holds at a time: of two grants at once nobody can see which was first.
    """
    keys = {key: own for key, own in by_key(operations, BEGINS).items() if any(one.place is not None for one in own)}
    found: list[Violation] = []
    count = 0
    for key, own in keys.items():
        granted = [one for one in own if one.ok and one.result is not False and one.place is not None]
        granted.sort(key=lambda one: (one.last, _place(one)))
        count += len(granted)
        furthest: Operation | None = None
        for one in granted:
            if furthest is not None and _place(one) < _place(furthest):
                found.append(
                    violation(
                        key,
                        f"{furthest.process} had place {furthest.place}, and was let in before {one.process} with place"
                        f" {one.place}",
                        furthest,
                        one,
                    )
                )
            else:
                furthest = one
    return verdict_of("fairness", len(keys), count, found)


def fencing(operations: Iterable[Operation]) -> Verdict:
    """Check that nothing was done under an old token once something was done under a newer one, on any key but locks.

    operations: all with a `token`. Locks and offices themselves are looked at by `mutex` and `leader`.
    """
    keys: dict[str, list[Operation]] = {}
    locks: set[str] = set()
    for operation in operations:
        if operation.kind in BEGINS:
            locks.add(operation.key)
        elif operation.token is not None:
            keys.setdefault(operation.key, []).append(operation)
    keys = {key: own for key, own in keys.items() if key not in locks}
    found: list[Violation] = []
    for key, own in keys.items():
        found += uses(key, own)
    return verdict_of("fencing", len(keys), sum(map(len, keys.values())), found)


def _exclusive(check: str, keys: dict[str, list[Operation]], what: str) -> Verdict:
    found: list[Violation] = []
    for key, own in keys.items():
        holds = holds_of(own)
        found += overlaps(key, holds, what)
        found += tokens(key, holds)
        found += uses(key, own)
    return verdict_of(check, len(keys), sum(map(len, keys.values())), found)


def _beyond(key: str, operations: list[Operation], limit: float) -> Iterable[Violation]:
    limits: list[tuple[float, float, float, Operation]] = []  # from, to (if there is none after), how many
    for operation in operations:
        if operation.kind == kinds.LIMIT and operation.ending is not Ending.FAILED:
            number = operation.argument
            if not is_whole(number):
                raise UnfitOperationError(operation, "a limit is a whole number")
            limits.append((operation.begin, operation.last, number, operation))
    limits.sort(key=lambda one: one[0])
    inside: list[tuple[float, int, Hold]] = []
    for number, hold in enumerate(holds_of(operations)):
        while inside and inside[0][0] <= hold.first:
            heapq.heappop(inside)
        heapq.heappush(inside, (hold.last, number, hold))
        most, shown = _limit_at(limits, hold.start, limit)
        if len(inside) > most:
            starts = [one.start for _, _, one in inside]
            names = ", ".join(sorted(start.process for start in starts))
            yield violation(
                key,
                f"{len(inside)} holders at {hold.first:.6f}, and the limit is {most:.0f}: {names}",
                *starts,
                *shown,
            )


def _limit_at(
    limits: list[tuple[float, float, float, Operation]], start: Operation, first: float
) -> tuple[float, list[Operation]]:
    """The greatest limit that may have been in force while somebody was let in, and what set it."""
    possible = [one for one in limits if one[0] <= start.last]
    # What was set for certain before: of these the last to begin has replaced all that had ended when it began.
    replaced = max((begin for begin, last, _, _ in possible if last < start.begin), default=-math.inf)
    most, shown = (first, []) if replaced == -math.inf else (-math.inf, list[Operation]())
    for _, last, number, operation in possible:
        if last >= replaced and number > most:
            most, shown = number, [operation]
    return most, shown


def _has(operations: list[Operation], kind: str) -> bool:
    return any(operation.kind == kind for operation in operations)


def _place(operation: Operation) -> int:
    assert operation.place is not None
    return operation.place
