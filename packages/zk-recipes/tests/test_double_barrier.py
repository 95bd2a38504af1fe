"""DoubleBarrier in virtual time: all in, then all out, round after round, whatever goes wrong."""

from __future__ import annotations

import pytest
from data_world import DataWorld
from finding import finds
from schedules import on_every_schedule, some
from sim_world import Client
from simulated import Faults, TaskCancelled, faults_of

from zk_recipes import AsyncDoubleBarrier, LockInUseError, LockLostError
from zk_recipes import double_barrier as module
from zk_wire import CreateMode, CreateRequest

PATH = "/barriers/two"
FAULTS = faults_of(rate=0.06, limit=4)
ROUND = f"{PATH}/round-0000000000"
Entering = module._Entering  # as it is, where a test puts a broken one into its place


class DeclaresBlindly(Entering):
    """Declares the round ready without looking whether those are still there whom it has seen."""

    async def _declare(self, port, place, there):  # type: ignore[no-untyped-def]
        others = sorted(set(there) - {module.READY, place.name})
        listed = sorted([place.name, *others[: self._needed - 1]])
        ready = CreateRequest(f"{place.path}/ready", " ".join(listed).encode(), (), CreateMode.PERSISTENT)
        try:
            await port.commit([ready])
        except module.TransactionFailedError:
            await port.sync(place.path)


class CountsOnly(Entering):
    """Enters when it sees enough members, as Curator's (C6): whoever looks late waits for ever."""

    async def enter(self, patience):  # type: ignore[no-untyped-def]
        port = patience.port
        self.place = place = await self._join(port)
        while True:
            patience.check()
            watch = port.watcher(patience.wake)
            try:
                there = await port.get_children(place.path, watch)
                if len(there) >= self._needed:
                    return sorted(there)
                while watch.event is None:
                    await patience.sleep()
            except module.PASSING:
                await patience.pause()
            finally:
                await port.shielded(watch.close())


class ForgetsTheOldNode(Entering):
    """Joins again after its session ended, beside what is left of the old one."""

    async def _bury(self, port, place):  # type: ignore[no-untyped-def]
        pass

    def abandon(self) -> None:
        self.place = None


class CountsOnTheGone(Entering):
    """Gives up without looking whether the others count on it."""

    async def give_up(self) -> list[str] | None:
        return None


def search(seed: int, faults: Faults = FAULTS, *, impatient: bool = False) -> None:
    """Let three members do two rounds together, and look who is in and out at every step."""
    world = DataWorld(seed, 3, faults=faults)
    sim, server = world.sim, world.server
    barriers = [AsyncDoubleBarrier(client, PATH, 3, client.name) for client in world.clients]
    owners: dict[str, int] = {}
    entering: set[int] = set()
    declared: set[str] = set()
    gave_up: set[int] = set()

    seen = 0

    def look() -> None:
        nonlocal seen
        if server.zxid == seen:
            return
        seen = server.zxid
        for path in server.paths():
            name = path.rpartition("/")[2]
            stat = server.stat(path)
            if stat is not None and stat.ephemeral_owner and name not in owners:
                owners[name] = int((server.get(path)[0] or b"").decode().rpartition("-")[2])
            if name == "ready" and path not in declared:
                declared.add(path)
                listed = [owners[member] for member in (server.get(path)[0] or b"").decode().split()]
                assert sorted(listed) == [0, 1, 2], f"{path} lists {listed}"
                assert not gave_up.intersection(listed), f"{path} counts on {gave_up}, who gave up"
                # The impatient may give up without a connection, and be counted; the line above says who may not.
                assert impatient or entering.issuperset(listed), (
                    f"{path} lists {listed}, but only {entering} are entering"
                )

    sim.always(look)

    async def member(number: int, client: Client, barrier: AsyncDoubleBarrier) -> None:
        await sim.sleep(sim.between(0.0, 0.05))
        # One who gives up without a connection may be counted, and the others go on: the impatient do not try for ever.
        turn = tries = 0
        while turn < 2 and (not impatient or tries < 4):
            tries += 1
            gave_up.discard(number)
            entering.add(number)
            try:
                entered = await barrier.enter(sim.between(0.1, 30.0) if impatient else None)
            except LockLostError:
                # The others went on without us, and so do we.
                entering.discard(number)
                turn += 1
                continue
            if not entered:
                entering.discard(number)
                if client.is_connected and not any(owners.get(name) == number for name in names(world)):
                    gave_up.add(number)
                await sim.sleep(sim.between(0.0, 0.5))
                continue
            entering.discard(number)
            inside = {other for other, others in enumerate(barriers) if others.participating}
            sim.note(client.name, f"is inside with {inside}")
            await sim.sleep(sim.between(0.0, 0.05 if sim.random() < 0.8 else 20.0))
            mine = barrier._inside
            assert mine is not None
            assert await barrier.leave() is True
            for other in barriers:
                theirs = other._inside
                assert not (theirs and other.participating and theirs[0].path == mine[0].path), (
                    "somebody is still inside"
                )
            turn += 1

    world.finish(
        *(
            member(number, client, barrier)
            for number, (client, barrier) in enumerate(zip(world.clients, barriers, strict=True))
        ),
        world.trouble(3 if faults.limit else 0, cancels=False),
    )
    if left := [path for path in server.paths() if path.rpartition("/")[2] in owners]:
        sim.refute(f"left behind: {left}")


