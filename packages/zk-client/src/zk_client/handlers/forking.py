"""What becomes of started clients when their process forks.

Rule: the parent notices nothing. The child inherits a copy of everything, and may use none of it: what it sent or shut
down would be sent or shut down on the parent's connection, and a lock that another thread held stays locked for ever.
So in the child every descriptor is closed and no more than that, every lock is made anew, what was under way ends with
an error, and the client is as if it had never been started: `start` gives it a session of its own.

The parent's locks are held while it forks, so that the child finds nothing half done. Whoever forks holds none of
them, unless a signal handler forks in the middle of a call; so they are waited for with a bound.

Source: fork(2): descriptors share their open file; threads other than the caller do not exist in the child.
"""

from __future__ import annotations

import os
import threading
from weakref import WeakSet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from .base import RuntimeLock

    class Forkable(Protocol):
        """A client, as far as this needs it."""

        def _fork_lock(self) -> RuntimeLock | None:
            """What to hold while the process forks."""
            ...

        def _forked(self, reason: str) -> None:
            """In the child: end what was inherited, without a word to the server; `reason` says what happened."""
            ...


# Seconds to wait for one client's lock; nobody holds it for longer than it takes to look at what has arrived.
PATIENCE = 1.0

_started: WeakSet[Forkable] = WeakSet()
_mutex = threading.Lock()
_held: list[RuntimeLock | threading.Lock] = []
_registered = False


def watch(client: Forkable) -> None:
    """Look after a client from now on; no effect on one that is looked after."""
    global _registered
    with _mutex:
        _started.add(client)
        if not _registered and hasattr(os, "register_at_fork"):
            os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
            _registered = True


def _before() -> None:
    if _mutex.acquire(timeout=PATIENCE):
        _held.append(_mutex)
    for client in tuple(_started):
        lock = client._fork_lock()
        if lock is not None and lock.acquire(True, PATIENCE):
            _held.append(lock)


def _in_parent() -> None:
    while _held:
        _held.pop().release()


def _in_child() -> None:
    global _mutex
    _mutex = threading.Lock()
    _held.clear()
    reason = (
        f"not of this process: it was started by process {os.getppid()} before the fork; "
        "start() gives it a session of its own here"
    )
    for client in tuple(_started):
        client._forked(reason)
