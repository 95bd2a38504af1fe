"""One connection as an asyncio transport: bytes in for the handler, bytes out for the socket.

Rule: it decides nothing, and keeps nothing that an idle connection would pay for: all connections of a loop receive
into the same memory, because a loop hands over what it has read before it reads on. A large frame is received
into the memory where it belongs.
"""

from __future__ import annotations

import asyncio
import socket
from weakref import WeakKeyDictionary

from .flag import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .asyncio import AsyncHandler

RECEIVE = 65536
# A large frame is received in pieces of this size, so that a slow but living server is seen to live.
PIECE = 256 * 1024

_rooms: WeakKeyDictionary[asyncio.AbstractEventLoop, memoryview] = WeakKeyDictionary()


class Stream(asyncio.BufferedProtocol):
    """A connection; `ended` is set once nothing of it is left."""

    __slots__ = ("_handler", "_large", "_room", "_socket", "_transport", "ended", "missing", "write")

    def __init__(self, handler: AsyncHandler, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        self._handler = handler
        self._socket = sock
        self._room = _room_of(loop)
        self._large: memoryview | None = None
        self.missing = 0  # bytes that the frame under way still needs, when it is a large one
        self.ended = Flag()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        # Known by what it can do, not by its class: uvloop's transports are none of asyncio's.
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.write = self._transport.write

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to receive into."""
        if self.missing:
            self._large = self._handler.core.room()
            return self._large[:PIECE]
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes arrived."""
        large = self._large
        if large is None:
            self._handler.received(self, bytes(self._room[:nbytes]))
        else:
            self._large = None
            large.release()
            self._handler.received(self, nbytes)

    def eof_received(self) -> bool:
        """The server has closed; so do we."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self.ended.set()
        self._handler.lost(self, "closed by the server" if exc is None else f"connection lost: {exc}")

    def abort(self) -> None:
        """End the connection now."""
        self._transport.abort()

    def forked(self) -> None:
        """In a forked child: free the descriptor; the connection is the parent's."""
        self._socket.close()

    @property
    def peer(self) -> tuple[str, int] | None:
        """The server's address."""
        name = self._transport.get_extra_info("peername")
        return (name[0], name[1]) if name else None


def _room_of(loop: asyncio.AbstractEventLoop) -> memoryview:
    if type(loop).__name__ == "ProactorEventLoop":
        # It asks for memory long before the bytes come.
        return memoryview(bytearray(RECEIVE))
    room = _rooms.get(loop)
    if room is None:
        room = _rooms[loop] = memoryview(bytearray(RECEIVE))
    return room
