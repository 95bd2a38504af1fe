"""What passed a proxy, and waiting for it.

Rule: a frame is entered when its last byte was handed on (or when it was swallowed), never when it was merely read; so
whoever has waited for a request knows that the server's machine has it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from types import TracebackType
from typing import NamedTuple, Protocol, TypeVar

from zk_wire import OpCode

from ..errors import NotSeenError
from .effects import TO_CLIENT, TO_SERVER, Direction
from .kinds import Matcher

__all__ = ["Header", "Monitor", "Passed", "Record"]

T = TypeVar("T")

_LIMIT = 100_000


class Monitor(Protocol):
    """A lock with waiting: a threading.Condition; in memory, where waiting lets virtual time pass, no lock at all."""

    def __enter__(self) -> object:
        """Hold it."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> bool | None:
        """Let it go."""
        ...

    def wait_for(self, predicate: Callable[[], T], timeout: float) -> T:
        """Wait while holding it until the predicate is true, at most `timeout` seconds; return its last value."""
        ...

    def notify_all(self) -> None:
        """Have those who wait look again."""
        ...


class Header(NamedTuple):
    """What is read of a frame; see `Passed`."""

    kind: str
    opcode: int | None = None
    xid: int | None = None
    error: int | None = None
    zxid: int | None = None
    path: str | None = None


class Passed(NamedTuple):
    """A frame the proxy has seen.

    number: counts every frame of the proxy, from 1.   connection: counts connections, from 1.
    kind: as in `zk_testing.faults.kinds`; a reply has its request's.   opcode: None for connect, notification, admin,
    raw.   xid: None where the frame has none.   error: the code in a reply's header (0 = OK), else None.
    size: bytes that came, the length prefix included.   lost: it was swallowed, or cut off within.
    time: seconds, monotonic (in memory: the server's clock): when its last byte was handed on, or when it was lost.
    zxid: in a reply's header, else None.   path: the node it is about, also of a reply; None where there is not one.
    fault: the line of the rule that struck it, None for an unharmed frame.
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
    zxid: int | None = None
    path: str | None = None
    fault: str | None = None


class Record:
    """The frames of a proxy's life, in the order in which they passed; the last 100,000 of them."""

    def __init__(self, monitor: Monitor) -> None:
        # Held by the handler while it hands on the last byte and enters the frame: whoever has received something finds
        # it here.
        self.monitor = monitor
        self._frames: deque[Passed] = deque(maxlen=_LIMIT)
        self._count = 0
        self._open = 0

    @property
    def frames(self) -> tuple[Passed, ...]:
        """All of them."""
        with self.monitor:
            return tuple(self._frames)

    @property
    def count(self) -> int:
        """How many frames were ever entered, which is the number of the last one."""
        with self.monitor:
            return self._count

    @property
    def connections(self) -> int:
        """How many connections are open."""
        with self.monitor:
            return self._open

    def enter(self, passed: Passed) -> Passed:
        """Enter a frame; it gets its number here."""
        with self.monitor:
            self._count += 1
            passed = passed._replace(number=self._count)
            self._frames.append(passed)
            self.monitor.notify_all()
        return passed

    def set_connections(self, count: int) -> None:
        """Tell how many connections are open now."""
        with self.monitor:
            self._open = count
            self.monitor.notify_all()

    def wait_for(
        self,
        what: str | OpCode | Callable[[Passed], bool],
        count: int,
        *,
        timeout: float,
        direction: Direction | None,
        since: int,
    ) -> list[Passed]:
        """See `FaultLanguage.wait_for`."""
        wanted, name = _predicate(what, direction)
        found: list[Passed] = []

        def enough() -> bool:
            nonlocal since
            fresh = min(len(self._frames), self._count - since)
            found.extend(filter(wanted, islice(self._frames, len(self._frames) - fresh, None)))
            since = self._count
            return len(found) >= count

        with self.monitor:
            if not self.monitor.wait_for(enough, timeout):
                seen = ", ".join(f"{passed.kind} {passed.direction}" for passed in list(self._frames)[-12:])
                raise NotSeenError(
                    f"waited {timeout} s for {count} x {name}, saw {len(found)}; the last frames: {seen or 'none'}"
                )
        return found[:count]

    def wait_for_connections(self, count: int, timeout: float) -> None:
        """See `FaultLanguage.wait_for_connections`."""
        with self.monitor:
            if not self.monitor.wait_for(lambda: self._open == count, timeout):
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
