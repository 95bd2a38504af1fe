"""The records that open a connection, and the headers before all others.

Rule: the connect records have no header; every other frame starts with RequestHeader or ReplyHeader.

Both connect records end in a read-only byte that old peers (before 3.4) leave out; None says it
is not there.  Source: zookeeper.jute, ProtocolManager.java.
"""

from __future__ import annotations

from .primitives import REQUEST_CODECS, Boolean, Buffer, Int, Long, TrailingBoolean
from .record import Record


class ConnectRequest(Record):
    """The first frame a client sends.

    timeout_ms: the session timeout asked for.   session_id: 0 for a new session.
    password: the 16 bytes of the session's ConnectResponse, zeros for a new one.
    read_only: whether a read-only server will do; None leaves the byte out.
    """

    _codecs = REQUEST_CODECS
    _ignores_trailing = True
    _secret = ("password",)
    _wire_order = ("protocol_version", "last_zxid_seen", "timeout_ms", "session_id", "password", "read_only")

    last_zxid_seen: Long = 0
    timeout_ms: Int = 0
    session_id: Long = 0
    password: Buffer | None = bytes(16)
    read_only: TrailingBoolean | None = None
    protocol_version: Int = 0


class ConnectResponse(Record):
    """The first frame a server sends; a timeout_ms of 0 or less says that the session is gone."""

    _secret = ("password",)
    _wire_order = ("protocol_version", "timeout_ms", "session_id", "password", "read_only")

    timeout_ms: Int
    session_id: Long
    password: Buffer
    read_only: TrailingBoolean | None
    protocol_version: Int = 0


class RequestHeader(Record):
    """What precedes a request: its number, and the opcode."""

    _ignores_trailing = True

    xid: Int
    type: Int


class ReplyHeader(Record):
    """What precedes a reply: the request's number, the server's last zxid, the error code (0 is none)."""

    xid: Int
    zxid: Long
    err: Int


class MultiHeader(Record):
    """What precedes each operation and each result of a multi; the last one has done set."""

    type: Int
    done: Boolean
    err: Int
