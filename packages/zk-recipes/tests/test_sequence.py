"""The order of contenders, across the wrap of the server's counter."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zk_recipes._sequence import Contender, ahead_of, in_order, is_certain, serial_distance

numbers = st.integers(-(2**31), 2**31 - 1)


def after(number: int, steps: int) -> int:
    """The server's signed counter, some creations later."""
    return (number + steps + 2**31) % 2**32 - 2**31


@given(numbers, st.lists(st.integers(1, 2**20), min_size=1, max_size=20, unique=True))
def test_whoever_was_created_before_is_ahead_the_last_of_them_first(start: int, steps: list[int]) -> None:
    names = [Contender(f"n{step}", after(start, step)) for step in sorted(steps)]
    for position, mine in enumerate(names):
        assert ahead_of(mine, reversed(names)) == names[:position][::-1]


@given(numbers, numbers)
def test_of_two_certain_numbers_exactly_one_is_ahead(one: int, other: int) -> None:
    first, second = Contender("a", one), Contender("b", other)
    assert is_certain(first, second) == is_certain(second, first)
    ahead = (ahead_of(first, [second]) == [second]) + (ahead_of(second, [first]) == [first])
    assert ahead == (1 if is_certain(first, second) else 2)


@given(numbers, st.integers(0, 2**32 - 1))
def test_the_distance_counts_creations(number: int, steps: int) -> None:
    assert serial_distance(number, after(number, steps)) == steps


@given(numbers, st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_in_order_the_oldest_is_first_across_the_wrap(start: int, same: list[int]) -> None:
    czxid, joined = 1, []
    for position, gap in enumerate(same):
        czxid += min(gap, 1)
        joined.append((Contender(f"n{position}", after(start, position)), czxid))
    assert in_order(reversed(joined)) == [contender for contender, _ in joined]
