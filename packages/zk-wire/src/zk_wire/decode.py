"""What went over a connection, as one plain mapping per message: the body of `python -m zk_wire decode`.

Rule: no I/O. Bytes are fed in any portions and messages come out in the order in which they were completed; what is
kept is one unfinished frame per direction and the kinds of at most 65,536 unanswered requests.

A reply does not say what it answers, so it is read by the request with its xid; without that request (only the
server's stream is at hand) its header is read and its record given in hexadecimal, or read as one named kind.
The first frame of each direction is told by its shape, so that a capture may also begin in the middle.
Passwords, credentials and SASL tokens are redacted unless asked for.
"""

from __future__ import annotations

from base64 import b64encode
from collections import OrderedDict, deque

from .acl import ACL
from .admin import ADMIN_WORDS
from .codes import AddWatchMode, ErrorCode
from .errors import RemoteProtocolError
from .framing import FrameBuffer
from .opcodes import CreateMode, EventType, KeeperState, OpCode
from .primitives import unpack_int
from .record import Record
from .registry import REQUEST_TYPES
from .replies import WatcherEvent
from .session import ConnectRequest, ConnectResponse, ReplyHeader, RequestHeader
from .stat import Stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import IntEnum
    from typing import TypeAlias, cast

    from .hextext import Direction
    from .record import Request

    Json: TypeAlias = bool | int | str | list["Json"] | dict[str, "Json"] | None
    Message: TypeAlias = dict[str, Json]
else:
    from ._typing import cast

REDACTED = "<redacted>"
_SECRET_FIELDS = frozenset(("password", "auth", "token"))
_SECRET_KINDS = frozenset((OpCode.AUTH, OpCode.SASL))  # whose undecodable records are not shown either
_NAMED_FIELDS: dict[str, type[IntEnum]] = {"flags": CreateMode, "mode": AddWatchMode, "code": ErrorCode}
_MOST_UNANSWERED = 65_536
_PREVIEW = 60  # characters of text shown beside data
_REPLY_HEADER = 16  # bytes, and the least a frame of a server has


class _Stream:
    """One direction of a conversation."""

    def __init__(self, direction: Direction, max_frame: int) -> None:
        self.direction: Direction = direction
        self.frames = FrameBuffer(max_frame)
        self.begins = True  # no frame of this connection has come yet
        self.first = b""  # its first bytes, while they may still be a four-letter word
        self.count = 0  # frames so far
        self.offset = 0  # of the next frame in the stream, in bytes
        self.text: bytearray | None = None  # an answer to a four-letter word


