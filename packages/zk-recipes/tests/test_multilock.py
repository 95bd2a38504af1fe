"""Several locks held together, in virtual time: all or none, in one order, in one time, and lost together."""

from __future__ import annotations

import pytest
from finding import finds, meets
from schedules import on_every_schedule
from sim_storm import Storm
from sim_world import FAULTS, TaskCancelled, World
from simulated import Faults

from zk_recipes import (
    AsyncLock,
    AsyncMultiLock,
    LockCancelledError,
    LockInUseError,
    LockLostError,
    LockTimeout,
    Released,
)

ABC = ["/c", "/a", "/b"]


def locks(world: World, client: int = 0, paths: list[str] | None = None, **options: object) -> AsyncMultiLock:
    return AsyncMultiLock(world.clients[client], paths or ABC, f"client-{client}", **options)  # type: ignore[arg-type]


def run(world: World, *bodies: object) -> None:
    """Run, and find no node nor watch left in any queue."""
    world.run(*bodies, clean=False)  # type: ignore[arg-type]
    assert [path for path in world.server.paths() if path not in ABC] == []
    assert world.leaks() == []


def test_all_are_taken_in_the_order_of_their_paths() -> None:
    world = World()

    async def body() -> None:
        mine = locks(world)
        assert mine.paths == ("/a", "/b", "/c") and mine.tokens == {} and not mine.is_acquired
        async with mine:
            assert mine.is_acquired and mine.lease_remaining > 0
            assert list(mine.tokens) == ["/a", "/b", "/c"]
            assert mine.tokens["/a"] < mine.tokens["/b"] < mine.tokens["/c"]
            for path in ABC:
                assert await AsyncLock(world.clients[1], path).acquire(blocking=False) is False
            with pytest.raises(LockInUseError):
                await mine.acquire()
        assert not mine.is_acquired and mine.tokens == {}

    run(world, body())


@pytest.mark.parametrize(
    ("paths", "error"),
    [([], ValueError), (["/a", "/a"], ValueError), ("/a", TypeError), (["a"], ValueError)],
)
def test_paths_that_mean_nothing_are_refused(paths: list[str], error: type[Exception]) -> None:
    with pytest.raises(error):
        AsyncMultiLock(World().clients[0], paths)


def test_without_blocking_all_or_none_are_held() -> None:
    world = World()

    async def body() -> None:
        mine = locks(world)
        async with AsyncLock(world.clients[1], "/c"):
            assert await mine.acquire(blocking=False) is False
            assert not mine.is_acquired
            assert await AsyncLock(world.clients[1], "/a").acquire(blocking=False) is True
        assert await mine.acquire(blocking=False) is False

    world.run(body(), clean=False)


def test_a_timeout_over_several_locks_is_one_total_and_keeps_none() -> None:
    world = World(clients=4)

    async def hold(client: int, path: str, seconds: float) -> None:
        async with AsyncLock(world.clients[client], path):
            await world.sim.sleep(seconds)

    async def body() -> None:
        await world.sim.sleep(0.5)
        mine = locks(world)
        before = world.sim.now()
        with pytest.raises(LockTimeout, match='lock "/c" not acquired within 4 s') as caught:
            await mine.acquire(timeout=4.0)
        assert world.sim.now() - before == pytest.approx(4.0, abs=0.02)
        assert caught.value.timeout == 4.0 and not mine.is_acquired
        await world.sim.sleep(0.1)
        assert world.queue("/a") == [] == world.queue("/b") and len(world.queue("/c")) == 1
        assert await mine.acquire(timeout=20)
        await mine.release()

    run(world, hold(1, "/a", 1.5), hold(2, "/b", 3.0), hold(3, "/c", 9.0), body())


