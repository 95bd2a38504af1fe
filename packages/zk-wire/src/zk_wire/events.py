"""What a client's connection makes of the bytes it was given.

Rule: facts from the wire, nothing decided.  A completed request is the Exchange itself.
"""

from __future__ import annotations

from .exchange import Exchange

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple, TypeAlias
else:
    from ._typing import NamedTuple


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


Event: TypeAlias = Exchange[object] | Connected | SessionGone | ConnectRejected | Notification | PingAnswered
