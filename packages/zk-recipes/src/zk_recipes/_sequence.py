"""The order of sequential nodes, also where the server's counter comes to its end.

Rule: numbers are compared by serial-number arithmetic, because some servers count on with a sign: after 2147483647
comes -2147483648, which is younger. Where numbers tell, they count alone: a writer that becomes a reader keeps its
number in a younger node. Where they do not tell, the creation zxid decides: far apart on the ring, and at the end.

The end: servers (seen on 3.6 to 3.9) keep no number above 2147483647. Whoever comes then gets that very number, or,
when many come at once, one just above -2147483648, and the next one 2147483647 again. Nothing follows from such a
number but that its node is younger than all with a lower one.
"""

from __future__ import annotations

from functools import cmp_to_key
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_RING = 2**32
# Further apart than this, nobody can say which of two numbers came first.
_FAR = 2**30
_LAST = 2**31 - 1
# Many more than a server lets be under way at once.
_AFTER_THE_LAST = -(2**31) + 2**20


def serial_distance(older: int, younger: int) -> int:
    """How many creations after *older* the number *younger* was given, in 0 to 2**32 - 1."""
    return (younger - older) % _RING


class Contender(NamedTuple):
    """A child of the lock's path that competes. name: the whole child name.   number: its sequence number."""

    name: str
    number: int


def is_at_the_end(number: int) -> bool:
    """Whether a server that has no numbers left may have given this one."""
    return number == _LAST or number < _AFTER_THE_LAST


def is_certain(one: Contender, other: Contender) -> bool:
    """Whether the numbers alone tell who of the two joined first."""
    distance = (one.number - other.number) % _RING
    if not 0 < distance < _FAR and distance <= _RING - _FAR:
        return False
    return not (is_at_the_end(one.number) and is_at_the_end(other.number))


def before(mine: Contender, others: Iterable[Contender]) -> tuple[Contender | None, list[Contender]]:
    """The last whose number tells that it joined before *mine*, and those of whom the numbers do not tell."""
    nearest, least = None, _FAR
    unclear: list[Contender] = []
    for other in others:
        if other.name == mine.name:
            continue
        if not is_certain(mine, other):
            unclear.append(other)
        elif (distance := serial_distance(other.number, mine.number)) < least:
            nearest, least = other, distance
    return nearest, unclear


def in_order(contenders: Iterable[tuple[Contender, int]]) -> list[Contender]:
    """Sort (contender, creation zxid) pairs, oldest first."""

    def compare(one: tuple[Contender, int], other: tuple[Contender, int]) -> int:
        if not is_certain(one[0], other[0]):
            return -1 if one[1] < other[1] else 1
        return -1 if serial_distance(one[0].number, other[0].number) < _FAR else 1

    return [contender for contender, _ in sorted(contenders, key=cmp_to_key(compare))]
