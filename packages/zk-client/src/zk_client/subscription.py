"""A persistent watch for bodies, the same in every world.

Rule: it waits for nothing but an event of its port. It is told on the reader, so telling it only stores the event and
raises flags.
"""

from __future__ import annotations

from collections import deque

from zk_wire import EventType

from .states import WatchedEvent
from .watching import MOST_EVENTS, is_last

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .port import Event


class Subscription:
    """Every change of a node, or of everything below it, until told otherwise."""

    runs_inline = True

    def __init__(self, path: str, arrived: Event, forget: Callable[[Subscription], None], wake: Event | None) -> None:
        self.closed = False
        self.server_paths: set[str] = set()
        self._path = path
        self._events: deque[WatchedEvent] = deque()
        self._arrived = arrived
        self._forget = forget
        self._wake = wake

    def __call__(self, event: object) -> None:
        if self.closed or not isinstance(event, WatchedEvent):
            return
        if len(self._events) >= MOST_EVENTS:
            self._events.clear()
            event = WatchedEvent(EventType.NONE, event.state, self._path)
        self._events.append(event)
        if is_last(event):
            self.closed = True
        self._ring()

    def _ring(self) -> None:
        self._arrived.set()
        if self._wake is not None:
            self._wake.set()

    def take(self) -> WatchedEvent | None:
        """Return the next event if it is there already."""
        try:
            return self._events.popleft()
        except IndexError:
            return None

    async def next(self, timeout: float | None = None) -> WatchedEvent | None:
        """Wait for the next event."""
        while True:
            event = self.take()
            if event is not None:
                return event
            self._arrived.clear()
            # What came before the flag was lowered would not raise it again.
            if self._events:
                continue
            if self.closed or not await self._arrived.wait(timeout):
                return self.take()

    def forked(self) -> None:
        """In a forked child: the watch is the parent's, and nothing comes of it here."""
        self.closed = True
        self._ring()

    async def close(self) -> None:
        """Forget the watch, here at once and on the server when it was the last one on its path."""
        if not self.closed:
            self.closed = True
            self._forget(self)
        self._arrived.set()
