"""What the search for an order costs: each rule that saves situations is worth something, and none costs an answer."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from typing import Any

import pytest
from history_making import counter_history, op, register_history
from history_orders import has_order, is_counter, is_register

from zk_testing.history import Operation, Verdict, counter, register
from zk_testing.history import counters as counters_
from zk_testing.history import registers as registers_
from zk_testing.history import searching as module
from zk_testing.history.counters import Counter
from zk_testing.history.explaining import Reasons
from zk_testing.history.registers import Register
from zk_testing.history.searching import Event, Fault, Model, Situations

History = list[Operation]


class Effort:
    """What searches cost. situations: kept side by side, summed over all ends.   work: what they count themselves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.situations = 0
        self.work = 0
        real_search = module.search

        def search(
            model: Model[object], events: Sequence[Event[object]], states: Collection[int], work: int
        ) -> Fault | None:
            fault = real_search(model, events, states, work)
            self.work += work - model.work
            return fault

        monkeypatch.setattr(module, "search", search)
        for model in (Counter, Register):
            monkeypatch.setattr(model, "end", self._counted(model.end))

    def _counted(self, end: Callable[..., Situations]) -> Callable[..., Situations]:
        def counted(*arguments: object) -> Situations:
            found = end(*arguments)
            self.situations += len(found)
            return found

        return counted


def counters(amounts: int, unknown: float, *, answers: bool, processes: int = 6, number: int = 300) -> list[History]:
    return [
        counter_history(seed, number, processes=processes, amounts=amounts, unknown=unknown, answers=answers)
        for seed in range(4)
    ]


def sinking(unknown: float, *, answers: bool) -> list[History]:
    """Counters that only sink: no sum is the next one for certain."""
    found = []
    for seed in range(4):
        history = counter_history(seed, 100, processes=4, amounts=3, unknown=unknown, answers=answers)
        found.append([one._replace(argument=minus(one.argument), result=minus(one.result)) for one in history])
    return found


def minus(value: object) -> int | None:
    return -value if isinstance(value, int) else None


def registers(
    values: int | None, cas: float, unknown: float, *, processes: int = 6, number: int = 300
) -> list[History]:
    return [
        register_history(seed, number, processes=processes, values=values, unknown=unknown, cas=cas)
        for seed in range(4)
    ]


def zero(history: History) -> Verdict:
    return register(history, initial=0)


COSTS: dict[str, tuple[Callable[[History], Verdict], list[History], int, int]] = {
    "a counter by one, without sums": (counter, counters(1, 0.05, answers=False), 1159, 537),
    "a counter by one, with sums": (counter, counters(1, 0.05, answers=True), 1159, 312),
    "a counter by one or two, with sums": (counter, counters(2, 0.3, answers=True), 1226, 354),
    "a counter by one or two, without sums": (counter, counters(2, 0.3, answers=False), 4554, 4821),
    "a counter by one or two, few unknown": (counter, counters(2, 0.05, answers=False), 1824, 1059),
    "a counter by one to five, with sums": (counter, counters(5, 0.3, answers=True), 1104, 330),
    "a counter by one to five, without sums": (counter, counters(5, 0.3, answers=False), 8854, 10176),
    "a counter by one to five, few unknown": (counter, counters(5, 0.05, answers=False), 3187, 2794),
    "a crowded counter": (counter, counters(3, 0.3, answers=True, processes=24, number=100), 332, 159),
    "a crowded counter without sums": (counter, counters(3, 0.1, answers=False, processes=16, number=60), 952, 795),
    "a counter that sinks, with sums": (counter, sinking(0.3, answers=True), 430, 727),
    "a counter that sinks, without sums": (counter, sinking(0.05, answers=False), 508, 240),
    "a register, each value once": (zero, registers(None, 0.0, 0.05), 2210, 122),
    "a register, each value once, with compare-and-set": (zero, registers(None, 0.3, 0.05), 1956, 1267),
    "a register of three values": (zero, registers(3, 0.0, 0.3), 2781, 270),
    "a register of three values, with compare-and-set": (zero, registers(3, 0.3, 0.0), 5303, 5134),
    "a register of three values, much unknown": (zero, registers(3, 0.3, 0.2, number=100), 6163, 5210),
    "a crowded register": (zero, registers(4, 0.3, 0.1, processes=16, number=60), 5424, 8326),
}


