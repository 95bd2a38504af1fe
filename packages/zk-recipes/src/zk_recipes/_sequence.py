"""The order of sequential nodes, also where the server's counter wraps.

Rule: numbers are compared by serial-number arithmetic, because the server counts in 32 bits with a sign: after
2147483647 comes -2147483648, which is younger. Names that are half the ring apart cannot be told by number; there the
creation zxid decides. Where numbers tell, they count alone: a writer that becomes a reader keeps its number in a
younger node.
"""

from __future__ import annotations

from functools import cmp_to_key
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_RING = 2**32
_HALF = 2**31


def serial_distance(older: int, younger: int) -> int:
    """How many creations after *older* the number *younger* was given, in 0 to 2**32 - 1."""
    return (younger - older) % _RING


class Contender(NamedTuple):
    """A child of the lock's path that competes. name: the whole child name.   number: its sequence number."""

    name: str
    number: int


def ahead_of(mine: Contender, others: Iterable[Contender]) -> list[Contender]:
    """Who joined before *mine*, the immediate predecessor first.

    Whoever cannot be told by number (half the ring apart, or the same number) counts as ahead: it is safe to
    wait for it, and its creation zxid, seen when it is watched, tells whether one has to.
    """

    def behind(other: Contender) -> int:
        return serial_distance(other.number, mine.number)

    ahead = [other for other in others if other.name != mine.name and behind(other) <= _HALF]
    return sorted(ahead, key=lambda other: (behind(other), other.name))


def is_certain(mine: Contender, other: Contender) -> bool:
    """Whether the numbers alone tell who of the two joined first."""
    return serial_distance(other.number, mine.number) not in (0, _HALF)


def in_order(contenders: Iterable[tuple[Contender, int]]) -> list[Contender]:
    """Sort (contender, creation zxid) pairs, oldest first."""

    def compare(one: tuple[Contender, int], other: tuple[Contender, int]) -> int:
        distance = serial_distance(one[0].number, other[0].number)
        if distance in (0, _HALF):
            return -1 if one[1] < other[1] else 1
        return -1 if distance < _HALF else 1

    return [contender for contender, _ in sorted(contenders, key=cmp_to_key(compare))]
