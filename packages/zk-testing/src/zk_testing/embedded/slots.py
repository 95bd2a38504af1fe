"""Requests that wait: for the leader's word, for being applied here, or for the one in front of them.

Rule: a record; the member fills and answers it.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from zk_wire import ConnectRequest, Id, MalformedRequest, Request, ServerEvent

from .decisions import Decision
from .sessions import Session

if TYPE_CHECKING:
    from .client import Client
    from .member import Member

__all__ = ["Kind", "Slot"]


class Kind(Enum):
    """What is asked."""

    WRITE = auto()
    MALFORMED = auto()  # a write that cannot be decoded, and takes a zxid all the same
    CLOSE = auto()  # the end of a session
    SYNC = auto()
    NEW_SESSION = auto()
    RESUME = auto()  # a session that begins a new connection
    UPGRADE = auto()  # a local session becomes one of all members; nobody is answered
    LOCAL = auto()  # nothing is asked of the leader; it only waits for its turn


class Slot:
    """One request.   identities: of its connection when it was sent.

    zxid: of the transaction it came to; 0 is none yet.   after: for sync, how long the log was when the leader saw it.
    done: what it waited for has happened.   body: of the answer; None is no answer.   moved: the session belongs to
    another member by now.
    """

    __slots__ = (
        "after",
        "body",
        "client",
        "decision",
        "done",
        "held",
        "identities",
        "kind",
        "member",
        "moved",
        "opcode",
        "request",
        "session",
        "timeout_ms",
        "valid",
        "xid",
        "zxid",
    )

    def __init__(
        self,
        kind: Kind,
        member: Member,
        client: Client | None,
        session: Session,
        *,
        xid: int = 0,
        opcode: int = 0,
        request: Request[object] | MalformedRequest | ConnectRequest | None = None,
        identities: tuple[Id, ...] = (),
    ) -> None:
        self.kind = kind
        self.member = member
        self.client = client
        self.session = session
        self.timeout_ms = session.timeout_ms
        self.xid = xid
        self.opcode = opcode
        self.request = request
        self.identities = identities
        self.decision: Decision | None = None
        self.zxid = 0
        self.after = 0
        self.done = False
        self.moved = False
        self.valid = False
        self.body: bytes | None = b""
        self.held: list[ServerEvent] = []  # what came behind a connect request
