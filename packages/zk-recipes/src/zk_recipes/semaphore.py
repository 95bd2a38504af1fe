"""A semaphore: at most so many hold it at once, and the number can be changed while it is in use.

Rule: whoever wants a lease queues for a guard, as for a lock (`_queue`), and only who has the guard looks for room. One
transaction then makes sure that the number of leases is still what was read, creates the lease and gives the guard up.
So no lease is made but by the guard's holder, after a count made under the same guard, and only one waiter watches.

Layout (kazoo's): ``<path>`` holds the number of leases in decimal; ``<path>/<GUID>``, ephemeral, is a lease; the guard
is queued for under ``<path>-__lock__``. Leases and the guard's nodes hold the identifier in UTF-8.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

from zk_client import Face, TransactionFailedError, attribute, blocking, direct
from zk_wire import (
    BadVersionError,
    CheckVersionRequest,
    Create2Request,
    CreateMode,
    DeleteRequest,
    NodeExistsError,
    NoNodeError,
    Outcome,
    join_path,
)

from ._holding import OwnNode
from ._queue import PARENT_TRIES, Place, Queue
from ._settling import commit_witnessed
from ._waiting import PASSING
from .errors import UnreadableDataError
from .lock import AsyncLock
from .naming import LOCKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Self

    from zk_client import HasPort, Port, PortWatcher

    from ._queue import Attempt

log = logging.getLogger(__name__)


class AsyncSemaphore(AsyncLock):
    """A semaphore held by at most `max_leases` objects at once (asyncio, and every other port that suspends).

    client: whatever has a port.   path: the node that holds the number of leases, created when missing.
    identifier: who waits or holds, for people, `lease_holders` and `contenders`.
    max_leases: the number of leases. It is compared with the node's at the first use of the object, and a different
    one is refused with ValueError; after that the node's counts, so that `resize` reaches everybody. None takes the
    node's from the beginning.
    on_lost: called once when a lease is lost, as with AsyncLock.

    Everything that a lock's holder knows, a lease's knows as well: `token`, `guard`, `check`, `lease_remaining`; under
    asyncio the block is cancelled when the lease is lost. What holds, each with the test that keeps it:

    - No more leases are given than the number says at that moment, and no more objects hold it at once by the lease
      clock, whatever goes wrong: ``test_never_more_leases_than_the_number_says``.
    - Nobody waits for ever, and no lease, guard or watch stays behind: same test.
    - Contenders are served in the order they joined: ``test_leases_are_given_in_the_order_they_were_asked_for``.
    - A release wakes one waiter, however many wait: ``test_a_release_wakes_one_of_a_hundred_waiters``.
    - `resize` is heard by whoever waits: ``test_a_bigger_number_lets_waiters_in_at_once``.
    - A time-out is a total: ``test_a_semaphores_timeout_is_a_total``.
    - kazoo's Semaphore on the same path takes part: ``test_kazoos_semaphore_and_ours_share_the_leases``.
    """

    _WHAT: ClassVar[str] = "semaphore"
    _queue: _Leases

    def __init__(
        self,
        client: HasPort,
        path: str,
        identifier: str | None = None,
        max_leases: int | None = 1,
        *,
        on_lost: Callable[[], object] | None = None,
    ) -> None:
        super().__init__(client, path, identifier, on_lost=on_lost)
        limit = None if max_leases is None else _at_least_one(max_leases)
        self._queue = _Leases(client.port, path, self.identifier.encode(), limit)

    @property
    def max_leases(self) -> int | None:
        """The number of leases, as last seen; what was given before the first use."""
        return self._queue.limit

    async def resize(self, max_leases: int) -> None:
        """Change the number of leases, for everybody. Who holds a lease keeps it, also when there are too many then.

        Raises the client's errors; where their outcome is UNKNOWN, call it again.
        """
        await self._queue.resize(_at_least_one(max_leases))

    async def lease_holders(self) -> list[str]:
        """Return the identifiers of those who hold a lease, the oldest first; a round trip, and one more for each."""
        return await self._queue.holders()

    async def contenders(self) -> list[str]:
        """Return the identifiers of those who wait, the next one first; a round trip, and one more for each."""
        return await super().contenders()


class _Leases(Queue):
    """The queue for the guard, and the leases. A lease and the guard's node of one attempt have one GUID."""

    def __init__(self, port: Port, path: str, data: bytes, limit: int | None) -> None:
        super().__init__(port, f"{path}-__lock__", LOCKS["kazoo"], data)
        self.limit = limit
        self._leases = path
        self._agreed = False  # whether the number was compared with the node's

    async def compete(self, attempt: Attempt, blocking: bool) -> Place | None:
        """Get a lease; None when there is no room, or somebody is ahead, and we do not wait."""
        await self._agree(attempt, blocking)
        while True:
            guard = await super().compete(attempt, blocking)
            if guard is None:
                return None
            try:
                lease = await self._take(attempt, guard, blocking)
            except _GuardLostError:
                self.abandon(guard.node.guid, guard.node.session_id)
                attempt.guid = None
                continue
            if lease is not None:
                return Place(lease, guard.contender)
            await self._port.shielded(self.leave(guard.node, was_held=False))
            attempt.guid = None
            return None

    def abandon(self, guid: str, session_id: int | None) -> None:
        """Have the client remove what exists under this GUID: a place in the queue, and a lease."""
        super().abandon(guid, session_id)
        for session in {session_id, self._port.session_id}:
            if session is not None:
                self._port.background_delete(self._leases, guid, session)

    async def resize(self, limit: int) -> None:
        """Write the number of leases."""
        data = str(limit).encode()
        while True:
            try:
                await self._port.set(self._leases, data)
                break
            except NoNodeError:
                with suppress(NodeExistsError):
                    await self._port.create(self._leases, data, makepath=True)
                    break
        self.limit = limit
        self._agreed = True

    async def holders(self) -> list[str]:
        """Return the data of all leases as text, the oldest first."""
        found: list[tuple[int, str]] = []
        try:
            names = await self._port.get_children(self._leases)
        except NoNodeError:
            return []
        for name in names:
            with suppress(NoNodeError):
                data, stat = await self._port.get(join_path(self._leases, name))
                found.append((stat.czxid, (data or b"").decode(errors="replace")))
        return [text for _, text in sorted(found)]

    async def _agree(self, attempt: Attempt, blocking: bool) -> None:
        """At the first use, compare the number with the node's, before anything is done."""
        while not self._agreed:
            try:
                attempt.check()
                if not await self.waits_for_session(attempt, blocking):
                    await self._read_limit(attempt.port)
            except PASSING:
                if not blocking:
                    raise
                await attempt.pause()

    async def _take(self, attempt: Attempt, guard: Place, blocking: bool) -> OwnNode | None:
        """Create a lease under the guard; None when there is no room and we do not wait."""
        port = attempt.port
        is_full = False
        parents_lost = 0
        while port.session_id == guard.node.session_id:
            attempt.check()
            # Who has found no room looks again, and is told from then on.
            watches = (port.watcher(attempt.wake), port.watcher(attempt.wake)) if is_full else (None, None)
            try:
                limit, version = await self._read_limit(port, watches[0])
                names = await port.get_children(self._leases, watches[1])
                if len(names) < limit:
                    lease = await self._create(port, guard, version)
                    if lease is not None:
                        return lease
                elif not blocking:
                    return None
                elif is_full:
                    while not any(watch.event for watch in watches if watch) and (
                        port.session_id == guard.node.session_id
                    ):
                        await attempt.sleep()
                else:
                    is_full = True
            except NoNodeError:
                # Somebody deletes the node or its parents while they are made. (A missing chroot looks the same.)
                parents_lost += 1
                if parents_lost == PARENT_TRIES:
                    raise
            except PASSING as error:
                if not blocking:
                    raise
                log.debug("%s: trying again after %r", self._leases, error)
                await attempt.pause()
            finally:
                if _is_open(watches):
                    # In one piece: a cancellation that comes meanwhile must not spare the second.
                    await port.shielded(_close_all(watches))
        raise _GuardLostError

    async def _create(self, port: Port, guard: Place, version: int) -> OwnNode | None:
        """Turn the guard into a lease; None when the number of leases was changed meanwhile."""
        node = guard.node
        path = join_path(self._leases, node.guid)
        settled = False
        try:
            stat = await commit_witnessed(
                port,
                [
                    CheckVersionRequest(self._leases, version),
                    Create2Request(path, self._data, (), CreateMode.EPHEMERAL),
                    DeleteRequest(node.path, node.version),
                ],
                path,
                node.session_id,
            )
            settled = True
        except TransactionFailedError as refused:
            settled = True
            if not isinstance(refused.error, (NoNodeError, BadVersionError, NodeExistsError)):
                raise
            if refused.index == 0:
                return None
            raise _GuardLostError from refused
        except PASSING as error:
            settled = error.outcome is Outcome.NOT_APPLIED
            if not settled and port.session_id == node.session_id:
                # Nobody knows whether there is a lease of this name: the next one has to have another.
                raise _GuardLostError from error
            raise
        finally:
            if not settled:
                self.abandon(node.guid, node.session_id)
        if stat is None:
            stat = await port.exists(path)
        if stat is None:
            raise _GuardLostError
        return OwnNode(path, node.guid, node.session_id, stat.czxid, stat.version)

    async def _read_limit(self, port: Port, watch: PortWatcher | None = None) -> tuple[int, int]:
        """Return the number of leases and the version of the node that holds it, which is made if it is missing."""
        while True:
            try:
                data, stat = await port.get(self._leases, watch)
            except NoNodeError:
                with suppress(NodeExistsError):
                    await port.create(self._leases, self._wanted(), makepath=True)
                watch = None  # It is used up; who waits reads again and again anyway.
                continue
            if not data:
                # Made by somebody who only wanted it to be there.
                with suppress(BadVersionError):
                    await port.set(self._leases, self._wanted(), stat.version)
                continue
            limit = _parsed(self._leases, data)
            if not self._agreed and self.limit is not None and self.limit != limit:
                message = (
                    f'semaphore "{self._leases}" has {limit} leases, not {self.limit}: '
                    f"give max_leases={limit} or None, or change the number with resize()"
                )
                raise ValueError(message)
            self._agreed = True
            self.limit = limit
            return limit, stat.version

    def _wanted(self) -> bytes:
        if self.limit is None:
            message = f'semaphore "{self._leases}" has no number of leases yet: give max_leases'
            raise ValueError(message)
        return str(self.limit).encode()


