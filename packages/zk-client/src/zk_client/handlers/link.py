"""One TCP connection under the blocking handler: who may read it, who may write it, when it may be closed.

Rule: a descriptor is closed only when nobody is inside `recv` or `send` on it, because the number could by then
belong to another file. `shutdown` ends both from outside.
"""

from __future__ import annotations

import select
import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .base import RuntimeLock

RECEIVE = 65536
# A large frame is received in pieces of this size, so that a slow but living server is seen to live.
PIECE = 256 * 1024
DONT_WAIT: int = getattr(socket, "MSG_DONTWAIT", 0)


class Link:
    """A connected socket; blocking from here on."""

    recv: Callable[..., bytes]
    send: Callable[[bytes], None]  # everything, waiting while the server does not take it

    def __init__(self, sock: socket.socket, lead: RuntimeLock) -> None:
        self.socket = sock
        self.recv = sock.recv
        self.send = sock.sendall
        self.lead = lead  # held by whoever reads
        self.sending = False  # guarded by the handler's mutex
        self.rest = b""  # what a send that would not wait, or was cut off, has left over
        self.dead = False
        # The exception that ended a wait of this connection's from outside, when no byte was lost by it.
        self.spared: BaseException | None = None
        self.unsent = b""  # what a `send` that was ended so has left over
        self._poll: select.poll | None = None  # kept, as making one costs more than asking it

    def receive_into(self, room: memoryview, *, wait: bool) -> int:
        """Receive more of a large frame into the memory where it belongs; 0 at the end of the connection."""
        return self.socket.recv_into(room, min(len(room), PIECE), 0 if wait else DONT_WAIT)

    def readable(self, timeout: float) -> bool:
        """Wait until something can be received, at most `timeout` seconds; only whoever leads may ask."""
        poll = self._poll
        if poll is None:
            poll = select.poll()
            poll.register(self.socket, select.POLLIN)
            self._poll = poll
        return bool(poll.poll(max(0, int(timeout * 1000 + 0.999))))

    def send_some(self, data: bytes) -> bytes:
        """Send what can be sent without waiting and return the rest."""
        try:
            sent = self.socket.send(data, DONT_WAIT)
        except BlockingIOError:
            return data
        return data[sent:]

    def shutdown(self) -> None:
        """End the connection; whoever is reading or writing notices at once."""
        self.dead = True
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self) -> bool:
        """Close the descriptor unless it is in use; whether it is closed now."""
        if self.sending or not self.lead.acquire(False):
            return False
        self.socket.close()
        return True

    def forked(self) -> None:
        """In a forked child: free the descriptor; the connection is the parent's."""
        self.dead = True
        self.socket.close()

    @property
    def peer(self) -> tuple[str, int] | None:
        """The server's address, or None when the connection is gone."""
        try:
            host, port = self.socket.getpeername()[:2]
        except OSError:
            return None
        return host, port
