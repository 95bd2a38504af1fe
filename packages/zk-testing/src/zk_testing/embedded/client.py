"""One connection of a server, as the server sees it.

Rule: a record; what is done to it is done by the core.
"""

from __future__ import annotations

from zk_wire import Id, ServerConnection

from .sessions import Session

__all__ = ["Client"]


class Client:
    """One connection.   host, port: the peer's.   now_ms: when it was accepted.

    closed: nothing more is read from it or sent to it.
    """

    __slots__ = (
        "accepted_ms",
        "answered_ms",
        "closed",
        "heard_ms",
        "host",
        "identities",
        "last_op",
        "last_xid",
        "last_zxid",
        "muted",
        "op",
        "port",
        "received",
        "sent",
        "session",
        "wire",
    )

    def __init__(self, host: str, port: int, now_ms: int, max_frame: int) -> None:
        self.host = host
        self.port = port
        self.accepted_ms = self.heard_ms = now_ms
        self.wire = ServerConnection(max_frame=max_frame)
        self.session: Session | None = None
        self.identities: list[Id] = [Id("ip", host)]
        self.closed = False
        self.muted = False  # the socket stays open, but what comes is not read
        self.op = "NA"  # what is being answered, in the server's four letters
        self.received = self.sent = self.answered_ms = 0
        self.last_op = "null"
        self.last_xid = self.last_zxid = 0

    def reset_counts(self) -> None:
        """Begin to count anew, and forget the last answer."""
        self.received = self.sent = self.answered_ms = 0
        self.last_op = "NA"
        self.last_xid = self.last_zxid = -1

    def __repr__(self) -> str:
        session = f"session 0x{self.session.id & (1 << 64) - 1:x}" if self.session else "no session"
        return f"<connection from {self.host}:{self.port}, {session}{', closed' if self.closed else ''}>"
