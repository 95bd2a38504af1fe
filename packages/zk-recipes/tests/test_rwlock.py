"""Read and write locks in virtual time: who waits for whom, who is woken, and the way from writing to reading."""

from __future__ import annotations

import pytest
from data_world import end_the_session_at_the_next_commit, lose_next_commit
from sim_world import PATH, TaskCancelled, World

from zk_recipes import (
    AsyncReadLock,
    AsyncReadWriteLock,
    AsyncWriteLock,
    LockInUseError,
    LockLostError,
    LockTimeout,
    LockUpgradeError,
    ReadWriteLock,
)
from zk_wire import ConnectionLostError, Outcome, SessionExpiredError


def pair(world: World, client: int = 0) -> AsyncReadWriteLock:
    return AsyncReadWriteLock(world.clients[client], PATH, f"client-{client}")


def test_readers_hold_together_and_a_writer_alone() -> None:
    world = World(clients=3)

    async def body() -> None:
        one, two = AsyncReadLock(world.clients[0], PATH), AsyncReadLock(world.clients[1], PATH)
        writer = AsyncWriteLock(world.clients[2], PATH)
        assert await one.acquire(timeout=1) and await two.acquire(timeout=1)
        assert one.is_acquired and two.is_acquired
        assert await writer.acquire(blocking=False) is False
        await one.release()
        assert await writer.acquire(blocking=False) is False
        await two.release()
        assert await writer.acquire(timeout=1)
        assert await one.acquire(blocking=False) is False
        await writer.release()

    world.run(body())


def test_readers_and_writers_are_served_in_the_order_they_joined() -> None:
    world = World(clients=6)
    kinds = "wrrwrw"
    served: list[str] = []

    async def body(number: int) -> None:
        await world.sim.sleep(number)
        kind = AsyncWriteLock if kinds[number] == "w" else AsyncReadLock
        async with kind(world.clients[number], PATH):
            served.append(f"{kinds[number]}{number} in")
            await world.sim.sleep(10 + number)
            served.append(f"{kinds[number]}{number} out")

    world.run(*(body(number) for number in range(6)))
    assert served[:2] == ["w0 in", "w0 out"]
    assert sorted(served[2:4]) == ["r1 in", "r2 in"] and served[4:6] == ["r1 out", "r2 out"]
    assert served[6:] == ["w3 in", "w3 out", "r4 in", "r4 out", "w5 in", "w5 out"]


def test_a_release_wakes_only_those_whose_turn_it_is() -> None:
    world = World(clients=12)
    requests: list[str] = []

    async def body(number: int) -> None:
        await world.sim.sleep(number)
        # One writer holds; a reader, a writer, and nine readers behind that one wait.
        lock = (AsyncWriteLock if number in (0, 2) else AsyncReadLock)(world.clients[number], PATH)
        await lock.acquire()
        await world.sim.sleep(20 if number == 0 else 5)
        if number == 0:
            requests.clear()
        await lock.release()
        if number == 0:
            await world.sim.sleep(1)
            assert [request for request in requests if "delete" not in request] == ["client-1 get_children"]

    for client in world.clients:

        def count(what: str, name: str = client.name) -> None:
            requests.append(f"{name} {what.split(maxsplit=1)[0]}")

        client.on_request = count
    world.run(*(body(number) for number in range(12)))


def test_readers_behind_a_downgraded_writer_join_it() -> None:
    world = World(clients=3)

    async def body() -> None:
        mine = pair(world)
        reader, writer = AsyncReadLock(world.clients[1], PATH), AsyncWriteLock(world.clients[2], PATH)
        await mine.write_lock.acquire()
        token = mine.write_lock.token
        reading = world.sim.spawn(reader.acquire(), "reader")
        await world.sim.sleep(1)
        writing = world.sim.spawn(writer.acquire(), "writer")
        await world.sim.sleep(1)
        assert not reading.done
        await mine.downgrade()
        assert mine.read_lock.token == token and not mine.write_lock.is_acquired
        assert await reading.join()
        assert await mine.read_lock.contenders() == ["client-0", "", ""]
        await reader.release()
        await world.sim.sleep(1)
        assert not writing.done
        assert await mine.read_lock.release() is True
        assert await writing.join()
        assert token is not None and writer.token is not None and writer.token > token
        await writer.release()

    world.run(body())


