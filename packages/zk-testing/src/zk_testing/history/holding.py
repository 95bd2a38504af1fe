"""From when to when somebody held something: the intervals that checks of locks, offices and semaphores look at.

Rule: a hold begins when its holder is told that it holds, and ends when it gives up, is told of the loss, or when its
lease ends: between, it acts as the only one. What the server thought meanwhile is not asked.

One process may hold a key several times (a re-entrant lock, leases of a semaphore). What ends a hold ends the one with
its token, or else the youngest; a loss ends all with its token, or else all. An ending that failed ends nothing; one of
unknown outcome does, for its caller has stopped. What a process did in one moment was in the order of the begins.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from . import kinds
from .operation import Ending, Operation
from .verdict import Violation, violation

BEGINS = frozenset({kinds.ACQUIRE, kinds.LEAD})
ENDS = frozenset({kinds.RELEASE, kinds.RESIGN, kinds.LOST})


class Hold(NamedTuple):
    """first, last: the moments. last is infinity for one that was never given up.

    start: the operation by which it was got.   stop: by which it ended, if it was not the lease.
    depth: how many holds the same process had of it already.
    """

    first: float
    last: float
    start: Operation
    stop: Operation | None
    depth: int

    @property
    def operations(self) -> tuple[Operation, ...]:
        """What made it."""
        return (self.start,) if self.stop is None else (self.start, self.stop)


class _Open:
    __slots__ = ("depth", "first", "start", "until")

    def __init__(self, start: Operation, depth: int) -> None:
        self.start = start
        self.depth = depth
        self.first = start.end if start.end is not None else start.begin
        self.until = math.inf if start.until is None else start.until


def holds_of(operations: Iterable[Operation]) -> list[Hold]:
    """Return the holds of one key, in the order of their beginnings.

    An "acquire" whose result is False got nothing. A hold whose lease ended before it began is none.
    """
    moments: list[tuple[float, float, int, Operation]] = []
    for number, operation in enumerate(operations):
        if operation.kind in BEGINS:
            if operation.ok and operation.result is not False and operation.end is not None:
                moments.append((operation.end, operation.begin, number, operation))
        elif operation.kind in ENDS:
            if operation.ending is not Ending.FAILED:
                moments.append((operation.begin, operation.begin, number, operation))
        elif operation.kind == kinds.RENEW and operation.ok and operation.end is not None:
            moments.append((operation.end, operation.begin, number, operation))
    moments.sort(key=lambda moment: moment[:3])
    open_: dict[str, list[_Open]] = {}
    found: list[Hold] = []
    for when, _, _, operation in moments:
        mine = open_.setdefault(operation.process, [])
        if operation.kind in BEGINS:
            mine.append(_Open(operation, len(mine)))
            continue
        held = _meant(mine, operation.token)
        if held is None:
            continue
        if operation.kind == kinds.RENEW:
            if when >= held.until:
                _close(found, held, held.until, None)
                held.first = when
            held.until = math.inf if operation.until is None else operation.until
        else:
            ended = [one for one in mine if _is_meant(one, operation.token)] if operation.kind == kinds.LOST else [held]
            for one in ended:
                mine.remove(one)
                _close(found, one, when, operation)
    for mine in open_.values():
        for held in mine:
            _close(found, held, math.inf, None)
    found.sort(key=lambda hold: (hold.first, hold.depth, hold.last))
    return found


def _meant(mine: list[_Open], token: int | None) -> _Open | None:
    for held in reversed(mine):
        if _is_meant(held, token):
            return held
    return None


def _is_meant(held: _Open, token: int | None) -> bool:
    return token is None or held.start.token in (None, token)


def _close(found: list[Hold], held: _Open, when: float, stop: Operation | None) -> None:
    last = min(when, held.until)
    if last > held.first:
        found.append(Hold(held.first, last, held.start, stop if last == when else None, held.depth))


def overlaps(key: str, holds: list[Hold], what: str) -> Iterable[Violation]:
    """Say which holds of different processes overlap; each hold once, with the one before that lasts longest."""
    longest: Hold | None = None
    other: Hold | None = None  # the longest of another process than that
    for hold in holds:
        for before in (longest, other):
            if before is not None and before.start.process != hold.start.process and before.last > hold.first:
                yield violation(
                    key,
                    f"two {what} at once from {hold.first:.6f} to {min(hold.last, before.last):.6f}: "
                    f"{before.start.process} and {hold.start.process}",
                    *before.operations,
                    *hold.operations,
                )
                break
        if longest is None or hold.last > longest.last:
            if longest is not None and longest.start.process != hold.start.process:
                other = longest
            longest = hold
        elif hold.start.process != longest.start.process and (other is None or hold.last > other.last):
            other = hold


def tokens(key: str, holds: list[Hold]) -> Iterable[Violation]:
    """Say which tokens are not greater than all that were given out before."""
    newest: Hold | None = None
    for hold in holds:
        token = hold.start.token
        if token is None:
            continue
        before = None if newest is None else newest.start.token
        if newest is not None and before is not None:
            if hold.start is newest.start or (hold.depth and token == before):
                continue  # the same hold, renewed or entered again
            if token <= before:
                yield violation(key, f"token {token} was given out after token {before}", newest.start, hold.start)
                continue
        newest = hold


def uses(key: str, operations: Iterable[Operation]) -> Iterable[Violation]:
    """Say which work was done under a token after work under a newer one."""
    done = [
        operation
        for operation in operations
        if operation.ok and operation.token is not None and operation.kind not in BEGINS | ENDS | {kinds.RENEW}
    ]
    done.sort(key=lambda operation: operation.begin)
    ended = sorted(done, key=lambda operation: operation.last)
    newest: Operation | None = None
    place = 0
    for operation in done:
        while place < len(ended) and ended[place].last < operation.begin:
            if newest is None or _token(ended[place]) > _token(newest):
                newest = ended[place]
            place += 1
        if newest is not None and _token(operation) < _token(newest):
            yield violation(
                key,
                f"work under token {operation.token} succeeded after work under token {newest.token}",
                newest,
                operation,
            )


def _token(operation: Operation) -> int:
    assert operation.token is not None
    return operation.token
