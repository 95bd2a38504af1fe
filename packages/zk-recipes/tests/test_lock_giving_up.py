"""Time-outs and cancellation of a lock, in virtual time: on time, and with nothing left behind."""

from __future__ import annotations

import pytest
from sim_world import PATH, TaskCancelled, World, lock

from zk_recipes import AsyncLock, LockCancelledError, LockTimeout
from zk_wire import ZooKeeperError


def test_a_timeout_is_a_total_over_changing_predecessors() -> None:
    world = World(clients=12)

    async def predecessor(number: int) -> None:
        await world.sim.sleep(number * 0.01)
        try:
            await lock(world, number).acquire(timeout=0.9 * number if number else 60)
            await world.sim.sleep(60)
        except LockTimeout:
            pass

    async def body() -> None:
        await world.sim.sleep(0.5)
        before = world.sim.now()
        with pytest.raises(LockTimeout, match='lock "/locks/one" not acquired within 5 s') as caught:
            await lock(world, 11).acquire(timeout=5.0)
        assert world.sim.now() - before == pytest.approx(5.0, abs=0.02)
        assert (caught.value.path, caught.value.timeout) == (PATH, 5.0)

    world.run(*(predecessor(number) for number in range(11)), body(), clean=False)


@pytest.mark.parametrize("trouble", ["cut", "hang", "expiry"])
@pytest.mark.parametrize("seed", range(5))
def test_a_timeout_is_a_total_over_connection_loss(trouble: str, seed: int) -> None:
    world = World(seed)

    async def body() -> None:
        mine = lock(world)
        if trouble == "hang":
            world.clients[0].hang()
        else:
            world.clients[0].cut(8.0 if trouble == "cut" else 25.0)
        before = world.sim.now()
        with pytest.raises(LockTimeout):
            await mine.acquire(timeout=4.0)
        assert world.sim.now() - before == pytest.approx(4.0, abs=0.02)
        assert await mine.acquire(timeout=60.0)
        await mine.release()

    world.run(body())


def test_after_a_timeout_the_node_goes_and_the_object_can_acquire_again() -> None:
    world = World()

    async def body() -> None:
        first, second = lock(world), lock(world, 1)
        await first.acquire()
        with pytest.raises(LockTimeout):
            await second.acquire(timeout=1.0)
        await world.sim.sleep(0.1)
        assert len(world.queue()) == 1
        await first.release()
        assert await second.acquire(timeout=1.0)
        await second.release()

    world.run(body())


def test_cancel_ends_a_waiting_acquire_and_the_object_can_acquire_again() -> None:
    world = World()

    async def body() -> None:
        first, second = lock(world), lock(world, 1)
        await first.acquire()
        waiting = world.sim.spawn(expect(LockCancelledError, second), "waiter")
        await world.sim.sleep(1)
        second.cancel()
        await waiting.join()
        await world.sim.sleep(0.1)
        assert len(world.queue()) == 1
        await first.release()
        assert await second.acquire()
        await second.release()

    world.run(body())


async def expect(error: type[ZooKeeperError], waiter: AsyncLock) -> None:
    with pytest.raises(error):
        await waiter.acquire()


def test_cancel_with_nobody_waiting_does_nothing_to_later_acquires() -> None:
    world = World()

    async def body() -> None:
        mine = lock(world)
        mine.cancel()
        assert await mine.acquire()
        mine.cancel()
        assert mine.is_acquired
        await mine.release()
        assert await mine.acquire(timeout=1.0)
        await mine.release()

    world.run(body())


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("times", [1, 2])
def test_a_task_cancelled_at_any_await_leaves_no_node_and_no_watch(seed: int, times: int) -> None:
    world = World(seed)
    mine = lock(world, 1)

    async def acquire() -> None:
        async with mine:
            await world.sim.sleep(1)

    async def body() -> None:
        first = lock(world)
        await first.acquire()
        task = world.sim.spawn(acquire(), "victim", home=world.clients[1])
        await world.sim.sleep(world.sim.between(0.0, 0.06))
        for _ in range(times):
            task.cancel()
            await world.sim.pause()
        with pytest.raises(TaskCancelled):
            await task.join()
        await first.release()
        assert await mine.acquire()
        await mine.release()

    world.run(body())


def test_an_exception_inside_a_with_block_releases_and_comes_out() -> None:
    world = World()

    async def body() -> None:
        async def fail() -> None:
            async with lock(world) as held:
                assert held.is_acquired
                raise KeyError

        with pytest.raises(KeyError):
            await fail()
        assert world.queue() == []

    world.run(body())
