"""Locks in simulation: what AsyncLock promises, in virtual time, with everything that can go wrong at any await.

The broken variants at the end show that the search finds what it is there for.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable

import pytest
from sim_world import PATH, Client, TaskCancelled, World, chaos

from zk_client import Port, SessionState, TransactionFailedError
from zk_recipes import AsyncLock, LockCancelledError, LockInUseError, LockLostError, LockTimeout, _queue
from zk_recipes._queue import RELEASE_BOUND, Attempt, Place, Queue
from zk_recipes._sequence import Contender, ahead_of
from zk_testing.sim import SimulationFailedError
from zk_testing.simclient import Faults
from zk_wire import ConnectionLostError, NoNodeError, SetDataRequest, ZooKeeperError

# Schedules searched by default; CI nights set more.
SCHEDULES = int(os.environ.get("ZK_SIM_SCHEDULES", "1000"))
CHUNKS = 10
FAULTS = Faults(rate=0.08, limit=6)


def lock(world: World, client: int = 0, **options: object) -> AsyncLock:
    return AsyncLock(world.clients[client], PATH, f"client-{client}", **options)  # type: ignore[arg-type]


# The search


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_never_two_holders_whatever_goes_wrong(chunk: int) -> None:
    for seed in range(chunk, SCHEDULES, CHUNKS):
        chaos(seed, faults=FAULTS)


@pytest.mark.parametrize("kind", ["lose request", "lose reply", "cut", "hang", "freeze"])
def test_each_kind_of_fault_alone_is_survived_at_every_request(kind: str) -> None:
    for seed in range(SCHEDULES // 50):
        chaos(seed, faults=Faults(rate=0.3, limit=12, kinds=(kind,)))


def test_the_search_meets_every_kind_of_trouble() -> None:
    seen: set[str] = set()
    wanted = {
        "is expired",
        "freezes for",
        "connection that hangs",
        "lose reply",
        "lose request",
        "is told that it lost",
        "cancels the task",
        "cancels the lock",
        "deleted by a stranger",
        "gives up",
    }

    def observe(world: World) -> None:
        note = world.sim.note

        def listen(who: str, what: str) -> None:
            seen.update(word for word in wanted if word in what)
            note(who, what)

        world.sim.note = listen  # type: ignore[method-assign]

    for seed in range(60):
        chaos(seed, faults=FAULTS, observe=observe)
    assert seen == wanted


def test_the_same_seed_gives_the_same_run() -> None:
    assert chaos(17, faults=FAULTS).sim.fingerprint() == chaos(17, faults=FAULTS).sim.fingerprint()


# Acquire and release


def test_uncontended_costs_three_round_trips() -> None:
    world = World()
    requests: list[str] = []
    server_request = world.clients[0].request

    async def count(what: str, *args: object, **kwargs: object) -> object:
        requests.append(what.split(maxsplit=1)[0])
        return await server_request(what, *args, **kwargs)  # type: ignore[arg-type]

    world.server.ensure_path(PATH)
    world.clients[0].request = count  # type: ignore[method-assign, assignment]

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
    request = client.request

    async def count(what: str, *args: object, **kwargs: object) -> object:
        requests.append(f"{client.name} {what.split(maxsplit=1)[0]}")
        return await request(what, *args, **kwargs)  # type: ignore[arg-type]

    client.request = count  # type: ignore[method-assign, assignment]


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
        before = world.sim.now()
        assert await mine.release() is True
        assert world.sim.now() - before < 0.1
        assert not mine.is_acquired and mine.token is None
        await world.sim.sleep(5.1)
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


# Time-outs and cancellation


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


# Survival


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
    world = World(seed, faults=Faults(rate=1.0, limit=1, kinds=("lose reply",)))

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
        chaos(seed, faults=Faults(rate=0.04, limit=3), counter=2**31 - 5)
    for seed in range(20):
        chaos(seed, faults=Faults(rate=0.04, limit=3), counter=-5)


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


# What a holder knows


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


# Broken variants: the same search finds them


class LooksFirst(Queue):
    """Looks at the predecessor first and asks to be told afterwards."""

    async def _wait_for_turn(self, attempt: Attempt, place: Place, blocking: bool) -> bool | None:
        port = attempt.port
        while True:
            queue = self._naming.contenders(await port.get_children(self.path))
            if place.contender not in queue or port.session_id != place.session_id:
                return None
            ahead = ahead_of(place.contender, queue)
            if not ahead:
                return True
            watch = port.watcher(attempt.wake)
            if await port.exists(f"{self.path}/{ahead[0].name}"):
                try:
                    await port.exists(f"{self.path}/{ahead[0].name}", watch)
                    while watch.event is None and port.session_id == place.session_id:
                        await attempt.sleep()
                finally:
                    await port.shielded(watch.close())


class ForgetsCleanUp(Queue):
    """Leaves the node of a failed acquire to the session's end."""

    def abandon(self, guid: str, session_id: int | None) -> None:
        pass


