"""Every recipe, used once, in the same way: what the tests share that try something on all of them.

Rule: a use does what the recipe is for, asserts its promise on the way, and leaves nothing that is not meant to stay.
It may raise what the recipe says it raises when its session ends, and nothing else. `zk` is the client that something
may be done to, `other` one that nothing is done to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeAlias

from heard import PATIENCE, Heard

from zk_client import AsyncClient, TransactionFailedError
from zk_recipes import (
    AsyncBarrier,
    AsyncChildrenCache,
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
    AsyncNodeCache,
    AsyncNonBlockingLease,
    AsyncParty,
    AsyncPatientChildrenWatch,
    AsyncPersistentNode,
    AsyncQueue,
    AsyncReadWriteLock,
    AsyncReentrantLock,
    AsyncSemaphore,
    AsyncSetPartitioner,
    AsyncShallowParty,
    AsyncSharedValue,
    AsyncTreeCache,
    AsyncWorkQueue,
    LockLostError,
    UndecidedError,
)
from zk_wire import CheckVersionRequest, ConnectionLostError, NodeExistsError, NoNodeError, SetDataRequest

Use: TypeAlias = Callable[[AsyncClient, AsyncClient], Coroutine[Any, Any, None]]

PATH = "/recipe"
# What stays behind on purpose, and where the tests look for what does not: everything else is below PATH.
PROTECTED = "/protected"


class UnansweredError(Exception):
    """A write of the test's own had no answer."""


async def guarded(zk: AsyncClient, guard: CheckVersionRequest | list[CheckVersionRequest], token: int | None) -> None:
    """Write under a guard, which is refused when the guard's node is gone. Never may a smaller token follow."""
    assert token is not None
    guards = guard if isinstance(guard, list) else [guard]
    try:
        data, stat = await zk.get(PROTECTED)
        await zk.port.commit([*guards, SetDataRequest(PROTECTED, b"%d" % token, stat.version)])
    except TransactionFailedError as refused:
        if refused.index == len(guards):
            raise AssertionError("somebody else wrote under a guard") from refused
        raise LockLostError(PATH, "a guard was refused") from refused
    except ConnectionLostError as lost:
        raise UnansweredError from lost
    assert int(data or b"0") <= token, "an older holder wrote after a newer one"


async def lock(zk: AsyncClient, other: AsyncClient) -> None:
    async with AsyncLock(zk, PATH) as held:
        await guarded(zk, held.guard(), held.token)


async def semaphore(zk: AsyncClient, other: AsyncClient) -> None:
    async with AsyncSemaphore(zk, PATH, max_leases=2) as held:
        await guarded(zk, held.guard(), held.token)


async def read_write(zk: AsyncClient, other: AsyncClient) -> None:
    both = AsyncReadWriteLock(zk, PATH)
    await both.write_lock.acquire()
    try:
        await both.downgrade()
        await guarded(zk, both.read_lock.guard(), both.read_lock.token)
    finally:
        await both.read_lock.release()
        await both.write_lock.release()


async def reentrant(zk: AsyncClient, other: AsyncClient) -> None:
    held = AsyncReentrantLock(zk, PATH)
    async with held, held:
        await guarded(zk, held.guard(), held.token)


async def multi_lock(zk: AsyncClient, other: AsyncClient) -> None:
    async with AsyncMultiLock(zk, [f"{PATH}/b", f"{PATH}/a"]) as held:
        await guarded(zk, held.guard(), max(held.tokens.values()))


async def election(zk: AsyncClient, other: AsyncClient) -> None:
    async with AsyncElection(zk, PATH).lead() as term:
        await guarded(zk, term.guard(), term.token)


async def lease(zk: AsyncClient, other: AsyncClient) -> None:
    async with AsyncLease(zk, PATH, 60.0) as held:
        held.renew()
        await guarded(zk, held.guard(), held.token)