def names(world: DataWorld) -> set[str]:
    return {path.rpartition("/")[2] for path in world.server.paths()}


@on_every_schedule
def test_members_enter_and_leave_together_whatever_goes_wrong(seeds: range) -> None:
    for seed in seeds:
        search(seed)


def test_impatient_members_leave_nothing_and_nobody_counts_on_them() -> None:
    for seed in some(10):
        search(seed, impatient=True)


def test_the_search_finds_a_naive_double_barrier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_Entering", CountsOnly)
    finds(search)


# One step at a time


def members(world: DataWorld, needed: int) -> list[AsyncDoubleBarrier]:
    return [AsyncDoubleBarrier(client, PATH, needed, client.name) for client in world.clients]


def test_members_are_inside_from_the_last_to_come_to_the_last_to_leave() -> None:
    world = DataWorld(0, 3)

    async def body() -> None:
        first, second, third = members(world, 3)
        early = [world.sim.spawn(barrier.enter(), "early") for barrier in (first, second)]
        await world.sim.sleep(5)
        assert not any(task.done for task in early) and not first.participating
        assert await third.enter() is True
        assert [await task.join() for task in early] == [True, True]
        assert first.participating and first.node_name is not None and first.guard().path.endswith(first.node_name)
        with pytest.raises(LockInUseError, match="leave first"):
            await first.enter()
        leaving = [world.sim.spawn(barrier.leave(), "leaves") for barrier in (first, second)]
        await world.sim.sleep(5)
        assert not any(task.done for task in leaving)
        assert await third.leave() is True
        assert [await task.join() for task in leaving] == [True, True]
        assert await third.leave() is True and third.node_name is None
        with pytest.raises(LockLostError):
            third.guard()

    world.finish(body())


def test_a_slow_member_enters_although_the_others_are_leaving() -> None:
    # C6: with Curator the slow one waits for ever.
    world = DataWorld(0, 3)

    async def body() -> None:
        first, second, slow = members(world, 3)
        waiting = world.sim.spawn(slow.enter(), "slow", home=world.clients[2])
        await world.sim.sleep(1)
        world.clients[2].freeze(5.0)
        others = [world.sim.spawn(barrier.enter(), "enters") for barrier in (first, second)]
        assert [await task.join() for task in others] == [True, True]
        leaving = [world.sim.spawn(barrier.leave(), "leaves") for barrier in (first, second)]
        assert await waiting.join() is True
        assert not any(task.done for task in leaving)
        assert await slow.leave() is True
        assert [await task.join() for task in leaving] == [True, True]

    world.finish(body())


