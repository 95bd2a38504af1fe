"""What a holder knows, in virtual time: of its loss, of the others, and whether its transactions still count."""

from __future__ import annotations

import logging

import pytest
from sim_world import PATH, World, lock

from zk_client import Port, TransactionFailedError
from zk_recipes import AsyncLock, LockLostError
from zk_wire import NoNodeError, SetDataRequest


def test_contenders_are_listed_in_the_order_they_joined_across_the_overflow() -> None:
    world = World(clients=4)
    world.server.set_counter(PATH, 2**31 - 2)
    locks = [lock(world, number) for number in range(4)]

    async def body() -> None:
        await locks[0].acquire()
        waiting = []
        for mine in locks[1:]:
            waiting.append(world.sim.spawn(mine.acquire(), mine.identifier))
            await world.sim.sleep(1)
        assert await locks[2].contenders() == ["client-0", "client-1", "client-2", "client-3"]
        for mine, task in zip(locks, [*waiting, None], strict=True):
            await mine.release()
            if task is not None:
                await task.join()

    world.run(body())


def test_contenders_of_a_lock_nobody_ever_used_are_none() -> None:
    world = World()

    async def body() -> None:
        assert await lock(world).contenders() == []

    world.run(body())


def test_a_frozen_holder_does_not_believe_it_holds() -> None:
    world = World()

    async def body() -> None:
        first, second = lock(world), lock(world, 1)
        await first.acquire()
        world.clients[0].freeze(30.0)
        before = world.sim.now()
        world.sim.always(lambda: both(first, second))
        await second.acquire()
        assert world.sim.now() - before < 11.0
        assert not first.is_acquired and first.lease_remaining == 0.0
        with pytest.raises(LockLostError):
            first.guard()
        await second.release()

    def both(first: AsyncLock, second: AsyncLock) -> None:
        assert not (first.is_acquired and second.is_acquired)

    world.run(body())


@pytest.mark.parametrize("absence", [9.5, 30.0])
@pytest.mark.parametrize("seed", range(5))
def test_on_lost_is_called_once_at_the_latest_when_the_lease_ends(seed: int, absence: float) -> None:
    world = World(seed)
    told: list[float] = []
    first = lock(world, on_lost=lambda: told.append(world.sim.now()))

    async def body() -> None:
        second = lock(world, 1)
        await first.acquire()
        await world.sim.sleep(1)
        world.clients[0].cut(absence)
        deadline = world.sim.now() + first.lease_remaining
        await second.acquire()
        assert len(told) == 1
        assert told[0] <= deadline + 1e-6 and told[0] < world.sim.now()
        assert not first.is_acquired
        await second.release()
        await world.sim.sleep(60)
        assert len(told) == 1
        assert await first.release() is False
        assert await first.acquire()
        await first.release()

    world.run(body())


def test_on_lost_tells_a_holder_whose_node_a_stranger_deleted() -> None:
    world = World()
    told: list[float] = []

    async def body() -> None:
        mine = lock(world, on_lost=lambda: told.append(world.sim.now()))
        await mine.acquire()
        await world.sim.sleep(1)
        assert mine.is_acquired
        world.server.intrude(world.queue()[0])
        await world.sim.sleep(0.1)
        assert len(told) == 1 and not mine.is_acquired and mine.token is None

    world.run(body())


@pytest.mark.parametrize("trouble", ["cut", "hang"])
@pytest.mark.parametrize("seed", range(5))
def test_a_block_is_cancelled_before_the_lease_ends(seed: int, trouble: str) -> None:
    world = World(seed)
    ended: list[float] = []

    async def body() -> None:
        mine, other = lock(world), lock(world, 1)

        async def others() -> None:
            async with other:
                assert ended, "somebody else holds, and the block still runs"

        async def work() -> None:
            async with mine:
                await world.sim.sleep(1)
                world.sim.spawn(others(), "others")
                world.clients[0].cut(25.0) if trouble == "cut" else world.clients[0].hang()
                try:
                    await world.sim.sleep(3600)
                finally:
                    ended.append(world.sim.now())
                    assert mine.lease_remaining > 0

        with pytest.raises(LockLostError):
            await work()
        assert not mine.is_acquired
        await world.sim.sleep(60)
        # Whoever was in the block goes on, and nothing of the cancellation is left.
        async with mine:
            pass

    world.run(body())


def test_a_block_whose_lock_is_well_is_not_cancelled_however_long_it_takes() -> None:
    world = World()

    async def body() -> None:
        async with lock(world) as mine:
            await world.sim.sleep(600)
            assert mine.is_acquired

    world.run(body())


