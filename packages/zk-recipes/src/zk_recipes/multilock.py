"""Several locks held together, or none of them.

Rule: everybody takes them in the same order, that of their paths, so that no two wait for each other. One total time
bounds all of it. What is held together is lost together: when one is lost, its holder is told, and then the others are
given up.

Layout: each is a lock of its own (`lock`), so whoever wants only one of them competes as well.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from zk_client import Face, TransactionFailedError, attribute, blocking, direct
from zk_wire import BadVersionError, NoNodeError, SessionExpiredError, check_path

from ._block import Block
from ._queue import RELEASE_BOUND
from ._waiting import check_timeout
from .errors import LockCancelledError, LockInUseError, LockLostError, LockTimeout
from .lock import AsyncLock
from .naming import LOCKS, Naming, chosen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from zk_client import Event, HasPort
    from zk_wire import CheckVersionRequest

log = logging.getLogger(__name__)


class Released(dict[str, bool]):
    """What a release did: for each path, whether that lock was held until now. True when all were."""

    def __bool__(self) -> bool:
        return bool(len(self)) and all(self.values())


class AsyncMultiLock:
    """Several locks, held together by at most one object (asyncio, and every other port that suspends).

    client: whatever has a port.   paths: the nodes of the locks, in any order; each once.
    identifier, extra_lock_patterns, naming: as with AsyncLock, for each of them.
    on_lost: called once when one of them is lost, before the others are given up, as with AsyncLock. It costs a task
    for each lock and one for all (under threads: threads) and a watch for each, while they are held.

    What holds, each with the test that keeps it:

    - Two objects never hold the same path at once by the lease clock, whatever goes wrong, and nobody waits for ever,
      whichever paths they want and however they are listed: ``test_several_locks_exclude_and_never_deadlock``.
    - Whoever does not get all of them keeps none: ``test_a_timeout_over_several_locks_is_one_total_and_keeps_none``,
      ``test_without_blocking_all_or_none_are_held``.
    - The loss of one is the loss of all: ``test_when_one_is_lost_all_are_given_up``.
    - A session that expires while one waits costs the place, not the attempt:
      ``test_a_waiter_that_loses_its_first_lock_takes_them_all_again``.
    - A release gives them up in reverse, and says of each what came of it:
      ``test_a_release_is_in_reverse_and_says_what_came_of_each``.
    """

    def __init__(
        self,
        client: HasPort,
        paths: Sequence[str],
        identifier: str | None = None,
        extra_lock_patterns: Sequence[str] = (),
        *,
        naming: str | Naming = "kazoo",
        on_lost: Callable[[], object] | None = None,
    ) -> None:
        if isinstance(paths, str):
            message = f"paths must be a sequence of paths, not the string {paths!r}"
            raise TypeError(message)
        for path in paths:
            check_path(path)
        ordered = sorted(set(paths))
        if not ordered or len(ordered) != len(paths):
            message = f"paths must name at least one lock, and each only once: not {list(paths)!r}"
            raise ValueError(message)
        names = chosen(naming, LOCKS, Naming).also(extra_lock_patterns)
        self._locks = [AsyncLock(client, path, identifier, naming=names) for path in ordered]
        self._port = client.port
        self._on_lost = on_lost
        self._together: _Together | None = None
        self._waiting_for: AsyncLock | None = None
        self._cancelled = False
        self._block = Block(client.port)
        # Whoever acquires or holds has taken the one element, as with a lock.
        self._permit = [None]

    def __repr__(self) -> str:
        state = "held" if self.is_acquired else "acquiring" if self._waiting_for is not None else "not held"
        return f"<{type(self).__name__} {self.paths!r} {state}>"

    @property
    def paths(self) -> tuple[str, ...]:
        """The nodes of the locks, in the order in which they are taken."""
        return tuple(lock.path for lock in self._locks)

    @property
    def identifier(self) -> str:
        """What `contenders` of each lock shows for this one."""
        return self._locks[0].identifier

    # Acquire and release

    async def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take all locks, one after the other; True when all are held.

        blocking: False tries each once, and returns False with none held when one is taken.
        timeout: seconds, a total for all of them; None waits without a bound, 0 raises LockTimeout at once.
        Raises what AsyncLock raises; LockTimeout and LockCancelledError name the path that was waited for. After any
        error none is held.
        """
        check_timeout(timeout, blocking=blocking)
        self._take_permit()
        port = self._port
        deadline = None if timeout is None else port.now() + timeout
        self._cancelled = False
        acquired = False
        try:
            while not acquired:
                if not await self._take(blocking, deadline):
                    await port.shielded(self._release())
                    return False
                # What was taken first may have been lost while the last was waited for.
                acquired = all(lock.is_acquired for lock in self._locks)
                if not acquired:
                    self._drop()
            self._hold()
        except LockTimeout as error:
            raise LockTimeout(error.path, timeout or 0.0) from error
        except BaseException:
            acquired = False
            raise
        finally:
            self._waiting_for = None
            if not acquired:
                self._drop()
                self._permit.append(None)
        return acquired

    async def release(self) -> Released:
        """Give up all locks, the last one first, and say of each whether it was held until now.

        The answer is true when all were. Waits at most a few seconds for the server; what could not be done then is
        finished by the client in the background. When one cannot be given up (no permission), the others are, and then
        the first error is raised.
        """
        together = self._together
        if together is None or not together.end():
            return Released()
        self._together = None
        try:
            return await self._release()
        finally:
            together.lost.set()
            self._permit.append(None)

    def cancel(self) -> None:
        """Have an acquire under way raise LockCancelledError; without one do nothing. Callable from anywhere."""
        waiting = self._waiting_for
        if waiting is not None:
            self._cancelled = True
            waiting.cancel()

    async def __aenter__(self) -> Self:
        """Acquire all, without a bound; raises when that fails.

        Where a body can be interrupted (asyncio), it is cancelled when one of them is lost, before anybody else can
        have it, and LockLostError leaves the block.
        """
        await self.acquire()
        await self._block.begin(self.release, *(lock._held for lock in self._locks))
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Release all."""
        await self._block.end(exc, self.release)

    # What a holder knows

    @property
    def is_acquired(self) -> bool:
        """Whether all of them are held, as far as can be known without asking the server."""
        return self._together is not None and all(lock.is_acquired for lock in self._locks)

    @property
    def tokens(self) -> dict[str, int]:
        """The fencing token of each path, as with AsyncLock; empty when they are not held."""
        if self._together is None:
            return {}
        return {lock.path: token for lock in self._locks if (token := lock.token) is not None}

    @property
    def lease_remaining(self) -> float:
        """Seconds for which nobody else can get any of them; 0.0 when they are not held."""
        return min(lock.lease_remaining for lock in self._locks) if self.is_acquired else 0.0

    def guard(self) -> list[CheckVersionRequest]:
        """Return operations for a transaction that let it succeed only while all of them are held.

        Raises LockLostError when they are not.
        """
        return [lock.guard() for lock in self._locks]

    async def check(self) -> None:
        """Make sure, with the leader of the ensemble, that all of them are held; one round trip.

        Raises LockLostError when one is not. Raises the client's errors when the server could not be asked.
        """
        held = [lock._held() for lock in self._locks]
        try:
            await self._port.commit([holding.guard() for holding in held])
        except TransactionFailedError as refused:
            if not isinstance(refused.error, (NoNodeError, BadVersionError)):
                raise
            held[refused.index].lose()
            path = held[refused.index].path
            raise LockLostError(path, "its node is gone or was changed by a stranger") from refused
        except SessionExpiredError as expired:
            raise LockLostError(held[0].path, "its session expired") from expired
        for holding in held:
            holding.guard()

    # Inside

    async def _take(self, blocking: bool, deadline: float | None) -> bool:
        """Take the locks in order; False when one is taken and we do not wait."""
        for lock in self._locks:
            self._waiting_for = lock
            if self._cancelled:
                raise LockCancelledError(lock.path)
            remaining = None if deadline is None else max(deadline - self._port.now(), 0.0)
            if not await lock.acquire(blocking, remaining):
                return False
        return True

    def _hold(self) -> None:
        """All are held; if somebody wants to be told of a loss, keep watch over each."""
        together = self._together = _Together(self._port.event())
        on_lost = self._on_lost
        if on_lost is None:
            return
        bodies = [lock._held().keep(together.lost.set, _nothing) for lock in self._locks]
        bodies.append(self._tell(together, on_lost))
        try:
            while bodies:
                self._port.spawn(bodies[0], f"locks {' '.join(self.paths)}")
                del bodies[0]
        except BaseException:
            self._together = None
            together.end()
            together.lost.set()
            for body in bodies:
                body.close()
            raise

    async def _tell(self, together: _Together, on_lost: Callable[[], object]) -> None:
        """Wait for the loss of one; tell of it, and then give up all."""
        await together.lost.wait()
        if not together.end():
            return
        if self._together is together:
            self._together = None
        try:
            on_lost()
        except Exception:
            log.exception("on_lost of locks %s raised", " ".join(self.paths))
        finally:
            self._drop()
            self._permit.append(None)

    def _drop(self) -> None:
        """Give up what is held of them, without waiting for the server."""
        for lock in reversed(self._locks):
            lock._drop()
            self._bury(lock)

    def _bury(self, lock: AsyncLock) -> bool:
        """Finish what a keeper has found lost, which it leaves to us; False when there is no such thing."""
        holding = lock._holding
        if holding is None or not holding.ended:
            return False
        lock._lost(holding)
        return True

    async def _release(self) -> Released:
        """Release in reverse, within one bound; raise the first error once all are given up."""
        outcome = Released()
        deadline = self._port.now() + RELEASE_BOUND
        failure: Exception | None = None
        try:
            for lock in reversed(self._locks):
                if self._bury(lock):
                    outcome[lock.path] = False
                elif self._port.now() >= deadline:
                    outcome[lock.path] = lock.is_acquired
                    lock._drop()
                else:
                    try:
                        outcome[lock.path] = await lock.release()
                    except Exception as error:  # noqa: BLE001 - raised once the others are given up
                        outcome[lock.path] = False
                        failure = failure or error
        finally:
            self._drop()
        if failure is not None:
            raise failure
        return outcome

    def _take_permit(self) -> None:
        try:
            self._permit.pop()
        except IndexError:
            together = self._together
            if together is None or self.is_acquired or not together.end():
                raise LockInUseError(" ".join(self.paths)) from None
            # One was lost, and nobody has noticed: the permit passes on to us.
            self._together = None
            together.lost.set()
            self._drop()


class _Together:
    """All locks as one object holds them, until exactly one party ends it. lost: set when one is, and at the end."""

    __slots__ = ("_right_to_end", "lost")

    def __init__(self, lost: Event) -> None:
        self.lost = lost
        self._right_to_end = [None]

    def end(self) -> bool:
        """Claim the end; True for the first caller only (a list's pop is atomic)."""
        try:
            self._right_to_end.pop()
        except IndexError:
            return False
        return True


def _nothing() -> None:
    """What is lost is given up by whoever tells of it."""


class MultiLock(Face[AsyncMultiLock]):
    """Several locks, held together by at most one object (threads and gevent).

    client: whatever has a port, for example a Client.   paths: the nodes of the locks, in any order; each once.
    identifier, extra_lock_patterns, naming: as with Lock, for each of them.
    on_lost: called once when one of them is lost, before the others are given up, as with Lock.

    The blocking face of AsyncMultiLock, whose docstring lists what holds.
    """

    def __init__(
        self,
        client: HasPort,
        paths: Sequence[str],
        identifier: str | None = None,
        extra_lock_patterns: Sequence[str] = (),
        *,
        naming: str | Naming = "kazoo",
        on_lost: Callable[[], object] | None = None,
    ) -> None:
        super().__init__(AsyncMultiLock(client, paths, identifier, extra_lock_patterns, naming=naming, on_lost=on_lost))

    acquire = blocking(AsyncMultiLock.acquire)
    release = blocking(AsyncMultiLock.release)
    cancel = direct(AsyncMultiLock.cancel)
    is_acquired = attribute(AsyncMultiLock, lambda locks: locks.is_acquired)
    tokens = attribute(AsyncMultiLock, lambda locks: locks.tokens)
    lease_remaining = attribute(AsyncMultiLock, lambda locks: locks.lease_remaining)
    guard = direct(AsyncMultiLock.guard)
    check = blocking(AsyncMultiLock.check)
    paths = attribute(AsyncMultiLock, lambda locks: locks.paths)
    identifier = attribute(AsyncMultiLock, lambda locks: locks.identifier)

    def __enter__(self) -> Self:
        """Acquire all, without a bound; raises when that fails."""
        self.acquire()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Release all."""
        self.release()
