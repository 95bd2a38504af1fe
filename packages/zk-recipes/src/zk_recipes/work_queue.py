"""A queue of jobs, each of which has its effect in ZooKeeper exactly once.

Rule: one transaction completes a job: it checks the claim, deletes the job, writes the result, and does whatever else
the worker wants done with it. So a job that is begun twice (a worker that froze, and the next) is completed once. The
result names the claim that wrote it, and is found again when a reply was lost, also in another session.

A claim counts itself in the version of the job's data. A job that was claimed too often is put aside.

Layout, below `path`: ``entries/<GUID>-<priority>-<number>``, the jobs, whose id is the GUID; ``results/<id>``, the
GUID of the claim, a line feed, the result; ``dead/<id>``; ``taken``, ``claims``, ``waiting`` and ``writes`` as in
``_claims``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from zk_client import Face, TransactionFailedError, attribute, blocking, run_blocking
from zk_wire import (
    CreateMode,
    CreateRequest,
    DeleteRequest,
    NoNodeError,
    check_path,
    join_path,
)

from ._claims import Claim, Claims
from ._deciding import commit, ensure, is_undecided, patience_for
from ._entries import check_priority, check_value, numbers_are_exhausted, order
from ._queue import RELEASE_BOUND
from ._waiting import PASSING, WAITING, Patience, check_timeout
from .errors import (
    JobFailedError,
    NumbersExhaustedError,
    QueueFullError,
    RecipeTimeoutError,
    UndecidedError,
)
from .job import AsyncJob, Job, job_id_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from typing import TypeVar

    from zk_client import HasPort, Operation, Port

    T = TypeVar("T")

# What one reply holds of names of this length, with room to spare: servers send at most 1,048,575 bytes.
MOST_ENTRIES = 10_000
_PATTERN = re.compile(r"([0-9a-f]{32})-(\d{3})-(\d{10}|-\d{9,10})\Z", re.ASCII)


class AsyncWorkQueue:
    """A queue of jobs with results (asyncio, and every other port that suspends).

    client: whatever has a port.   path: the node of the queue, created when missing.
    max_tries: how often a job may be claimed before it is put aside; None for no limit.
    max_depth: how many jobs there may be: servers send a listing in one reply. (A few more when many put at once.)
    results: whether results are written; whoever asks for them should `forget` them.

    What holds, each with the test that keeps it:

    - A job that is completed has its effects, its result, and its end exactly once and at one moment, whatever is lost,
      expires, freezes, crashes or is cancelled: ``test_every_job_has_its_effect_once_whatever_goes_wrong``.
    - A job whose worker died or gave up is free again: same test.
    - A job that was claimed *max_tries* times is not given to anybody, but put aside:
      ``test_a_job_that_fails_too_often_is_put_aside``.
    - `claim` and `result` keep their time, and leave nothing: ``test_times_are_totals_and_leave_nothing``.
    - A queue takes no more than it can list: ``test_a_full_queue_takes_no_more``.

    What does not: effects outside ZooKeeper. They can carry the token, or the job's id as a unique key.
    """

    def __init__(
        self,
        client: HasPort,
        path: str,
        *,
        max_tries: int | None = None,
        max_depth: int = MOST_ENTRIES,
        results: bool = True,
    ) -> None:
        check_path(path)
        for name, number in (("max_tries", max_tries), ("max_depth", max_depth)):
            if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
                message = f"{name} must be a whole number, at least 1, not {number!r}"
                raise ValueError(message)
        self._path = path
        self._port = client.port
        base = path.rstrip("/")
        self._claims = Claims(client, base, in_order, counts=True)
        self._results = f"{base}/results"
        self._dead = f"{base}/dead"
        self._max_tries = max_tries
        self._max_depth = max_depth
        self._writes_results = results

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._path!r}>"

    @property
    def path(self) -> str:
        """The node of the queue."""
        return self._path

    # For those who want something done

    async def put(self, data: bytes, priority: int = 100, timeout: float | None = None) -> str:
        """Add a job and return its id.

        priority: 0 to 999, lower numbers first.   timeout: seconds, a total. Raises QueueFullError and
        RecipeTimeoutError, after which nothing was put; UndecidedError; NumbersExhaustedError; TypeError and ValueError
        before anything is sent; the client's errors where waiting cannot help.
        """
        check_value(self._path, data)
        check_priority(self._path, priority)
        job_id = self._port.guid()
        await self._insert(job_id, priority, data, (), timeout)
        return job_id

    async def result(self, job_id: str, timeout: float | None = None) -> bytes:
        """Wait for a job's result and return it.

        timeout: seconds, a total; None waits without a bound, also for a job that was never put.
        Raises JobFailedError for a job that was put aside; RecipeTimeoutError.
        """
        check_job_id(job_id)
        check_timeout(timeout)
        patience = patience_for(self._port, self._path, "waiting for a result of queue", timeout)
        places = [join_path(self._results, job_id), join_path(self._dead, job_id)]
        try:
            while True:
                patience.check()
                watches = [self._port.watcher(patience.wake) for _ in places]
                try:
                    if patience.port.state in WAITING:
                        await patience.sleep()
                        continue
                    if await patience.port.exists(places[0], watches[0]) is not None:
                        data, _ = await patience.port.get(places[0])
                        return result_in(data)
                    if await patience.port.exists(places[1], watches[1]) is not None:
                        raise JobFailedError(self._path, job_id)
                    while all(watch.event is None for watch in watches):
                        await patience.sleep()
                        patience.check()
                except NoNodeError:
                    continue  # it was forgotten at this moment
                except PASSING:
                    await patience.pause()
                finally:

                    async def close() -> None:
                        for watch in watches:  # noqa: B023 - run before the next turn
                            await watch.close()

                    await self._port.shielded(close())
        finally:
            patience.end()

    async def forget(self, job_id: str, timeout: float | None = None) -> bool:
        """Delete a job's result, or its dead letter; False when there was none."""
        check_job_id(job_id)

        async def delete(port: Port) -> bool:
            gone = False
            for place in (self._results, self._dead):
                try:
                    await port.delete(join_path(place, job_id))
                    gone = True
                except NoNodeError as error:
                    gone = gone or is_undecided(error)
            return gone

        return await self._asking("forgetting a job of queue", delete, timeout)

    async def depth(self, timeout: float | None = None) -> int:
        """Count the jobs that are not completed, claimed ones too: one round trip, however many there are."""

        async def count(port: Port) -> int:
            stat = await port.exists(self._claims.entries)
            return 0 if stat is None else stat.num_children

        return await self._asking("counting queue", count, timeout)

    async def dead_letters(self, timeout: float | None = None) -> list[str]:
        """Return the ids of the jobs that were put aside, in no order."""

        async def ids(port: Port) -> list[str]:
            try:
                return await port.get_children(self._dead)
            except NoNodeError:
                return []

        return await self._asking("listing dead letters of queue", ids, timeout)

    async def revive(self, job_id: str, priority: int = 100, timeout: float | None = None) -> bool:
        """Make a job that was put aside one to be done again, with all its tries; False when it is not there."""
        check_job_id(job_id)
        check_priority(self._path, priority)
        place = join_path(self._dead, job_id)

        async def read(port: Port) -> bytes | None:
            try:
                return (await port.get(place))[0] or b""
            except NoNodeError:
                return None

        data = await self._asking("reviving a job of queue", read, timeout)
        if data is None:
            return False
        return await self._insert(job_id, priority, data, [DeleteRequest(place, -1)], timeout)

    # For workers

    async def claim(
        self, timeout: float | None = None, *, on_lost: Callable[[], object] | None = None
    ) -> AsyncJob | None:
        """Claim the next free job; None when there was none in time.

        timeout: seconds, a total; None waits for a job without a bound. What was claimed is given back when the caller
        is cancelled.   on_lost: called once when the job is lost while it is held, at the latest when the lease ends;
        it costs a worker and a watch for as long, and runs there. Raises the client's errors where waiting cannot help.
        """
        check_timeout(timeout)
        patience = patience_for(self._port, self._path, "claiming from queue", timeout)
        try:
            while True:
                claim = await self._claims.claim(patience)
                if claim is None:
                    return None
                if self._max_tries is None or claim.tries <= self._max_tries:
                    return AsyncJob(self, self._port, claim, on_lost)
                await self._bury(patience, claim)
        except RecipeTimeoutError:
            return None
        finally:
            patience.end()

    # Inside

    async def _insert(
        self, job_id: str, priority: int, data: bytes, also: Sequence[Operation], timeout: float | None
    ) -> bool:
        check_timeout(timeout)
        place = join_path(self._claims.entries, f"{job_id}-{priority:03d}-")
        entry = CreateRequest(place, data, (), CreateMode.PERSISTENT_SEQUENTIAL)
        patience = patience_for(self._port, self._path, "putting into queue", timeout)
        try:
            while True:
                patience.check()
                try:
                    if patience.port.state in WAITING:
                        await patience.sleep()
                        continue
                    stat = await patience.port.exists(self._claims.entries)
                    if stat is None:
                        await ensure(patience.port, self._claims.entries)
                    elif stat.num_children >= self._max_depth:
                        raise QueueFullError(self._path, stat.num_children, self._max_depth)
                    elif numbers_are_exhausted(stat):
                        # A job's name has its id, so the server would take it, out of order.
                        raise NumbersExhaustedError(self._claims.entries)
                    await commit(patience.port, [entry, *also], self._claims.markers)
                    return True
                except TransactionFailedError as refused:
                    if not isinstance(refused.error, NoNodeError):
                        raise refused.error from refused
                    if refused.index:
                        return False
                except PASSING as error:
                    if is_undecided(error):
                        raise UndecidedError(self._path, "putting into", data) from error
                    await patience.pause()
        finally:
            patience.end()

    async def _complete(self, claim: Claim, result: bytes, effects: Sequence[Operation], timeout: float | None) -> bool:
        place = join_path(self._results, job_id_of(claim.name))
        written = claim.node.guid.encode() + b"\n" + result
        create = CreateRequest(place, written, (), CreateMode.PERSISTENT)
        ours: list[Operation] = [create] if self._writes_results else []
        patience = patience_for(self._port, self._path, "completing a job of queue", timeout)
        try:
            while True:
                try:
                    return await self._claims.consume(patience, claim, [*ours, *effects])
                except TransactionFailedError as refused:
                    if refused.index >= len(ours):
                        raise TransactionFailedError(
                            refused.index - len(ours), refused.results[len(ours) :]
                        ) from refused
                    if not isinstance(refused.error, NoNodeError):
                        raise refused.error from refused
                except UndecidedError:
                    found = await self._result_of(patience, place)
                    if found is None:
                        raise
                    return found == written
                await self._make(patience, self._results)
        finally:
            patience.end()

    async def _result_of(self, patience: Patience, place: str) -> bytes | None:
        """What the result says, after the session that may have written it has ended; None when that is unknown."""
        while self._writes_results:
            try:
                patience.check()
                if patience.port.state not in WAITING:
                    return (await patience.port.get(place))[0]
                await patience.sleep()
            except PASSING:
                await patience.pause()
            except (RecipeTimeoutError, NoNodeError):
                break
        return None

    async def _bury(self, patience: Patience, claim: Claim) -> None:
        """Put a job aside that was claimed too often."""
        letter = CreateRequest(join_path(self._dead, job_id_of(claim.name)), claim.data, (), CreateMode.PERSISTENT)
        buried = False
        try:
            while not buried:
                try:
                    await self._claims.consume(patience, claim, [letter])
                    buried = True
                except UndecidedError:
                    return  # it lies where it lies: whoever claims it next finds out
                except TransactionFailedError as refused:
                    if not isinstance(refused.error, NoNodeError):
                        raise refused.error from refused
                    await self._make(patience, self._dead)
        finally:
            if not buried:
                self._abandon(claim)

    async def _make(self, patience: Patience, path: str) -> None:
        try:
            await ensure(patience.port, path)
        except PASSING:
            await patience.pause()

    async def _asking(self, what: str, ask: Callable[[Port], Awaitable[T]], timeout: float | None) -> T:
        """Ask something, waiting out trouble with the connection."""
        check_timeout(timeout)
        patience = patience_for(self._port, self._path, what, timeout)
        try:
            while True:
                patience.check()
                try:
                    if patience.port.state not in WAITING:
                        return await ask(patience.port)
                    await patience.sleep()
                except PASSING:
                    await patience.pause()
        finally:
            patience.end()

    def _abandon(self, claim: Claim) -> None:
        self._claims.abandon(claim.name, claim.node.guid, claim.node.session_id)

    async def _give_back(self, claim: Claim) -> bool:
        return await self._claims.give_back(claim, RELEASE_BOUND)


