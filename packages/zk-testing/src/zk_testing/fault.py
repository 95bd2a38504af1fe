"""One rule of a proxy: which frames it strikes, what becomes of them, and whether that has happened.

Rule: a fault on replies counts requests when they pass, and strikes the reply of the one that was counted; only
notifications, which nobody asked for, are counted when they come.
"""

from __future__ import annotations

import threading

from zk_wire import OpCode

from ._relay import TO_CLIENT, TO_SERVER, Direction, Then
from .errors import NotSeenError
from .kinds import Matcher
from .record import Passed

__all__ = ["Fault"]


class Fault:
    """A rule that was set on a proxy; tells whether and when it struck.

    `counts` and `strike` are for the proxy.
    """

    def __init__(
        self,
        kind: str | OpCode,
        nth: int | None,
        direction: Direction,
        *,
        condition: threading.Condition,
        lose: Then | None = None,
        delay: float = 0.0,
    ) -> None:
        if nth is not None and nth < 1:
            raise ValueError(f"frames are counted from 1 (the next one), not {nth}")
        if direction not in (TO_SERVER, TO_CLIENT):
            raise ValueError(f'a direction is "to_server" or "to_client", not {direction!r}')
        if lose not in (None, "cut", "freeze"):
            raise ValueError(f'then is "cut" or "freeze", not {lose!r}')
        if not delay >= 0:
            raise ValueError(f"a delay is 0 seconds or more, not {delay}")
        self._matcher = Matcher(kind)
        self._nth = nth
        self.direction: Direction = direction
        self.lose: Then | None = lose
        self.delay = delay
        self._seen = 0
        self._cancelled = False
        self._struck: list[Passed] = []
        self._condition = condition  # the record's

    def __repr__(self) -> str:
        state = "cancelled" if self._cancelled else f"{self._seen} counted, {len(self.struck)} struck"
        return f"<Fault: {self.description}; {state}>"

    @property
    def description(self) -> str:
        """What it does, in words."""
        what = f"lose (then {self.lose})" if self.lose is not None else f"delay by {self.delay} s"
        which = "every" if self._nth is None else f"number {self._nth} of"
        return f"{what} {which} {self._matcher.name} {self.direction}"

    @property
    def struck(self) -> tuple[Passed, ...]:
        """The frames it lost or delayed so far."""
        with self._condition:
            return tuple(self._struck)

    def wait(self, timeout: float = 10.0) -> Passed:
        """Wait until it has struck, and return the first frame it struck: a lost one at once, a delayed one when it
        has passed. Raises NotSeenError after `timeout` seconds."""
        with self._condition:
            if not self._condition.wait_for(lambda: self._struck, timeout):
                raise NotSeenError(f"not within {timeout} s: {self.description} ({self._seen} frames were counted)")
            return self._struck[0]

    def cancel(self) -> None:
        """Strike no more; replies of requests that were counted already are still struck."""
        self._cancelled = True

    # For the proxy, on its thread

    def counts(self, direction: Direction, kind: str, opcode: int | None) -> bool:
        """Count a passing request (or notification), and say whether this is one to strike.

        direction: where the frame to be struck goes: the request itself, or its reply.
        """
        if direction != self.direction or self._cancelled or (self._nth is not None and self._seen >= self._nth):
            return False
        if kind == "notification" and not self._matcher.only_to_client and (self.lose or self._nth):
            return False  # "any" means replies; but a slow line is slow for notifications too
        if not self._matcher.fits(kind, opcode):
            return False
        self._seen += 1
        return self._nth is None or self._seen == self._nth

    def strike(self, passed: Passed) -> None:
        """Tell that a frame was lost, or has passed late."""
        with self._condition:
            self._struck.append(passed)
            self._condition.notify_all()
