"""One direction of a connection: what waits to be handed on, and when each piece of it may.

Rule: first in, first out; a piece that is late holds what is behind it. Time is an argument, in seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Literal

from .effects import Direction, Pace, Then
from .splitter import FrameSplitter

__all__ = ["End", "Item", "Lane"]

End = Literal["eof"] | Then

_HIGH_WATER = 1 << 22  # bytes waiting above which the source is not read: back-pressure


class Item:
    """Something on its way: bytes, or (with `end`) what becomes of the connection when its turn comes."""

    __slots__ = ("data", "done", "due", "end", "pace", "release_at")

    def __init__(
        self,
        data: bytes,
        release_at: float,
        *,
        pace: Pace | None = None,
        done: Callable[[float], None] | None = None,
        end: End | None = None,
    ) -> None:
        self.data = memoryview(data)
        self.release_at = release_at
        self.pace = pace
        self.done = done
        self.end: End | None = end
        self.due: float | None = None  # when the next piece may pass, once it is known


class Lane:
    """A queue, and the splitter that fills it."""

    def __init__(self, direction: Direction) -> None:
        self.direction: Direction = direction
        self.splitter = FrameSplitter()
        self.ended = False  # nothing more is taken from the source: it has ended, or a frame did not pass whole
        self._queue: deque[Item] = deque()
        self._queued = 0
        self._free_at = 0.0  # when the piece before has had its pause

    @property
    def head(self) -> Item | None:
        """What is to be handed on next."""
        return self._queue[0] if self._queue else None

    @property
    def is_full(self) -> bool:
        """Whether so much waits that no more should be read."""
        return self._queued >= _HIGH_WATER

    def add(self, item: Item) -> None:
        """Put something at the end."""
        self._queue.append(item)
        self._queued += len(item.data)
        if item.end is not None:
            self.ended = True

    def pop(self) -> None:
        """Take the head away."""
        self._queued -= len(self._queue.popleft().data)

    def hurry(self) -> None:
        """Let everything pass at once."""
        for item in self._queue:
            item.release_at, item.pace = 0.0, None

    def next_at(self) -> float | None:
        """When the head may move on; None when there is none."""
        if not self._queue:
            return None
        item = self._queue[0]
        if item.pace is None or not item.data:
            return item.release_at
        if item.due is None:
            size = min(item.pace.piece, len(item.data))
            item.due = max(item.release_at, self._free_at) + size * item.pace.per_byte
        return item.due

    def ready(self, now: float) -> memoryview | None:
        """The bytes that may be handed on now, of the head only; None when there are none."""
        at = self.next_at()
        if at is None or at > now:
            return None
        item = self._queue[0]
        if item.end is not None:
            return None
        return item.data if item.pace is None else item.data[: item.pace.piece]

    def sent(self, count: int, now: float) -> None:
        """So many bytes of the head were handed on."""
        item = self._queue[0]
        whole_piece = item.pace is not None and count >= min(item.pace.piece, len(item.data))
        item.data = item.data[count:]
        self._queued -= count
        if item.pace is not None and whole_piece:
            item.due = None
            self._free_at = now + item.pace.pause
        if not item.data:
            self._queue.popleft()
            if item.done is not None:
                item.done(now)
