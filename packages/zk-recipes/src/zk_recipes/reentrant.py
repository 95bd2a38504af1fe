"""A lock that its holder can acquire again.

Rule: the holder is a worker: a thread, a greenlet, a task. Each worker that wants the lock is a contender of its own
with a node of its own (`lock`), so that workers of one process are served in the same fair order as everybody else.
What a worker acquires again is counted here and costs no request; nothing is counted on the server.

Layout: that of `lock`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zk_client import Face, attribute, blocking, direct

from ._waiting import check_timeout
from .errors import LockLostError, LockNotOwnedError
from .lock import AsyncLock
from .naming import LOCKS, Naming, chosen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from zk_client import HasPort
    from zk_wire import CheckVersionRequest


class _Tenure:
    """The lock as one worker has it. count: how often it was acquired.   blocks: how many ``with`` of it are open."""

    __slots__ = ("blocks", "count", "lock")

    def __init__(self, lock: AsyncLock) -> None:
        self.lock = lock
        self.count = 1
        self.blocks = 0


class AsyncReentrantLock:
    """A fair lock held by at most one worker, which can acquire it again (asyncio, and every port that suspends).

    The parameters are those of AsyncLock. One object serves all tasks of a program, and each competes for itself.
    on_lost: called once for each loss, as with AsyncLock.

    What holds beside the promises of AsyncLock, each with the test that keeps it:

    - Two workers never hold it at once, of one object, one client or several, whatever goes wrong:
      ``test_never_two_workers_inside_whatever_goes_wrong``.
    - Whoever holds it acquires it again at once and without a request, and has it until the last release:
      ``test_acquiring_again_costs_nothing_and_the_last_release_counts``.
    - Only the worker that holds it can release it: ``test_a_release_by_somebody_else_is_refused``.
    - A worker whose lock was lost does not get it anew inside its old block:
      ``test_a_lost_lock_is_not_acquired_anew_inside_the_block``.

    Under asyncio the holder is a task, so a body that something runs in a task of its own is another holder:
    ``asyncio.wait_for`` does that before Python 3.12, ``gather`` and ``create_task`` always do. Use ``timeout=`` here,
    or ``asyncio.timeout``.
    """

    def __init__(
        self,
        client: HasPort,
        path: str,
        identifier: str | None = None,
        extra_lock_patterns: Sequence[str] = (),
        *,
        naming: str | Naming = "kazoo",
        on_lost: Callable[[], object] | None = None,
    ) -> None:
        names = chosen(naming, LOCKS, Naming).also(extra_lock_patterns)

        def contender() -> AsyncLock:
            return AsyncLock(client, path, identifier, naming=names, on_lost=on_lost)

        # For what needs no worker, and to refuse bad arguments now.
        self._nobody = contender()
        self._contender = contender
        self._port = client.port
        self._tenures: dict[object, _Tenure] = {}
        self._waiting: dict[object, AsyncLock] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path!r} held {self.count} times by the caller>"

    @property
    def path(self) -> str:
        """The node under which contenders queue."""
        return self._nobody.path

    @property
    def identifier(self) -> str:
        """What `contenders` shows for this one."""
        return self._nobody.identifier

    # Acquire and release

    async def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Get the lock for the calling worker, at once if it has it; True when it is held.

        blocking, timeout: as with AsyncLock.
        Raises LockLostError when the worker has acquired it before and has lost it since: its releases have to come
        first. Else raises what AsyncLock raises.
        """
        check_timeout(timeout, blocking=blocking)
        caller = self._port.caller()
        if self._again(caller):
            return True
        lock = self._waiting[caller] = self._contender()
        try:
            if not await lock.acquire(blocking, timeout):
                return False
        finally:
            del self._waiting[caller]
        self._tenures[caller] = _Tenure(lock)
        return True

    async def release(self) -> bool:
        """Take one acquire of the calling worker back, and give up the lock with the last.

        Returns True when it was held until now, as far as can be known; False when it had been lost.
        Raises LockNotOwnedError when the worker has nothing to release; else what AsyncLock raises.
        """
        tenure = self._tenure()
        tenure.count -= 1
        if tenure.count:
            return tenure.lock.is_acquired
        del self._tenures[self._port.caller()]
        return await tenure.lock.release()

    def cancel(self) -> None:
        """Have the acquires under way of this object raise LockCancelledError, of every worker. Callable anywhere."""
        for lock in list(self._waiting.values()):
            lock.cancel()

    async def __aenter__(self) -> Self:
        """Acquire, without a bound; raises when that fails.

        Where a body can be interrupted (asyncio), it is cancelled when the lock is lost, before anybody else can have
        it, and LockLostError leaves the outermost block.
        """
        await self.acquire()
        tenure = self._tenure()
        if not tenure.blocks:
            caller = self._port.caller()
            await tenure.lock._block.begin(lambda: self._give_up(caller), tenure.lock._held)
        tenure.blocks += 1
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Release."""
        tenure = self._tenure()
        tenure.blocks -= 1
        if tenure.blocks:
            await self.release()
        else:
            await tenure.lock._block.end(exc, self.release)

    # What a holder knows

    @property
    def count(self) -> int:
        """How often the calling worker has acquired it and not released it, whether or not it was lost meanwhile."""
        tenure = self._tenures.get(self._port.caller())
        return 0 if tenure is None else tenure.count

    @property
    def is_acquired(self) -> bool:
        """Whether the calling worker holds the lock, as far as can be known without asking the server."""
        return self._lock().is_acquired

    @property
    def token(self) -> int | None:
        """The calling worker's fencing token, as with AsyncLock: the same for all its acquires. None when not held."""
        return self._lock().token

    @property
    def lease_remaining(self) -> float:
        """Seconds for which nobody else can get the lock; 0.0 when the calling worker does not hold it."""
        return self._lock().lease_remaining

    def guard(self) -> CheckVersionRequest:
        """Return an operation for a transaction that lets it succeed only while the calling worker holds the lock.

        Raises LockLostError when it does not.
        """
        return self._lock().guard()

    async def check(self) -> None:
        """Make sure, with the leader of the ensemble, that the calling worker holds the lock; one round trip.

        Raises LockLostError when it does not. Raises the client's errors when the server could not be asked.
        """
        await self._lock().check()

    async def contenders(self) -> list[str]:
        """Return the identifiers of everybody in the queue, the holder first; a round trip, and one more for each."""
        return await self._nobody.contenders()

    # Inside

    def _again(self, caller: object) -> bool:
        """Count an acquire of somebody who has the lock; False for others."""
        tenure = self._tenures.get(caller)
        if tenure is None:
            return False
        if not tenure.lock.is_acquired:
            raise LockLostError(
                self.path, "it was lost after this worker had acquired it, which has not released it since"
            )
        tenure.count += 1
        return True

    async def _give_up(self, caller: object) -> None:
        """Take one acquire back, for *caller*, from whatever worker."""
        tenure = self._tenures[caller]
        tenure.count -= 1
        if not tenure.count:
            del self._tenures[caller]
            await tenure.lock.release()

    def _lock(self) -> AsyncLock:
        """The calling worker's lock, or one that nobody holds."""
        tenure = self._tenures.get(self._port.caller())
        return self._nobody if tenure is None else tenure.lock

    def _tenure(self) -> _Tenure:
        caller = self._port.caller()
        tenure = self._tenures.get(caller)
        if tenure is None:
            raise LockNotOwnedError(self.path, repr(caller))
        return tenure


