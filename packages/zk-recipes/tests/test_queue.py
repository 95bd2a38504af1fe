"""Queue in virtual time: every entry is got once, whatever is lost or cancelled, and in order."""

from __future__ import annotations

import logging
from collections import Counter as Tally
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager

import pytest
from data_world import (
    FAULTS,
    CancelledByTestError,
    DataWorld,
    end_the_session_at_the_next_commit,
    lose_next_commit,
)
from finding import finds
from schedules import on_every_schedule
from sim_world import Client
from simulated import Faults, TaskCancelled, faults_of

from zk_recipes import AsyncQueue, NumbersExhaustedError, RecipeTimeoutError, UndecidedError
from zk_recipes import queue as module
from zk_wire import ConnectionLostError, NodeExistsError, NoNodeError

PATH = "/queues/one"


class NaiveQueue(AsyncQueue):
    """Takes by a delete, and a node that is gone for somebody else's; puts again what was lost."""

    async def put(self, value: bytes, priority: int = 100, timeout: float | None = None) -> None:
        while True:
            try:
                await self._port.create(f"{PATH}/entry-{priority:03d}-", value, sequence=True, makepath=True)
            except ConnectionLostError:
                await self._port.sleep(0.1)
            else:
                return

    async def get(self, timeout: float | None = None) -> bytes | None:
        while True:
            try:
                names = sorted(await self._port.get_children(PATH))
                if not names:
                    return None
                data, _ = await self._port.get(f"{PATH}/{names[0]}")
                await self._port.delete(f"{PATH}/{names[0]}")
            except (ConnectionLostError, NoNodeError):
                await self._port.sleep(0.1)
            else:
                return data


class ForgetsTheCancelled(AsyncQueue):
    """Does not put back what was taken for somebody who is gone."""

    async def _put_back(self, found: object) -> None:
        pass


@contextmanager
def errors() -> Iterator[list[str]]:
    """What the recipe logs as an error: entries that may be lost, because their taker was cancelled and cut off."""
    logged: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logged.append(record.getMessage())

    handler = Handler(logging.ERROR)
    logger = logging.getLogger(module.__name__)
    logger.addHandler(handler)
    propagate, logger.propagate = logger.propagate, False
    try:
        yield logged
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


def search(seed: int, queue_type: type[AsyncQueue] = AsyncQueue, faults: Faults = FAULTS) -> None:
    """Let a client put entries and two get them, and count how often each entry was seen."""
    world = DataWorld(seed, 3, faults=faults)
    sim = world.sim
    allowed: dict[bytes, set[int]] = {}
    got: Tally[bytes] = Tally()
    producing = 1
    doubts: list[bytes] = []
    is_alone = "elect" not in faults.kinds  # else a server that lags may not know of what comes first

    def before(name: str, zxid: int) -> list[str]:
        """Entries that are more urgent, or older, and were there at that time."""
        earlier = [path for path in world.server.paths() if path.startswith(f"{PATH}/entry-")]
        found = [(path.rpartition("/")[2], world.server.stat(path)) for path in earlier]
        return [other for other, stat in found if other < name and stat is not None and stat.czxid <= zxid]

    names: dict[bytes, str] = {}
    seen = 0

    def look() -> None:
        nonlocal seen
        if world.server.zxid == seen:
            return
        seen = world.server.zxid
        for path in world.server.paths():
            if path.startswith(f"{PATH}/entry-"):
                names.setdefault(world.server.get(path)[0] or b"", path.rpartition("/")[2])

    sim.always(look)

    async def put(client: Client, number: int) -> None:
        nonlocal producing
        queue = queue_type(client, PATH)
        for turn in range(4):
            value = f"{number}.{turn}".encode()
            session = client.session_id
            try:
                await world.do(client, queue.put(value, 100 + turn % 2))
                allowed[value] = {1}
            except CancelledByTestError:
                allowed[value] = {0, 1}
            except UndecidedError:
                allowed[value] = {0, 1}
                assert not client.has(session), "in doubt while the session lives"
            await sim.sleep(sim.between(0.0, 0.05))
        producing -= 1

    async def get(client: Client) -> None:
        queue = queue_type(client, PATH)
        idle = 0
        while idle < 2:
            session, begun = client.session_id, world.server.zxid
            try:
                value = await world.do(client, queue.get())
            except CancelledByTestError:
                continue
            except UndecidedError as error:
                doubts.append(error.data or b"")
                assert not client.has(session), "in doubt while the session lives"
                continue
            if value is None:
                idle += not producing
                await sim.sleep(sim.between(0.0, 0.2 if producing else 30.0))
            else:
                got[value] += 1
                passed = before(names[value], begun)
                assert not passed or not is_alone, f"{value!r} is got, and {passed} is left"

    with errors() as logged:
        world.finish(
            put(world.clients[0], 0),
            get(world.clients[1]),
            get(world.clients[2]),
            world.trouble(5 if faults.limit else 0),
        )
    for path in world.server.paths():
        if path.startswith(PATH + "/"):
            data, _ = world.server.get(path)
            got[data or b""] += 1
    for value in doubts:
        allowed[value] = {0, 1}
    wrong = {value: got[value] for value in allowed if got[value] not in allowed[value]}
    lost = [value for value in wrong if got[value] == 0]
    if len(lost) == len(wrong) <= len(logged):
        return
    sim.refute(f"seen so often, and not once: {wrong}; logged: {logged}")


