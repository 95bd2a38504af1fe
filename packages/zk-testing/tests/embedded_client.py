"""A client of a server in memory, for tests: what is asked is answered before the call returns."""

from __future__ import annotations

from typing import Any, TypeVar

from zk_testing.embedded import MemoryServer, Settings
from zk_wire import (
    ACL,
    OPEN_ACL_UNSAFE,
    AuthPacket,
    ClientConnection,
    CloseSessionRequest,
    Connected,
    ConnectRequest,
    ConnectResponse,
    Create2Request,
    CreateRequest,
    Event,
    EventType,
    Exchange,
    ExistsRequest,
    FrameBuffer,
    Notification,
    Op,
    Request,
    SetDataRequest,
    Stat,
)

R = TypeVar("R")
OPEN = list(OPEN_ACL_UNSAFE)
ALL_VERSIONS = ["3.6", "3.7", "3.8.4", "3.8", "3.9.5", "3.9", "3.10"]


class RefusedError(Exception):
    """The server answered with an error code."""

    def __init__(self, code: int) -> None:
        super().__init__(str(code))
        self.code = code


def server_of(version: str = "3.9", **settings: Any) -> MemoryServer:
    return MemoryServer(Settings(version=version, **settings))


class Talker:
    """One connection with a session."""

    def __init__(
        self,
        server: MemoryServer,
        session: tuple[int, bytes] = (0, bytes(16)),
        *,
        timeout_ms: int = 10_000,
        last_zxid: int = 0,
        read_only: bool = False,
        host: str = "127.0.0.1",
    ) -> None:
        self.server = server
        self.line = server.connect(host)
        self.wire = ClientConnection()
        self.events: list[Event] = []
        self.session = session
        self.timeout_ms = 0
        self.order: list[object] = []  # replies and notifications as they came
        request = ConnectRequest(last_zxid, timeout_ms, session[0], session[1], read_only)
        self.line.send(self.wire.connect(request))
        self._pump()
        for event in self.events:
            if isinstance(event, Connected):
                self.session = (event.session_id, event.password)
                self.timeout_ms = event.timeout_ms

    @property
    def closed(self) -> bool:
        self._pump()
        return self.line.closed

    @property
    def connected(self) -> bool:
        return any(isinstance(event, Connected) for event in self.events)

    def _pump(self) -> None:
        data = self.line.take()
        if data:
            events = self.wire.receive(data)
            assert self.wire.pending_error is None, self.wire.pending_error
            self.events += events
            self.order += events

    def exchange(self, request: Request[R]) -> Exchange[R]:
        exchange = Exchange.of(request)
        self.line.send(self.wire.send(exchange))
        self._pump()
        return exchange

    def ask(self, request: Request[R]) -> R:
        exchange = self.exchange(request)
        if exchange.error:
            raise RefusedError(exchange.error)
        assert exchange.reply is not None, f"no answer to {exchange!r}"
        return exchange.reply

    def code(self, request: Request[Any]) -> int:
        """The error code of the answer."""
        exchange = self.exchange(request)
        assert exchange.zxid or exchange.error or exchange.reply is not None, f"no answer to {exchange!r}"
        return exchange.error

    def raw(self, opcode: int, body: bytes = b"", xid: int = 77) -> list[tuple[int, int, int, bytes]]:
        """Send a frame that may be no request; return (xid, zxid, error, body) of what came."""
        content = xid.to_bytes(4, "big", signed=True) + opcode.to_bytes(4, "big", signed=True) + body
        self._pump()
        self.line.send(len(content).to_bytes(4, "big") + content)
        found: list[tuple[int, int, int, bytes]] = []
        for frame in FrameBuffer().feed(self.line.take()):
            number, zxid, code = (
                int.from_bytes(frame[a:b], "big", signed=True) for a, b in ((0, 4), (4, 12), (12, 16))
            )
            found.append((number, zxid, code, frame[16:]))
        return found

    def auth(self, scheme: str, credential: bytes | None) -> int:
        exchange = Exchange.of(AuthPacket(scheme, credential))
        self.line.send(self.wire.send_auth(exchange))
        self._pump()
        return exchange.error

    def create(self, path: str, data: bytes | None = b"", flags: int = 0, acl: list[ACL] | None = OPEN) -> str:
        return self.ask(CreateRequest(path, data, acl, flags)).path

    def create2(self, path: str, flags: int = 0) -> Stat:
        return self.ask(Create2Request(path, b"", OPEN, flags)).stat

    def set(self, path: str, data: bytes = b"new", version: int = -1) -> Stat:
        return self.ask(SetDataRequest(path, data, version)).stat

    def heard(self) -> list[tuple[EventType, str]]:
        """The watch events since the last call."""
        self._pump()
        found = [(EventType(e.type), e.path) for e in self.events if isinstance(e, Notification)]
        self.events = [e for e in self.events if not isinstance(e, Notification)]
        return found

    def zxids_heard(self) -> list[int]:
        self._pump()
        found = [e.zxid for e in self.events if isinstance(e, Notification)]
        self.events = [e for e in self.events if not isinstance(e, Notification)]
        return found

    def close_session(self) -> None:
        self.ask(CloseSessionRequest())

    def lose(self) -> None:
        self.line.close()


def connect_raw(server: MemoryServer, content: bytes) -> tuple[ConnectResponse | None, int, bool]:
    """Send a first frame; return (answer, its length, whether the connection was closed)."""
    line = server.connect()
    line.send(len(content).to_bytes(4, "big") + content)
    answer = line.take()
    return (ConnectResponse.decode(answer[4:]) if len(answer) > 20 else None), len(answer), line.closed


def one(version: str = "3.9", **settings: Any) -> Talker:
    """The only client of a server of its own."""
    return Talker(server_of(version, **settings))


def stat_of(talker: Talker, path: str) -> Stat:
    return talker.ask(ExistsRequest(path, False)).stat


__all__ = ["ALL_VERSIONS", "OPEN", "Op", "RefusedError", "Talker", "connect_raw", "one", "server_of", "stat_of"]
