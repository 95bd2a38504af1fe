"""SharedValue in virtual time: writes make one chain, and listeners hear its end, whatever goes wrong."""

from __future__ import annotations

from itertools import pairwise

import pytest
from data_world import FAULTS, CancelledByTestError, DataWorld
from finding import finds
from schedules import on_every_schedule, some
from simulated import Faults, faults_of

from zk_recipes import AsyncSharedValue, RecipeTimeoutError, SharedReading, UndecidedError
from zk_wire import BadVersionError, ConnectionLostError

PATH = "/values/one"


class NaiveValue(AsyncSharedValue):
    """Sets at the version it has read, and tries again when the connection was lost."""

    async def update(self, change, timeout=None):  # type: ignore[no-untyped-def]
        port = self._port
        while True:
            try:
                await port.ensure_path(PATH)
                data, stat = await port.get(PATH)
                await port.set(PATH, change(data or None), stat.version)
            except (BadVersionError, ConnectionLostError):
                await port.sleep(0.1)
            else:
                return


class DeafValue(AsyncSharedValue):
    """Reads before it watches."""

    async def _follow(self, patience, listening, listener):  # type: ignore[no-untyped-def]
        while not listening.stopped:
            seen = await self._read(patience)
            listener(seen and SharedReading(seen.data, seen.mzxid, seen.czxid, seen.version))
            watch = self._port.watcher(patience.wake)
            await self._port.exists(PATH, watch)
            while watch.event is None and not listening.stopped:
                await patience.sleep()
            await watch.close()
        patience.end()


def search(seed: int, value_type: type[AsyncSharedValue] = AsyncSharedValue, faults: Faults = FAULTS) -> None:
    """Let two clients append their names to one value, and a third listen."""
    world = DataWorld(seed, 3, faults=faults)
    sim = world.sim
    certain: list[str] = []
    excluded: list[str] = []
    heard: list[list[str]] = []
    done: list[int] = []

    fail = sim.refute

    async def work(number: int) -> None:
        client = world.clients[number]
        value = value_type(client, PATH)
        for turn in range(3):
            name = f"{number}.{turn}"
            session = client.session_id
            try:
                if number or turn % 2:
                    await world.do(client, value.update(lambda old, name=name: add(old, name)))  # type: ignore[misc]
                    certain.append(name)
                else:
                    seen = await world.do(client, value.get())
                    after = add(seen.data if seen else None, name)
                    written = await world.do(client, value.compare_and_set(seen, after))
                    (excluded if written is None else certain).append(name)
            except CancelledByTestError:
                pass
            except UndecidedError:
                assert not client.has(session), "in doubt while the session lives"
            await sim.sleep(sim.between(0.0, 0.05))
        done.append(number)

    async def listen() -> None:
        listening = value_type(world.clients[2], PATH).listen(lambda value: heard.append(names(value and value.data)))
        while len(done) < 2:
            await sim.sleep(1.0)
        await sim.sleep(120.0)
        listening.stop()

    world.finish(work(0), work(1), listen(), world.trouble(5 if faults.limit else 0))
    final = names(world.server.get(PATH)[0]) if world.server.stat(PATH) else []
    if len(set(final)) != len(final) or not set(certain) <= set(final) or set(excluded) & set(final):
        fail(f"the value is {final}; written for certain: {certain}, not written: {excluded}")
    if not heard or heard[-1] != final:
        fail(f"the listener heard {heard[-1:]} last, and the value is {final}")
    for before, after in pairwise(heard):
        if after[: len(before)] != before or after == before:
            fail(f"the listener heard {after} after {before}")


def add(old: bytes | None, name: str) -> bytes:
    return ",".join([*names(old), name]).encode()


def names(data: bytes | None) -> list[str]:
    return data.decode().split(",") if data else []


@on_every_schedule
def test_the_history_of_values_is_one_chain_whatever_goes_wrong(seeds: range) -> None:
    for seed in seeds:
        search(seed)


def test_a_listener_hears_the_last_value_whatever_goes_wrong() -> None:
    for seed in some(20):
        search(seed, faults=faults_of(0.3, 10, ("cut", "freeze", "hang")))


@pytest.mark.parametrize("value_type", [NaiveValue, DeafValue])
def test_the_search_finds_a_naive_value(value_type: type[AsyncSharedValue]) -> None:
    faults = faults_of(0.2, 6, ("lose reply",)) if value_type is NaiveValue else faults_of(0.0, 0)
    finds(lambda seed: search(seed, value_type, faults))


# Conditions


def test_a_value_is_read_written_and_compared() -> None:
    world = DataWorld()

    async def body() -> None:
        value, other = (AsyncSharedValue(client, PATH) for client in world.clients)
        assert await value.get() is None
        first = await value.compare_and_set(None, b"1")
        assert first is not None and first == await other.get()
        assert await other.compare_and_set(None, b"2") is None
        second = await other.set(b"2")
        assert second.mzxid > first.mzxid and second.czxid == first.czxid
        assert await value.compare_and_set(first, b"3") is None
        third = await value.compare_and_set(second, b"3")
        assert third is not None and third.data == b"3"
        assert (await other.update(lambda old: (old or b"") + b"!")).data == b"3!"

    world.finish(body())


