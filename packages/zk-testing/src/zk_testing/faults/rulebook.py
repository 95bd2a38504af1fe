"""The rules that hold at a proxy now, those drawn by chance among them, and what they have done.

Rule: rules count in the order in which they were set. A rule that ends a connection is the last one that counts the
frame: two equal rules strike two frames, one after the other.
"""

from __future__ import annotations

from collections import deque

from .chance import Chance
from .effects import TO_CLIENT, TO_SERVER, Direction
from .fault import Fault
from .record import Header, Monitor, Passed

__all__ = ["Rulebook"]

_LIMIT = 100_000  # lines of history


class Rulebook:
    """What is to strike; changed and asked on the thread that moves the bytes."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._faults: list[Fault] = []
        self._chance: Chance | None = None
        self._history: deque[str] = deque(maxlen=_LIMIT)

    def add(self, faults: list[Fault]) -> None:
        """Set rules, all at the same point in the order of the frames."""
        for fault in faults:
            fault.set_on(self._monitor)
        self._faults += faults

    def leave_to_chance(self, chance: Chance | None) -> None:
        """Draw faults from now on, or (None) no more."""
        self._chance = chance

    def clear(self) -> None:
        """No rule holds any more."""
        for fault in self._faults:
            fault.cancel()
        self._faults.clear()
        self._chance = None

    def of_request(self, connection: int, header: Header) -> tuple[list[Fault], list[Fault]]:
        """A request came: what strikes it, and what will strike its reply."""
        strikers = self._strikers(TO_SERVER, header)
        ended = _ends(strikers)
        for_reply = [] if ended else self._strikers(TO_CLIENT, header)
        if self._chance is not None:
            drawn = self._chance.draw(connection, header, to_server=not ended, to_client=not _ends(for_reply))
            if drawn is not None:
                fault, direction = drawn
                fault.set_on(self._monitor)
                (strikers if direction == TO_SERVER else for_reply).append(fault)
                if _ends(strikers):
                    for_reply = []
        return strikers, for_reply

    def of_other(self, direction: Direction, header: Header) -> list[Fault]:
        """What strikes a notification, or a piece of a stream without frames."""
        return self._strikers(direction, header)

    def struck(self, fault: Fault, passed: Passed) -> None:
        """A rule has struck a frame."""
        first = fault.strike(passed)
        if first:
            self.note(fault.line)

    def note(self, line: str) -> None:
        """Enter a line in the history."""
        with self._monitor:
            self._history.append(line)

    @property
    def history(self) -> tuple[str, ...]:
        """What was done, in order; a rule that strikes often stands there once."""
        with self._monitor:
            return tuple(self._history)

    def _strikers(self, direction: Direction, header: Header) -> list[Fault]:
        strikers: list[Fault] = []
        for fault in self._faults:
            if fault.counts(direction, header.kind, header.opcode):
                strikers.append(fault)
                if fault.effect.end is not None:
                    break
        return strikers


def _ends(strikers: list[Fault]) -> bool:
    return bool(strikers) and strikers[-1].effect.end is not None
