"""What recipes raise, beside the errors of the client and the server.

    ZooKeeperError                 (zk_wire) the root of everything of ours
      LockTimeout                  the time for an acquire ran out; nothing is held
      LockCancelledError           a waiting acquire was cancelled with `cancel`; nothing is held
      LockLostError                the lock is not held (any more), and the call makes sense for a holder only
      LockInUseError               the lock object is already acquiring or holding
        LockUpgradeError           it reads, and reading cannot become writing
      LockNotOwnedError            a re-entrant lock is released by a worker that does not hold it
      RecipeTimeoutError           the time for another operation ran out (also a TimeoutError); nothing was done
      UndecidedError               a write may or may not have been applied, and nobody can tell any more
      QueueFullError               a queue holds as many entries as it may; nothing was put
      JobFailedError               a job was claimed too often without being completed, and was put aside
      NumbersExhaustedError        the server gives no more numbers to children of a node: it has given them all
      UnreadableDataError          a node's data is not what the recipe keeps there (also a ValueError)
      WatchInUseError              the watch calls another function already

Rule: after each of them the object can be used again, and no node of the failed attempt stays behind.
"""

from __future__ import annotations

from zk_wire import Outcome, ZooKeeperError


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

    def __init__(self, path: str, message: str | None = None) -> None:
        super().__init__(
            message
            or f'this object is already acquiring or holding lock "{path}": locks are not re-entrant; '
            "use one lock object per contender"
        )
        self.path = path


class LockUpgradeError(LockInUseError):
    """A contender that reads wants to write as well. path: the lock's."""

    def __init__(self, path: str) -> None:
        super().__init__(
            path,
            f'lock "{path}" is held for reading: waiting to write would wait for this reader itself, for ever; '
            "release it first, or begin as a writer and use downgrade()",
        )


class LockNotOwnedError(ZooKeeperError):
    """A worker (thread, greenlet, task) releases a re-entrant lock that it does not hold. path: the lock's."""

    def __init__(self, path: str, caller: str) -> None:
        super().__init__(
            f'lock "{path}" is not held by {caller}: a re-entrant lock belongs to the thread, greenlet or task that '
            "acquired it, and is released there"
        )
        self.path = path


class RecipeTimeoutError(ZooKeeperError, TimeoutError):
    """The time given to an operation ran out, and nothing was changed. path: the recipe's.   timeout: in seconds."""

    outcome = Outcome.NOT_APPLIED

    def __init__(self, path: str, operation: str, timeout: float) -> None:
        super().__init__(f'{operation} "{path}" did not succeed within {timeout:g} s')
        self.path = path
        self.operation = operation
        self.timeout = timeout


class UndecidedError(ZooKeeperError):
    """A write may or may not have been applied: its reply was lost, and then the session or the time ended.

    path: what was written to.   outcome: always UNKNOWN.   data: for an entry that may have been taken, its content.
    """

    outcome = Outcome.UNKNOWN

    def __init__(self, path: str, operation: str, data: bytes | None = None) -> None:
        super().__init__(
            f'{operation} of "{path}" may or may not have been applied: its reply was lost, '
            "and the session, or the time, ended before the server could be asked"
        )
        self.path = path
        self.operation = operation
        self.data = data


class QueueFullError(ZooKeeperError):
    """A queue holds as many entries as it may, and nothing was put. path: the queue.   depth: how many there are."""

    outcome = Outcome.NOT_APPLIED

    def __init__(self, path: str, depth: int, limit: int) -> None:
        super().__init__(f'queue "{path}" holds {depth} entries, and may hold {limit} (`max_depth`)')
        self.path = path
        self.depth = depth


class JobFailedError(ZooKeeperError):
    """A job was claimed too often without being completed, and lies among the dead letters. job_id: which."""

    def __init__(self, path: str, job_id: str) -> None:
        super().__init__(f'job {job_id} of queue "{path}" failed: it was claimed too often without being completed')
        self.path = path
        self.job_id = job_id


class NumbersExhaustedError(ZooKeeperError):
    """The server has given out all its numbers for children of a node, 2**31 of them. path: the node.

    What needs a number in order fails, until the node is deleted and created again; nothing was done.
    """

    outcome = Outcome.NOT_APPLIED

    def __init__(self, path: str) -> None:
        super().__init__(f'"{path}" has had all the numbers a server can give: empty it, delete it and create it again')
        self.path = path


class UnreadableDataError(ZooKeeperError, ValueError):
    """A node's data is not what the recipe keeps there. path: the node.   data: what it holds."""

    def __init__(self, path: str, data: bytes, expected: str) -> None:
        shown = data if len(data) <= 40 else data[:40] + b"..."
        super().__init__(f'"{path}" holds {shown!r}, which is not {expected}')
        self.path = path
        self.data = data


class WatchInUseError(ZooKeeperError):
    """A watch was given a second function. path: the node it watches."""

    def __init__(self, path: str) -> None:
        super().__init__(f'this watch of "{path}" calls a function already: make a watch for each function')
        self.path = path
