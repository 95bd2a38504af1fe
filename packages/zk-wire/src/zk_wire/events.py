"""What a connection makes of the bytes it was given.

Rule: facts from the wire, nothing decided.  A completed request is the Exchange itself.
"""

from __future__ import annotations

from .exchange import Exchange

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple, TypeAlias

    from .session import ConnectRequest
else:
    from ._typing import NamedTuple

# What a client sees


class Connected(NamedTuple):
    """The server granted a session.   timeout_ms: as negotiated.   password: to resume it."""

    session_id: int
    password: bytes
    timeout_ms: int
    read_only: bool
    protocol_version: int
    has_read_only_byte: bool

    def __repr__(self) -> str:
        """Show everything but the password."""
        return (
            f"Connected(session_id={self.session_id:#x}, password=<redacted>, timeout_ms={self.timeout_ms}, "
            f"read_only={self.read_only}, protocol_version={self.protocol_version}, "
            f"has_read_only_byte={self.has_read_only_byte})"
        )


class SessionGone(NamedTuple):
    """The server does not know the session, or not under this password."""

    read_only: bool


class ConnectRejected(NamedTuple):
    """The server answered with an error code in place of a session: try another server."""

    code: int


class Notification(NamedTuple):
    """A watch fired.   type: EventType.   state: KeeperState.   path: "" where it came as null.

    zxid: of the change, from servers since 3.9; else -1.
    """

    type: int
    state: int
    path: str
    zxid: int


class PingAnswered(NamedTuple):
    """The answer to a ping.   error: 0, but -124 from a server that wants authentication first."""

    zxid: int
    error: int = 0


# What a server sees


class ConnectReceived(NamedTuple):
    """The first frame of a client."""

    request: ConnectRequest


class RequestReceived(NamedTuple):
    """A request that could be decoded."""

    xid: int
    opcode: int
    request: object


class MalformedRequest(NamedTuple):
    """A request of a known kind that cannot be decoded: answer -5; to AUTH and SASL, close."""

    xid: int
    opcode: int
    reason: str


class UnknownRequest(NamedTuple):
    """A request of an unknown kind: answer -6 with zxid -1, and close.  No event follows it."""

    xid: int
    opcode: int


class AdminCommand(NamedTuple):
    """A four-letter word in place of a session: answer in plain text, and close.  No event follows it."""

    word: str


Event: TypeAlias = Exchange[object] | Connected | SessionGone | ConnectRejected | Notification | PingAnswered
ServerEvent: TypeAlias = ConnectReceived | RequestReceived | MalformedRequest | UnknownRequest | AdminCommand
