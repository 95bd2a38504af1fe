"""Every recipe, when a stranger deletes its node with all that is below it, and perhaps makes it anew.

What holds then is said by each test's name: who held does not any more and is told when it asks, who waits goes on
waiting and gets it, what was stored is gone, and the recipe can be used as if for the first time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from every_recipe import PATH
from heard import PATIENCE, Heard

from zk_client import AsyncClient, TransactionFailedError
from zk_recipes import (
    AsyncBarrier,
    AsyncChildrenWatch,
    AsyncCounter,
    AsyncDataWatch,
    AsyncDoubleBarrier,
    AsyncDurableLease,
    AsyncElection,
    AsyncGroupMembership,
    AsyncLease,
    AsyncLock,
    AsyncLockingQueue,
    AsyncMultiLock,
    AsyncMultiNonBlockingLease,
    AsyncNonBlockingLease,
    AsyncParty,
    AsyncPatientChildrenWatch,
    AsyncPersistentNode,
    AsyncQueue,
    AsyncReadLock,
    AsyncReadWriteLock,
    AsyncReentrantLock,
    AsyncSemaphore,
    AsyncSetPartitioner,
    AsyncSharedValue,
    AsyncTreeCache,
    AsyncWorkQueue,
    AsyncWriteLock,
    LockLostError,
)
from zk_testing.member import ZooKeeperServer
from zk_wire import NoNodeError

Body = Callable[["World"], Awaitable[None]]

# Beside the recipe's own node: where a semaphore queues, and where markers of writes are.
BESIDE = ["", "-__lock__", "-__writes__"]


class World:
    """Two clients, and a stranger that deletes.   anew: whether it makes the node again at once."""

    def __init__(self, one: AsyncClient, other: AsyncClient, stranger: AsyncClient, anew: bool) -> None:
        self.one = one
        self.other = other
        self.stranger = stranger
        self.anew = anew

    async def erase(self) -> None:
        """Delete the recipe's nodes with all that is below them, in one transaction."""
        while True:
            transaction = self.stranger.transaction()
            for end in BESIDE:
                for path in reversed(await self._all_below(PATH + end)):
                    transaction.delete(path)
            if self.anew:
                transaction.create(PATH)
            with suppress(TransactionFailedError):  # Somebody has come, or gone.
                await transaction.commit()
                return

    async def _all_below(self, path: str) -> list[str]:
        found = [path]
        with suppress(NoNodeError):
            for name in await self.stranger.get_children(path):
                found += await self._all_below(f"{path}/{name}")
            return found
        return []

    async def waiting(self, count: int, path: str = PATH) -> None:
        """Wait until a node has so many children."""
        async with asyncio.timeout(PATIENCE):
            while True:
                watch = self.stranger.watcher()
                try:
                    found = 0
                    if await self.stranger.exists(path, watch=watch) is not None:
                        found = len(await self.stranger.get_children(path, watch=watch))
                    if found == count:
                        return
                    await watch.wait()
                except NoNodeError:
                    pass  # gone between the two
                finally:
                    await watch.close()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what nobody tells of: it is looked at after each answer of the server."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await self.stranger.sync("/")


@asynccontextmanager
async def world(hosts: str, anew: bool) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack, asyncio.timeout(PATIENCE):
        clients = [await stack.enter_async_context(AsyncClient(hosts, 6.0)) for _ in range(3)]
        yield World(*clients, anew)


@pytest.fixture(params=[False, True], ids=["deleted", "made anew"])
def run(request: pytest.FixtureRequest, zk_server: ZooKeeperServer, zk_chroot: str) -> Callable[[Body], None]:
    """Run a body in a world."""

    async def main(body: Body) -> None:
        async with world(zk_server.hosts + zk_chroot, request.param) as made:
            await body(made)

    return lambda body: asyncio.run(main(body))


# What is held

