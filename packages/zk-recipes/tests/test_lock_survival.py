"""What a lock survives, in virtual time: expiry, strangers, lost replies, counters that wrap, other people's nodes."""

from __future__ import annotations

import pytest
from sim_world import PATH, World, chaos, lock
from simulated import faults_of

from zk_recipes import AsyncLock, LockTimeout


@pytest.mark.parametrize("seed", range(10))
def test_a_waiter_joins_again_after_its_session_expired(seed: int) -> None:
    world = World(seed)

    async def body() -> None:
        first, second = lock(world), lock(world, 1)
        await first.acquire()
        waiting = world.sim.spawn(second.acquire(timeout=60), "waiter")
        await world.sim.sleep(1)
        old = world.clients[1].session_id
        world.clients[1].cut(15)
        await world.sim.sleep(20)
        await first.release()
        assert await waiting.join()
        assert world.clients[1].session_id != old
        (node,) = world.queue()
        stat = world.server.stat(node)
        assert stat is not None and stat.ephemeral_owner == world.clients[1].session_id and second.is_acquired
        await second.release()

    world.run(body())


@pytest.mark.parametrize("seed", range(60))
def test_a_node_of_an_ended_session_is_never_taken_for_ones_own(seed: int) -> None:
    world = World(seed)

    async def body() -> None:
        first, second = lock(world), lock(world, 1)
        await first.acquire()
        waiting = world.sim.spawn(acquire(second), "waiter")
        await world.sim.sleep(1)
        # The session expires, and its node, by then the oldest, is seen for a moment longer.
        world.clients[1].cut(10.01)
        await world.sim.sleep(1)
        await first.release()
        await waiting.join()

    async def acquire(second: AsyncLock) -> None:
        await second.acquire()
        assert second.is_acquired
        await second.release()

    world.run(body())


def test_a_waiter_joins_again_after_a_stranger_deleted_its_node() -> None:
    world = World()

    async def body() -> None:
        first, second = lock(world), lock(world, 1)
        await first.acquire()
        waiting = world.sim.spawn(second.acquire(), "waiter")
        await world.sim.sleep(1)
        assert world.server.intrude(world.queue()[1])
        await first.release()
        assert await waiting.join()
        assert second.is_acquired and len(world.queue()) == 1
        await second.release()

    world.run(body())


def test_a_waiter_joins_again_after_the_parent_was_deleted() -> None:
    world = World()

    async def body() -> None:
        first, second = lock(world), lock(world, 1)
        await first.acquire()
        waiting = world.sim.spawn(second.acquire(), "waiter")
        await world.sim.sleep(1)
        for node in reversed(world.queue()):
            assert world.server.intrude(node)
        assert world.server.intrude(PATH)
        assert await waiting.join()
        assert second.is_acquired
        assert first.token is not None and second.token is not None and second.token > first.token
        assert await first.release() is False
        await second.release()

    world.run(body())


@pytest.mark.parametrize("seed", range(30))
def test_a_lost_create_reply_queues_once(seed: int) -> None:
    world = World(seed, faults=faults_of(rate=1.0, limit=1, kinds=("lose reply",)))

    async def body() -> None:
        mine = lock(world)
        assert await mine.acquire()
        # A node given up for lost is removed in the background; ours is the one that counts.
        await world.sim.sleep(5)
        assert mine.is_acquired and len(world.queue()) == 1
        await mine.release()

    world.run(body())


def test_order_holds_across_the_overflow() -> None:
    for seed in range(60):
        chaos(seed, faults=faults_of(rate=0.04, limit=3), counter=2**31 - 5)
    for seed in range(20):
        chaos(seed, faults=faults_of(rate=0.04, limit=3), counter=-5)


def test_numbers_half_the_ring_apart_are_told_by_the_creation_zxid() -> None:
    world = World(clients=3)
    served: list[int] = []

    async def body(number: int) -> None:
        await world.sim.sleep(number)
        if number == 2:
            world.server.set_counter(PATH, 1 - 2**31)
        async with lock(world, number):
            served.append(number)
            await world.sim.sleep(10)

    world.run(body(0), body(1), body(2))
    assert served == [0, 1, 2]


def test_nodes_of_other_implementations_compete_when_their_marker_is_given() -> None:
    world = World()
    port = world.clients[1].port

    async def body() -> None:
        foreign = await port.create(f"{PATH}/_c_{'0' * 32}-lock-", b"go", ephemeral=True, sequence=True, makepath=True)
        assert await lock(world).acquire(blocking=False)
        with pytest.raises(LockTimeout):
            await lock(world, extra_lock_patterns=["-lock-"]).acquire(timeout=1.0)
        await port.delete(foreign)

    world.run(body(), clean=False)


def test_children_that_do_not_compete_are_passed_over() -> None:
    world = World()
    port = world.clients[1].port

    async def body() -> None:
        for name in ("lease_holder", "config__lock__", "x__rlock__0000000000", "__lock__00000"):
            await port.create(f"{PATH}/{name}", makepath=True)
        async with lock(world) as mine:
            assert await mine.contenders() == ["client-0"]

    world.run(body(), clean=False)