class Decoder:
    """Reads both directions of one connection after another.

    direction: whose bytes those without a mark are; None to tell by the first frame.
    assumed: the kind of request that unmatched replies are taken to answer.   max_frame: in bytes.
    """

    def __init__(
        self,
        *,
        direction: Direction | None = None,
        assumed: OpCode | None = None,
        show_secrets: bool = False,
        max_frame: int = 64 * 1024 * 1024,
    ) -> None:
        self._direction = direction
        self._assumed = assumed
        self._show_secrets = show_secrets
        self._max_frame = max_frame
        self._client = _Stream("client", max_frame)
        self._server = _Stream("server", max_frame)
        self._undecided: bytes = b""
        self._unanswered: OrderedDict[int, deque[int]] = OrderedDict()  # opcodes by xid
        self._unanswered_count = 0
        self._word: str | None = None  # the four-letter word that was asked
        self._answered: int | None = None  # the opcode that the last reply answers
        self.malformed: list[str] = []  # what could not be decoded though its frame is whole, the first few
        self.pending_error: RemoteProtocolError | None = None

    # What came in

    def feed(self, data: bytes, direction: Direction | None = None) -> list[Message]:
        """Take bytes of one direction; return the messages they complete.

        When bytes are no frames, what came before them is returned and `pending_error` is set. A whole frame whose
        record cannot be decoded is a message of the kind "malformed", and noted in `malformed`.
        """
        if self.pending_error is not None:
            raise self.pending_error
        messages: list[Message] = []
        try:
            side = direction or self._direction
            if side is None:
                data = self._undecided + data
                side = self._direction = self._told_by_shape(data)
                self._undecided = b"" if side else data
            if side is not None:
                self._take(self._client if side == "client" else self._server, data, messages)
        except RemoteProtocolError as error:
            self.pending_error = error
        return messages

    def finish(self) -> list[Message]:
        """Return what only the end completes. Sets `pending_error` when it cuts a frame."""
        messages: list[Message] = []
        if self._server.text is not None:
            text = self._server.text.decode("utf-8", "backslashreplace")
            messages.append({"direction": "server", "kind": "admin_answer", "word": self._word, "text": text})
        if self.pending_error is None:
            client, server = self._client, self._server
            self.pending_error = (
                _cut("the input", self._undecided)
                or _cut("the client's stream", client.first or client.frames.rest())
                or _cut("the server's stream", server.frames.rest())
            )
        return messages

    def _told_by_shape(self, data: bytes) -> Direction | None:
        """Whose stream begins with these bytes; None until the first frame is whole."""
        if len(data) < 4:
            return None
        if _word(data) is not None:
            return "client"
        length: int = unpack_int(data)[0]
        if not 0 <= length <= self._max_frame:
            raise RemoteProtocolError(
                f"frame 1 at byte 0: a frame of {length} bytes, but {self._max_frame} is the limit"
            )
        if len(data) < 4 + length:
            return None
        frame = data[4 : 4 + length]
        if _is_connect_request(frame):
            return "client"
        if _is_connect_response(frame) or len(frame) < 8:
            return "server"
        if len(frame) < _REPLY_HEADER:
            return "client"
        kind = REQUEST_TYPES.get(unpack_int(frame, 4)[0])
        try:
            if kind is not None and unpack_int(frame)[0] != -1:
                _, after = kind.read(frame, 8, len(frame))
                return "client" if after == len(frame) else "server"
        except RemoteProtocolError:
            pass
        return "server"

    def _take(self, stream: _Stream, data: bytes, messages: list[Message]) -> None:
        if stream is self._server and self._word is not None:
            stream.text = bytearray() if stream.text is None else stream.text
            if len(stream.text) + len(data) > self._max_frame:
                raise RemoteProtocolError(f"the answer to {self._word!r} is longer than {self._max_frame} bytes")
            stream.text += data
            return
        if stream is self._client and stream.begins:
            data = stream.first + data
            stream.first = data if len(data) < 4 else b""
            if stream.first:
                return
            self._word = _word(data)
            if self._word is not None:
                stream.begins = False
                messages.append({"direction": "client", "kind": "admin_command", "word": self._word})
        if self._word is not None:  # what follows a word, such as a newline, is not read by the server either
            return
        for frame in stream.frames.feed(data):
            stream.count += 1
            first = stream.begins
            try:
                message = self._request(frame) if stream is self._client else self._answer(frame)
            except RemoteProtocolError as error:
                message = self._malformed(stream, frame, first, str(error))
            messages.append(message)
            stream.offset += 4 + len(frame)
        if stream.frames.pending_error is not None:
            place = f"frame {stream.count + 1} at byte {stream.offset} of the {stream.direction}'s stream"
            raise RemoteProtocolError(f"{place}: {stream.frames.pending_error}")

    # What the client sent

    def _request(self, frame: bytes) -> Message:
        stream = self._client
        if stream.begins:
            known = len(frame) >= 8 and unpack_int(frame, 4)[0] in REQUEST_TYPES
            if _is_connect_request(frame) or not known:
                connect = ConnectRequest.decode(frame)
                stream.begins = False
                return {"direction": "client", "kind": "connect", "fields": self._fields(connect)}
            stream.begins = False
        header, pos = RequestHeader.read(frame, 0, len(frame))
        kind = REQUEST_TYPES.get(header.type)
        message: Message = {
            "direction": "client",
            "kind": "request",
            "xid": header.xid,
            "opcode": _name(OpCode, header.type),
        }
        self._remember(header.xid, header.type)
        if kind is None:
            message["body"] = frame[pos:].hex()
            return message
        record, after = kind.read(frame, pos, len(frame))
        message["fields"] = self._fields(record)
        if after < len(frame):
            message["trailing_bytes"] = len(frame) - after
        stream.begins = header.type == OpCode.CLOSE_SESSION
        return message

    def _remember(self, xid: int, opcode: int) -> None:
        self._unanswered.setdefault(xid, deque()).append(opcode)
        self._unanswered_count += 1
        if self._unanswered_count > _MOST_UNANSWERED:
            self._forget(next(iter(self._unanswered)))

    def _forget(self, xid: int) -> int | None:
        """The opcode of the oldest unanswered request with this xid, which is answered now."""
        waiting = self._unanswered.get(xid)
        if waiting is None:
            return None
        self._unanswered_count -= 1
        opcode = waiting.popleft()
        if not waiting:
            del self._unanswered[xid]
        return opcode

    # What the server sent

    def _answer(self, frame: bytes) -> Message:
        stream = self._server
        if stream.begins:
            stream.begins = False
            if _is_connect_response(frame):
                response = ConnectResponse.decode(frame)
                if response.timeout_ms <= 0:
                    self._start_anew()
                    return {"direction": "server", "kind": "session_gone", "fields": self._fields(response)}
                return {"direction": "server", "kind": "connected", "fields": self._fields(response)}
        header, pos = ReplyHeader.read(frame, 0, len(frame))
        message: Message = {"direction": "server", "kind": "reply", "xid": header.xid, "zxid": header.zxid}
        if header.xid == -1:
            event = WatcherEvent.decode(frame, pos, len(frame))
            named: Message = {
                "type": _name(EventType, event.type),
                "state": _name(KeeperState, event.state),
                "path": event.path,
            }
            message |= {"kind": "notification", "fields": named}
            return message
        self._answered = opcode = self._forget(header.xid)
        message["opcode"] = None if opcode is None else _name(OpCode, opcode)
        message["error"] = None if not header.err else _name(ErrorCode, header.err)
        if header.xid == 0 and opcode is None and header.err and pos == len(frame):
            self._start_anew()
            message["kind"] = "connect_rejected"
            return message
        if opcode is None and self._assumed is not None and header.xid > 0 and not header.err:
            opcode = int(self._assumed)
            message["assumed"] = _name(OpCode, opcode)
        read = None if opcode is None or header.err else _reader(opcode)
        if read is not None:
            message["fields"] = self._fields(read(frame, pos, len(frame)))
        elif pos < len(frame):
            hidden = opcode in _SECRET_KINDS and not self._show_secrets
            message["body"] = REDACTED if hidden else frame[pos:].hex()
        if opcode == OpCode.CLOSE_SESSION:
            self._start_anew()
        return message

    def _start_anew(self) -> None:
        """The connection is over; what follows in either direction is another one."""
        self._client.begins = self._server.begins = True
        self._unanswered.clear()
        self._unanswered_count = 0

    # How it is shown

    def _malformed(self, stream: _Stream, frame: bytes, first: bool, reason: str) -> Message:
        place = f"frame {stream.count} at byte {stream.offset} of the {stream.direction}'s stream"
        if len(self.malformed) < 10:
            self.malformed.append(f"{place}: {reason}")
        message: Message = {"direction": stream.direction, "kind": "malformed", "reason": reason}
        opcode = self._answered
        if stream is self._client and len(frame) >= 8 and not first:
            opcode = unpack_int(frame, 4)[0]
            message |= {"xid": unpack_int(frame)[0], "opcode": _name(OpCode, opcode)}
        # The first frame may hold a session's password.
        hidden = (first or opcode in _SECRET_KINDS) and not self._show_secrets
        message["frame"] = REDACTED if hidden else frame.hex()
        return message

    def _fields(self, record: object) -> Json:
        if not isinstance(record, Record):
            return self._value(record)
        shown: Message = {}
        for field in type(record).fields:
            value: object = getattr(record, field)
            if field in _SECRET_FIELDS and value is not None and not self._show_secrets:
                shown[field] = REDACTED
            elif field in _NAMED_FIELDS and isinstance(value, int):
                shown[field] = _name(_NAMED_FIELDS[field], value)
            else:
                shown[field] = self._value(value)
        return shown

    def _value(self, value: object) -> Json:
        match value:
            case None | bool() | int() | str():
                return value
            case bytes():
                return _data(value)
            case Stat():
                return dict(value._asdict())
            case ACL():
                name = value.id.id
                if value.id.scheme == "digest" and not self._show_secrets:
                    name = name.partition(":")[0] + ":" + REDACTED
                return {"perms": int(value.perms), "scheme": value.id.scheme, "id": name}
            case list() | tuple():
                return [self._item(item) for item in cast("list[object]", value)]
            case _:
                return self._fields(value)

    def _item(self, item: object) -> Json:
        """An element of a vector; operations and results say what they are."""
        shown = self._value(item)
        if isinstance(item, Record) and isinstance(shown, dict):
            return {"type": type(item).__name__} | shown
        return shown


