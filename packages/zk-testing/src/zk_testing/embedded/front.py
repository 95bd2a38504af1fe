"""What every server does with its connections, standalone or in an ensemble: reads them, answers reads, tells events.

Rule: no I/O, clock, thread or randomness. What a server has to agree on with others (sessions and writes) is left to
the class that inherits: `_connect`, `_touch`, `_write`, `_refuse_malformed`, `_end_of_session`.

Source: NIOServerCnxn.java, FinalRequestProcessor.java.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from enum import Enum
from struct import Struct
from typing import Protocol, TypeAlias, cast

from zk_wire import (
    AdminCommand,
    AuthPacket,
    CheckVersionRequest,
    CloseSessionRequest,
    ConnectReceived,
    ConnectRequest,
    ConnectResponse,
    Create2Request,
    CreateContainerRequest,
    CreateRequest,
    CreateTTLRequest,
    DeleteContainerRequest,
    DeleteRequest,
    ErrorCode,
    EventType,
    Id,
    KeeperState,
    MalformedRequest,
    MultiRequest,
    OpCode,
    ReconfigRequest,
    ReplyHeader,
    Request,
    RequestReceived,
    SaslResponse,
    ServerEvent,
    SetACLRequest,
    SetDataRequest,
    SetWatches,
    SetWatches2,
    SyncRequest,
    UnknownRequest,
    WatcherEvent,
)

from . import admin
from .client import Client
from .permissions import SUPER, allows, digest_of, in_order
from .prepare import Write
from .reads import Reads
from .rearm import rearm
from .refusal import RefusedError
from .sessions import Session, password_of
from .settings import Settings
from .tree import Node, Tree, TreeEvent
from .versions import profile_of
from .watches import Watches

__all__ = ["Endpoint", "Front", "Mode", "Output"]

Output: TypeAlias = tuple[Client, bytes | None]

_HEAD = Struct(">iiqi")  # length, xid, zxid, err
_SESSIONLESS_MS = 10_000  # a connection without a session ends after one to two of these
_WRITES = (
    CreateRequest,
    Create2Request,
    CreateContainerRequest,
    CreateTTLRequest,
    DeleteRequest,
    SetDataRequest,
    SetACLRequest,
    CheckVersionRequest,
    DeleteContainerRequest,
    ReconfigRequest,
    MultiRequest,
)
_DONE_UNHEARD = (
    CreateRequest,
    Create2Request,
    CreateTTLRequest,
    DeleteRequest,
    SetDataRequest,
    SetACLRequest,
    MultiRequest,
)
# Opcodes that a server without a quorum refuses.
_NOT_READ_ONLY = frozenset((1, 2, 5, 7, 9, 13, 14, 15, 16, 19, 20, 21))


# What `cons` calls the last operation of a connection.
_LETTERS = {
    1: "CREA", 2: "DELE", 3: "EXIS", 4: "GETD", 5: "SETD", 6: "GETA", 7: "SETA", 8: "GETC", 9: "SYNC", 11: "PING",
    12: "GETC", 13: "CHEC", 14: "MULT", 15: "CREA", 16: "RECO", 17: "CHKW", 18: "REMW", 19: "CREA", 20: "DELC",
    21: "CREA", 22: "MLTR", 101: "SETW", 103: "GETE", 104: "GETACN", 105: "STW2", 106: "ADDW", 107: "HOMI", -11: "CLOS",
}  # fmt: skip
_NO_LETTERS = frozenset("CREA DELE SETD SETA CHEC MULT RECO DELC".split())  # those of a write that was refused


class Mode(Enum):
    """Whom a server serves: everybody, only clients that accept a read-only server, or nobody."""

    SERVING = "standalone"
    READ_ONLY = "read-only"
    NOT_SERVING = "not serving"


class Endpoint(Protocol):
    """A server that connections are made to."""

    def accept(self, host: str, port: int, now_ms: int) -> Client:
        """A connection was opened."""
        ...

    def receive(self, client: Client, data: bytes, now_ms: int) -> list[Output]:
        """Bytes came."""
        ...

    def disconnected(self, client: Client) -> list[Output]:
        """The peer has closed."""
        ...


class Front:
    """The connections of one server, its tree, and who watches it.   now_ms: the time of its start."""

    def __init__(self, settings: Settings, now_ms: int) -> None:
        self.settings = settings
        self.profile = profile_of(settings.version)
        self.tree = Tree()
        self.watches: Watches[Client] = Watches(self.profile.separate_watch_modes)
        self.clients: dict[Client, None] = {}
        self.mode = Mode.SERVING
        self.last_zxid = 0  # the last one that was applied
        self.started_ms = now_ms
        self.number = 0  # in the ensemble, if it has any
        self.port = 0  # where it listens, if anywhere; `conf` tells it
        self.received = self.sent = 0
        self.trace_mask = 306  # the server's default; nothing is traced
        self._reads_at_once = False  # whether a read can be answered without looking at anything else
        self._rules = settings.rules()
        self._super_digest = settings.super_digest()
        self._owners: dict[int, Client] = {}  # connections by session id
        self._sessionless: dict[Client, None] = {}  # in the order of their coming, so of their deadlines
        self._by_host: dict[str, int] = {}  # how many connections each address has
        self._out: list[Output] = []
        self._read_tree()

    @property
    def role(self) -> str:
        """What `srvr` calls it: "standalone", or where it serves only some, "read-only" or "not serving"."""
        return self.mode.value

    def session_deadlines(self) -> dict[int, list[int]]:
        """The ids of the living sessions by the time at which they end, in ms; as far as this server knows it."""
        raise NotImplementedError

    def session_count(self) -> int:
        """How many sessions live."""
        raise NotImplementedError

    def describe(self) -> dict[str, list[str]]:
        """Further lines of the answers to `srvr`, `conf`, `mntr` and `dump`, by word."""
        return {}

    # Connections

    def accept(self, host: str, port: int, now_ms: int) -> Client:
        """A connection was opened; the returned one is `closed` at once when its address has too many."""
        client = Client(host, port, now_ms, self.settings.max_frame)
        most = self.settings.max_client_connections
        others = self._by_host.get(host, 0)
        if most and others >= most:
            client.closed = True
        else:
            self._by_host[host] = others + 1
            self.clients[client] = None
            self._sessionless[client] = None
        return client

    def receive(self, client: Client, data: bytes, now_ms: int) -> list[Output]:
        """Bytes came; answer."""
        if not client.closed and not client.muted:
            self._read(client, data, now_ms)
        return self._take_output()

    def _read_on(self, client: Client, events: Sequence[ServerEvent], now_ms: int) -> None:
        """When a server closes for an unknown request, it has read the next one, and does it without an answer."""
        for event in events[:1]:
            request = event.request if isinstance(event, RequestReceived) else None
            if isinstance(request, _DONE_UNHEARD) and client.session is not None and self.mode is Mode.SERVING:
                with suppress(RefusedError):
                    self._write(client, 0, request, client.session, now_ms)

    def disconnected(self, client: Client) -> list[Output]:
        """The peer has closed, or the connection was lost; its session goes on."""
        self._close(client)
        self._out.pop()
        return self._take_output()

    def drop_connections(self, session_id: int | None = None) -> list[Output]:
        """Close the connection of a session, or every connection; the sessions go on."""
        for client in tuple(self.clients):
            if session_id is None or (client.session is not None and client.session.id == session_id):
                self._close(client)
        return self._take_output()

    def _next_sessionless_ms(self) -> int | None:
        """When the oldest connection without a session ends."""
        for client in self._sessionless:
            return ((client.accepted_ms + _SESSIONLESS_MS) // _SESSIONLESS_MS + 1) * _SESSIONLESS_MS
        return None

    def _sweep_sessionless(self, now_ms: int) -> None:
        while (due := self._next_sessionless_ms()) is not None and due <= now_ms:
            self._close(next(iter(self._sessionless)))

    # What is left to the servers

    def _connect(self, client: Client, request: ConnectRequest, now_ms: int) -> None:
        """Grant a session, or refuse one."""
        raise NotImplementedError

    def _touch(self, session: Session, now_ms: int) -> None:
        """A session was heard of."""
        raise NotImplementedError

    def _write(self, client: Client, xid: int, request: Write | MultiRequest, session: Session, now_ms: int) -> None:
        """Do a write and answer it."""
        raise NotImplementedError

    def _sync(self, client: Client, xid: int, request: SyncRequest, session: Session, now_ms: int) -> None:
        """Answer when this server knows what the leader knows."""
        raise NotImplementedError

    def _refuse_malformed(self, client: Client, event: MalformedRequest, now_ms: int) -> None:
        """Answer a request that cannot be decoded."""
        raise NotImplementedError

    def _end_of_session(self, client: Client, xid: int, session: Session, now_ms: int) -> None:
        """A client ends its session."""
        raise NotImplementedError

    # What came in

    def _read(self, client: Client, data: bytes, now_ms: int) -> None:
        client.heard_ms = now_ms
        self._take_all(client, client.wire.receive(data), now_ms)
        if client.wire.pending_error is not None:
            self._close(client)

    def _take_all(self, client: Client, events: Sequence[ServerEvent], now_ms: int) -> None:
        for index, event in enumerate(events):
            if isinstance(event, RequestReceived):
                self._request(client, event.xid, event.opcode, cast("Request[object]", event.request), now_ms)
            else:
                self._take(client, event, now_ms)
            if client.closed or client.muted:
                if isinstance(event, UnknownRequest):
                    self._read_on(client, events[index + 1 :], now_ms)
                return

    def _take(self, client: Client, event: ServerEvent, now_ms: int) -> None:
        if isinstance(event, ConnectReceived):
            self._count(client, int(OpCode.CREATE_SESSION))
            self._connect(client, event.request, now_ms)
        elif isinstance(event, MalformedRequest):
            self._malformed(client, event, now_ms)
        elif isinstance(event, UnknownRequest):
            self._count(client, event.opcode)
            if self._is_authenticated(client, event.xid):
                self._unknown(client, event.xid)
        elif isinstance(event, AdminCommand):
            self._count(client, 0)
            self._send(client, admin.answer(self, client, event.word, event.argument, now_ms))
            self._close(client)

    def _request(self, client: Client, xid: int, opcode: int, request: Request[object], now_ms: int) -> None:
        session = client.session
        if session is None:
            raise AssertionError("a request before the session: the wire does not let it through")
        self._count(client, opcode)
        read = self._reads.get(opcode)
        if read is not None and self._reads_at_once:
            # The short way for what there is most of; `_serve` does the same.
            self._touch(session, now_ms)
            try:
                self._reply(client, xid, read(client, request))
            except RefusedError as refusal:
                self._reply(client, xid, err=refusal.code)
        elif opcode == OpCode.AUTH:
            self._auth(client, xid, cast(AuthPacket, request))
        elif opcode == OpCode.SASL:
            self._reply(client, xid, SaslResponse(None).encode(), zxid=0)
        elif self._is_authenticated(client, xid):
            self._touch(session, now_ms)
            self._serve(client, xid, opcode, request, session, now_ms)

    def _serve(
        self, client: Client, xid: int, opcode: int, request: Request[object], session: Session, now_ms: int
    ) -> None:
        read = self._reads.get(opcode)
        try:
            if self.mode is Mode.READ_ONLY and (
                opcode in _NOT_READ_ONLY
                or (
                    isinstance(request, CloseSessionRequest)
                    and not session.local
                    and self.profile.read_only_needs_local_sessions
                )
            ):
                raise RefusedError(ErrorCode.NOT_READ_ONLY)
            if read is not None:
                self._reply(client, xid, read(client, request))
            elif isinstance(request, SyncRequest):
                self._sync(client, xid, request, session, now_ms)
            elif opcode == OpCode.PING:
                self._reply(client, -2)
                client.last_xid = xid if xid >= 0 else client.last_xid
            elif isinstance(request, SetWatches | SetWatches2):
                self._set_watches(client, request)
                self._reply(client, xid)
            elif isinstance(request, CloseSessionRequest):
                self._end_of_session(client, xid, session, now_ms)
            elif opcode == OpCode.DELETE_CONTAINER and self.profile.closes_on_delete_container:
                self._close(client)
            elif isinstance(request, CheckVersionRequest) and self.profile.refuses_plain_check:
                self._unknown(client, xid)
            elif isinstance(request, _WRITES):
                self._write(client, xid, request, session, now_ms)
            else:
                self._unknown(client, xid)
        except RefusedError as refusal:
            self._reply(client, xid, err=refusal.code)

    def _malformed(self, client: Client, event: MalformedRequest, now_ms: int) -> None:
        opcode = event.opcode
        self._count(client, opcode)
        if opcode in (OpCode.AUTH, OpCode.SASL):
            self._close(client)
        elif self._is_authenticated(client, event.xid):
            if client.session is not None:
                self._touch(client.session, now_ms)
            if opcode == OpCode.DELETE_CONTAINER and self.profile.closes_on_delete_container:
                self._close(client)
            elif opcode == OpCode.WHO_AM_I and opcode not in self._reads:
                self._unknown(client, event.xid)
            else:
                self._refuse_malformed(client, event, now_ms)

    # Who it is

    def _auth(self, client: Client, xid: int, packet: AuthPacket) -> None:
        found: list[Id] | None = None
        if packet.scheme == "ip":
            found = [Id("ip", client.host)]
        elif packet.scheme == "digest" and packet.auth is not None:
            digest = digest_of(packet.auth)
            found = ([SUPER] if digest == self._super_digest else []) + [Id("digest", digest)]
        if found is None:
            self._reply(client, xid, err=ErrorCode.AUTH_FAILED, zxid=0)
            self._close(client)
            return
        client.identities = in_order(client.identities + found)
        self._reply(client, xid, zxid=0)

    def _is_authenticated(self, client: Client, xid: int) -> bool:
        required = self.settings.auth_required
        if not required or any(identity.scheme in required for identity in client.identities):
            return True
        self._reply(client, xid, err=ErrorCode.SESSION_CLOSED_REQUIRE_AUTH, zxid=0)
        self._close(client)
        return False

    # Sessions, as connections see them

    def _negotiated_ms(self, request: ConnectRequest) -> int:
        least, most = self.settings.timeout_bounds_ms()
        return max(least, min(request.timeout_ms, most))

    def _grant(self, client: Client, session: Session, request: ConnectRequest) -> None:
        """The connection has its session; say so."""
        client.session = session
        self._sessionless.pop(client, None)
        self._owners[session.id] = client
        if request.session_id == 0:  # a resumed session is no transaction, and `cons` knows of none
            client.last_op, client.last_xid, client.last_zxid = "SESS", 0, self.last_zxid
        response = ConnectResponse(session.timeout_ms, session.id, password_of(session.id), self._byte(request))
        self._send(client, client.wire.accept(response))

    def _refuse(self, client: Client, request: ConnectRequest) -> None:
        """There is no such session, or not with this password."""
        self._send(client, client.wire.refuse(self._byte(request)))
        self._close(client)

    def _mute(self, client: Client) -> None:
        """A read-only server that grants no session: an answer that is none, and then silence."""
        self._send(client, _framed(ReplyHeader(0, self.last_zxid, ErrorCode.NOT_READ_ONLY).encode()))
        client.muted = True

    def _byte(self, request: ConnectRequest) -> bool | None:
        """The last byte of the answer, for clients that sent one."""
        return None if request.read_only is None else self.mode is Mode.READ_ONLY

    # Watches

    def _set_watches(self, client: Client, request: SetWatches | SetWatches2) -> None:
        filtered = self.profile.filters_catch_up and not self.settings.skip_acl

        def tell(kind: EventType, path: str, node: Node | None) -> None:
            if node is None or not filtered or allows(node.acl, 1, client.identities):
                self._notify(client, kind, path)

        rearm(self.tree, self.watches, client, request, tell)

    def _tell(self, events: Sequence[TreeEvent], zxid: int) -> None:
        """Tell events to whoever watches.   zxid: of their transaction."""
        shown = zxid if self.profile.event_zxids else -1
        filtered = self.profile.filters_events and not self.settings.skip_acl
        for kind, path, acl in events:
            for client in self.watches.trigger(kind, path):
                if not filtered or allows(acl, 1, client.identities):
                    self._notify(client, kind, path, shown)

    def _read_tree(self) -> None:
        """Read from the tree that is there now."""
        self._reads = Reads(self.tree, self.watches, self.profile, self.settings.skip_acl).table()
        if not self.profile.who_am_i:
            del self._reads[OpCode.WHO_AM_I]

    # What goes out

    def _reply(self, client: Client, xid: int, body: bytes = b"", *, err: int = 0, zxid: int | None = None) -> None:
        last = self.last_zxid if zxid is None else zxid
        if zxid is None:  # otherwise it is answered by what reads the network, which keeps no record of it
            client.last_op = "NA" if err and client.op in _NO_LETTERS else client.op
            client.last_zxid, client.answered_ms = last, client.heard_ms
            if xid >= 0:
                client.last_xid = xid
        if not client.closed:
            client.sent += 1
            self.sent += 1
            self._out.append((client, _HEAD.pack(16 + len(body), xid, last, err) + body))

    def _unknown(self, client: Client, xid: int) -> None:
        self._reply(client, xid, err=ErrorCode.UNIMPLEMENTED, zxid=-1)
        self._close(client)

    def _notify(self, client: Client, kind: EventType, path: str, zxid: int = -1) -> None:
        self._send(client, client.wire.notify(WatcherEvent(kind, KeeperState.SYNC_CONNECTED, path), zxid))

    def _send(self, client: Client, data: bytes) -> None:
        if client.closed:
            return
        client.sent += 1
        self.sent += 1
        self._out.append((client, data))

    def _close(self, client: Client) -> None:
        if not client.closed:
            client.closed = True
            if client in self.clients:
                del self.clients[client]
                self._by_host[client.host] -= 1
                if not self._by_host[client.host]:
                    del self._by_host[client.host]
            self._sessionless.pop(client, None)
            self.watches.forget(client)
            session = client.session
            if session is not None and self._owners.get(session.id) is client:
                del self._owners[session.id]
        self._out.append((client, None))

    def _count(self, client: Client, opcode: int) -> None:
        client.received += 1
        self.received += 1
        client.op = _LETTERS.get(opcode, "NA")

    def _take_output(self) -> list[Output]:
        out = self._out
        self._out = []
        return out


def _framed(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content
