"""Names of contenders: made, recognised, and put in order.

Rule: a contender's node is ``<head><GUID><marker><number>``: the GUID finds it again after a lost reply, the marker
says which recipes compete, the number is the server's. Numbers are compared by serial-number arithmetic, because the
server counts in 32 bits with a sign: after 2147483647 comes -2147483648, which is younger. Names that are half the
ring apart or further cannot be told by number; there the creation zxid decides.

The server prints numbers with ``%010d``, so there are ten digits, or a minus sign and nine or ten.
Source: PrepRequestProcessor.java, pRequest2TxnCreate.
"""

from __future__ import annotations

import re
from functools import cmp_to_key
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_RING = 2**32
_HALF = 2**31

KAZOO_LOCK = "__lock__"


def serial_distance(older: int, younger: int) -> int:
    """How many creations after *older* the number *younger* was given, in 0 to 2**32 - 1."""
    return (younger - older) % _RING


class Contender(NamedTuple):
    """A child of the lock's path that competes. name: the whole child name.   number: its sequence number."""

    name: str
    number: int


class Naming:
    """How this recipe names its nodes, and whom it recognises as competitors.

    marker: between the GUID and the number, for example "__lock__".
    others: markers of other implementations that compete as well, as literal text, for example "-lock-".
    """

    def __init__(self, marker: str, others: Sequence[str] = ()) -> None:
        if isinstance(others, str):
            # A single string is a sequence of one-letter markers, which would recognise nearly everything.
            message = f"extra_lock_patterns must be a sequence of strings, not the string {others!r}"
            raise TypeError(message)
        for other in others:
            if not isinstance(other, str) or not other:
                message = f"extra_lock_patterns must hold non-empty strings, not {other!r}"
                raise TypeError(message)
        self.marker = marker
        markers = "|".join(re.escape(text) for text in (marker, *others))
        self._pattern = re.compile(rf"(?:{markers})(\d{{10}}|-\d{{9,10}})\Z", re.ASCII)

    def prefix(self, guid: str) -> str:
        """The child name before its number, for a create."""
        return guid + self.marker

    def parse(self, name: str) -> Contender | None:
        """Recognise a child; None when it does not compete."""
        match = self._pattern.search(name)
        return None if match is None else Contender(name, int(match[1]))

    def contenders(self, children: Iterable[str]) -> list[Contender]:
        """Recognise all children that compete, in no order."""
        return [found for name in children if (found := self.parse(name)) is not None]


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
    """Sort (contender, creation zxid) pairs, oldest first; the number decides within one transaction."""

    def compare(one: tuple[Contender, int], other: tuple[Contender, int]) -> int:
        if one[1] != other[1]:
            return -1 if one[1] < other[1] else 1
        distance = serial_distance(one[0].number, other[0].number)
        return 0 if distance == 0 else -1 if distance < _HALF else 1

    return [contender for contender, _ in sorted(contenders, key=cmp_to_key(compare))]
