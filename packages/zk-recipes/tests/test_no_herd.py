"""What a release costs with a hundred waiters, counted by the server: the same as with one.

Two recipes wake everybody by their nature, and cost each of them a request or two: a Barrier and a DoubleBarrier, whose
members go on together. So do the readers that wait for one writer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import pytest

from zk_client import AsyncClient
from zk_recipes import (
    AsyncBarrier,
    AsyncDoubleBarrier,
    AsyncDurableLease,
    AsyncElection,
    AsyncLease,
    AsyncLock,
    AsyncLockingQueue,
    AsyncMultiLock,
    AsyncReadLock,
    AsyncReentrantLock,
    AsyncSemaphore,
    AsyncWorkQueue,
    AsyncWriteLock,
)
from zk_testing import EmbeddedServer

PATH = "/queue"
PATIENCE = 20.0
MANY = 100

Waiting: TypeAlias = Callable[[AsyncClient], AbstractAsyncContextManager[object]]

# What is held while others wait for it, in the same way.
MAKE: dict[str, Callable[[AsyncClient], AbstractAsyncContextManager[object]]] = {
    "lock": lambda zk: AsyncLock(zk, PATH),
    "write lock": lambda zk: AsyncWriteLock(zk, PATH),
    "re-entrant lock": lambda zk: AsyncReentrantLock(zk, PATH),
    "several locks": lambda zk: AsyncMultiLock(zk, [PATH]),
    "semaphore": lambda zk: AsyncSemaphore(zk, PATH, max_leases=1),
    "lease": lambda zk: AsyncLease(zk, PATH, 60.0),
    "durable lease": lambda zk: AsyncDurableLease(zk, PATH, 60.0),
    "election": lambda zk: AsyncElection(zk, PATH).lead(),
}

# Requests of a release, and how many more where others are behind the one that is next: a lock, and those whose first
# in line passes its place on and looks whether there is room.
FEW, MANY_PLACES = (4, 1), {"semaphore": (12, 5), "durable lease": (9, 3)}


class Crowd:
    """Waiters of one client, as the server sees them.   inside: how many have got what they waited for."""

    def __init__(self, server: EmbeddedServer, zk: AsyncClient) -> None:
        self.server = server
        self.zk = zk
        self.inside = 0
        self.gate = asyncio.Event()
        self._asked = 0
        self._tasks: list[asyncio.Task[None]] = []

    def wait(self, enter: Waiting, count: int) -> None:
        """Let so many wait."""
        self._tasks += [asyncio.create_task(self._wait(enter)) for _ in range(count)]

    async def _wait(self, enter: Waiting) -> None:
        async with enter(self.zk):
            self.inside += 1
            await self.gate.wait()

    async def settled(self, inside: int) -> int:
        """Wait until so many are inside and nobody asks for anything more; how many requests there were in all."""
        quiet, seen = 0, -1
        async with asyncio.timeout(PATIENCE):
            while quiet < 4 or self.inside != inside:
                await self.zk.sync("/")
                self._asked += 1
                now = self.server.call(lambda core: core.received) - self._asked
                quiet, seen = quiet + 1 if now == seen else 0, now
        return seen

    async def finish(self) -> None:
        """Let everybody in, and out."""
        self.gate.set()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*self._tasks)


@asynccontextmanager
async def crowd(server: EmbeddedServer) -> AsyncIterator[Crowd]:
    async with AsyncClient(server.hosts) as zk:
        yield Crowd(server, zk)


def costs(measure: Callable[[EmbeddedServer, int], Awaitable[int]], many: int = MANY) -> tuple[int, int]:
    """What it costs with one who waits, and with many."""

    async def run(server: EmbeddedServer, count: int) -> int:
        return await measure(server, count)

    with EmbeddedServer() as server:
        one = asyncio.run(run(server, 1))
    with EmbeddedServer() as server:
        return one, asyncio.run(run(server, many))


@pytest.mark.parametrize("kind", MAKE)
def test_a_release_costs_as_much_with_a_hundred_waiters_as_with_one(kind: str) -> None:
    async def measure(server: EmbeddedServer, waiters: int) -> int:
        async with crowd(server) as people:
            async with MAKE[kind](people.zk):
                people.wait(MAKE[kind], waiters)
                before = await people.settled(0)
            after = await people.settled(1)
            await people.finish()
        return after - before

    one, hundred = costs(measure)
    most, more = MANY_PLACES.get(kind, FEW)
    assert hundred <= one + more <= most, (one, hundred)


def test_a_release_at_the_end_of_the_numbers_wakes_one_as_well() -> None:
    async def measure(server: EmbeddedServer, waiters: int) -> int:
        async with crowd(server) as people:
            await people.zk.create(PATH)

            def no_numbers(core: Any) -> None:
                core.tree.nodes[PATH].creations = 2**31 - 1

            server.call(no_numbers)
            async with AsyncLock(people.zk, PATH):
                people.wait(MAKE["lock"], waiters)
                before = await people.settled(0)
            after = await people.settled(1)
            await people.finish()
        return after - before

    one, hundred = costs(measure)
    assert hundred <= one + 1 <= 6, (one, hundred)


def test_a_readers_release_wakes_the_writer_that_waits_and_no_reader_behind_it() -> None:
    async def measure(server: EmbeddedServer, waiters: int) -> int:
        async with crowd(server) as people:
            async with AsyncReadLock(people.zk, PATH):
                people.wait(lambda zk: AsyncWriteLock(zk, PATH), 1)
                await people.settled(0)
                people.wait(lambda zk: AsyncReadLock(zk, PATH), waiters)
                before = await people.settled(0)
            after = await people.settled(1)
            await people.finish()
        return after - before

    one, hundred = costs(measure)
    assert hundred == one <= 3, (one, hundred)


def test_readers_that_wait_for_one_writer_cost_a_listing_each() -> None:
    async def measure(server: EmbeddedServer, waiters: int) -> int:
        async with crowd(server) as people:
            async with AsyncWriteLock(people.zk, PATH):
                people.wait(lambda zk: AsyncReadLock(zk, PATH), waiters)
                before = await people.settled(0)
            after = await people.settled(waiters)
            await people.finish()
        return after - before

    one, hundred = costs(measure)
    assert hundred - one == MANY - 1, (one, hundred)


@asynccontextmanager
async def consumer(queue: AsyncLockingQueue | AsyncWorkQueue) -> AsyncIterator[None]:
    """Take an entry, and consume it in the end."""
    if isinstance(queue, AsyncWorkQueue):
        job = await queue.claim(PATIENCE)
        assert job is not None
        yield
        assert await job.complete()
    else:
        await queue.get(PATIENCE)
        yield
        assert await queue.consume()


@pytest.mark.parametrize("kind", [AsyncLockingQueue, AsyncWorkQueue])
def test_an_entry_costs_as_much_with_a_hundred_consumers_as_with_one(
    kind: type[AsyncLockingQueue | AsyncWorkQueue],
) -> None:
    async def measure(server: EmbeddedServer, waiters: int) -> int:
        async with crowd(server) as people:
            producer = kind(people.zk, PATH)
            people.wait(lambda zk: consumer(kind(zk, PATH)), waiters)
            before = await people.settled(0)
            await producer.put(b"entry")
            after = await people.settled(1)
            for _ in range(waiters - 1):
                await producer.put(b"entry")
            await people.finish()
        return after - before

    one, hundred = costs(measure)
    # The one that was first in line leaves it, and the next one begins to watch.
    assert hundred <= one + 4 <= 25, (one, hundred)


def test_removing_a_barrier_wakes_everybody_for_a_request_each() -> None:
    async def measure(server: EmbeddedServer, waiters: int) -> int:
        @asynccontextmanager
        async def passing(zk: AsyncClient) -> AsyncIterator[None]:
            assert await AsyncBarrier(zk, PATH).wait(PATIENCE)
            yield

        async with crowd(server) as people:
            barrier = AsyncBarrier(people.zk, PATH)
            await barrier.create()
            people.wait(passing, waiters)
            before = await people.settled(0)
            await barrier.remove()
            after = await people.settled(waiters)
            await people.finish()
        return after - before

    one, hundred = costs(measure)
    assert hundred - one == MANY - 1, (one, hundred)


def test_the_last_member_of_a_double_barrier_lets_everybody_in_for_a_few_requests_each() -> None:
    async def measure(server: EmbeddedServer, waiters: int) -> int:
        @asynccontextmanager
        async def member(zk: AsyncClient) -> AsyncIterator[None]:
            barrier = AsyncDoubleBarrier(zk, PATH, waiters + 1)
            await barrier.enter()
            yield
            await barrier.leave()

        async with crowd(server) as people:
            people.wait(member, waiters)
            before = await people.settled(0)
            people.wait(member, 1)
            after = await people.settled(waiters + 1)
            await people.finish()
        return after - before

    one, ten = costs(measure, 10)
    _, fifty = costs(measure, 50)
    assert (fifty - ten) / 40 <= 2, (one, ten, fifty)
