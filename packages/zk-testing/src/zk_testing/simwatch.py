"""Watches of a simulated client as values: for one event, and for every event until told otherwise.

Rule: a one-shot watch hears after a reconnect what it missed; a persistent one hears that it may have missed something.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from zk_wire import EventType

if TYPE_CHECKING:
    from .sim import SimulatedEvent
    from .simclient import SimulatedClient

State = TypeVar("State", bound=str)
WatchEvent = TypeVar("WatchEvent")


class SimulatedWatcher(Generic[State, WatchEvent]):
    """A one-shot watch as a value."""

    def __init__(self, client: SimulatedClient[State, WatchEvent], wake: SimulatedEvent | None) -> None:
        self.path = ""
        self.is_armed = False
        self._client = client
        self._wake = wake
        self._fired = client.simulation.event()
        self._event: WatchEvent | None = None
        self._closed = False

    @property
    def event(self) -> WatchEvent | None:
        """What the watch saw; None so far."""
        return self._event

    async def wait(self, timeout: float | None = None) -> WatchEvent | None:
        """Wait for the event; None when time ran out first, or the watcher was closed."""
        await self._fired.wait(timeout)
        return self._event

    async def close(self) -> None:
        """Forget the watch and wake whoever waits."""
        self.forget()
        self._fired.set()
        await self._client.simulation.pause()

    # For the port, the client and the server

    def use(self, path: str) -> None:
        """Take the watcher for a read of *path*."""
        if self.path:
            message = f"a watcher is for one read: this one was used for {self.path!r}, and is asked for {path!r} now"
            raise ValueError(message)
        self.path = path
        self._client.watchers.append(self)

    def may_arm(self) -> bool:
        """Whether the server should arm it: it is not forgotten meanwhile."""
        self.is_armed = not self._closed
        return self.is_armed

    def fire(self, event_type: EventType, path: str, zxid: int) -> None:
        """The server saw something."""
        self._client.deliver(self, event_type, path, zxid)

    def resolve(self, event: WatchEvent) -> None:
        """The client has the event."""
        if self._closed or self._event is not None:
            return
        self._event = event
        self._leave()
        self._fired.set()
        if self._wake is not None:
            self._wake.set()

    def forget(self) -> None:
        """Take the watch back, here and on the server."""
        self._closed = True
        self._client.server.unwatch(self)
        self._leave()

    def _leave(self) -> None:
        if self in self._client.watchers:
            self._client.watchers.remove(self)


class SimulatedSubscription(Generic[State, WatchEvent]):
    """A persistent watch as a value."""

    def __init__(self, client: SimulatedClient[State, WatchEvent], path: str, wake: SimulatedEvent | None) -> None:
        self.path = path
        self.closed = False
        self.is_armed = False
        self._client = client
        self._events: deque[WatchEvent] = deque()
        self._arrived = client.simulation.event()
        self._wake = wake
        client.subscriptions.append(self)

    def take(self) -> WatchEvent | None:
        """Return the next event if it is there already."""
        return self._events.popleft() if self._events else None

    async def next(self, timeout: float | None = None) -> WatchEvent | None:
        """Wait for the next event; None when time ran out first, or it is closed and all are taken."""
        if not self._events and not self.closed:
            self._arrived.clear()
            await self._arrived.wait(timeout)
        return self.take()

    async def close(self) -> None:
        """Forget the watch and wake whoever waits."""
        self.forget()
        self._ring()
        await self._client.simulation.pause()

    # For the port, the client and the server

    def may_arm(self) -> bool:
        """Whether the server should arm it: it is not forgotten meanwhile."""
        self.is_armed = not self.closed
        return self.is_armed

    def fire(self, event_type: EventType, path: str, zxid: int) -> None:
        """The server saw something."""
        self._client.deliver_to_subscription(self, event_type, path, zxid)

    def resolve(self, event: WatchEvent, *, is_last: bool = False) -> None:
        """The client has an event."""
        if self.closed:
            return
        self._events.append(event)
        if is_last:
            self.forget()
        self._ring()

    def forget(self) -> None:
        """Take the watch back, here and on the server."""
        self.closed = True
        self._client.server.unsubscribe(self)
        if self in self._client.subscriptions:
            self._client.subscriptions.remove(self)

    def _ring(self) -> None:
        self._arrived.set()
        if self._wake is not None:
            self._wake.set()
