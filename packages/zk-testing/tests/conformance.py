"""Plays the same steps to a real and to an embedded server, and compares everything that can be seen.

Rule: both begin each play in the same state, down to the zxid, so that zxids are compared as they are. Times are not
compared, but each must belong to one zxid; session ids are compared by who they are. Where a server promises no order
(children, identities, the events of one closed session), none is compared.

Never sent: opcode 13 outside a multi, and opcode 21 with flags other than 5 and 6 or a ttl below 1.
"""

from __future__ import annotations

import socket
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from zk_testing.cluster import Cluster
from zk_testing.embedded import MemoryConnection, MemoryServer, Settings
from zk_testing.rawclient import RawClient
from zk_wire import (
    ACL,
    OPEN_ACL_UNSAFE,
    CheckVersionRequest,
    CloseSessionRequest,
    ConnectRequest,
    ConnectResponse,
    CreateRequest,
    CreateTTLRequest,
    DeleteRequest,
    FrameBuffer,
    GetACLRequest,
    GetChildrenRequest,
    GetDataRequest,
    MultiRequest,
    NoNodeError,
    Record,
    ReplyHeader,
    Request,
    Stat,
    SyncRequest,
    WatcherEvent,
)

BASE = "/d"
SLOTS = 3
_PATIENCE = 20.0  # seconds


# Steps


@dataclass(frozen=True)
class Ask:
    """Send a request on a slot's connection."""

    slot: int
    request: Request[Any]
    xid: int | None = None


@dataclass(frozen=True)
class Bytes:
    """Send a frame's content that may be no request."""

    slot: int
    opcode: int
    body: bytes


@dataclass(frozen=True)
class Connect:
    """Begin a session in a slot, or resume the slot's own."""

    slot: int
    resume: bool = False
    wrong_password: bool = False
    zxid_ahead: bool = False
    timeout_ms: int = 60_000
    read_only: bool | None = False


@dataclass(frozen=True)
class Lose:
    """End a slot's connection without a word."""

    slot: int


Step = Ask | Bytes | Connect | Lose


class DifferenceError(AssertionError):
    """The two servers did not say the same."""


# The two ends


class _Line:
    """One connection: frames in, frames out."""

    def __init__(self) -> None:
        self.frames = FrameBuffer()
        self.inbox: list[bytes] = []
        self.ended = False

    def take(self) -> list[bytes]:
        taken, self.inbox = self.inbox, []
        return taken


class _RealLine(_Line):
    def __init__(self, address: str) -> None:
        super().__init__()
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), _PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, frame: bytes) -> None:
        try:
            self._socket.sendall(frame)
        except OSError:
            self.ended = True

    def read(self) -> None:
        """Take what comes next; sets `ended` at the end."""
        try:
            data = self._socket.recv(1 << 16)
        except TimeoutError:
            raise DifferenceError("the real server is silent where an answer was expected") from None
        except ConnectionError:
            data = b""
        if not data:
            self.ended = True
        self.inbox += self.frames.feed(data)

    def close(self) -> None:
        self._socket.close()
        self.ended = True


class _EmbeddedLine(_Line):
    def __init__(self, connection: MemoryConnection) -> None:
        super().__init__()
        self._connection = connection

    def send(self, frame: bytes) -> None:
        self._connection.send(frame)
        self.pull()

    def pull(self) -> None:
        self.inbox += self.frames.feed(self._connection.take())
        self.ended = self._connection.closed

    def close(self) -> None:
        self._connection.close()
        self.ended = True


@dataclass
class _Slot:
    real: _RealLine | None = None
    embedded: _EmbeddedLine | None = None
    real_session: tuple[int, bytes] = (0, bytes(16))
    embedded_session: tuple[int, bytes] = (0, bytes(16))
    xid: int = 0
    unordered: bool = False  # a session has ended since the last comparison: the order of its nodes' events is free


@dataclass
class Pair:
    """A real server and embedded ones made equal to it."""

    cluster: Cluster
    settings: Settings
    played: int = 0
    kinds: Counter[str] = field(default_factory=Counter)

    def __repr__(self) -> str:
        return f"Pair({self.cluster.version})"

    def play(self, steps: list[Step]) -> None:
        """Play steps to both; raises DifferenceError with what was said at the first difference."""
        game = _Game(self)
        try:
            for slot in range(SLOTS):
                game.step(Connect(slot))
            for step in steps:
                try:
                    game.step(step)
                except DifferenceError as error:
                    raise DifferenceError(f"{step}: {error}") from None
                self.played += 1
                self.kinds[type(step.request).__name__ if isinstance(step, Ask) else type(step).__name__] += 1
            game.compare_the_rest()
        finally:
            game.end()


