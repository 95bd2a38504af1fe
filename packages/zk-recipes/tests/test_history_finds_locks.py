"""The history checker finds the faults of well-known clients: those of locks.

Each test plays one scene twice: with a recipe that is wrong on purpose, whose history the checker must refuse, and with
ours, whose history it must accept. The numbers are those under which the faults were found: K of kazoo, A of aiozk, C
of Curator.
"""

from __future__ import annotations

import wrong_recipes as wrong
from recorded import PATIENCE, Make, Recorded, refused
from sim_world import Client

from zk_recipes import AsyncLock, LockTimeout
from zk_testing.history import History, in_time, mutex

PATH = "/recipe"


def lock(client: Client) -> AsyncLock:
    return AsyncLock(client, PATH, client.name)


def wrong_lock(client: Client) -> wrong.Lock:
    return wrong.Lock(client, PATH, client.name)


def a_holder_loses_its_session(make: Make) -> History:
    """One holds the lock, and reaches no server for three session timeouts; another one waits for it."""
    world = Recorded()
    sim, server = world.sim, world.server
    server.ensure_path(PATH)

    async def hold(client: Client, wait: float, work: float) -> None:
        await sim.sleep(wait)
        mine = make(client)
        acquire = world.begin(client, "acquire", PATH)
        if not await world.do(client, "acquires", mine.acquire(), acquire):
            return
        acquire.ok(token=mine.token)
        end = sim.now() + work
        while sim.now() < end and mine.is_acquired:
            await sim.sleep(0.1)
        if mine.is_acquired:
            release = world.begin(client, "release", PATH)
            if await world.do(client, "releases", mine.release(), release):
                release.ok()
        else:
            world.history.happened(client.name, "lost", PATH)

    async def cut() -> None:
        await sim.sleep(2.0)
        world.clients[0].cut(30.0)

    return world.play(hold(world.clients[0], 0.0, 40.0), hold(world.clients[1], 1.0, 5.0), cut())


def test_k1_a_holder_that_does_not_notice_that_its_session_ended() -> None:
    refused(mutex(a_holder_loses_its_session(wrong_lock)), "two holders at once")
    mutex(a_holder_loses_its_session(lock)).assert_holds()


def predecessors_leave_one_after_another(make: Make) -> History:
    """Some queue, and give up one after the other, each before the time of the last one would run out anew."""
    world = Recorded(5)
    sim, server = world.sim, world.server
    server.ensure_path(PATH)

    async def queue_up(number: int, timeout: float) -> None:
        client = world.clients[number]
        await sim.sleep(0.2 * number)
        acquire = world.begin(client, "acquire", PATH, timeout=timeout)
        task = sim.spawn(make(client).acquire(timeout=timeout), client.name, home=client)
        try:
            acquire.ok(await task.join(PATIENCE))
        except LockTimeout:
            acquire.failed()

    # The first holds it; they give up 1.5, 2.2 and 2.9 s after the beginning, the last to come first.
    timeouts = (100.0, 2.7, 1.8, 0.9, 1.0)
    return world.play(*(queue_up(number, timeout) for number, timeout in enumerate(timeouts)))


def test_k8_a_timeout_that_begins_anew_with_every_wait() -> None:
    refused(in_time(predecessors_leave_one_after_another(wrong_lock)), "acquire by client-4 took 3.")
    in_time(predecessors_leave_one_after_another(lock)).assert_holds()


def a_waiter_reconnects(make: Make) -> History:
    """One waits for the lock across a reconnect; then the holder releases it."""
    world = Recorded()
    sim, server = world.sim, world.server
    server.ensure_path(PATH)

    async def hold() -> None:
        mine = make(world.clients[0])
        acquire = world.begin(world.clients[0], "acquire", PATH)
        acquire.ok(await mine.acquire())
        await sim.sleep(10.0)
        with world.begin(world.clients[0], "release", PATH):
            await mine.release()

    async def wait() -> None:
        await sim.sleep(1.0)
        mine = make(world.clients[1])
        acquire = world.begin(world.clients[1], "acquire", PATH)
        if await world.do(world.clients[1], "acquires", mine.acquire(), acquire):
            acquire.ok()
            with world.begin(world.clients[1], "release", PATH):
                await mine.release()

    async def cut() -> None:
        await sim.sleep(3.0)
        world.clients[1].cut(1.0)

    return world.play(hold(), wait(), cut())


def test_a1_a_waiter_that_loses_its_watch_at_a_reconnect() -> None:
    history = a_waiter_reconnects(lambda client: wrong.ForgetfulLock(client, PATH, client.name))
    refused(in_time(history), "acquire by client-1 never ended")
    for check in (in_time, mutex):
        check(a_waiter_reconnects(lock)).assert_holds()
