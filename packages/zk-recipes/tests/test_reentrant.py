"""A lock that its holder can acquire again, in virtual time: what it costs, whose it is, and what a loss does to it."""

from __future__ import annotations

import pytest
from finding import finds
from schedules import on_every_schedule
from sim_storm import Storm
from sim_world import FAULTS, PATH, TaskCancelled, World
from simulated import Faults

from zk_recipes import AsyncLock, AsyncReentrantLock, LockCancelledError, LockLostError, LockNotOwnedError, LockTimeout


def lock(world: World, client: int = 0, **options: object) -> AsyncReentrantLock:
    return AsyncReentrantLock(world.clients[client], PATH, f"client-{client}", **options)  # type: ignore[arg-type]


def test_acquiring_again_costs_nothing_and_the_last_release_counts() -> None:
    world = World()
    requests: list[str] = []

    def count(what: str) -> None:
        requests.append(what.split(maxsplit=1)[0])

    world.server.ensure_path(PATH)
    world.clients[0].on_request = count

    async def body() -> None:
        mine = lock(world)
        assert (mine.count, mine.is_acquired, mine.token) == (0, False, None)
        async with mine:
            token = mine.token
            assert await mine.acquire(blocking=False) and await mine.acquire(timeout=0.0)
            async with mine:
                assert (mine.count, mine.is_acquired, mine.token) == (4, True, token)
                assert mine.lease_remaining > 0
            assert await mine.release() is True
            assert await mine.release() is True
            assert mine.count == 1 and mine.is_acquired
        assert (mine.count, mine.is_acquired, mine.token, mine.lease_remaining) == (0, False, None, 0.0)

    world.run(body())
    assert requests == ["create", "get_children", "delete"]


def test_tasks_that_share_an_object_exclude_each_other_and_are_served_in_order() -> None:
    world = World(clients=1)
    mine = lock(world)
    served: list[int] = []

    async def body(number: int) -> None:
        await world.sim.sleep(number)
        async with mine:
            served.append(number)
            await world.sim.sleep(5)
            async with mine:
                assert served[-1] == number
                await world.sim.sleep(5)

    world.run(*(body(number) for number in range(4)))
    assert served == [0, 1, 2, 3]


def test_a_release_by_somebody_else_is_refused() -> None:
    world = World()
    mine = lock(world)

    async def other() -> None:
        assert (mine.count, mine.is_acquired) == (0, False)
        with pytest.raises(LockNotOwnedError, match="is not held by"):
            await mine.release()
        with pytest.raises(LockLostError, match="it was not acquired"):
            mine.guard()
        assert await mine.acquire(blocking=False) is False

    async def body() -> None:
        async with mine:
            await world.sim.spawn(other(), "other").join()
            assert mine.is_acquired
            await mine.check()
        with pytest.raises(LockNotOwnedError):
            await mine.release()

    world.run(body())


def test_a_lost_lock_is_not_acquired_anew_inside_the_block() -> None:
    world = World()

    async def body() -> None:
        mine = lock(world)
        await mine.acquire()
        await mine.acquire()
        world.clients[0].cut(15)
        await world.sim.sleep(20)
        assert not mine.is_acquired and mine.count == 2
        with pytest.raises(LockLostError, match="has not released it since"):
            await mine.acquire()
        assert await mine.release() is False
        with pytest.raises(LockLostError):
            await mine.acquire()
        assert await mine.release() is False
        async with mine:
            assert mine.is_acquired

    world.run(body())


def test_on_lost_is_called_once_for_one_loss_however_deep_it_is_held() -> None:
    world = World()
    told: list[float] = []

    async def body() -> None:
        mine = lock(world, on_lost=lambda: told.append(world.sim.now()))
        await mine.acquire()
        await mine.acquire()
        await world.sim.sleep(1)
        world.server.intrude(world.queue()[0])
        await world.sim.sleep(1)
        assert len(told) == 1 and not mine.is_acquired
        assert [await mine.release(), await mine.release()] == [False, False]

    world.run(body())


def test_the_outermost_block_is_cut_short_before_the_lease_ends() -> None:
    world = World()

    async def body() -> None:
        mine = lock(world)

        async def work() -> None:
            async with mine, mine:
                world.clients[0].freeze(0.1)
                world.clients[0].cut(30)
                await world.sim.sleep(100)

        with pytest.raises(LockLostError, match="the block was cancelled"):
            await work()
        assert world.sim.now() < 10.0 and mine.count == 0

    world.run(body())


