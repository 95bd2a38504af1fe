"""What one connection through a proxy is saying: which reply belongs to which request, and which fault strikes it.

Rule: reads headers only. A reply has no opcode, so requests are remembered, in order, until their replies come.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from zk_wire import ADMIN_WORDS

from ._relay import TO_CLIENT, TO_SERVER, Direction, Then, Verdict
from .fault import Fault
from .kinds import kind_of
from .record import Passed, Record

__all__ = ["Conversation"]

_NOTIFICATION_XID = -1
_PING_XID = -2
_REQUEST_HEADER = 12  # bytes: length, xid, opcode
_REPLY_HEADER = 20  # bytes: length, xid, zxid, error


class _Header(NamedTuple):
    """What is read of a frame; see `Passed`."""

    kind: str
    opcode: int | None = None
    xid: int | None = None
    error: int | None = None


class _Request(NamedTuple):
    """A request that waits for its reply: the xid that reply will have, and the faults it will meet."""

    xid: int | None
    kind: str
    opcode: int | None
    faults: list[Fault]


class Conversation:
    """One connection. `faults` is the proxy's own list, which changes; everything runs on the relay's thread."""

    def __init__(self, number: int, faults: list[Fault], record: Record) -> None:
        self._number = number
        self._faults = faults
        self._record = record
        self._waiting: deque[_Request] = deque()
        self._connect_seen = {TO_SERVER: False, TO_CLIENT: False}

    def judge(self, direction: Direction, frame: bytes, *, raw: bool) -> Verdict:
        """Say what becomes of a frame, or of a piece of a stream without frames."""
        if raw:
            is_word = direction == TO_SERVER and frame[:4].decode("latin-1") in ADMIN_WORDS
            header = _Header("admin" if is_word else "raw")
            return self._verdict(direction, header, frame, self._strikers(direction, header))
        first = not self._connect_seen[direction]
        self._connect_seen[direction] = True
        return self._request(frame, first) if direction == TO_SERVER else self._reply(frame, first)

    def _request(self, frame: bytes, first: bool) -> Verdict:
        if first:
            header = _Header("connect")
        elif len(frame) >= _REQUEST_HEADER:
            opcode = _int32(frame, 8)
            header = _Header(kind_of(opcode), opcode, _int32(frame, 4))
        else:
            header = _Header("unknown")
        strikers = self._strikers(TO_SERVER, header)
        if all(fault.lose is None for fault in strikers):
            # The reply to a ping has xid -2, whatever the ping had.
            xid = _PING_XID if header.kind == "ping" else header.xid
            self._waiting.append(_Request(xid, header.kind, header.opcode, self._strikers(TO_CLIENT, header)))
        return self._verdict(TO_SERVER, header, frame, strikers)

    def _reply(self, frame: bytes, first: bool) -> Verdict:
        if first:
            connect = self._waiting.popleft() if self._waiting else None
            return self._verdict(TO_CLIENT, _Header("connect"), frame, connect.faults if connect else [])
        if len(frame) < _REPLY_HEADER:
            return self._verdict(TO_CLIENT, _Header("unknown"), frame, [])
        xid, error = _int32(frame, 4), _int32(frame, 16)
        if xid == _NOTIFICATION_XID:
            header = _Header("notification", None, xid, error)
            return self._verdict(TO_CLIENT, header, frame, self._strikers(TO_CLIENT, header))
        # Nearly always the oldest one waits; but replies to auth overtake.
        for request in self._waiting:
            if request.xid == xid:
                self._waiting.remove(request)
                header = _Header(request.kind, request.opcode, xid, error)
                return self._verdict(TO_CLIENT, header, frame, request.faults)
        return self._verdict(TO_CLIENT, _Header("unknown", None, xid, error), frame, [])

    def _strikers(self, direction: Direction, header: _Header) -> list[Fault]:
        """The faults that strike, each counting; the first one that loses the frame is the last one that counts."""
        strikers: list[Fault] = []
        for fault in self._faults:
            if fault.counts(direction, header.kind, header.opcode):
                strikers.append(fault)
                if fault.lose is not None:
                    break
        return strikers

    def _verdict(self, direction: Direction, header: _Header, frame: bytes, strikers: list[Fault]) -> Verdict:
        lose: Then | None = next((fault.lose for fault in strikers if fault.lose is not None), None)
        entry = Passed(0, self._number, direction, *header, len(frame), lose is not None, 0.0)

        def done() -> None:
            passed = self._record.enter(entry)
            for fault in strikers:
                if lose is None or fault.lose is not None:
                    fault.strike(passed)

        return Verdict(lose, max((fault.delay for fault in strikers), default=0.0), done)


def _int32(frame: bytes, position: int) -> int:
    return int.from_bytes(frame[position : position + 4], "big", signed=True)
