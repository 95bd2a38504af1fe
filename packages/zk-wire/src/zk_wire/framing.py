"""Whole frames out of a stream of bytes.

Rule: a frame's length is judged as soon as its four bytes are there, so that what is kept never
exceeds the limit; the pieces of a large frame are joined once, however many there are.
"""

from __future__ import annotations

from .errors import RemoteProtocolError
from .primitives import unpack_int

LARGE_FRAME = 64 * 1024  # bytes; below it, asking the socket for exactly the rest gains nothing
_SMALL_PIECE = 4096  # bytes; smaller pieces are gathered, so that keeping them costs no list entry each
# A large frame's buffer is kept for the next one up to this size: that of the largest node data by default.
_LONGEST_SPARE = 1 << 20
_NO_BUFFER = bytearray()  # of everybody who has met no large frame yet; it is replaced, never grown


class PartialFrame:
    """The beginning of a frame whose end has not come yet.

    need: bytes until it is worth looking again, 0 when nothing is kept.
    missing: the same once the frame is known to be larger than 64 KiB, else 0.
    """

    __slots__ = ("_buffer", "_filled", "_least", "_limit", "_pieces", "missing", "need")

    def __init__(self, limit: int, least: int = 0) -> None:
        """limit, least: what a frame's length may be, in bytes after the length itself."""
        self._limit = limit
        self._least = least
        self._pieces: list[bytes | bytearray] = []
        self._buffer = _NO_BUFFER
        self._filled = 0
        self.need = 0
        self.missing = 0

    def judge(self, length: int) -> None:
        """Raise RemoteProtocolError for a length that no frame may have."""
        if length > self._limit:
            raise RemoteProtocolError(f"a frame of {length} bytes, but {self._limit} is the limit")
        if length < self._least:
            raise RemoteProtocolError(f"a frame of {length} bytes, but {self._least} is the least possible")

    def keep(self, buf: bytes, pos: int) -> None:
        """Keep buf[pos:], which is not empty and does not hold a whole frame.

        Raises RemoteProtocolError when its length shows already that it is no frame.
        """
        have = len(buf) - pos
        if have < 4:
            self.need = 4 - have
        else:
            length: int = unpack_int(buf, pos)[0]
            self.judge(length)
            self.need = 4 + length - have
            self.missing = self.need if length > LARGE_FRAME else 0
        self._pieces.append(buf[pos:])

    def room(self) -> memoryview:
        """Return the memory in which the rest of a large frame belongs; call it only while `missing` is not 0."""
        if not self._filled:
            kept = b"".join(self._pieces)
            self._pieces.clear()
            self._filled = len(kept)
            if len(self._buffer) < self._filled + self.need:
                self._buffer = bytearray(self._filled + self.need)
            self._buffer[: self._filled] = kept
        return memoryview(self._buffer)[self._filled : self._filled + self.need]

    def fill(self, count: int) -> memoryview | None:
        """Take note of `count` bytes written into `room`; return the whole frame once it is there."""
        self._filled += count
        self.need -= count
        self.missing = self.need
        return None if self.need else memoryview(self._buffer)[: self._filled]

    def add(self, data: bytes) -> bytes | None:
        """Add what came next; return all of it joined once there is enough, and keep nothing then."""
        pieces = self._pieces
        if self._filled:
            pieces.append(bytes(self._buffer[: self._filled]))
            self._filled = 0
        if len(data) < self.need:
            self.need -= len(data)
            if self.missing:
                self.missing = self.need
            if len(data) >= _SMALL_PIECE:
                pieces.append(data)
            elif isinstance(pieces[-1], bytearray):
                pieces[-1] += data
            else:
                pieces.append(bytearray(data))
            return None
        pieces.append(data)
        joined = b"".join(pieces)
        self.clear()
        return joined

    def content(self) -> bytes:
        """Return what is kept."""
        return bytes(self._buffer[: self._filled]) + b"".join(self._pieces)

    def clear(self) -> None:
        """Keep nothing but a buffer of a usual size: memory that is new each time costs more than the copying."""
        self._pieces.clear()
        self._filled = self.need = self.missing = 0
        if len(self._buffer) > _LONGEST_SPARE:
            self._buffer = _NO_BUFFER


class FrameBuffer:
    """Cuts a stream of either direction into frames, without looking into them.

    max_frame: the longest frame to accept, in bytes.  When bytes come that are no frame, the
    frames before them are still returned, `pending_error` is set, and the next call raises it.
    """

    def __init__(self, max_frame: int = 64 * 1024 * 1024) -> None:
        self._partial = PartialFrame(max_frame)
        self.pending_error: RemoteProtocolError | None = None

    @property
    def missing(self) -> int:
        """How many bytes the frame at hand still needs, if it is larger than 64 KiB; else 0."""
        return self._partial.missing

    def feed(self, data: bytes) -> list[bytes]:
        """Return the frames that `data` completes, each without its length."""
        if self.pending_error is not None:
            raise self.pending_error
        frames: list[bytes] = []
        partial = self._partial
        buf: bytes | None = partial.add(data) if partial.need else data
        if buf is None:
            return frames
        pos, stop = 0, len(buf)
        try:
            while stop - pos >= 4:
                length: int = unpack_int(buf, pos)[0]
                partial.judge(length)
                end = pos + 4 + length
                if end > stop:
                    break
                frames.append(buf[pos + 4 : end])
                pos = end
            if pos < stop:
                partial.keep(buf, pos)
        except RemoteProtocolError as error:
            self.pending_error = error
        return frames

    def rest(self) -> bytes:
        """Return the bytes of a frame that has not come to its end."""
        return self._partial.content()
