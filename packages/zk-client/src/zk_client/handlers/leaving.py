"""Callers that leave before their reply comes: interrupted by Ctrl-C, killed, or run out of a `gevent.Timeout`.

Rule: what a caller leaves half done belongs to its connection, so the connection goes, unless it is known that the
exception came while nothing was under way (`Link.spared`). The request itself stays behind: one that was not sent
never will be; the reply of one that was is consumed, and what a sequential create has made by then is deleted again,
because nobody knows its name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from .._session.recovery import CreateRecovery
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
    undo: Callable[[str, int], Coroutine[Any, Any, None]] | None  # deletes what nobody knows of
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
        recovery = call.recovery
        sequential = isinstance(recovery, CreateRecovery) and recovery.mode.is_sequential
        with self.mutex:
            if not call.done:
                call.to_undo = sequential
                if self.core.withdraw(call):
                    self.core.cancelled(call)
                    self.perform()
                elif sequential:
                    if call.callbacks is None:
                        call.callbacks = []
                    call.callbacks.append(Undo(self))
                return
            if call.watch is not None:
                self.core.disarm(call)
        if sequential:
            self.undo_create(call)

    def undo_create(self, call: Call[Any]) -> None:
        """Delete the node that a create has made which nobody waits for."""
        if call.error or call.failure is not None or self.undo is None:
            return
        reply: Any = call.reply
        self.workers.clean_up(self.undo(reply if isinstance(reply, str) else reply[0], self.core.session_id))

    @abstractmethod
    def perform(self) -> None:
        """Do what the core asks for; under the mutex."""


class Inline(ABC):
    """Stands among a call's callbacks for something of the handler's own, done at once when the call is."""

    __slots__ = ()

    @abstractmethod
    def __call__(self, call: Any) -> None:
        """The call is done."""


class Release(Inline):
    """For a further worker that waits for the call."""

    __slots__ = ("_lock",)

    def __init__(self, lock: RuntimeLock) -> None:
        self._lock = lock

    def __call__(self, call: Any) -> None:
        release(self._lock)


class Undo(Inline):
    """For a caller that has left."""

    __slots__ = ("_handler",)

    def __init__(self, handler: Leaving) -> None:
        self._handler = handler

    def __call__(self, call: Any) -> None:
        self._handler.undo_create(call)


def release(lock: Any) -> None:
    """Wake whoever sleeps on a lock; it may have been woken already."""
    try:
        lock.release()
    except RuntimeError:
        pass