class _Game:
    def __init__(self, pair: Pair) -> None:
        self._address = pair.cluster[0].address
        self._slots = [_Slot() for _ in range(SLOTS)]
        self._sessions: tuple[dict[int, int], dict[int, int]] = ({0: 0}, {0: 0})
        self._times: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._last_zxid = 0
        self._opened: list[_RealLine] = []
        self.server = MemoryServer(pair.settings)
        self._make_equal()

    # The beginning

    def _make_equal(self) -> None:
        """Empty the real server, and let the embedded one begin where that is."""
        core = self.server.core
        with RawClient(self._address, session_timeout=60) as raw:
            raw.auth("digest", b"super:test")
            for path in ("/", "/zookeeper", "/zookeeper/quota"):
                for name in raw.request(GetChildrenRequest(path, False)).children:
                    if name not in ("zookeeper", "quota", "config"):
                        _delete(raw, f"{path.rstrip('/')}/{name}")
            for path in ("/", "/zookeeper", "/zookeeper/quota"):
                data, stat = (reply := raw.request(GetDataRequest(path, False))).data, reply.stat
                assert raw.request(GetACLRequest(path)).acl == list(OPEN_ACL_UNSAFE)
                node = core.tree.nodes[path]
                node.data = data
                node.version, node.mzxid, node.mtime = stat.version, stat.mzxid, stat.mtime
                node.pzxid, node.creations = stat.pzxid, (stat.cversion + stat.num_children) // 2
            exchange = raw.send(CloseSessionRequest())
            raw.wait(exchange)
            core.last_zxid = exchange.zxid

    def end(self) -> None:
        """Close what is open; sessions too, so that the next play finds the server empty."""
        for line in self._opened:
            line.close()
        for slot in self._slots:
            if slot.real_session[0]:
                _end_session(self._address, slot.real_session)

    # One step

    def step(self, step: Step) -> None:
        slot = self._slots[step.slot]
        if isinstance(step, Connect):
            self._connect(slot, step)
            return
        real, embedded = slot.real, slot.embedded
        if real is None or embedded is None or embedded.ended:
            return
        if isinstance(step, Lose):
            self._flush(slot)
            real.close()
            embedded.close()
            slot.real = slot.embedded = None
            return
        slot.xid += 1
        if isinstance(step, Ask):
            xid = slot.xid if step.xid is None else step.xid
            _assert_harmless(step.request)
            content = step.request.payload()
            request: Request[Any] | None = step.request
        else:
            xid, request = slot.xid, None
            assert step.opcode not in (13, 21)
            content = step.opcode.to_bytes(4, "big", signed=True) + step.body
        frame = _frame(xid, content)
        real.send(frame)
        embedded.send(frame)
        opcode = int.from_bytes(content[:4], "big", signed=True)
        answer_xid = -2 if opcode == 11 else xid
        while not real.ended and not any(_xid(f) == answer_xid for f in real.inbox):
            real.read()
        if embedded.ended:
            while not real.ended:
                real.read()
        if opcode == -11:
            self._session_ended()
        self._compare(slot, request)
        if opcode == -11:
            for other in self._slots:
                self._flush(other)

    def compare_the_rest(self) -> None:
        """Compare what other connections' steps have sent to each one since its own last step."""
        for slot in self._slots:
            self._flush(slot)

    def _session_ended(self) -> None:
        for slot in self._slots:
            slot.unordered = True

    def _connect(self, slot: _Slot, step: Connect) -> None:
        for line in (slot.real, slot.embedded):
            if line is not None and not line.ended and not step.resume:
                return  # a session is left by closing it or losing its connection, not by forgetting it
        self._flush(slot)
        answers: list[ConnectResponse | None] = []
        lines: tuple[_RealLine, _EmbeddedLine] = (
            _RealLine(self._address),
            _EmbeddedLine(self.server.connect()),
        )
        self._opened.append(lines[0])
        if not step.resume and slot.real_session[0]:
            self._session_ended()
            _end_session(self._address, slot.real_session, self.server, slot.embedded_session)
        sessions = (slot.real_session, slot.embedded_session) if step.resume else ((0, bytes(16)),) * 2
        for line, (number, password) in zip(lines, sessions, strict=True):
            content = ConnectRequest(
                timeout_ms=step.timeout_ms,
                session_id=number,
                password=b"wrong" if step.wrong_password else password,
                read_only=step.read_only,
                last_zxid_seen=self._last_zxid + 1_000_000 if step.zxid_ahead else 0,
            ).encode()
            line.send(len(content).to_bytes(4, "big") + content)
        real, embedded = lines
        while not real.ended and not real.inbox:
            real.read()
        if embedded.ended:
            while not real.ended:
                real.read()
        for line in lines:
            frames = line.take()
            answers.append(ConnectResponse.decode(frames[0]) if frames else None)
        shown = [None if answer is None else (answer.timeout_ms, answer.read_only) for answer in answers]
        if shown[0] != shown[1] or real.ended != embedded.ended:
            raise DifferenceError(f"real {shown[0]}, ended {real.ended}; embedded {shown[1]}, ended {embedded.ended}")
        granted = answers[0] is not None and answers[0].timeout_ms > 0
        if step.resume and not step.zxid_ahead and slot.real is not None and slot.embedded is not None:
            while not slot.real.ended and slot.embedded.ended:
                slot.real.read()
        if not granted:
            real.close()
            return
        assert answers[0] is not None and answers[1] is not None
        slot.real_session = (answers[0].session_id, answers[0].password)
        slot.embedded_session = (answers[1].session_id, answers[1].password)
        for known, (number, _password) in zip(self._sessions, (slot.real_session, slot.embedded_session), strict=True):
            known.setdefault(number, len(known))
        slot.real, slot.embedded = real, embedded

    def _flush(self, slot: _Slot) -> None:
        """Compare the events that other connections' steps have sent to this one."""
        real, embedded = slot.real, slot.embedded
        if real is None or embedded is None:
            return
        embedded.pull()
        if embedded.ended:
            while not real.ended:
                real.read()
            self._compare(slot, None)
            return
        ping = _frame(-2, b"\0\0\0\x0b")
        real.send(ping)
        embedded.send(ping)
        while not real.ended and not any(_xid(f) == -2 for f in real.inbox):
            real.read()
        self._compare(slot, None)

    # What was said

    def _compare(self, slot: _Slot, request: Request[Any] | None) -> None:
        real, embedded = slot.real, slot.embedded
        assert real is not None and embedded is not None
        said = [self._told(0, real.take(), request), self._told(1, embedded.take(), request)]
        if slot.unordered:
            said = [sorted(what, key=repr) for what in said]
            slot.unordered = False
        if said[0] != said[1] or real.ended != embedded.ended:
            raise DifferenceError(
                "\n      real: "
                + "\n            ".join(map(repr, [*said[0], f"ended {real.ended}"]))
                + "\n  embedded: "
                + "\n            ".join(map(repr, [*said[1], f"ended {embedded.ended}"]))
            )

    def _told(self, side: int, frames: list[bytes], request: Request[Any] | None) -> list[object]:
        told: list[object] = []
        for frame in frames:
            header, pos = ReplyHeader.read(frame, 0, len(frame))
            self._last_zxid = max(self._last_zxid, header.zxid)
            head = (header.xid, header.zxid, header.err)
            if header.xid == -1 and pos < len(frame):
                told.append(("event", head, WatcherEvent.decode(frame, pos)))
            elif header.err or request is None or header.xid == -2 or pos == len(frame):
                told.append(("reply", head, frame[pos:]))
            else:
                told.append(("reply", head, self._plain(side, request.decode_response(frame, pos, len(frame)))))
        return told

    def _plain(self, side: int, value: Any) -> object:
        """A reply without times, with sessions as numbers, and with what has no order in one."""
        if isinstance(value, Stat):
            for zxid, time in ((value.czxid, value.ctime), (value.mzxid, value.mtime)):
                if self._times[side].setdefault(zxid, time) != time:
                    raise DifferenceError(f"zxid {zxid} has two times: {time} and {self._times[side][zxid]}")
            owner = value.ephemeral_owner
            return value._replace(ctime=0, mtime=0, ephemeral_owner=self._sessions[side].get(owner, owner))
        if isinstance(value, list):
            plain = [self._plain(side, item) for item in value]
            ordered = any(isinstance(item, Record) and "Result" in type(item).__name__ for item in value)
            return plain if ordered else sorted(plain, key=repr)
        if isinstance(value, Record):
            return type(value).__name__, *(self._plain(side, getattr(value, name)) for name in type(value).fields)
        if isinstance(value, ACL):
            return value
        return value


