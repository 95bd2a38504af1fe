"""A set shared out among a group, in virtual time, on running servers, and beside kazoo."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pytest
from finding import finds
from schedules import on_every_schedule
from sim_storm import Storm
from sim_world import World
from simulated import NO_FAULTS, Faults, TaskCancelled, faults_of

from zk_client import AsyncClient
from zk_client import Client as BlockingClient
from zk_recipes import AsyncLock, AsyncSetPartitioner, LockLostError, PartitionState, SetPartitioner
from zk_testing.member import ZooKeeperServer

PATH = "/group"
ITEMS = ["a", "b", "c", "d", "e"]
PATIENCE = 20.0


def partitioner(world: World, number: int = 0, **options: Any) -> AsyncSetPartitioner:
    options = {"identifier": f"member-{number}", "time_boundary": 1.0, **options}
    return AsyncSetPartitioner(world.clients[number], PATH, options.pop("items", ITEMS), **options)


def only_one_works(members: Sequence[AsyncSetPartitioner]) -> None:
    """No item is in two shares that may be worked on (in RELEASE one may still be at it)."""
    seen: dict[object, AsyncSetPartitioner] = {}
    for member in members:
        if member.acquired or member.release:
            for item in member._locks:
                assert item not in seen, f"{item} is worked on by {seen[item]} and {member}"
                seen[item] = member


def nobody_works_beside_another(working: Mapping[AsyncSetPartitioner, set[object]]) -> None:
    """No two owners work on one item, as far as these have not been told that it is over."""
    busy = [(member, items) for member, items in working.items() if not member.failed]
    for index, (member, items) in enumerate(busy):
        for other, others in busy[:index]:
            assert not items & others, f"the owners of {member} and {other} work on {items & others}"


def campaign(
    seed: int, kind: type[AsyncSetPartitioner] = AsyncSetPartitioner, *, members: int = 3, faults: Faults = NO_FAULTS
) -> World:
    """Let members come, work, be cancelled, go and fail; look on at every step."""
    storm = Storm(seed, members, faults=faults, troubles=6)
    world, sim = storm.world, storm.sim
    alive: list[AsyncSetPartitioner] = []
    stopped: list[AsyncSetPartitioner] = []
    # What their owners work on: from when they saw it was theirs until they have said that they stopped.
    working: dict[AsyncSetPartitioner, set[object]] = {}
    sim.always(lambda: only_one_works(alive))
    sim.always(lambda: nobody_works_beside_another(working))

    async def work(number: int) -> None:
        for _ in range(1 + seed % 2):
            await sim.sleep(sim.between(0.0, 5.0))
            until = sim.now() + sim.between(2.0, 15.0)
            member = kind(world.clients[number], PATH, ITEMS[:2], None, f"member-{number}", 1.0)
            alive.append(member)
            try:
                while not member.failed and sim.now() < until:
                    if member.release:
                        await sim.sleep(sim.between(0.0, 2.0))
                        working.pop(member, None)
                        member.release_set()
                        await sim.pause()
                    elif member.acquired:
                        working[member] = set(member)
                        await sim.sleep(1.0)
                    else:
                        await member.wait_for_acquire(5.0)
            finally:
                working.pop(member, None)
                try:
                    await member.finish()
                except TaskCancelled:
                    if member not in stopped or not member._task.done:
                        raise  # it was the owner who was cancelled
            assert member.failed and list(member) == []

    def body_cancelled() -> None:
        if going := [member for member in alive if not member.failed]:
            member = sim.choose(going)
            sim.note("trouble", f"cancels the body of {member!r}")
            stopped.append(member)
            member._task.cancel()

    storm.run(work, body_cancelled)
    assert [path for path in world.queue(PATH) if "__lock__" in path or "/party/" in path] == []
    assert all(member.failed for member in alive)
    return world


@on_every_schedule
def test_no_item_is_worked_on_by_two(seeds: range, caplog: pytest.LogCaptureFixture) -> None:
    for seed in seeds:
        campaign(seed, members=2 + seed % 2, faults=faults_of(rate=0.02, limit=3))
        assert [record for record in caplog.records if record.levelno >= logging.ERROR] == [], f"seed {seed}"


@pytest.mark.parametrize("is_connected", [True, False])
def test_a_member_cancelled_while_it_joins_leaves_nothing(is_connected: bool) -> None:
    for seed in range(100):
        world = World(seed, 1)

        async def body(world: World = world) -> None:
            client = world.clients[0]
            if not is_connected:
                client.cut(15.0)
                await world.sim.sleep(14.999)
                while client.session_id is not None:
                    await world.sim.sleep(0.0005)
            member = partitioner(world)
            while client.session_id is None:
                await world.sim.sleep(0.0005)
            await world.sim.sleep(world.sim.between(0.0, 0.2))
            member._task.cancel()
            with pytest.raises(TaskCancelled):
                await member.finish()
            assert member.failed
            await world.sim.sleep(1.0)
            assert [path for path in world.queue(PATH) if "/party/" in path] == []

        world.run(body(), clean=False)
        assert world.clients[0].leaks() == [] and world.server.watches() == []


class TrustsItsView(AsyncSetPartitioner):
    """A naive member: works on what it should have, whether or not somebody else still does."""

    async def _take(self, members: list[str]) -> Any:
        _, watch = await self._members()
        for name in self._share(members):
            self._locks[name] = Pretended(self._client, PATH)
        return watch


class Pretended(AsyncLock):
    is_acquired = property(lambda lock: True)  # type: ignore[assignment]


def test_the_search_finds_a_naive_partitioner() -> None:
    finds(lambda seed: campaign(seed, TrustsItsView))


def test_every_item_is_somebodys_when_the_group_is_at_rest() -> None:
    world = World(0, 3)

    async def body() -> None:
        members = [partitioner(world, number) for number in range(3)]
        for member in members:
            assert await member.wait_for_acquire()
        assert [sorted(map(str, member)) for member in members] == [["a", "d"], ["b", "e"], ["c"]]
        await members[0].finish()
        for member in members[1:]:
            while not member.release:
                await world.sim.sleep(0.1)
            assert list(member) == []
            member.release_set()
        await world.sim.sleep(0.1)
        for member in members[1:]:
            assert await member.wait_for_acquire()
        assert [sorted(map(str, member)) for member in members[1:]] == [["a", "c", "e"], ["b", "d"]]
        for member in members[1:]:
            await member.finish()

    world.run(body(), clean=False)


def test_members_of_one_name_get_different_shares() -> None:
    world = World(0, 2)

    async def body() -> None:
        members = [partitioner(world, number, identifier="same") for number in range(2)]
        shares = []
        for member in members:
            assert await member.wait_for_acquire()
            shares.append(set(member))
        assert shares[0] | shares[1] == set(ITEMS) and not shares[0] & shares[1]
        for member in members:
            await member.finish()

    world.run(body(), clean=False)


def test_a_member_that_is_cut_off_fails_before_others_take_over() -> None:
    world = World(0, 2)

    async def body() -> None:
        first, second = partitioner(world, 0), partitioner(world, 1)
        world.sim.always(lambda: only_one_works([first, second]))
        assert await first.wait_for_acquire() and await second.wait_for_acquire()
        world.clients[0].cut(60.0)
        while not second.release:
            await world.sim.sleep(0.1)
        assert first.failed and list(first) == []
        with pytest.raises(LockLostError):
            first.guard("a")
        second.release_set()
        while set(second) != set(ITEMS):
            await world.sim.sleep(0.1)
        await second.finish()
        await world.sim.sleep(90.0)
        assert first.failed
        await first.finish()

    world.run(body(), clean=False)


@pytest.mark.parametrize("state", [PartitionState.ACQUIRED, PartitionState.RELEASE])
def test_nothing_is_worked_on_after_the_lease_has_ended(state: PartitionState) -> None:
    world = World(0, 2)
    client = world.clients[0]

    async def body() -> None:
        first = await world.sim.spawn(join(), "first", home=client).join()
        second = partitioner(world, 1)
        if state is PartitionState.ACQUIRED:
            await second.finish()
        while first.state is not state:
            await world.sim.sleep(0.1)
        # It stands still, and nothing of it runs that could note that its time is over.
        client.freeze(12.0)
        await world.sim.sleep(9.5)
        assert first.state is PartitionState.FAILURE and list(first) == []
        await first.finish()
        await second.finish()

    async def join() -> AsyncSetPartitioner:
        first = partitioner(world, 0)
        await first.wait_for_acquire()
        return first

    world.run(body(), clean=False)


def test_a_finished_partitioner_leaves_nothing() -> None:
    world = World(0, 1)
    raised: list[int] = []

    class Flag:
        def set(self) -> None:
            raised.append(1)

    async def body() -> None:
        mine = partitioner(world, state_change_event=Flag())
        assert mine.allocating and mine.state_id == 0
        assert await mine.wait_for_acquire()
        assert mine.state is PartitionState.ACQUIRED and mine.state_id == 1
        assert mine.token("a") > 0 and mine.guard("a").path.startswith("/group/locks/a/")
        await mine.finish()
        assert mine.failed and mine.state_id == 2 and len(raised) == 2
        await mine.finish()
        await world.sim.sleep(1)

    world.run(body(), clean=False)
    assert world.server.paths() == ["/group", "/group/locks", *(f"/group/locks/{i}" for i in ITEMS), "/group/party"]
    assert world.clients[0].leaks() == [] and world.server.watches() == []


def test_an_item_held_elsewhere_does_not_stop_the_group() -> None:
    world = World(0, 2)

    async def body() -> None:
        foreign = AsyncLock(world.clients[1], "/group/locks/c")
        await foreign.acquire()
        mine = partitioner(world)
        assert not await mine.wait_for_acquire(10.0)
        assert mine.allocating and list(mine) == []
        await foreign.release()
        assert await mine.wait_for_acquire(10.0)
        await mine.finish()

    world.run(body(), clean=False)


def test_a_group_may_share_out_by_a_rule_of_its_own() -> None:
    world = World(0, 1)

    def none_for_me(identifier: str, members: Sequence[str], items: Sequence[str]) -> Iterable[str]:
        assert (identifier, list(members), list(items)) == ("member-0", ["member-0"], ITEMS)
        return ["e", "a"]

    async def body() -> None:
        mine = partitioner(world, partition_func=none_for_me)
        assert await mine.wait_for_acquire()
        assert list(mine) == ["e", "a"]
        await mine.finish()
        wrong = partitioner(world, partition_func=lambda *_: ["z"])
        assert not await wrong.wait_for_acquire()
        assert wrong.failed

    world.run(body(), clean=False)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"identifier": 1}, TypeError),
        ({"identifier": "a/b"}, ValueError),
        ({"items": ["a/b"]}, ValueError),
        ({"items": [""]}, ValueError),
        ({"time_boundary": -1}, ValueError),
        ({"max_reaction_time": "1"}, TypeError),
    ],
)
def test_bad_arguments_are_refused_at_once(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        partitioner(World(0, 1), **options)


def test_threads_share_out_a_set_of_numbers(make_client: Callable[..., BlockingClient]) -> None:
    changed = threading.Event()
    clients = make_client(), make_client()
    first = SetPartitioner(clients[0], PATH, range(4), None, "one", 0.1, 0.1, changed)
    assert first.wait_for_acquire(PATIENCE)
    assert list(first) == [0, 1, 2, 3]
    changed.clear()
    second = SetPartitioner(clients[1], PATH, range(4), None, "two", 0.1, 0.1)
    assert changed.wait(PATIENCE) and first.release
    first.release_set()
    assert second.wait_for_acquire(PATIENCE)
    while not first.acquired:
        first.wait_for_acquire(PATIENCE)
    assert [list(first), list(second)] == [[0, 2], [1, 3]]
    first.finish()
    second.finish()
    assert first.failed and clients[0].get_children(PATH + "/party") == []


def test_tasks_share_out_a_set(zk_server: ZooKeeperServer, zk_chroot: str) -> None:
    async def body() -> None:
        async with AsyncClient(zk_server.hosts + zk_chroot, 6.0) as client:
            async with AsyncSetPartitioner(client, PATH, ITEMS, None, "one", 0.1) as mine:
                assert await mine.wait_for_acquire(PATIENCE)
                assert list(mine) == ITEMS
            assert mine.failed

    asyncio.run(body())


def test_kazoo_and_ours_share_out_one_set(
    make_client: Callable[..., BlockingClient], zk_server: ZooKeeperServer, zk_chroot: str
) -> None:
    kazoo = pytest.importorskip("kazoo.client")
    theirs = kazoo.KazooClient(zk_server.hosts + zk_chroot, timeout=6.0)
    theirs.start()
    try:
        changed = threading.Event()
        ours = SetPartitioner(make_client(), PATH, ITEMS, None, "a-ours", 0.5, 0.1, changed)
        other = theirs.SetPartitioner(PATH, ITEMS, identifier="b-kazoo", time_boundary=0.5)
        ours.wait_for_acquire(PATIENCE)
        if list(ours) == ITEMS:  # Before kazoo's was there.
            while not ours.release:
                changed.wait(PATIENCE)
                changed.clear()
            ours.release_set()
            ours.wait_for_acquire(PATIENCE)
        other.wait_for_acquire(PATIENCE)
        while not ours.acquired:
            ours.wait_for_acquire(PATIENCE)
        assert [list(ours), list(other)] == [["a", "c", "e"], ["b", "d"]]
        other.finish()
        ours.finish()
    finally:
        theirs.stop()
        theirs.close()
