"""Acquiring and releasing a lock, in virtual time: what it costs, who is served next, what is refused."""

from __future__ import annotations

import pytest
from sim_world import PATH, Client, World, lock

from zk_recipes import AsyncLock, LockInUseError
from zk_recipes._queue import RELEASE_BOUND
from zk_wire import ConnectionLostError


def test_uncontended_costs_three_round_trips() -> None:
    world = World()
    requests: list[str] = []

    def count(what: str) -> None:
        requests.append(what.split(maxsplit=1)[0])

    world.server.ensure_path(PATH)
    world.clients[0].on_request = count

    async def body() -> None:
        mine = lock(world)
        assert await mine.acquire()
        assert await mine.release()

    world.run(body())
    assert requests == ["create", "get_children", "delete"]


def test_waiters_are_served_in_the_order_they_joined() -> None:
    world = World(clients=4)
    served: list[int] = []

    async def body(number: int) -> None:
        await world.sim.sleep(number)
        async with lock(world, number):
            served.append(number)
            await world.sim.sleep(10)

    world.run(*(body(number) for number in range(4)))
    assert served == [0, 1, 2, 3]


def test_a_release_wakes_one_waiter_only() -> None:
    world = World(clients=10)
    held = [lock(world, number) for number in range(10)]
    requests: list[str] = []

    async def body(number: int) -> None:
        await world.sim.sleep(number)
        await held[number].acquire()
        await world.sim.sleep(20 if number == 0 else 1)
        if number == 0:
            requests.clear()
        await held[number].release()
        if number == 0:
            await world.sim.sleep(0.5)
            # The holder's delete; the next one looks once. Everybody else sleeps on.
            assert [request for request in requests if request != "client-0 delete"] == ["client-1 get_children"]

    for client in world.clients:
        watch_requests(client, requests)
    world.run(*(body(number) for number in range(10)))


def watch_requests(client: Client, requests: list[str]) -> None:
    client.on_request = lambda what: requests.append(f"{client.name} {what.split(maxsplit=1)[0]}")


def test_without_blocking_it_says_false_and_leaves_nothing() -> None:
    world = World()

    async def body() -> None:
        async with lock(world):
            second = lock(world, 1)
            assert await second.acquire(blocking=False) is False
            assert await second.contenders() == ["client-0"]
        assert await second.acquire(blocking=False) is True
        await second.release()

    world.run(body())


def test_without_blocking_a_missing_connection_is_an_error_and_not_a_no() -> None:
    world = World()

    async def body() -> None:
        world.clients[0].cut(3.0)
        await world.sim.sleep(0.01)
        with pytest.raises(ConnectionLostError, match="not tried: the session is suspended"):
            await lock(world).acquire(blocking=False)

    world.run(body())


@pytest.mark.parametrize(("blocking", "timeout"), [(False, 1.0), (True, -1.0), (True, float("nan"))])
def test_senseless_arguments_are_refused_before_anything_is_sent(blocking: bool, timeout: float) -> None:
    world = World()

    async def body() -> None:
        with pytest.raises(ValueError, match="timeout"):
            await lock(world).acquire(blocking=blocking, timeout=timeout)
        assert world.server.paths() == []

    world.run(body())


def test_bad_constructor_arguments_are_refused() -> None:
    client = World().clients[0]
    with pytest.raises(ValueError, match="empty segment"):
        AsyncLock(client, "/a//b")
    with pytest.raises(TypeError, match="identifier must be a str or None, not bytes"):
        AsyncLock(client, PATH, b"me")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="must be a sequence of strings, not the string '-lock-'"):
        AsyncLock(client, PATH, extra_lock_patterns="-lock-")


def test_a_second_acquire_of_the_same_object_is_an_error_at_once() -> None:
    world = World()

    async def body() -> None:
        mine = lock(world)
        async with mine:
            with pytest.raises(LockInUseError, match="not re-entrant"):
                await mine.acquire()
            assert mine.is_acquired
        assert await mine.acquire()
        assert await mine.release()

    world.run(body())


def test_a_second_acquire_while_the_object_waits_is_an_error_at_once() -> None:
    world = World()
    mine = lock(world)

    async def waiter() -> None:
        async with lock(world, 1):
            task = world.sim.spawn(mine.acquire(), "first")
            await world.sim.sleep(1)
            with pytest.raises(LockInUseError):
                await mine.acquire()
        assert await task.join()
        await mine.release()

    world.run(waiter())


def test_releasing_what_is_not_held_says_false() -> None:
    world = World()

    async def body() -> None:
        mine = lock(world)
        assert await mine.release() is False
        async with mine:
            pass
        assert await mine.release() is False

    world.run(body())


def test_a_stale_release_says_false_and_does_not_touch_the_next_holder() -> None:
    world = World(clients=2)

    async def body() -> None:
        first, second = lock(world), lock(world, 1)
        await first.acquire()
        world.clients[0].cut(15.0)
        await second.acquire()
        await world.sim.sleep(30)
        assert await first.release() is False
        assert second.is_acquired and len(world.queue()) == 1
        await second.release()

    world.run(body())


def test_a_release_without_a_connection_returns_at_once_and_is_done_in_the_background() -> None:
    world = World()

    async def body() -> None:
        mine = lock(world)
        await mine.acquire()
        world.clients[0].cut(5.0)
        await world.sim.sleep(0.01)
        before = world.sim.now()
        assert await mine.release() is True
        assert world.sim.now() - before < 0.1
        assert not mine.is_acquired and mine.token is None
        await world.sim.sleep(10.0)
        assert world.queue() == []

    world.run(body())


def test_a_release_over_a_silent_connection_is_bounded() -> None:
    world = World()

    async def body() -> None:
        mine = lock(world)
        await mine.acquire()
        world.clients[0].hang()
        before = world.sim.now()
        await mine.release()
        assert world.sim.now() - before <= RELEASE_BOUND + 0.1

    world.run(body())