def test_a_member_that_died_inside_has_left() -> None:
    # K7c: with kazoo the others go while somebody is still inside, or never.
    world = DataWorld(0, 2)

    async def body() -> None:
        mine, dies = members(world, 2)
        task = world.sim.spawn(dies.enter(), "enters")
        assert await mine.enter() and await task.join()
        world.clients[1].cut(60.0)
        before = world.sim.now()
        assert await mine.leave() is True
        assert 5 < world.sim.now() - before < 20
        assert not dies.participating
        assert await dies.leave() is True

    world.finish(body())


@pytest.mark.parametrize("entering", [Entering, DeclaresBlindly])
def test_a_round_is_not_ready_when_somebody_went_in_the_last_moment(
    entering: type[Entering], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_Entering", entering)
    world = DataWorld(0, 2)
    client = world.clients[1]
    went: list[str] = []
    sound: list[bool] = []

    def last_moment(what: str) -> None:
        if what.startswith("commit") and not went:
            (theirs,) = [watcher.path for watcher in world.clients[0].watchers if not watcher.path.endswith("ready")]
            world.server.intrude(theirs)
            went.append(theirs)

    def look() -> None:
        if not sound and world.server.stat(f"{ROUND}/ready") is not None:
            listed = (world.server.get(f"{ROUND}/ready")[0] or b"").decode().split()
            sound.append(all(world.server.stat(f"{ROUND}/{name}") is not None for name in listed))

    async def body() -> None:
        waits, comes = members(world, 2)
        waiting = world.sim.spawn(waits.enter(), "waits")
        await world.sim.sleep(1)
        client.on_request = last_moment
        assert await comes.enter() and await waiting.join()
        leaving = world.sim.spawn(waits.leave(), "leaves")
        assert await comes.leave() and await leaving.join()

    world.sim.always(look)
    world.finish(body())
    assert went and sound == [entering is Entering]


@pytest.mark.parametrize("entering", [Entering, ForgetsTheOldNode])
def test_what_is_left_of_an_ended_session_is_not_counted(
    entering: type[Entering], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_Entering", entering)
    counted_twice = 0
    for seed in range(60):
        world = DataWorld(seed, 2, timeout=4.0)

        async def body(world: DataWorld = world) -> None:
            nonlocal counted_twice
            (mine, _) = members(world, 2)
            entered = world.sim.spawn(mine.enter(timeout=30.0), "alone")
            await world.sim.sleep(1)
            # A server that is started again keeps sessions for their whole time-out, longer than this client does.
            world.clients[0].cut(5.0)
            await world.sim.sleep(3)
            world.server.restart(0.5)
            try:
                counted_twice += await entered.join()
                await mine.leave(timeout=5.0)
            except LockLostError:
                counted_twice += 1

        world.finish(body())
    assert bool(counted_twice) == (entering is ForgetsTheOldNode)


def test_a_member_that_gave_up_and_comes_again_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world = DataWorld(0, 2)

    async def body() -> None:
        (mine, _) = members(world, 2)
        # The client has not come to it yet, when the member comes again.
        monkeypatch.setattr(type(world.clients[0].port), "background_delete", lambda *_: None)
        entered = world.sim.spawn(mine.enter(timeout=2.0), "alone")
        await world.sim.sleep(1)
        world.clients[0].cut(3.0)
        assert await entered.join() is False
        assert len(world.queue(ROUND)) == 1
        assert await mine.enter(timeout=10.0) is False
        assert world.queue(ROUND) == []

    world.finish(body())


def test_one_too_many_waits_for_the_next_round() -> None:
    world = DataWorld(0, 4)

    async def body() -> None:
        barriers = members(world, 2)
        entering = [world.sim.spawn(barrier.enter(), "enters") for barrier in barriers[:3]]
        await world.sim.sleep(5)
        inside = [barrier for barrier in barriers if barrier.participating]
        assert len(inside) == 2 and sum(task.done for task in entering) == 2
        assert await barriers[3].enter() is True
        assert all([await task.join() for task in entering])
        leaving = [world.sim.spawn(barrier.leave(), "leaves") for barrier in barriers]
        assert all([await task.join() for task in leaving])
        rounds = {path for path in world.server.paths() if path.startswith(f"{PATH}/round-")}
        assert f"{PATH}/round-0000000001/ready" in rounds and len(rounds) <= 4

    world.finish(body())


def test_old_rounds_are_deleted() -> None:
    world = DataWorld(0, 1)

    async def body() -> None:
        (alone,) = members(world, 1)
        for _ in range(5):
            assert await alone.enter() and await alone.leave()
        assert world.server.paths()[2:] == [f"{PATH}/round-0000000004", f"{PATH}/round-0000000004/ready"]

    world.finish(body())


@pytest.mark.parametrize("entering", [Entering, CountsOnTheGone])
def test_a_member_that_gave_up_is_not_counted(entering: type[Entering], monkeypatch: pytest.MonkeyPatch) -> None:
    # CURATOR-80, CURATOR-318. And one that was counted before it could give up has entered.
    monkeypatch.setattr(module, "_Entering", entering)
    entered: set[tuple[bool, bool]] = set()
    for seed in range(40):
        world = DataWorld(seed, 2)

        async def body(world: DataWorld = world) -> None:
            mine, other = members(world, 2)
            task = world.sim.spawn(mine.enter(timeout=1.0), "gives up")
            await world.sim.sleep(world.sim.between(0.9, 1.01))
            theirs = world.sim.spawn(other.enter(timeout=5.0), "comes")
            both = await task.join(), await theirs.join()
            entered.add(both)
            leaving = world.sim.spawn(mine.leave(), "leaves")
            assert await other.leave() and await leaving.join()
            await world.sim.sleep(1)
            assert [path for path in world.server.paths() if path.startswith(ROUND + "/")] == (
                [f"{ROUND}/ready"] if both[1] else []
            )

        world.finish(body())
    assert (entered == {(True, True), (False, False)}) == (entering is Entering), entered


@pytest.mark.parametrize("seed", range(6))
def test_a_timeout_of_enter_is_a_total_and_leaves_nothing(seed: int) -> None:
    world = DataWorld(seed, 2)

    async def body() -> None:
        mine, _ = members(world, 2)
        before = world.sim.now()
        if seed % 2:
            world.sim.call_at(before + 1.0, lambda: world.clients[0].cut(6.0))
        assert await mine.enter(timeout=3.0) is False
        assert world.sim.now() - before == pytest.approx(3.0, abs=0.05)
        await world.sim.sleep(20)
        assert world.server.paths()[2:] == [ROUND]
        assert world.server.watches() == []

    world.finish(body())


def test_a_timeout_of_leave_is_a_total_and_we_have_left() -> None:
    world = DataWorld(0, 2)

    async def body() -> None:
        mine, other = members(world, 2)
        task = world.sim.spawn(other.enter(), "enters")
        assert await mine.enter() and await task.join()
        assert await mine.leave(timeout=2.0) is False
        assert not mine.participating and other.participating
        assert await other.leave() is True

    world.finish(body())


@pytest.mark.parametrize("seed", range(40))
def test_a_member_cancelled_at_any_await_leaves_no_node(seed: int) -> None:
    world = DataWorld(seed, 2)

    async def body() -> None:
        mine, _ = members(world, 2)
        task = world.sim.spawn(mine.enter(), "victim", home=world.clients[0])
        await world.sim.sleep(world.sim.between(0.0, 0.1))
        task.cancel()
        with pytest.raises(TaskCancelled):
            await task.join()
        await world.sim.sleep(1)
        assert all(path in (PATH.rpartition("/")[0], PATH, ROUND) for path in world.server.paths())
        assert await mine.enter(timeout=0.5) is False

    world.finish(body())


@pytest.mark.parametrize(
    ("arguments", "error"),
    [((0,), ValueError), (("2",), TypeError), ((True,), TypeError), ((2, 5), TypeError)],
)
def test_arguments_that_mean_nothing_are_refused(arguments: tuple[object, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        AsyncDoubleBarrier(DataWorld(0, 1).clients[0], PATH, *arguments)  # type: ignore[arg-type]