class ReentrantLock(Face[AsyncReentrantLock]):
    """A fair lock held by at most one thread or greenlet, which can acquire it again.

    The parameters are those of Lock. One object serves all threads of a program, and each competes for itself.
    on_lost: called once for each loss, as with Lock.

    The blocking face of AsyncReentrantLock, whose docstring lists what holds.
    """

    def __init__(
        self,
        client: HasPort,
        path: str,
        identifier: str | None = None,
        extra_lock_patterns: Sequence[str] = (),
        *,
        naming: str | Naming = "kazoo",
        on_lost: Callable[[], object] | None = None,
    ) -> None:
        super().__init__(
            AsyncReentrantLock(client, path, identifier, extra_lock_patterns, naming=naming, on_lost=on_lost)
        )

    acquire = blocking(AsyncReentrantLock.acquire)
    release = blocking(AsyncReentrantLock.release)
    cancel = direct(AsyncReentrantLock.cancel)
    count = attribute(AsyncReentrantLock, lambda lock: lock.count)
    is_acquired = attribute(AsyncReentrantLock, lambda lock: lock.is_acquired)
    token = attribute(AsyncReentrantLock, lambda lock: lock.token)
    lease_remaining = attribute(AsyncReentrantLock, lambda lock: lock.lease_remaining)
    guard = direct(AsyncReentrantLock.guard)
    check = blocking(AsyncReentrantLock.check)
    contenders = blocking(AsyncReentrantLock.contenders)
    path = attribute(AsyncReentrantLock, lambda lock: lock.path)
    identifier = attribute(AsyncReentrantLock, lambda lock: lock.identifier)

    def __enter__(self) -> Self:
        """Acquire, without a bound; raises when that fails."""
        self.acquire()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Release."""
        self.release()
