"""Where a server's time comes from.

Rule: milliseconds since 1970 that never go back: the wall clock is read once, and then the monotonic one.
"""

from __future__ import annotations

import math
import time

__all__ = ["Clock", "VirtualClock"]


class Clock:
    """The time of this machine."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return int((time.monotonic() + self._offset) * 1000)


class VirtualClock(Clock):
    """Time that stands still until it is moved, by `advance` of the server that has it.   now_ms: where it begins."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return self._now_ms

    def after(self, seconds: float) -> int:
        """The time in so many seconds, in milliseconds. Raises ValueError unless they are finite and at least 0."""
        if not 0 <= seconds < math.inf:
            raise ValueError(f"time passes by 0 seconds or more, not by {seconds}")
        return self.now_ms() + round(seconds * 1000)

    def move_to(self, now_ms: int) -> None:
        """Set the time. Raises ValueError for a moment that has passed."""
        if now_ms < self._now_ms:
            raise ValueError(f"time does not go back, from {self._now_ms} ms to {now_ms} ms")
        self._now_ms = now_ms
