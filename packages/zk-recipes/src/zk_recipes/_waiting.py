"""Waiting as recipes wait: woken by many things, bounded by one total, ended from outside.

Rule: a time-out is a total over everything that happens on the way, and whoever is woken looks at everything again;
nothing is concluded from what woke it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zk_client import SessionState
from zk_wire import (
    ConnectionLostError,
    NotReadOnlyError,
    OperationTimeoutError,
    RequestTimeoutError,
    SessionExpiredError,
    SessionMovedError,
    ThrottledOpError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from zk_client import Event, Port

# Seconds between two tries while the port refuses although it says it is connected: the first, and the longest.
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0

# Errors of the connection or of the moment: whoever waits outlives them, within its time-out.
PASSING = (
    ConnectionLostError,
    OperationTimeoutError,
    RequestTimeoutError,
    SessionExpiredError,
    SessionMovedError,
    NotReadOnlyError,
    ThrottledOpError,
)
# States that end by themselves: one waits. In the others the request itself says what is wrong.
WAITING = frozenset(
    {SessionState.CONNECTING, SessionState.SUSPENDED, SessionState.EXPIRED, SessionState.CONNECTED_READ_ONLY}
)
# States in which no node of the session is worth anything to its owner.
DEAD = frozenset({SessionState.EXPIRED, SessionState.CLOSED, SessionState.AUTH_FAILED})


class Patience:
    """How long somebody goes on trying, what wakes it, and what ends it.

    timeout: seconds, a total; None for no bound.   timed_out, cancelled: make the errors that `check` raises.
    port: the port, whose requests end with the total.   wake: set for everything there may be to look at again.
    """

    __slots__ = (
        "_cancelled",
        "_deadline",
        "_listens",
        "_make_cancelled",
        "_make_timed_out",
        "_pause",
        "_port",
        "port",
        "wake",
    )

    def __init__(
        self,
        port: Port,
        timeout: float | None,
        *,
        timed_out: Callable[[], Exception],
        cancelled: Callable[[], Exception],
    ) -> None:
        self.wake: Event = port.event()
        self.port = port
        self._port = port
        self._make_timed_out = timed_out
        self._make_cancelled = cancelled
        self._deadline: float | None = None
        if timeout is not None:
            self._deadline = port.now() + timeout
            self.port = port.until(self._deadline)
        self._cancelled = False
        self._listens = False
        self._pause = FIRST_PAUSE

    def cancel(self) -> None:
        """Have its next step raise. Callable from anywhere."""
        self._cancelled = True
        self.wake.set()

    def check(self) -> None:
        """Raise if it was cancelled, or its time is up."""
        if self._cancelled:
            raise self._make_cancelled()
        if self._deadline is not None and self._port.now() >= self._deadline:
            raise self._make_timed_out()

    @property
    def remaining(self) -> float | None:
        """Seconds that are left, 0 or less when there are none; None without a bound."""
        return None if self._deadline is None else self._deadline - self._port.now()

    async def sleep(self, longest: float | None = None) -> None:
        """Wait to be woken, not longer than *longest* seconds. Look at everything again afterwards."""
        self.check()
        if not self._listens:
            # Only who waits listens. A change that came just before was not heard, so look again at once.
            self._listens = True
            self._port.add_listener(self._changed)
            return
        remaining = self.remaining
        if longest is not None:
            remaining = longest if remaining is None else min(longest, remaining)
        await self.wake.wait(remaining)
        # What a setter wants seen was there before it set the flag, so nothing is missed by lowering it here.
        self.wake.clear()

    async def pause(self) -> None:
        """Wait a little, and longer from time to time."""
        pause, self._pause = self._pause, min(self._pause * 2, LONGEST_PAUSE)
        await self.sleep(pause)

    def end(self) -> None:
        """Take the listener back."""
        if self._listens:
            self._listens = False
            self._port.remove_listener(self._changed)

    def _changed(self, _: SessionState) -> None:
        self.wake.set()


def check_timeout(timeout: float | None, *, blocking: bool = True) -> None:
    """Refuse a time-out that means nothing, before anything is done."""
    if timeout is None:
        return
    if not blocking:
        message = "blocking=False does not wait: it takes no timeout"
        raise ValueError(message)
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        message = f"timeout must be a number of seconds or None, not {type(timeout).__name__}"
        raise TypeError(message)
    if not timeout >= 0:
        message = f"timeout must be a number of seconds, not negative, or None: not {timeout!r}"
        raise ValueError(message)
