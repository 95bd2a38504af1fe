"""The connections and ports of embedded servers inside a running asyncio loop: of a server, or of a whole ensemble.

Rule: carries bytes and times between the loop and the cores; decides nothing. Everything runs in the loop's thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .client import Client
from .clock import Clock, VirtualClock
from .front import Endpoint, Output

__all__ = ["Transports"]


class Transports:
    """Ports, connections and the timer.

    next_deadline_ms, tick: of the core that keeps the time; not asked for it with a VirtualClock.
    """

    def __init__(
        self, clock: Clock, next_deadline_ms: Callable[[], int | None], tick: Callable[[int], list[Output]]
    ) -> None:
        self._clock = clock
        self._next_deadline_ms = next_deadline_ms
        self._tick = tick
        self._transports: dict[Client, asyncio.Transport] = {}
        self._endpoints: dict[Client, Endpoint] = {}
        self._ending: dict[Client, tuple[asyncio.Transport, Endpoint]] = {}  # closed, but not all is written yet
        self._servers: dict[Endpoint, asyncio.Server] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms: int | None = None
        self._loop = asyncio.get_running_loop()

    async def listen(self, endpoint: Endpoint, host: str, port: int) -> int:
        """Open a port (0 for any free one) and return it. Raises OSError when it is taken."""
        server = await self._loop.create_server(lambda: _Protocol(self, endpoint), host, port)
        self._servers[endpoint] = server
        self.schedule()
        actual: int = server.sockets[0].getsockname()[1]
        return actual

    async def close(self, endpoint: Endpoint) -> None:
        """Close a port and all connections that were made to it."""
        server = self._servers.pop(endpoint, None)
        if server is None:
            return
        server.close()
        for client in [client for client, other in self._endpoints.items() if other is endpoint]:
            self._close(client)
            endpoint.disconnected(client)
        # A client that does not read must not keep the port: since Python 3.12 the server waits for its connections.
        for transport, other in tuple(self._ending.values()):
            if other is endpoint:
                transport.abort()
        await server.wait_closed()
        if not self._servers and self._timer is not None:
            self._timer.cancel()
            self._timer = self._timer_ms = None

    def freeze(self, endpoint: Endpoint) -> None:
        """Read nothing from its connections: the system's buffers take what they can."""
        for client, transport in self._transports.items():
            if self._endpoints[client] is endpoint:
                transport.pause_reading()

    def thaw(self, endpoint: Endpoint) -> None:
        """Go on after `freeze`."""
        for client, transport in self._transports.items():
            if self._endpoints[client] is endpoint:
                transport.resume_reading()

    def deliver(self, output: list[Output]) -> None:
        """Send what a core has to say."""
        parts: dict[Client, list[bytes]] = {}
        for client, data in output:
            pieces = parts.setdefault(client, [])
            if data is not None:
                pieces.append(data)
        for client, pieces in parts.items():
            transport = self._transports.get(client)
            if transport is None:
                continue
            if pieces:
                transport.write(b"".join(pieces))
            if client.closed:
                self._close(client)
        self.schedule()

    def schedule(self) -> None:
        """See to it that the core is told when something is due; a timer that is too early does no harm."""
        due = None if isinstance(self._clock, VirtualClock) else self._next_deadline_ms()
        if due is None or not self._servers or (self._timer_ms is not None and self._timer_ms <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_ms = due
        self._timer = self._loop.call_later(max(0.0, (due - self._clock.now_ms()) / 1000), self._ring)

    # For the connections

    def opened(self, endpoint: Endpoint, transport: asyncio.Transport) -> Client:
        """A connection was made to a port."""
        host, port = transport.get_extra_info("peername")[:2]
        client = endpoint.accept(host, port, self._clock.now_ms())
        if client.closed:
            transport.close()
        else:
            self._transports[client] = transport
            self._endpoints[client] = endpoint
        self.schedule()
        return client

    def received(self, endpoint: Endpoint, client: Client, data: bytes) -> None:
        """Bytes came."""
        self.deliver(endpoint.receive(client, data, self._clock.now_ms()))

    def lost(self, endpoint: Endpoint, client: Client) -> None:
        """The peer has closed."""
        self._ending.pop(client, None)
        if self._transports.pop(client, None) is not None:
            del self._endpoints[client]
            self.deliver(endpoint.disconnected(client))

    def _close(self, client: Client) -> None:
        """End a connection when all is written."""
        transport = self._transports.pop(client)
        endpoint = self._endpoints.pop(client)
        if transport.get_write_buffer_size():
            self._ending[client] = transport, endpoint
        transport.close()

    def _ring(self) -> None:
        self._timer = self._timer_ms = None
        self.deliver(self._tick(self._clock.now_ms()))


class _Protocol(asyncio.Protocol):
    """One connection of the loop."""

    def __init__(self, owner: Transports, endpoint: Endpoint) -> None:
        self._owner = owner
        self._endpoint = endpoint
        self._client: Client | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Known by what it can do, not by its class: uvloop's transports are none of asyncio's.
        self._client = self._owner.opened(self._endpoint, transport)  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        if self._client is not None:
            self._owner.received(self._endpoint, self._client, data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._client is not None:
            self._owner.lost(self._endpoint, self._client)
