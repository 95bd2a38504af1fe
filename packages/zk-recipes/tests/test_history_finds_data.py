"""The history checker finds the faults of well-known clients: those of counters and queues.

Each test plays one scene twice: with a recipe that is wrong on purpose, whose history the checker must refuse, and with
ours, whose history it must accept. The numbers are those under which the faults were found: K of kazoo, A of aiozk, C
of Curator.
"""

from __future__ import annotations

from typing import Any

import pytest
import wrong_recipes as wrong
from recorded import PATIENCE, Make, Recorded, refused, struck
from sim_world import Client

from zk_recipes import AsyncCounter, AsyncLockingQueue, AsyncQueue
from zk_testing.history import History, counter, in_time, queue

PATH = "/recipe"


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
        await world.sim.sleep(1.0)
        world.history.happened("administrator", "contents", PATH, result=entries(world))

    return world.play(work())


def test_k3_an_entry_that_stays_claimed_by_somebody_who_does_not_know() -> None:
    history = a_reply_to_the_claim_is_lost(wrong_locking)
    refused(queue(history), "it was called empty while b'1' was inside")
    ours = a_reply_to_the_claim_is_lost(locking)
    queue(ours).assert_holds()
    assert struck(history) and struck(ours)
