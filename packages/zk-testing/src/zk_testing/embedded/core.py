"""A whole ZooKeeper server that only decides: bytes and times in, bytes for connections out.

    core = ServerCore(Settings(version="3.8"), now_ms=0)
    client = core.accept("127.0.0.1", 5000, now_ms=0)
    core.receive(client, frame, now_ms=1)     # [(client, b"..."), (another, b"..."), (client, None)]

Rule: no I/O, clock, thread or randomness. Each call returns what is to be sent, in order; None ends a connection. Time
is milliseconds since 1970 and never goes back. One call at a time.

A change is decided once (prepare.py) and then applied to the tree in one place (`_commit`), so that other servers could
follow the same history.
Source: ZooKeeperServer.java, NIOServerCnxn.java, FinalRequestProcessor.java.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from struct import Struct
from typing import TypeAlias, cast

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
    MultiReadResponse,
    MultiRequest,
    MultiResponse,
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
    UnknownRequest,
    WatcherEvent,
    encode_ustring,
)

from . import admin
from .client import Client
from .permissions import SUPER, allows, digest_of
from .prepare import Preparation, Write
from .reads import Reads
from .refusal import BrokenRequestError, RefusedError
from .results import fault_of, multi_results
from .sessions import Session, Sessions, password_of
from .settings import Settings
from .transactions import Applied, Change, CloseSession, CreateNode, DeleteNode, Failed, Nothing, Transaction, apply
from .tree import Node, Tree, TreeEvent
from .versions import profile_of
from .watches import Watches

__all__ = ["Mode", "Output", "ServerCore"]

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
)
# Opcodes that a server without a quorum refuses.
_NOT_READ_ONLY = frozenset((1, 2, 5, 7, 9, 13, 14, 15, 16, 19, 20, 21))
# Opcodes that take a zxid even when the server cannot decode them: in all versions, and before 3.9.
_ALWAYS_TAKES_ZXID = frozenset((14, int(OpCode.CREATE_SESSION)))
_TAKES_ZXID = frozenset((1, 2, 5, 7, 13, 14, 15, 19, 20, 21, int(OpCode.CREATE_SESSION)))
_WRITE_IN_MULTI_READ = re.compile(r"MultiReadRequest\.ops\[0\]: type (1|2|5|13|15|19|21) is not allowed")


class Mode(Enum):
    """Whom a server serves: everybody, only clients that accept a read-only server, or nobody."""

    SERVING = "standalone"
    READ_ONLY = "read-only"
    NOT_SERVING = "not serving"


class ServerCore:
    """One standalone server.   now_ms: the time of its start, from which session numbers are made."""

    def __init__(self, settings: Settings | None = None, *, now_ms: int) -> None:
        self.settings = settings or Settings()
        self.profile = profile_of(self.settings.version)
        self.tree = Tree()
        self.watches: Watches[Client] = Watches(self.profile.separate_watch_modes)
        self.sessions = Sessions(tick_ms=self.settings.tick_ms, start_ms=now_ms, server_id=self.settings.server_id)
        self.clients: dict[Client, None] = {}
        self.mode = Mode.SERVING
        self.last_zxid = 0  # the last one that was applied
        self._zxids_given = 0  # how many were taken since then without being applied
        self.started_ms = now_ms
        self.port = 0  # where it listens, if anywhere; `conf` tells it
        self.received = self.sent = 0
        self._rules = self.settings.rules()
        self._super_digest = self.settings.super_digest()
        never = self.settings.never_used_ms
        self._never_used_ms = self.profile.never_used_ms if never is None else never
        self._owners: dict[int, Client] = {}  # connections by session id
        self._next_check_ms = now_ms + self.settings.container_check_ms
        self._out: list[Output] = []
        self._reads = Reads(self.tree, self.watches, self.profile, self.settings.skip_acl).table()
        if not self.profile.who_am_i:
            del self._reads[OpCode.WHO_AM_I]
        self._names = {int(code): code.name for code in OpCode}

    # Connections

    def accept(self, host: str, port: int, now_ms: int) -> Client:
        """A connection was opened; the returned one is `closed` at once when its address has too many."""
        client = Client(host, port, now_ms, self.settings.max_frame)
        most = self.settings.max_client_connections
        if most and sum(other.host == host for other in self.clients) >= most:
            client.closed = True
        else:
            self.clients[client] = None
        return client

    def receive(self, client: Client, data: bytes, now_ms: int) -> list[Output]:
        """Bytes came; answer."""
        if not client.closed and not client.muted:
            for event in client.wire.receive(data):
                self._take(client, event, now_ms)
                if client.closed or client.muted:
                    break
            if client.wire.pending_error is not None:
                self._close(client)
        return self._take_output()

    def disconnected(self, client: Client) -> list[Output]:
        """The peer has closed, or the connection was lost; its session goes on."""
        self._close(client)
        self._out.pop()
        return self._take_output()

    # Time

    def tick(self, now_ms: int) -> list[Output]:
        """Do what is due: sessions, containers, TTL nodes, connections that never became sessions."""
        for session in self.sessions.overdue(now_ms):
            self._end_session(session, now_ms)
        if now_ms >= self._next_check_ms:
            self._next_check_ms = now_ms + self.settings.container_check_ms
            for path in self.tree.overdue(now_ms, self._never_used_ms):
                self._commit(DeleteNode(path), now_ms)
        for client in [c for c in self.clients if c.session is None and now_ms >= _sessionless_until(c)]:
            self._close(client)
        return self._take_output()

    def advance(self, now_ms: int, until_ms: int) -> list[Output]:
        """Let time pass, with everything that is due on the way happening at its own moment."""
        out: list[Output] = []
        while True:
            due = self.next_deadline_ms()
            if due is None or due > until_ms:
                return out + self.tick(until_ms)
            now_ms = max(now_ms, due)
            out += self.tick(now_ms)

    def next_deadline_ms(self) -> int | None:
        """When `tick` has something to do next; None while there is nothing to wait for."""
        deadlines = [_sessionless_until(client) for client in self.clients if client.session is None]
        session = self.sessions.next_deadline_ms()
        if session is not None:
            deadlines.append(session)
        if self.tree.containers or self.tree.ttls:
            deadlines.append(self._next_check_ms)
        return min(deadlines, default=None)

    # Control

    def expire_session(self, session_id: int, now_ms: int) -> list[Output]:
        """End a session as if it had been silent for too long; raises KeyError when there is none."""
        session = self.sessions.get(session_id)
        if session is None:
            raise KeyError(f"there is no session 0x{session_id & (1 << 64) - 1:x}")
        self._end_session(session, now_ms)
        return self._take_output()

    def drop_connections(self, session_id: int | None = None) -> list[Output]:
        """Close the connection of a session, or every connection; the sessions go on."""
        for client in tuple(self.clients):
            if session_id is None or (client.session is not None and client.session.id == session_id):
                self._close(client)
        return self._take_output()

    def set_mode(self, mode: Mode, now_ms: int) -> list[Output]:
        """Serve otherwise than before; all connections are closed, and read-only sessions are forgotten."""
        if mode is self.mode:
            return []
        self.mode = mode
        for session in self.sessions.all():
            if session.local:
                self.sessions.remove(session)
            else:
                self.sessions.touch(session, now_ms)
        return self.drop_connections()

    # What came in

    def _take(self, client: Client, event: ServerEvent, now_ms: int) -> None:
        if isinstance(event, RequestReceived):
            self._request(client, event.xid, event.opcode, cast("Request[object]", event.request), now_ms)
        elif isinstance(event, ConnectReceived):
            self._connect(client, event.request, now_ms)
        elif isinstance(event, MalformedRequest):
            self._malformed(client, event, now_ms)
        elif isinstance(event, UnknownRequest):
            self._count(client, event.xid, event.opcode)
            if self._is_authenticated(client, event.xid):
                self._unknown(client, event.xid)
        elif isinstance(event, AdminCommand):
            self._send(client, admin.answer(self, event.word, now_ms))
            self._close(client)

    def _connect(self, client: Client, request: ConnectRequest, now_ms: int) -> None:
        read_only = self.mode is Mode.READ_ONLY
        if (
            self.mode is Mode.NOT_SERVING
            or (read_only and not request.read_only)
            or request.last_zxid_seen > self.last_zxid
        ):
            self._close(client)
            return
        least, most = self.settings.timeout_bounds_ms()
        timeout_ms = max(least, min(request.timeout_ms, most))
        byte = None if request.read_only is None else read_only
        local_only = read_only and self.profile.read_only_needs_local_sessions
        if request.session_id == 0:
            if local_only and not self.settings.local_sessions:
                self._send(client, _framed(ReplyHeader(0, self.last_zxid, ErrorCode.NOT_READ_ONLY).encode()))
                client.muted = True
                return
            session = self.sessions.create(timeout_ms, now_ms, local=read_only)
            if not session.local:
                self._commit(Nothing(), now_ms)
        else:
            previous = self._owners.get(request.session_id)
            if previous is not None:
                self._close(previous)
            found = self.sessions.get(request.session_id)
            if found is None or request.password != password_of(found.id):
                self._send(client, client.wire.refuse(byte))
                self._close(client)
                return
            if local_only and not found.local:
                self._close(client)
                return
            session = found
            session.timeout_ms = timeout_ms
            self.sessions.touch(session, now_ms)
        client.session = session
        self._owners[session.id] = client
        client.last_op = "SESS"
        self._send(client, client.wire.accept(ConnectResponse(timeout_ms, session.id, password_of(session.id), byte)))

    def _request(self, client: Client, xid: int, opcode: int, request: Request[object], now_ms: int) -> None:
        session = client.session
        if session is None:
            raise AssertionError("a request before the session: the wire does not let it through")
        self._count(client, xid, opcode)
        if opcode == OpCode.AUTH:
            self._auth(client, xid, cast(AuthPacket, request))
            return
        if opcode == OpCode.SASL:
            self._reply(client, xid, SaslResponse(None).encode(), zxid=0)
            return
        if not self._is_authenticated(client, xid):
            return
        self.sessions.touch(session, now_ms)
        read = self._reads.get(opcode)
        try:
            if self.mode is Mode.READ_ONLY and (
                opcode in _NOT_READ_ONLY or (isinstance(request, CloseSessionRequest) and not session.local)
            ):
                raise RefusedError(ErrorCode.NOT_READ_ONLY)
            if read is not None:
                self._reply(client, xid, read(client, request))
            elif opcode == OpCode.PING:
                self._reply(client, -2)
            elif isinstance(request, MultiRequest):
                self._multi(client, xid, request, session, now_ms)
            elif isinstance(request, SetWatches | SetWatches2):
                self._set_watches(client, request)
                self._reply(client, xid)
            elif isinstance(request, CloseSessionRequest):
                self._end_session(session, now_ms, client)
                self._reply(client, xid)
                self._close(client)
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
        self._count(client, event.xid, opcode)
        refused = opcode == OpCode.DELETE_CONTAINER and self.profile.closes_on_delete_container
        if refused or opcode in (OpCode.AUTH, OpCode.SASL):
            self._close(client)
            return
        if not self._is_authenticated(client, event.xid):
            return
        session = client.session
        if session is not None:
            self.sessions.touch(session, now_ms)
        if opcode == OpCode.WHO_AM_I and opcode not in self._reads:
            self._unknown(client, event.xid)
            return
        # A null path can be decoded, but nothing can be done with it; that is found out later.
        null_path = opcode == OpCode.DELETE and event.reason.startswith("DeleteRequest.path: null")
        if null_path or opcode in (_ALWAYS_TAKES_ZXID, _TAKES_ZXID)[self.profile.garbage_takes_zxid]:
            self._commit(Failed(ErrorCode.MARSHALLING_ERROR), now_ms)
        body = MultiReadResponse([]).encode() if _WRITE_IN_MULTI_READ.match(event.reason) else b""
        self._reply(client, event.xid, body, err=ErrorCode.MARSHALLING_ERROR)

    # Requests

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
        client.identities += [identity for identity in found if identity not in client.identities]
        self._reply(client, xid, zxid=0)

    def _is_authenticated(self, client: Client, xid: int) -> bool:
        required = self.settings.auth_required
        if not required or any(identity.scheme in required for identity in client.identities):
            return True
        self._reply(client, xid, err=ErrorCode.SESSION_CLOSED_REQUIRE_AUTH, zxid=0)
        self._close(client)
        return False

    def _write(self, client: Client, xid: int, request: Write, session: Session, now_ms: int) -> None:
        change = Preparation(self.tree, self._rules, session.id, client.identities).single(request)
        applied = self._commit(change, now_ms)
        if isinstance(change, Failed):
            raise RefusedError(change.code)
        if isinstance(request, CheckVersionRequest):
            return  # until 3.8.4 and 3.9.2 a check that holds is never answered
        body = applied.stat
        if isinstance(change, CreateNode):
            path = encode_ustring(change.path)
            body = path if isinstance(request, CreateRequest) else path + body
        self._reply(client, xid, body)

    def _multi(self, client: Client, xid: int, request: MultiRequest, session: Session, now_ms: int) -> None:
        fault = fault_of(request.ops, self.profile)
        if fault is not None:
            if fault.applies_zxid:
                self._commit(Failed(ErrorCode.MARSHALLING_ERROR), now_ms)
            else:
                self._zxids_given += fault.skips_zxid
            body = MultiResponse([]).encode() if fault.with_body else b""
            self._reply(client, xid, body, err=ErrorCode.MARSHALLING_ERROR)
            return
        try:
            changes = Preparation(self.tree, self._rules, session.id, client.identities).multi(request.ops)
        except BrokenRequestError:
            self._commit(Failed(ErrorCode.MARSHALLING_ERROR), now_ms)
            raise RefusedError(ErrorCode.MARSHALLING_ERROR) from None
        applied = self._commit_all(changes, now_ms)
        self._reply(client, xid, MultiResponse(multi_results(request.ops, applied)).encode())

    def _set_watches(self, client: Client, request: SetWatches | SetWatches2) -> None:
        nodes, watches, since = self.tree.nodes, self.watches, request.relative_zxid
        filtered = self.profile.filters_catch_up and not self.settings.skip_acl

        def catch_up(kind: EventType, path: str, node: Node) -> None:
            if not filtered or allows(node.acl, 1, client.identities):
                self._notify(client, kind, path)

        for path in request.data_watches:
            node = nodes.get(path)
            if node is None:
                self._notify(client, EventType.DELETED, path)
            elif node.mzxid > since:
                catch_up(EventType.CHANGED, path, node)
            else:
                watches.data.add(path, client)
        for path in request.exist_watches:
            node = nodes.get(path)
            if node is not None:
                catch_up(EventType.CREATED, path, node)
            else:
                watches.data.add(path, client)
        for path in request.child_watches:
            node = nodes.get(path)
            if node is None:
                self._notify(client, EventType.DELETED, path)
            elif node.pzxid > since:
                catch_up(EventType.CHILD, path, node)
            else:
                watches.child.add(path, client)
        if isinstance(request, SetWatches2):
            for path in request.persistent_watches:
                watches.add_lasting(path, client, recursive=False)
            for path in request.persistent_recursive_watches:
                watches.add_lasting(path, client, recursive=True)

    # The history

    def _commit(self, change: Change, now_ms: int) -> Applied:
        return self._commit_all((change,), now_ms)[0]

    def _commit_all(self, changes: tuple[Change, ...], now_ms: int) -> list[Applied]:
        """Give changes the next zxid, apply them, and tell whoever watches."""
        self.last_zxid += 1 + self._zxids_given
        self._zxids_given = 0
        applied = apply(self.tree, Transaction(self.last_zxid, now_ms, changes))
        for result in applied:
            if result.events:
                self._tell(result.events)
        return applied

    def _tell(self, events: Sequence[TreeEvent]) -> None:
        zxid = self.last_zxid if self.profile.event_zxids else -1
        filtered = self.profile.filters_events and not self.settings.skip_acl
        for kind, path, acl in events:
            for client in self.watches.trigger(kind, path):
                if not filtered or allows(acl, 1, client.identities):
                    self._notify(client, kind, path, zxid)

    def _end_session(self, session: Session, now_ms: int, closing: Client | None = None) -> None:
        """closing: the connection that asked for it, which is still to be answered."""
        if session.local:
            self.sessions.remove(session)
        else:
            self._commit(CloseSession(session.id), now_ms)
            self.sessions.remove(session)
        owner = self._owners.get(session.id)
        if owner is not None and owner is not closing:
            self._close(owner)

    # What goes out

    def _reply(self, client: Client, xid: int, body: bytes = b"", *, err: int = 0, zxid: int | None = None) -> None:
        last = self.last_zxid if zxid is None else zxid
        client.last_zxid = last
        self._send(client, _HEAD.pack(16 + len(body), xid, last, err) + body)

    def _unknown(self, client: Client, xid: int) -> None:
        self._reply(client, xid, err=ErrorCode.UNIMPLEMENTED, zxid=-1)
        self._close(client)

    def _notify(self, client: Client, kind: EventType, path: str, zxid: int = -1) -> None:
        self._send(client, client.wire.notify(WatcherEvent(kind, KeeperState.SYNC_CONNECTED, path), zxid))

    def _send(self, client: Client, data: bytes) -> None:
        client.sent += 1
        self.sent += 1
        self._out.append((client, data))

    def _close(self, client: Client) -> None:
        if not client.closed:
            client.closed = True
            self.clients.pop(client, None)
            self.watches.forget(client)
            session = client.session
            if session is not None and self._owners.get(session.id) is client:
                del self._owners[session.id]
        self._out.append((client, None))

    def _count(self, client: Client, xid: int, opcode: int) -> None:
        client.received += 1
        self.received += 1
        client.last_xid = xid
        client.last_op = self._names.get(opcode, "NA")

    def _take_output(self) -> list[Output]:
        out = self._out
        self._out = []
        return out


def _sessionless_until(client: Client) -> int:
    return ((client.accepted_ms + _SESSIONLESS_MS) // _SESSIONLESS_MS + 1) * _SESSIONLESS_MS


def _framed(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content
