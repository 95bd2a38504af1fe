"""The two kinds of connection of a comparison: over a socket to a real server, and to one in memory."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Sequence

from conformance_told import DifferenceError, xid_of

from zk_testing.embedded import MemoryConnection
from zk_wire import FrameBuffer

__all__ = ["EmbeddedLine", "RealLine", "frame"]

_PATIENCE = 20.0  # seconds


class Line:
    """One connection: frames in, frames out."""

    def __init__(self) -> None:
        self.frames = FrameBuffer()
        self.inbox: list[bytes] = []
        self.ended = False

    def take(self) -> list[bytes]:
        taken, self.inbox = self.inbox, []
        return taken


class RealLine(Line):
    """To a real server; `send` only sends."""

    def __init__(self, address: str) -> None:
        super().__init__()
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), _PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, frames: bytes) -> None:
        try:
            self._socket.sendall(frames)
        except OSError:
            self.ended = True

    def read(self) -> None:
        """Take what comes next; sets `ended` at the end."""
        try:
            data = self._socket.recv(1 << 16)
        except TimeoutError:
            raise DifferenceError("the real server is silent where an answer was expected") from None
        except ConnectionError:
            data = b""
        if not data:
            self.ended = True
        self.inbox += self.frames.feed(data)

    def read_until(self, xids: Sequence[int]) -> None:
        """Take what comes until all of these are answered, or it ends."""
        while not self.ended:
            missing = Counter(xids)
            missing.subtract(xid_of(frame) for frame in self.inbox)
            if not any(count > 0 for count in missing.values()):
                return
            self.read()

    def read_all(self) -> None:
        while not self.ended:
            self.read()

    def close(self) -> None:
        self._socket.close()
        self.ended = True


class EmbeddedLine(Line):
    """To a server in memory, which has answered when `send` returns."""

    def __init__(self, connection: MemoryConnection) -> None:
        super().__init__()
        self._connection = connection

    def send(self, frames: bytes) -> None:
        self._connection.send(frames)
        self.pull()

    def pull(self) -> None:
        self.inbox += self.frames.feed(self._connection.take())
        self.ended = self._connection.closed

    def close(self) -> None:
        self._connection.close()
        self.ended = True


def frame(xid: int, payload: bytes) -> bytes:
    """The frame of a request."""
    content = xid.to_bytes(4, "big", signed=True) + payload
    return len(content).to_bytes(4, "big") + content
