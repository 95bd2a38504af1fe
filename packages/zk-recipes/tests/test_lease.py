"""A lease: a lock with an end of its own, in virtual time and on a running server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from schedules import on_every_schedule
from sim_world import FAULTS, PATH, Client, World, chaos
from simulated import Faults

from zk_client import AsyncClient
from zk_client import Client as BlockingClient
from zk_recipes import AsyncLease, AsyncLock, Lease, LockLostError, LockTimeout
from zk_recipes._holding import OwnNode
from zk_testing.member import ZooKeeperServer


def lease(world: World, number: int = 0, duration: float = 3.0, **options: Any) -> AsyncLease:
    return AsyncLease(world.clients[number], PATH, duration, f"client-{number}", **options)


class Brief(AsyncLease):
    """A lease in a lock's place, which remembers when it was taken."""

    begun = 0.0

    def __init__(self, client: Client, path: str, identifier: str, **options: Any) -> None:
        super().__init__(client, path, 2.0, identifier, **options)

    def _hold(self, node: OwnNode) -> None:
        super()._hold(node)
        self.begun = self._port.now()

    @property
    def is_overdue(self) -> bool:
        """Whether it is held although its time is over."""
        return self.is_acquired and self._port.now() - self.begun > self.duration


def search(seed: int, *, faults: Faults = FAULTS) -> None:
    """Let three contenders hold the lease in turn; none may have it for longer than it lasts."""
    leases: list[Brief] = []

    class Kept(Brief):
        def __init__(self, client: Client, path: str, identifier: str, **options: Any) -> None:
            super().__init__(client, path, identifier, **options)
            leases.append(self)

    def in_time() -> None:
        assert not any(one.is_overdue for one in leases), "a lease is held after its time"

    def observe(world: World) -> None:
        world.sim.always(in_time)

    chaos(seed, Kept, faults=faults, rounds=2, contenders=3, observe=observe)


@on_every_schedule
def test_never_two_holders_of_a_lease_whatever_goes_wrong(seeds: range) -> None:
    for seed in seeds:
        search(seed)


def test_a_lease_ends_when_its_time_is_over() -> None:
    world = World()
    told: list[float] = []

    async def body() -> None:
        mine = lease(world, on_lost=lambda: told.append(world.sim.now()))
        other = AsyncLock(world.clients[1], PATH)
        await mine.acquire()
        begun = world.sim.now()
        assert 2.9 < mine.lease_remaining <= 3.0
        guard = mine.guard()
        await other.acquire()
        assert 3.0 <= world.sim.now() - begun < 3.5
        assert told == [begun + 3.0]
        assert not mine.is_acquired and mine.lease_remaining == 0.0
        assert guard.path not in world.server.paths()
        with pytest.raises(LockLostError):
            mine.guard()
        with pytest.raises(LockLostError):
            mine.renew()
        assert await mine.release() is False
        await other.release()
        assert await mine.acquire()
        await mine.release()

    world.run(body())


def test_a_renewed_lease_goes_on() -> None:
    world = World()

    async def body() -> None:
        mine = lease(world)
        await mine.acquire()
        token = mine.token
        for _ in range(10):
            await world.sim.sleep(2.0)
            mine.renew()
            assert mine.lease_remaining == pytest.approx(3.0)
        assert mine.token == token
        await mine.check()
        assert await mine.release()
        with pytest.raises(LockLostError):
            mine.renew()

    world.run(body())


def test_a_lease_lasts_no_longer_than_its_session() -> None:
    world = World()
    told: list[float] = []

    async def body() -> None:
        mine = lease(world, duration=1000.0, on_lost=lambda: told.append(world.sim.now()))
        await mine.acquire()
        assert mine.lease_remaining <= 10.0
        begun = world.sim.now()
        world.clients[0].cut(60.0)
        await world.sim.sleep(20.0)
        assert told and told[0] - begun <= 10.0

    world.run(body())


def test_a_block_is_cancelled_when_the_time_of_its_lease_is_nearly_over() -> None:
    world = World()

    async def work() -> None:
        async with lease(world) as mine:
            try:
                await world.sim.sleep(3600)
            finally:
                assert mine.lease_remaining > 0

    async def body() -> None:
        with pytest.raises(LockLostError):
            await work()
        assert world.sim.now() < 4.0

    world.run(body())


def test_who_waits_for_a_lease_has_a_total_time_out() -> None:
    world = World()

    async def body() -> None:
        mine = lease(world)
        await mine.acquire()
        with pytest.raises(LockTimeout):
            await lease(world, 1).acquire(timeout=1.0)
        await mine.release()

    world.run(body())


@pytest.mark.parametrize(
    ("duration", "error"), [("3", TypeError), (True, TypeError), (0, ValueError), (-1, ValueError)]
)
def test_a_duration_is_a_positive_number(duration: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        lease(World(), 0, duration)


def test_threads_lease_one_after_the_other(make_client: Callable[..., BlockingClient]) -> None:
    first, second = make_client(), make_client()
    mine = Lease(first, PATH, 0.5)
    mine.acquire()
    with Lease(second, PATH, 60.0) as other:
        assert not mine.is_acquired
        assert other.is_acquired and 0 < other.lease_remaining <= 6.0
        other.renew()
    assert mine.release() is False


def test_tasks_lease_one_after_the_other(zk_server: ZooKeeperServer, zk_chroot: str) -> None:
    async def body() -> None:
        async with AsyncClient(zk_server.hosts + zk_chroot, 6.0) as client:
            mine = AsyncLease(client, PATH, 0.5)
            await mine.acquire()
            async with AsyncLease(client, PATH, 60.0) as other:
                assert not mine.is_acquired and other.is_acquired

    asyncio.run(body())
