"""A server without sockets and without time: what is sent to it is answered before the call returns.

    server = MemoryServer(Settings(version="3.8"))
    connection = server.connect()
    connection.send(frame)
    connection.take()           # what the server has sent since the last call
    server.advance(10.0)        # sessions expire, TTL nodes go

Rule: everything happens inside the calls, in one thread, and depends on nothing but them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from .client import Client
from .clock import VirtualClock
from .core import Mode, Output, ServerCore
from .front import Endpoint
from .settings import Settings
from .timed import Timed

__all__ = ["Carrier", "MemoryConnection", "MemoryServer"]

C_co = TypeVar("C_co", bound=Timed, covariant=True)


class MemoryConnection:
    """The client's end of one connection."""

    def __init__(self, carrier: Carrier[Timed], server: Endpoint, client: Client) -> None:
        self._carrier = carrier
        self._server = server
        self._client = client
        self._incoming: list[bytes] = []

    @property
    def closed(self) -> bool:
        """Whether either side has ended it."""
        return self._client.closed

    def send(self, data: bytes) -> None:
        """Give bytes to the server; a closed connection swallows them."""
        self._carrier.deliver(self._server.receive(self._client, data, self._carrier.now_ms))

    def take(self) -> bytes:
        """Return what the server has sent since the last call; also after the end."""
        data = b"".join(self._incoming)
        self._incoming.clear()
        return data

    def close(self) -> None:
        """End the connection without a word, as a lost network does; its session lives on."""
        self._carrier.deliver(self._server.disconnected(self._client))

    def put(self, data: bytes) -> None:
        """The server has sent something."""
        self._incoming.append(data)


class Carrier(Generic[C_co]):
    """What carries bytes and time between clients and servers in memory.

    make: of its core, which is given the time of its start.   clock: where that time begins.
    """

    def __init__(self, make: Callable[[int], C_co], clock: VirtualClock | None) -> None:
        self.clock = clock or VirtualClock()
        self.core = make(self.clock.now_ms())
        self._connections: dict[Client, MemoryConnection] = {}
        self._ports = 50_000

    @property
    def now_ms(self) -> int:
        """The time here: milliseconds since 1970."""
        return self.clock.now_ms()

    def advance(self, seconds: float) -> None:
        """Let time pass, with everything that is due on the way. Raises ValueError for less than 0 seconds."""
        until_ms = self.clock.after(seconds)
        output = self.core.advance(self.now_ms, until_ms)
        self.clock.move_to(until_ms)
        self.deliver(output)

    def deliver(self, output: list[Output]) -> None:
        """Give clients what was sent to them."""
        for client, data in output:
            connection = self._connections.get(client)
            if connection is None:
                continue
            if data is None:
                del self._connections[client]
            else:
                connection.put(data)
        for client in [client for client in self._connections if client.closed]:
            del self._connections[client]

    def _open(self, server: Endpoint, host: str) -> MemoryConnection:
        self._ports += 1
        client = server.accept(host, self._ports, self.now_ms)
        connection = MemoryConnection(self, server, client)
        if not client.closed:
            self._connections[client] = connection
        return connection


class MemoryServer(Carrier[ServerCore]):
    """One server in memory.   settings: see Settings.   clock: where its time begins."""

    def __init__(self, settings: Settings | None = None, clock: VirtualClock | None = None) -> None:
        super().__init__(lambda now_ms: ServerCore(settings, now_ms=now_ms), clock)

    def connect(self, host: str = "127.0.0.1") -> MemoryConnection:
        """Open a connection from an address; it is closed at once where a real server would accept and close."""
        return self._open(self.core, host)

    def expire_session(self, session_id: int) -> None:
        """End a session as if it had been silent for too long. Raises KeyError when there is none."""
        self.deliver(self.core.expire_session(session_id, self.now_ms))

    def drop_connections(self, session_id: int | None = None) -> None:
        """Close one session's connection, or all; the sessions live on."""
        self.deliver(self.core.drop_connections(session_id))

    def set_mode(self, mode: Mode) -> None:
        """Serve everybody, read-only clients, or nobody; all connections are closed."""
        self.deliver(self.core.set_mode(mode, self.now_ms))
