"""What is logged of connections that are lost and found, and of the time between, so that it can be read afterwards.

Rule: no clock; it returns lines, as (level, text). A cluster that is down for a night, or takes connections and drops
them a thousand times, must not fill a disk; and whoever reads the log in the morning must see since when, how often,
and why.

While there is no server, each host's first failure is told in full, after that a sum once a minute. Of connections
that are lost one after the other the first few are told in full, after that a sum once a minute as well, until a
minute has passed without one. What is left out is there at the level of debugging.
"""

from __future__ import annotations

DEBUG, INFO, WARNING = 10, 20, 30
# Seconds between two sums.
BETWEEN = 60.0
# Lost connections within that time which are told one by one.
LOUD = 4


class Outage:
    """The connections a session loses, and the time without a server from there, or from a start, to the next one."""

    __slots__ = ("_losses", "_served", "_told", "_unsaid", "_window", "failures", "since")

    def __init__(self) -> None:
        self.since: float | None = None
        self.failures = 0
        self._told = 0.0
        self._served: float | None = None  # since when there is a server
        self._window: float | None = None  # since when losses are counted
        self._losses = 0
        self._unsaid = 0  # of those, how many were not told

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

    def end(self, now: float) -> tuple[int, str]:
        """There is a server; returns the level of the line that says so, and what to add to it."""
        self._served = now
        level = DEBUG if self._losses > LOUD else INFO
        since, self.since = self.since, None
        if since is None:
            return level, ""
        return level, f", after {now - since:.1f} s without a server (failed attempts: {self.failures})"

    def lost(self, now: float, whose: str, where: str, reason: str) -> tuple[int, str]:
        """A connection was lost that had a session."""
        served, self._served = self._served, None
        self.begin(now)
        text = f"{whose}: connection to {where} lost"
        if served is not None:
            text += f" after {now - served:.1f} s"
        text += f": {reason}"
        if self._window is None or now - self._window >= BETWEEN:
            return self._open_window(now, text)
        self._losses += 1
        if self._losses < LOUD:
            return INFO, text
        if self._losses == LOUD:
            return INFO, f"{text} (more of them are summed up)"
        self._unsaid += 1
        return DEBUG, text

    def _open_window(self, now: float, text: str) -> tuple[int, str]:
        window, self._window = self._window, now
        unsaid, self._unsaid = self._unsaid, 0
        if window is None or not unsaid:
            self._losses = 1
            return INFO, text
        # Where it goes on without a pause it is not told one by one again.
        self._losses = LOUD + 1 if now - window < 2 * BETWEEN else 1
        return WARNING, f"{text} ({unsaid} more in the last {now - window:.0f} s)"