async def durable_lease(zk: AsyncClient, other: AsyncClient) -> None:
    async with AsyncDurableLease(zk, PATH, 60.0, "ours") as held:
        assert await AsyncDurableLease(other, PATH, 60.0).acquire(blocking=False) is False
        await held.renew()
        await guarded(zk, held.guard(), held.token)
    assert await held.holder() is None


async def non_blocking_lease(zk: AsyncClient, other: AsyncClient) -> None:
    mine = AsyncNonBlockingLease(zk, PATH, timedelta(hours=1), "ours")
    assert await mine.obtain()
    assert not await AsyncNonBlockingLease(other, PATH, timedelta(hours=1), "theirs").obtain()


async def multi_non_blocking_lease(zk: AsyncClient, other: AsyncClient) -> None:
    mine = AsyncMultiNonBlockingLease(zk, 1, PATH, timedelta(hours=1), "ours")
    assert await mine.obtain()
    assert not await AsyncMultiNonBlockingLease(other, 1, PATH, timedelta(hours=1), "theirs").obtain()


async def counter(zk: AsyncClient, other: AsyncClient) -> None:
    before = await AsyncCounter(other, PATH).get()
    try:
        assert await AsyncCounter(zk, PATH).add(1) == before + 1
    except UndecidedError:
        assert await AsyncCounter(other, PATH).get() in (before, before + 1)
        raise
    assert await AsyncCounter(other, PATH).get() == before + 1


async def shared_value(zk: AsyncClient, other: AsyncClient) -> None:
    mine, theirs = AsyncSharedValue(zk, PATH), AsyncSharedValue(other, PATH)
    heard = Heard()
    listening = mine.listen(lambda reading: heard(None if reading is None else reading.data))
    try:
        first = await mine.set(b"first")
        assert await mine.compare_and_set(first, b"second") is not None
        assert await mine.compare_and_set(first, b"third") is None
        await heard.until(lambda: heard.last == b"second")
        reading = await theirs.get()
        assert reading is not None and reading.data == b"second"
    finally:
        listening.stop()


async def queue(zk: AsyncClient, other: AsyncClient) -> None:
    mine, theirs = AsyncQueue(zk, PATH), AsyncQueue(other, PATH)
    given: list[bytes] = []
    try:
        for value in (b"1", b"2"):
            given.append(value)
            await mine.put(value)
        assert [await mine.get(), await mine.get(), await mine.get()] == [b"1", b"2", None]
    finally:
        while (entry := await theirs.get()) is not None:
            assert entry in given


async def locking_queue(zk: AsyncClient, other: AsyncClient) -> None:
    mine, theirs = AsyncLockingQueue(zk, PATH), AsyncLockingQueue(other, PATH)
    try:
        await mine.put(b"1")
        assert await mine.get(PATIENCE) == b"1"
        assert await mine.consume() or not mine.is_held
    finally:
        # What was not consumed is free again: at once, or when its holder's session has ended.
        while await theirs.length():
            if await theirs.get(0.01) is not None:
                assert await theirs.consume()


async def work_queue(zk: AsyncClient, other: AsyncClient) -> None:
    mine, theirs = AsyncWorkQueue(zk, PATH), AsyncWorkQueue(other, PATH)
    effect = await other.get(PROTECTED)
    done = 0
    try:
        job_id = await mine.put(b"1")
        job = await mine.claim(PATIENCE)
        assert job is not None and job.data == b"1"
        done = await job.complete(b"result", [SetDataRequest(PROTECTED, effect[0], effect[1].version)])
        if done:
            assert await mine.result(job_id, PATIENCE) == b"result"
    finally:
        while await theirs.depth():
            job = await theirs.claim(0.01)
            if job is not None:
                assert await job.complete()
        now = (await other.get(PROTECTED))[1].version - effect[1].version
        assert now <= 1 and (not done or now == 1), "the effect of a job was there more than once, or never"


