"""Sessions: their numbers, passwords, and when they end.

Rule: time comes in as milliseconds; nothing ticks by itself. A session that was silent for its timeout ends at the next
multiple of the tick, never earlier.

Source: SessionTrackerImpl.java, ExpiryQueue.java, ZooKeeperServer.generatePasswd.
"""

from __future__ import annotations

from heapq import heappop, heappush
from struct import Struct

__all__ = ["Session", "Sessions", "password_of"]

_WORDS = Struct("<IIII")
_SECRET = 0xB3415C00


class Session:
    """One session.   timeout_ms: as negotiated on its latest connection.   local: known to this server only."""

    __slots__ = ("deadline_ms", "id", "local", "timeout_ms")

    def __init__(self, session_id: int, timeout_ms: int, local: bool) -> None:
        self.id = session_id
        self.timeout_ms = timeout_ms
        self.local = local
        self.deadline_ms = 0


class Sessions:
    """Every session that lives.   start_ms: makes the numbers differ from one start to the next."""

    def __init__(self, *, tick_ms: int, start_ms: int, server_id: int = 1) -> None:
        self._tick_ms = tick_ms
        self._sessions: dict[int, Session] = {}
        self._buckets: dict[int, dict[int, None]] = {}  # session ids by deadline
        self._deadlines: list[int] = []  # a heap of the buckets, and of some that are gone
        self._next = _signed(server_id << 56 | (start_ms & (1 << 40) - 1) << 16)

    def __len__(self) -> int:
        return len(self._sessions)

    def get(self, session_id: int) -> Session | None:
        """The session with this number, if it lives."""
        return self._sessions.get(session_id)

    def all(self) -> list[Session]:
        """Every session, oldest first."""
        return list(self._sessions.values())

    def create(self, timeout_ms: int, now_ms: int, *, local: bool = False) -> Session:
        """Begin a session."""
        return self.adopt(self.next_id(), timeout_ms, now_ms, local=local)

    def next_id(self) -> int:
        """Take the number of a session that is to begin."""
        taken = self._next
        self._next = _signed(taken + 1)
        return taken

    def adopt(self, session_id: int, timeout_ms: int, now_ms: int, *, local: bool = False) -> Session:
        """Keep a session whose number was given elsewhere; it has its whole timeout."""
        session = self._sessions[session_id] = Session(session_id, timeout_ms, local)
        self.touch(session, now_ms)
        return session

    def touch(self, session: Session, now_ms: int) -> None:
        """The session was heard of; its deadline moves."""
        tick = self._tick_ms
        deadline = ((now_ms + session.timeout_ms) // tick + 1) * tick
        if deadline == session.deadline_ms:
            return
        self._leave_bucket(session)
        session.deadline_ms = deadline
        bucket = self._buckets.get(deadline)
        if bucket is None:
            bucket = self._buckets[deadline] = {}
            heappush(self._deadlines, deadline)
        bucket[session.id] = None

    def remove(self, session: Session) -> None:
        """End a session."""
        del self._sessions[session.id]
        self._leave_bucket(session)

    def overdue(self, now_ms: int) -> list[Session]:
        """The sessions whose deadline has come, in the order of the deadlines."""
        due = sorted(deadline for deadline in self._buckets if deadline <= now_ms)
        return [self._sessions[number] for deadline in due for number in self._buckets[deadline]]

    def next_deadline_ms(self) -> int | None:
        """When `overdue` has to be asked next."""
        deadlines = self._deadlines
        while deadlines and deadlines[0] not in self._buckets:
            heappop(deadlines)
        return deadlines[0] if deadlines else None

    def buckets(self) -> dict[int, list[int]]:
        """The session ids by deadline."""
        return {deadline: list(numbers) for deadline, numbers in sorted(self._buckets.items())}

    def _leave_bucket(self, session: Session) -> None:
        bucket = self._buckets.get(session.deadline_ms)
        if bucket is not None:
            bucket.pop(session.id, None)
            if not bucket:
                del self._buckets[session.deadline_ms]


def password_of(session_id: int) -> bytes:
    """The 16 bytes that every server makes of a session's number: Java's Random, seeded with it."""
    seed = (session_id ^ _SECRET ^ 0x5DEECE66D) & (1 << 48) - 1
    words: list[int] = []
    for _ in range(4):
        seed = (seed * 0x5DEECE66D + 0xB) & (1 << 48) - 1
        words.append(seed >> 16 & 0xFFFFFFFF)
    return _WORDS.pack(*words)


def _signed(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63
