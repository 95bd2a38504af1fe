"""The server's side of one connection: bytes in, requests out; answers in, bytes out.

Rule: no I/O, no clock, no tree; what a real server tolerates is tolerated (trailing bytes behind
a request, strings that are not UTF-8), what it closes for raises RemoteProtocolError.

As with the client's side, `receive` returns what came before bad bytes and sets
`pending_error`; every later call raises it.  Source: NIOServerCnxn.java, ZooKeeperServer.java.
"""

from __future__ import annotations

from .admin import ADMIN_WORDS
from .errors import RemoteProtocolError
from .framing import FrameBuffer
from .opcodes import NOTIFICATION_XID, OpCode
from .primitives import NULL_AT
from .registry import REQUEST_TYPES
from .server_events import AdminCommand, ConnectReceived, MalformedRequest, RequestReceived, UnknownRequest
from .session import ConnectRequest, ConnectResponse, ReplyHeader, RequestHeader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .record import Request, Response
    from .replies import WatcherEvent
    from .server_events import ServerEvent

MAX_FRAME = 0xFFFFF  # bytes; jute.maxbuffer's default
_WORDS = {word.encode("ascii"): word for word in ADMIN_WORDS}
_MASK_BYTES = 8  # an int64 behind `stmk`
_MOST_NULLS = 16  # that are looked behind: each one costs another decoding


class ServerConnection:
    """One conversation with one client.   max_frame: the longest frame to accept, in bytes."""

    def __init__(self, *, max_frame: int = MAX_FRAME) -> None:
        self.pending_error: RemoteProtocolError | None = None
        self._frames = FrameBuffer(max_frame)
        self._start: bytes | None = b""  # the first bytes, until they are known to be no four-letter word
        self._connected = False
        self._over = False

    # What came in

    def receive(self, data: bytes) -> list[ServerEvent]:
        """Take bytes in any portions; return what they complete, in the order of the wire.

        When bad bytes are met, what came before them is returned and `pending_error` is set:
        look at it after each call.  Raises it (RemoteProtocolError) on every later call.
        """
        if self.pending_error is not None:
            raise self.pending_error
        events: list[ServerEvent] = []
        if self._over:
            return events
        if self._start is not None:
            data = self._start + data
            word = _WORDS.get(data[:4])
            argument = _MASK_BYTES if word == "stmk" else 0
            if len(data) < 4 + argument:
                self._start = data
                return events
            self._start = None
            if word is not None:
                self._over = True
                return [AdminCommand(word, data[4 : 4 + argument])]
        frames = self._frames.feed(data)
        self.pending_error = self._frames.pending_error
        try:
            for frame in frames:
                event = self._request(frame)
                events.append(event)
                self._over = self._over or isinstance(event, UnknownRequest)
        except RemoteProtocolError as error:
            self.pending_error = error
        if self._over:
            self.pending_error = None
        return events

    def _request(self, frame: bytes) -> ServerEvent:
        if not self._connected:
            request = ConnectRequest.decode(frame)
            self._connected = True
            return ConnectReceived(request)
        header, pos = RequestHeader.read(frame, 0, len(frame))
        xid, opcode = header.xid, header.type
        if opcode == OpCode.CREATE_SESSION:
            return MalformedRequest(xid, opcode, "only servers create sessions this way")
        kind = REQUEST_TYPES.get(opcode)
        if kind is None:
            return UnknownRequest(xid, opcode)
        try:
            return RequestReceived(xid, opcode, kind.decode(frame, pos, len(frame)))
        except RemoteProtocolError as error:
            return MalformedRequest(xid, opcode, str(error), _is_null(kind, frame, pos, str(error)))

    # What to answer

    def accept(self, response: ConnectResponse) -> bytes:
        """Return the frame that grants a session."""
        return _framed(response.encode())

    def refuse(self, read_only: bool | None = None) -> bytes:
        """Return the frame that says the session is gone.   None: the request had no read-only byte."""
        return _framed(ConnectResponse(0, 0, bytes(16), read_only).encode())

    def reply(self, xid: int, zxid: int, response: Response | None = None, err: int = 0) -> bytes:
        """Return a reply; LocalProtocolError when the response cannot be encoded."""
        body = b"" if response is None else response.encode()
        return _framed(ReplyHeader(xid, zxid, err).encode() + body)

    def notify(self, event: WatcherEvent, zxid: int = -1) -> bytes:
        """Return a watch event.   zxid: of the change, as servers since 3.9 send it."""
        return self.reply(NOTIFICATION_XID, zxid, event)


def _is_null(kind: type[Request[object]], frame: bytes, pos: int, reason: str) -> bool:
    """Whether a request could be decoded if each null that is in the way were a value of length 0."""
    patched = bytearray(frame)
    for _ in range(_MOST_NULLS):
        _before, found, rest = reason.partition(NULL_AT)
        if not found:
            return False
        at = int(rest.partition(",")[0])
        patched[at : at + 4] = bytes(4)
        try:
            kind.decode(bytes(patched), pos, len(frame))
        except RemoteProtocolError as error:
            reason = str(error)
        else:
            return True
    return False


def _framed(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content
