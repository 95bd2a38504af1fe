"""Watches as values one waits for, for threads and greenlets.

Rule: a value of this module is told on the reader, so telling it only stores the event and wakes who waits.

A one-shot watch survives reconnects: the server reports at once what was missed. A persistent watch survives them
too, but no server reports what it missed; its owner then gets an event of type NONE with a connected state, which
says: read again. An event of type NONE with any other state is the last one.
"""

from __future__ import annotations

from collections import deque

from zk_wire import EventType

from .states import WatchedEvent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from .handlers.base import Runtime

# Events a persistent watch keeps for a reader that does not come; then it keeps one that says: read again.
MOST_EVENTS = 65536


class Watcher:
    """A one-shot watch: give it to one read as `watch`, then wait for its event."""

    runs_inline = True

    def __init__(self, runtime: Runtime, forget: Callable[[Watcher], None], wake: Callable[[], None] | None) -> None:
        self._runtime = runtime
        self._seen = runtime.event()
        self._event: WatchedEvent | None = None
        self._forget = forget
        self._wake = wake
        self.closed = False
        self.server_paths: set[str] = set()

    def __call__(self, event: object) -> None:
        if self._event is None and isinstance(event, WatchedEvent):
            self._event = event
            self._seen.set()
            if self._wake is not None:
                self._wake()

    @property
    def event(self) -> WatchedEvent | None:
        """What the watch saw; None so far."""
        return self._event

    def wait(self, timeout: float | None = None) -> WatchedEvent | None:
        """Wait for the event; None when `timeout` seconds pass first, or the watcher is closed."""
        self._runtime.may_block()
        self._seen.wait(timeout)
        return self._event

    def forked(self) -> None:
        """In a forked child: the watch is the parent's, and nothing comes of it here."""
        self.closed = True
        self._seen = self._runtime.event()
        self._seen.set()

    def close(self) -> None:
        """Forget the watch, here at once and on the server when it was the last one on its path."""
        if not self.closed:
            self.closed = True
            if self._event is None:
                self._forget(self)
            self._seen.set()
            if self._wake is not None:
                self._wake()


class PersistentWatch:
    """A persistent watch: iterate over it, or `get` event by event; close it, or use it as a context manager.

    Iteration ends when the watch is closed or its session is over.
    """

    runs_inline = True

    def __init__(self, runtime: Runtime, path: str, recursive: bool, forget: Callable[[PersistentWatch], None]) -> None:
        self.path = path
        self.recursive = recursive
        self.closed = False
        self.server_paths: set[str] = set()
        self._events: deque[WatchedEvent] = deque()
        self._runtime = runtime
        self._arrived = runtime.event()
        self._mutex = runtime.lock()
        self._forget = forget

    def __call__(self, event: object) -> None:
        if not isinstance(event, WatchedEvent):
            return
        with self._mutex:
            if len(self._events) >= MOST_EVENTS:
                self._events.clear()
                event = WatchedEvent(EventType.NONE, event.state, self.path)
            self._events.append(event)
            if is_last(event):
                self.closed = True
            self._arrived.set()

    def get(self, timeout: float | None = None) -> WatchedEvent | None:
        """The next event; None when `timeout` seconds pass first, or the watch is closed and all events are read."""
        while True:
            with self._mutex:
                if self._events:
                    return self._events.popleft()
                if self.closed:
                    return None
                self._arrived.clear()
            self._runtime.may_block()
            if not self._arrived.wait(timeout):
                return None

    def forked(self) -> None:
        """In a forked child: the watch is the parent's, and nothing comes of it here."""
        self.closed = True
        self._mutex = self._runtime.lock()
        self._arrived = self._runtime.event()
        self._arrived.set()

    def __iter__(self) -> Iterator[WatchedEvent]:
        while (event := self.get()) is not None:
            yield event

    def close(self) -> None:
        """Forget the watch, here at once and on the server when it was the last one on its path."""
        if not self.closed:
            self.closed = True
            self._forget(self)
        self._arrived.set()

    def __enter__(self) -> PersistentWatch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def is_last(event: WatchedEvent) -> bool:
    """Whether no event follows: the session is over, or the server cannot keep the watch."""
    if event.type is EventType.NONE:
        return not event.state.is_connected
    return event.type is EventType.PERSISTENT_WATCH_REMOVED