@on_every_schedule
def test_every_entry_is_got_once_whatever_goes_wrong(seeds: range) -> None:
    for seed in seeds:
        search(seed)


@pytest.mark.parametrize("queue_type", [NaiveQueue, ForgetsTheCancelled])
def test_the_search_finds_a_naive_queue(queue_type: type[AsyncQueue]) -> None:
    faults = FAULTS if queue_type is ForgetsTheCancelled else faults_of(0.2, 6, ("lose reply",))
    finds(lambda seed: search(seed, queue_type, faults))


# One at a time


def alone(body: Callable[[AsyncQueue, DataWorld], Coroutine[object, None, None]], seed: int = 0) -> DataWorld:
    """Run a body with one client and one queue."""
    world = DataWorld(seed, 1)
    world.finish(body(AsyncQueue(world.clients[0], PATH), world))
    return world


async def drain(queue: AsyncQueue) -> list[bytes]:
    found = []
    while (value := await queue.get()) is not None:
        found.append(value)
    return found


def test_entries_come_by_priority_and_then_in_the_order_they_were_put() -> None:
    async def body(queue: AsyncQueue, world: DataWorld) -> None:
        for value, priority in ((b"c", 100), (b"d", 100), (b"a", 0), (b"e", 999), (b"b", 99)):
            await queue.put(value, priority)
        assert await queue.length() == 5
        assert await queue.get() == b"a"
        await queue.put(b"first", 1)
        assert await drain(queue) == [b"first", b"b", b"c", b"d", b"e"]
        assert await queue.length() == 0

    alone(body)


def test_order_holds_where_the_numbers_wrap() -> None:
    async def body(queue: AsyncQueue, world: DataWorld) -> None:
        # Servers stick at 2147483647; what wrapped was written by others.
        world.server.set_counter(PATH, 2**31 - 2)
        values = [str(number).encode() for number in range(5)]
        for value in values[:2]:
            await queue.put(value)
        for value, number in zip(values[2:], ("-2147483648", "-2147483647", "-2147483646"), strict=True):
            world.server.create(world.server.open_session(), f"{PATH}/entry-100-{number}", value)
        assert await drain(queue) == values

    alone(body)


def test_a_queue_that_is_not_there_is_empty() -> None:
    async def body(queue: AsyncQueue, world: DataWorld) -> None:
        assert await queue.get() is None and await queue.length() == 0
        assert world.server.paths() == []

    alone(body)


def test_children_that_are_no_entries_are_left_alone() -> None:
    async def body(queue: AsyncQueue, world: DataWorld) -> None:
        port = world.clients[0].port
        for name in ("config", "entry-1-0000000001", "entry-100-1", "qn-0000000001"):
            await port.create(f"{PATH}/{name}", b"no", makepath=True)
        assert await queue.get() is None
        await queue.put(b"yes")
        assert await drain(queue) == [b"yes"]
        assert len(await port.get_children(PATH)) == 4

    alone(body)


