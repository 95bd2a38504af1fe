"""Why there is no order: the fewest operations, and a state before them, that show it.

Rule: what is shown is a proof. Every part that is left out only made the history harder to explain: a read, an
operation that ended before, the duty of a write to happen. So if the rest has no order, neither has the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from .searching import WIDTHS, Event, Fault, Model, events_of, search

StepT = TypeVar("StepT")

MOST_TRIED = 60  # operations of which each is tried to be left out
MOST_WORK = 20_000  # situations that each try looks at


class Reasons(NamedTuple):
    """culprit: the operation at whose end no order was left.   numbers: of all that are needed to see it.

    states: of which the object had one before them.   duties: those of `numbers` that count as having to happen.
    """

    culprit: int
    numbers: list[int]
    states: frozenset[int]


class Taken(NamedTuple, Generic[StepT]):
    """An operation in a trial. end: None if it may happen or not."""

    number: int
    step: StepT
    begin: int
    end: int | None


def explain(
    make: type[Model[StepT]],
    events: Sequence[Event[StepT]],
    fault: Fault,
    relaxed: bool,
    observes: Callable[[StepT], bool],
    matters: Callable[[StepT, Sequence[StepT]], bool],
) -> Reasons:
    """Find the reasons of a fault.

    relaxed: whether it is one although what is of unknown outcome may happen many times.
    observes: whether a step only sees.   matters: whether a step that may happen can change what others see.
    """
    begins: dict[int, int] = {}
    ends: dict[int, int] = {}
    for position, event in enumerate(events[: fault.position + 1]):
        (ends if event.is_end else begins)[event.number] = position
    steps = {event.number: event.step for event in events[: fault.position + 1]}

    def taken_after(cut: int) -> list[Taken[StepT]]:
        found: list[Taken[StepT]] = []
        for number, begin in begins.items():
            end = ends.get(number)
            if end is not None and end <= cut:
                continue
            step = steps[number]
            if begin > cut and end is not None:
                found.append(Taken(number, step, begin, end))
            elif not observes(step):
                found.append(Taken(number, step, begin, None))
        return found

    def fails(taken: Sequence[Taken[StepT]], states: frozenset[int]) -> bool:
        model = make(WIDTHS[1], relaxed=relaxed)
        events = events_of([(one.step, one.begin, one.end) for one in taken])
        return search(model, events, states, MOST_WORK) is not None and not model.is_cut

    low, high = 0, len(fault.trail) - 1
    while low < high:  # the latest moment from which on it still fails
        middle = (low + high + 1) // 2
        cut, states = fault.trail[middle]
        if fails(taken_after(cut), states):
            low = middle
        else:
            high = middle - 1
    cut, states = fault.trail[low]
    taken = taken_after(cut)
    culprit = events[fault.position].number
    if fails(taken, states):
        taken = _fewest(taken, culprit, states, fails, observes)
    needed = [one.step for one in taken if one.end is not None or observes(one.step)]
    kept = [one for one in taken if one.end is not None or matters(one.step, needed)]
    return Reasons(culprit, [one.number for one in kept], states)


def _fewest(
    taken: list[Taken[StepT]],
    culprit: int,
    states: frozenset[int],
    fails: Callable[[Sequence[Taken[StepT]], frozenset[int]], bool],
    observes: Callable[[StepT], bool],
) -> list[Taken[StepT]]:
    duties = [one for one in taken if one.end is not None and one.number != culprit]
    for one in duties[:MOST_TRIED]:
        place = taken.index(one)
        without = taken[:place] + taken[place + 1 :]
        if not observes(one.step):
            without.insert(place, one._replace(end=None))
        if fails(without, states):
            taken = without
    return taken
