"""A session core and a scripted server back to back: what tests of the core are written with.

Rule: time stands still until `wait` moves it, and the server says only what it is told to say.

    pair = CorePair()
    pair.open()                                  # start, connect, handshake
    call = pair.submit(pair.operations.get("/a"))
    pair.reply(pair.next(GetDataRequest), GetDataResponse(b"", STAT))
    assert call.result() == (b"", STAT)
"""

from __future__ import annotations

from typing import Any, TypeVar

from zk_client._session.actions import ChangeState, Connect, Deliver, Disconnect, Log, Probe
from zk_client._session.core import SessionCore
from zk_client._session.machine import CONNECTING, SessionConfig
from zk_client.calls import Awaited, Call
from zk_client.handlers.leaving import leaves
from zk_client.hosts import HostList, parse_hosts
from zk_client.operations import Operations
from zk_client.retry import RetryPolicy
from zk_client.states import SessionState, WatchedEvent
from zk_wire import (
    CheckResult,
    CheckVersionRequest,
    ConnectReceived,
    ConnectRequest,
    ConnectResponse,
    EventType,
    GetDataResponse,
    MultiRequest,
    MultiResponse,
    ReplyHeader,
    RequestReceived,
    Response,
    ServerConnection,
    Stat,
    WatcherEvent,
)

PASSWORD = b"\0sixteen bytes \0"
SESSION = 0x1000_0000_0001
STAT = Stat(2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 2)
DATA = GetDataResponse(b"data", STAT)
NO_NODE, NODE_EXISTS, NO_AUTH, AUTH_FAILED, UNIMPLEMENTED = -101, -110, -102, -115, -6
T = TypeVar("T")


def stat(**fields: int) -> Stat:
    """A Stat of a plain node, with some fields chosen."""
    return STAT._replace(**fields)


class Sink:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[WatchedEvent] = []

    def __call__(self, event: object) -> None:
        assert isinstance(event, WatchedEvent)
        self.events.append(event)

    @property
    def kinds(self) -> list[tuple[str, str]]:
        """What happened, and where."""
        return [(event.type.name, event.path) for event in self.events]


