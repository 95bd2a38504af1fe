"""The embedded server inside a running asyncio loop.

    async with AsyncEmbeddedServer(version="3.8") as server:
        server.hosts

Rule: carries bytes and times between the loop and the core; decides nothing.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

from .client import Client
from .clock import Clock
from .core import Mode, Output, ServerCore
from .settings import Settings

__all__ = ["AsyncEmbeddedServer"]


class AsyncEmbeddedServer:
    """A ZooKeeper server in this loop.   settings, clock: as EmbeddedServer takes them; version, port: as there."""

    def __init__(
        self,
        *,
        version: str = "3.9",
        port: int = 0,
        host: str = "127.0.0.1",
        settings: Settings | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or Clock()
        self._host = host
        self._port = port
        self.core = ServerCore(settings or Settings(version=version), now_ms=self._clock.now_ms())
        self._transports: dict[Client, asyncio.Transport] = {}
        self._server: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms: int | None = None

    async def __aenter__(self) -> AsyncEmbeddedServer:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(lambda: _Protocol(self), self._host, self._port)
            self._port = self._server.sockets[0].getsockname()[1]
            self.core.port = self._port
            self._schedule()

    async def stop(self) -> None:
        """Close every connection and the port; the data stay for another `start`."""
        if self._server is None:
            return
        self._server.close()
        self._deliver(self.core.drop_connections())
        await self._server.wait_closed()
        self._server = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = self._timer_ms = None

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{self._host}:{self._port}"

    @property
    def hosts(self) -> str:
        """The address, as a client takes it."""
        return self.address

    def connection_string(self, chroot: str = "") -> str:
        """The address followed by a chroot ("" or "/path")."""
        return self.hosts + chroot

    def expire_session(self, session_id: int) -> None:
        """End a session as if it had been silent for too long. Raises KeyError when there is none."""
        self._deliver(self.core.expire_session(session_id, self._clock.now_ms()))

    def drop_connections(self, session_id: int | None = None) -> None:
        """Close the connection of one session, or all of them; the sessions live on."""
        self._deliver(self.core.drop_connections(session_id))

    def set_mode(self, mode: Mode) -> None:
        """Serve everybody, only read-only clients, or nobody; all connections are closed."""
        self._deliver(self.core.set_mode(mode, self._clock.now_ms()))

    # For the connections

    def _accept(self, transport: asyncio.Transport) -> Client:
        host, port = transport.get_extra_info("peername")[:2]
        client = self.core.accept(host, port, self._clock.now_ms())
        if client.closed:
            transport.close()
        else:
            self._transports[client] = transport
        self._schedule()
        return client

    def _received(self, client: Client, data: bytes) -> None:
        self._deliver(self.core.receive(client, data, self._clock.now_ms()))

    def _lost(self, client: Client) -> None:
        if self._transports.pop(client, None) is not None:
            self._deliver(self.core.disconnected(client))

    def _deliver(self, output: list[Output]) -> None:
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
                del self._transports[client]
                transport.close()
        self._schedule()

    def _schedule(self) -> None:
        """See to it that the core is told when something is due; a timer that is too early does no harm."""
        due = self.core.next_deadline_ms()
        if due is None or self._server is None or (self._timer_ms is not None and self._timer_ms <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        delay = max(0.0, (due - self._clock.now_ms()) / 1000)
        self._timer_ms = due
        self._timer = asyncio.get_running_loop().call_later(delay, self._tick)

    def _tick(self) -> None:
        self._timer = self._timer_ms = None
        self._deliver(self.core.tick(self._clock.now_ms()))


class _Protocol(asyncio.Protocol):
    """One connection of the loop."""

    def __init__(self, server: AsyncEmbeddedServer) -> None:
        self._server = server
        self._client: Client | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._client = self._server._accept(transport)

    def data_received(self, data: bytes) -> None:
        if self._client is not None:
            self._server._received(self._client, data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._client is not None:
            self._server._lost(self._client)
