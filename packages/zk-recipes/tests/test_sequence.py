"""The order of contenders, across the wrap of the server's counter."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zk_recipes._sequence import Contender, before, in_order, is_at_the_end, is_certain, serial_distance

LAST = 2**31 - 1
numbers = st.integers(-(2**31), LAST)
# Those a server gives while it has others left.
tellings = numbers.filter(lambda number: not is_at_the_end(number))


def after(number: int, steps: int) -> int:
    """A signed counter, some creations later."""
    return (number + steps + 2**31) % 2**32 - 2**31


@given(tellings, st.lists(st.integers(1, 2**20), min_size=1, max_size=20, unique=True))
def test_the_last_of_those_who_were_created_before_is_next_ahead(start: int, steps: list[int]) -> None:
    made = [Contender(f"n{step}", after(start, step)) for step in sorted(steps)]
    names = [one for one in made if not is_at_the_end(one.number)]
    for position, mine in enumerate(names):
        assert before(mine, reversed(names)) == (names[position - 1] if position else None, [])


@given(numbers, numbers)
def test_of_two_certain_numbers_exactly_one_is_ahead(one: int, other: int) -> None:
    first, second = Contender("a", one), Contender("b", other)
    assert is_certain(first, second) == is_certain(second, first)
    found = before(first, [second]), before(second, [first])
    if is_certain(first, second):
        assert found in (((None, []), (first, [])), ((second, []), (None, [])))
    else:
        assert found == ((None, [second]), (None, [first]))


@given(st.integers(0, LAST - 1), st.lists(st.integers(0, 1000), min_size=2, max_size=2, unique=True))
def test_at_the_end_numbers_tell_nothing_but_that_lower_ones_came_before(lower: int, steps: list[int]) -> None:
    # A real server of 3.9 gives, one after the other: 2147483647, -2147483648, 2147483647 ...
    one, other = (Contender(str(step), after(LAST, step)) for step in steps)
    assert before(one, [other]) == (None, [other]) and before(other, [one]) == (None, [one])
    below = Contender("below", max(lower, LAST - 2**29))
    assert before(one, [below]) == (below, []) and before(below, [one, other]) == (None, [])


@given(numbers, st.integers(2**30, 2**31))
def test_numbers_that_are_far_apart_tell_nothing(number: int, steps: int) -> None:
    assert not is_certain(Contender("a", number), Contender("b", after(number, steps)))


@given(numbers, st.integers(0, 2**32 - 1))
def test_the_distance_counts_creations(number: int, steps: int) -> None:
    assert serial_distance(number, after(number, steps)) == steps


@given(numbers, st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_in_order_the_oldest_is_first_across_the_wrap(start: int, same: list[int]) -> None:
    czxid, joined = 1, []
    for position, gap in enumerate(same):
        czxid += 1 if is_at_the_end(after(start, position)) else min(gap, 1)
        joined.append((Contender(f"n{position}", after(start, position)), czxid))
    assert in_order(reversed(joined)) == [contender for contender, _ in joined]