def test_a_downgraded_writer_is_not_overtaken_by_a_writer_that_waited_first() -> None:
    world = World()

    async def body() -> None:
        mine, other = pair(world), AsyncWriteLock(world.clients[1], PATH)
        await mine.write_lock.acquire()
        waiting = world.sim.spawn(other.acquire(), "writer")
        await world.sim.sleep(1)
        await mine.downgrade()
        with pytest.raises(TimeoutError):
            await waiting.join(5)
        assert mine.read_lock.is_acquired
        await mine.read_lock.check()
        await mine.read_lock.release()
        await waiting.join()
        await other.release()

    world.run(body())


def test_a_reader_that_wants_to_write_is_refused_at_once() -> None:
    world = World()

    async def body() -> None:
        mine = pair(world)
        async with mine.read_lock:
            with pytest.raises(LockUpgradeError, match="waiting to write would wait for this reader itself"):
                await mine.write_lock.acquire()
            with pytest.raises(LockUpgradeError):
                await mine.write_lock.acquire(blocking=False)
            assert mine.read_lock.is_acquired and len(world.queue()) == 1
        async with mine.write_lock:
            with pytest.raises(LockInUseError):
                await mine.read_lock.acquire()

    world.run(body())


def test_a_downgrade_of_what_is_not_held_is_refused() -> None:
    world = World()

    async def body() -> None:
        mine = pair(world)
        with pytest.raises(LockLostError, match="it was not acquired"):
            await mine.downgrade()
        await mine.write_lock.acquire()
        world.server.intrude(world.queue()[0])
        with pytest.raises(LockLostError, match="its node is gone"):
            await mine.downgrade()
        assert not mine.read_lock.is_acquired and not mine.write_lock.is_acquired
        assert await mine.write_lock.acquire(timeout=1)
        await mine.write_lock.release()

    world.run(body())


def test_a_side_that_was_lost_unnoticed_does_not_keep_the_other_from_acquiring() -> None:
    world = World()

    async def body() -> None:
        mine = pair(world)
        for lost, next_one in ((mine.read_lock, mine.write_lock), (mine.write_lock, mine.read_lock)):
            await lost.acquire()
            world.clients[0].cut(15)
            await world.sim.sleep(20)
            assert not lost.is_acquired
            assert await next_one.acquire(timeout=5)
            await next_one.release()

    world.run(body())


@pytest.mark.parametrize("seed", range(40))
def test_a_downgrade_cancelled_at_any_await_leaves_nothing(seed: int) -> None:
    world = World(seed)

    async def work(mine: AsyncReadWriteLock) -> None:
        await mine.write_lock.acquire()
        try:
            await mine.downgrade()
            await world.sim.sleep(1)
        finally:
            await mine.write_lock.release()
            await mine.read_lock.release()

    async def body() -> None:
        mine, other = pair(world), AsyncWriteLock(world.clients[1], PATH)
        task = world.sim.spawn(work(mine), "work", home=world.clients[0])
        await world.sim.sleep(world.sim.between(0.0, 0.06))
        task.cancel()
        with pytest.raises(TaskCancelled):
            await task.join()
        assert await other.acquire(timeout=5)
        await other.release()

    world.run(body())


def test_a_downgraded_reader_is_told_when_it_is_lost() -> None:
    world = World()
    told: list[float] = []

    async def body() -> None:
        mine = AsyncReadWriteLock(world.clients[0], PATH, on_lost=lambda: told.append(world.sim.now()))
        await mine.write_lock.acquire()
        await mine.downgrade()
        await world.sim.sleep(1)
        assert told == []
        world.server.intrude(world.queue()[0])
        await world.sim.sleep(1)
        assert len(told) == 1 and not mine.read_lock.is_acquired

    world.run(body())


