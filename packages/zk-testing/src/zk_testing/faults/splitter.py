"""Cuts a byte stream into frames without judging them, for a proxy.

Rule: what goes in comes out, every byte, in order. A proxy must pass on what a codec would refuse, so a stream whose
next length is no frame's (a four-letter word, TLS, garbage) is passed on as raw pieces from there to its end.
"""

from __future__ import annotations

__all__ = ["FrameSplitter"]

_MAX_FRAME = 64 << 20


class FrameSplitter:
    """Frames (length prefix included) or, once `raw` is True, pieces as they came."""

    def __init__(self) -> None:
        self.raw = False
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes and return what is complete now."""
        buffer = self._buffer
        buffer += data
        pieces: list[bytes] = []
        position = 0
        while not self.raw and len(buffer) - position >= 4:
            length = int.from_bytes(buffer[position : position + 4], "big", signed=True)
            if not 0 <= length <= _MAX_FRAME:
                self.raw = True
                break
            end = position + 4 + length
            if end > len(buffer):
                break
            pieces.append(bytes(buffer[position:end]))
            position = end
        del buffer[:position]
        if self.raw and buffer:
            pieces.append(self.rest())
        return pieces

    def rest(self) -> bytes:
        """What is left of an unfinished frame; it is forgotten here."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest
