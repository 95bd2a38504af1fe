"""Barriers: nobody passes one that is up; all enter a double barrier together, and all leave it together.

Rule: a sentence is said only where it must be wrong: with the barrier up for certain, with too few who can have come,
with somebody inside for certain. Whoever never returned although nothing was in the way counts as hanging, which is
wrong as well; one that crashed is to be recorded as `unknown`, with an end.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator

from . import kinds
from .operation import Ending, Operation, UnfitOperationError, is_whole
from .searching import by_key
from .verdict import Verdict, Violation, verdict_of, violation

_BARRIER = frozenset({kinds.RAISE, kinds.REMOVE, kinds.PASS})
_DOUBLE = frozenset({kinds.ENTER, kinds.LEAVE, kinds.LOST})
_OUT = frozenset({kinds.LEAVE, kinds.LOST})


def barrier(operations: Iterable[Operation]) -> Verdict:
    """Check that nobody passed while the barrier was up, and nobody waits for one that is gone.

    operations: "raise", "remove", "pass" (begin: when the waiting began; result False: not passed). A key's barrier is
    down until it is raised.
    """
    keys = by_key(operations, _BARRIER)
    found: list[Violation] = []
    for key, own in keys.items():
        found += _passing(key, own)
    return verdict_of("barrier", len(keys), sum(map(len, keys.values())), found)


def double_barrier(operations: Iterable[Operation], *, members: int | None = None) -> Verdict:
    """Check that members entered only when all had come, and left only when all were leaving.

    operations: "enter" (argument: how many are needed; result False: not entered), "leave" (result False: not left),
    "lost" (a member is out: its session ended).   members: how many are needed where "enter" does not say it.
    Where one key is used for round after round, a member of a round is only told from one of the next where their times
    tell.
    Raises ValueError where nobody says how many are needed.
    """
    keys = {key: own for key, own in by_key(operations, _DOUBLE).items() if any(one.kind == kinds.ENTER for one in own)}
    found: list[Violation] = []
    for key, own in keys.items():
        found += _entering(key, own, members)
        found += _leaving(key, own)
    return verdict_of("double-barrier", len(keys), sum(map(len, keys.values())), found)


def _passing(key: str, operations: list[Operation]) -> Iterator[Violation]:
    raises = [one for one in operations if one.kind == kinds.RAISE and one.ok]
    raises.sort(key=lambda one: one.last)
    latest: list[Operation] = []  # of the raises so far, the one that began last
    for one in raises:
        latest.append(one if not latest or one.begin > latest[-1].begin else latest[-1])
    raised = [one.last for one in raises]
    removes = [one for one in operations if one.kind == kinds.REMOVE and one.ending is not Ending.FAILED]
    removes.sort(key=lambda one: one.begin)
    removed = [one.begin for one in removes]
    longest: list[float] = []  # of the removes so far, the last moment of any
    for one in removes:
        longest.append(max(one.last, longest[-1]) if longest else one.last)
    for one in operations:
        if one.kind != kinds.PASS:
            continue
        if one.ok and one.result is not False:
            before = bisect_left(raised, one.begin)
            if before:
                up = latest[before - 1]
                possible = bisect_right(removed, one.last)
                if not possible or longest[possible - 1] < up.begin:
                    yield violation(key, f"{one.process} passed while the barrier was up", up, one)
        elif one.end is None:
            yield from _waits_for_nothing(key, one, operations, removes)


def _waits_for_nothing(
    key: str, one: Operation, operations: list[Operation], removes: list[Operation]
) -> Iterator[Violation]:
    last = max((remove for remove in removes if remove.ok), key=lambda remove: remove.last, default=None)
    again = [up for up in operations if up.kind == kinds.RAISE and up.ending is not Ending.FAILED]
    if not again:
        yield violation(key, f"{one.process} waits for ever at a barrier that was never raised", one)
    elif last is not None and all(up.last < last.begin for up in again):
        yield violation(key, f"{one.process} waits for ever at a barrier that was removed", one, last)


# Double barriers


def _entering(key: str, operations: list[Operation], members: int | None) -> Iterator[Violation]:
    operations = sorted(operations, key=lambda one: one.begin)
    enters = [(one, _needed(one, members)) for one in operations if one.kind == kinds.ENTER]
    came = _comings(operations, _is_out)
    begins = [one.begin for one, _ in came]
    # Who did not get in was there until it gave up.
    gone = sorted(one.last if one.result is False else math.inf if out is None else out.last for one, out in came)
    full: list[tuple[Operation, int]] = []  # who entered with just as many there as it needed
    for one, needed in enters:
        if one.ok and one.result is not False:
            there = bisect_right(begins, one.last) - bisect_left(gone, one.begin)
            if there < needed:
                others = [other for other, _ in came if other.begin <= one.last][-needed:]
                yield violation(key, f"{one.process} entered with {there} of {needed} there", *others, one)
            elif there == needed:
                full.append((one, needed))
    stays = [
        one
        for one, out in _comings(operations, _may_be_out)
        if out is None and (one.end is None or one.ok) and one.result is not False
    ]
    for one, needed in enters:
        if one.end is None:
            yield from _waits_to_enter(key, one, needed, [] if one not in stays else full, stays)


def _waits_to_enter(
    key: str, one: Operation, needed: int, full: list[tuple[Operation, int]], stays: list[Operation]
) -> Iterator[Violation]:
    """Whoever never entered, though another one did who needed it, or though enough others came and stayed."""
    for other, number in full:
        if other.process != one.process and one.begin <= other.last:
            sentence = f"{one.process} waits for ever to enter, and {other.process} did: all {number} had come"
            yield violation(key, sentence, one, other)
            return
    others = {other.process: other for other in stays if other.process != one.process}
    if len(others) + 1 >= needed:
        inside = [other.process for other in others.values() if other.ok]
        did = f", and {inside[0]} did" if inside else ""
        sentence = f"{one.process} waits for ever to enter{did}: all {needed} had come"
        yield violation(key, sentence, one, *others.values())


def _needed(one: Operation, members: int | None) -> int:
    needed = one.argument if one.argument is not None else members
    if not is_whole(needed):
        raise UnfitOperationError(one, "how many members does this need? Give it as the argument, or as `members`")
    return needed


def _is_out(one: Operation) -> bool:
    return one.kind in _OUT and one.ok and one.result is not False


def _may_be_out(one: Operation) -> bool:
    return one.kind in _OUT and one.ending is not Ending.FAILED


def _is_leaving(one: Operation) -> bool:
    return _is_out(one) or (one.kind == kinds.LEAVE and one.end is None)


def _comings(
    operations: list[Operation], is_out: Callable[[Operation], bool]
) -> list[tuple[Operation, Operation | None]]:
    """Who may have come, in the order of the begins, each with what it did next by which it went out again."""
    next_out: dict[str, Operation] = {}
    found: list[tuple[Operation, Operation | None]] = []
    for one in sorted(operations, key=lambda one: one.begin)[::-1]:  # of one moment the last first
        if is_out(one):
            next_out[one.process] = one
        elif one.kind == kinds.ENTER and one.ending is not Ending.FAILED:
            found.append((one, next_out.get(one.process)))
    return found[::-1]


def _leaving(key: str, operations: list[Operation]) -> Iterator[Violation]:
    inside: list[tuple[float, float, Operation]] = []  # from, to, enter
    for one, out in _comings(operations, _may_be_out):
        if one.ok and one.result is not False:
            inside.append((one.last, math.inf if out is None else out.begin, one))
    inside.sort(key=lambda stay: stay[0])
    leaves = [one for one in operations if one.kind == kinds.LEAVE and one.ok and one.result is not False]
    longest: tuple[float, float, Operation] | None = None
    other: tuple[float, float, Operation] | None = None  # the longest of another process than that
    place = 0
    for leave in sorted(leaves, key=lambda one: one.begin):
        while place < len(inside) and inside[place][0] < leave.begin:
            stay = inside[place]
            place += 1
            if longest is None or stay[1] > longest[1]:
                if longest is not None and longest[2].process != stay[2].process:
                    other = longest
                longest = stay
            elif stay[2].process != longest[2].process and (other is None or stay[1] > other[1]):
                other = stay
        for found in (longest, other):
            if found is not None and found[2].process != leave.process and found[1] > leave.last:
                yield violation(key, f"{leave.process} left while {found[2].process} was inside", found[2], leave)
                break
    stuck = [one for one in operations if one.kind == kinds.LEAVE and one.end is None]
    if stuck:
        # Who may have come, and is not known to go, may be inside.
        may_be_inside = {
            one.process for one, out in _comings(operations, _is_leaving) if out is None and one.result is not False
        }
        for one in stuck:
            if may_be_inside <= {one.process}:
                yield violation(key, f"{one.process} waits for ever to leave, and nobody is inside", one)
