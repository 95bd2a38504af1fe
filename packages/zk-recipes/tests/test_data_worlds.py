"""Counters, values and queues on asyncio and on gevent: the same recipes, awaited and blocking, on one server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from zk_client import AsyncClient, Client
from zk_recipes import (
    AsyncBarrier,
    AsyncCounter,
    AsyncDoubleBarrier,
    AsyncLockingQueue,
    AsyncQueue,
    AsyncSharedValue,
    AsyncWorkQueue,
    Barrier,
    Counter,
    DoubleBarrier,
    LockingQueue,
    Queue,
    SharedReading,
    SharedValue,
    WorkQueue,
)
from zk_testing import EmbeddedServer

PATIENCE = 20.0


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as server:
        yield server
        assert server.sessions() == []


def in_asyncio(server: EmbeddedServer, body: Callable[[AsyncClient], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), AsyncClient(server.hosts) as zk:
            await body(zk)
        assert not asyncio.all_tasks() - {asyncio.current_task()}

    asyncio.run(main(), debug=True)


def in_gevent(server: EmbeddedServer, body: Callable[[Client], None]) -> None:
    gevent = pytest.importorskip("gevent")
    with Client(server.hosts, runtime="gevent") as zk:
        greenlet = gevent.spawn(body, zk)
        greenlet.join(PATIENCE)
        greenlet.get(block=False)


def test_a_counter_in_asyncio(server: EmbeddedServer) -> None:
    async def body(zk: AsyncClient) -> None:
        counters = [AsyncCounter(zk, "/number") for _ in range(5)]
        await asyncio.gather(*(counter.add(2) for counter in counters))
        assert await counters[0].subtract(1) == 9
        assert await counters[0].get() == 9
        adding = asyncio.create_task(counters[1].add(10))
        await asyncio.sleep(0)
        adding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await adding
        assert await counters[0].get() in (9, 19)

    in_asyncio(server, body)


def test_a_counter_in_gevent(server: EmbeddedServer) -> None:
    def body(zk: Client) -> None:
        counter = Counter(zk, "/number")
        counter += 2
        counter -= 5
        assert counter.value == -3

    in_gevent(server, body)


def test_a_shared_value_in_asyncio(server: EmbeddedServer) -> None:
    async def body(zk: AsyncClient) -> None:
        value = AsyncSharedValue(zk, "/value")
        heard: asyncio.Queue[SharedReading | None] = asyncio.Queue()

        async def listener(seen: SharedReading | None) -> None:
            await heard.put(seen)

        listening = value.listen(listener)
        assert await heard.get() is None
        first = await value.set(b"1")
        assert await heard.get() == first
        assert await value.compare_and_set(None, b"2") is None
        assert await value.compare_and_set(first, b"2")
        listening.stop()
        while zk.handler.listeners:  # noqa: ASYNC110
            await asyncio.sleep(0)

    in_asyncio(server, body)


def test_a_shared_value_in_gevent(server: EmbeddedServer) -> None:
    def body(zk: Client) -> None:
        from gevent.queue import Queue

        value, heard = SharedValue(zk, "/value"), Queue()
        listening = value.listen(heard.put)
        assert heard.get(timeout=PATIENCE) is None
        assert value.update(lambda old: (old or b"") + b"x").data == b"x"
        assert heard.get(timeout=PATIENCE).data == b"x"
        listening.stop()

    in_gevent(server, body)


def test_a_queue_in_asyncio(server: EmbeddedServer) -> None:
    async def body(zk: AsyncClient) -> None:
        queue = AsyncQueue(zk, "/queue")
        for value in (b"1", b"2", b"3"):
            await queue.put(value)
        got: list[bytes | None] = []
        # Cancelled at one moment after the other: what was taken for nobody is put back in its place.
        for steps in range(40):
            getting = asyncio.create_task(queue.get())
            for _ in range(steps):
                await asyncio.sleep(0)
            getting.cancel()
            try:
                got.append(await getting)
            except asyncio.CancelledError:
                continue
        while (value := await queue.get()) is not None:
            got.append(value)
        assert [value for value in got if value] == [b"1", b"2", b"3"]
        assert await queue.length() == 0

    in_asyncio(server, body)


def test_a_queue_in_gevent(server: EmbeddedServer) -> None:
    def body(zk: Client) -> None:
        queue = Queue(zk, "/queue")
        queue.put(b"later", 200)
        queue.put(b"soon")
        assert len(queue) == 2
        assert [queue.get(), queue.get(), queue.get()] == [b"soon", b"later", None]

    in_gevent(server, body)


def test_a_locking_queue_in_asyncio(server: EmbeddedServer) -> None:
    async def body(zk: AsyncClient) -> None:
        mine, other = AsyncLockingQueue(zk, "/queue"), AsyncLockingQueue(zk, "/queue")
        waiting = [asyncio.create_task(queue.get()) for queue in (mine, other)]
        await mine.put_all([b"1", b"2"])
        assert sorted(await asyncio.gather(*waiting)) == [b"1", b"2"]  # type: ignore[type-var]
        assert await mine.consume() and await other.release()
        waiting = [asyncio.create_task(mine.get())]
        assert await waiting[0] == b"2"
        assert await mine.consume() and await mine.length() == 0
        stuck = asyncio.create_task(mine.get())
        while not (await zk.exists("/queue/waiting")) or not await zk.get_children("/queue/waiting"):
            pass
        stuck.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stuck
        while await zk.get_children("/queue/waiting"):
            pass

    in_asyncio(server, body)


def test_a_locking_queue_in_gevent(server: EmbeddedServer) -> None:
    def body(zk: Client) -> None:
        import gevent

        queue = LockingQueue(zk, "/queue")
        waiting = gevent.spawn(queue.get)
        gevent.sleep(0)
        LockingQueue(zk, "/queue").put(b"1")
        assert waiting.get(timeout=PATIENCE) == b"1"
        assert queue.consume() and len(queue) == 0

    in_gevent(server, body)


def test_a_work_queue_in_asyncio(server: EmbeddedServer) -> None:
    async def body(zk: AsyncClient) -> None:
        queue = AsyncWorkQueue(zk, "/work")
        job_id = await queue.put(b"2")
        job, waiting = await queue.claim(), asyncio.create_task(queue.result(job_id))
        assert job is not None and await job.complete(b"4")
        assert await waiting == b"4"
        claiming = asyncio.create_task(queue.claim())
        await asyncio.sleep(0)
        claiming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await claiming
        assert await queue.depth() == 0

    in_asyncio(server, body)


def test_a_work_queue_in_gevent(server: EmbeddedServer) -> None:
    def body(zk: Client) -> None:
        import gevent

        queue = WorkQueue(zk, "/work")
        claiming = gevent.spawn(queue.claim)
        gevent.sleep(0)
        job_id = queue.put(b"2")
        job = claiming.get(timeout=PATIENCE)
        assert job.id == job_id and job.complete(b"4")
        assert queue.result(job_id) == b"4"

    in_gevent(server, body)


def test_barriers_in_asyncio(server: EmbeddedServer) -> None:
    async def body(zk: AsyncClient) -> None:
        barrier = AsyncBarrier(zk, "/barrier")
        await barrier.create()
        waiting = asyncio.create_task(barrier.wait())
        assert await barrier.wait(timeout=0.05) is False
        assert await barrier.remove() and await waiting
        members = [AsyncDoubleBarrier(zk, "/both", 3, str(number)) for number in range(3)]
        for _ in range(2):
            assert await asyncio.gather(*(member.enter() for member in members)) == [True] * 3
            assert await asyncio.gather(*(member.leave() for member in members)) == [True] * 3
        stuck = asyncio.create_task(members[0].enter())
        while not await zk.exists("/both/round-0000000002") or not await zk.get_children("/both/round-0000000002"):
            pass
        stuck.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stuck
        while await zk.get_children("/both/round-0000000002"):
            pass

    in_asyncio(server, body)


def test_barriers_in_gevent(server: EmbeddedServer) -> None:
    def body(zk: Client) -> None:
        import gevent

        barrier = Barrier(zk, "/barrier")
        barrier.create()
        waiting = gevent.spawn(barrier.wait)
        gevent.sleep(0)
        assert barrier.remove() and waiting.get(timeout=PATIENCE)
        members = [DoubleBarrier(zk, "/both", 2) for _ in range(2)]
        for step in ("enter", "leave"):
            going = [gevent.spawn(getattr(member, step)) for member in members]
            assert [greenlet.get(timeout=PATIENCE) for greenlet in going] == [True, True]

    in_gevent(server, body)
