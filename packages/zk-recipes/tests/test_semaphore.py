"""A semaphore in virtual time: how many hold it, who is served next, what wakes whom, and what a holder knows."""

from __future__ import annotations

import pytest
from sim_world import TaskCancelled, World

from zk_recipes import (
    AsyncSemaphore,
    LockCancelledError,
    LockInUseError,
    LockLostError,
    LockTimeout,
    UnreadableDataError,
)
from zk_wire import ConnectionLostError

PATH = "/pool"
GUARDS = f"{PATH}-__lock__"


def semaphore(world: World, client: int = 0, leases: int | None = 2, **options: object) -> AsyncSemaphore:
    return AsyncSemaphore(world.clients[client], PATH, f"client-{client}", leases, **options)  # type: ignore[arg-type]


def run(world: World, *bodies: object) -> None:
    """Run, and find neither a lease nor a guard nor a watch left."""
    world.run(*bodies, clean=False)  # type: ignore[arg-type]
    assert world.queue(PATH) == [] and world.queue(GUARDS) == []
    assert world.leaks() == []


def test_as_many_hold_it_as_the_number_says() -> None:
    world = World(clients=3)

    async def body() -> None:
        one, two, three = (semaphore(world, number) for number in range(3))
        assert await one.acquire() and await two.acquire()
        assert await three.acquire(blocking=False) is False
        assert await three.lease_holders() == ["client-0", "client-1"]
        assert one.is_acquired and two.is_acquired and not three.is_acquired
        assert await one.release() is True
        assert await three.acquire(blocking=False) is True
        assert await three.lease_holders() == ["client-1", "client-2"]
        assert [await two.release(), await three.release(), await one.release()] == [True, True, False]

    run(world, body())


def test_the_layout_is_kazoos() -> None:
    world = World()

    async def body() -> None:
        async with semaphore(world) as held:
            assert (await world.clients[0].port.get(PATH))[0] == b"2"
            (lease,) = world.queue(PATH)
            assert len(lease.rpartition("/")[2]) == 32 and world.server.get(lease)[0] == b"client-0"
            assert world.server.paths() == [PATH, GUARDS, lease] and world.queue(GUARDS) == []
            stat = world.server.stat(lease)
            assert stat is not None and held.token == stat.czxid

    run(world, body())


def test_an_uncontended_semaphore_costs_six_round_trips() -> None:
    world = World()
    requests: list[str] = []

    def count(what: str) -> None:
        requests.append(what.split(maxsplit=1)[0])

    async def body() -> None:
        mine = semaphore(world)
        async with mine:
            pass
        world.clients[0].on_request = count
        async with mine:
            pass

    run(world, body())
    assert requests == ["create", "get_children", "get", "get_children", "commit", "delete"]


def test_leases_are_given_in_the_order_they_were_asked_for() -> None:
    world = World(clients=6)
    served: list[int] = []

    async def body(number: int) -> None:
        await world.sim.sleep(number)
        async with semaphore(world, number):
            served.append(number)
            await world.sim.sleep(20 + number)

    run(world, *(body(number) for number in range(6)))
    assert served == [0, 1, 2, 3, 4, 5]


def test_only_the_first_in_line_watches_and_is_woken() -> None:
    world = World(clients=8)
    requests: list[str] = []

    async def body(number: int) -> None:
        await world.sim.sleep(number)
        mine = semaphore(world, number)
        await mine.acquire()
        await world.sim.sleep(20 if number == 0 else 30)
        if number == 0:
            requests.clear()
        await mine.release()
        if number == 0:
            await world.sim.sleep(1)
            assert {request.split()[0] for request in requests} <= {"client-0", "client-2", "client-3"}
            # The first looks and takes the lease; the second gets the guard, looks, and waits in its turn.
            assert [request for request in requests if request.startswith("client-2")] == [
                "client-2 remove_watches",
                "client-2 get",
                "client-2 get_children",
                "client-2 commit",
                "client-2 remove_watches",
            ]
            assert len([request for request in requests if request.startswith("client-3")]) <= 6

    for client in world.clients:

        def count(what: str, name: str = client.name) -> None:
            requests.append(f"{name} {what.split(maxsplit=1)[0]}")

        client.on_request = count
    run(world, *(body(number) for number in range(8)))


