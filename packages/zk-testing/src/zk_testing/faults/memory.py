"""The fault proxy in front of servers in memory: no socket, no thread, and the servers' own virtual time.

    server = MemoryServer()
    faults = MemoryFaults(server)
    connection = faults.connect()       # as server.connect(), through the proxy
    faults.delay(0.5, "get_data")
    connection.send(frame)
    faults.advance(0.5)                 # the server's time too
    connection.take()

In front of a MemoryEnsemble it is the network between clients and all members: `faults.connect(2)` goes to member 2.

Rule: everything happens inside the calls, and depends on nothing but them: the same calls give the same bytes at the
same times. What waits on TCP (`fault.wait`, `wait_for`, `expire_session(how="silence")`) lets virtual time pass here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Protocol, TypeVar

from zk_wire import ClientConnection, Connected, ConnectRequest, Event, SessionGone

from ..errors import TestingError
from .core import ProxyCore
from .effects import BOTH, TO_CLIENT, TO_SERVER, Direction
from .language import FaultLanguage
from .link import Link
from .sessions import SeenSession

__all__ = ["FaultyConnection", "MemoryFaults", "MemoryUpstream"]

T = TypeVar("T")

_PATIENCE = 5.0  # seconds of virtual time for a server's answer to the proxy itself


class _Line(Protocol):
    """A connection to a server in memory; see MemoryConnection."""

    @property
    def closed(self) -> bool: ...
    def send(self, data: bytes, /) -> None: ...
    def take(self) -> bytes: ...
    def close(self) -> None: ...


class _Deadlines(Protocol):
    """What knows when something is due at the server."""

    def next_deadline_ms(self) -> int | None: ...


class MemoryUpstream(Protocol):
    """A server in memory, or an ensemble; see MemoryServer and MemoryEnsemble."""

    @property
    def now_ms(self) -> int:
        """Its time: milliseconds since 1970."""
        ...

    @property
    def core(self) -> _Deadlines:
        """The server itself."""
        ...

    @property
    def connect(self) -> Callable[..., _Line]:
        """Open a connection: to a member by number where there are several, from an address."""
        ...

    def advance(self, seconds: float, /) -> None:
        """Let time pass."""
        ...

    def expire_session(self, session_id: int, /) -> None:
        """End a session. Raises KeyError when there is none."""
        ...


class FaultyConnection:
    """The client's end of one connection through a `MemoryFaults`; used as a MemoryConnection."""

    def __init__(self, faults: MemoryFaults) -> None:
        self._faults = faults
        self._outgoing = bytearray()  # what the proxy has not read yet
        self._incoming = bytearray()
        self._leaving = False  # the client has closed
        self._closed = False
        self._reset = False

    @property
    def closed(self) -> bool:
        """Whether its end has come, from either side; what came before can still be taken."""
        self._faults._pump()
        return self._closed

    @property
    def reset(self) -> bool:
        """Whether it ended with a TCP reset."""
        self._faults._pump()
        return self._reset

    def send(self, data: bytes) -> None:
        """Send bytes; a closed connection swallows them."""
        if not self._closed:
            self._outgoing += data
            self._faults._pump()

    def take(self) -> bytes:
        """Return what has come since the last call; also after the end."""
        self._faults._pump()
        data = bytes(self._incoming)
        self._incoming.clear()
        return data

    def close(self) -> None:
        """Close the client's end."""
        self._closed = self._leaving = True
        self._faults._pump()


class _Ends:
    """The two connections of a link.   where: what the server's was opened with."""

    def __init__(self, client: FaultyConnection, server: _Line, where: tuple[int | str, ...]) -> None:
        self.client: FaultyConnection | None = client
        self.server: _Line | None = server
        self.where = where


