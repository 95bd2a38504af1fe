"""What passed a proxy, and waiting for it.

Rule: a frame is entered when its last byte was handed on (or when it was swallowed), never when it was merely read; so
whoever has waited for a request knows that the server's machine has it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

from zk_wire import OpCode

from ._relay import TO_CLIENT, TO_SERVER, Direction
from .errors import NotSeenError
from .kinds import Matcher

__all__ = ["Passed", "Record"]

_LIMIT = 100_000


class Passed(NamedTuple):
    """A frame the proxy has seen.

    number: counts every frame of the proxy, from 1.   connection: counts connections, from 1.
    kind: as in `zk_testing.kinds`; a reply has its request's.   opcode: None for connect, notification, admin, raw.
    xid: None where the frame has none.   error: the code in a reply's header (0 = OK), else None.
    size: bytes, the length prefix included.   lost: it was swallowed.
    time: monotonic seconds: when its last byte was handed on, or when it was swallowed.
    """

    number: int
    connection: int
    direction: Direction
    kind: str
    opcode: int | None
    xid: int | None
    error: int | None
    size: int
    lost: bool
    time: float


class Record:
    """The frames of a proxy's life, in the order in which they passed; the last 100,000 of them."""

    def __init__(self) -> None:
        # Held by the relay while it hands on the last byte and enters the frame: whoever has received something finds
        # it here.
        self.condition = threading.Condition()
        self._frames: deque[Passed] = deque(maxlen=_LIMIT)
        self._count = 0
        self._open = 0

    @property
    def frames(self) -> tuple[Passed, ...]:
        """All of them."""
        with self.condition:
            return tuple(self._frames)

    @property
    def count(self) -> int:
        """How many frames were ever entered, which is the number of the last one."""
        with self.condition:
            return self._count

    @property
    def connections(self) -> int:
        """How many connections are open."""
        with self.condition:
            return self._open

    def enter(self, passed: Passed) -> Passed:
        """Enter a frame; it gets its number and time here."""
        with self.condition:
            self._count += 1
            passed = passed._replace(number=self._count, time=time.monotonic())
            self._frames.append(passed)
            self.condition.notify_all()
        return passed

    def set_connections(self, count: int) -> None:
        """Tell how many connections are open now."""
        with self.condition:
            self._open = count
            self.condition.notify_all()

    def wait_for(
        self,
        what: str | OpCode | Callable[[Passed], bool],
        count: int,
        *,
        timeout: float,
        direction: Direction | None,
        since: int,
    ) -> list[Passed]:
        """See `FaultProxy.wait_for`."""
        wanted, name = _predicate(what, direction)
        deadline = time.monotonic() + timeout
        found: list[Passed] = []
        with self.condition:
            while True:
                fresh = min(len(self._frames), self._count - since)
                found += filter(wanted, islice(self._frames, len(self._frames) - fresh, None))
                since = self._count
                if len(found) >= count:
                    return found[:count]
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    seen = ", ".join(f"{passed.kind} {passed.direction}" for passed in list(self._frames)[-12:])
                    raise NotSeenError(
                        f"waited {timeout} s for {count} x {name}, saw {len(found)}; the last frames: {seen or 'none'}"
                    )
                self.condition.wait(remaining)

    def wait_for_connections(self, count: int, timeout: float) -> None:
        """See `FaultProxy.wait_for_connections`."""
        with self.condition:
            if not self.condition.wait_for(lambda: self._open == count, timeout):
                raise NotSeenError(f"waited {timeout} s for {count} open connections, there are {self._open}")


def _predicate(
    what: str | OpCode | Callable[[Passed], bool], direction: Direction | None
) -> tuple[Callable[[Passed], bool], str]:
    if not isinstance(what, str | OpCode):
        predicate = what
        return (
            lambda passed: (direction is None or passed.direction == direction) and predicate(passed)
        ), "frames of the predicate"
    matcher = Matcher(what)
    way = direction or (TO_CLIENT if matcher.only_to_client else TO_SERVER)
    return (
        lambda passed: not passed.lost and passed.direction == way and matcher.fits(passed.kind, passed.opcode)
    ), f"{matcher.name} {way}"