def test_a_different_number_is_refused_before_anything_is_done() -> None:
    world = World()

    async def body() -> None:
        async with semaphore(world):
            before = world.server.paths()
            other = semaphore(world, 1, leases=3)
            with pytest.raises(ValueError, match='semaphore "/pool" has 2 leases, not 3'):
                await other.acquire()
            with pytest.raises(ValueError, match="has 2 leases, not 3"):
                await other.acquire(blocking=False)
            assert world.server.paths() == before

    run(world, body())


def test_without_a_number_the_nodes_counts_and_has_to_be_there() -> None:
    world = World()

    async def body() -> None:
        with pytest.raises(ValueError, match="has no number of leases yet: give max_leases"):
            await semaphore(world, leases=None).acquire()
        assert world.server.paths() == []
        async with semaphore(world):
            follower = semaphore(world, 1, leases=None)
            assert follower.max_leases is None
            assert await follower.acquire(blocking=False)
            assert follower.max_leases == 2
            await follower.release()

    run(world, body())


def test_a_node_that_is_empty_gets_the_number_and_other_data_is_refused() -> None:
    world = World()

    async def body() -> None:
        world.server.ensure_path(PATH)
        async with semaphore(world):
            assert world.server.get(PATH)[0] == b"2"
        await world.clients[0].port.set(PATH, b"two")
        with pytest.raises(UnreadableDataError, match=r'"/pool" holds .*two.*a number of leases in decimal'):
            await semaphore(world).acquire()

    run(world, body())


@pytest.mark.parametrize(("leases", "error"), [(0, ValueError), (-1, ValueError), (True, TypeError), ("2", TypeError)])
def test_a_number_that_means_nothing_is_refused(leases: object, error: type[Exception]) -> None:
    world = World()
    with pytest.raises(error, match="max_leases must be"):
        semaphore(world, leases=leases)  # type: ignore[arg-type]


def test_a_bigger_number_lets_waiters_in_at_once() -> None:
    world = World(clients=4)

    async def body() -> None:
        mine = [semaphore(world, number, leases=1) for number in range(4)]
        await mine[0].acquire()
        waiting = []
        for one in mine[1:]:
            waiting.append(world.sim.spawn(one.acquire(), one.identifier))
            await world.sim.sleep(1)
        await mine[0].resize(3)
        await world.sim.sleep(1)
        assert [task.done for task in waiting] == [True, True, False]
        assert mine[0].max_leases == mine[1].max_leases == 3
        await mine[0].release()
        await waiting[2].join()
        for one in mine[1:]:
            await one.release()

    run(world, body())


def test_a_smaller_number_takes_nothing_away_and_holds_back_who_comes() -> None:
    world = World(clients=3)

    async def body() -> None:
        mine = [semaphore(world, number, leases=2) for number in range(3)]
        await mine[0].acquire()
        await mine[1].acquire()
        await mine[2].resize(1)
        assert mine[0].is_acquired and mine[1].is_acquired
        await mine[0].release()
        assert await mine[2].acquire(blocking=False) is False
        await mine[1].release()
        assert await mine[2].acquire(blocking=False) is True
        await mine[2].release()

    run(world, body())


def test_a_new_number_can_be_set_before_anybody_came() -> None:
    world = World()

    async def body() -> None:
        mine = semaphore(world, leases=None)
        await mine.resize(5)
        assert mine.max_leases == 5 and world.server.get(PATH)[0] == b"5"
        async with mine:
            pass

    run(world, body())


@pytest.mark.parametrize("trouble", ["none", "cut", "hang"])
def test_a_semaphores_timeout_is_a_total(trouble: str) -> None:
    world = World()

    async def body() -> None:
        first, second = semaphore(world, 0, leases=1), semaphore(world, 1, leases=1)
        await first.acquire()
        if trouble == "cut":
            world.clients[1].cut(8.0)
        elif trouble == "hang":
            world.clients[1].hang()
        before = world.sim.now()
        with pytest.raises(LockTimeout):
            await second.acquire(timeout=4.0)
        assert world.sim.now() - before == pytest.approx(4.0, abs=0.02)
        await world.sim.sleep(20)
        assert len(world.queue(PATH)) <= 1 and world.queue(GUARDS) == []
        await first.release()
        assert await second.acquire(timeout=5.0)
        await second.release()

    run(world, body())