def test_a_block_around_an_acquire_that_stays_open_leaves_its_scope_behind() -> None:
    world = World()

    async def body() -> None:
        mine = lock(world)
        async with mine:
            await mine.acquire()
        assert mine.count == 1 and mine.is_acquired
        world.clients[0].cut(30)
        await world.sim.sleep(20)  # nothing cancels us here: the block has ended
        assert await mine.release() is False

    world.run(body())


def test_cancel_ends_every_wait_of_the_object_and_not_the_holder() -> None:
    world = World(clients=1)
    mine = lock(world)

    async def wait() -> None:
        with pytest.raises(LockCancelledError):
            await mine.acquire()

    async def body() -> None:
        async with mine:
            waiting = [world.sim.spawn(wait(), f"waiter {number}") for number in range(3)]
            await world.sim.sleep(1)
            mine.cancel()
            for task in waiting:
                await task.join()
            assert mine.is_acquired
            await world.sim.sleep(1)
            assert len(world.queue()) == 1

    world.run(body())


@pytest.mark.parametrize("seed", range(30))
def test_a_task_cancelled_at_any_await_leaves_no_node(seed: int) -> None:
    world = World(seed, clients=1)
    mine = lock(world)

    async def work() -> None:
        async with mine, mine:
            await world.sim.sleep(1)

    async def body() -> None:
        task = world.sim.spawn(work(), "victim", home=world.clients[0])
        await world.sim.sleep(world.sim.between(0.0, 0.06))
        task.cancel()
        with pytest.raises(TaskCancelled):
            await task.join()
        assert await mine.acquire(timeout=5)
        assert await mine.release()

    world.run(body())


# The search


class CountsForEverybody(AsyncReentrantLock):
    """Naive: counts for the process, so that whoever comes second is in."""

    def _again(self, caller: object) -> bool:
        for tenure in self._tenures.values():
            if tenure.lock.is_acquired:
                tenure.count += 1
                self._tenures[caller] = tenure
                return True
        return False


def search(seed: int, kind: type[AsyncReentrantLock] = AsyncReentrantLock, faults: Faults = FAULTS) -> set[str]:
    """Let two workers of each of two or three clients hold one lock in each other's presence, twice deep."""
    storm = Storm(seed, 2 + seed % 2, faults=faults)
    sim = storm.sim
    locks = [kind(client, PATH, client.name) for client in storm.clients]
    inside: dict[int, AsyncLock] = {}
    tokens: list[int] = []
    seen: set[str] = set()

    def alone() -> None:
        # By the lease clock: whoever stands still inside holds nothing any more.
        believing = [number for number, held in inside.items() if held.is_acquired]
        assert len(believing) <= 1, f"{believing} inside at once"

    sim.always(alone)

    async def stay(number: int, mine: AsyncReentrantLock) -> None:
        """Be inside for a while."""
        inside[number] = mine._lock()
        try:
            await sim.sleep(sim.between(0.0, 0.1 if sim.random() < 0.8 else 15.0))
        finally:
            del inside[number]

    async def hold(number: int) -> None:
        mine = locks[number % len(locks)]
        await mine.acquire(timeout=sim.between(0.5, 60.0) if sim.random() < 0.3 else None)
        try:
            token = mine.token
            await stay(number, mine)
            if mine.is_acquired and token is not None:
                assert not tokens or token > max(tokens), "a token is not greater than all before"
                tokens.append(token)
            async with mine:
                seen.add("again")
                await stay(number, mine)
        finally:
            await mine.release()

    async def body(number: int) -> None:
        for _ in range(2):
            await sim.sleep(sim.between(0.0, 0.1))
            try:
                await hold(number)
            except LockTimeout:
                seen.add("timeout")
            except LockLostError:
                seen.add("lost")

    def intrude() -> None:
        if len(queue := storm.ephemerals(PATH)) > 1:
            storm.server.intrude(queue[-1])

    storm.run(body, intrude, workers=2)
    assert all(not lock._tenures and not lock._waiting for lock in locks)
    return seen


@on_every_schedule
def test_never_two_workers_inside_whatever_goes_wrong(seeds: range) -> None:
    seen: set[str] = set()
    for seed in seeds:
        seen |= search(seed)
    assert seen == {"again", "timeout", "lost"} or len(seeds) < 100


def test_the_search_finds_a_naive_reentrant_lock() -> None:
    finds(lambda seed: search(seed, CountsForEverybody), "inside at once")
