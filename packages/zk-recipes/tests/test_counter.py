"""Counter in virtual time: every addition counts once, whatever is lost; and what it keeps on the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest
from data_world import FAULTS, CancelledByTestError, DataWorld, lose_next_commit
from finding import finds
from schedules import on_every_schedule, some
from sim_world import Client
from simulated import Faults, faults_of

from zk_recipes import AsyncCounter, RecipeTimeoutError, UndecidedError, UnreadableDataError
from zk_wire import BadVersionError, ConnectionLostError, ZooKeeperError

PATH = "/numbers/one"
# Digits of this base tell how often each addition counted.
BASE = 8

MakeCounter: TypeAlias = "Callable[[Client, str], AsyncCounter[int] | NaiveCounter]"


class NaiveCounter:
    """Reads, and sets at the version read; tries again when the connection was lost, as K5 and C1 do."""

    def __init__(self, client: Client, path: str) -> None:
        self._port = client.port
        self._path = path

    async def add(self, value: int) -> int:
        while True:
            try:
                await self._port.ensure_path(self._path)
                data, stat = await self._port.get(self._path)
                after = int(data or b"0") + value
                await self._port.set(self._path, repr(after).encode(), stat.version)
            except (BadVersionError, ConnectionLostError):
                await self._port.sleep(0.1)
            else:
                return after


def search(seed: int, counter_type: MakeCounter = AsyncCounter, faults: Faults = FAULTS) -> DataWorld:
    """Let three clients add digits of their own, and look how often each is in the sum."""
    world = DataWorld(seed, 3, faults=faults)
    counted: dict[int, set[int]] = {}
    sums: list[int] = []
    doubts = 0

    async def work(number: int) -> None:
        nonlocal doubts
        client = world.clients[number]
        counter = counter_type(client, PATH)
        for turn in range(3):
            digit = 3 * number + turn
            session = client.session_id
            try:
                total = await world.do(client, counter.add(BASE**digit))
                sums.append(total)
                counted[digit] = {1}
                assert digits(total)[digit] == 1, f"{total} does not contain its own addition {digit}"
            except CancelledByTestError:
                counted[digit] = {0, 1}
            except UndecidedError:
                counted[digit] = {0, 1}
                doubts += 1
                assert not client.has(session), "in doubt while the session lives"
            except RecipeTimeoutError:
                counted[digit] = {0}
            await world.sim.sleep(world.sim.between(0.0, 0.05))

    world.finish(*(work(number) for number in range(3)), world.trouble(5 if faults.limit else 0))
    stored = world.server.stat(PATH) and world.server.get(PATH)[0]
    found = digits(int(stored or b"0"))
    for digit, allowed in counted.items():
        if found[digit] not in allowed:
            world.sim.refute(f"addition {digit} counted {found[digit]} times, not one of {allowed}")
    assert sorted(sums) == sorted(set(sums))
    world.finished = ["doubt"] * doubts
    return world


def digits(total: int) -> list[int]:
    return [total // BASE**place % BASE for place in range(12)]


@on_every_schedule
def test_every_addition_counts_once_whatever_goes_wrong(seeds: range) -> None:
    for seed in seeds:
        search(seed)


def test_only_the_end_of_a_session_leaves_doubt() -> None:
    # `search` fails when there is doubt while a session lives; here every request may lose its reply.
    doubts = 0
    for seed in some(20):
        doubts += len(search(seed, faults=faults_of(0.4, 10, ("lose reply", "lose request"))).finished)
    assert doubts


def test_what_is_read_while_the_session_lives_proves_nothing_of_an_undecided_addition() -> None:
    world = DataWorld(clients=1)

    async def body() -> None:
        counter = AsyncCounter(world.clients[0], PATH)
        await counter.add(1)
        lose_next_commit(world, world.clients[0])
        with pytest.raises(UndecidedError):
            await counter.add(1)
        assert await counter.get() == 1

    world.finish(body())


@pytest.mark.parametrize("kind", ["lose reply", "freeze", "cut"])
def test_the_search_finds_a_naive_counter(kind: str) -> None:
    finds(lambda seed: search(seed, NaiveCounter, faults_of(0.3, 6, (kind,))))


# What it keeps


def test_it_keeps_the_number_as_kazoo_does() -> None:
    world = DataWorld(clients=1)

    async def body() -> None:
        whole, half = AsyncCounter(world.clients[0], PATH), AsyncCounter(world.clients[0], "/half", 1.5)
        assert (await whole.get(), await half.get()) == (0, 1.5)
        assert await whole.add(5) == 5
        assert await whole.subtract(7) == -2
        assert (whole.pre_value, whole.post_value) == (5, -2)
        assert await half.add(2.0) == 3.5
        assert world.server.get(PATH)[0] == b"-2" and world.server.get("/half")[0] == b"3.5"

    world.finish(body())


def test_it_keeps_the_number_as_curator_does_when_asked() -> None:
    world = DataWorld(clients=1)

    async def body() -> None:
        counter = AsyncCounter(world.clients[0], PATH, 7, support_curator=True)
        assert await counter.get() == 7
        assert await counter.add(-9) == -2
        assert world.server.get(PATH)[0] == b"\xff\xff\xff\xfe"
        assert await counter.get() == -2
        with pytest.raises(OverflowError, match="2147483648 does not fit"):
            await counter.add(2**31 + 2)
        assert await counter.get() == -2

    world.finish(body())


def test_empty_data_is_the_default() -> None:
    world = DataWorld(clients=1)
    world.server.ensure_path(PATH)

    async def body() -> None:
        counter = AsyncCounter(world.clients[0], PATH, 10)
        assert await counter.get() == 10
        assert await counter.add(1) == 11

    world.finish(body())


@pytest.mark.parametrize(("data", "curator"), [(b"x", False), (b"1.5", False), (b"\x80", False), (b"123", True)])
def test_data_that_is_no_number_is_not_touched(data: bytes, curator: bool) -> None:
    world = DataWorld(clients=1)

    async def body() -> None:
        port = world.clients[0].port
        await port.create(PATH, data, makepath=True)
        counter = AsyncCounter(world.clients[0], PATH, support_curator=curator)
        with pytest.raises(UnreadableDataError, match=f'"{PATH}" holds'):
            await counter.add(1)
        with pytest.raises(ValueError):
            await counter.get()
        assert await port.get(PATH) == (data, (await port.exists(PATH)))

    world.finish(body())


def test_a_counter_that_was_deleted_begins_again_at_the_default() -> None:
    world = DataWorld(clients=1)

    async def body() -> None:
        counter = AsyncCounter(world.clients[0], PATH, 100)
        await counter.add(1)
        world.server.intrude(PATH)
        assert await counter.get() == 100
        assert await counter.add(1) == 101

    world.finish(body())


def test_a_parent_deleted_while_it_adds_is_created_again() -> None:
    world = DataWorld(clients=1)

    async def body() -> None:
        counter = AsyncCounter(world.clients[0], PATH)
        await counter.add(1)
        await world.sim.sleep(1)  # the marker goes
        for path in (PATH, PATH + "-__writes__", "/numbers"):
            assert world.server.intrude(path)
        assert await counter.add(1) == 1

    world.finish(body())


@pytest.mark.parametrize("version", [2**31 - 2, -3])
def test_additions_are_not_lost_where_the_version_wraps(version: int) -> None:
    # At version -1 a server compares nothing (up to 3.9); see `_register`.
    for seed in range(20):
        world = DataWorld(seed, 4)
        world.server.ensure_path(PATH)
        world.server.set_version(PATH, version)

        async def work(client: Client) -> None:
            counter = AsyncCounter(client, PATH)
            for _ in range(3):
                await counter.add(1)

        world.finish(*(work(client) for client in world.clients))
        assert world.server.get(PATH)[0] == b"12"


# Arguments and time


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"default": "1"}, "default must be an int or a float, not str"),
        ({"default": True}, "default must be an int or a float, not bool"),
        ({"default": 0.5, "support_curator": True}, "default must be an int, not float"),
    ],
)
def test_a_default_of_another_type_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        AsyncCounter(DataWorld(clients=1).clients[0], PATH, **arguments)  # type: ignore[call-overload]


def test_a_value_of_another_type_is_refused_before_anything_is_sent() -> None:
    world = DataWorld(clients=1)

    async def body() -> None:
        for default, value in ((0, 1.5), (0, True), (0.0, 1), (0, "1")):
            with pytest.raises(TypeError, match="it cannot add"):
                await AsyncCounter(world.clients[0], PATH, default).add(value)  # type: ignore[arg-type]
        assert world.server.paths() == []

    world.finish(body())


@pytest.mark.parametrize("seed", range(10))
def test_a_timeout_of_an_addition_is_a_total(seed: int) -> None:
    world = DataWorld(seed, 1)

    async def body() -> None:
        counter = AsyncCounter(world.clients[0], PATH)
        world.clients[0].cut(8.0)
        before = world.sim.now()
        with pytest.raises(RecipeTimeoutError, match=f'adding to counter "{PATH}" did not succeed within 3 s'):
            await counter.add(1, timeout=3.0)
        assert world.sim.now() - before == pytest.approx(3.0, abs=0.02)
        with pytest.raises(TimeoutError):
            await counter.get(timeout=1.0)
        await world.sim.sleep(10)
        assert await counter.get() == 0
        assert await counter.add(1, timeout=20.0) == 1

    world.finish(body())


def test_an_addition_costs_two_requests_that_are_waited_for() -> None:
    world = DataWorld(clients=1)
    asked: list[str] = []

    async def body() -> None:
        counter = AsyncCounter(world.clients[0], PATH)
        await counter.add(1)
        await world.sim.sleep(1)

        def note(what: str) -> None:
            asked.append(what.split(maxsplit=1)[0])

        world.clients[0].on_request = note
        await counter.add(1)
        assert asked[:2] == ["get", "commit"]

    world.finish(body())


def test_what_goes_wrong_is_an_error_of_ours() -> None:
    for error in (RecipeTimeoutError, UndecidedError, UnreadableDataError):
        assert issubclass(error, ZooKeeperError)
