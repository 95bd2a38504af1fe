"""What is logged while there is no server: each host's first failure in full, after that a sum once a minute.

Rule: no clock; it returns lines, as (level, text). A cluster that is down for a night must not fill a disk, and whoever
reads the log in the morning must see since when, and why.
"""

from __future__ import annotations

DEBUG, INFO, WARNING = 10, 20, 30
# Seconds between two sums.
BETWEEN = 60.0


class Outage:
    """The time without a server, from the loss of a connection or a start to the next session."""

    __slots__ = ("_told", "failures", "since")

    def __init__(self) -> None:
        self.since: float | None = None
        self.failures = 0
        self._told = 0.0

    def begin(self, now: float) -> None:
        """There is no server from now on; no effect where there was none already."""
        if self.since is None:
            self.since = self._told = now
            self.failures = 0

    def failed(self, now: float, hosts: int, where: str, reason: str) -> tuple[int, str]:
        """An attempt at one of so many hosts has failed."""
        self.begin(now)
        assert self.since is not None
        self.failures += 1
        if now - self._told >= BETWEEN:
            self._told = now
            return WARNING, (
                f"no server for {now - self.since:.0f} s, {self.failures} attempts failed: cannot use {where}: {reason}"
            )
        return INFO if self.failures <= hosts else DEBUG, f"cannot use {where}: {reason}"

    def end(self, now: float) -> str:
        """There is a server; returns what to add to the line that says so."""
        since, self.since = self.since, None
        if since is None:
            return ""
        return f", after {now - since:.1f} s without a server (failed attempts: {self.failures})"
