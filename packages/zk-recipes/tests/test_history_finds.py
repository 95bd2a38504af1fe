"""The history checker finds the faults of well-known clients, on small recipes that have them, in the simulation.

Each test plays one scene twice: with a recipe that is wrong on purpose, whose history the checker must refuse, and with
ours, whose history it must accept. The numbers are those under which the faults were found: K of kazoo, A of aiozk, C
of Curator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import wrong_recipes as wrong
from recorded import PATIENCE, Recorded
from sim_world import Client

from zk_recipes import (
    AsyncBarrier,
    AsyncCounter,
    AsyncDoubleBarrier,
    AsyncLock,
    AsyncLockingQueue,
    AsyncQueue,
    LockTimeout,
)
from zk_testing.history import History, Verdict, barrier, counter, double_barrier, in_time, mutex, queue

PATH = "/recipe"
Make = Callable[[Client], Any]


def refused(verdict: Verdict, sentence: str) -> None:
    """The checker found it, and says this of it."""
    assert verdict.holds is False, verdict
    assert sentence in str(verdict)


def struck(history: History) -> bool:
    """Whether a reply was lost."""
    return any(one.kind == "lost reply" for one in history)


# Locks


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


# Counters


def a_reply_to_set_is_lost(make: Make) -> History:
    """One adds to a counter, and the reply to its write is lost."""
    world = Recorded(1)
    client = world.clients[0]
    world.server.ensure_path(PATH)
    world.server.create(world.server.open_session(), f"{PATH}/number", b"0")

    async def work() -> None:
        mine = make(client)
        for lost in (False, True, False):
            if lost:
                world.lose_reply(client, "commit" if isinstance(mine, AsyncCounter) else "set")
            add = world.begin(client, "add", PATH, 1)
            if await world.do(client, "adds", mine.add(1), add):
                add.ok()
        get = world.begin(client, "get", PATH)
        get.ok(int((await client.port.get(f"{PATH}/number"))[0] or b""))

    return world.play(work())


@pytest.mark.parametrize("kind", [wrong.Counter, wrong.RetryingCounter], ids=["k5", "c1"])
def test_k5_and_c1_an_addition_that_counts_twice(kind: type[wrong.Counter]) -> None:
    history = a_reply_to_set_is_lost(lambda client: kind(client, f"{PATH}/number"))
    refused(counter(history), "in no order can get by client-0 at ")
    ours = a_reply_to_set_is_lost(lambda client: AsyncCounter(client, f"{PATH}/number"))
    counter(ours).assert_holds()
    assert struck(history) and struck(ours)


# Queues


def a_reply_is_lost(make: Make, *, of: str, puts: bool) -> History:
    """One puts an entry and gets it; the reply to the put or to the get is lost. In the end somebody looks."""
    world = Recorded(1)
    client = world.clients[0]
    world.server.ensure_path(PATH)

    async def work() -> None:
        mine = make(client)
        if puts:
            world.lose_reply(client, of)
        put = world.begin(client, "enqueue", PATH, b"1", timeout=15.0)
        task = world.sim.spawn(mine.put(b"1"), "puts", home=client)
        try:
            await task.join(PATIENCE)
            put.ok()
        except TimeoutError:
            put.failed()  # what its caller has to believe
        if not puts:
            world.lose_reply(client, of)
            get = world.begin(client, "dequeue", PATH)
            if done := await world.do(client, "gets", mine.get(), get):
                get.ok(done.value)
        await world.sim.sleep(5.0)
        world.history.happened("administrator", "contents", PATH, result=entries(world))

    return world.play(work())


def entries(world: Recorded) -> list[bytes]:
    """What lies in a queue."""
    return [world.server.get(path)[0] or b"" for path in world.server.paths() if "/entry-" in path]


@pytest.mark.parametrize("kind", [wrong.Queue, wrong.RetryingQueue], ids=["k4", "c5"])
def test_k4_and_c5_an_entry_whose_delete_was_answered_to_nobody(kind: type[wrong.Queue]) -> None:
    history = a_reply_is_lost(lambda client: kind(client, PATH), of="delete", puts=False)
    refused(queue(history), "one was put, did not come out, and not inside when somebody looked")
    ours = a_reply_is_lost(lambda client: AsyncQueue(client, PATH), of="commit", puts=False)
    queue(ours).assert_holds()
    assert any(one.kind == "dequeue" and one.result == b"1" for one in ours)
    assert struck(history) and struck(ours)


def test_a2_a_create_that_is_called_failed_after_a_lost_reply() -> None:
    history = a_reply_is_lost(lambda client: wrong.HangingQueue(client, PATH), of="create", puts=True)
    refused(queue(history), "b'1' was inside, and putting it had failed")
    refused(in_time(history), "enqueue by client-0 took 22.")
    ours = a_reply_is_lost(lambda client: AsyncQueue(client, PATH), of="create", puts=True)
    for check in (queue, in_time):
        check(ours).assert_holds()
    assert struck(history) and struck(ours)


def locking(client: Client) -> AsyncLockingQueue:
    return AsyncLockingQueue(client, PATH)


def wrong_locking(client: Client) -> wrong.LockingQueue:
    return wrong.LockingQueue(client, PATH)


def an_entry_changes_hands(make: Make) -> History:
    """One gets an entry and loses its session; another gets and consumes it; then the first consumes it as well."""
    world = Recorded()
    sim, server = world.sim, world.server
    for name in ("entries", "taken"):
        server.ensure_path(f"{PATH}/{name}")
    first, second = (make(client) for client in world.clients)

    async def consume(client: Client, mine: Any, value: bytes | None) -> None:
        what = world.begin(client, "dequeue", PATH)
        if done := await world.do(client, "consumes", mine.consume(), what):
            what.ok(value) if done.value else what.failed()

    async def work() -> None:
        put = world.begin(world.clients[0], "enqueue", PATH, b"1")
        await first.put_all([b"1"])
        put.ok()
        value = await first.get()
        world.clients[0].cut(25.0)
        await sim.sleep(26.0)
        other = await second.get()
        await consume(world.clients[1], second, other)
        await consume(world.clients[0], first, value)

    return world.play(work())


def entries_are_put_where_nothing_is(make: Make) -> History:
    """Entries are put into a queue whose nodes are not there; then somebody looks."""
    world = Recorded(1)

    async def work() -> None:
        mine = make(world.clients[0])
        with world.begin(world.clients[0], "enqueue", PATH, b"1"):
            await mine.put_all([b"1"])
        await world.sim.sleep(1.0)
        world.history.happened("administrator", "contents", PATH, result=entries(world))

    return world.play(work())


def test_k2_a_consume_that_says_yes_whatever_became_of_it() -> None:
    refused(queue(an_entry_changes_hands(wrong_locking)), "b'1' came out twice, and was put once")
    queue(an_entry_changes_hands(locking)).assert_holds()
    refused(queue(entries_are_put_where_nothing_is(wrong_locking)), "one was put, did not come out, and not inside")
    queue(entries_are_put_where_nothing_is(locking)).assert_holds()


def a_reply_to_the_claim_is_lost(make: Make) -> History:
    """One puts and gets an entry, and the reply to its claim is lost; then another one gets."""
    world = Recorded()
    server = world.server
    for name in ("entries", "taken"):
        server.ensure_path(f"{PATH}/{name}")
    first, second = (make(client) for client in world.clients)

    async def work() -> None:
        client, other = world.clients
        put = world.begin(client, "enqueue", PATH, b"1")
        await first.put_all([b"1"])
        put.ok()
        world.lose_reply(client, "create" if isinstance(first, wrong.LockingQueue) else "commit")
        get = world.begin(client, "dequeue", PATH)
        if done := await world.do(client, "gets", first.get(), get):
            get.ok(done.value)
            await first.consume()
        again = world.begin(other, "dequeue", PATH)
        if done := await world.do(other, "gets", second.get(timeout=30.0), again):
            again.ok(done.value)
        world.history.happened("administrator", "contents", PATH, result=entries(world))

    return world.play(work())


def test_k3_an_entry_that_stays_claimed_by_somebody_who_does_not_know() -> None:
    history = a_reply_to_the_claim_is_lost(wrong_locking)
    refused(queue(history), "it was called empty while b'1' was inside")
    ours = a_reply_to_the_claim_is_lost(locking)
    queue(ours).assert_holds()
    assert struck(history) and struck(ours)


# Barriers


def a_waiter_at_a_barrier_reconnects(make: Make) -> History:
    """One waits at a barrier across a reconnect; then it is removed."""
    world = Recorded()
    sim = world.sim
    keeper, other = world.clients

    async def keep() -> None:
        mine = AsyncBarrier(keeper, PATH)
        with world.begin(keeper, "raise", PATH):
            await mine.create()
        await sim.sleep(10.0)
        with world.begin(keeper, "remove", PATH):
            await mine.remove()

    async def wait() -> None:
        await sim.sleep(1.0)
        what = world.begin(other, "pass", PATH)
        if await world.do(other, "waits", make(other).wait(), what):
            what.ok()

    async def cut() -> None:
        await sim.sleep(3.0)
        other.cut(1.0)

    return world.play(keep(), wait(), cut())


def test_k6_a_waiter_at_a_barrier_that_loses_its_watch_at_a_reconnect() -> None:
    history = a_waiter_at_a_barrier_reconnects(lambda client: wrong.Barrier(client, PATH))
    refused(barrier(history), "client-1 waits for ever at a barrier that was removed")
    barrier(a_waiter_at_a_barrier_reconnects(lambda client: AsyncBarrier(client, PATH))).assert_holds()


def wrong_double(kind: type[wrong.DoubleBarrier], needed: int) -> Make:
    return lambda client: kind(client, PATH, needed, client.name)


def double(needed: int) -> Make:
    return lambda client: AsyncDoubleBarrier(client, PATH, needed, client.name)


class Members(Recorded):
    """Members of a double barrier, written down."""

    def __init__(self, make: Make, needed: int, *, clients: int | None = None, there: bool = True) -> None:
        super().__init__(clients or needed)
        self.needed = needed
        self.members = [make(client) for client in self.clients]
        if there:
            self.server.ensure_path(PATH)

    async def enter(self, number: int) -> bool:
        """Have a member enter; whether it did."""
        what = self.begin(self.clients[number], "enter", PATH, self.needed)
        done = await self.do(self.clients[number], "enters", self.members[number].enter(), what)
        if done:
            what.ok()
        return done is not None

    async def leave(self, number: int) -> None:
        """Have a member leave."""
        what = self.begin(self.clients[number], "leave", PATH)
        if done := await self.do(self.clients[number], "leaves", self.members[number].leave(), what):
            what.ok(done.value)


def a_member_reconnects_while_it_waits(make: Make) -> History:
    """One enters, and reconnects while it waits; then the other one enters."""
    world = Members(make, 2)
    sim = world.sim

    async def member(number: int, wait: float) -> None:
        await sim.sleep(wait)
        if await world.enter(number):
            await sim.sleep(1.0)
            await world.leave(number)

    async def cut() -> None:
        await sim.sleep(3.0)
        world.clients[0].cut(1.0)

    return world.play(member(0, 0.0), member(1, 10.0), cut())


def one_enters_where_nothing_is(make: Make) -> History:
    """One of five enters a barrier below a node that is not there; then the others do not come."""
    world = Members(make, 5, clients=1, there=False)
    return world.play(_entering(world))


async def _entering(world: Members) -> None:
    await world.enter(0)


def the_lowest_member_ends(make: Make) -> History:
    """Three are inside; one begins to leave, and the session of the lowest one ends."""
    world = Members(make, 3)
    sim, server = world.sim, world.server

    async def member(number: int, leave_after: float) -> None:
        await sim.sleep(0.1 * number)
        if await world.enter(number) and leave_after:
            await sim.sleep(leave_after)
            await world.leave(number)

    async def end() -> None:
        await sim.sleep(5.0)
        world.history.happened("client-0", "lost", PATH)
        session = world.clients[0].session_id
        assert session is not None
        world.clients[0].cut(100.0)
        server.expire(session)

    return world.play(member(0, 0.0), member(1, 2.0), member(2, 30.0), end())


def one_member_is_slow(make: Make) -> History:
    """Four enter, and the last stands still once its node is there; the others go in, and out again."""
    world = Members(make, 4)
    sim = world.sim
    slow = world.clients[3]

    async def member(number: int) -> None:
        await sim.sleep(0.1 * number)
        if await world.enter(number):
            await sim.sleep(0.2)
            await world.leave(number)

    def sent(request: str) -> None:
        if request.startswith("create") and slow.on_request is not None:
            slow.on_request = None
            sim.call_at(sim.now() + 0.012, lambda: slow.freeze(4.0))  # it has arrived by then

    slow.on_request = sent
    return world.play(*(member(number) for number in range(4)))


def test_k7a_a_member_that_loses_its_watch_at_a_reconnect() -> None:
    history = a_member_reconnects_while_it_waits(wrong_double(wrong.ForgetfulDoubleBarrier, 2))
    refused(double_barrier(history), "client-0 waits for ever to enter, and client-1 did: all 2 had come")
    double_barrier(a_member_reconnects_while_it_waits(double(2))).assert_holds()


def test_k7b_a_member_that_takes_an_error_for_a_way_in() -> None:
    history = one_enters_where_nothing_is(wrong_double(wrong.CarelessDoubleBarrier, 5))
    refused(double_barrier(history), "client-0 entered with 1 of 5 there")
    double_barrier(one_enters_where_nothing_is(double(5))).assert_holds()


def test_k7c_a_member_that_waits_for_the_lowest_alone() -> None:
    history = the_lowest_member_ends(wrong_double(wrong.DoubleBarrier, 3))
    refused(double_barrier(history), "client-1 left while client-2 was inside")
    double_barrier(the_lowest_member_ends(double(3))).assert_holds()


def test_c6_a_slow_member_that_comes_too_late_to_see_the_others() -> None:
    history = one_member_is_slow(wrong_double(wrong.DoubleBarrier, 4))
    refused(double_barrier(history), "client-3 waits for ever to enter, and client-0 did: all 4 had come")
    double_barrier(one_member_is_slow(double(4))).assert_holds()
