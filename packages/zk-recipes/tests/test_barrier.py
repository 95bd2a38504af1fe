"""Barrier in virtual time: nobody passes while it is there, and everybody once it is gone."""

from __future__ import annotations

import pytest
from data_world import FAULTS, CancelledByTestError, DataWorld
from finding import finds
from schedules import on_every_schedule
from simulated import Faults, faults_of

from zk_recipes import AsyncBarrier, RecipeTimeoutError
from zk_wire import ConnectionLostError, SessionExpiredError

PATH = "/barriers/one"


class WatchesOnce(AsyncBarrier):
    """Waits for its watch, and takes its resolution for the removal (K6: kazoo waits for ever instead)."""

    async def wait(self, timeout: float | None = None) -> bool:
        while True:
            watch = self._port.watcher()
            try:
                if await self._port.exists(self._path, watch):
                    await watch.wait()
            except (ConnectionLostError, SessionExpiredError):
                await self._port.sleep(0.1)
            else:
                return True


class AsksAnybody(AsyncBarrier):
    """Gives up after the first watch that fired for another reason."""

    async def wait(self, timeout: float | None = None) -> bool:
        while await self._port.exists(self._path):
            await self._port.sleep(1.0)
        return True


def search(seed: int, barrier_type: type[AsyncBarrier] = AsyncBarrier, faults: Faults = FAULTS) -> None:
    """Let one client close and open a barrier, and two wait at it."""
    world = DataWorld(seed, 3, faults=faults)
    sim, server = world.sim, world.server
    server.ensure_path(PATH)
    removed: list[float] = []

    async def wait(number: int) -> None:
        client = world.clients[number]
        barrier = barrier_type(client, PATH)
        while True:
            try:
                assert await world.do(client, barrier.wait()) is True
            except CancelledByTestError:
                continue
            assert removed, "passed while the barrier is there"
            return

    async def remove() -> None:
        barrier = AsyncBarrier(world.clients[0], PATH)
        await sim.sleep(sim.between(0.0, 20.0))
        # The moment is the server's: it may be long before the reply.
        sim.always(lambda: removed.append(sim.now()) if not removed and server.stat(PATH) is None else None)
        assert await barrier.remove() is True

    world.finish(wait(1), wait(2), remove(), world.trouble(5 if faults.limit else 0))


@on_every_schedule
def test_a_wait_ends_after_the_removal_whatever_goes_wrong(seeds: range) -> None:
    for seed in seeds:
        search(seed)


@pytest.mark.parametrize("barrier_type", [WatchesOnce, AsksAnybody])
def test_the_search_finds_a_naive_barrier(barrier_type: type[AsyncBarrier]) -> None:
    finds(lambda seed: search(seed, barrier_type))


def test_it_is_created_waited_for_and_removed() -> None:
    world = DataWorld()

    async def body() -> None:
        mine, other = (AsyncBarrier(client, PATH) for client in world.clients)
        assert await mine.wait() is True
        await mine.create()
        await other.create()
        waiting = world.sim.spawn(other.wait(), "waits")
        await world.sim.sleep(1)
        assert not waiting.done
        assert await mine.remove() is True
        assert await waiting.join() is True
        assert await mine.remove() is False

    world.finish(body())


@pytest.mark.parametrize("seed", range(30))
def test_a_lost_reply_changes_nothing(seed: int) -> None:
    world = DataWorld(seed, 1, faults=faults_of(1.0, 3, ("lose reply", "lose request")))

    async def body() -> None:
        barrier = AsyncBarrier(world.clients[0], PATH)
        await barrier.create()
        assert world.server.stat(PATH) is not None
        assert await barrier.remove() is True
        assert world.server.stat(PATH) is None

    world.finish(body())


@pytest.mark.parametrize("seed", range(6))
def test_a_timeout_of_a_wait_is_a_total_and_leaves_nothing(seed: int) -> None:
    world = DataWorld(seed, 1)

    async def body() -> None:
        barrier = AsyncBarrier(world.clients[0], PATH)
        await barrier.create()
        before = world.sim.now()
        if seed % 2:
            world.clients[0].cut(9.0)
        assert await barrier.wait(timeout=3.0) is False
        assert world.sim.now() - before == pytest.approx(3.0, abs=0.02)
        if seed % 2:
            for asking in (barrier.create(timeout=1.0), barrier.remove(timeout=1.0)):
                with pytest.raises(RecipeTimeoutError):
                    await asking
        await world.sim.sleep(10)
        assert world.server.watches() == [] and await barrier.remove()

    world.finish(body())