def test_without_blocking_a_missing_connection_is_an_error_and_not_a_no_for_a_semaphore() -> None:
    world = World()

    async def body() -> None:
        world.clients[0].cut(3.0)
        await world.sim.sleep(0.01)
        before = world.sim.now()
        with pytest.raises(ConnectionLostError, match="not tried: the session is suspended"):
            await semaphore(world).acquire(blocking=False)
        assert world.sim.now() == before

    run(world, body())


def test_cancel_ends_the_wait_of_the_first_and_of_others() -> None:
    world = World(clients=3)

    async def wait(mine: AsyncSemaphore) -> None:
        with pytest.raises(LockCancelledError):
            await mine.acquire()

    async def body() -> None:
        async with semaphore(world, 0, leases=1):
            waiting = [semaphore(world, number, leases=1) for number in (1, 2)]
            tasks = [world.sim.spawn(wait(mine), mine.identifier) for mine in waiting]
            await world.sim.sleep(1)
            assert sorted(await waiting[0].contenders()) == ["client-1", "client-2"]
            for mine, task in zip(waiting, tasks, strict=True):
                mine.cancel()
                await task.join()
            await world.sim.sleep(1)
            assert world.queue(GUARDS) == []

    run(world, body())


def test_an_object_holds_one_lease() -> None:
    world = World()

    async def body() -> None:
        async with semaphore(world) as mine:
            with pytest.raises(LockInUseError):
                await mine.acquire()

    run(world, body())


def test_a_lease_is_lost_and_told_like_a_lock() -> None:
    world = World()
    told: list[float] = []

    async def body() -> None:
        mine = semaphore(world, on_lost=lambda: told.append(world.sim.now()))
        await mine.acquire()
        guard = mine.guard()
        await world.clients[0].port.commit([guard])
        await mine.check()
        await world.sim.sleep(1)
        world.server.intrude(world.queue(PATH)[0])
        await world.sim.sleep(1)
        assert len(told) == 1 and not mine.is_acquired
        with pytest.raises(LockLostError):
            mine.guard()
        assert await mine.release() is False

    run(world, body())


def test_a_frozen_holder_of_a_lease_does_not_believe_it_holds() -> None:
    world = World()

    async def body() -> None:
        first, second = semaphore(world, 0, leases=1), semaphore(world, 1, leases=1)
        await first.acquire()
        token = first.token
        world.clients[0].freeze(30.0)
        await second.acquire()
        assert not first.is_acquired and first.lease_remaining == 0.0
        assert token is not None and second.token is not None and second.token > token
        await second.release()

    run(world, body())


def test_a_waiter_goes_on_after_a_stranger_deleted_its_guard_and_after_the_node_was_made_anew() -> None:
    world = World()

    async def body() -> None:
        first, second = semaphore(world, 0, leases=1), semaphore(world, 1, leases=1)
        await first.acquire()
        waiting = world.sim.spawn(second.acquire(), "waiter")
        await world.sim.sleep(1)
        assert world.server.intrude(world.queue(GUARDS)[0])
        await first.release()
        assert await waiting.join()
        assert await first.acquire(blocking=False) is False
        assert world.server.intrude(world.queue(PATH)[0]) and world.server.intrude(PATH)
        assert await first.acquire(timeout=5)
        assert world.server.get(PATH)[0] == b"1"
        await first.release()

    run(world, body())


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("is_full", [False, True])
def test_an_acquire_cancelled_at_any_await_leaves_neither_guard_nor_lease(seed: int, times: int, is_full: bool) -> None:
    world = World(seed)

    async def work() -> None:
        async with semaphore(world, 1, leases=1):
            await world.sim.sleep(1)

    async def body() -> None:
        mine = semaphore(world, 0, leases=1)
        if is_full:
            await mine.acquire()
        task = world.sim.spawn(work(), "victim", home=world.clients[1])
        await world.sim.sleep(world.sim.between(0.0, 0.25))
        for _ in range(times):
            task.cancel()
            await world.sim.pause()
        with pytest.raises(TaskCancelled):
            await task.join()
        await world.sim.sleep(0.1)
        assert world.clients[1].watchers == []
        if not is_full:
            assert await mine.acquire(timeout=5)
        await mine.release()

    run(world, body())
