"""A queue whose entries stay until they are consumed, and are free again when their consumer dies.

Rule: an entry is claimed, then consumed or given back; each of them is one transaction that the claim guards
(``_claims``). What a consumer believes ends with its lease (``_holding``); what it does is decided by the server.

Layout (kazoo's): ``<path>/entries/entry-<priority>-<number>``, and ``<path>/taken/<the same name>``, ephemeral; beside
them ``claims``, ``waiting`` and ``writes``, which kazoo does not look at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zk_client import Face, TransactionFailedError, attribute, blocking, direct, run_blocking
from zk_wire import (
    CheckVersionRequest,
    ConnectionLostError,
    CreateMode,
    CreateRequest,
    NodeExistsError,
    NoNodeError,
    Outcome,
    check_path,
    join_path,
)

from ._claims import Claim, Claims
from ._deciding import commit, ensure, is_undecided, patience_for
from ._entries import check_priority, check_value, in_order, prefix
from ._holding import Holding
from ._queue import RELEASE_BOUND
from ._waiting import PASSING, WAITING, check_timeout
from .errors import LockLostError, NumbersExhaustedError, RecipeTimeoutError, UndecidedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from zk_client import HasPort


class AsyncLockingQueue:
    """A queue whose entries are consumed after they were got (asyncio, and every other port that suspends).

    client: whatever has a port.   path: the node of the queue, created when missing.
    on_lost: called once when an entry that is held is lost, at the latest when the lease ends; costs a task (under
    threads: a thread) and a watch while an entry is held.

    What holds, each with the test that keeps it:

    - No two objects hold the same entry at once by the lease clock, and every entry is consumed exactly once, whatever
      is lost, expires, freezes or is cancelled; `UndecidedError` says when nobody can tell:
      ``test_every_entry_is_consumed_once_whatever_goes_wrong``.
    - An entry whose consumer died, gave up or was cancelled is free again: same test, and
      ``test_an_entry_of_a_dead_consumer_is_free_again``.
    - `put_all` puts all or nothing, and `consume` says True only when it has consumed:
      ``test_put_all_puts_all_or_nothing``, ``test_consume_is_false_when_the_entry_is_gone``.
    - A time-out of `get` is a total, and leaves nothing: ``test_a_timeout_of_get_is_a_total_and_leaves_nothing``.
    - A new entry wakes one consumer, however many wait: ``test_a_new_entry_wakes_one_of_many_consumers``.
    - `token` grows with each claim of an entry: ``test_every_entry_is_consumed_once_whatever_goes_wrong``.

    An object holds one entry at a time: `get` returns the same one until it is consumed, released or lost. kazoo's
    consumers on the same queue are respected, and respect ours; what is said above they do not keep.
    """

    def __init__(self, client: HasPort, path: str, *, on_lost: Callable[[], object] | None = None) -> None:
        check_path(path)
        self._path = path
        self._port = client.port
        self._claims = Claims(client, path.rstrip("/"), in_order, counts=False)
        self._on_lost = on_lost
        self._held: tuple[Claim, Holding] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._path!r}{' with an entry' if self.is_held else ''}>"

    @property
    def path(self) -> str:
        """The node of the queue."""
        return self._path

    # Putting

    async def put(self, value: bytes, priority: int = 100, timeout: float | None = None) -> None:
        """Add an entry; as `put_all` with one."""
        await self.put_all([value], priority, timeout)

    async def put_all(self, values: Sequence[bytes], priority: int = 100, timeout: float | None = None) -> None:
        """Add entries, all or none, in their order.

        priority: 0 to 999, lower numbers first.   timeout: seconds, a total; None waits for a connection without a
        bound. Raises RecipeTimeoutError, after which nothing was put; UndecidedError; NumbersExhaustedError; TypeError
        and ValueError before anything is sent; the client's errors where waiting cannot help.
        """
        if isinstance(values, (bytes, str)):
            message = f"values must be a sequence of bytes, not {type(values).__name__}"
            raise TypeError(message)
        for value in values:
            check_value(self._path, value)
        check_priority(self._path, priority)
        check_timeout(timeout)
        place = join_path(self._claims.entries, prefix(priority))
        entries = [CreateRequest(place, value, (), CreateMode.PERSISTENT_SEQUENTIAL) for value in values]
        patience = patience_for(self._port, self._path, "putting into queue", timeout)
        missing = False
        try:
            while entries:
                patience.check()
                try:
                    if patience.port.state in WAITING:
                        await patience.sleep()
                        continue
                    if missing:
                        await ensure(patience.port, self._claims.entries)
                    await commit(patience.port, entries, self._claims.markers)
                    return
                except TransactionFailedError as refused:
                    missing = isinstance(refused.error, NoNodeError)
                    if isinstance(refused.error, NodeExistsError):
                        raise NumbersExhaustedError(self._claims.entries) from refused
                    if not missing:
                        raise refused.error from refused
                except PASSING as error:
                    if is_undecided(error):
                        raise UndecidedError(self._path, "putting into") from error
                    await patience.pause()
        finally:
            patience.end()

    # Getting and consuming

    async def get(self, timeout: float | None = None) -> bytes | None:
        """Claim the next free entry and return its data; None when there was none in time.

        An entry this object holds already is returned at once. timeout: seconds, a total; None waits for an entry
        without a bound, 0 does not wait, neither for an entry nor for a connection.
        Raises ConnectionLostError for 0 without a connection; the client's errors where waiting cannot help. Whoever
        gets an error, or None, holds nothing.
        """
        check_timeout(timeout)
        held = self._held
        if held is not None:
            if held[1].is_valid:
                return held[0].data
            await self.release()
        if timeout == 0:
            port = self._port
            if port.state in WAITING:
                message = f'"{self._path}" not tried: the session is {port.state}'
                raise ConnectionLostError(self._path, message=message, outcome=Outcome.NOT_APPLIED)
            return self._hold(await self._claims.claim_now(port))
        patience = patience_for(self._port, self._path, "getting from queue", timeout)
        try:
            return self._hold(await self._claims.claim(patience))
        finally:
            patience.end()

    async def consume(self, timeout: float | None = None) -> bool:
        """Remove the entry that is held; True when this call did, False when it was not held any more.

        timeout: seconds, a total; None waits until the server has answered, or the session ended.
        Raises RecipeTimeoutError, after which nothing was consumed, and the entry is still held; UndecidedError; the
        client's errors where waiting cannot help.
        """
        check_timeout(timeout)
        held = self._held
        if held is None:
            return False
        patience = patience_for(self._port, self._path, "consuming from queue", timeout)
        keep = answered = False
        try:
            consumed = await self._claims.consume(patience, held[0])
            answered = True
        except RecipeTimeoutError:
            keep = True
            raise
        finally:
            patience.end()
            if not keep:
                self._let_go(held)
                if not answered:
                    # Perhaps consumed, perhaps not; in no case may it stay claimed by nobody.
                    self._claims.abandon(held[0].name, held[0].node.guid, held[0].node.session_id)
        return consumed

    async def release(self) -> bool:
        """Make the entry that is held free for others, unconsumed; True when it was held until now.

        Waits at most a few seconds for the server; the client does the rest in the background.
        """
        held = self._held
        if held is None:
            return False
        was_held = held[1].is_valid
        self._let_go(held)
        return await self._claims.give_back(held[0], RELEASE_BOUND) and was_held

    async def holds_lock(self) -> bool:
        """Ask the server whether an entry is held; one round trip, none when it cannot be.

        Raises the client's errors when the server could not be asked: nothing is known then.
        """
        held = self._held
        if held is None:
            return False
        try:
            await held[1].check()
        except LockLostError:
            return False
        return True

    async def length(self, timeout: float | None = None) -> int:
        """Count the entries, held ones too, by the Stat of their parent: one round trip, however many there are.

        timeout: seconds, a total. Raises RecipeTimeoutError.
        """
        check_timeout(timeout)
        patience = patience_for(self._port, self._path, "counting queue", timeout)
        try:
            while True:
                patience.check()
                try:
                    if patience.port.state not in WAITING:
                        stat = await patience.port.exists(self._claims.entries)
                        return 0 if stat is None else stat.num_children
                    await patience.sleep()
                except PASSING:
                    await patience.pause()
        finally:
            patience.end()

    # What a holder knows

    @property
    def is_held(self) -> bool:
        """Whether an entry is held, as far as can be known without asking; never true after the lease has ended."""
        held = self._held
        return held is not None and held[1].is_valid

    @property
    def token(self) -> int | None:
        """The fencing token: the zxid of the claim, less than that of any later claim. None when nothing is held."""
        held = self._held
        return None if held is None else held[0].node.czxid

    @property
    def lease_remaining(self) -> float:
        """Seconds for which nobody else can get the entry, even if the connection is gone; 0.0 when none is held."""
        held = self._held
        return 0.0 if held is None else held[1].lease_remaining

    def guard(self) -> CheckVersionRequest:
        """Return an operation for a transaction that lets it succeed only while the entry is held.

        Raises LockLostError when none is.
        """
        held = self._held
        if held is None:
            raise LockLostError(self._path, "nothing was got, or it was consumed or released", "entry of queue")
        return held[1].guard()

    # Holding

    def _hold(self, claim: Claim | None) -> bytes | None:
        if claim is None:
            return None
        holding = Holding(self._port, self._path, claim.node, "entry of queue")
        held = self._held = (claim, holding)
        if self._on_lost is not None:
            body = holding.keep(self._on_lost, lambda: self._lost(held))
            try:
                self._port.spawn(body, f"keeper of {self._path}")
            except BaseException:
                body.close()
                self._held = None
                self._claims.abandon(claim.name, claim.node.guid, claim.node.session_id)
                raise
        return claim.data

    def _lost(self, held: tuple[Claim, Holding]) -> None:
        if self._held is held:
            self._held = None
        claim = held[0]
        # The session may live on: others must not wait for somebody who has given up.
        self._claims.abandon(claim.name, claim.node.guid, claim.node.session_id)

    def _let_go(self, held: tuple[Claim, Holding]) -> None:
        held[1].end()
        held[1].wake.set()
        if self._held is held:
            self._held = None


class LockingQueue(Face[AsyncLockingQueue]):
    """A queue whose entries are consumed after they were got (threads and gevent).

    client: whatever has a port, for example a Client.   path: the node of the queue, created when missing.
    on_lost: called once when an entry that is held is lost, at the latest when the lease ends; costs a thread (or
    greenlet) and a watch while an entry is held.

    The blocking face of AsyncLockingQueue, whose docstring lists what holds. An object is one consumer.
    """

    def __init__(self, client: HasPort, path: str, *, on_lost: Callable[[], object] | None = None) -> None:
        super().__init__(AsyncLockingQueue(client, path, on_lost=on_lost))

    put = blocking(AsyncLockingQueue.put)
    put_all = blocking(AsyncLockingQueue.put_all)
    get = blocking(AsyncLockingQueue.get)
    consume = blocking(AsyncLockingQueue.consume)
    release = blocking(AsyncLockingQueue.release)
    holds_lock = blocking(AsyncLockingQueue.holds_lock)
    length = blocking(AsyncLockingQueue.length)
    guard = direct(AsyncLockingQueue.guard)
    is_held = attribute(AsyncLockingQueue, lambda queue: queue.is_held)
    token = attribute(AsyncLockingQueue, lambda queue: queue.token)
    lease_remaining = attribute(AsyncLockingQueue, lambda queue: queue.lease_remaining)
    path = attribute(AsyncLockingQueue, lambda queue: queue.path)

    def __len__(self) -> int:
        """Count the entries, held ones too; as `length`, without a bound."""
        return run_blocking(self._body.length())
