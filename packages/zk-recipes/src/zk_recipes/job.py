"""A job of a work queue, as its worker holds it.

Rule: a job is held through its claim, until exactly one party ends that: completing it, giving it back, or the keeper
that tells of a loss. What the server has to do for it is the queue's business (``work_queue``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zk_client import Face, TransactionFailedError, attribute, blocking, direct, run_blocking

from ._block import Block
from ._entries import check_value
from ._holding import Holding
from ._waiting import check_timeout
from .errors import LockLostError, RecipeTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from zk_client import Operation, Port
    from zk_wire import CheckVersionRequest

    from ._claims import Claim
    from .work_queue import AsyncWorkQueue

WHAT = "job of queue"


class AsyncJob:
    """A job that was claimed. id: which.   data: what is to be done.   tries: how often it was claimed, with this time.

    An object is given by `AsyncWorkQueue.claim`, and is of use to one worker, once. As a block (``async with job:``) it
    is given back at the end, unless it was completed. What holds, each with the test that keeps it:

    - Where a task can be interrupted (asyncio) the block is cancelled when the claim is lost, before anybody else can
      have the job, and LockLostError leaves it: ``test_the_block_of_a_job_is_cancelled_before_its_lease_ends``.
    - `on_lost` has been called by then: ``test_a_worker_is_told_that_its_job_is_lost_before_another_has_it``.
    """

    def __init__(self, queue: AsyncWorkQueue, port: Port, claim: Claim, on_lost: Callable[[], object] | None) -> None:
        self.id = job_id_of(claim.name)
        self.data = claim.data
        self.tries = claim.tries
        self._queue = queue
        self._port = port
        self._claim = claim
        self._holding = holding = Holding(port, queue.path, claim.node, WHAT)
        self._block = Block(port)
        if on_lost is not None:
            # The session may live on: others must not wait for somebody who has given up.
            keeper = holding.keep(on_lost, lambda: queue._abandon(claim))
            try:
                port.spawn(keeper, f"keeper of {queue.path}")
            except BaseException:
                keeper.close()
                queue._abandon(claim)
                raise

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {'held' if self.is_held else 'not held'}>"

    @property
    def is_held(self) -> bool:
        """Whether the job is ours, as far as can be known without asking; never true after the lease has ended."""
        return self._holding.is_valid

    @property
    def token(self) -> int:
        """The fencing token: the zxid of the claim, less than that of any later claim."""
        return self._claim.node.czxid

    @property
    def lease_remaining(self) -> float:
        """Seconds for which nobody else can get the job, even if the connection is gone; 0.0 when it is not held."""
        return self._holding.lease_remaining

    def guard(self) -> CheckVersionRequest:
        """Return an operation for a transaction that lets it succeed only while the job is ours.

        Raises LockLostError when it is not.
        """
        return self._holding.guard()

    async def complete(
        self, result: bytes = b"", effects: Sequence[Operation] = (), timeout: float | None = None
    ) -> bool:
        """Finish the job: delete it, write its result and apply *effects*, in one transaction.

        result: for `AsyncWorkQueue.result`.   effects: operations on other nodes; an empty ACL is the client's default.
        timeout: seconds, a total; None waits until the server has answered, or the session ended.
        Returns True when this call did all of it, False when the job was not ours any more, and nothing was done.
        Raises TransactionFailedError when an effect is refused (its index is that of the effect), and
        RecipeTimeoutError, after both of which nothing was done and the job is still held; UndecidedError; the client's
        errors where waiting cannot help.
        """
        check_value(self._queue.path, result)
        check_timeout(timeout)
        if self._holding.ended:
            return False
        keep = answered = False
        try:
            completed = await self._queue._complete(self._claim, result, effects, timeout)
            answered = True
        except (RecipeTimeoutError, TransactionFailedError):
            keep = True
            raise
        finally:
            if not keep:
                self._let_go()
                if not answered:
                    self._queue._abandon(self._claim)
        return completed

    async def release(self) -> bool:
        """Give the job back for another try, by anybody; True when it was held until now.

        Waits at most a few seconds for the server; the client does the rest in the background.
        """
        was_held = self._holding.is_valid
        if self._holding.ended:
            return False
        self._let_go()
        return await self._queue._give_back(self._claim) and was_held

    async def __aenter__(self) -> Self:
        """Begin the work; raises LockLostError when the job is not held any more."""
        if not self._holding.is_valid:
            raise LockLostError(self._queue.path, "its claim ended before its block began", WHAT)
        await self._block.begin(self.release, lambda: self._holding)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the job back, unless it was completed."""
        await self._block.end(exc, self.release)

    def _let_go(self) -> None:
        self._holding.end()
        self._holding.wake.set()


class Job(Face[AsyncJob]):
    """A job that was claimed (threads and gevent). id: which.   data: what is to be done.   tries: how often claimed.

    The blocking face of AsyncJob; given by `WorkQueue.claim`.
    """

    complete = blocking(AsyncJob.complete)
    release = blocking(AsyncJob.release)
    guard = direct(AsyncJob.guard)
    is_held = attribute(AsyncJob, lambda job: job.is_held)
    token = attribute(AsyncJob, lambda job: job.token)
    lease_remaining = attribute(AsyncJob, lambda job: job.lease_remaining)

    def __init__(self, body: AsyncJob) -> None:
        super().__init__(body)
        self.id = body.id
        self.data = body.data
        self.tries = body.tries

    def __enter__(self) -> Self:
        """Begin the work; raises LockLostError when the job is not held any more."""
        run_blocking(self._body.__aenter__())
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the job back, unless it was completed."""
        run_blocking(self._body.__aexit__(exc_type, exc, traceback))


def job_id_of(name: str) -> str:
    """The id in the name of a job's node."""
    return name[:32]
