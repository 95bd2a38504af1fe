"""What recipes raise, beside the errors of the client and the server.

    ZooKeeperError                 (zk_wire) the root of everything of ours
      LockTimeout                  the time for an acquire ran out; nothing is held
      LockCancelledError           a waiting acquire was cancelled with `cancel`; nothing is held
      LockLostError                the lock is not held (any more), and the call makes sense for a holder only
      LockInUseError               the lock object is already acquiring or holding

Rule: after each of them the object can be used again, and no node of the failed attempt stays behind.
"""

from __future__ import annotations

from zk_wire import ZooKeeperError


class LockTimeout(ZooKeeperError):  # noqa: N818 - the name users of kazoo know
    """The time given to an acquire ran out. path: the lock's.   timeout: what was given, in seconds."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__(f'lock "{path}" not acquired within {timeout:g} s')
        self.path = path
        self.timeout = timeout


class LockCancelledError(ZooKeeperError):
    """A waiting acquire was cancelled by `cancel`. path: the lock's."""

    def __init__(self, path: str) -> None:
        super().__init__(f'waiting for lock "{path}" was cancelled')
        self.path = path


class LockLostError(ZooKeeperError):
    """The lock is not held, or not any more. path: the lock's.   reason: what was seen.   what: if no lock, what."""

    def __init__(self, path: str, reason: str, what: str = "lock") -> None:
        super().__init__(f'{what} "{path}" is not held: {reason}')
        self.path = path
        self.reason = reason


class LockInUseError(ZooKeeperError):
    """The lock object is acquiring or holding already. path: the lock's."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f'this object is already acquiring or holding lock "{path}": locks are not re-entrant; '
            "use one lock object per contender"
        )
        self.path = path
