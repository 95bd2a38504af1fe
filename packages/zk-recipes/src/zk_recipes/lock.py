"""A fair lock that at most one session holds, and whose holder knows when it does not any more.

Rule: a lock is held while our node is the oldest in the queue (``_queue``), our session is alive by the lease clock,
and nobody has ended it: `release`, the keeper that tells of a loss, or the next acquire. Exactly one of them does.

Layout (kazoo's, if no other ``naming`` is given): ``<path>/<GUID>__lock__<number>``, ephemeral; data: the identifier
in UTF-8.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from zk_client import Face, attribute, blocking, direct
from zk_wire import check_path

from ._block import Block
from ._holding import Holding, OwnNode
from ._queue import Attempt, Queue
from ._waiting import check_timeout
from .errors import LockInUseError, LockLostError
from .naming import LOCKS, Naming, chosen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import ClassVar, Self

    from zk_client import HasPort
    from zk_wire import CheckVersionRequest

log = logging.getLogger(__name__)


class AsyncLock:
    """A fair lock held by at most one session (asyncio, and every other port that suspends).

    client: whatever has a port.   path: the node under which contenders queue, created when missing.
    identifier: who waits, for people and `contenders`; kept in the contender's node.
    extra_lock_patterns: markers of other implementations whose nodes compete as well, as literal text ("-lock-").
    naming: whose way of naming nodes it follows, "kazoo", "curator", "go" or "java", or a `Naming` of ones own; see
    the page on locks for who respects whom.
    on_lost: called once when the lock is lost without `release`, at the latest when the lease ends. It costs a
    task (under threads: a thread) and a watch while the lock is held, and runs there. It must come to an end:
    until then the object cannot acquire again, and where the session lives on, nobody else can.

    What holds, each with the test that keeps it:

    - Two objects never hold the same lock by the lease clock, whatever is lost, expires, freezes or is cancelled:
      ``test_never_two_holders_whatever_goes_wrong``. `token` grows with each holder: same test.
    - Nobody waits for ever, and neither a node nor a watch stays behind: same test.
    - A waiter survives lost replies, expired sessions and a deleted node or parent, and joins again within its
      time-out: ``test_a_waiter_joins_again_after_its_session_expired``, ``..._after_a_stranger_deleted_its_node``,
      ``..._after_the_parent_was_deleted``.
    - The node of an ended session is never taken for ones own:
      ``test_a_node_of_an_ended_session_is_never_taken_for_ones_own``.
    - A time-out is a total: ``test_a_timeout_is_a_total_over_changing_predecessors``, ``..._over_connection_loss``.
    - The queue's order holds across the overflow of its numbers: ``test_order_holds_across_the_overflow``; and where a
      server has none left and gives them in no order:
      ``test_contenders_that_come_together_hold_one_at_a_time_and_their_tokens_grow``.
    - `is_acquired` is not true after the lease deadline, and `on_lost` has been called by then:
      ``test_a_frozen_holder_does_not_believe_it_holds``,
      ``test_on_lost_is_called_once_at_the_latest_when_the_lease_ends``.
    - A block of ``async with`` is cancelled when the lock is lost, before anybody else can have it, and LockLostError
      leaves it (where a task can be interrupted: asyncio):
      ``test_a_block_is_cancelled_before_the_lease_ends``.
    - A transaction with `guard` in it is refused once the lock is lost:
      ``test_a_guarded_transaction_is_refused_after_loss``.
    - Locks of different namings exclude each other where the page says so, Curator's, Go's and Java's by their own
      reading of our names: ``test_their_reading_of_a_queue_agrees_with_ours``.
    - Uncontended, an acquire and a release cost three round trips: ``test_uncontended_costs_three_round_trips``.

    The lock is not re-entrant, and an object is one contender: a second acquire while it acquires or holds raises
    LockInUseError at once (kazoo blocks there, for ever in a single thread). An object whose lock was lost can acquire
    again.
    """

    _WHAT: ClassVar[str] = "lock"

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
        check_path(path)
        if identifier is not None and not isinstance(identifier, str):
            message = f"identifier must be a str or None, not {type(identifier).__name__}"
            raise TypeError(message)
        self._path = path
        self._identifier = identifier or ""
        self._port = client.port
        names = chosen(naming, LOCKS, Naming).also(extra_lock_patterns)
        self._queue = Queue(client.port, path, names, self._identifier.encode())
        self._on_lost = on_lost
        self._attempt: Attempt | None = None
        self._holding: Holding | None = None
        self._block = Block(client.port)
        # Whoever acquires or holds has taken the one element. A list's pop is atomic, also between threads.
        self._permit = [None]

    def __repr__(self) -> str:
        state = "held" if self.is_acquired else "acquiring" if self._attempt is not None else "not held"
        return f"<{type(self).__name__} {self._path!r} {state}>"

    @property
    def path(self) -> str:
        """The node under which contenders queue."""
        return self._path

    @property
    def identifier(self) -> str:
        """What `contenders` shows for this one."""
        return self._identifier

    # Acquire and release

    async def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Join the queue and wait for our turn; True when the lock is held.

        blocking: False tries once and returns False when somebody is ahead; it does not wait for a connection either.
        timeout: seconds, a total over everything that may happen on the way; None waits without a bound (`cancel`
        ends it), 0 raises LockTimeout at once.
        Raises LockTimeout; LockCancelledError; LockInUseError; ValueError for a negative timeout, or one with
        blocking=False; the client's errors where waiting cannot help (closed client, no permission), and with
        blocking=False those of the connection too. After any of them nothing is held, and the node is gone or will
        be removed by the client in the background.
        """
        port = self._port
        check_timeout(timeout, blocking=blocking)
        self._take_permit()
        attempt = Attempt(port, self._path, timeout)
        acquired = False
        try:
            self._attempt = attempt
            place = await self._queue.compete(attempt, blocking)
            if place is not None:
                self._hold(place.node)
                acquired = True
        finally:
            self._attempt = None
            attempt.end()
            if not acquired:
                if attempt.guid is not None:
                    self._queue.abandon(attempt.guid, port.session_id)
                self._permit.append(None)
        return acquired

    async def release(self) -> bool:
        """Give up the lock, if this object holds it.

        Returns True when it was held until now, False when there was nothing to release or the lock had been lost
        before. Waits at most a few seconds for the server; without a connection it returns at once. What could not
        be done is finished by the client in the background. Raises only what no retry can cure (no permission).
        """
        holding = self._holding
        if holding is None:
            return False
        was_held = holding.is_valid
        if not holding.end():
            return False
        self._holding = None
        try:
            return await self._queue.leave(holding.node, was_held)
        finally:
            holding.wake.set()
            self._permit.append(None)

    def cancel(self) -> None:
        """Have an acquire under way raise LockCancelledError; without one do nothing. Callable from anywhere."""
        attempt = self._attempt
        if attempt is not None:
            attempt.cancel()

    async def __aenter__(self) -> Self:
        """Acquire, without a bound; raises when that fails."""
        await self.acquire()
        await self._block.begin(self.release, self._held)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Release."""
        await self._block.end(exc, self.release)

    # What a holder knows

    @property
    def is_acquired(self) -> bool:
        """Whether this object holds the lock, as far as can be known without asking the server.

        Never true after the lease deadline or in another session. (It may become true again when the same session
        turns out to be alive after all, unless the loss has been told.) A node deleted by a stranger is noticed by
        the watch that on_lost brings, or by `check`.
        """
        holding = self._holding
        return holding is not None and holding.is_valid

    @property
    def token(self) -> int | None:
        """The fencing token: the zxid at which our node was created, less than any later holder's. None when not held.

        Hand it to whatever the lock protects and have it refuse smaller ones. (Restoring an ensemble from a backup
        turns zxids back: an outside resource has to be told.)
        """
        holding = self._holding
        return None if holding is None else holding.node.czxid

    @property
    def lease_remaining(self) -> float:
        """Seconds for which nobody else can get the lock, even if the connection is gone; 0.0 when it is not held."""
        holding = self._holding
        return 0.0 if holding is None else holding.lease_remaining

    def guard(self) -> CheckVersionRequest:
        """Return an operation for a transaction that lets it succeed only while our node is there.

        Raises LockLostError when the lock is not held.
        """
        return self._held().guard()

    async def check(self) -> None:
        """Make sure, with the leader of the ensemble, that the lock is held; one round trip.

        Raises LockLostError when it is not. Raises the client's errors when the server could not be asked:
        nothing is known then.
        """
        await self._held().check()

    def _held(self) -> Holding:
        holding = self._holding
        if holding is None:
            raise LockLostError(self._path, "it was not acquired, or released, or its loss was told", self._WHAT)
        return holding

    async def contenders(self) -> list[str]:
        """Return the identifiers of everybody in the queue, the holder first; a round trip, and one more for each."""
        return await self._queue.identifiers()

    # Holding

    def _hold(self, node: OwnNode) -> None:
        holding = self._holding = Holding(self._port, self._path, node, self._WHAT)
        if self._on_lost is not None:
            self._keep(holding, self._on_lost)

    def _keep(self, holding: Holding, on_lost: Callable[[], object]) -> None:
        keeper = holding.keep(on_lost, lambda: self._lost(holding))
        try:
            self._port.spawn(keeper, f"{holding.what} {self._path}")
        except BaseException:
            self._holding = None
            keeper.close()
            raise

    def _lost(self, holding: Holding) -> None:
        if self._holding is holding:
            self._holding = None
        # The session may live on, and with it our node: the others must not wait for somebody who has given up,
        # but neither may they go on before that somebody knows.
        self._queue.abandon(holding.node.guid, holding.node.session_id)
        self._permit.append(None)

    def _take_permit(self) -> None:
        try:
            self._permit.pop()
        except IndexError:
            if not self._give_up_what_is_lost():
                raise LockInUseError(self._path) from None

    def _give_up_what_is_lost(self) -> bool:
        """End a holding that was lost when nobody has noticed; True when its permit has passed on to the caller."""
        holding = self._holding
        return holding is not None and not holding.is_valid and self._abandon(holding)

    def _drop(self) -> None:
        """Give up what is held without waiting for the server: the client removes the node."""
        holding = self._holding
        if holding is not None and self._abandon(holding):
            self._permit.append(None)

    def _abandon(self, holding: Holding) -> bool:
        """End a holding, and have the client remove its node; False when somebody else has ended it."""
        if not holding.end():
            return False
        self._holding = None
        holding.wake.set()
        self._queue.abandon(holding.node.guid, holding.node.session_id)
        return True


class Lock(Face[AsyncLock]):
    """A fair lock held by at most one session (threads and gevent).

    client: whatever has a port, for example a Client.
    path: the node under which contenders queue, created when missing.
    identifier: who waits, for people and `contenders`; kept in the contender's node.
    extra_lock_patterns: markers of other implementations whose nodes compete as well, as literal text ("-lock-").
    naming: whose way of naming nodes it follows, "kazoo", "curator", "go" or "java", or a `Naming` of ones own; see
    the page on locks for who respects whom.
    on_lost: called once when the lock is lost without `release`, at the latest when the lease ends. It costs a
    thread (or greenlet) and a watch while the lock is held, and runs there. It must come to an end: until then the
    object cannot acquire again, and where the session lives on, nobody else can.

    The blocking face of AsyncLock, whose docstring lists what holds. An object is one contender: threads that
    compete with each other need an object each.
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
        super().__init__(AsyncLock(client, path, identifier, extra_lock_patterns, naming=naming, on_lost=on_lost))

    acquire = blocking(AsyncLock.acquire)
    release = blocking(AsyncLock.release)
    cancel = direct(AsyncLock.cancel)
    is_acquired = attribute(AsyncLock, lambda lock: lock.is_acquired)
    token = attribute(AsyncLock, lambda lock: lock.token)
    lease_remaining = attribute(AsyncLock, lambda lock: lock.lease_remaining)
    guard = direct(AsyncLock.guard)
    check = blocking(AsyncLock.check)
    contenders = blocking(AsyncLock.contenders)
    path = attribute(AsyncLock, lambda lock: lock.path)
    identifier = attribute(AsyncLock, lambda lock: lock.identifier)

    def __enter__(self) -> Self:
        """Acquire, without a bound; raises when that fails."""
        self.acquire()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Release."""
        self.release()
