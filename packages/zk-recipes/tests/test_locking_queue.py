"""LockingQueue in virtual time: every entry is consumed once, and one whose consumer is gone is free again."""

from __future__ import annotations

from collections import Counter as Tally

import pytest
from data_world import FAULTS, IN_PEACE, CancelledByTestError, DataWorld, lose_next_commit
from finding import finds
from schedules import on_every_schedule
from sim_world import Client
from simulated import Faults, SimulationFailedError, TaskCancelled

from zk_recipes import AsyncLockingQueue, LockLostError, NumbersExhaustedError, RecipeTimeoutError, UndecidedError
from zk_recipes._claims import Claims
from zk_wire import ConnectionLostError

PATH = "/queues/one"
NODES = ("entries", "taken", "claims", "waiting", "writes")


class ForgetsLostClaims(Claims):
    """Leaves a claim whose reply was lost to the session's end."""

    def abandon(self, name: str, guid: str, session_id: int | None) -> None:
        pass


class Herds(Claims):
    """Takes what was claimed for its own, whoever claimed it."""

    def _unclaim(self, name: str, guid: str) -> list[object]:  # type: ignore[override]
        return super()._unclaim(name, guid)[1:]  # type: ignore[return-value]


def left_behind(world: DataWorld) -> list[str]:
    """Claims and waiting consumers that nobody has any more."""
    return [path for path in world.server.paths() if any(f"/{kind}/" in path for kind in NODES[1:])]


def search(seed: int, claims: type[Claims] = Claims, faults: Faults = FAULTS) -> None:
    """Let one client put entries and two consume them, and count."""
    world = DataWorld(seed, 3, faults=faults)
    sim = world.sim
    allowed: dict[bytes, set[int]] = {}
    consumed: Tally[bytes] = Tally()
    doubts: list[bytes] = []
    tokens: dict[bytes, int] = {}
    queues = [AsyncLockingQueue(client, PATH) for client in world.clients]
    for queue in queues:
        queue._claims.__class__ = claims
    producing = True

    def alone() -> None:
        held = [queue._held[0].name for queue in queues if queue.is_held and queue._held]
        assert len(held) == len(set(held)), f"held twice at once: {held}"

    sim.always(alone)
    in_vain = world.keep_nobody_waiting(f"{PATH}/entries", f"{PATH}/taken")

    async def put(client: Client) -> None:
        nonlocal producing
        for turn in range(2):
            values = [f"{turn}.{number}".encode() for number in range(2 - turn)]
            count = {1}
            try:
                await world.do(client, queues[0].put_all(values))
            except (CancelledByTestError, UndecidedError):
                count = {0, 1}
            allowed.update(dict.fromkeys(values, count))
            await sim.sleep(sim.between(0.0, 0.1))
        producing = False

    async def consume(client: Client, queue: AsyncLockingQueue) -> None:
        idle = 0
        while idle < 1:
            try:
                patience = sim.between(0.1, 30.0)
                value = await world.do(client, queue.get(timeout=patience))
                if value is None:
                    if patience > IN_PEACE + 1.0:
                        in_vain(client.name)
                    idle += not producing
                    continue
                token = queue.token
                if queue.is_held and token is not None:
                    assert token > tokens.get(value, 0), f"token {token:x} of {value!r} after {tokens[value]:x}"
                    tokens[value] = token
                await sim.sleep(sim.between(0.0, 0.05 if sim.random() < 0.8 else 20.0))
                if sim.random() < 0.2:
                    await world.do(client, queue.release())
                elif await world.do(client, consume_it(queue, value)):
                    consumed[value] += 1
            except CancelledByTestError:
                await queue.release()

    async def consume_it(queue: AsyncLockingQueue, value: bytes) -> bool:
        doubts.append(value)
        try:
            answer = await queue.consume()
        except UndecidedError:
            return False
        doubts.remove(value)
        return answer

    world.finish(
        put(world.clients[0]),
        *(consume(client, queue) for client, queue in zip(world.clients[1:], queues[1:], strict=True)),
        world.trouble(5 if faults.limit else 0),
    )
    for path in world.server.paths():
        if path.startswith(f"{PATH}/entries/"):
            consumed[world.server.get(path)[0] or b""] += 1
    for value in doubts:
        allowed[value] = {0, 1}
        consumed[value] = min(consumed[value], 1)
    wrong = {value: consumed[value] for value in allowed if consumed[value] not in allowed[value]}
    if left := left_behind(world):
        sim.refute(f"left behind: {left}")
    if wrong:
        sim.refute(f"consumed so often, and not once: {wrong}")


@on_every_schedule
def test_every_entry_is_consumed_once_whatever_goes_wrong(seeds: range) -> None:
    for seed in seeds:
        search(seed)


