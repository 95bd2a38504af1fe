"""Every recipe of locking, ended at any moment: whoever used it leaves nothing, and the next one gets it.

On greenlets the user is killed at each of its waits, under asyncio cancelled at each turn of the loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from zk_client import AsyncClient, Client
from zk_recipes import (
    AsyncElection,
    AsyncMultiLock,
    AsyncReadWriteLock,
    AsyncReentrantLock,
    AsyncSemaphore,
    Barrier,
    ChildrenWatch,
    Counter,
    DoubleBarrier,
    DurableLease,
    Election,
    LockingQueue,
    MultiLock,
    NonBlockingLease,
    Party,
    PersistentNode,
    Queue,
    ReadWriteLock,
    ReentrantLock,
    Semaphore,
    SharedValue,
    TreeCache,
    WorkQueue,
)
from zk_testing import AsyncEmbeddedServer, EmbeddedServer

if TYPE_CHECKING:
    from zk_testing.embedded.core import ServerCore

PATHS = ["/a", "/b", "/a-__lock__"]
PATIENCE = 10.0


def use_reentrant(zk: Client) -> None:
    lock = ReentrantLock(zk, "/a")
    with lock, lock:
        pass


def use_semaphore(zk: Client) -> None:
    with Semaphore(zk, "/a"):
        pass


def use_several(zk: Client) -> None:
    with MultiLock(zk, ["/a", "/b"]):
        pass


def use_downgrade(zk: Client) -> None:
    lock = ReadWriteLock(zk, "/a")
    lock.write_lock.acquire()
    try:
        lock.downgrade()
    finally:
        lock.write_lock.release()
        lock.read_lock.release()


def use_election(zk: Client) -> None:
    with Election(zk, "/a").lead(on_lost=lambda: None):
        pass


@pytest.mark.parametrize("use", [use_reentrant, use_semaphore, use_several, use_downgrade, use_election])
def test_a_greenlet_killed_at_any_wait_leaves_nothing(use: Callable[[Client], None]) -> None:
    gevent = pytest.importorskip("gevent")
    from killing import killed_at_every_wait

    with (
        EmbeddedServer() as server,
        Client(server.hosts, runtime="gevent") as one,
        Client(server.hosts, runtime="gevent") as other,
    ):
        for path in PATHS:
            other.ensure_path(path)
        other.set("/a", b"1")
        for _ in killed_at_every_wait(lambda: use(one), more_than=3):
            with gevent.Timeout(PATIENCE):
                use(other)
                while any(other.get_children(path) for path in PATHS):
                    gevent.sleep(0.001)


# The other recipes; under asyncio see test_cancelled_anywhere.py.


def use_durable(zk: Client) -> None:
    with DurableLease(zk, "/c", 60.0) as lease:
        lease.renew()


def use_claim(zk: Client) -> None:
    NonBlockingLease(zk, "/c", timedelta(hours=1), "ours")


def use_counter(zk: Client) -> None:
    Counter(zk, "/c").add(1)


def use_value(zk: Client) -> None:
    SharedValue(zk, "/c").set(b"1")


def use_queue(zk: Client) -> None:
    queue = Queue(zk, "/c")
    queue.put(b"1")
    assert queue.get() == b"1"
    while queue.get() is not None:  # what those who were killed have put
        pass


def use_locking_queue(zk: Client) -> None:
    queue = LockingQueue(zk, "/c")
    queue.put(b"1")
    while queue.length():
        if queue.get(0.01) is not None:
            queue.consume()


def use_work_queue(zk: Client) -> None:
    queue = WorkQueue(zk, "/c")
    queue.put(b"1")
    while queue.depth():
        if (job := queue.claim(0.01)) is not None:
            job.complete()


def use_barrier(zk: Client) -> None:
    barrier = Barrier(zk, "/c")
    barrier.create()
    assert barrier.wait(0.01) is False
    barrier.remove()


def use_double(zk: Client) -> None:
    barrier = DoubleBarrier(zk, "/c", 1)
    try:
        barrier.enter()
    finally:
        barrier.leave()


def use_party(zk: Client) -> None:
    with Party(zk, "/c", "me"):
        pass


def use_node(zk: Client) -> None:
    with PersistentNode(zk, "/c/node", b"1"):
        pass


def use_watch(zk: Client) -> None:
    ChildrenWatch(zk, "/c", lambda names: None).stop()


def use_cache(zk: Client) -> None:
    with TreeCache(zk, "/c"):
        pass


OTHERS = [
    use_durable,
    use_claim,
    use_counter,
    use_value,
    use_queue,
    use_locking_queue,
    use_work_queue,
    use_barrier,
    use_double,
    use_party,
    use_node,
    use_watch,
    use_cache,
]


@pytest.mark.parametrize("use", OTHERS)
def test_a_greenlet_killed_at_any_wait_leaves_nothing_of_the_other_recipes(use: Callable[[Client], None]) -> None:
    gevent = pytest.importorskip("gevent")
    from killing import killed_at_every_wait

    with EmbeddedServer() as server, Client(server.hosts, runtime="gevent") as one:

        def left(core: ServerCore) -> list[str]:
            watches = core.watches.data.counts()[2] + core.watches.child.counts()[2]
            nodes = [path for path, node in core.tree.nodes.items() if node.owner > 0]
            return nodes + ([f"{watches} watches"] if watches else [])

        for _ in killed_at_every_wait(lambda: use(one), more_than=1):
            with gevent.Timeout(PATIENCE):
                use(one)
            end = time.monotonic() + PATIENCE
            while what := server.call(left) + list(map(repr, one.handler.listeners)):
                assert time.monotonic() < end, f"left behind: {what}"
                gevent.sleep(0.001)


async def await_reentrant(zk: AsyncClient) -> None:
    lock = AsyncReentrantLock(zk, "/a")
    async with lock, lock:
        pass


async def await_semaphore(zk: AsyncClient) -> None:
    async with AsyncSemaphore(zk, "/a"):
        pass


async def await_several(zk: AsyncClient) -> None:
    async with AsyncMultiLock(zk, ["/a", "/b"]):
        pass


async def await_downgrade(zk: AsyncClient) -> None:
    lock = AsyncReadWriteLock(zk, "/a")
    await lock.write_lock.acquire()
    try:
        await lock.downgrade()
    finally:
        await lock.write_lock.release()
        await lock.read_lock.release()


async def await_election(zk: AsyncClient) -> None:
    async with AsyncElection(zk, "/a").lead(on_lost=lambda: None):
        pass


@pytest.mark.parametrize("use", [await_reentrant, await_semaphore, await_several, await_downgrade, await_election])
def test_a_task_cancelled_at_any_turn_of_the_loop_leaves_nothing(use: Callable[[AsyncClient], Awaitable[None]]) -> None:
    """Client and server live in one loop, so that every turn between two requests is met."""

    async def main() -> None:
        async with AsyncEmbeddedServer() as near, AsyncClient(near.hosts) as zk, AsyncClient(near.hosts) as other:
            for path in PATHS:
                await other.ensure_path(path)
            await other.set("/a", b"1")

            def is_clean() -> bool:
                watches = near.core.watches
                nodes = any(near.core.tree.nodes[path].children for path in PATHS)
                left = asyncio.all_tasks() - {asyncio.current_task()}
                return not nodes and not left and watches.data.counts()[2] + watches.child.counts()[2] == 0

            async def life() -> None:
                await use(zk)

            turns = 0
            cancelled = True
            while cancelled:
                task = asyncio.create_task(life())
                for _ in range(turns):
                    await asyncio.sleep(0)
                cancelled = not task.done()
                task.cancel()
                await asyncio.wait([task])
                assert task.cancelled() == cancelled
                async with asyncio.timeout(PATIENCE):
                    await use(other)
                    while not is_clean():  # noqa: ASYNC110
                        await asyncio.sleep(0)
                turns += 1
                assert turns < 300
            assert turns > 10

    with asyncio.Runner(debug=True) as runner:
        runner.run(main())
