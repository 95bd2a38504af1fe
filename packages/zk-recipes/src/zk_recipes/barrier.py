"""A barrier that keeps everybody waiting until it is removed.

Rule: the barrier is closed while its node exists. Whoever waits looks again after everything that may have changed
it: a watch, a reconnect, a new session, in which the server is asked to catch up first.

Layout (kazoo's): `path` exists = closed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zk_client import Face, attribute, blocking
from zk_wire import NodeExistsError, NoNodeError, Outcome, check_path

from ._deciding import patience_for
from ._settling import catch_up
from ._waiting import PASSING, WAITING, check_timeout
from .errors import RecipeTimeoutError

if TYPE_CHECKING:
    from zk_client import HasPort


class AsyncBarrier:
    """A barrier that keeps everybody waiting until it is removed (asyncio, and every other port that suspends).

    client: whatever has a port.   path: the node that is the barrier.

    What holds, each with the test that keeps it:

    - A wait ends soon after the barrier is removed, whatever is lost, cut, expires or freezes meanwhile:
      ``test_a_wait_ends_after_the_removal_whatever_goes_wrong``.
    - It does not end while the barrier is there: same test.
    - A time-out is a total, and nothing is left of a wait: ``test_a_timeout_of_a_wait_is_a_total_and_leaves_nothing``.
    - `create` and `remove` say what is so although a reply was lost: ``test_a_lost_reply_changes_nothing``.
    """

    def __init__(self, client: HasPort, path: str) -> None:
        check_path(path)
        self._path = path
        self._port = client.port

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._path!r}>"

    @property
    def path(self) -> str:
        """The node that is the barrier."""
        return self._path

    async def create(self, timeout: float | None = None) -> None:
        """Close the barrier; no effect on one that is closed.

        timeout: seconds, a total; None waits for a connection without a bound. Raises RecipeTimeoutError, after which
        it may be closed; the client's errors where waiting cannot help.
        """
        check_timeout(timeout)
        patience = patience_for(self._port, self._path, "creating barrier", timeout)
        try:
            while True:
                patience.check()
                try:
                    if patience.port.state not in WAITING:
                        await patience.port.create(self._path, makepath=True)
                        return
                    await patience.sleep()
                except NodeExistsError:
                    return
                except PASSING:
                    await patience.pause()
        finally:
            patience.end()

    async def remove(self, timeout: float | None = None) -> bool:
        """Open the barrier; False when it was open already.

        timeout: seconds, a total; None waits for a connection without a bound. Raises RecipeTimeoutError, after which
        it may be open; the client's errors where waiting cannot help. Where the reply was lost and somebody else may
        have removed it just as well, the answer is True.
        """
        check_timeout(timeout)
        patience = patience_for(self._port, self._path, "removing barrier", timeout)
        maybe_ours = False
        try:
            while True:
                patience.check()
                try:
                    if patience.port.state not in WAITING:
                        await patience.port.delete(self._path)
                        return True
                    await patience.sleep()
                except NoNodeError as error:
                    return maybe_ours or error.outcome is Outcome.UNKNOWN
                except PASSING as error:
                    maybe_ours = maybe_ours or error.outcome is Outcome.UNKNOWN
                    await patience.pause()
        finally:
            patience.end()

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait until the barrier is open; False when time ran out first.

        timeout: seconds, a total; None waits without a bound. Raises the client's errors where waiting cannot help.
        """
        check_timeout(timeout)
        patience = patience_for(self._port, self._path, "waiting for barrier", timeout)
        session_id: int | None = None
        try:
            while True:
                patience.check()
                watch = self._port.watcher(patience.wake)
                try:
                    if patience.port.state in WAITING:
                        await patience.sleep()
                        continue
                    if patience.port.session_id != session_id:
                        # Another server may not have heard of the barrier yet.
                        session_id = patience.port.session_id
                        await catch_up(patience.port)
                    if await patience.port.exists(self._path, watch) is None:
                        return True
                    while watch.event is None:
                        await patience.sleep()
                        patience.check()
                except PASSING:
                    session_id = None
                    await patience.pause()
                finally:
                    await self._port.shielded(watch.close())
        except RecipeTimeoutError:
            return False
        finally:
            patience.end()


class Barrier(Face[AsyncBarrier]):
    """A barrier that keeps everybody waiting until it is removed (threads and gevent).

    client: whatever has a port, for example a Client.   path: the node that is the barrier.

    The blocking face of AsyncBarrier, whose docstring lists what holds. Threads may share an object.
    """

    def __init__(self, client: HasPort, path: str) -> None:
        super().__init__(AsyncBarrier(client, path))

    create = blocking(AsyncBarrier.create)
    remove = blocking(AsyncBarrier.remove)
    wait = blocking(AsyncBarrier.wait)
    path = attribute(AsyncBarrier, lambda barrier: barrier.path)