def test_the_search_finds_a_naive_locking_queue() -> None:
    finds(lambda seed: search(seed, Herds))


# One step at a time


def test_an_entry_stays_until_it_is_consumed() -> None:
    world = DataWorld()

    async def body() -> None:
        mine, other = (AsyncLockingQueue(client, PATH) for client in world.clients)
        await mine.put_all([b"1", b"2"])
        await mine.put(b"0", priority=5)
        assert await mine.get(0) == b"0" and mine.is_held and await mine.holds_lock()
        assert await mine.get() == b"0"
        assert await other.get(0) == b"1"
        assert await mine.length() == 3
        assert await mine.consume() is True
        assert not mine.is_held and await mine.consume() is False and await mine.length() == 2
        assert await other.release() is True
        assert await mine.get(0) == b"1"
        assert await mine.consume()
        assert await mine.get(0) == b"2"
        assert await mine.consume()
        assert await mine.get(0) is None

    world.finish(body())
    assert left_behind(world) == []


def test_an_entry_of_a_dead_consumer_is_free_again() -> None:
    world = DataWorld()
    lost: list[float] = []

    async def body() -> None:
        mine = AsyncLockingQueue(world.clients[0], PATH, on_lost=lambda: lost.append(world.sim.now()))
        other = AsyncLockingQueue(world.clients[1], PATH)
        await mine.put(b"1")
        assert await mine.get() == b"1"
        first = mine.token
        world.clients[0].cut(60.0)
        assert await other.get() == b"1"
        assert first is not None and other.token is not None and other.token > first
        assert lost and lost[0] < world.sim.now() and not mine.is_held
        assert await mine.holds_lock() is False
        assert await mine.consume() is False
        assert await other.holds_lock() and await other.consume()

    world.finish(body())
    assert left_behind(world) == []


def test_an_entry_that_was_lost_is_claimed_anew() -> None:
    world = DataWorld(0, 1)
    client = world.clients[0]

    async def body() -> None:
        queue = AsyncLockingQueue(client, PATH)
        await queue.put(b"1")
        assert await queue.get() == b"1"
        first = queue.token
        client.cut(20.0)
        await world.sim.sleep(19.0)
        assert not queue.is_held
        assert await queue.get(10.0) == b"1"
        assert queue.is_held and queue.token is not None and first is not None and queue.token > first
        client.cut(9.5)
        await world.sim.sleep(9.2)
        assert not queue.is_held
        assert await queue.release() is False, "it was held until its lease ended, and not until now"

    world.finish(body())


def test_an_entry_released_without_a_connection_is_given_back_behind() -> None:
    world = DataWorld(0, 2)

    async def body() -> None:
        mine, other = (AsyncLockingQueue(client, PATH) for client in world.clients)
        await mine.put(b"1")
        assert await mine.get() == b"1"
        session = world.clients[0].session_id
        world.clients[0].cut(4.0)
        begun = world.sim.now()
        assert await mine.release() is True
        assert world.sim.now() - begun < 6.0
        assert await other.get(20.0) == b"1" and world.clients[0].session_id == session
        assert await other.consume()

    world.finish(body())


def test_consume_is_false_when_the_entry_is_gone() -> None:
    # K2: kazoo's consume says True.
    world = DataWorld()

    async def body() -> None:
        mine = AsyncLockingQueue(world.clients[0], PATH)
        await mine.put(b"1")
        await mine.get()
        assert world.server.intrude(f"{PATH}/entries/entry-100-0000000000")
        assert await mine.consume() is False and not mine.is_held
        await world.sim.sleep(1)
        assert left_behind(world) == []
        await mine.put(b"2")
        await mine.get()
        (claim,) = [path for path in world.server.paths() if "/claims/" in path]
        assert world.server.intrude(claim)
        assert await mine.holds_lock() is False
        with pytest.raises(LockLostError):
            mine.guard()
        assert await mine.consume() is False

    world.finish(body())


def test_put_all_puts_all_or_nothing() -> None:
    # K2: kazoo's put_all says nothing where it has stored nothing.
    world = DataWorld()

    async def body() -> None:
        mine = AsyncLockingQueue(world.clients[0], PATH)
        await mine.put_all([b"1", b"2", b"3"])
        assert await mine.length() == 3
        for wrong in ([b"4", "5"], b"45", "45"):
            with pytest.raises(TypeError):
                await mine.put_all(wrong)  # type: ignore[arg-type]
        world.server.set_counter(f"{PATH}/entries", 2)
        with pytest.raises(NumbersExhaustedError):
            await mine.put_all([b"4", b"5"])
        assert await mine.length() == 3
        await mine.put_all([])
        assert await mine.length() == 3

    world.finish(body())