LOCKS: dict[str, Callable[[AsyncClient], Any]] = {
    "lock": lambda zk: AsyncLock(zk, PATH),
    "write": lambda zk: AsyncWriteLock(zk, PATH),
    "reentrant": lambda zk: AsyncReentrantLock(zk, PATH),
    "semaphore": lambda zk: AsyncSemaphore(zk, PATH, max_leases=1),
    "lease": lambda zk: AsyncLease(zk, PATH, 60.0),
    "durable lease": lambda zk: AsyncDurableLease(zk, PATH, 60.0),
    "several": lambda zk: AsyncMultiLock(zk, [f"{PATH}/a", f"{PATH}/b"]),
}
# Where the one that waits has its node.
QUEUES = {"semaphore": (f"{PATH}-__lock__", 1), "durable lease": (f"{PATH}/queue", 1), "several": (f"{PATH}/a", 2)}


def token(held: Any) -> int:
    return max(held.tokens.values()) if isinstance(held, AsyncMultiLock) else held.token


@pytest.mark.parametrize("kind", LOCKS)
def test_who_waits_gets_it_and_who_held_is_told_when_it_asks(kind: str, run: Callable[[Body], None]) -> None:
    async def body(world: World) -> None:
        holder, waiter = LOCKS[kind](world.one), LOCKS[kind](world.other)
        await holder.acquire()
        before = token(holder)
        queue, count = QUEUES.get(kind, (PATH, 2))

        async def wait() -> int:
            assert await waiter.acquire()
            await waiter.check()
            after = token(waiter)
            assert await waiter.release()
            return after

        waiting = asyncio.create_task(wait())
        await world.waiting(count, queue)
        await world.erase()
        assert await waiting > before
        with pytest.raises(LockLostError):
            await holder.check()
        assert not holder.is_acquired and not await holder.release()
        assert await holder.acquire() and await holder.release()
        await world.waiting(0, queue)

    run(body)


def test_a_reader_that_waits_reads_and_the_writer_cannot_become_a_reader(run: Callable[[Body], None]) -> None:
    async def body(world: World) -> None:
        writer, reader = AsyncReadWriteLock(world.one, PATH), AsyncReadLock(world.other, PATH)
        await writer.write_lock.acquire()
        waiting = asyncio.create_task(reader.acquire())
        await world.waiting(2)
        await world.erase()
        assert await waiting
        with pytest.raises(LockLostError):
            await writer.downgrade()
        assert not writer.read_lock.is_acquired and not writer.write_lock.is_acquired
        assert await reader.release()
        await world.waiting(0)

    run(body)


def test_the_leader_is_stopped_and_the_next_candidate_leads(run: Callable[[Body], None]) -> None:
    async def body(world: World) -> None:
        leads = asyncio.Event()

        async def lead() -> None:
            async with AsyncElection(world.one, PATH, "first").lead():
                leads.set()
                await asyncio.Event().wait()

        leading = asyncio.create_task(lead())
        await leads.wait()
        second = AsyncElection(world.other, PATH, "second").lead()
        standing = asyncio.create_task(second.__aenter__())
        await world.waiting(2)
        await world.erase()
        with pytest.raises(LockLostError):
            await leading
        await standing
        assert second.is_leader and await AsyncElection(world.one, PATH).contenders() == ["second"]
        await second.__aexit__(None, None, None)
        await world.waiting(0)

    run(body)


@pytest.mark.parametrize("kind", [AsyncNonBlockingLease, AsyncMultiNonBlockingLease])
def test_a_claim_that_was_deleted_is_anybodys(kind: Any, run: Callable[[Body], None]) -> None:
    async def body(world: World) -> None:
        several = (1,) if kind is AsyncMultiNonBlockingLease else ()
        mine = kind(world.one, *several, PATH, timedelta(hours=1), "ours")
        theirs = kind(world.other, *several, PATH, timedelta(hours=1), "theirs")
        assert await mine.obtain() and not await theirs.obtain()
        await world.erase()
        assert await theirs.obtain() and not await mine.obtain()

    run(body)


