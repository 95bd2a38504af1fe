"""The states a session can be in, and the changes between them that are allowed.

Rule: ``ALLOWED`` is the whole truth. The session core changes its state only along this table, and the
state a listener hears is always one the table led to. Values are plain text, so that they can be printed
and compared with strings.
"""

from __future__ import annotations

from enum import Enum

from zk_wire import EventType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from ._typing import NamedTuple


class SessionState(str, Enum):
    """What the client knows about its session right now."""

    CLOSED = "closed"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    CONNECTED_READ_ONLY = "connected read-only"
    SUSPENDED = "suspended"
    EXPIRED = "expired"
    AUTH_FAILED = "auth failed"

    @property
    def is_connected(self) -> bool:
        """Whether a server is serving this session now, read-only or not."""
        return self is SessionState.CONNECTED or self is SessionState.CONNECTED_READ_ONLY

    def __str__(self) -> str:
        return self.value


ALLOWED: dict[SessionState, frozenset[SessionState]] = {
    SessionState.CLOSED: frozenset({SessionState.CONNECTING}),
    SessionState.CONNECTING: frozenset(
        {
            SessionState.CONNECTED,
            SessionState.CONNECTED_READ_ONLY,
            SessionState.EXPIRED,
            SessionState.AUTH_FAILED,
            SessionState.CLOSED,
        }
    ),
    # A read-write session that reconnects to a read-only server always passes through SUSPENDED.
    SessionState.CONNECTED: frozenset(
        {SessionState.SUSPENDED, SessionState.EXPIRED, SessionState.AUTH_FAILED, SessionState.CLOSED}
    ),
    SessionState.CONNECTED_READ_ONLY: frozenset(
        {
            SessionState.SUSPENDED,
            SessionState.CONNECTED,
            SessionState.EXPIRED,
            SessionState.AUTH_FAILED,
            SessionState.CLOSED,
        }
    ),
    SessionState.SUSPENDED: frozenset(
        {
            SessionState.CONNECTED,
            SessionState.CONNECTED_READ_ONLY,
            SessionState.EXPIRED,
            SessionState.AUTH_FAILED,
            SessionState.CLOSED,
        }
    ),
    SessionState.EXPIRED: frozenset({SessionState.CONNECTING, SessionState.CLOSED}),
    SessionState.AUTH_FAILED: frozenset({SessionState.CONNECTING, SessionState.CLOSED}),
}


class WatchedEvent(NamedTuple):
    """What a watch saw, or why it will see nothing more.

    type: what happened to the node; ``EventType.NONE`` when the watch itself ended with its session.
    state: the session's state when the event was delivered.
    path: as the client names it, below its chroot.   zxid: the change's, -1 where the server does not say.
    """

    type: EventType
    state: SessionState
    path: str
    zxid: int = -1