class WorkQueue(Face[AsyncWorkQueue]):
    """A queue of jobs with results (threads and gevent).

    client: whatever has a port, for example a Client.   path: the node of the queue, created when missing.
    max_tries: how often a job may be claimed before it is put aside; None for no limit.
    max_depth: how many jobs there may be: servers send a listing in one reply. (A few more when many put at once.)
    results: whether results are written; whoever asks for them should `forget` them.

    The blocking face of AsyncWorkQueue, whose docstring lists what holds. Threads may share an object.
    """

    def __init__(
        self,
        client: HasPort,
        path: str,
        *,
        max_tries: int | None = None,
        max_depth: int = MOST_ENTRIES,
        results: bool = True,
    ) -> None:
        super().__init__(AsyncWorkQueue(client, path, max_tries=max_tries, max_depth=max_depth, results=results))

    put = blocking(AsyncWorkQueue.put)
    result = blocking(AsyncWorkQueue.result)
    forget = blocking(AsyncWorkQueue.forget)
    depth = blocking(AsyncWorkQueue.depth)
    dead_letters = blocking(AsyncWorkQueue.dead_letters)
    revive = blocking(AsyncWorkQueue.revive)
    path = attribute(AsyncWorkQueue, lambda queue: queue.path)

    def claim(self, timeout: float | None = None, *, on_lost: Callable[[], object] | None = None) -> Job | None:
        """Claim the next free job; None when there was none in time.

        timeout: seconds, a total; None waits for a job without a bound. What was claimed is given back when the caller
        is cancelled.   on_lost: called once when the job is lost while it is held, at the latest when the lease ends;
        it costs a worker and a watch for as long, and runs there. Raises the client's errors where waiting cannot help.
        """
        job = run_blocking(self._body.claim(timeout, on_lost=on_lost))
        return None if job is None else Job(job)


def in_order(children: Iterable[str]) -> list[str]:
    """The jobs among children, the most urgent first, and the oldest first among equals."""
    return order({name: (match[2], match[3]) for name in children if (match := _PATTERN.fullmatch(name))})


def check_job_id(job_id: str) -> None:
    """Refuse what is no id, before anything is sent."""
    if not isinstance(job_id, str) or re.fullmatch(r"[0-9a-f]{32}", job_id) is None:
        message = f"a job's id is 32 hex digits, as `put` returns it, not {job_id!r}"
        raise ValueError(message)


def result_in(data: bytes | None) -> bytes:
    """A result as its worker gave it."""
    return (data or b"").partition(b"\n")[2]
