"""What one connection through a proxy is saying: which reply belongs to which request, and which fault strikes it.

Rule: reads headers and paths only; nothing of a node's data and no credential is kept. A reply has no opcode, so
requests are remembered, in order, until their replies come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from zk_wire import ADMIN_WORDS, OpCode

from .corruption import corrupt
from .effects import HALF, TO_CLIENT, TO_SERVER, Direction, Pace, Then
from .fault import Fault
from .kinds import kind_of
from .record import Header, Passed, Record
from .rulebook import Rulebook
from .sessions import NO_SESSION, Sessions, asked_session

__all__ = ["Conversation", "Verdict"]

_NOTIFICATION_XID = -1
_PING_XID = -2
_REQUEST_HEADER = 12  # bytes: length, xid, opcode
_REPLY_HEADER = 20  # bytes: length, xid, zxid, error
_EVENT_HEADER = 28  # bytes: that of a reply, the event's type, the session's state

# Requests that do not begin with a path.
_PATHLESS = frozenset(
    (
        OpCode.PING,
        OpCode.AUTH,
        OpCode.SASL,
        OpCode.MULTI,
        OpCode.MULTI_READ,
        OpCode.SET_WATCHES,
        OpCode.SET_WATCHES2,
        OpCode.RECONFIG,
        OpCode.WHO_AM_I,
        OpCode.CLOSE_SESSION,
    )
)


class Verdict(NamedTuple):
    """What becomes of a frame.

    data: the bytes that pass, none of a lost frame.   end: what then becomes of the connection.   delay, still, pace:
    as in Effect.   done: called with the time when the last byte of `data` is with the other side.
    """

    data: bytes
    end: Then | None
    delay: float
    still: float
    pace: Pace | None
    done: Callable[[float], None] | None


class _Request(NamedTuple):
    """A request that waits for its reply: the xid that reply will have, and the faults it will meet."""

    xid: int | None
    header: Header
    faults: list[Fault]


class Conversation:
    """One connection, the number-th of its proxy."""

    def __init__(self, number: int, rulebook: Rulebook, record: Record, sessions: Sessions) -> None:
        self.session_id = 0  # of the session it carries, once the reply to connect has passed
        self._number = number
        self._rulebook = rulebook
        self._record = record
        self._sessions = sessions
        self._waiting: deque[_Request] = deque()
        self._connect_seen = {TO_SERVER: False, TO_CLIENT: False}
        self._asked = NO_SESSION

    def judge(self, direction: Direction, frame: bytes, now: float, *, raw: bool) -> Verdict:
        """Say what becomes of a frame (length prefix included), or of a piece of a stream without frames."""
        if raw:
            is_word = direction == TO_SERVER and frame[:4].decode("latin-1") in ADMIN_WORDS
            header = Header("admin" if is_word else "raw")
            return self._verdict(direction, header, frame, self._rulebook.of_other(direction, header), now, raw=True)
        first = not self._connect_seen[direction]
        self._connect_seen[direction] = True
        return self._request(frame, first, now) if direction == TO_SERVER else self._reply(frame, first, now)

    def _request(self, frame: bytes, first: bool, now: float) -> Verdict:
        if first:
            header = Header("connect")
            self._asked = asked_session(frame)
        elif len(frame) >= _REQUEST_HEADER:
            opcode = _int32(frame, 8)
            path = None if opcode in _PATHLESS else _path(frame, _REQUEST_HEADER)
            header = Header(kind_of(opcode), opcode, _int32(frame, 4), path=path)
        else:
            header = Header("unknown")
        strikers, for_reply = self._rulebook.of_request(self._number, header)
        if not strikers or strikers[-1].effect.end is None:
            # The reply to a ping has xid -2, whatever the ping had.
            xid = _PING_XID if header.kind == "ping" else header.xid
            self._waiting.append(_Request(xid, header, for_reply))
        return self._verdict(TO_SERVER, header, frame, strikers, now)

    def _reply(self, frame: bytes, first: bool, now: float) -> Verdict:
        if first:
            connect = self._waiting.popleft() if self._waiting else None
            return self._verdict(TO_CLIENT, Header("connect"), frame, connect.faults if connect else [], now)
        if len(frame) < _REPLY_HEADER:
            return self._verdict(TO_CLIENT, Header("unknown"), frame, [], now)
        xid, error = _int32(frame, 4), _int32(frame, 16)
        zxid = int.from_bytes(frame[8:16], "big", signed=True)
        if xid == _NOTIFICATION_XID:
            header = Header("notification", None, xid, error, zxid, _path(frame, _EVENT_HEADER))
            return self._verdict(TO_CLIENT, header, frame, self._rulebook.of_other(TO_CLIENT, header), now)
        # Nearly always the oldest one waits; but replies to auth overtake.
        for request in self._waiting:
            if request.xid == xid:
                self._waiting.remove(request)
                header = request.header._replace(xid=xid, error=error, zxid=zxid)
                return self._verdict(TO_CLIENT, header, frame, request.faults, now)
        return self._verdict(TO_CLIENT, Header("unknown", None, xid, error, zxid), frame, [], now)

    def _verdict(
        self,
        direction: Direction,
        header: Header,
        frame: bytes,
        strikers: list[Fault],
        now: float,
        *,
        raw: bool = False,
    ) -> Verdict:
        delay = still = 0.0
        pace: Pace | None = None
        data, end, whole = frame, None, True
        for fault in strikers:
            effect = fault.effect
            delay, still = max(delay, effect.delay), max(still, effect.still)
            if effect.pace is not None:
                pace = effect.pace if pace is None else pace.and_also(effect.pace)
            if effect.corruption is not None:
                opcode = header.opcode if direction == TO_SERVER else None
                data = corrupt(data, effect.corruption, opcode=opcode, raw=raw)
            if effect.keep is not None:
                # Inside means inside: at least one byte passes, and at least one does not.
                keep = len(frame) // 2 if effect.keep == HALF else min(effect.keep, len(frame) - 1)
                data, whole = data[:keep], False
            end = effect.end
        # A lost frame is neither late nor damaged: only the rule that lost it has struck.
        struck = strikers if whole else strikers[-1:]
        entry = Passed(
            0,
            self._number,
            direction,
            *header[:4],
            size=len(frame),
            lost=not whole,
            time=now,
            zxid=header.zxid,
            path=header.path,
            fault=struck[-1].line if struck else None,
        )

        def done(at: float) -> None:
            if whole:
                self._learn(direction, header, frame)
            passed = self._record.enter(entry._replace(time=at))
            for fault in struck:
                self._rulebook.struck(fault, passed)

        if not data:
            done(now)
            return Verdict(b"", end, 0.0, 0.0, None, None)
        return Verdict(data, end, delay, still, pace, done)

    def _learn(self, direction: Direction, header: Header, frame: bytes) -> None:
        """A frame has passed whole: what it says of sessions."""
        if direction == TO_SERVER:
            return
        if header.kind == "connect":
            self.session_id = self._sessions.opened(frame)
            if self.session_id != self._asked.id:
                self._sessions.refused(self._asked)
        elif header.kind == "close_session" and header.error == 0:
            self._sessions.ended(self.session_id)


def _path(frame: bytes, position: int) -> str | None:
    """The path that begins at a position; None where there is none."""
    length = _int32(frame, position)
    text = frame[position + 4 : position + 4 + length]
    return text.decode("utf-8", "replace") if len(text) == length > 0 and text[:1] == b"/" else None


def _int32(frame: bytes, position: int) -> int:
    return int.from_bytes(frame[position : position + 4], "big", signed=True)