@pytest.mark.parametrize("seed", range(40))
def test_an_entry_taken_for_somebody_who_was_cancelled_is_put_back(seed: int) -> None:
    world = DataWorld(seed, 2)
    sim = world.sim

    async def body() -> None:
        mine, other = (AsyncQueue(client, PATH) for client in world.clients)
        for value in (b"1", b"2", b"3"):
            await mine.put(value)
        task = sim.spawn(mine.get(), "victim", home=world.clients[0])
        await sim.sleep(sim.between(0.0, 0.08))
        task.cancel()
        first = []
        try:
            first.append(await task.join())
        except TaskCancelled:
            await sim.sleep(1)
        assert first + await drain(other) == [b"1", b"2", b"3"]

    world.finish(body())


def test_an_entry_that_may_be_lost_because_its_taker_was_cancelled_is_named_in_the_log() -> None:
    # Found by the search's seeds 216, 430 and 455: whoever is cancelled hears of no doubt, so nobody did.
    world = DataWorld(0, 1)
    client, sim = world.clients[0], world.sim

    def lose_reply(what: str) -> None:
        if what.startswith("commit"):
            client.on_request = None
            for connection in sim.world.network.connections_of(client.process):
                connection.deaf = True
            sim.call_at(sim.now() + 0.05, lambda: client.cut(40.0))

    async def body() -> None:
        queue = AsyncQueue(client, PATH)
        await queue.put(b"1")
        client.on_request = lose_reply
        task = sim.spawn(queue.get(), "victim", home=client)
        await sim.sleep(5)
        task.cancel()
        with pytest.raises(TaskCancelled):
            await task.join()
        assert await queue.get() is None

    with errors() as logged:
        world.finish(body())
    assert logged == [f'entry "entry-100-0000000000" of queue {PATH} may be lost: nobody waits for it any more']


def test_a_queue_is_not_listed_again_for_every_entry() -> None:
    world = DataWorld(0, 1)
    asked: Tally[str] = Tally()

    def note(what: str) -> None:
        for part in what.removeprefix("read ").split(", "):
            asked[part.split()[0]] += 1

    async def body() -> None:
        client = world.clients[0]
        queue = AsyncQueue(client, PATH)
        for number in range(20):
            await queue.put(str(number).encode())
        await world.sim.sleep(1)
        client.on_request = note
        assert len(await drain(queue)) == 20
        assert asked["get_children"] == 2  # at first, and when nothing was left
        assert asked["commit"] == 20 and asked["get"] <= 2 * 20 + 2

    world.finish(body())


def test_a_queue_deleted_and_created_again_is_listed_again() -> None:
    async def body(queue: AsyncQueue, world: DataWorld) -> None:
        for value in (b"1", b"2"):
            await queue.put(value)
        assert await queue.get() == b"1"
        await world.sim.sleep(1)
        for path in [path for path in reversed(world.server.paths()) if path.startswith(PATH)]:
            world.server.intrude(path)
        assert await queue.get() is None
        await queue.put(b"3")
        assert await drain(queue) == [b"3"]

    alone(body)


def test_a_server_that_has_no_numbers_left_is_told_of() -> None:
    async def body(queue: AsyncQueue, world: DataWorld) -> None:
        # Real servers stick at 2147483647: the name exists.
        world.server.set_counter(PATH, 2**31 - 1)
        await queue.put(b"last")
        world.server.set_counter(PATH, 2**31 - 1)
        with pytest.raises(NumbersExhaustedError, match="delete it and create it again") as caught:
            await queue.put(b"one more")
        assert caught.value.path == PATH and isinstance(caught.value.__cause__.error, NodeExistsError)  # type: ignore[union-attr]
        assert await drain(queue) == [b"last"]

    alone(body)


