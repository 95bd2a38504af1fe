"""One rule of a proxy: which frames it strikes, what becomes of them, and whether that has happened.

Rule: a fault on replies counts requests when they pass, and strikes the reply of the one that was counted; only
notifications, which nobody asked for, are counted when they come.
"""

from __future__ import annotations

from zk_wire import OpCode

from ..errors import NotSeenError, TestingError
from .effects import TO_CLIENT, Direction, Effect
from .kinds import Matcher
from .record import Monitor, Passed

__all__ = ["Fault"]


class Fault:
    """A rule that was set on a proxy; tells whether and when it struck. Made by the language's methods.

    line: the rule as a line of a script.   nth: only the nth frame in each direction; None strikes every one.
    """

    def __init__(
        self,
        line: str,
        kind: str | OpCode,
        nth: int | None,
        directions: tuple[Direction, ...],
        effect: Effect,
    ) -> None:
        if nth is not None and nth < 1:
            raise ValueError(f"frames are counted from 1 (the next one), not {nth}")
        matcher = Matcher(kind)
        if matcher.only_to_client and TO_CLIENT not in directions:
            raise ValueError(f"only servers send a {matcher.name}: {line} would never strike")
        self.line = line
        self.effect = effect
        self._matcher = matcher
        self._nth = nth
        self._seen = dict.fromkeys(directions, 0)
        self._cancelled = False
        self._struck: list[Passed] = []
        self._monitor: Monitor | None = None

    def __repr__(self) -> str:
        state = "cancelled, " if self._cancelled else ""
        return f"<Fault: {self.line}; {state}{self._counted} counted, {len(self.struck)} struck>"

    @property
    def struck(self) -> tuple[Passed, ...]:
        """The frames it struck so far: whoever has received one that came late or damaged finds it here."""
        if self._monitor is None:
            return ()
        with self._monitor:
            return tuple(self._struck)

    def wait(self, timeout: float = 10.0) -> Passed:
        """Wait until it has struck, and return the first frame it struck: a lost one at once, any other one when it
        has passed. Raises NotSeenError after `timeout` seconds."""
        if self._monitor is None:
            raise TestingError(f"{self!r} was not set on a proxy")
        with self._monitor:
            if not self._monitor.wait_for(lambda: self._struck, timeout):
                raise NotSeenError(f"not within {timeout} s: {self.line} ({self._counted} frames were counted)")
            return self._struck[0]

    def cancel(self) -> None:
        """Strike no more; replies of requests that were counted already are still struck."""
        self._cancelled = True

    # For the proxy

    def set_on(self, monitor: Monitor) -> None:
        """It belongs to a proxy from now on."""
        self._monitor = monitor

    def counts(self, direction: Direction, kind: str, opcode: int | None) -> bool:
        """Count a passing request (or notification), and say whether this is one to strike.

        direction: where the frame to be struck goes: the request itself, or its reply.
        """
        seen = self._seen.get(direction)
        if seen is None or self._cancelled or (self._nth is not None and seen >= self._nth):
            return False
        if kind == "notification" and not self._matcher.only_to_client and (self.effect.end or self._nth):
            return False  # "any" means replies; but a slow line is slow for notifications too
        if not self._matcher.fits(kind, opcode):
            return False
        self._seen[direction] = seen + 1
        return self._nth is None or seen + 1 == self._nth

    def strike(self, passed: Passed) -> bool:
        """Tell that a frame was lost, or has passed harmed; returns whether it was the first one."""
        if self._monitor is None:
            raise TestingError(f"{self!r} was not set on a proxy")
        with self._monitor:
            self._struck.append(passed)
            self._monitor.notify_all()
        return len(self._struck) == 1

    @property
    def _counted(self) -> int:
        return sum(self._seen.values())