class ForgetsItsWatch(Queue):
    """Never takes a watch back."""

    async def _wait_for_turn(self, attempt: Attempt, place: Place, blocking: bool) -> bool | None:
        port = attempt.port
        while True:
            queue = self._naming.contenders(await port.get_children(self.path))
            if place.contender not in queue or port.session_id != place.session_id:
                return None
            ahead = ahead_of(place.contender, queue)
            if not ahead:
                return True
            watch = port.watcher(attempt.wake)
            with contextlib.suppress(NoNodeError):
                await port.get(f"{self.path}/{ahead[0].name}", watch)
                while watch.event is None and port.session_id == place.session_id:
                    await attempt.sleep()


class IgnoresTheSession(Queue):
    """Holds on to its place in the queue when the session that owned it is gone."""

    async def _wait_for_turn(self, attempt: Attempt, place: Place, blocking: bool) -> bool | None:
        port = attempt.port
        while ahead := ahead_of(place.contender, self._naming.contenders(await port.get_children(self.path))):
            watch = port.watcher(attempt.wake)
            try:
                await port.get(f"{self.path}/{ahead[0].name}", watch)
                while watch.event is None:
                    await attempt.sleep()
            except NoNodeError:
                pass
            finally:
                await port.shielded(watch.close())
        return True


def with_queue(queue: type[Queue]) -> type[AsyncLock]:
    """A lock over a broken queue."""

    class Broken(AsyncLock):
        def __init__(self, *args: object, **options: object) -> None:
            super().__init__(*args, **options)  # type: ignore[arg-type]
            self._queue.__class__ = queue

    return Broken


class IgnoresExpiry(AsyncLock):
    """Believes it holds until it releases."""

    def _is_valid_place(self, holding):  # type: ignore[no-untyped-def]
        return not holding.lost


class IgnoresTheLease(AsyncLock):
    """Believes it holds until it is told that the session expired."""

    def _is_valid_place(self, holding):  # type: ignore[no-untyped-def]
        return self._port.session_id == holding.place.session_id and self._port.state is not SessionState.EXPIRED


def failures(lock_type: type[AsyncLock], schedules: int = 150, **options: object) -> list[str]:
    found = []
    for seed in range(schedules):
        try:
            chaos(seed, lock_type, **{"faults": FAULTS, **options})  # type: ignore[arg-type]
        except SimulationFailedError as failure:
            found.append(failure.reason)
    return found


@pytest.mark.parametrize(
    ("lock_type", "symptom"),
    [
        (with_queue(LooksFirst), "waiting"),
        (with_queue(ForgetsCleanUp), "left behind|waiting"),
        (with_queue(ForgetsItsWatch), "still watches"),
        (with_queue(IgnoresTheSession), "token|holders at once|waiting|left behind"),
        (IgnoresExpiry, "holders at once"),
        (IgnoresTheLease, "holders at once"),
    ],
)
def test_the_search_finds_a_broken_lock(lock_type: type[AsyncLock], symptom: str) -> None:
    found = failures(lock_type)
    assert any(word in reason for reason in found for word in symptom.split("|")), found[:3]


def test_the_search_finds_a_lock_that_orders_numbers_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def as_text(mine: Contender, others: Iterable[Contender]) -> list[Contender]:
        ahead = [other for other in others if other.name[-10:] < mine.name[-10:]]
        return sorted(ahead, key=lambda other: other.name[-10:], reverse=True)

    assert failures(AsyncLock, 20, counter=2**31 - 5, faults=Faults(0.0, 0)) == []
    monkeypatch.setattr(_queue, "ahead_of", as_text)
    assert failures(AsyncLock, 20, faults=Faults(0.0, 0)) == []
    found = failures(AsyncLock, 20, counter=2**31 - 5, faults=Faults(0.0, 0))
    assert any("holders at once" in reason or "token" in reason for reason in found), found[:3]
