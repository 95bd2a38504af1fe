"""What a server has said, in a form in which two servers can be compared.

Rule: zxids stay as they are. Times are not compared, but each must belong to one zxid; sessions are numbered as they
come. Lists are compared in their order: it is that of Java's sets, and the same in all releases.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zk_wire import ACL, Record, ReplyHeader, Request, Stat, WatcherEvent

__all__ = ["DifferenceError", "Ear", "xid_of"]


class DifferenceError(AssertionError):
    """The two servers did not say the same."""


class Ear:
    """What one server says.   base: what is taken from each zxid, for servers that did not begin at the same one."""

    def __init__(self, base: int = 0) -> None:
        self.sessions: dict[int, int] = {0: 0}
        self.last_zxid = 0
        self._times: dict[int, int] = {}
        self._base = base

    def meet(self, session_id: int) -> int:
        """The number of a session, which is the next one for a new session."""
        return self.sessions.setdefault(session_id, len(self.sessions))

    def told(self, frames: list[bytes], asked: Mapping[int, Request[Any]]) -> list[tuple[Any, ...]]:
        """The plain form of frames.   asked: by xid, the requests they may answer."""
        told: list[tuple[Any, ...]] = []
        for frame in frames:
            header, pos = ReplyHeader.read(frame, 0, len(frame))
            self.last_zxid = max(self.last_zxid, header.zxid)
            head = (header.xid, self._zxid(header.zxid), header.err)
            request = asked.get(header.xid)
            if header.xid == -1 and pos < len(frame):
                told.append(("event", head, WatcherEvent.decode(frame, pos)))
            elif header.err or request is None or header.xid == -2 or pos == len(frame):
                told.append(("reply", head, frame[pos:]))
            else:
                told.append(("reply", head, self._plain(request.decode_response(frame, pos, len(frame)))))
        return told

    def _zxid(self, zxid: int) -> int:
        return zxid - self._base if zxid > 0 else zxid

    def _plain(self, value: Any) -> object:
        if isinstance(value, Stat):
            for zxid, time in ((value.czxid, value.ctime), (value.mzxid, value.mtime)):
                if self._times.setdefault(zxid, time) != time:
                    raise DifferenceError(f"zxid {zxid} has two times: {time} and {self._times[zxid]}")
            owner = value.ephemeral_owner
            return value._replace(
                ctime=0,
                mtime=0,
                czxid=self._zxid(value.czxid),
                mzxid=self._zxid(value.mzxid),
                pzxid=self._zxid(value.pzxid),
                ephemeral_owner=self.sessions.get(owner, owner),
            )
        if isinstance(value, list):
            return [self._plain(item) for item in value]
        if isinstance(value, ACL):
            return value
        if isinstance(value, Record):
            return type(value).__name__, *(self._plain(getattr(value, name)) for name in type(value).fields)
        return value


def xid_of(frame: bytes) -> int:
    """The xid of a reply."""
    return int.from_bytes(frame[:4], "big", signed=True)
