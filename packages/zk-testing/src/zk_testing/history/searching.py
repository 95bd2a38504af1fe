"""The search for an order: is there one in which each operation happens at a moment between its begin and its end?

Rule: exact where it answers. "There is an order" is said only with one in hand; "there is none" only when all were
tried, or when there is none although operations of unknown outcome might happen as often as they like. Where neither
is known within the limits it says so.

The history is read once, in time order, with all possible situations kept side by side, as in Lowe's just-in-time
linearization: an operation is placed when it must be, at its end, behind the fewest others that it needs. A situation
is (state, mark, done): what the object holds, a moment that the model uses, and a bit for each placed operation that is
still under way or of unknown outcome. What makes it fast are the models (`registers`, `counters`), which place an
operation that nobody observes without trying both ways, and drop a situation when another can do all that it can
(`prune`). Operations of unknown outcome are placed only where an observation needs them; so thousands of them cost
little. Too many situations are cut to the most promising (`WIDTHS`), and when a cut search finds no order, the
relaxed one decides, or a wider one.

Porcupine (Go), Knossos (Clojure) and some Rust crates are the checkers there are. No Python package was found that is
kept up: what there is are demonstrations, which search by recursion and know no unknown outcomes.
Source: Wing and Gong 1993; Lowe, Testing for linearizability, 2017; Horn and Kroening 2015 (one object at a time).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from .operation import Operation

Situation: TypeAlias = tuple[int, int, int]
Situations: TypeAlias = set[Situation]
StepT = TypeVar("StepT")

# Situations kept side by side: at first, and where that was too few.
WIDTHS = (12, 96, 1536)

# Situations that a search looks at before it gives up; the first adds some for each event.
MOST_WORK = 400_000

TRAIL = 256  # events before the fault among which its explanation is looked for
FEW = 4  # situations that are kept without asking which of them are superfluous
SETTLE = 256  # ends of operations after which bits that need not be told apart any more are used again
NEVER = 1 << 62  # the position of an end that never comes


class Model(ABC, Generic[StepT]):
    """An object, as the search sees it: what its operations do to the situations.

    width: situations that may be kept.   relaxed: whether what is of unknown outcome may happen many times.
    is_cut: whether there were more.   work: how much there is left to be done, before it gives up.
    most_steps, most_ways: to how many situations one may lead, and by how many choices of the same kind.
    """

    def __init__(self, width: int, *, relaxed: bool) -> None:
        self.width = width
        self.relaxed = relaxed
        self.is_cut = False
        self.work = 0
        self.most_steps = max(16, 2 * width)
        self.most_ways = max(4, width // 8)

    def prepare(self, steps: Iterable[StepT]) -> None:
        """Look at all steps before the first begins."""

    @abstractmethod
    def begin(self, step: StepT, bit: int, position: int, end: int) -> None:
        """An operation begins. end: the position of its end, NEVER of one whose outcome is unknown."""

    @abstractmethod
    def end(self, step: StepT, bit: int, position: int, situations: Situations) -> Situations:
        """It ends: return the situations in which it has been placed, without its bit. None: there is no order."""

    @abstractmethod
    def rank(self, situation: Situation) -> tuple[int, ...]:
        """Where it stands among those of one state; the first are likely to make many others superfluous."""

    @abstractmethod
    def serves(self, one: Situation, other: Situation) -> bool:
        """Whether whatever can follow the other can follow this one; both have the same state."""

    def prune(self, situations: Situations) -> Situations:
        """Drop situations that others make superfluous."""
        groups: dict[int, list[Situation]] = {}
        for situation in situations:
            groups.setdefault(situation[0], []).append(situation)
        kept: Situations = set()
        for group in groups.values():
            if len(group) == 1:
                kept.update(group)
                continue
            group.sort(key=self.rank)
            best: list[Situation] = []
            for situation in group:
                for other in best:
                    if self.serves(other, situation):
                        break
                else:
                    best.append(situation)
            kept.update(best)
        return kept

    def settle(self, situations: Situations) -> tuple[Situations, list[int]]:
        """Forget operations of unknown outcome that make no difference any more; return their bits as well."""
        return situations, []

    @abstractmethod
    def worth(self, situation: Situation) -> tuple[int, int]:
        """How promising a situation is; the smallest are kept."""

    def narrow(self, situations: Situations) -> Situations:
        """Keep as many situations as may be kept."""
        if len(situations) > 4 * self.width:
            situations = self._best(situations, 4 * self.width)
        situations = self.prune(situations)
        return self._best(situations, self.width) if len(situations) > self.width else situations

    def _best(self, situations: Situations, number: int) -> Situations:
        self.is_cut = True
        return set(sorted(situations, key=lambda situation: (*self.worth(situation), situation))[:number])


class Event(NamedTuple, Generic[StepT]):
    """The begin (end is False) or the end of an operation. until: the position of the end, of a begin."""

    step: StepT
    number: int
    is_end: bool
    until: int


class Fault(NamedTuple):
    """No order exists. position: of the event at which the last situation was gone.   trail: of those before."""

    position: int
    trail: tuple[tuple[int, frozenset[int]], ...]  # after which event, which states were possible


def events_of(steps: Sequence[tuple[StepT, float, float | None]]) -> list[Event[StepT]]:
    """Return begins and ends of steps in time order; what begins when another ends is not after it.

    steps: each with its begin, and its end or None if it may happen at any time.
    """
    moments: list[tuple[float, bool, int]] = []
    for index, (_, begin, end) in enumerate(steps):
        moments.append((begin, False, index))
        if end is not None:
            moments.append((end, True, index))
    moments.sort()
    ends = {index: position for position, (_, is_end, index) in enumerate(moments) if is_end}
    return [Event(steps[index][0], index, is_end, ends.get(index, NEVER)) for _, is_end, index in moments]


def search(model: Model[StepT], events: Sequence[Event[StepT]], states: Collection[int], work: int) -> Fault | None:
    """Look for an order of all events, from any of some states; None: there is one.

    work: how many situations it looks at before it gives up, with a fault where it is, and the model cut.
    """
    situations: Situations = {(state, -1, 0) for state in states}
    model.work = work
    model.prepare(event.step for event in events)
    trail: deque[tuple[int, Situations]] = deque([(-1, situations)], TRAIL)
    bits: dict[int, int] = {}
    free: list[int] = []
    settled: list[int] = []
    made = ended = 0
    for position, (step, number, is_end, until) in enumerate(events):
        if not is_end:
            # Those of unknown outcome have bits of their own, as far as it goes in the order of their begin.
            if reused := settled if until == NEVER else free:
                bit = reused.pop()
            else:
                bit = 1 << made
                made += 1
            bits[number] = bit
            model.begin(step, bit, position, until)
            continue
        bit = bits.pop(number)
        before = situations
        situations = model.end(step, bit, position, before)
        if len(situations) > FEW and not _are_known(situations, before, bit):
            situations = model.narrow(situations)
            model.work -= len(situations)
            if model.work < 0:
                model.is_cut = True
                situations = set()
        if not situations:
            return Fault(position, tuple((at, frozenset(state for state, _, _ in kept)) for at, kept in trail))
        ended += 1
        if ended % SETTLE == 0:
            situations, bits_left = model.settle(situations)
            settled += bits_left
        trail.append((position, situations))
        free.append(bit)
    return None


def _are_known(situations: Situations, before: Situations, bit: int) -> bool:
    """Whether an end brought no situation that was not kept before it, but for the bit: so none is superfluous now."""
    return situations <= before or all(done & bit for _, _, done in before)


def bits_of(mask: int) -> Iterable[int]:
    """Each bit of a mask, by itself."""
    while mask:
        low = mask & -mask
        yield low
        mask ^= low


class Answer(NamedTuple):
    """What was found for one object: an order, a fault, or neither (undecided).

    is_relaxed: whether there is no order although what is of unknown outcome might happen many times.
    """

    fault: Fault | None
    is_decided: bool
    is_relaxed: bool = False


def decide(make: type[Model[StepT]], events: Sequence[Event[StepT]], states: Collection[int]) -> Answer:
    """Decide whether there is an order, with as few situations as will do."""
    fault: Fault | None = None
    for width in WIDTHS:
        model = make(width, relaxed=False)
        fault = search(model, events, states, MOST_WORK + (2 * width * len(events) if width == WIDTHS[0] else 0))
        if fault is None or not model.is_cut:
            return Answer(fault, is_decided=True)
        if width == WIDTHS[0]:
            relaxed = make(WIDTHS[-1], relaxed=True)
            certain = search(relaxed, events[: fault.position + 1], states, MOST_WORK)
            if certain is not None and not relaxed.is_cut:
                return Answer(certain, is_decided=True, is_relaxed=True)
    return Answer(fault, is_decided=False)


def by_key(operations: Iterable[Operation], kinds: frozenset[str]) -> dict[str, list[Operation]]:
    """Operations of some kinds, by the key."""
    found: dict[str, list[Operation]] = {}
    for operation in operations:
        if operation.kind in kinds:
            found.setdefault(operation.key, []).append(operation)
    return found