def test_a_writer_times_out_behind_a_reader_and_leaves_the_queue() -> None:
    world = World()

    async def body() -> None:
        async with AsyncReadLock(world.clients[0], PATH):
            with pytest.raises(LockTimeout):
                await AsyncWriteLock(world.clients[1], PATH).acquire(timeout=1)
            await world.sim.sleep(0.1)
            assert len(world.queue()) == 1

    world.run(body())


@pytest.mark.parametrize("naming", ["kazoo", "curator"])
def test_a_naming_marks_readers_and_writers(naming: str) -> None:
    world = World()
    marks = {"kazoo": ("__rlock__", "__lock__"), "curator": ("-__READ__", "-__WRIT__")}[naming]

    async def body() -> None:
        mine = AsyncReadWriteLock(world.clients[0], PATH, naming=naming)
        async with mine.read_lock:
            assert marks[0] in world.queue()[0]
        await mine.write_lock.acquire()
        assert marks[1] in world.queue()[0]
        number = world.queue()[0][-10:]
        await mine.downgrade()
        assert marks[0] in world.queue()[0] and world.queue()[0].endswith(number)
        await mine.read_lock.release()

    world.run(body())


def test_only_namings_that_tell_readers_from_writers_are_taken() -> None:
    client = World().clients[0]
    with pytest.raises(ValueError, match="must be one of kazoo, curator, or a ReadWriteNaming: not 'go'"):
        AsyncReadLock(client, PATH, naming="go")
    with pytest.raises(ValueError, match="must be one of kazoo, curator"):
        ReadWriteLock(client, PATH, naming="java")


def test_a_downgrade_that_was_lost_leaves_the_writer() -> None:
    world = World(0, 2)
    client = world.clients[0]

    async def body() -> None:
        mine = AsyncReadWriteLock(client, PATH)
        await mine.write_lock.acquire()
        lose_next_commit(world, client)
        with pytest.raises(ConnectionLostError) as lost:
            await mine.downgrade()
        assert lost.value.outcome is Outcome.NOT_APPLIED
        assert mine.write_lock.is_acquired and not mine.read_lock.is_acquired
        await mine.downgrade()
        assert mine.read_lock.is_acquired and not mine.write_lock.is_acquired
        await mine.read_lock.release()

    world.run(body())


@pytest.mark.parametrize("applied", [True, False])
def test_nothing_is_held_after_a_downgrade_of_which_nobody_knows(applied: bool) -> None:
    world = World(0, 1)
    client = world.clients[0]

    async def body() -> None:
        mine = AsyncReadWriteLock(client, PATH)
        await mine.write_lock.acquire()
        end_the_session_at_the_next_commit(world, client, applied=applied)
        with pytest.raises((ConnectionLostError, SessionExpiredError)) as unknown:
            await mine.downgrade()
        assert unknown.value.outcome is Outcome.UNKNOWN
        assert not mine.write_lock.is_acquired and not mine.read_lock.is_acquired
        assert await mine.write_lock.acquire(timeout=60.0)
        await mine.write_lock.release()

    world.run(body())


def test_a_downgrade_of_a_node_that_a_stranger_has_changed_is_refused() -> None:
    world = World(0, 1)
    client, server = world.clients[0], world.server

    async def body() -> None:
        mine = AsyncReadWriteLock(client, PATH)
        await mine.write_lock.acquire()
        (node,) = world.queue(PATH)
        server.set(server.open_session(), node, b"a stranger's")
        with pytest.raises(LockLostError, match="changed by a stranger"):
            await mine.downgrade()
        assert not mine.write_lock.is_acquired and not mine.read_lock.is_acquired
        assert await mine.write_lock.acquire(timeout=5.0)
        await mine.write_lock.release()

    world.run(body())
