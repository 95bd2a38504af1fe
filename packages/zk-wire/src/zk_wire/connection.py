"""The client's side of one connection: requests in, bytes out; bytes in, events out.

Rule: no I/O, no clock.  Replies to ordinary requests come in the order of sending, so each is
matched with the oldest request in flight, and its xid only has to agree.  Exceptions, made by the
server's network layer and allowed to overtake: answers to auth (xid -4, with a queue of their own)
and to SASL, "unknown opcode" (-6 with zxid -1) and "authenticate first" (-124).

Bytes that break the rules end the connection, never the program: `receive` returns what came
before them and sets `pending_error`; every later call raises it.

    NEW --connect()--> CONNECTING --> OPEN | REFUSED;  any --bad bytes--> FAILED;  any --close()--> CLOSED

One thread may call `send` while another calls `receive`: they share nothing but the queue.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from struct import Struct

from .errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from .events import Connected, ConnectRejected, Notification, PingAnswered, SessionGone
from .exchange import Exchange, describe
from .fast import decode_get_data, frame
from .framing import PartialFrame
from .opcodes import AUTH_XID, MAX_XID, NOTIFICATION_XID, PING_XID
from .primitives import decode_reply_text
from .session import ConnectRequest, ConnectResponse, ReplyHeader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import cast

    from .events import Event
else:
    from ._typing import cast

_unpack_head = Struct(">iiqi").unpack_from  # length, xid, zxid, err
_unpack_length = Struct(">i").unpack_from
_unpack_event = Struct(">iii").unpack_from  # type, state, length of the path
_pack_head = Struct(">ii").pack  # length, xid
_HEADER = 16  # bytes of a reply's header
_SASL = b"\0\0\0\x66"
_PING = frame(PING_XID, b"\0\0\0\x0b")


class ConnectionState(Enum):
    """Where a connection is in its life."""

    NEW = "new"
    CONNECTING = "connecting"
    OPEN = "open"
    REFUSED = "refused"
    FAILED = "failed"
    CLOSED = "closed"


_OPEN = ConnectionState.OPEN  # a global is found faster than a member
# The queue of every connection that has sent nothing yet; nothing is ever put into it, `send` makes another. A deque
# takes 760 bytes even when it is empty, which is more than all the rest of a connection.
_NOTHING: deque[Exchange[object]] = deque()


class ClientConnection:
    """One conversation with one server.

    max_frame: the longest frame to accept, in bytes.  A server sends replies of more than
    jute.maxbuffer when a node has many children.
    """

    __slots__ = (
        "_max_frame",
        "_partial",
        "_pings",
        "_xid",
        "auth_in_flight",
        "in_flight",
        "last_zxid",
        "missing",
        "pending_error",
        "state",
    )

    def __init__(self, *, max_frame: int = 64 * 1024 * 1024) -> None:
        self.state = ConnectionState.NEW
        self.in_flight: deque[Exchange[object]] = _NOTHING
        self.auth_in_flight: deque[Exchange[object]] = _NOTHING
        self.last_zxid = 0
        self.pending_error: RemoteProtocolError | None = None
        self._max_frame = max_frame
        self._partial = PartialFrame(max_frame, _HEADER)
        self._xid = 0
        self._pings = 0
        self.missing = 0  # bytes the frame at hand still needs, if it is larger than 64 KiB; else 0

    @property
    def closed_by(self) -> RemoteProtocolError | None:
        """What ended the connection, when it was bytes of the peer."""
        return self.pending_error

    # What to send

    def connect(self, request: ConnectRequest) -> bytes:
        """Return the first frame.  Send nothing else before Connected: a refusal could get lost."""
        if self.state is not ConnectionState.NEW:
            raise LocalProtocolError(f"connect() on a connection that is {self.state.value}")
        encoded = request.encode()
        self.state = ConnectionState.CONNECTING
        return len(encoded).to_bytes(4, "big") + encoded

    def send(self, exchange: Exchange[object]) -> bytes:
        """Give an exchange the next xid, queue it for its reply, and return its frame.

        Frames must go out in the order of these calls.
        Raises LocalProtocolError unless the connection is open, and then queues nothing.
        """
        if self.state is not _OPEN:
            raise self._not_open()
        xid = self._xid + 1 if self._xid < MAX_XID else 1
        self._xid = exchange.xid = xid
        payload = exchange.payload
        in_flight = self.in_flight
        if in_flight is _NOTHING:
            in_flight = self.in_flight = deque()
        in_flight.append(exchange)
        return _pack_head(len(payload) + 4, xid) + payload

    def send_auth(self, exchange: Exchange[object]) -> bytes:
        """Queue an AuthPacket, whose answer overtakes others, and return its frame."""
        if self.state is not _OPEN:
            raise self._not_open()
        exchange.xid = AUTH_XID
        if self.auth_in_flight is _NOTHING:
            self.auth_in_flight = deque()
        self.auth_in_flight.append(exchange)
        return frame(AUTH_XID, exchange.payload)

    def ping(self) -> bytes:
        """Return a ping; several may be on their way."""
        if self.state is not _OPEN:
            raise self._not_open()
        self._pings += 1
        return _PING

    def close(self) -> list[Exchange[object]]:
        """End the conversation; return every exchange without an answer, in the order of sending, auth first.

        An exchange whose answer came but could not be read has the answer's zxid.
        """
        self.state = ConnectionState.CLOSED
        unanswered = [*self.auth_in_flight, *self.in_flight]
        self.auth_in_flight.clear()
        self.in_flight.clear()
        self._partial.clear()
        self.missing = 0
        return unanswered

    def _not_open(self) -> LocalProtocolError:
        return LocalProtocolError(f"the connection is {self.state.value}: requests can be sent only while it is open")

    # What came in

    def receive(self, data: bytes) -> list[Event]:
        """Take bytes in any portions; return what they complete, in the order of the wire.

        When bad bytes are met, what came before them is returned and `pending_error` is set:
        look at it after each call.  Raises it (RemoteProtocolError) on every later call.
        """
        if self.pending_error is not None:
            raise self.pending_error
        events: list[Event] = []
        partial = self._partial
        buf = data
        if partial.need:
            joined = partial.add(data)
            self.missing = partial.missing
            if joined is None:
                return events
            buf = joined
        pos = 0
        try:
            if self.state is not _OPEN:
                pos = self._receive_first(buf, events)
                if self.state is ConnectionState.CLOSED:
                    return events
            if self.state is _OPEN:
                pos = self._receive_replies(buf, pos, events)
            if pos < len(buf):
                partial.keep(buf, pos)
                self.missing = partial.missing
        except RemoteProtocolError as error:
            self.state = ConnectionState.FAILED
            self.pending_error = error
        return events

    def receive_lone(self, data: bytes) -> Exchange[object] | None:
        """Take bytes that are exactly one reply without an error, to the oldest request; return its exchange.

        The short way of the commonest case.  None for everything else, of which nothing was taken then: bad bytes too
        are for `receive`.
        """
        in_flight = self.in_flight
        size = len(data)
        if size < 20 or not in_flight or self._partial.need or self.state is not _OPEN:
            return None
        length, xid, zxid, err = _unpack_head(data)
        exchange = in_flight[0]
        if length != size - 4 or xid != exchange.xid or err or length > self._max_frame:
            return None
        try:
            exchange.reply = exchange.decode(data, 20, size)
        except Exception:  # noqa: BLE001 - it will be raised again, and told, by `receive`
            return None
        in_flight.popleft()
        exchange.zxid = zxid
        if zxid > self.last_zxid:
            self.last_zxid = zxid
        return exchange

    def room(self) -> memoryview:
        """Return the memory in which the rest of a large frame belongs, while `missing` is not 0.

        Write to its front, release it, and tell how much it was by `filled`. That saves the copies that `receive`
        makes of such a frame. Bytes behind the frame must not be taken this way.
        """
        return self._partial.room()

    def filled(self, count: int) -> list[Event]:
        """Take note of `count` bytes written into `room`; return and raise as `receive` does."""
        if self.pending_error is not None:
            raise self.pending_error
        events: list[Event] = []
        view = self._partial.fill(count)
        self.missing = self._partial.missing
        if view is None:
            return events
        if self.state is not _OPEN:
            whole = bytes(view)
            view.release()
            self._partial.clear()
            return self.receive(whole)
        try:
            oldest = self.in_flight[0] if self.in_flight else None
            _, xid, _, err = _unpack_head(view)
            if oldest is not None and oldest.decode is decode_get_data and oldest.xid == xid and not err:
                # Of a large node only the data is copied, once.
                self._receive_replies(cast("bytes", view), 0, events)
                if oldest.reply is not None:
                    data, stat = cast("tuple[bytes, object]", oldest.reply)
                    oldest.reply = (bytes(data), stat)
            else:
                self._receive_replies(bytes(view), 0, events)
        except RemoteProtocolError as error:
            self.state = ConnectionState.FAILED
            self.pending_error = error
        finally:
            view.release()
            self._partial.clear()
        return events

    def _receive_replies(self, buf: bytes, pos: int, events: list[Event]) -> int:
        """Read whole frames from `pos` on; return the position of the one that is not whole."""
        size = len(buf)
        max_frame = self._max_frame
        last_zxid = self.last_zxid
        in_flight = self.in_flight
        oldest = in_flight.popleft
        add = events.append
        body = pos + 20
        while body <= size:
            length, xid, zxid, err = _unpack_head(buf, pos)
            end = pos + 4 + length
            if not body <= end <= size or length > max_frame:
                break  # incomplete, or not to be: keep() will tell
            if xid > 0 and in_flight:
                exchange = oldest()
                if exchange.xid != xid:
                    in_flight.appendleft(exchange)
                    exchange = self._overtaking(xid, zxid, err)
                exchange.zxid = zxid
                if err:
                    exchange.error = err
                else:
                    try:
                        exchange.reply = exchange.decode(buf, body, end)
                    except Exception as error:
                        in_flight.appendleft(exchange)
                        raise _undecodable(exchange, error) from error
                if zxid > last_zxid:
                    self.last_zxid = last_zxid = zxid
                add(exchange)
            else:
                add(self._receive_special(buf, body, end, xid, zxid, err))
            pos = end
            body = pos + 20
        if pos + 4 <= size:
            self._partial.judge(_unpack_length(buf, pos)[0])
        return pos

    def _overtaking(self, xid: int, zxid: int, err: int) -> Exchange[object]:
        """Take a request that is not the oldest out of the queue, if its reply may overtake."""
        in_flight = self.in_flight
        by_error = err == -124 or (err == -6 and zxid == -1)
        for exchange in tuple(in_flight):
            if exchange.xid == xid and (by_error or exchange.payload[:4] == _SASL):
                in_flight.remove(exchange)
                return exchange
        raise RemoteProtocolError(
            f"reply for xid {xid}, but the oldest request in flight is xid {in_flight[0].xid} "
            f"({describe(in_flight[0].payload)})"
        )

    def _receive_special(self, buf: bytes, pos: int, end: int, xid: int, zxid: int, err: int) -> Event:
        """Read the frames that answer no ordinary request."""
        if xid == NOTIFICATION_XID:
            return _notification(buf, pos, end, zxid)
        if xid == PING_XID and self._pings:
            if pos != end and not err:
                raise RemoteProtocolError(f"the answer to a ping has {end - pos} trailing bytes")
            self._pings -= 1
            return PingAnswered(zxid, err)
        if xid == AUTH_XID and self.auth_in_flight:
            exchange = self.auth_in_flight.popleft()
            exchange.zxid = zxid
            if err:
                exchange.error = err
                return exchange
            try:
                exchange.reply = exchange.decode(buf, pos, end)
            except Exception as error:
                self.auth_in_flight.appendleft(exchange)
                raise _undecodable(exchange, error) from error
            return exchange
        raise RemoteProtocolError(f"reply for xid {xid}, but no such request is in flight")

    def _receive_first(self, buf: bytes, events: list[Event]) -> int:
        """Read the answer to connect(), if it is whole; return the position behind it."""
        if not buf or self.state is ConnectionState.CLOSED:
            return 0
        if self.state is not ConnectionState.CONNECTING:
            raise RemoteProtocolError(f"{len(buf)} bytes on a connection that is {self.state.value}")
        if len(buf) < 4:
            return 0
        length: int = _unpack_length(buf, 0)[0]
        self._partial.judge(length)
        end = 4 + length
        if end > len(buf):
            return 0
        if length == _HEADER:
            header = ReplyHeader.decode(buf, 4, end)
            if not header.err:
                raise RemoteProtocolError("the answer to the connect request is a reply header without an error")
            return self._refused(ConnectRejected(header.err), buf, end, events)
        response = ConnectResponse.decode(buf, 4, end)
        read_only = bool(response.read_only)
        if response.timeout_ms <= 0:
            return self._refused(SessionGone(read_only), buf, end, events)
        self.state = ConnectionState.OPEN
        events.append(
            Connected(
                response.session_id,
                response.password,
                response.timeout_ms,
                read_only,
                response.protocol_version,
                response.read_only is not None,
            )
        )
        return end

    def _refused(self, event: SessionGone | ConnectRejected, buf: bytes, end: int, events: list[Event]) -> int:
        self.state = ConnectionState.REFUSED
        events.append(event)
        if end < len(buf):
            raise RemoteProtocolError(f"{len(buf) - end} bytes behind the refusal of the session")
        return end


def _notification(buf: bytes, pos: int, end: int, zxid: int) -> Notification:
    """Read a WatcherEvent, in one go when it is what servers send."""
    size = end - pos - 12
    if size >= 0:
        kind, state, length = _unpack_event(buf, pos)
        if length == size:
            return Notification(kind, state, decode_reply_text(buf[pos + 12 : end]), zxid)
        if length == -1 and size == 0:
            return Notification(kind, state, "", zxid)
    raise RemoteProtocolError(f"a watch event of {end - pos} bytes: truncated, or with trailing bytes")


def _undecodable(exchange: Exchange[object], error: Exception) -> RemoteProtocolError:
    reason = str(error) if isinstance(error, ProtocolError) else f"{type(error).__name__}: {error}"
    return RemoteProtocolError(f"reply for xid {exchange.xid} ({describe(exchange.payload)}): {reason}")