class MemoryFaults(FaultLanguage):
    """A proxy in memory in front of one server; see `zk_testing.faults` for what it can do."""

    def __init__(self, server: MemoryUpstream) -> None:
        self._server = server
        self._core = ProxyCore(_VirtualMonitor(self))
        self._ends: dict[Link, _Ends] = {}
        self._last_where: tuple[int | str, ...] = ()
        self._pumping = False

    def __repr__(self) -> str:
        return f"<MemoryFaults for {self._server!r}, {self.connections} connections>"

    def connect(self, *where: int | str) -> FaultyConnection:
        """Open a connection, as the server's `connect` does.

        Raises ConnectionRefusedError after `refuse("not_listening")`.
        """
        if self._core.refusing == "not_listening":
            raise ConnectionRefusedError("nobody listens here, as the test has asked for")
        connection = FaultyConnection(self)
        link = self._core.connect()
        if link is None:
            connection._closed = True
        else:
            self._last_where = where
            self._ends[link] = _Ends(connection, self._server.connect(*where), where)
            self._pump()
        return connection

    def advance(self, seconds: float) -> None:
        """Let the server's time pass, with everything that is due on the way, here and there.

        Raises ValueError for less than 0 seconds.
        """
        if not 0 <= seconds < math.inf:
            raise ValueError(f"time passes by 0 seconds or more, not by {seconds}")
        until_ms = self._server.now_ms + round(seconds * 1000)
        while self._server.now_ms < until_ms:
            self._step(until_ms)
        self._pump()

    def move_session(self, session_id: int | None = None, *, to: int | None = None) -> tuple[int, ...]:
        """Have another connection take over a session; as `FaultProxy.move_session`.

        to: the number of the ensemble's member that takes it; None is the one it is connected to.
        """
        sessions = self._core.sessions.choose(session_id)
        with self._held(sessions):
            moved = [session for session in sessions if self._take_over(session, to)]
        return self._note_moved(sessions, moved)

    # For the language

    def _do(self, action: Callable[[], T]) -> T:
        result = action()
        self._pump()
        return result

    def _now(self) -> float:
        return self._server.now_ms / 1000

    def _end_session(self, session: SeenSession) -> bool:
        try:
            self._server.expire_session(session.id)
        except KeyError:
            return False
        self._pump()
        return True

    def _lives(self, session: SeenSession) -> bool:
        return self._take_over(session, None)

    def _take_over(self, session: SeenSession, number: int | None) -> bool:
        """Go on with a session on a connection of our own; False when the server has no such session."""
        where = self._last_where if number is None else (number,)
        for link, ends in self._ends.items():
            if number is None and link.conversation.session_id == session.id:
                where = ends.where
        wire = ClientConnection()
        line = self._server.connect(*where)
        timeout_ms = round(session.timeout * 1000)
        line.send(wire.connect(ConnectRequest(timeout_ms=timeout_ms, session_id=session.id, password=session.password)))
        events: list[Event] = []

        def answered() -> bool:
            events.extend(wire.receive(line.take()))
            return bool(events) or line.closed

        self._core.monitor.wait_for(answered, _PATIENCE)  # a member of an ensemble may lag
        line.close()
        self._pump()
        if any(isinstance(event, SessionGone) for event in events):
            return False
        if not any(isinstance(event, Connected) for event in events):
            raise TestingError(f"{self._server!r} did not take session {session.name} from another connection")
        return True

    # Bytes and time

    def _pump(self) -> None:
        """Carry everything as far as it may go now."""
        if self._pumping:
            return
        self._pumping = True
        try:
            moved = True
            while moved:
                moved = False
                for link, ends in tuple(self._ends.items()):
                    moved |= self._carry(link, ends)
        finally:
            self._pumping = False

    def _carry(self, link: Link, ends: _Ends) -> bool:
        """One turn for one link; whether anything moved."""
        now = self._now()
        moved = self._read_client(link, ends, now) | self._read_server(link, ends, now)
        for direction in BOTH:
            while (data := link.ready(direction, now)) is not None:
                self._write(ends, direction, bytes(data))
                link.sent(direction, len(data), now)
                moved = True
        for what, side in link.take_orders():
            moved = True
            if side == "server" and ends.server is not None:
                ends.server.close()
            elif side == "client" and ends.client is not None:
                ends.client._closed = ends.client._leaving = True
                ends.client._reset = what == "reset"
            if what != "end" and side == "server":
                ends.server = None
            elif what != "end":
                ends.client = None
        if link.closed:
            del self._ends[link]
        return moved

    def _read_client(self, link: Link, ends: _Ends, now: float) -> bool:
        client = ends.client
        if client is None or not link.wants(TO_SERVER, now):
            return False
        if client._outgoing:
            data = bytes(client._outgoing)
            client._outgoing.clear()
            link.received(TO_SERVER, data, now)
            return True
        if client._leaving:
            link.ended(TO_SERVER, now)
            return True
        return False

    def _read_server(self, link: Link, ends: _Ends, now: float) -> bool:
        server = ends.server
        if server is None or not link.wants(TO_CLIENT, now):
            return False
        if data := server.take():
            link.received(TO_CLIENT, data, now)
            return True
        if server.closed:
            link.ended(TO_CLIENT, now)
            return True
        return False

    @staticmethod
    def _write(ends: _Ends, direction: Direction, data: bytes) -> None:
        if direction == TO_SERVER:
            if ends.server is not None:
                ends.server.send(data)
        elif ends.client is not None and not ends.client._leaving:
            ends.client._incoming += data

    def _step(self, until_ms: int) -> None:
        """Let time pass until the next thing is due, or until a time."""
        self._pump()
        now_ms = self._server.now_ms
        at = self._core.next_at(now_ms / 1000)
        if at < math.inf:
            # Rounded first: the float of a time in seconds may lie a little above its millisecond.
            until_ms = min(until_ms, math.ceil(round(at * 1000, 3)))
        due_ms = self._server.core.next_deadline_ms()
        if due_ms is not None:
            until_ms = min(until_ms, due_ms)
        self._server.advance(max(until_ms - now_ms, 1) / 1000)
        self._pump()


class _VirtualMonitor:
    """Waiting in virtual time; there is nobody to keep out."""

    def __init__(self, faults: MemoryFaults) -> None:
        self._faults = faults

    def __enter__(self) -> Literal[True]:
        return True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        pass

    def wait_for(self, predicate: Callable[[], T], timeout: float) -> T:
        faults = self._faults
        until_ms = faults._server.now_ms + round(timeout * 1000)
        faults._pump()
        while not (result := predicate()) and faults._server.now_ms < until_ms:
            faults._step(until_ms)
        return result

    def notify_all(self) -> None:
        pass
