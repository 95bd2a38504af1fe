"""The sessions that were opened through a proxy.

Rule: only what passed is known. A session's password is needed to end or move it, and never shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..errors import TestingError

__all__ = ["NO_SESSION", "Asked", "SeenSession", "Sessions", "asked_session"]

_CONNECT_REPLY = 40  # bytes: length, protocol, timeout, id, length of the password, password
_CONNECT_REQUEST = 28  # bytes up to the session's id: length, protocol, zxid, timeout, id
_PASSWORD = slice(32, 48)  # behind the length of the password, which real servers give 16 bytes


@dataclass(frozen=True, slots=True)
class SeenSession:
    """A session: what its last connect reply said."""

    id: int
    password: bytes = field(repr=False)
    timeout: float  # seconds

    @property
    def name(self) -> str:
        """Its id as servers write it."""
        return f"0x{self.id & (1 << 64) - 1:x}"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a connect request says of a session."""

    id: int
    password: bytes = field(repr=False)


NO_SESSION = Asked(0, b"")


class Sessions:
    """Those that live, as far as the proxy could see."""

    def __init__(self) -> None:
        self._sessions: dict[int, SeenSession] = {}

    @property
    def ids(self) -> tuple[int, ...]:
        """Their ids."""
        return tuple(self._sessions)

    def opened(self, reply: bytes) -> int:
        """A connect reply passed: return the session's id, or 0 for a refusal and for what is no connect reply."""
        if len(reply) < _CONNECT_REPLY:
            return 0
        timeout_ms, session_id = _int(reply[8:12]), _int(reply[12:20])
        if timeout_ms <= 0 or session_id == 0:
            return 0
        self._sessions[session_id] = SeenSession(session_id, reply[24:40], timeout_ms / 1000)
        return session_id

    def ended(self, session_id: int) -> None:
        """A session is known to be no more."""
        self._sessions.pop(session_id, None)

    def refused(self, asked: Asked) -> None:
        """A connection did not get the session it asked for: there is none, unless the password was wrong."""
        session = self._sessions.get(asked.id)
        if session is not None and session.password == asked.password:
            self.ended(asked.id)

    def choose(self, session_id: int | None) -> list[SeenSession]:
        """One session, or (None) all. Raises TestingError where there is none."""
        if session_id is None:
            if not self._sessions:
                raise TestingError("no session was opened through this proxy, or each of them has ended")
            return list(self._sessions.values())
        session = self._sessions.get(session_id)
        if session is None:
            known = ", ".join(session.name for session in self._sessions.values()) or "none"
            name = SeenSession(session_id, b"", 0.0).name
            raise TestingError(f"session {name} was not opened through this proxy, or has ended; open are: {known}")
        return [session]


def asked_session(request: bytes) -> Asked:
    """The session a connect request wants to go on with; 0 for a new one and for what is no connect request."""
    if len(request) < _CONNECT_REQUEST:
        return NO_SESSION
    return Asked(_int(request[20:28]), request[_PASSWORD])


def _int(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)