@pytest.mark.parametrize("case", COSTS)
def test_what_a_correct_service_does_is_explained_with_few_situations(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    check, histories, situations, work = COSTS[case]
    effort = Effort(monkeypatch)
    for history in histories:
        check(history).assert_holds()
    assert effort.situations <= situations
    assert effort.work <= work


REFUTED: dict[str, tuple[Callable[[History], Verdict], list[History], int, int]] = {
    "a counter by one, without sums": (counter, counters(1, 0.05, answers=False), 1159, 541),
    "a counter by one or two, without sums": (counter, counters(2, 0.3, answers=False), 7055, 6992),
    "a counter by one or two, few unknown": (counter, counters(2, 0.05, answers=False), 4423, 3174),
    "a counter by one to five, without sums": (counter, counters(5, 0.3, answers=False), 12834, 16202),
    "a counter by one to five, few unknown": (counter, counters(5, 0.05, answers=False), 6249, 6870),
    "a crowded counter": (counter, counters(3, 0.3, answers=True, processes=24, number=100), 664, 332),
    "a crowded counter without sums": (counter, counters(3, 0.1, answers=False, processes=16, number=60), 3271, 3712),
    "a counter that sinks, without sums": (counter, sinking(0.05, answers=False), 1091, 616),
    "a register, each value once, with compare-and-set": (zero, registers(None, 0.3, 0.05), 1956, 1273),
    "a register of three values, with compare-and-set": (zero, registers(3, 0.3, 0.0), 7275, 7058),
    "a register of three values, much unknown": (zero, registers(3, 0.3, 0.2, number=100), 8026, 9917),
    "a crowded register": (zero, registers(4, 0.3, 0.1, processes=16, number=60), 9420, 19405),
}


@pytest.mark.parametrize("case", REFUTED)
def test_what_no_service_does_is_refuted_with_few_situations(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check, histories, situations, work = REFUTED[case]
    monkeypatch.setattr("zk_testing.history.linearizability.explain", _without_reasons)
    effort = Effort(monkeypatch)
    for history in histories:
        late = [*history, op("late", "get 9e6 9e7", None, -1), op("late", "read 9e6 9e7", None, -1)]
        assert check(late).holds is False
    assert effort.situations <= situations
    assert effort.work <= work


def _without_reasons(_: object, events: Sequence[Event[object]], fault: Fault, *__: object) -> Reasons:
    return Reasons(events[fault.position].number, [events[fault.position].number], frozenset({0}))


@pytest.mark.parametrize("widths", [(1, 2, 3), (2, 2, 2), (3, 4, 5), (12, 96, 1536)])
def test_no_width_of_the_search_makes_an_answer_wrong(
    widths: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WIDTHS", widths)
    monkeypatch.setattr("zk_testing.history.counters.WIDTHS", widths)
    monkeypatch.setattr(module, "FEW", 0)
    undecided = 0
    for (operations, is_right), check in ANSWERS:
        holds = check(operations).holds
        undecided += holds is None
        assert holds in (None, is_right), "\n".join(map(str, operations))
    assert undecided <= (40 if widths[0] < 12 else 0)


@pytest.mark.parametrize(("most", "work"), [(1, 7009), (2, 6345), (4, 6110)])
def test_a_search_that_leaves_ways_out_says_so(most: int, work: int, monkeypatch: pytest.MonkeyPatch) -> None:
    make = Model.__init__

    def tight(self: Model[object], width: int, *, relaxed: bool) -> None:
        make(self, width, relaxed=relaxed)
        self.most_steps = self.most_ways = most

    monkeypatch.setattr(Model, "__init__", tight)
    monkeypatch.setattr("zk_testing.history.linearizability.explain", _without_reasons)
    effort = Effort(monkeypatch)
    for (operations, is_right), check in ANSWERS:
        assert check(operations).holds in (None, is_right), "\n".join(map(str, operations))
    assert effort.work <= work


@pytest.mark.parametrize(
    ("make", "check", "history", "work"),
    [
        (Counter, counter, counters(5, 0.3, answers=False)[0], 31779),
        (Register, zero, registers(3, 0.3, 0.0, number=100)[0], 306),
    ],
)
def test_a_search_gives_up_when_its_work_is_done(
    make: type[Model[object]],
    check: Callable[[History], Verdict],
    history: History,
    work: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Sequence[Event[object]]] = []
    real_search = module.search

    def search(model: Model[object], events: Sequence[Event[object]], *others: Any) -> Fault | None:
        asked.append(events)
        return real_search(model, events, *others)

    monkeypatch.setattr(module, "search", search)
    check(history).assert_holds()
    enough, little = make(module.WIDTHS[1], relaxed=False), make(module.WIDTHS[1], relaxed=False)
    assert real_search(enough, asked[0], [0], work) is None
    assert real_search(little, asked[0], [0], work - 1) is not None
    assert little.is_cut


def test_a_situation_of_a_register_serves_only_where_it_can_do_all_that_the_other_can() -> None:
    model = Register(12, relaxed=False)
    write, read, cas, maybe = 1, 2, 4, 8
    model.begin(registers_.Step(registers_.Does.WRITE, 7), write, 4, 20)
    model.begin(registers_.Step(registers_.Does.READ, 7), read, 5, 21)
    model.begin(registers_.Step(registers_.Does.CAS, 7, 8), cas, 6, 22)
    model.begin(registers_.Step(registers_.Does.WRITE, 9), maybe, 7, module.NEVER)
    assert model.serves((0, 9, 0), (0, 8, 0))
    assert not model.serves((0, 8, 0), (0, 9, 0))  # what began between can hide there, and not here
    assert model.serves((0, 9, 0), (0, 9, write))  # it can hide
    assert not model.serves((0, 3, 0), (0, 3, write))  # it began later
    assert not model.serves((0, 9, write), (0, 9, 0))  # there it may be needed
    assert model.serves((0, 9, read), (0, 9, 0))
    assert not model.serves((0, 9, 0), (0, 9, read))
    assert not model.serves((0, 9, cas), (0, 9, 0))
    assert not model.serves((0, 9, 0), (0, 9, cas))
    assert model.serves((0, 9, 0), (0, 9, maybe))
    assert not model.serves((0, 9, maybe), (0, 9, 0))


def test_a_situation_of_a_counter_serves_only_where_it_can_do_all_that_the_other_can() -> None:
    model = Counter(12, relaxed=False)
    get, seen, one, two, maybe = 1, 2, 4, 8, 16
    model.begin(counters_.Step(counters_.Does.GET, 5), get, 0, 20)
    model.begin(counters_.Step(counters_.Does.ADD_SEEN, 5, 1), seen, 1, 21)
    model.begin(counters_.Step(counters_.Does.ADD, 0, 3), one, 2, 22)
    model.begin(counters_.Step(counters_.Does.ADD, 0, 3), two, 3, 23)
    model.begin(counters_.Step(counters_.Does.ADD, 0, 3), maybe, 4, module.NEVER)
    assert model.serves((9, -1, get), (9, -1, 0))
    assert not model.serves((9, -1, 0), (9, -1, get))
    assert not model.serves((9, -1, seen), (9, -1, 0))
    assert not model.serves((9, -1, 0), (9, -1, seen))
    assert model.serves((9, -1, one), (9, -1, maybe))  # the other is placed instead
    assert not model.serves((9, -1, one | two), (9, -1, maybe))
    assert model.serves((9, -1, 0), (9, -1, maybe))
    assert not model.serves((9, -1, maybe), (9, -1, 0))


def _few(seed: int) -> History:
    """A few operations at once, of a register or (the odd ones) of a counter that may sink."""
    chance = random.Random(seed)
    found = []
    unknown = chance.choice([0.1, 0.3, 0.5])
    span = chance.choice([4, 7])
    amounts = chance.choice([[1, 1, 2, 3], [-3, -2, -1, 1, 2]])
    for number in range(chance.randrange(3, 7)):
        begin = chance.randrange(span)
        what = chance.choice(["get", "add", "add"] if seed % 2 else ["read", "write", "cas"])
        argument: object = None
        result: object = None
        if what == "cas":
            argument, result = (chance.randrange(3), chance.randrange(3)), chance.random() < 0.6
        elif what in ("write", "add"):
            argument = chance.choice(amounts if what == "add" else [0, 1, 2])
        if what in ("read", "get") or (what == "add" and chance.random() < 0.4):
            result = chance.randrange(3) if what == "read" else chance.randrange(min(0, *amounts), 6)
        mark = "?" if chance.random() < unknown else ""
        end = begin + chance.choice([1, 1, 2, 3, 8])
        found.append(op(f"p{number}", f"{what} {begin} {end}{mark}", argument, result))
    return found


def _answers() -> list[tuple[tuple[History, bool], Callable[[History], Verdict]]]:
    found: list[tuple[tuple[History, bool], Callable[[History], Verdict]]] = []
    for seed in range(4000):
        operations = _few(seed)
        is_right = has_order(operations, is_counter if seed % 2 else is_register)
        found.append(((operations, is_right), counter if seed % 2 else zero))
    return found


ANSWERS = _answers()