@pytest.mark.parametrize("seed", range(10))
def test_a_timeout_of_get_is_a_total_and_leaves_nothing(seed: int) -> None:
    world = DataWorld(seed, 3)

    async def body() -> None:
        queues = [AsyncLockingQueue(client, PATH) for client in world.clients]
        await queues[0].put(b"1")
        assert await queues[0].get() == b"1"
        before = world.sim.now()
        waiting = [world.sim.spawn(queue.get(timeout=2.0), "waiter") for queue in queues[1:]]
        if seed % 2:
            world.clients[2].cut(5.0)
        assert [await task.join() for task in waiting] == [None, None]
        assert world.sim.now() - before == pytest.approx(2.0, abs=0.1)
        await world.sim.sleep(10)
        assert all("/waiting/" not in path for path in world.server.paths())
        assert world.server.watches() == []
        assert await queues[0].consume()

    world.finish(body())


def test_no_timeout_means_neither_waiting_for_an_entry_nor_for_a_connection() -> None:
    world = DataWorld(0, 1)

    async def body() -> None:
        queue = AsyncLockingQueue(world.clients[0], PATH)
        assert await queue.get(timeout=0) is None
        world.clients[0].cut(5.0)
        await world.sim.sleep(0.01)
        before = world.sim.now()
        with pytest.raises(ConnectionLostError, match="not tried"):
            await queue.get(timeout=0)
        assert world.sim.now() == before

    world.finish(body())


def test_a_new_entry_wakes_one_of_many_consumers() -> None:
    world = DataWorld(0, 12)
    asked: Tally[str] = Tally()

    async def body() -> None:
        queues = [AsyncLockingQueue(client, PATH) for client in world.clients]
        waiting = [world.sim.spawn(queue.get(), "waiter") for queue in queues[1:]]
        await world.sim.sleep(5)

        def note(what: str) -> None:
            asked[what.split(maxsplit=1)[0]] += 1

        for client in world.clients[1:]:
            client.on_request = note
        await queues[0].put(b"1")
        await world.sim.sleep(5)
        assert sum(task.done for task in waiting) == 1
        # The first lists, claims and leaves; the next looks at the line, watches, and lists.
        assert asked.total() <= 25, asked
        for task in waiting:
            task.cancel()
        await world.sim.sleep(5)

    world.finish(body())


def cancel_a_get(seed: int, claims: type[Claims] = Claims) -> None:
    """Cancel a consumer, while there is an entry or before there is one: nothing stays claimed."""
    world = DataWorld(seed)

    async def body() -> None:
        mine, other = (AsyncLockingQueue(client, PATH) for client in world.clients)
        mine._claims.__class__ = claims
        if seed % 2:
            await mine.put(b"1")
        task = world.sim.spawn(mine.get(), "victim", home=world.clients[0])
        await world.sim.sleep(world.sim.between(0.0, 0.25))
        if not seed % 2:
            await other.put(b"1")
            await world.sim.sleep(world.sim.between(0.0, 0.25))
        task.cancel()
        try:
            assert await task.join() == b"1"
            assert await mine.release()
        except TaskCancelled:
            await world.sim.sleep(1)
        assert await other.get(0) == b"1"
        assert await other.consume()
        await world.sim.sleep(1)

    world.finish(body())
    assert left_behind(world) == []


@pytest.mark.parametrize("seed", range(60))
def test_a_get_cancelled_at_any_await_claims_nothing(seed: int) -> None:
    cancel_a_get(seed)


def test_cancelling_finds_who_forgets_claims_whose_reply_was_lost() -> None:
    for seed in range(60):
        try:
            cancel_a_get(seed, ForgetsLostClaims)
        except (SimulationFailedError, AssertionError):
            return
    pytest.fail("nothing found")


def test_what_is_read_while_the_session_lives_proves_nothing_of_an_undecided_consume() -> None:
    world = DataWorld(0, 1)

    async def body() -> None:
        queue = AsyncLockingQueue(world.clients[0], PATH)
        await queue.put(b"1")
        await queue.get()
        lose_next_commit(world, world.clients[0])
        with pytest.raises(UndecidedError):
            await queue.consume()
        # It was lost on its way, and nobody holds the entry any more.
        assert await queue.get(5) == b"1" and await queue.consume() is True

    world.finish(body())


def test_a_timeout_of_consume_keeps_the_entry() -> None:
    world = DataWorld(3, 1)

    async def body() -> None:
        queue = AsyncLockingQueue(world.clients[0], PATH)
        await queue.put(b"1")
        await queue.get()
        world.clients[0].cut(4.0)
        await world.sim.sleep(0.01)
        with pytest.raises(RecipeTimeoutError):
            await queue.consume(timeout=1.0)
        assert await queue.consume(timeout=20.0) is True

    world.finish(body())
