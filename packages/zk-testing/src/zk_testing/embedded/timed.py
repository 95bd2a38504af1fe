"""A core to which time is told, and how it is told much of it at once.

Rule: what is due on the way happens at its own moment, in order, as if `tick` had been called for each.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from .front import Output

__all__ = ["Timed"]


class Timed(ABC):
    """A server or an ensemble; time is milliseconds since 1970."""

    @abstractmethod
    def tick(self, now_ms: int) -> list[Output]:
        """Do everything that is due."""

    @abstractmethod
    def next_deadline_ms(self) -> int | None:
        """When `tick` has something to do next; None while there is nothing to wait for."""

    def advance(self, now_ms: int, until_ms: int) -> list[Output]:
        """Let time pass, with everything that is due on the way happening at its own moment."""
        out: list[Output] = []
        while True:
            due = self.next_deadline_ms()
            if due is None or due > until_ms:
                return out + self.tick(until_ms)
            now_ms = max(now_ms, due)
            out += self.tick(now_ms)