# Helpers


def _word(data: bytes) -> str | None:
    word = data[:4].decode("latin-1")
    return word if word in ADMIN_WORDS else None


def _cut(whose: str, rest: bytes) -> RemoteProtocolError | None:
    """The error for a stream that ends inside a frame."""
    if not rest:
        return None
    of = f" of {unpack_int(rest)[0] + 4}" if len(rest) >= 4 else ""
    return RemoteProtocolError(f"{whose} ends inside a frame: {len(rest)}{of} bytes of it are there")


def _is_connect_request(frame: bytes) -> bool:
    """Version 0, and a password that fills the frame, with or without the read-only byte after it."""
    return (
        len(frame) >= 28 and unpack_int(frame)[0] == 0 and len(frame) - 28 - max(unpack_int(frame, 24)[0], 0) in (0, 1)
    )


def _is_connect_response(frame: bytes) -> bool:
    return (
        len(frame) >= 20 and unpack_int(frame)[0] == 0 and len(frame) - 20 - max(unpack_int(frame, 16)[0], 0) in (0, 1)
    )


def _reader(opcode: int) -> Callable[[bytes, int, int], object] | None:
    """How to read the record of a reply to this kind of request."""
    kind: type[Request[object]] | None = REQUEST_TYPES.get(opcode)
    return None if kind is None else kind.__new__(kind).decode_response


def _name(names: type[IntEnum], number: int) -> Json:
    """The name of a number, or the number itself where it has none."""
    try:
        return names(number).name
    except ValueError:
        return number


def _data(data: bytes) -> Json:
    """Bytes as base64, with a preview where they are text."""
    shown: Message = {"size": len(data), "base64": b64encode(data).decode("ascii")}
    try:
        text = data[: _PREVIEW * 4].decode()
    except UnicodeDecodeError as error:
        # The cut may stand inside a character.
        text = data[: error.start].decode() if len(data) > _PREVIEW * 4 and error.start > _PREVIEW * 4 - 4 else ""
    if text and all(c.isprintable() or c in "\n\t" for c in text):
        shown["text"] = text if len(text) <= _PREVIEW else text[:_PREVIEW] + "…"
    return shown
