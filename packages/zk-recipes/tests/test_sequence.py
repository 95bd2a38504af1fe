"""Names of contenders: recognised as the server prints them, ordered across the wrap of its counter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zk_recipes._sequence import KAZOO_LOCK, Contender, Naming, ahead_of, in_order, is_certain, serial_distance

numbers = st.integers(-(2**31), 2**31 - 1)


def after(number: int, steps: int) -> int:
    """The server's signed counter, some creations later."""
    return (number + steps + 2**31) % 2**32 - 2**31


@given(numbers)
def test_every_number_the_server_prints_is_recognised(number: int) -> None:
    name = f"{'0' * 32}__lock__{number:010d}"
    assert Naming(KAZOO_LOCK).parse(name) == Contender(name, number)


@pytest.mark.parametrize("text", ["-2147483648", "-000000001", "2147483647", "0000000000"])
def test_the_counters_extremes_are_recognised_after_a_marker_that_ends_in_a_dash(text: str) -> None:
    found = Naming("x", ["-lock-"]).parse(f"_c_1-lock-{text}")
    assert found is not None and found.number == int(text)


@pytest.mark.parametrize(
    "name",
    [
        "lease_holder",
        "__lock__",
        "a__lock__123",
        "a__lock__00000000001",
        "a__lock__000000000١",
        "a__rlock__0000000001",
        "a__lock__0000000001\n",
    ],
)
def test_other_names_are_not_recognised(name: str) -> None:
    assert Naming(KAZOO_LOCK).parse(name) is None


def test_extra_markers_are_literal_text() -> None:
    naming = Naming(KAZOO_LOCK, [".lock."])
    assert naming.parse("a.lock.0000000001") is not None
    assert naming.parse("axlockx0000000001") is None


@pytest.mark.parametrize("others", [["", "x"], [b"-lock-"], [None]])
def test_an_empty_or_foreign_marker_is_refused(others: list[str]) -> None:
    with pytest.raises(TypeError, match="must hold non-empty strings"):
        Naming(KAZOO_LOCK, others)


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
def test_in_order_goes_by_zxid_and_within_a_transaction_by_number(start: int, same: list[int]) -> None:
    czxid, joined = 1, []
    for position, gap in enumerate(same):
        czxid += min(gap, 1)
        joined.append((Contender(f"n{position}", after(start, position)), czxid))
    assert in_order(reversed(joined)) == [contender for contender, _ in joined]