def test_cancel_ends_a_wait_for_any_of_them() -> None:
    world = World()

    async def body() -> None:
        mine = locks(world)
        mine.cancel()  # nobody waits: nothing happens, now or later
        async with AsyncLock(world.clients[1], "/b"):
            task = world.sim.spawn(expect(mine), "waiter")
            await world.sim.sleep(1)
            mine.cancel()
            await task.join()
        assert await mine.acquire(timeout=1)
        await mine.release()

    async def expect(mine: AsyncMultiLock) -> None:
        with pytest.raises(LockCancelledError, match='lock "/b"'):
            await mine.acquire()

    run(world, body())


def test_a_release_is_in_reverse_and_says_what_came_of_each() -> None:
    world = World()
    deleted: list[str] = []

    def note(what: str) -> None:
        if what.startswith("delete "):
            deleted.append(what[7:9])

    world.clients[0].on_request = note

    async def body() -> None:
        mine = locks(world)
        assert await mine.release() == {} and not await mine.release()
        await mine.acquire()
        released = await mine.release()
        assert released == {"/c": True, "/b": True, "/a": True} and released
        assert deleted == ["/c", "/b", "/a"]
        await mine.acquire()
        world.server.intrude(world.queue("/b")[0])
        released = await mine.release()
        assert isinstance(released, Released) and released == {"/c": True, "/b": False, "/a": True} and not released

    run(world, body())


@pytest.mark.parametrize("told", [True, False])
def test_when_one_is_lost_all_are_given_up(told: bool) -> None:
    world = World()
    seen: list[tuple[bool, int]] = []

    async def body() -> None:
        mine = locks(world, on_lost=lambda: seen.append((mine.is_acquired, len(world.queue("/a")))) if told else None)
        await mine.acquire()
        guards = mine.guard()
        assert [guard.path[:3] for guard in guards] == ["/a/", "/b/", "/c/"]
        await mine.check()
        await world.sim.sleep(1)
        world.server.intrude(world.queue("/b")[0])
        await world.sim.sleep(1)
        # The others were still there when the holder was told, and are not any more.
        assert seen == ([(False, 1)] if told else [])
        assert not mine.is_acquired and mine.lease_remaining == 0.0
        assert [world.queue(path) for path in ABC] == [[], [], []]
        with pytest.raises(LockLostError):
            mine.guard()
        assert not await mine.release()
        assert await mine.acquire(timeout=5)
        assert await mine.release()

    run(world, body())


def test_check_finds_which_one_a_stranger_took() -> None:
    world = World()

    async def body() -> None:
        mine = locks(world)
        await mine.acquire()
        world.server.intrude(world.queue("/b")[0])
        assert mine.is_acquired
        with pytest.raises(LockLostError, match='lock "/b" is not held: its node is gone'):
            await mine.check()
        assert not mine.is_acquired
        # Lost, and nobody was told: the object can take them anew without a release.
        assert await mine.acquire(timeout=5)
        await mine.release()

    run(world, body())


def test_the_holder_is_told_before_anybody_else_can_hold() -> None:
    world = World()
    told: list[float] = []

    async def body() -> None:
        mine = locks(world, on_lost=lambda: told.append(world.sim.now()))
        await mine.acquire()
        deadline = world.sim.now() + mine.lease_remaining
        world.clients[0].cut(9.5)
        await AsyncLock(world.clients[1], "/a").acquire()
        assert len(told) == 1 and told[0] <= deadline + 1e-3

    world.run(body(), clean=False)


def test_a_waiter_that_loses_its_first_lock_takes_them_all_again() -> None:
    world = World()

    async def body() -> None:
        mine = locks(world)
        other = AsyncLock(world.clients[1], "/c")
        await other.acquire()
        task = world.sim.spawn(mine.acquire(timeout=60), "waiter")
        await world.sim.sleep(1)
        world.clients[0].cut(15)
        await world.sim.sleep(20)
        await other.release()
        assert await task.join() is True
        assert mine.is_acquired
        await mine.check()
        await mine.release()

    run(world, body())


