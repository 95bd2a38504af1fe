"""When a client that is attached to a read-only server looks for a read-write one.

Rule: every configured host is asked in each search; the pause between searches grows from 0.1 s to 60 s (as the
Java client's, which asks one host at a time).
"""

from __future__ import annotations

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 60.0


class Search:
    """The schedule of one attachment to a read-only server."""

    __slots__ = ("_pause", "due", "running")

    def __init__(self, now: float) -> None:
        self._pause = FIRST_PAUSE
        self.due = now + FIRST_PAUSE
        self.running = False

    def failed(self, now: float) -> None:
        """No read-write server was found: wait longer before the next search."""
        self.running = False
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        self.due = now + self._pause
