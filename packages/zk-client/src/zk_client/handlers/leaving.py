"""Callers that leave before their reply comes: out of time, interrupted by Ctrl-C, killed, or in a `gevent.Timeout`.

Rule: what a caller leaves half done belongs to its connection, so the connection goes, unless it is known that the
exception came while nothing was under way (`Link.spared`). The request itself stays behind: one that was not sent
never will be; the reply of one that was is consumed, and what a sequential create has made by then is deleted again,
because nobody knows its name; so is the marker of a transaction.
"""

from __future__ import annotations

from abc import abstractmethod

from zk_wire import ConnectionLostError, Outcome

from ..calls import Inline
from .performing import Performing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from ..calls import Call
    from .base import Poller, Runtime, RuntimeLock
    from .link import Link
    from .workers import Workers


class Leaving(Performing):
    """The part of the blocking handler that looks after those who leave."""

    mutex: RuntimeLock
    poller: Poller
    runtime: Runtime
    workers: Workers
    undoing: Callable[[str, int], Coroutine[Any, Any, None]] | None  # deletes what nobody knows of
    called_back: set[Call[Any]]  # calls under way that have functions to be called
    interrupted_at: float  # when a worker was last interrupted in the middle of something

    def interrupted(self, link: Link | None, error: BaseException) -> None:
        """An exception of the outside world has hit, perhaps between any two steps of a call.

        What it may have left half done: bytes taken and not yet read, a frame that was not sent, a lock that nobody
        will release. So the connection goes, and the session goes on with another. A reply that was in this
        worker's hands may be lost; whoever waits for it looks after it in `wait`, and for whom nobody waits is looked
        after here.
        """
        if link is not None and link.spared is error:
            link.spared = None
            return
        if isinstance(error, Exception):
            return
        with self.mutex:
            now = self.interrupted_at = self.runtime.now()
            self.core.closed(now, "a call was interrupted half-way")
            self.perform()
            for call in tuple(self.called_back):
                if not (call.done or call.abandoned):
                    self.core.adopt(call, now)
            self.perform()
        self.poller.wake()

    def abandon(self, call: Call[Any]) -> None:
        """The caller will never see what its request came to."""
        with self.mutex:
            if not call.done:
                self._leave(call)
                return
            if call.watch is not None:
                self.core.disarm(call)
        if call.failure is None:
            self.undo(call)

    def out_of_time(self, call: Call[Any]) -> bool:
        """The caller leaves, unless the call is done: True when its request was never sent and now never will be."""
        with self.mutex:
            return not call.done and self._leave(call)

    def _leave(self, call: Call[Any]) -> bool:
        call.to_undo = leaves(call)
        if self.core.withdraw(call):
            self.core.cancelled(call)
            self.perform()
            return True
        if call.to_undo:
            if call.callbacks is None:
                call.callbacks = []
            call.callbacks.append(Undo(self.undo))
        return False

    def undo(self, call: Call[Any]) -> None:
        """Delete what a call has left behind that nobody knows of."""
        path = left_behind(call)
        if path is not None and self.undoing is not None:
            self.workers.clean_up(self.undoing(path, self.core.session_id))

    @abstractmethod
    def perform(self) -> None:
        """Do what the core asks for; under the mutex."""


class Release(Inline):
    """For a further worker that waits for the call."""

    __slots__ = ("_lock",)

    def __init__(self, lock: RuntimeLock) -> None:
        self._lock = lock

    def __call__(self, call: Any) -> None:
        release(self._lock)


class Undo(Inline):
    """For a caller that has left."""

    __slots__ = ("_undo",)

    def __init__(self, undo: Callable[[Call[Any]], None]) -> None:
        self._undo = undo

    def __call__(self, call: Any) -> None:
        self._undo(call)


def leaves(call: Call[Any]) -> bool:
    """Whether a call may make a node that nobody knows of but who sees its reply."""
    return call.recovery is not None and call.recovery.leaves


def left_behind(call: Call[Any]) -> str | None:
    """The node that a call has made, or may have, and that nobody knows of; by the user's path."""
    if call.recovery is None or call.error:
        return None
    if call.failure is None:
        return call.recovery.left_behind(call.reply)
    lost = isinstance(call.failure, ConnectionLostError) and call.failure.outcome is not Outcome.NOT_APPLIED
    return call.recovery.left_behind(None) if lost else None


def release(lock: Any) -> None:
    """Wake whoever sleeps on a lock; it may have been woken already."""
    try:
        lock.release()
    except RuntimeError:
        pass