def test_a_partitioner_fails_and_another_shares_out_anew(run: Callable[[Body], None]) -> None:
    async def body(world: World) -> None:
        first = AsyncSetPartitioner(world.one, PATH, ["a"], None, "first", 0.01)
        assert await first.wait_for_acquire(PATIENCE)
        await world.erase()
        await world.until(lambda: first.failed or first.release)
        first.release_set()
        await world.until(lambda: first.failed)
        assert list(first) == []
        await first.finish()
        async with AsyncSetPartitioner(world.other, PATH, ["a"], None, "second", 0.01) as second:
            assert await second.wait_for_acquire(PATIENCE) and list(second) == ["a"]

    run(body)


# What is stored


def test_a_counter_and_a_queue_begin_anew(run: Callable[[Body], None]) -> None:
    async def body(world: World) -> None:
        counter = AsyncCounter(world.one, PATH)
        assert await counter.add(5) == 5
        await world.erase()
        assert await counter.add(1) == 1
        await world.erase()
        queue = AsyncQueue(world.one, PATH)
        await queue.put(b"lost")
        await world.erase()
        assert await queue.get() is None
        await queue.put(b"kept")
        assert await queue.get() == b"kept"

    run(body)


def test_a_consumer_that_waits_gets_the_next_entry_and_what_was_held_cannot_be_consumed(
    run: Callable[[Body], None],
) -> None:
    async def body(world: World) -> None:
        mine, theirs = AsyncLockingQueue(world.one, PATH), AsyncLockingQueue(world.other, PATH)
        await mine.put(b"lost")
        assert await mine.get() == b"lost"
        waiting = asyncio.create_task(theirs.get(PATIENCE))
        await world.waiting(1, f"{PATH}/waiting")
        await world.erase()
        assert not await mine.holds_lock() and not await mine.consume()
        await mine.put(b"next")
        assert await waiting == b"next" and await theirs.consume()
        assert await mine.length() == 0

    run(body)


def test_a_worker_that_waits_gets_the_next_job_and_one_that_was_held_has_no_effect(run: Callable[[Body], None]) -> None:
    async def body(world: World) -> None:
        mine, theirs = AsyncWorkQueue(world.one, PATH), AsyncWorkQueue(world.other, PATH)
        await mine.put(b"lost")
        lost = await mine.claim()
        assert lost is not None
        waiting = asyncio.create_task(theirs.claim(PATIENCE))
        await world.waiting(1, f"{PATH}/waiting")
        await world.erase()
        assert not await lost.complete(b"too late")
        job_id = await mine.put(b"next")
        job = await waiting
        assert job is not None and job.data == b"next" and await job.complete(b"done")
        assert await mine.result(job_id, PATIENCE) == b"done"

    run(body)


def test_a_shared_value_is_another_one_and_its_listener_hears_of_it(run: Callable[[Body], None]) -> None:
    async def body(world: World) -> None:
        mine, theirs = AsyncSharedValue(world.one, PATH), AsyncSharedValue(world.other, PATH)
        heard = Heard()
        listening = theirs.listen(lambda reading: heard(None if reading is None else reading.data))
        first = await mine.set(b"first")
        await heard.until(lambda: heard.calls[-1:] == [b"first"])
        await world.erase()
        await heard.until(lambda: heard.last in (None, b""))
        second = await mine.set(b"first")
        assert await mine.compare_and_set(first, b"wrong") is None
        assert await mine.compare_and_set(second, b"second") is not None
        await heard.until(lambda: heard.last == b"second")
        listening.stop()

    run(body)


# What is waited for


def test_a_barrier_that_was_deleted_is_open_and_can_be_closed_again(run: Callable[[Body], None]) -> None:
    async def body(world: World) -> None:
        mine, theirs = AsyncBarrier(world.one, f"{PATH}/barrier"), AsyncBarrier(world.other, f"{PATH}/barrier")
        await mine.create()
        waiting = asyncio.create_task(theirs.wait(PATIENCE))
        assert await theirs.wait(0.05) is False
        await world.erase()
        assert await waiting
        await mine.create()
        assert await theirs.wait(0.05) is False
        await mine.remove()
        assert await theirs.wait(PATIENCE)

    run(body)