# Helpers


def _frame(xid: int, payload: bytes) -> bytes:
    content = xid.to_bytes(4, "big", signed=True) + payload
    return len(content).to_bytes(4, "big") + content


def _xid(frame: bytes) -> int:
    return int.from_bytes(frame[:4], "big", signed=True)


def _assert_harmless(request: Request[Any]) -> None:
    """Refuse to send what destroys a real server."""
    parts = request.ops if isinstance(request, MultiRequest) else [request]
    assert not isinstance(request, CheckVersionRequest)
    for part in parts:
        assert not isinstance(part, CreateTTLRequest) or (part.flags in (5, 6) and part.ttl_ms > 0)


def _delete(raw: RawClient, path: str) -> None:
    try:
        for name in raw.request(GetChildrenRequest(path, False)).children:
            _delete(raw, f"{path}/{name}")
        raw.request(DeleteRequest(path, -1))
    except NoNodeError:
        pass


def _end_session(
    address: str,
    real: tuple[int, bytes],
    server: MemoryServer | None = None,
    embedded: tuple[int, bytes] = (0, b""),
) -> None:
    """End a session whose connection is gone, on both sides."""
    try:
        with RawClient(address, session=real, session_timeout=60):
            pass
    except Exception:
        return
    if server is not None and server.core.sessions.get(embedded[0]) is not None:
        server.expire_session(embedded[0])


__all__ = [
    "BASE",
    "SLOTS",
    "Ask",
    "Bytes",
    "Connect",
    "CreateRequest",
    "DifferenceError",
    "Lose",
    "Pair",
    "Step",
    "SyncRequest",
]
