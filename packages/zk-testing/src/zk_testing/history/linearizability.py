"""Whether a register or a counter behaved as if its operations happened one after the other.

Rule: a read, get, refused compare-and-set of unknown outcome says nothing and is left out, and so is everything that
failed. A write of unknown outcome whose value nobody saw is left out as well.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Literal, TypeVar

from . import counters, kinds, registers
from .explaining import Reasons, explain
from .operation import Ending, Operation, UnfitOperationError, Value, is_whole, value_of
from .searching import Model, by_key, decide, events_of
from .verdict import Verdict, Violation, verdict_of, violation

StepT = TypeVar("StepT")
Parts = list[tuple[StepT, float, float | None]]

REGISTER = frozenset({kinds.READ, kinds.WRITE, kinds.CAS})
COUNTER = frozenset({kinds.ADD, kinds.GET})
MOST_STATES = 6  # values that a sentence names


def register(operations: Iterable[Operation], *, initial: object = None) -> Verdict:
    """Check that each key was a register: reads, writes and compare-and-sets in one order that all can agree on.

    operations: "read" (result: the value), "write" (argument: the value), "cas" (argument: the pair of what was
    expected and what is to be; result: whether it was). initial: the value of each key at the beginning.
    Raises ValueError for a "cas" whose argument is no pair or whose result is not true or false.
    """
    first = value_of(initial)
    keys = by_key(operations, REGISTER)
    found: list[Violation] = []
    undecided: list[str] = []
    for key, own in keys.items():
        numbers: dict[Value, int] = {first: 0}
        parts, sources = _register_steps(own, numbers)
        values = {number: value for value, number in numbers.items()}

        def name(state: int, values: dict[int, Value] = values) -> str:
            return repr(values[state])

        culprit = _decide(key, registers.Register, parts, sources, [0], name, _sees, _is_seen, found, undecided)
        if culprit is not None:
            found[-1] = _with_writers(found[-1], [values[state] for state in culprit.states], sources, culprit)
    return verdict_of("register", len(keys), sum(map(len, keys.values())), found, undecided)


def counter(operations: Iterable[Operation], *, initial: int = 0, returns: Literal["new", "old"] = "new") -> Verdict:
    """Check that each key was a counter: every addition counted once, and every sum was one at some moment.

    operations: "add" (argument: the amount; result: the sum, or nothing), "get" (result: the sum).
    initial: the sum at the beginning.   returns: whether "add" returns the sum after it or before it.
    Raises ValueError for amounts and sums that are no whole numbers.
    """
    keys = by_key(operations, COUNTER)
    found: list[Violation] = []
    undecided: list[str] = []
    for key, own in keys.items():
        parts, sources = _counter_steps(own, returns)
        _decide(key, counters.Counter, parts, sources, [initial], str, _gets, _adds_to, found, undecided)
    return verdict_of("counter", len(keys), sum(map(len, keys.values())), found, undecided)


def _decide(
    key: str,
    make: type[Model[StepT]],
    parts: Parts[StepT],
    sources: Sequence[Operation],
    states: Collection[int],
    name: Callable[[int], str],
    observes: Callable[[StepT], bool],
    matters: Callable[[StepT, Sequence[StepT]], bool],
    found: list[Violation],
    undecided: list[str],
) -> Reasons | None:
    events = events_of(parts)
    answer = decide(make, events, states)
    if answer.fault is None:
        return None
    if answer.is_decided:
        reasons = explain(make, events, answer.fault, answer.is_relaxed, observes, matters)
        found.append(_violation(key, reasons, sources, name))
        return reasons
    last = sources[events[answer.fault.position].number]
    undecided.append(f"{key}: there are too many possible orders of the operations up to\n  {last}")
    return None


def _violation(key: str, reasons: Reasons, sources: Sequence[Operation], name: Callable[[int], str]) -> Violation:
    states = sorted(map(name, reasons.states))
    shown = " or ".join(states[:MOST_STATES]) + (" or another" if len(states) > MOST_STATES else "")
    culprit = sources[reasons.culprit]
    sentence = (
        f"in no order can {culprit.kind} by {culprit.process} at {culprit.begin:.6f} be explained; "
        f"before these operations the value was {shown}"
    )
    return violation(key, sentence, *(sources[index] for index in reasons.numbers))


# Registers


def _with_writers(
    bare: Violation, values: Sequence[Value], sources: Sequence[Operation], reasons: Reasons
) -> Violation:
    """Add, for whoever reads it, the last writes of what the register held before, and of what was seen wrongly."""
    culprit = sources[reasons.culprit]
    seen = culprit.argument[0] if culprit.kind == kinds.CAS and isinstance(culprit.argument, tuple) else culprit.result
    wanted = {*values[:MOST_STATES], seen}
    writers: dict[Value, Operation] = {}
    for one in sources:
        if one is not culprit and one.begin <= culprit.last:
            written = one.argument
            if one.kind == kinds.CAS and isinstance(written, tuple):
                written = written[1] if one.result is not False else None
            if one.kind != kinds.READ and written in wanted:
                writers[written] = one
    return violation(bare.key, bare.sentence, *bare.operations, *writers.values())


def _register_steps(
    operations: Sequence[Operation], numbers: dict[Value, int]
) -> tuple[Parts[registers.Step], list[Operation]]:
    does = registers.Does
    parts: Parts[registers.Step] = []
    sources: list[Operation] = []

    def number(value: Value) -> int:
        return numbers.setdefault(value, len(numbers))

    for operation in operations:
        if operation.ending is Ending.FAILED:
            continue
        ok = operation.ok
        if operation.kind == kinds.READ:
            if not ok:
                continue
            step = registers.Step(does.READ, number(operation.result))
        elif operation.kind == kinds.WRITE:
            step = registers.Step(does.WRITE, number(operation.argument))
        else:
            pair = operation.argument
            if not isinstance(pair, tuple) or len(pair) != 2 or (ok and not isinstance(operation.result, bool)):
                rule = "a cas takes the pair (expected, new), and its result is true or false"
                raise UnfitOperationError(operation, rule)
            expected, new = map(number, pair)
            if ok and not operation.result:
                step = registers.Step(does.DIFFERS, expected)
            else:
                step = registers.Step(does.CAS, expected, new)
        parts.append((step, operation.begin, operation.end if ok else None))
        sources.append(operation)
    needed = [step for step, _, end in parts if end is not None or step.does is does.CAS]
    seen = _seen(needed)
    if seen is None:
        return parts, sources
    kept = [
        index
        for index, (step, _, end) in enumerate(parts)
        if end is not None or (step.value if step.does is does.WRITE else step.new) in seen
    ]
    return [parts[index] for index in kept], [sources[index] for index in kept]


def _seen(steps: Iterable[registers.Step]) -> set[int] | None:
    """The values that some step sees; None: any may matter."""
    does = registers.Does
    seen: set[int] = set()
    for step in steps:
        if step.does is does.DIFFERS:
            return None
        if step.does is not does.WRITE:
            seen.add(step.value)
    return seen


def _sees(step: registers.Step) -> bool:
    return step.does in (registers.Does.READ, registers.Does.DIFFERS)


def _is_seen(step: registers.Step, needed: Sequence[registers.Step]) -> bool:
    seen = _seen(needed)
    return seen is None or (step.value if step.does is registers.Does.WRITE else step.new) in seen


# Counters


def _counter_steps(operations: Sequence[Operation], returns: str) -> tuple[Parts[counters.Step], list[Operation]]:
    does = counters.Does
    parts: Parts[counters.Step] = []
    sources: list[Operation] = []
    for operation in operations:
        if operation.ending is Ending.FAILED:
            continue
        ok = operation.ok
        result = operation.result if ok else None  # of others there is none
        amount = operation.argument if operation.kind == kinds.ADD else 0
        if not is_whole(amount) or not (result is None or is_whole(result)):
            raise UnfitOperationError(operation, "amounts and sums of a counter are whole numbers")
        if operation.kind == kinds.GET:
            if result is None:
                continue
            step = counters.Step(does.GET, result)
        elif result is None:
            if not amount:
                continue
            step = counters.Step(does.ADD, 0, amount)
        elif not amount:
            step = counters.Step(does.GET, result)
        else:
            step = counters.Step(does.ADD_SEEN, result - amount if returns == "new" else result, amount)
        parts.append((step, operation.begin, operation.end if ok else None))
        sources.append(operation)
    return parts, sources


def _gets(step: counters.Step) -> bool:
    return step.does is counters.Does.GET


def _adds_to(step: counters.Step, needed: Sequence[counters.Step]) -> bool:
    return True