@pytest.mark.parametrize("seed", range(60))
def test_an_acquire_of_several_cancelled_at_any_await_leaves_none(seed: int) -> None:
    world = World(seed)

    async def work() -> None:
        async with locks(world):
            await world.sim.sleep(1)

    async def body() -> None:
        task = world.sim.spawn(work(), "victim", home=world.clients[0])
        await world.sim.sleep(world.sim.between(0.0, 0.2))
        task.cancel()
        with pytest.raises(TaskCancelled):
            await task.join()
        mine = locks(world, 1)
        assert await mine.acquire(timeout=5)
        await mine.release()

    run(world, body())


def test_the_block_of_several_is_cut_short_before_a_lease_ends() -> None:
    world = World()

    async def work() -> None:
        async with locks(world):
            world.clients[0].cut(30)
            await world.sim.sleep(100)

    async def body() -> None:
        with pytest.raises(LockLostError, match="the block was cancelled"):
            await work()
        assert world.sim.now() < 10.0

    run(world, body())


# The search


class AsListed(AsyncMultiLock):
    """Naive: takes the locks in the order in which they were given."""

    def __init__(self, client: object, paths: list[str], *args: object, **options: object) -> None:
        super().__init__(client, paths, *args, **options)  # type: ignore[arg-type]
        self._locks.sort(key=lambda lock: paths.index(lock.path))


class KeepsWhatItHas(AsyncMultiLock):
    """Naive: leaves what it took to the session's end when it does not get all."""

    def _drop(self) -> None:
        pass


def search(seed: int, kind: type[AsyncMultiLock] = AsyncMultiLock, *, faults: Faults = FAULTS) -> set[str]:
    """Let three or four clients take two or three of three locks, in the order in which the seed lists them."""
    storm = Storm(seed, 3 + seed % 2, faults=faults)
    sim, server = storm.sim, storm.server
    every: list[AsyncMultiLock] = []
    tokens: dict[str, int] = dict.fromkeys(ABC, 0)
    seen: set[str] = set()

    def exclusive() -> None:
        taken: list[str] = []
        for one in every:
            if one.is_acquired:
                taken.extend(one.paths)
        assert len(taken) == len(set(taken)), f"held twice at once: {sorted(taken)}"

    sim.always(exclusive)

    async def body(number: int) -> None:
        paths = list(ABC)
        sim_order = sorted(paths, key=lambda _: sim.random())[: 2 + int(sim.random() * 2)]
        told = (lambda: seen.add("told")) if sim.random() < 0.5 else None
        mine = kind(storm.clients[number], sim_order, f"client-{number}", on_lost=told)
        every.append(mine)
        for _ in range(2):
            await sim.sleep(sim.between(0.0, 0.1))
            try:
                await mine.acquire(timeout=sim.between(0.5, 60.0) if sim.random() < 0.2 else None)
            except LockTimeout:
                seen.add("timeout")
                continue
            try:
                seen.add("held")
                if mine.is_acquired:
                    for path, token in mine.tokens.items():
                        assert token > tokens[path], f"a token of {path} is not greater than all before"
                        tokens[path] = token
                await sim.sleep(sim.between(0.0, 0.1 if sim.random() < 0.8 else 20.0))
            finally:
                await mine.release()

    def intrude() -> None:
        queue = storm.ephemerals(sim.choose(ABC) + "/")
        if len(queue) > 1:
            server.intrude(queue[-1])

    storm.run(body, intrude)
    return seen


@on_every_schedule
def test_several_locks_exclude_and_never_deadlock(seeds: range) -> None:
    seen: set[str] = set()
    for seed in seeds:
        seen |= search(seed)
    assert "held" in seen or len(seeds) < 2


def test_the_search_of_several_locks_meets_losses_and_timeouts() -> None:
    meets(search, {"held", "timeout", "told"})


@pytest.mark.parametrize(("kind", "symptom"), [(AsListed, "waiting"), (KeepsWhatItHas, "left behind|waiting")])
def test_the_search_finds_a_naive_multi_lock(kind: type[AsyncMultiLock], symptom: str) -> None:
    finds(lambda seed: search(seed, kind), symptom, besides=(LockInUseError,))