def test_members_that_wait_enter_when_all_are_there_and_those_inside_leave(run: Callable[[Body], None]) -> None:
    async def body(world: World) -> None:
        mine, theirs = AsyncDoubleBarrier(world.one, PATH, 2), AsyncDoubleBarrier(world.other, PATH, 2)
        entering = asyncio.create_task(mine.enter(PATIENCE))
        await world.waiting(1, f"{PATH}/round-0000000000")
        await world.erase()
        assert await asyncio.gather(entering, theirs.enter(PATIENCE)) == [True, True]
        leaving = asyncio.create_task(mine.leave(PATIENCE))
        await world.waiting(2, f"{PATH}/round-0000000000")  # the one still inside, and that all were there
        assert not leaving.done()
        await world.erase()
        assert await leaving and await theirs.leave(PATIENCE)
        assert await asyncio.gather(mine.enter(PATIENCE), theirs.enter(PATIENCE)) == [True, True]
        assert await asyncio.gather(mine.leave(PATIENCE), theirs.leave(PATIENCE)) == [True, True]

    run(body)


# What is watched


def test_watches_tell_that_the_node_is_gone_and_what_it_is_afterwards(run: Callable[[Body], None]) -> None:
    async def body(world: World) -> None:
        node = f"{PATH}/node"
        await world.stranger.create(node, b"first", makepath=True)
        told, children, cached = Heard(), Heard(), Heard()
        watch = AsyncDataWatch(world.one, node, told)
        below = AsyncChildrenWatch(world.one, PATH, children)
        async with AsyncTreeCache(world.one, PATH) as cache:
            cache.listen(cached)
            await told.until(lambda: told.calls == [b"first"])
            await children.until(lambda: children.calls == [["node"]])
            await world.erase()
            await told.until(lambda: told.last is None)
            await cached.until(lambda: cache.get(node) is None)
            await world.stranger.create(node, b"second", makepath=True)
            await told.until(lambda: told.last == b"second")
            await children.until(lambda: children.last == ["node"])
            await cached.until(lambda: (found := cache.get(node)) is not None and found.data == b"second")
        await watch.stop()
        await below.stop()

    run(body)


def test_a_patient_watch_settles_anew(run: Callable[[Body], None]) -> None:
    async def body(world: World) -> None:
        await world.stranger.create(f"{PATH}/one", makepath=True)
        watch = AsyncPatientChildrenWatch(world.one, PATH, 0.02)
        children, change = await watch.start().get(PATIENCE)
        assert children == ["one"]
        await world.erase()
        await change.get(PATIENCE)
        await world.stranger.ensure_path(f"{PATH}/two")
        children, change = await watch.start().get(PATIENCE)
        assert children == ["two"]
        watch.stop()

    run(body)


# What heals itself


def test_a_persistent_node_a_member_and_a_party_are_there_again(run: Callable[[Body], None]) -> None:
    async def body(world: World) -> None:
        node, group = f"{PATH}/node", f"{PATH}/group"
        async with (
            AsyncPersistentNode(world.one, node, b"mine") as mine,
            AsyncGroupMembership(world.one, group, "me", b"1") as member,
            AsyncParty(world.one, f"{PATH}/party", "me") as party,
        ):
            assert await mine.wait(PATIENCE) and await member.wait(PATIENCE) and await party.members() == ["me"]
            first = mine.token
            await world.erase()
            await world.until(lambda: mine.token not in (None, first) and mine.exists and member.joined)
            await world.until(lambda: dict(member.members) == {"me": b"1"})
            await world.waiting(1, f"{PATH}/party")
            assert await AsyncParty(world.other, f"{PATH}/party").members() == ["me"]

    run(body)
