"""Which members of an ensemble can talk to each other.

Rule: a message takes no time where it passes at all. Who is stopped or paused talks to nobody.
"""

from __future__ import annotations

from collections.abc import Iterable

from .member import Member, State

__all__ = ["Network"]


class Network:
    """The lines between members, by their numbers."""

    def __init__(self) -> None:
        self._cut: set[tuple[int, int]] = set()

    @property
    def whole(self) -> bool:
        """Whether nothing is cut."""
        return not self._cut

    def is_cut(self, one: int, other: int) -> bool:
        """Whether the line between two members is cut."""
        return _pair(one, other) in self._cut

    def passes(self, one: Member, other: Member) -> bool:
        """Whether two members can talk now."""
        for member in (one, other):
            if member.paused or member.state is State.STOPPED:
                return False
        return not self.is_cut(one.number, other.number)

    def cut(self, one: int, other: int) -> None:
        """Cut the line between two members."""
        if one != other:
            self._cut.add(_pair(one, other))

    def part(self, sides: dict[int, int], numbers: Iterable[int]) -> None:
        """Cut exactly the lines between members on different sides; those without a side are on one of their own."""
        self._cut.clear()
        everybody = list(numbers)
        for one in everybody:
            for other in everybody:
                if sides.get(one) != sides.get(other):
                    self.cut(one, other)

    def mend(self) -> None:
        """Cut nothing."""
        self._cut.clear()


def _pair(one: int, other: int) -> tuple[int, int]:
    return (one, other) if one < other else (other, one)
