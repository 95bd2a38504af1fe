"""Queues: nothing is lost, nothing comes twice, and (where asked for) everything comes in order.

Rule: a sentence is said only where no queue could have done it. An enqueue of unknown outcome may have put its value; a
dequeue of unknown outcome may have taken one value, any, at any time after its begin. What begins at the moment when
another ends may have come first.

Values are told apart by being different; of equal ones it is only counted how many there are.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple, TypeAlias

from . import kinds
from .operation import Ending, Operation, UnfitOperationError, Value
from .searching import by_key
from .verdict import Verdict, Violation, verdict_of, violation

_QUEUE = frozenset({kinds.ENQUEUE, kinds.DEQUEUE, kinds.CONTENTS})

Order = Literal["none", "fifo", "priority"]
_Pair: TypeAlias = tuple[Operation, Operation | None]  # a put, and the dequeue that gave it


def queue(operations: Iterable[Operation], *, order: Order = "none", drained: bool = False) -> Verdict:
    """Check that each value that was put came out at most once, and none was lost.

    operations: "enqueue" (argument: the value; `priority`, the smaller comes first), "dequeue" (result: the value, or
    None where the queue was empty), "contents" (result: all values that were inside).
    order: "fifo": what was put later comes later; "priority": the same among equals, and the more urgent first.
    drained: whether the queue must be empty after the last operation.
    Raises ValueError for "contents" whose result is no list, and for an "enqueue" of None.
    """
    keys = by_key(operations, _QUEUE)
    found: list[Violation] = []
    for key, own in keys.items():
        one = _Queue(key, own)
        found += one.came_wrongly()
        found += one.empty_though_not()
        found += one.lost(drained)
        if order != "none":
            found += one.out_of_order(by_priority=order == "priority")
    return verdict_of("queue", len(keys), sum(map(len, keys.values())), found)


class _Stay(NamedTuple):
    """A value that was inside after one moment and before another. proof: who got it then, or saw it."""

    first: float
    last: float
    put: Operation
    proof: Operation | None


class _Queue:
    def __init__(self, key: str, operations: list[Operation]) -> None:
        self.key = key
        self.puts: dict[Value, list[Operation]] = {}
        self.failed: dict[Value, Operation] = {}
        self.takes: dict[Value, list[Operation]] = {}
        self.empties: list[Operation] = []
        self.looks: list[Operation] = []
        self.doubts: list[float] = []  # begins of the dequeues of unknown outcome
        for operation in sorted(operations, key=lambda operation: operation.begin):
            if operation.kind == kinds.ENQUEUE:
                if operation.argument is None:
                    raise UnfitOperationError(operation, "what is put is not null: that says empty")
                if operation.ending is Ending.FAILED:
                    self.failed[operation.argument] = operation
                else:
                    self.puts.setdefault(operation.argument, []).append(operation)
            elif operation.ending is Ending.FAILED:
                continue
            elif operation.kind == kinds.CONTENTS:
                if operation.ok:
                    self.looks.append(operation)
            elif not operation.ok:
                self.doubts.append(operation.begin)
            elif operation.result is None:
                self.empties.append(operation)
            else:
                self.takes.setdefault(operation.result, []).append(operation)
        for takes in self.takes.values():
            takes.sort(key=lambda operation: operation.last)

    def came_wrongly(self) -> Iterator[Violation]:
        """What came out too often, too early, or without having been put."""
        for value, takes in self.takes.items():
            puts = self.puts.get(value, [])
            if not puts:
                if failed := self.failed.get(value):
                    yield violation(self.key, f"{value!r} came out, and putting it had failed", failed, takes[0])
                else:
                    yield violation(self.key, f"{value!r} came out, and nobody had put it", takes[0])
                continue
            if len(takes) > len(puts):
                yield violation(
                    self.key, f"{value!r} came out {_times(len(takes))}, and was put {_times(len(puts))}", *puts, *takes
                )
            for put, take in zip(puts, takes, strict=False):
                if take.last < put.begin:
                    yield violation(self.key, f"{value!r} came out before it was put", put, take)

    def empty_though_not(self) -> Iterator[Violation]:
        """Answers that the queue is empty while something was inside that nobody can have taken."""
        stays = self._stays()
        known = {id(stay.put) for stay in stays}
        yield from self._empty_meanwhile(stays)
        pairs = [pair for pair in self._pairs() if pair[0].ok and id(pair[0]) not in known]
        came = sorted(pairs, key=lambda pair: pair[0].last)
        gone = sorted((pair for pair in pairs if pair[1] is not None), key=lambda pair: _begin(pair[1]))
        inside: dict[int, _Pair] = {}
        next_come = next_gone = 0
        left: set[int] = set()
        for empty in sorted(self.empties, key=lambda operation: operation.last):
            while next_come < len(came) and came[next_come][0].last < empty.last:
                if id(came[next_come][0]) not in left:
                    inside[id(came[next_come][0])] = came[next_come]
                next_come += 1
            while next_gone < len(gone) and _begin(gone[next_gone][1]) <= empty.last:
                left.add(id(gone[next_gone][0]))
                inside.pop(id(gone[next_gone][0]), None)
                next_gone += 1
            doubts = bisect_right(self.doubts, empty.last)
            surely: list[_Pair] = []
            for pair in inside.values():
                if pair[0].last >= empty.begin or len(surely) > doubts:
                    break
                surely.append(pair)
            if len(surely) > doubts:
                put, take = surely[-1]
                more = f", or one of {len(surely) - 1} others," if doubts else ""
                yield violation(
                    self.key,
                    f"it was called empty while {put.argument!r}{more} was inside",
                    put,
                    empty,
                    *(() if take is None else (take,)),
                )

    def _stays(self) -> list[_Stay]:
        """When which values were inside for certain, whatever those of unknown outcome took; by their beginnings."""
        looked = {value: look for look in self.looks for value in _values(look)}
        found: list[_Stay] = []
        for value, [put, *others] in self.puts.items():
            if others or not put.ok:
                continue
            later = [one for one in (*self.takes.get(value, ()), looked.get(value)) if one is not None]
            proof = max(later, key=lambda one: one.begin, default=None)
            until = proof.begin if proof is not None else put.last if self.doubts else math.inf
            if until > put.last:
                found.append(_Stay(put.last, until, put, proof))
        return sorted(found, key=lambda stay: stay.first)

    def _empty_meanwhile(self, stays: list[_Stay]) -> Iterator[Violation]:
        """Answers that the queue is empty at a time when at each moment one value or another was inside."""
        firsts = [stay.first for stay in stays]
        longest: list[_Stay] = []  # of the stays so far, the one that ends last
        for stay in stays:
            longest.append(stay if not longest or stay.last > longest[-1].last else longest[-1])
        for empty in self.empties:
            moment, shown = empty.begin, list[_Stay]()
            while moment <= empty.last:
                place = bisect_left(firsts, moment)
                if not place or longest[place - 1].last <= moment:
                    break
                shown.append(longest[place - 1])
                moment = shown[-1].last
            else:
                what = ", then ".join(repr(stay.put.argument) for stay in shown)
                proofs = [one for stay in shown for one in (stay.put, stay.proof) if one is not None]
                yield violation(self.key, f"it was called empty while {what} was inside", empty, *proofs)

    def lost(self, drained: bool) -> Iterator[Violation]:
        """Values that were put, did not come out, and were not inside when somebody looked."""
        for look in self.looks:
            values = _values(look)
            yield from self._strange(look, values)
            yield from self._missing(look, values)
            if self.doubts:
                yield from self._overlooked(look, values)
        if drained:
            yield from self._missing(None, ())

    def _strange(self, look: Operation, values: tuple[Value, ...]) -> Iterator[Violation]:
        inside: dict[Value, int] = {}
        for value in values:
            inside[value] = inside.get(value, 0) + 1
        for value, count in inside.items():
            puts = [put for put in self.puts.get(value, ()) if put.begin <= look.last]
            takes = [take for take in self.takes.get(value, ()) if take.last < look.begin]
            if count + len(takes) > len(puts):
                if value in self.failed and not puts:
                    yield violation(
                        self.key, f"{value!r} was inside, and putting it had failed", self.failed[value], look
                    )
                else:
                    many = _times(count + len(takes))
                    sentence = f"{value!r} came out or was inside {many}, and was put {_times(len(puts))}"
                    yield violation(self.key, sentence, *puts, *takes, look)

    def _missing(self, look: Operation | None, values: tuple[Value, ...]) -> Iterator[Violation]:
        begin, end = (math.inf, math.inf) if look is None else (look.begin, look.last)
        inside: dict[Value, int] = {}
        for value in values:
            inside[value] = inside.get(value, 0) + 1
        missing: list[Operation] = []
        for value, puts in self.puts.items():
            sure = [put for put in puts if put.last < begin]
            taken = sum(take.begin <= end for take in self.takes.get(value, ()))
            if (short := len(sure) - taken - inside.get(value, 0)) > 0:
                missing += sure[-short:]
        doubts = len(self.doubts) if look is None else bisect_right(self.doubts, end)
        if len(missing) > doubts:
            when = "in the end" if look is None else "when somebody looked"
            but = f", and {_number(doubts)} of unknown outcome may have taken something" if doubts else ""
            sentence = f"{_number(len(missing))} put, did not come out, and not inside {when}{but}"
            yield violation(self.key, sentence, *missing[:5], *(() if look is None else (look,)))

    def _overlooked(self, look: Operation, values: tuple[Value, ...]) -> Iterator[Violation]:
        for stay in self._stays():
            if stay.first < look.begin and look.last < stay.last and stay.put.argument not in values:
                sentence = f"{stay.put.argument!r} was inside, and not when somebody looked"
                yield violation(self.key, sentence, look, *(one for one in (stay.put, stay.proof) if one is not None))

    def out_of_order(self, *, by_priority: bool) -> Iterator[Violation]:
        """Values that came out before others that must go first."""
        if self.doubts:
            # Whoever never came out may have been taken by them.
            pairs = [pair for pair in self._pairs() if pair[1] is not None]
        else:
            pairs = [pair for pair in self._pairs() if pair[1] is not None or pair[0].ok]
        alone = {put.argument for put, _ in pairs if len(self.puts[put.argument]) == 1}
        pairs = [pair for pair in pairs if pair[0].argument in alone]  # of equal ones nobody knows which came
        levels: dict[int, list[_Pair]] = {}
        for put, take in pairs:
            levels.setdefault((put.priority or 0) if by_priority else 0, []).append((put, take))
        for level in levels.values():
            yield from self._overtaken(level)
        if len(levels) > 1:
            yield from self._less_urgent(pairs, sorted(levels))

    def _overtaken(self, pairs: list[_Pair]) -> Iterator[Violation]:
        """Whoever came out for certain before one that was put before."""
        ends = sorted(pairs, key=lambda pair: pair[0].last)
        slowest: _Pair | None = None
        place = 0
        for put, take in sorted(pairs, key=lambda pair: pair[0].begin):
            if take is None:
                continue
            while place < len(ends) and ends[place][0].last < put.begin:
                if slowest is None or _begin(ends[place][1]) > _begin(slowest[1]):
                    slowest = ends[place]
                place += 1
            if slowest is not None and _begin(slowest[1]) > take.last:
                yield self._before(put, take, slowest, "was put before it")

    def _less_urgent(self, pairs: list[_Pair], levels: list[int]) -> Iterator[Violation]:
        """Whoever came out for certain while one more urgent was inside."""
        ranks = {priority: rank for rank, priority in enumerate(levels, start=1)}
        # The slowest of all ranks up to one, in a tree of sums over ranges (Fenwick's).
        slowest: list[_Pair | None] = [None] * (len(levels) + 1)
        ends = sorted(pairs, key=lambda pair: pair[0].last)
        place = 0
        came = [(put, take) for put, take in pairs if take is not None]
        for put, take in sorted(came, key=lambda pair: pair[1].begin):
            while place < len(ends) and ends[place][0].last < take.begin:
                rank = ranks[ends[place][0].priority or 0]
                while rank < len(slowest):
                    known = slowest[rank]
                    if known is None or _begin(ends[place][1]) > _begin(known[1]):
                        slowest[rank] = ends[place]
                    rank += rank & -rank
                place += 1
            rank = ranks[put.priority or 0] - 1
            while rank:
                known = slowest[rank]
                if known is not None and _begin(known[1]) > take.last:
                    yield self._before(put, take, known, "was inside, and more urgent")
                    break
                rank -= rank & -rank

    def _before(self, put: Operation, take: Operation, other: _Pair, why: str) -> Violation:
        late = () if other[1] is None else (other[1],)
        sentence = f"{put.argument!r} came out before {other[0].argument!r}, which {why}"
        return violation(self.key, sentence, other[0], put, take, *late)

    def _pairs(self) -> Iterator[_Pair]:
        """Each put with the dequeue that gave it, if any did; of equal values the certain ones first."""
        for value, puts in self.puts.items():
            takes = self.takes.get(value, [])
            if len(puts) > 1:
                takes = sorted(takes, key=lambda take: take.begin)
            for number, put in enumerate(sorted(puts, key=lambda put: put.last)):
                yield put, takes[number] if number < len(takes) else None


def _values(look: Operation) -> tuple[Value, ...]:
    if not isinstance(look.result, tuple):
        raise UnfitOperationError(look, "the contents of a queue are a list of values")
    return look.result


def _begin(take: Operation | None) -> float:
    return math.inf if take is None else take.begin


def _times(number: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(number, f"{number} times")


def _number(number: int) -> str:
    return "one was" if number == 1 else f"{number} were"