async def barrier(zk: AsyncClient, other: AsyncClient) -> None:
    mine, theirs = AsyncBarrier(zk, PATH), AsyncBarrier(other, PATH)
    await mine.create()
    waiting = asyncio.create_task(mine.wait(PATIENCE))
    try:
        assert await theirs.wait(0.02) is False and not waiting.done()
        await theirs.remove()
        assert await waiting
    finally:
        waiting.cancel()
        await asyncio.wait([waiting])
        await theirs.remove()


async def double_barrier(zk: AsyncClient, other: AsyncClient) -> None:
    mine, theirs = AsyncDoubleBarrier(zk, PATH, 2), AsyncDoubleBarrier(other, PATH, 2)
    member = asyncio.create_task(theirs.enter(PATIENCE))
    try:
        assert await mine.enter(PATIENCE) and await member
        leaving = asyncio.create_task(theirs.leave(PATIENCE))
        assert await mine.leave(PATIENCE) and await leaving
    finally:
        member.cancel()
        await asyncio.wait([member])
        await asyncio.gather(mine.leave(PATIENCE), theirs.leave(PATIENCE))


async def party(zk: AsyncClient, other: AsyncClient) -> None:
    async with AsyncParty(zk, PATH, "ours") as mine:
        assert await mine.members() == ["ours"]
        assert await AsyncParty(other, PATH).count() <= 1
    assert await AsyncParty(other, PATH).members() == []


async def shallow_party(zk: AsyncClient, other: AsyncClient) -> None:
    async with AsyncShallowParty(zk, PATH, "ours") as mine:
        await mine.members()
    assert await AsyncShallowParty(other, PATH).members() == []


async def membership(zk: AsyncClient, other: AsyncClient) -> None:
    async with AsyncGroupMembership(zk, PATH, "ours", b"1") as group:
        heard = Heard()
        group.listen(heard)
        assert await group.wait(PATIENCE)
        group.update(b"2")
        await heard.until(lambda: dict(group.members).get("ours") == b"2")


async def persistent_node(zk: AsyncClient, other: AsyncClient) -> None:
    async with AsyncPersistentNode(zk, f"{PATH}/node", b"1") as node:
        assert await node.wait(PATIENCE)
        node.update(b"2")
        await holds(other, f"{PATH}/node", b"2")
    await gone(other, f"{PATH}/node")


async def holds(zk: AsyncClient, path: str, data: bytes) -> None:
    """Wait until a node has these data."""
    async with asyncio.timeout(PATIENCE):
        while True:
            watch = zk.watcher()
            try:
                if await zk.exists(path, watch=watch) is not None and (await zk.get(path))[0] == data:
                    return
                await watch.wait()
            except NoNodeError:
                pass  # gone in between: its watch has told, or will
            finally:
                await watch.close()


async def gone(zk: AsyncClient, path: str) -> None:
    """Wait until a node is not there."""
    async with asyncio.timeout(PATIENCE):
        while True:
            watch = zk.watcher()
            try:
                if await zk.exists(path, watch=watch) is None:
                    return
                await watch.wait()
            finally:
                await watch.close()


async def changed(other: AsyncClient, path: str, data: bytes) -> None:
    """Write a node, which may be new."""
    try:
        await other.create(path, data, makepath=True)
    except NodeExistsError:
        await other.set(path, data)


async def without(other: AsyncClient, path: str) -> None:
    """Delete a node that may be there."""
    with suppress(NoNodeError):
        await other.delete(path)


async def data_watch(zk: AsyncClient, other: AsyncClient) -> None:
    told = Heard()
    await changed(other, f"{PATH}/node", b"1")
    watch = AsyncDataWatch(zk, f"{PATH}/node", told)
    try:
        await told.until(lambda: told.last == b"1")
        await changed(other, f"{PATH}/node", b"2")
        await told.until(lambda: told.last == b"2")
        assert told.calls == [b"1", b"2"]
    finally:
        await watch.stop()