class CorePair:
    """The core, its handler (played here), and at most one connection to a scripted server."""

    def __init__(
        self,
        hosts: str = "h1:2181",
        *,
        timeout: float = 9.0,
        resume: tuple[int, bytes] | None = None,
        chance: float = 0.5,
        **config: Any,
    ) -> None:
        listed, chroot = parse_hosts(hosts)
        config.setdefault("reconnect", RetryPolicy(delay=0.1, jitter=0.0, max_delay=5.0))
        config.setdefault("connect_timeout", 2.0)
        self.hosts = HostList(listed)
        self.core = SessionCore(
            SessionConfig(timeout=timeout, chroot=chroot, **config), self.hosts, lambda: chance, resume
        )
        self.operations = Operations(self, chroot)
        self.now = 1000.0
        self.zxid = 100
        self.server: ServerConnection | None = None
        self.hello: ConnectRequest | None = None  # of the connection at hand
        self.hellos: list[ConnectRequest] = []
        self.requests: list[RequestReceived] = []
        self.connects: list[Connect] = []
        self.reasons: list[str] = []
        self.probes: list[Probe] = []
        self.states: list[SessionState] = []
        self.logs: list[Log] = []
        self.done: list[Call[Any]] = []
        self.submitted: list[Call[Any]] = []

    # What calls ask of their owner

    def wait(self, call: Call[Any], timeout: float | None) -> None:
        """Nothing ever blocks here."""
        raise AssertionError(f"{call!r} has not ended")

    def cancel(self, call: Call[Any]) -> bool:
        """As the handler does."""
        if not self.core.withdraw(call):
            return False
        self.core.cancelled(call)
        self.settle()
        return True

    def abandon(self, call: Call[Any]) -> None:
        """As the handlers do with a call that is under way; what it left behind is the test's to look at."""
        call.to_undo = leaves(call)
        self.cancel(call)

    def undo(self, call: Call[Any]) -> None:
        """Nothing: there is nobody to do it."""

    def waiter(self, call: Call[Any]) -> Awaited:
        """Nothing is awaited here."""
        raise AssertionError(f"{call!r} is awaited")

    def call_when_done(self, call: Call[Any], function: Any) -> None:
        """Not needed here."""
        raise NotImplementedError

    # The handler's part

    def settle(self) -> None:
        """Perform what the core asks for."""
        core = self.core
        while core.actions or core.completed or core.output:
            completed, core_completed = list(core.completed), core.completed
            core_completed.clear()
            for call in completed:
                assert not call.done, f"{call!r} ended twice"
                call.done = True
                self.done.append(call)
            actions = list(core.actions)
            core.actions.clear()
            for action in actions:
                self._perform(action)
            if core.output:
                self._receive(core.take_output())

    def _perform(self, action: object) -> None:
        if isinstance(action, Connect):
            self.connects.append(action)
        elif isinstance(action, Disconnect):
            self.server = None
            self.reasons.append(action.reason)
        elif isinstance(action, ChangeState):
            self.states.append(action.state)
        elif isinstance(action, Deliver):
            action.listener(action.event)
        elif isinstance(action, Probe):
            self.probes.append(action)
        else:
            assert isinstance(action, Log)
            self.logs.append(action)

    def _receive(self, data: bytes) -> None:
        assert self.server is not None, "bytes for a connection that does not exist"
        for event in self.server.receive(data):
            if isinstance(event, ConnectReceived):
                self.hello = event.request
                self.hellos.append(event.request)
            else:
                assert isinstance(event, RequestReceived), event
                self.requests.append(event)

    def start(self) -> None:
        """Start the core, as far as the first TCP connection being asked for."""
        self.core.start(self.now)
        self.wait_for(0)

    def wait_for(self, seconds: float) -> None:
        """Let time pass; the core ticks whenever it asked to, and at the end."""
        end = self.now + seconds
        for _ in range(10_000):
            due = self.core.deadline()
            if due is None or due > end:
                break
            self.now = max(self.now, due)
            self.core.tick(self.now)
            self.settle()
            if (after := self.core.deadline()) is not None and after <= self.now and self.now >= end:
                break
        else:
            raise AssertionError("the core asks for ticks in a tight loop")
        self.now = max(self.now, end)
        self.core.tick(self.now)
        self.settle()

    def connect(self) -> None:
        """The TCP connection asked for is there."""
        self.server = ServerConnection()
        self.hello = None
        self.requests.clear()
        self.core.connected(self.now)
        self.settle()

    def refuse(self, reason: str = "connection refused") -> None:
        """The TCP connection asked for cannot be had."""
        self.core.connect_failed(self.now, reason)
        self.settle()

    def close(self, reason: str = "closed by the server") -> None:
        """The server, or the network, ends the connection."""
        self.server = None
        self.core.closed(self.now, reason)
        self.settle()

    def submit(self, call: Call[T]) -> Call[T]:
        """Hand a request to the core, and its bytes to the server."""
        self.submit_unsent(call)
        self.settle()
        return call

    def submit_unsent(self, call: Call[T]) -> Call[T]:
        """Hand a request to the core whose bytes stay where they are."""
        self.submitted.append(call)
        self.core.submit(call, self.now)
        return call

    def stop(self, *, close_session: bool = True) -> None:
        """Ask for the end."""
        self.core.stop(self.now, close_session=close_session)
        self.settle()

    # The server's part

    def send(self, *frames: bytes) -> None:
        """Frames of the server arrive in one piece."""
        self.core.received(b"".join(frames), self.now)
        self.settle()

    def grant(
        self, session_id: int = SESSION, *, timeout: float | None = None, read_only: bool = False, also: bytes = b""
    ) -> None:
        """Answer the connect request."""
        assert self.server is not None and self.hello is not None
        timeout_ms = self.hello.timeout_ms if timeout is None else int(timeout * 1000)
        self.send(self.server.accept(ConnectResponse(timeout_ms, session_id, PASSWORD, read_only)) + also)

    def gone(self) -> None:
        """Answer the connect request: the session is gone."""
        assert self.server is not None
        self.send(self.server.refuse(False))

    def reject(self, code: int = -119) -> None:
        """Answer the connect request with an error code."""
        header = ReplyHeader(0, self.zxid, code).encode()
        self.send(len(header).to_bytes(4, "big") + header)

    def open(self, session_id: int = SESSION, **options: Any) -> None:
        """From wherever an attempt is due: connect and grant a session."""
        if not self.connects and not self.states:
            self.start()
        self.connect()
        self.grant(session_id, **options)

    def reopen(self, **options: Any) -> None:
        """After a loss: wait for the next attempt, connect, and confirm the session."""
        asked = len(self.connects)
        for _ in range(100):
            if len(self.connects) > asked or self.core.phase == CONNECTING:
                break
            due = self.core.deadline()
            assert due is not None
            self.wait_for(max(0.0, due - self.now))
        self.connect()
        self.grant(**options)

    def next(self, kind: type[Any]) -> RequestReceived:
        """The oldest request not looked at yet, which must be of this kind."""
        assert self.requests, f"no request is there, but {kind.__name__} was expected"
        request = self.requests.pop(0)
        assert isinstance(request.request, kind), request
        return request

    def agree(self, **options: int) -> None:
        """Answer the transaction that lost writes are looked up behind."""
        barrier = self.next(MultiRequest)
        assert list(barrier.request.ops) == [CheckVersionRequest("/", -1)]  # type: ignore[attr-defined]
        self.reply(barrier, MultiResponse([CheckResult()]), **options)

    def kinds(self) -> list[str]:
        """What the requests not looked at yet are."""
        return [type(request.request).__name__ for request in self.requests]

    def frame(
        self, request: RequestReceived, response: Response | None = None, *, err: int = 0, zxid: int | None = None
    ) -> bytes:
        """The reply to a request; each has a higher zxid than the one before."""
        assert self.server is not None
        if zxid is None:
            self.zxid += 1
            zxid = self.zxid
        return self.server.reply(request.xid, zxid, response, err)

    def reply(self, request: RequestReceived, response: Response | None = None, **options: int) -> None:
        """Send the reply to a request."""
        self.send(self.frame(request, response, **options))

    def event(self, kind: EventType | int, path: str, zxid: int = -1) -> bytes:
        """The frame of a watch event."""
        assert self.server is not None
        return self.server.notify(WatcherEvent(kind, 3, path), zxid)

    def notify(self, kind: EventType | int, path: str) -> None:
        """Send a watch event."""
        self.send(self.event(kind, path))