@pytest.mark.parametrize("seed", range(5))
def test_a_timeout_is_a_total(seed: int) -> None:
    async def body(queue: AsyncQueue, world: DataWorld) -> None:
        await queue.put(b"1")
        await world.sim.sleep(1)
        world.clients[0].cut(9.0)
        await world.sim.sleep(0.01)
        for operation in (queue.put(b"2", timeout=1.5), queue.get(timeout=1.5), queue.length(timeout=1.5)):
            before = world.sim.now()
            with pytest.raises(RecipeTimeoutError, match=r"did not succeed within 1.5 s"):
                await operation
            assert world.sim.now() - before == pytest.approx(1.5, abs=0.02)
        await world.sim.sleep(10)
        assert await drain(queue) == [b"1"]

    alone(body, seed)


@pytest.mark.parametrize("fate", ["changed", "deleted"])
def test_an_entry_that_is_touched_while_it_is_taken_is_not_given(fate: str) -> None:
    async def body(queue: AsyncQueue, world: DataWorld) -> None:
        client, server = world.clients[0], world.server
        await queue.put(b"1")
        await queue.put(b"2")
        path = world.queue(PATH)[0]

        def touch(what: str) -> None:
            if what.startswith("commit"):
                client.on_request = None
                if fate == "changed":
                    server.set(server.open_session(), path, b"other")
                else:
                    server.intrude(path)

        client.on_request = touch
        assert await drain(queue) == ([b"other", b"2"] if fate == "changed" else [b"2"])

    alone(body)


@pytest.mark.parametrize(
    ("applied", "again", "is_there"),
    [
        pytest.param(False, False, True, id="still there"),
        pytest.param(True, False, False, id="gone"),
        pytest.param(True, True, False, id="gone, and another of its name"),
    ],
)
def test_an_entry_is_proved_to_be_there_after_the_end_of_the_session(
    applied: bool, again: bool, is_there: bool
) -> None:
    async def body(queue: AsyncQueue, world: DataWorld) -> None:
        client, server = world.clients[0], world.server
        await queue.put(b"1")
        path, session = world.queue(PATH)[0], client.session_id
        assert session is not None
        end_the_session_at_the_next_commit(world, client, applied=applied)
        if again:
            world.sim.spawn(create_again(world, session, path), "stranger")
        if is_there:
            assert await queue.get() == b"1"
        else:
            with pytest.raises(UndecidedError) as undecided:
                await queue.get()
            assert undecided.value.data == b"1"
        assert await drain(queue) == ([b"again"] if again else [])
        assert server.is_over(session)

    async def create_again(world: DataWorld, session: int, path: str) -> None:
        while not world.server.is_over(session):
            await world.sim.sleep(0.5)
        world.server.create(world.server.open_session(), path, b"again")

    alone(body)


def test_what_is_read_while_the_session_lives_proves_nothing_of_an_undecided_get() -> None:
    # The request may still be under way, and the server that is asked may lag behind.
    async def body(queue: AsyncQueue, world: DataWorld) -> None:
        await queue.put(b"1")
        lose_next_commit(world, world.clients[0])
        session = world.clients[0].session_id
        with pytest.raises(UndecidedError) as caught:
            await queue.get()
        assert caught.value.data == b"1" and world.clients[0].session_id == session

    alone(body)


@pytest.mark.parametrize(
    ("value", "priority", "error", "message"),
    [
        ("text", 100, TypeError, "must be bytes, not str"),
        (b"x", 1000, ValueError, "must lie between 0 and 999, not 1000"),
        (b"x", -1, ValueError, "must lie between 0 and 999, not -1"),
        (b"x", 1.5, TypeError, "must be an int, not float"),
        (b"x", True, TypeError, "must be an int, not bool"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_sent(
    value: bytes, priority: int, error: type[Exception], message: str
) -> None:
    async def body(queue: AsyncQueue, world: DataWorld) -> None:
        with pytest.raises(error, match=message):
            await queue.put(value, priority)
        assert world.server.paths() == []

    alone(body)


def test_the_root_is_no_queue() -> None:
    with pytest.raises(ValueError, match="a node of its own"):
        AsyncQueue(DataWorld(0, 1).clients[0], "/")
