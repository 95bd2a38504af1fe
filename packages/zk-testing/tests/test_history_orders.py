"""Linearizability of registers and counters."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from history_making import FAILED, OK, UNKNOWN, counter_history, op, register_history
from history_orders import has_order, is_counter, is_register
from hypothesis import given, settings
from hypothesis import strategies as some

from zk_testing.history import History, HistoryViolatedError, Operation, Verdict, check, counter, register
from zk_testing.history import searching as module

W, R, CAS = "write", "read", "cas"


@pytest.mark.parametrize(
    "operations",
    [
        [op("a", "write 1 2", 5), op("b", "read 3 4", None, 5)],
        [op("b", "read 1 2", None, None)],
        [op("a", "write 1 4", 5), op("b", "read 2 3", None, 5), op("c", "read 3 4", None, 5)],
        [op("a", "write 1 4", 5), op("b", "read 2 3", None, None)],
        [op("a", "write 1 2?", 5), op("b", "read 8 9", None, 5)],
        [op("a", "write 1 2?", 5), op("b", "read 8 9", None, None)],
        [op("a", "write 1 2?", 5), op("b", "write 3 4", 6), op("b", "read 5 6", None, 6), op("b", "read 8 9", None, 5)],
        [op("a", "write 1 -", 5), op("b", "read 8 9", None, 5)],
        [op("a", "write 1 2!", 5), op("b", "read 8 9", None, None)],
        [op("a", "write 1 2", 5), op("b", "read 2 3", None, None)],  # one begins as the other ends: at once
        [op("a", "cas 1 2", (None, 5), True), op("a", "cas 3 4", (None, 6), False), op("a", "read 5 6", None, 5)],
        [op("a", "write 1 2", 1, key="/a"), op("b", "read 3 4", None, 1, key="/a"), op("b", "read 3 4")],
        [op("a", "read 1 2?", None, 77)],
        [op("a", "write 1 2", (1, b"x")), op("b", "read 3 4", None, (1, b"x"))],
    ],
)
def test_a_register_may_do_this(operations: list[Operation]) -> None:
    register(operations).assert_holds()


@pytest.mark.parametrize(
    "operations",
    [
        [op("a", "write 1 2", 5), op("b", "read 3 4", None, 6)],  # never written
        [op("a", "write 1 2", 5), op("b", "read 3 4", None, None)],  # stale
        [op("a", "write 1 2!", 5), op("b", "read 3 4", None, 5)],  # did not happen
        [op("a", "write 1 9", 5), op("b", "read 2 3", None, 5), op("c", "read 4 5", None, None)],  # back again
        [op("b", "read 1 2", None, 5), op("a", "write 3 4", 5)],  # of the future
        [op("b", "read 1 2", None, 5), op("a", "write 3 4?", 5)],  # the same, whatever becomes of it
        [op("a", "cas 1 2", (None, 5), True), op("b", "cas 3 4", (None, 6), True)],  # both
        [op("a", "write 1 2", 5), op("b", "cas 3 4", (5, 6), False)],  # refused for nothing
        [op("a", "write 1 2?", 5), op("b", "read 3 4", None, 5), op("b", "write 5 6", 6), op("b", "read 7 8", None, 5)],
    ],
)
def test_no_register_does_this(operations: list[Operation]) -> None:
    verdict = register(operations)
    assert verdict.holds is False
    with pytest.raises(HistoryViolatedError, match="register: violated"):
        verdict.assert_holds()


@pytest.mark.parametrize(
    "operations",
    [
        [op("a", "add 1 2", 1, 1), op("b", "add 1 2", 1, 2), op("a", "get 3 4", None, 2)],
        [op("a", "add 1 2", 1), op("b", "add 1 2", 2), op("a", "get 1 2", None, 2)],
        [op("a", "add 1 2?", 4), op("a", "get 3 4", None, 0), op("a", "get 5 6", None, 4)],
        [op("a", "add 1 2!", 4), op("a", "get 3 4", None, 0)],
        [op("a", "add 1 2", 1), op("a", "add 3 4", -1), op("a", "get 5 6", None, 0)],
        [op("a", "add 3 4", -1, 1), op("b", "add 3 4", 2, 2)],
        [op("a", "add 1 2", 0, 0), op("a", "add 1 2", 0), op("a", "get 1 2?", None, 9)],
        [op("a", "add 1 2", 2**80, 2**80), op("a", "get 3 4", None, 2**80)],
    ],
)
def test_a_counter_may_do_this(operations: list[Operation]) -> None:
    counter(operations).assert_holds()


@pytest.mark.parametrize(
    "operations",
    [
        [op("a", "add 1 2", 1), op("a", "get 3 4", None, 2)],  # counted twice
        [op("a", "add 1 2", 1), op("a", "get 3 4", None, 0)],  # lost
        [op("a", "add 1 2", 1, 1), op("b", "add 3 4", 1, 1)],  # one of two
        [op("a", "add 1 2!", 1), op("a", "get 3 4", None, 1)],  # did not happen
        [op("a", "add 1 2?", 1), op("a", "get 3 4", None, 1), op("a", "get 5 6", None, 0)],  # taken back
        [op("a", "add 1 2?", 1), op("a", "get 3 4", None, 2)],  # more than it was
        [op("a", "get 1 2", None, 1), op("a", "add 3 4", 1, 1)],  # of the future
    ],
)
def test_no_counter_does_this(operations: list[Operation]) -> None:
    assert counter(operations).holds is False


def test_a_counter_may_answer_with_the_old_sum() -> None:
    history = [op("a", "add 1 2", 3, 10), op("a", "add 3 4", 3, 13)]
    counter(history, initial=10, returns="old").assert_holds()
    assert counter(history, initial=10).holds is False


def test_a_register_may_begin_with_a_value() -> None:
    history = [op("a", "read 1 2", None, b"x")]
    register(history, initial=b"x").assert_holds()
    assert register(history).holds is False


def test_what_no_register_or_counter_can_be_asked_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a cas takes the pair \(expected, new\)"):
        register([op("a", "cas 1 2", 5, True)])
    with pytest.raises(ValueError, match="its result is true or false"):
        register([op("a", "cas 1 2", (1, 2))])
    with pytest.raises(ValueError, match="amounts and sums of a counter are whole numbers"):
        counter([op("a", "add 1 2", "1")])
    with pytest.raises(ValueError, match="no check is called 'lock'; there are register"):
        check([], ["lock"])


# Why


def test_the_explanation_has_only_what_is_needed() -> None:
    history = register_history(3, 400, unknown=0.1)
    at = max(one.last for one in history if one.ok) + 1
    history += [op("a", f"write {at} {at + 1}", -1), op("b", f"write {at + 2} {at + 3}", -2)]
    history += [op("c", f"read {at + 2.5} {at + 5}", None, -2), op("d", f"read {at + 6} {at + 7}", None, -1)]
    verdict = register(history)
    [found] = verdict.violations
    assert found.key == "/x"
    assert found.sentence.startswith(f"in no order can read by d at {at + 6:.6f} be explained")
    assert {one.process for one in found.operations} <= {"a", "b", "d"}
    assert history[-1] in found.operations and history[-3] in found.operations
    assert list(found.operations) == sorted(found.operations, key=lambda one: one.begin)
    assert "read() -> -1" in str(verdict) and "write(-2)" in str(verdict)


def test_each_key_is_judged_for_itself() -> None:
    history = [op("a", "write 1 2", 1, key=f"/{number}") for number in range(30)]
    history += [op("a", "read 3 4", None, 2, key=f"/{number}") for number in range(0, 30, 2)]
    verdict = register(history)
    assert (verdict.keys, verdict.operations, verdict.found, len(verdict.violations)) == (30, 45, 15, 10)
    assert {found.key for found in verdict.violations} <= {f"/{number}" for number in range(0, 30, 2)}
    assert str(verdict).endswith("and 5 more")


# Against all orders

endings = some.sampled_from([OK, OK, OK, UNKNOWN, UNKNOWN, FAILED])
few = some.integers(0, 3)


@some.composite
def few_operations(draw: some.DrawFn, kinds: Sequence[str], least: int) -> list[Operation]:
    found = []
    for number in range(draw(some.integers(1, 7))):
        kind = draw(some.sampled_from(kinds))
        begin = draw(some.integers(0, 9))
        end = begin + draw(some.integers(1, 6))
        argument: object = None
        result: object = None
        if kind == "cas":
            argument, result = (draw(few), draw(few)), draw(some.booleans())
        elif kind in ("write", "add"):
            argument = draw(some.integers(least, 3))
        if kind in ("read", "get") or (kind == "add" and draw(some.booleans())):
            result = draw(some.integers(least, 6 if kind != "read" else 3))
        made = op(f"p{number}", f"{kind} {begin} {end}", argument, result)
        found.append(made._replace(ending=draw(endings)))
    return found


def decided(verdict: Verdict) -> bool:
    assert verdict.holds is not None
    return verdict.holds


@settings(max_examples=600, deadline=None)
@given(few_operations(["read", "read", "write", "cas"], 0))
def test_a_register_is_judged_as_by_trying_all_orders(operations: list[Operation]) -> None:
    assert decided(register(operations, initial=0)) is has_order(operations, is_register)


@settings(max_examples=600, deadline=None)
@given(few_operations(["get", "add"], 0))
def test_a_counter_is_judged_as_by_trying_all_orders(operations: list[Operation]) -> None:
    assert decided(counter(operations)) is has_order(operations, is_counter)


@settings(max_examples=600, deadline=None)
@given(few_operations(["get", "add"], -3))
def test_a_counter_that_sinks_is_judged_as_by_trying_all_orders(operations: list[Operation]) -> None:
    assert decided(counter(operations)) is has_order(operations, is_counter)


@pytest.mark.parametrize("width", [1, 2, 5])
def test_a_search_with_too_few_situations_is_undecided_and_never_wrong(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WIDTHS", (width, width + 1, width + 2))
    undecided = 0
    for seed in range(600):
        chance = random.Random(seed)
        operations = _any_operations(chance)
        verdict = register(operations, initial=0)
        undecided += verdict.holds is None
        assert verdict.holds in (None, has_order(operations, is_register)), f"seed {seed}"
    assert undecided < 300


def test_what_is_superfluous_is_never_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FEW", 0)
    for seed in range(1500):
        chance = random.Random(seed)
        operations = _any_operations(chance)
        assert decided(register(operations, initial=0)) is has_order(operations, is_register), f"seed {seed}"
        operations = _any_additions(chance)
        assert decided(counter(operations)) is has_order(operations, is_counter), f"seed {seed}"


@pytest.mark.parametrize("spare", [0, 2, 160])
def test_a_counter_that_forgets_unknown_additions_is_never_wrong(spare: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLE", 3)
    monkeypatch.setattr("zk_testing.history.counters.MOST_SPARE", spare)
    undecided = 0
    for seed in range(40):
        history = counter_history(seed, 60, amounts=3, unknown=0.3)
        verdict = counter(history)
        assert verdict.holds is not False, f"seed {seed}"
        undecided += verdict.holds is None
        impossible = [*history, op("late", "get 9e6 9e7", None, -1)]
        assert counter(impossible).holds in ((False,) if spare else (False, None)), f"seed {seed}"
    assert undecided == 0 or spare == 0


def _any_operations(chance: random.Random) -> list[Operation]:
    found = []
    for number in range(chance.randrange(3, 7)):
        begin = chance.randrange(6)
        kind = chance.choice(["read", "write", "cas"])
        argument = (chance.randrange(3), chance.randrange(3)) if kind == "cas" else chance.randrange(3)
        result = chance.random() < 0.7 if kind == "cas" else chance.randrange(3)
        mark = "?" if chance.random() < 0.3 else ""
        found.append(op(f"p{number}", f"{kind} {begin} {begin + chance.randrange(1, 6)}{mark}", argument, result))
    return found


def _any_additions(chance: random.Random) -> list[Operation]:
    found = []
    for number in range(chance.randrange(3, 7)):
        begin = chance.randrange(6)
        kind = chance.choice(["get", "add", "add"])
        amount = chance.choice([1, 1, 2, 3]) if kind == "add" else None
        result = chance.randrange(5) if kind == "get" or chance.random() < 0.3 else None
        mark = "?" if chance.random() < 0.4 else ""
        found.append(op(f"p{number}", f"{kind} {begin} {begin + chance.randrange(1, 6)}{mark}", amount, result))
    return found


# Correct services, and their mutations

seeds = some.integers(0, 2**32)


@settings(max_examples=60, deadline=None)
@given(seeds, some.sampled_from([None, 3]), some.sampled_from([0.0, 0.2]))
def test_what_a_correct_register_does_holds(seed: int, values: int | None, unknown: float) -> None:
    register(register_history(seed, 150, values=values, unknown=unknown), initial=0).assert_holds()


@settings(max_examples=60, deadline=None)
@given(seeds, some.sampled_from([1, 5, 10**9]), some.sampled_from([0.0, 0.2]))
def test_what_a_correct_counter_does_holds(seed: int, amounts: int, unknown: float) -> None:
    counter(counter_history(seed, 150, amounts=amounts, unknown=unknown)).assert_holds()


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_a_value_that_was_never_written_is_found_wherever_it_is_read(seed: int) -> None:
    history = register_history(seed, 100)
    chance = random.Random(seed)
    place = chance.choice([place for place, one in enumerate(history) if one.kind == "read"])
    history[place] = history[place]._replace(result="never written")
    verdict = register(history, initial=0)
    assert verdict.holds is False
    assert history[place] in verdict.violations[0].operations


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_a_stale_read_is_found_wherever_it_is(seed: int) -> None:
    history = register_history(seed, 200, unknown=0.05, cas=0.0)
    writes = [one for one in history if one.kind == "write" and one.ok]
    # The value of a write that was overwritten for certain, before the read began.
    for place in reversed(range(len(history))):
        read = history[place]
        over = [one for one in writes if one.last < read.begin]
        old = [one for one in writes if any(one.last < other.begin for other in over)]
        if read.kind == "read" and old:
            stale = old[-1]
            history[place] = read._replace(result=stale.argument)
            assert register(history, initial=0).holds is False
            return


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_an_addition_that_counted_twice_is_found(seed: int) -> None:
    history = counter_history(seed, 100, amounts=10**9, unknown=0.0)
    adds = [one for one in history if one.kind == "add"]
    twice = random.Random(seed).choice(adds)
    assert isinstance(twice.argument, int) and twice.last is not None
    late = [
        one._replace(result=one.result + twice.argument)
        if one.begin > twice.last and isinstance(one.result, int)
        else one
        for one in history
    ]
    assert counter(late).holds is (late == history)


def test_a_history_is_taken_as_it_is() -> None:
    history = History()
    history.begin("a", "write", "/x", 5, at=1).ok(at=2)
    register(history).assert_holds()
