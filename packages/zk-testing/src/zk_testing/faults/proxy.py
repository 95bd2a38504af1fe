"""The fault proxy on TCP: a port of its own in front of one server, and a thread that moves the bytes.

Rule: what goes wrong is decided in `core`; this gives it an address and a life.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, TypeVar

from zk_wire import CloseSessionRequest

from .._ports import release_ports, reserve_ports
from ..errors import ConversationError, SessionRefusedError, TestingError
from ..rawclient import RawClient
from .core import ProxyCore
from .language import FaultLanguage
from .relay import Relay
from .sessions import SeenSession

__all__ = ["FaultProxy", "HasAddress"]

T = TypeVar("T")

_HOST = "127.0.0.1"
_PATIENCE = 5.0  # seconds for a server's answer to the proxy itself


class HasAddress(Protocol):
    """Something with an address, such as a ZooKeeperServer or another FaultProxy."""

    @property
    def address(self) -> str:
        """ "host:port"."""
        ...


class FaultProxy(FaultLanguage):
    """A TCP proxy in front of one server; see `zk_testing.faults` for what it can do.

    upstream: "host:port", (host, port), or something with an address (a ZooKeeperServer, an EmbeddedServer).
    listen_port: 0 takes a free one, which stays the proxy's own until `stop`.
    Listens from `start()` (or entering a `with`) to `stop()`, which leaves no thread and no socket.
    """

    def __init__(self, upstream: str | tuple[str, int] | HasAddress, *, listen_port: int = 0) -> None:
        self._upstream = _parse_address(upstream)
        if not 0 <= listen_port <= 65535:
            raise ValueError(f"listen_port is 0 or a TCP port, not {listen_port}")
        self._asked_port = listen_port
        self._reserved: list[int] = []
        self._relay: Relay | None = None
        self._core = ProxyCore(threading.Condition())

    def __enter__(self) -> FaultProxy:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        where = f"at {self.address}, {self.connections} connections" if self._relay is not None else "not running"
        return f"<FaultProxy for {self._upstream_address} {where}>"

    def start(self) -> None:
        """Listen. Raises OSError when the port is taken; a second call does nothing."""
        if self._relay is not None:
            return
        self._reserved = reserve_ports(1) if self._asked_port == 0 else []
        try:
            self._relay = Relay(self._core, self._upstream, _HOST, self._asked_port or self._reserved[0])
        except BaseException:
            release_ports(self._reserved)
            raise

    def stop(self) -> None:
        """Cut every connection and stop listening; a second call does nothing. The record stays readable.

        Raises TestingError when the proxy itself has failed meanwhile.
        """
        relay, self._relay = self._relay, None
        if relay is not None:
            try:
                relay.stop()
            finally:
                self._core.heal()  # whoever starts it again gets a line without faults
                release_ports(self._reserved)

    # Where

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._running().port

    @property
    def address(self) -> str:
        """ "host:port" for a client."""
        return f"{_HOST}:{self.port}"

    @property
    def hosts(self) -> str:
        """The same, under the name a cluster has for it."""
        return self.address

    def connection_string(self, chroot: str = "") -> str:
        """The address followed by a chroot ("" or "/path")."""
        return self.hosts + chroot

    # Sessions

    def move_session(
        self, session_id: int | None = None, *, to: str | tuple[str, int] | HasAddress | None = None
    ) -> tuple[int, ...]:
        """Have another connection take over a session, past the proxy; return the ids of those that moved.

        session_id: as for `expire_session`.   to: the server that takes it; None is the upstream.
        The same server closes the client's own connection; one of another member goes stale: it still answers reads,
        and is closed without a reply at the next write. The connection that took over ends at once; the session lives.
        Raises TestingError when there is no such session, it has ended, or the server does not answer.
        """
        address = self._upstream_address if to is None else "{}:{}".format(*_parse_address(to))
        sessions = self._do(lambda: self._core.sessions.choose(session_id))
        with self._held(sessions) as links:
            moved = [session for session in sessions if self._take_over(session, address)]
            if to is None:
                ids = {session.id for session in moved}
                self._wait_for_ends([link for link in links if link.conversation.session_id in ids], _PATIENCE)
        return self._note_moved(sessions, moved)

    # For the language

    def _do(self, action: Callable[[], T]) -> T:
        return self._running().call(action)

    def _now(self) -> float:
        return time.monotonic()

    def _end_session(self, session: SeenSession) -> bool:
        return self._take_over(session, self._upstream_address, end=True)

    def _lives(self, session: SeenSession) -> bool:
        return self._take_over(session, self._upstream_address)

    # Details

    def _running(self) -> Relay:
        if self._relay is None:
            raise TestingError(f"the proxy for {self._upstream_address} is not running: start() it first")
        return self._relay

    @property
    def _upstream_address(self) -> str:
        return f"{self._upstream[0]}:{self._upstream[1]}"

    def _take_over(self, session: SeenSession, address: str, *, end: bool = False) -> bool:
        """Go on with a session on a connection of our own, and end it if asked to; False when the server has no such
        session. Our connection is closed in any case."""
        _refuse_event_loop()
        try:
            raw = RawClient(
                address,
                session_timeout=session.timeout,
                session=(session.id, session.password),
                reply_timeout=_PATIENCE,
            )
            try:
                if end:
                    raw.request(CloseSessionRequest())
            finally:
                raw.close()
        except SessionRefusedError:
            return False
        except (ConversationError, OSError) as error:
            raise TestingError(f"{address} did not take session {session.name} from another connection") from error
        return True


def _refuse_event_loop() -> None:
    """The server may be served by the loop this would block."""
    if "asyncio" not in sys.modules:
        return
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise TestingError("this waits for the server; in an event loop, `await asyncio.to_thread(...)` it")


def _parse_address(upstream: str | tuple[str, int] | HasAddress) -> tuple[str, int]:
    if isinstance(upstream, tuple):
        return upstream
    text = upstream if isinstance(upstream, str) else upstream.address
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or "," in text or "/" in text:
        raise ValueError(f'an upstream is one "host:port", not {text!r}')
    return host, int(port)
