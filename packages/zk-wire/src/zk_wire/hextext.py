"""Captured bytes as people write them down: hexadecimal text with marks for the direction, and comments.

Rule: no I/O; text is fed in any portions, and nothing is kept but half a byte.
"""

from __future__ import annotations

from .errors import RemoteProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    Direction: TypeAlias = Literal["client", "server"]

_DIGITS = b"0123456789abcdefABCDEF"
_SPACE = b" \t\r\v\f"
_SIDES: dict[bytes, Direction] = {b">": "client", b"<": "server"}


class HexReader:
    """Turns hexadecimal text into bytes with their direction.

    White space and line ends may stand anywhere between digits. `#` starts a comment that ends with its line. A line
    that starts with `>` (client to server) or `<` (server to client) sets the direction of what follows.
    """

    def __init__(self) -> None:
        self.direction: Direction | None = None
        self._line = 1
        self._line_begins = True
        self._comment = False
        self._digit = b""  # the first half of a byte
        self.pending_error: RemoteProtocolError | None = None

    def feed(self, text: bytes) -> list[tuple[Direction | None, bytes]]:
        """Return the bytes that `text` completes, in runs of one direction (None before the first mark).

        Raises RemoteProtocolError, which names the line, for anything but digits, marks and comments. What stood
        before it comes first: the error is raised by the next call.
        """
        self._raise_pending()
        runs: list[tuple[Direction | None, bytes]] = []
        try:
            for number, piece in enumerate(text.split(b"\n")):
                if number:
                    self._line += 1
                    self._line_begins, self._comment = True, False
                self._take(piece, runs)
        except RemoteProtocolError as error:
            self.pending_error = error
        return runs

    def finish(self) -> None:
        """Raise RemoteProtocolError when the text ended in half a byte, or was wrong before."""
        self._raise_pending()
        if self._digit:
            raise RemoteProtocolError(f"line {self._line}: the text ends in half a byte ({self._digit.decode()!r})")

    def _raise_pending(self) -> None:
        if self.pending_error is not None:
            raise self.pending_error

    def _take(self, piece: bytes, runs: list[tuple[Direction | None, bytes]]) -> None:
        if self._comment:
            return
        piece, mark, _ = piece.partition(b"#")
        self._comment = bool(mark)
        if self._line_begins:
            piece = piece.lstrip(_SPACE)
            if not piece:
                return
            self._line_begins = False
            side = _SIDES.get(piece[:1])
            if side is not None:
                if self._digit:
                    raise RemoteProtocolError(f"line {self._line}: the line before it ends in half a byte")
                self.direction = side
                piece = piece[1:]
        digits = self._digit + piece.translate(None, _SPACE)
        wrong = digits.lstrip(_DIGITS)
        good = len(digits) - len(wrong)
        data = bytes.fromhex(digits[: good & ~1].decode("ascii"))
        if data:
            runs.append((self.direction, data))
        if wrong:
            shown = wrong[:1].decode("ascii", "backslashreplace")
            raise RemoteProtocolError(f"line {self._line}: {shown!r} is no hexadecimal digit")
        self._digit = digits[good & ~1 :]
