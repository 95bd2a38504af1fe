"""A queue of entries with priorities, each handed to one consumer.

Rule: an entry is put by one transaction and taken by one transaction, whose outcome is decided (``_deciding``) before
anything is repeated. An entry is read before it is taken: whoever is cancelled after the server has taken it for
him puts it back under its own name, which is its place in the queue.

Layout (kazoo's): ``<path>/entry-<priority, 3 digits>-<number>``, persistent; data: the entry. Beside it
``<path>-__writes__``, where each transaction leaves an ephemeral marker for a moment: kazoo would take every child of
`path` for an entry.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from zk_client import Face, SessionClosedError, TransactionFailedError, attribute, blocking, run_blocking
from zk_wire import (
    BadVersionError,
    CreateMode,
    CreateRequest,
    DeleteRequest,
    NodeExistsError,
    NoNodeError,
    ServerError,
    ZooKeeperError,
    check_path,
    join_path,
)

from ._deciding import MARKERS, back_off, commit, ensure, is_undecided, may_be_proved, patience_for
from ._entries import Entries, Found, check_priority, check_value, prefix
from ._settling import catch_up
from ._waiting import PASSING, WAITING, Patience, check_timeout
from .errors import NumbersExhaustedError, UndecidedError

if TYPE_CHECKING:
    from zk_client import HasPort

log = logging.getLogger(__name__)


class _Taking:
    """An entry on its way to a consumer. taken: the server took it.   gone: the consumer does not wait any more.

    doubt: it may have been taken, and nobody can tell.
    """

    __slots__ = ("doubt", "gone", "taken")

    def __init__(self) -> None:
        self.taken = False
        self.doubt = False
        self.gone = False


class AsyncQueue:
    """A queue with priorities (asyncio, and every other port that suspends).

    client: whatever has a port.   path: the node of the queue, created when missing; not "/".

    What holds, each with the test that keeps it:

    - An entry is put once and got once, whatever is lost, expires, freezes or is cancelled; `UndecidedError` says when
      nobody can tell, and brings the entry along: ``test_every_entry_is_got_once_whatever_goes_wrong``.
    - While the session lives, nothing is left undecided: same test.
    - The lowest priority number comes first, and within it the oldest, across the overflow of numbers:
      ``test_entries_come_by_priority_and_then_in_the_order_they_were_put``,
      ``test_order_holds_where_the_numbers_wrap``.
    - A `get` that is cancelled after the server took the entry puts it back in its place:
      ``test_an_entry_taken_for_somebody_who_was_cancelled_is_put_back``.
    - `get` does not wait for entries. It lists the queue only when something was put since it did last:
      ``test_a_queue_is_not_listed_again_for_every_entry``.

    What does not: an entry that was got is gone from ZooKeeper; a consumer that crashes takes it along. LockingQueue
    keeps it until it is consumed, and WorkQueue until its result is written. kazoo's consumers lose an entry whose
    delete loses its reply. An exception that a signal raises in the very moment of taking may lose the entry.
    """

    def __init__(self, client: HasPort, path: str) -> None:
        check_path(path)
        if path == "/":
            message = 'a queue needs a node of its own, and somewhere beside it: not "/"'
            raise ValueError(message)
        self._path = path
        self._port = client.port
        self._entries = Entries(path)
        self._markers = path + MARKERS

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._path!r}>"

    @property
    def path(self) -> str:
        """The node whose children are the entries."""
        return self._path

    async def put(self, value: bytes, priority: int = 100, timeout: float | None = None) -> None:
        """Add an entry.

        priority: 0 to 999, lower numbers first.   timeout: seconds, a total; None waits for a connection without a
        bound. Raises RecipeTimeoutError, after which nothing was put; UndecidedError; NumbersExhaustedError; TypeError
        and ValueError before anything is sent; the client's errors where waiting cannot help.
        """
        check_value(self._path, value)
        check_priority(self._path, priority)
        check_timeout(timeout)
        entry = CreateRequest(join_path(self._path, prefix(priority)), value, (), CreateMode.PERSISTENT_SEQUENTIAL)
        patience = patience_for(self._port, self._path, "putting into queue", timeout)
        try:
            while True:
                patience.check()
                try:
                    if patience.port.state in WAITING:
                        await patience.sleep()
                        continue
                    await commit(patience.port, [entry], self._markers)
                    return
                except TransactionFailedError as refused:
                    if isinstance(refused.error, NodeExistsError):
                        raise NumbersExhaustedError(self._path) from refused
                    if not isinstance(refused.error, NoNodeError):
                        raise refused.error from refused
                except PASSING as error:
                    if is_undecided(error):
                        raise UndecidedError(self._path, "putting into", value) from error
                    await patience.pause()
                    continue
                await self._ensure(patience)
        finally:
            patience.end()

    async def get(self, timeout: float | None = None) -> bytes | None:
        """Take the next entry and return it; None when there is none.

        timeout: seconds, a total over trouble on the way; it does not wait for entries. None: without a bound.
        Raises RecipeTimeoutError, after which nothing was taken; UndecidedError, whose `data` is the entry that may
        have been taken; the client's errors where waiting cannot help.
        """
        check_timeout(timeout)
        patience = patience_for(self._port, self._path, "getting from queue", timeout)
        lost = 0
        try:
            while True:
                patience.check()
                try:
                    if patience.port.state in WAITING:
                        await patience.sleep()
                        continue
                    found = await self._entries.first(patience.port)
                    if found is None:
                        return None
                    if await self._take(patience, found):
                        return found.data
                    lost += 1
                    if lost > 1:
                        await back_off(patience.port, lost)
                except PASSING:
                    await patience.pause()
        finally:
            patience.end()

    async def length(self, timeout: float | None = None) -> int:
        """Count the entries, by the Stat of their parent: one round trip, however many there are.

        Children that are no entries count as well. timeout: seconds, a total. Raises RecipeTimeoutError.
        """
        check_timeout(timeout)
        patience = patience_for(self._port, self._path, "counting queue", timeout)
        try:
            while True:
                patience.check()
                try:
                    if patience.port.state not in WAITING:
                        stat = await patience.port.exists(self._path)
                        return 0 if stat is None else stat.num_children
                    await patience.sleep()
                except PASSING:
                    await patience.pause()
        finally:
            patience.end()

    # Putting

    async def _ensure(self, patience: Patience) -> None:
        try:
            await ensure(patience.port, self._path)
        except PASSING:
            await patience.pause()

    # Taking

    async def _take(self, patience: Patience, found: Found) -> bool:
        """Take an entry; False when somebody else has it. The caller may go away at any moment."""
        taking = _Taking()
        try:
            return await self._port.shielded(self._take_out(patience, found, taking))
        except UndecidedError:
            raise
        except BaseException:
            taking.gone = True
            if taking.taken:
                await self._port.shielded(self._put_back(found))
            elif taking.doubt:
                self._log_doubt(found)
            raise

    async def _take_out(self, patience: Patience, found: Found, taking: _Taking) -> bool:
        session_id = patience.port.session_id
        try:
            delete = DeleteRequest(join_path(self._path, found.name), found.version)
            await commit(patience.port, [delete], self._markers)
        except TransactionFailedError as refused:
            if isinstance(refused.error, NoNodeError):
                self._entries.discard(found.name)
            elif not isinstance(refused.error, BadVersionError) and not taking.gone:
                raise refused.error from refused
            return False
        except PASSING as error:
            if not is_undecided(error):
                if taking.gone:
                    return False
                raise
            if may_be_proved(patience.port, session_id) and await self._is_there(patience, found):
                return False
            self._entries.discard(found.name)
            if not taking.gone:
                # A caller who was cancelled meanwhile is told of nothing: then this is not the last word.
                taking.doubt = True
                raise UndecidedError(self._path, "getting from", found.data) from error
            self._log_doubt(found)
            return False
        self._entries.discard(found.name)
        taking.taken = True
        if taking.gone:
            await self._put_back(found)
        return True

    def _log_doubt(self, found: Found) -> None:
        log.error('entry "%s" of queue %s may be lost: nobody waits for it any more', found.name, self._path)

    async def _is_there(self, patience: Patience, found: Found) -> bool:
        """Whether the entry is still in the queue, after the session that may have taken it has ended."""
        # A patience of its own: who began this may have ended his.
        patience = patience_for(self._port, self._path, "looking into queue", patience.remaining)
        try:
            while True:
                try:
                    patience.check()
                    if patience.port.state not in WAITING:
                        await catch_up(patience.port)
                        stat = await patience.port.exists(join_path(self._path, found.name))
                        return stat is not None and stat.czxid == found.czxid
                    await patience.sleep()
                except PASSING:
                    await patience.pause()
        except ZooKeeperError:
            return False
        finally:
            patience.end()

    async def _put_back(self, found: Found) -> None:
        """Create an entry anew that nobody waits for, at its old place; until it is there, or the client is closed."""
        port = self._port
        entry = CreateRequest(join_path(self._path, found.name), found.data, (), CreateMode.PERSISTENT)
        patience = patience_for(port, self._path, "putting back into queue", None)
        try:
            while True:
                try:
                    if port.state in WAITING:
                        await patience.sleep()
                        continue
                    await commit(port, [entry], self._markers)
                    return
                except TransactionFailedError as refused:
                    if not isinstance(refused.error, NoNodeError):
                        raise
                    await self._ensure(patience)
                except PASSING as error:
                    if is_undecided(error):
                        raise
                    await patience.pause()
        except (ServerError, SessionClosedError):
            log.exception('entry "%s" of queue %s may be lost: it could not be put back', found.name, self._path)
        finally:
            patience.end()


class Queue(Face[AsyncQueue]):
    """A queue with priorities (threads and gevent).

    client: whatever has a port, for example a Client.   path: the node of the queue, created when missing; not "/".

    The blocking face of AsyncQueue, whose docstring lists what holds. Threads may share an object.
    """

    def __init__(self, client: HasPort, path: str) -> None:
        super().__init__(AsyncQueue(client, path))

    put = blocking(AsyncQueue.put)
    get = blocking(AsyncQueue.get)
    length = blocking(AsyncQueue.length)
    path = attribute(AsyncQueue, lambda queue: queue.path)

    def __len__(self) -> int:
        """Count the entries; as `length`, without a bound."""
        return run_blocking(self._body.length())
