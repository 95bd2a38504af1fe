"""Histories for tests: written by hand in a few words, or made by a correct service with a seed."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from typing import Any

from zk_testing.history import Ending, Operation

OK, FAILED, UNKNOWN = Ending.OK, Ending.FAILED, Ending.UNKNOWN


def op(process: str, what: str, argument: object = None, result: object = None, **facts: Any) -> Operation:
    """An operation; *what* is "kind begin end", where an end "?" is of unknown outcome, "!" failed, "-" never ended.

    `key` is "/x" unless it is given.
    """
    kind, begin, end = what.split()
    ending = UNKNOWN if end[-1] in "?-" else FAILED if end[-1] == "!" else OK
    last = None if end == "-" else float(end.rstrip("?!") or begin)
    key = str(facts.pop("key", "/x"))
    return Operation(process, kind, key, argument, result, float(begin), last, ending)._replace(**facts)


class Moments:
    """Operations of some processes that follow each other: when each begins, happens, and ends."""

    def __init__(self, seed: int, processes: int, number: int) -> None:
        self.random = random.Random(seed)
        clocks = [(self.random.random(), f"p{process}") for process in range(processes)]
        heapq.heapify(clocks)
        moments = []
        for _ in range(number):
            begin, process = heapq.heappop(clocks)
            took = self.random.expovariate(1)
            moments.append((begin + took * self.random.random(), begin, begin + took, process))
            heapq.heappush(clocks, (begin + took + self.random.expovariate(3), process))
        self.moments = sorted(moments)

    def __iter__(self) -> Iterator[tuple[str, float, float, float, Ending, bool]]:
        """Process, begin, moment, end, ending and whether it happens; in the order in which they happen."""
        for moment, begin, end, process in self.moments:
            unknown = self.random.random() < self.unknown
            yield process, begin, moment, end, UNKNOWN if unknown else OK, not unknown or self.random.random() < 0.5

    unknown = 0.0


def register_history(
    seed: int, number: int, *, processes: int = 5, values: int | None = None, unknown: float = 0.1, cas: float = 0.2
) -> list[Operation]:
    """What a correct register does. values: how many there are; None: each is written once."""
    moments = Moments(seed, processes, number)
    moments.unknown = unknown
    chance = moments.random
    state = 0
    found = []
    for serial, (process, begin, _, end, ending, happens) in enumerate(moments, start=1):
        new = serial if values is None else chance.randrange(values)
        which = chance.random()
        if which < 0.4:
            found.append(Operation(process, "read", "/x", None, state, begin, end, OK))
        elif which < 0.4 + cas:
            expected = state if chance.random() < 0.7 else chance.randrange(values or max(serial, 1))
            swaps = expected == state
            result = swaps if ending is OK else None
            found.append(Operation(process, "cas", "/x", (expected, new), result, begin, end, ending))
            state = new if swaps and happens else state
        else:
            found.append(Operation(process, "write", "/x", new, None, begin, end, ending))
            state = new if happens else state
    return sorted(found, key=lambda one: one.begin)


def counter_history(
    seed: int, number: int, *, processes: int = 5, amounts: int = 1, unknown: float = 0.1, answers: bool = True
) -> list[Operation]:
    """What a correct counter does, with amounts from 1 to *amounts*."""
    moments = Moments(seed, processes, number)
    moments.unknown = unknown
    chance = moments.random
    total = 0
    found = []
    for process, begin, _, end, ending, happens in moments:
        if chance.random() < 0.4:
            found.append(Operation(process, "get", "/x", None, total, begin, end, OK))
        else:
            amount = 1 + chance.randrange(amounts)
            total += amount if happens else 0
            result = total if answers and ending is OK else None
            found.append(Operation(process, "add", "/x", amount, result, begin, end, ending))
    return sorted(found, key=lambda one: one.begin)


def queue_history(
    seed: int, number: int, *, processes: int = 5, unknown: float = 0.05, levels: int = 1
) -> list[Operation]:
    """What a correct queue does; entries of the lowest priority first, then in order. What is left is looked at."""
    moments = Moments(seed, processes, number)
    moments.unknown = unknown
    chance = moments.random
    entries: list[tuple[int, int]] = []
    found = []
    serial = 0
    last = 0.0
    for process, begin, _, end, ending, happens in moments:
        last = max(last, end)
        if chance.random() < 0.5:
            serial += 1
            priority = chance.randrange(levels)
            if happens:
                heapq.heappush(entries, (priority, serial))
            one = Operation(process, "enqueue", "/x", serial, None, begin, end, ending, priority=priority)
        else:
            value = heapq.heappop(entries)[1] if entries and happens else None
            result = value if ending is OK else None
            one = Operation(process, "dequeue", "/x", None, result, begin, end, ending)
        found.append(one)
    left = tuple(value for _, value in sorted(entries))
    found.append(Operation("end", "contents", "/x", None, left, last + 1, last + 2, OK))
    return sorted(found, key=lambda one: one.begin)


def hold_history(
    seed: int, number: int, *, processes: int = 5, limit: int = 1, kinds: tuple[str, str] = ("acquire", "release")
) -> list[Operation]:
    """What a correct lock (of so many holders) does, in order of queueing: holds with tokens, and work under them."""
    chance = random.Random(seed)
    free = [(0.0, place) for place in range(limit)]
    idle = [(chance.random(), f"p{process}") for process in range(processes)]
    heapq.heapify(free)
    heapq.heapify(idle)
    found = []
    for token in range(1, number + 1):
        asked, process = heapq.heappop(idle)
        since, place = heapq.heappop(free)
        told = max(asked, since) + chance.expovariate(5)
        worked = told + chance.expovariate(2)
        left = worked + chance.expovariate(2)
        found.append(Operation(process, kinds[0], "/x", None, None, asked, told, OK, token=token, place=token))
        found.append(Operation(process, "use", "/x", None, None, told, worked, OK, token=token))
        found.append(Operation(process, kinds[1], "/x", None, None, left, left + chance.expovariate(5), OK))
        heapq.heappush(free, (found[-1].begin, place))
        heapq.heappush(idle, (found[-1].last + chance.expovariate(1), process))
    return sorted(found, key=lambda one: one.begin)


def barrier_history(seed: int, rounds: int, *, members: int = 4) -> list[Operation]:
    """What a correct double barrier does, round after round."""
    chance = random.Random(seed)
    clocks = dict.fromkeys((f"p{member}" for member in range(members)), 0.0)
    found = []
    for enter, leave in (("enter", "leave"),) * rounds:
        for kind in (enter, leave):
            begins = {process: clock + chance.expovariate(1) for process, clock in clocks.items()}
            all_there = max(begins.values())
            for process, begin in begins.items():
                clocks[process] = all_there + chance.expovariate(3)
                argument = members if kind == enter else None
                found.append(Operation(process, kind, "/x", argument, None, begin, clocks[process], OK))
    return sorted(found, key=lambda one: one.begin)


def gate_history(seed: int, rounds: int, *, processes: int = 4) -> list[Operation]:
    """What a correct barrier does: raised, waited for, removed, again and again."""
    chance = random.Random(seed)
    clock = 0.0
    found = []
    for _ in range(rounds):
        raised = clock + chance.random()
        removed = raised + 1 + chance.expovariate(1)
        found.append(Operation("keeper", "raise", "/x", None, None, clock, raised, OK))
        found.append(Operation("keeper", "remove", "/x", None, None, removed, removed + chance.random(), OK))
        clock = found[-1].last
        for process in range(processes):
            begin = raised + (removed - raised) * chance.random()
            clock = max(clock, removed + chance.random())
            end = removed + chance.random() * (clock - removed)
            found.append(Operation(f"p{process}", "pass", "/x", None, None, begin, max(begin, end), OK))
        clock += 0.01
    return sorted(found, key=lambda one: one.begin)


def version_history(seed: int, number: int, *, processes: int = 5) -> list[Operation]:
    """What sessions see that never read backwards."""
    seen: dict[str, int] = {}
    found = []
    moments = Moments(seed, processes, number)
    for newest, (process, begin, _, end, _, _) in enumerate(moments, start=1):
        seen[process] = moments.random.randrange(seen.get(process, 0), newest + 1)
        found.append(Operation(process, "read", "/x", None, None, begin, end, OK, version=seen[process]))
    return sorted(found, key=lambda one: one.begin)