def test_a_value_that_came_back_is_another_one() -> None:
    world = DataWorld()

    async def body() -> None:
        value = AsyncSharedValue(world.clients[0], PATH)
        first = await value.set(b"1")
        await value.set(b"2")
        await value.set(b"1")
        assert await value.compare_and_set(first, b"3") is None

    world.finish(body())


def test_a_recreated_node_is_another_one() -> None:
    world = DataWorld()
    told: list[SharedReading | None] = []

    async def body() -> None:
        value, other = (AsyncSharedValue(client, PATH) for client in world.clients)
        first = await value.set(b"1")
        listening = value.listen(told.append)
        await world.sim.sleep(1)
        world.server.intrude(PATH)
        await world.sim.sleep(1)
        again = await other.set(b"1")
        await world.sim.sleep(1)
        assert again.version == first.version and again.data == first.data
        assert await value.compare_and_set(first, b"2") is None
        assert told == [first, None, again]
        assert again.czxid > first.czxid
        listening.stop()

    world.finish(body())


@pytest.mark.parametrize("version", [2**31 - 2, -3])
def test_writes_are_conditional_where_the_version_wraps(version: int) -> None:
    for seed in range(20):
        world = DataWorld(seed, 3)
        world.server.ensure_path(PATH)
        world.server.set_version(PATH, version)

        async def work(number: int, world: DataWorld = world) -> None:
            value = AsyncSharedValue(world.clients[number], PATH)
            for turn in range(3):
                await value.update(lambda old, turn=turn: add(old, f"{number}.{turn}"))  # type: ignore[misc]

        world.finish(*(work(number) for number in range(3)))
        assert len(names(world.server.get(PATH)[0])) == 9


def test_what_change_raises_comes_out_and_nothing_is_written() -> None:
    world = DataWorld()

    async def body() -> None:
        value = AsyncSharedValue(world.clients[0], PATH)
        with pytest.raises(KeyError):
            await value.update(lambda _: {}["x"])
        for wrong in ("text", None):
            with pytest.raises(TypeError, match="must be bytes"):
                await value.set(wrong)  # type: ignore[arg-type]
            with pytest.raises(TypeError, match="must be bytes"):
                await value.compare_and_set(None, wrong)  # type: ignore[arg-type]
        assert await value.get() is None

    world.finish(body())


@pytest.mark.parametrize("seed", range(5))
def test_a_timeout_of_a_write_is_a_total(seed: int) -> None:
    world = DataWorld(seed, 1)

    async def body() -> None:
        value = AsyncSharedValue(world.clients[0], PATH)
        world.clients[0].cut(8.0)
        before = world.sim.now()
        with pytest.raises(RecipeTimeoutError):
            await value.set(b"1", timeout=3.0)
        assert world.sim.now() - before == pytest.approx(3.0, abs=0.02)
        with pytest.raises(RecipeTimeoutError):
            await value.compare_and_set(None, b"1", timeout=1.0)
        await world.sim.sleep(10)
        assert await value.get() is None

    world.finish(body())


# Listeners


def test_a_stopped_listener_is_not_called_and_leaves_nothing() -> None:
    world = DataWorld()
    told: list[object] = []

    async def body() -> None:
        value = AsyncSharedValue(world.clients[0], PATH)
        listening = value.listen(told.append)
        await world.sim.sleep(1)
        assert told == [None] and not listening.stopped
        listening.stop()
        assert listening.stopped
        await value.set(b"1")
        await world.sim.sleep(1)
        assert told == [None]
        assert world.clients[0].watchers == [] and world.clients[0].listeners == []

    world.finish(body())


def test_a_listener_that_raises_is_called_again(caplog: pytest.LogCaptureFixture) -> None:
    world = DataWorld()
    told: list[bytes] = []

    async def body() -> None:
        value = AsyncSharedValue(world.clients[0], PATH)
        await value.set(b"1")

        def listener(seen: SharedReading | None) -> None:
            assert seen is not None
            told.append(seen.data)
            raise KeyError(seen.data)

        listening = value.listen(listener)
        await world.sim.sleep(1)
        await value.set(b"2")
        await world.sim.sleep(1)
        listening.stop()

    world.finish(body())
    assert told == [b"1", b"2"]
    assert [record.message for record in caplog.records] == [f"a listener of {PATH} raised"] * 2


def test_a_listener_may_be_awaited_and_may_stop_itself() -> None:
    world = DataWorld()
    told: list[bytes] = []

    async def body() -> None:
        value = AsyncSharedValue(world.clients[0], PATH)
        await value.set(b"1")

        async def listener(seen: SharedReading | None) -> None:
            assert seen is not None
            told.append(seen.data)
            await world.sim.sleep(1)
            listening.stop()

        listening = value.listen(listener)
        await world.sim.sleep(2)
        await value.set(b"2")
        await world.sim.sleep(2)

    world.finish(body())
    assert told == [b"1"]