def test_on_lost_has_ended_before_others_may_go_on() -> None:
    world = World()
    order: list[str] = []

    async def body() -> None:
        mine = lock(world, on_lost=lambda: order.append("told"))
        abandon = mine._queue.abandon

        def spy(guid: str, session_id: int | None) -> None:
            order.append("abandoned")
            abandon(guid, session_id)

        mine._queue.abandon = spy  # type: ignore[method-assign]
        await mine.acquire()
        world.clients[0].cut(9.5)
        await lock(world, 1).acquire()
        assert order == ["told", "abandoned"]

    world.run(body(), clean=False)


def test_on_lost_is_not_called_after_a_release() -> None:
    world = World()
    told: list[float] = []

    async def body() -> None:
        for _ in range(3):
            async with lock(world, on_lost=lambda: told.append(world.sim.now())):
                await world.sim.sleep(30)
        world.clients[0].cut(30)

    world.run(body())
    assert told == []


def test_a_changed_node_is_watched_on(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    told: list[float] = []

    async def body() -> None:
        mine = lock(world, on_lost=lambda: told.append(world.sim.now()))
        await mine.acquire()
        await world.sim.sleep(1)
        await world.clients[1].port.set(world.queue()[0], b"note")
        await world.sim.sleep(1)
        assert told == [] and mine.is_acquired
        world.server.intrude(world.queue()[0])
        await world.sim.sleep(1)
        assert len(told) == 1

    world.run(body())


def test_an_exception_in_on_lost_is_logged_and_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    world = World()

    def broken() -> None:
        raise KeyError("mine")

    async def body() -> None:
        mine = lock(world, on_lost=broken)
        await mine.acquire()
        await world.sim.sleep(1)
        world.server.intrude(world.queue()[0])
        await world.sim.sleep(1)
        assert await mine.acquire()
        await mine.release()

    with caplog.at_level(logging.ERROR):
        world.run(body())
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [KeyError]


def test_a_lost_lock_can_be_acquired_again_without_a_release() -> None:
    world = World()

    async def body() -> None:
        mine = lock(world)
        await mine.acquire()
        first = mine.token
        world.clients[0].cut(15)
        await world.sim.sleep(20)
        assert not mine.is_acquired
        assert await mine.acquire()
        assert mine.token is not None and first is not None and mine.token > first
        await mine.release()

    world.run(body())


def test_what_was_given_up_is_not_waited_for_where_the_session_lives_on() -> None:
    kept = 0

    async def body(world: World) -> None:
        nonlocal kept
        mine, client = lock(world), world.clients[0]
        await mine.acquire()
        session, first = client.session_id, mine.token
        client.cut(9.05)
        await world.sim.sleep(9.02)  # the lease is over, and the servers keep the session for a moment yet
        assert not mine.is_acquired
        assert await mine.acquire(timeout=5.0)
        assert mine.token is not None and first is not None and mine.token > first
        kept += client.session_id == session
        await mine.release()

    for seed in range(20):
        world = World(seed)
        world.run(body(world))
    assert kept


def test_a_guarded_transaction_is_refused_after_loss() -> None:
    world = World()

    async def body() -> None:
        port: Port = world.clients[0].port
        await port.create("/data", b"old")
        mine = lock(world)
        await mine.acquire()
        guard = mine.guard()
        await port.commit([guard, SetDataRequest("/data", b"first", -1)])
        world.server.intrude(world.queue()[0])
        with pytest.raises(TransactionFailedError) as refused:
            await port.commit([guard, SetDataRequest("/data", b"second", -1)])
        assert refused.value.index == 0 and isinstance(refused.value.error, NoNodeError)
        assert (await port.get("/data"))[0] == b"first"

    world.run(body())


def test_check_finds_a_loss_that_nobody_told() -> None:
    world = World()

    async def body() -> None:
        mine = lock(world)
        with pytest.raises(LockLostError, match="it was not acquired"):
            await mine.check()
        await mine.acquire()
        await mine.check()
        world.server.intrude(world.queue()[0])
        assert mine.is_acquired
        with pytest.raises(LockLostError, match="its node is gone"):
            await mine.check()
        assert not mine.is_acquired
        assert await mine.release() is False

    world.run(body())


def test_check_does_not_believe_an_answer_that_is_older_than_the_lease() -> None:
    world = World()

    async def body() -> None:
        mine, client = lock(world), world.clients[0]
        await mine.acquire()
        checking = world.sim.spawn(mine.check(), "check", home=client)
        await world.sim.sleep(0.0001)
        client.freeze(9.5)  # the servers answer, and keep the session
        with pytest.raises(LockLostError, match="its lease ended"):
            await checking.join()
        await mine.release()

    world.run(body())
