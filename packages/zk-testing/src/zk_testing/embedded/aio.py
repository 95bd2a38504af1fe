"""The embedded server inside a running asyncio loop.

    async with AsyncEmbeddedServer(version="3.8") as server:
        server.hosts

Rule: all of it runs in the loop's thread (transports.py); it decides nothing.
"""

from __future__ import annotations

from types import TracebackType

from .clock import Clock
from .core import Mode, Output, ServerCore
from .settings import Settings
from .transports import Transports

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
        self._transports: Transports | None = None

    async def __aenter__(self) -> AsyncEmbeddedServer:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; sessions of an earlier life have their whole timeout. Raises OSError when the port is taken."""
        if self._transports is None:
            transports = Transports(self._clock, self.core.next_deadline_ms, self.core.tick)
            self._port = self.core.port = await transports.listen(self.core, self._host, self._port)
            for session in self.core.sessions.all():
                self.core.sessions.touch(session, self._clock.now_ms())
            self._transports = transports

    async def stop(self) -> None:
        """Close every connection and the port; the data stay for another `start`."""
        transports, self._transports = self._transports, None
        if transports is not None:
            await transports.close(self.core)

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
        self.deliver(self.core.expire_session(session_id, self._clock.now_ms()))

    def drop_connections(self, session_id: int | None = None) -> None:
        """Close the connection of one session, or all of them; the sessions live on."""
        self.deliver(self.core.drop_connections(session_id))

    def set_mode(self, mode: Mode) -> None:
        """Serve everybody, only read-only clients, or nobody; all connections are closed."""
        self.deliver(self.core.set_mode(mode, self._clock.now_ms()))

    def deliver(self, output: list[Output]) -> None:
        """Send what something done to `core` by hand gave to send."""
        if self._transports is not None:
            self._transports.deliver(output)