class _GuardLostError(Exception):
    """The guard's node is gone, or its session: queue again."""


def _is_open(watches: Iterable[PortWatcher | None]) -> bool:
    """Whether one of them has seen nothing yet."""
    return any(watch is not None and watch.event is None for watch in watches)


async def _close_all(watches: Iterable[PortWatcher | None]) -> None:
    """Close those that have seen nothing yet."""
    for watch in watches:
        if watch is not None and watch.event is None:
            await watch.close()


def _at_least_one(max_leases: object) -> int:
    if isinstance(max_leases, bool) or not isinstance(max_leases, int):
        message = f"max_leases must be an int, not {type(max_leases).__name__}"
        raise TypeError(message)
    if max_leases < 1:
        message = f"max_leases must be 1 or more, not {max_leases}"
        raise ValueError(message)
    return max_leases


def _parsed(path: str, data: bytes) -> int:
    """The number of leases as the node holds it."""
    try:
        return int(data.decode("ascii"))
    except ValueError:
        raise UnreadableDataError(path, data, "a number of leases in decimal") from None


class Semaphore(Face[AsyncSemaphore]):
    """A semaphore held by at most `max_leases` objects at once (threads and gevent).

    client: whatever has a port, for example a Client.   path: the node that holds the number of leases.
    identifier: who waits or holds, for people, `lease_holders` and `contenders`.
    max_leases: the number of leases, compared with the node's at the first use; None takes the node's.
    on_lost: called once when a lease is lost, as with Lock.

    The blocking face of AsyncSemaphore, whose docstring lists what holds.
    """

    def __init__(
        self,
        client: HasPort,
        path: str,
        identifier: str | None = None,
        max_leases: int | None = 1,
        *,
        on_lost: Callable[[], object] | None = None,
    ) -> None:
        super().__init__(AsyncSemaphore(client, path, identifier, max_leases, on_lost=on_lost))

    acquire = blocking(AsyncSemaphore.acquire)
    release = blocking(AsyncSemaphore.release)
    cancel = direct(AsyncSemaphore.cancel)
    resize = blocking(AsyncSemaphore.resize)
    max_leases = attribute(AsyncSemaphore, lambda semaphore: semaphore.max_leases)
    is_acquired = attribute(AsyncSemaphore, lambda semaphore: semaphore.is_acquired)
    token = attribute(AsyncSemaphore, lambda semaphore: semaphore.token)
    lease_remaining = attribute(AsyncSemaphore, lambda semaphore: semaphore.lease_remaining)
    guard = direct(AsyncSemaphore.guard)
    check = blocking(AsyncSemaphore.check)
    lease_holders = blocking(AsyncSemaphore.lease_holders)
    contenders = blocking(AsyncSemaphore.contenders)
    path = attribute(AsyncSemaphore, lambda semaphore: semaphore.path)
    identifier = attribute(AsyncSemaphore, lambda semaphore: semaphore.identifier)

    def __enter__(self) -> Self:
        """Acquire, without a bound; raises when that fails."""
        self.acquire()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Release."""
        self.release()