async def children_watch(zk: AsyncClient, other: AsyncClient) -> None:
    told = Heard()
    await other.ensure_path(f"{PATH}/one")
    await without(other, f"{PATH}/two")
    watch = AsyncChildrenWatch(zk, PATH, told)
    try:
        await told.until(lambda: told.last == ["one"])
        await other.create(f"{PATH}/two")
        await told.until(lambda: told.last in (["one", "two"], ["two", "one"]))
    finally:
        await watch.stop()
        await without(other, f"{PATH}/two")


async def patient_watch(zk: AsyncClient, other: AsyncClient) -> None:
    await other.ensure_path(f"{PATH}/one")
    await without(other, f"{PATH}/two")
    watch = AsyncPatientChildrenWatch(zk, PATH, 0.005)
    try:
        children, change = await watch.start().get(PATIENCE)
        assert children == ["one"]
        await other.create(f"{PATH}/two")
        await change.get(PATIENCE)
    finally:
        watch.stop()
        await without(other, f"{PATH}/two")


async def node_cache(zk: AsyncClient, other: AsyncClient) -> None:
    await changed(other, f"{PATH}/node", b"1")
    async with AsyncNodeCache(zk, f"{PATH}/node") as cache:
        heard = Heard()
        cache.listen(heard)
        assert await cache.wait(PATIENCE)
        await changed(other, f"{PATH}/node", b"2")
        await heard.until(lambda: cache.data == b"2")


async def children_cache(zk: AsyncClient, other: AsyncClient) -> None:
    await changed(other, f"{PATH}/node", b"1")
    async with AsyncChildrenCache(zk, PATH) as cache:
        heard = Heard()
        cache.listen(heard)
        assert await cache.wait(PATIENCE)
        await changed(other, f"{PATH}/node", b"2")
        await heard.until(lambda: (found := cache.get("node")) is not None and found.data == b"2")


async def tree_cache(zk: AsyncClient, other: AsyncClient) -> None:
    await changed(other, f"{PATH}/deep/node", b"1")
    async with AsyncTreeCache(zk, PATH) as cache:
        heard = Heard()
        cache.listen(heard)
        assert await cache.wait(PATIENCE)
        await changed(other, f"{PATH}/deep/node", b"2")
        await heard.until(lambda: (found := cache.get(f"{PATH}/deep/node")) is not None and found.data == b"2")


async def single_tree_cache(zk: AsyncClient, other: AsyncClient) -> None:
    await changed(other, f"{PATH}/deep/node", b"1")
    async with AsyncTreeCache(zk, PATH, single_watches=True) as cache:
        heard = Heard()
        cache.listen(heard)
        assert await cache.wait(PATIENCE)
        await changed(other, f"{PATH}/deep/node", b"2")
        await heard.until(lambda: (found := cache.get(f"{PATH}/deep/node")) is not None and found.data == b"2")


async def partitioner(zk: AsyncClient, other: AsyncClient) -> None:
    async with AsyncSetPartitioner(zk, PATH, ["a"], None, "ours", 0.002, 0.1) as mine:
        acquired = await mine.wait_for_acquire(PATIENCE)
        if acquired and mine.acquired:
            assert list(mine) == ["a"]
            await guarded(zk, mine.guard("a"), mine.token("a"))
        else:
            assert mine.failed, "it neither failed nor got anything"
    assert mine.failed


USES: dict[str, Use] = {
    use.__name__: use
    for use in (
        lock,
        semaphore,
        read_write,
        reentrant,
        multi_lock,
        election,
        lease,
        durable_lease,
        non_blocking_lease,
        multi_non_blocking_lease,
        counter,
        shared_value,
        queue,
        locking_queue,
        work_queue,
        barrier,
        double_barrier,
        party,
        shallow_party,
        membership,
        persistent_node,
        data_watch,
        children_watch,
        patient_watch,
        node_cache,
        children_cache,
        tree_cache,
        single_tree_cache,
        partitioner,
    )
}
