"""kazoo's lease: what it promises, in virtual time, on running servers, and beside kazoo itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from data_world import CancelledByTestError, DataWorld, lose_next_commit
from finding import finds
from schedules import on_every_schedule, some
from sim_world import World
from simulated import NO_FAULTS, Faults, faults_of

from zk_client import AsyncClient, Client
from zk_recipes import (
    AsyncLock,
    AsyncMultiNonBlockingLease,
    AsyncNonBlockingLease,
    LockLostError,
    MultiNonBlockingLease,
    NonBlockingLease,
)
from zk_testing.member import ZooKeeperServer
from zk_wire import ConnectionLostError, SessionExpiredError, ZooKeeperError

PATH = "/leases/one"
HOLDER = PATH + "/lease_holder"
HOUR = timedelta(hours=1)
DAY = datetime(2026, 11, 22)  # noqa: DTZ001 - kazoo's clock has no zone


def lease(
    world: World,
    number: int = 0,
    seconds: float = 10.0,
    identifier: str | None = None,
    kind: type[AsyncNonBlockingLease] = AsyncNonBlockingLease,
) -> AsyncNonBlockingLease:
    """A lease of one client, by a clock that all share."""
    return kind(
        world.clients[number],
        PATH,
        timedelta(seconds=seconds),
        identifier or f"client-{number}",
        lambda: DAY + timedelta(seconds=world.sim.now()),
    )


Claiming = Callable[[World, int], AsyncNonBlockingLease | AsyncMultiNonBlockingLease]


def one_of(count: int) -> Claiming:
    """One of several leases, by a clock that all share."""

    def make(world: World, number: int) -> AsyncMultiNonBlockingLease:
        return AsyncMultiNonBlockingLease(
            world.clients[number],
            count,
            PATH,
            timedelta(seconds=10),
            f"client-{number}",
            lambda: DAY + timedelta(seconds=world.sim.now()),
        )

    return make


def compete(seed: int, make: Claiming = lease, faults: Faults = NO_FAULTS) -> None:
    """Let three clients claim again and again, and be cancelled; no claim may begin before the end of another's."""
    world = DataWorld(seed, 3, faults=faults)
    claims: dict[str | None, list[tuple[datetime, int]]] = {}

    async def claim(number: int) -> None:
        mine, client = make(world, number), world.clients[number]
        for _ in range(4):
            await world.sim.sleep(world.sim.between(0.0, 6.0))
            had = mine.end
            try:
                obtained = await world.do(client, mine.obtain())
            except (CancelledByTestError, ZooKeeperError) as error:
                world.sim.note(client.name, f"fails: {error!r}")
                assert mine.end in (None, had), "a claim that failed counts as made"
                lost = isinstance(error, LockLostError)
                assert not lost, "what nobody asked to hold is said to be lost"
                continue
            if obtained:
                world.sim.note(client.name, f"obtains {mine.path}")
                end = mine.end
                assert end is not None and end > DAY + timedelta(seconds=world.sim.now())
                claims.setdefault(mine.path, []).append((end, number))

    workers = [claim(number) for number in range(3)]
    for number, worker in enumerate(workers):
        world.sim.spawn(worker, f"claimer {number}")
    if faults.limit:
        world.sim.spawn(world.trouble(5), "trouble")
    world.sim.run()
    for path, ends in claims.items():
        for (before, one), (after, other) in pairwise(sorted(ends)):
            assert one == other or after - timedelta(seconds=10) >= before, (path, ends, seed)
    assert [path for path in world.queue(PATH) if "__lock__" in path] == []
    assert world.server.watches() == []
    assert [leak for client in world.clients for leak in client.leaks()] == []


@on_every_schedule
def test_nobody_gets_a_lease_that_another_has(seeds: range) -> None:
    for seed in seeds:
        compete(seed, faults=faults_of(rate=0.05, limit=4))


def test_nobody_gets_one_of_several_leases_that_another_has() -> None:
    for seed in some(5):
        compete(seed, one_of(2), faults_of(rate=0.05, limit=4))


class TrustsItsRead(AsyncNonBlockingLease):
    """A naive lease: reads the holder, then writes whatever stands there by now."""

    async def _claim(self, guard: AsyncLock) -> datetime | None:
        port = self._port
        await port.ensure_path(PATH)
        stat = await port.exists(HOLDER)
        now = self._utcnow()
        if stat is not None:
            data, _ = await port.get(HOLDER)
            if datetime.fromisoformat(json.loads(data or b"")["end"]) > now:
                return None
            await port.delete(HOLDER)
        self._end = now + self._duration
        end = self._end.isoformat(timespec="seconds")
        await port.create(HOLDER, json.dumps({"version": 1, "holder": "x", "end": end}).encode())
        return self._end

    async def obtain(self) -> bool:
        self._obtained = await self._claim(AsyncLock(self._client, PATH)) is not None
        return self._obtained


def test_the_search_finds_a_naive_lease() -> None:
    finds(lambda seed: compete(seed, lambda world, number: lease(world, number, kind=TrustsItsRead)))


@pytest.mark.parametrize("seed", range(20))
def test_a_lost_reply_never_costs_the_lease(seed: int) -> None:
    world = World(seed, 1, faults=faults_of(rate=0.3, limit=1, kinds=("lose reply",)))

    async def body() -> None:
        with suppress(ConnectionLostError, SessionExpiredError):  # Away for so long that nobody can say: ask again.
            assert await lease(world).obtain()
            return
        await world.sim.sleep(60)
        assert await lease(world).obtain()

    world.run(body(), clean=False)
    assert world.server.stat(HOLDER) is not None


@pytest.mark.parametrize("applied", [False, True])
def test_a_claim_that_was_lost_is_made_anew_and_one_that_stands_is_ours(applied: bool) -> None:
    # The second one: before it there is a claim of the same holder, which ends earlier.
    world = World(0, 1)
    client = world.clients[0]

    async def body() -> None:
        assert await lease(world).obtain()
        await world.sim.sleep(5.0)
        again = lease(world)
        begun = DAY + timedelta(seconds=world.sim.now())
        lose_next_commit(world, client, applied=applied)
        assert await again.obtain()
        data, _ = world.server.get(HOLDER)
        written = datetime.fromisoformat(json.loads(data or b"")["end"])
        assert again.end == written and written >= begun + timedelta(seconds=10)

    world.run(body(), clean=False)


def test_the_ensemble_agrees_before_a_claim_is_looked_up() -> None:
    world = World(0, 1)
    client = world.clients[0]
    asked: list[str] = []

    async def body() -> None:
        assert await lease(world).obtain()
        lose_next_commit(world, client, applied=True)
        lose = client.on_request
        assert lose is not None

        def listen(what: str) -> None:
            lose(what)
            if client.on_request is None:
                client.on_request = asked.append

        client.on_request = listen
        assert await lease(world).obtain()

    world.run(body(), clean=False)
    before = [earlier for earlier, what in pairwise(asked) if what == f"get {HOLDER}"]
    assert before == ["commit "]


def test_somebody_who_writes_beside_the_guard_is_not_overwritten() -> None:
    world = World(0, 1)
    client, server = world.clients[0], world.server
    end = (DAY + HOUR).isoformat()
    theirs = json.dumps({"version": 1, "holder": "stranger", "end": end}).encode()

    def intrude(what: str) -> None:
        if what.startswith("commit"):
            client.on_request = None
            server.set(server.open_session(), HOLDER, theirs)

    async def body() -> None:
        assert await lease(world, seconds=1.0).obtain()
        await world.sim.sleep(2.0)
        client.on_request = intrude
        assert not await lease(world).obtain()
        assert server.get(HOLDER)[0] == theirs

    world.run(body(), clean=False)


def test_claiming_does_not_wait_for_others() -> None:
    world = World(0, 2)

    async def body() -> None:
        guard = AsyncLock(world.clients[1], PATH)
        await guard.acquire()
        before = world.sim.now()
        assert not await lease(world).obtain()
        assert world.sim.now() - before < 1.0
        await guard.release()
        assert await lease(world).obtain()

    world.run(body(), clean=False)


def test_a_lease_ends_when_its_time_is_over_and_its_holder_may_claim_again_before() -> None:
    world = World(0, 2)

    async def body() -> None:
        first, second = lease(world), lease(world, 1)
        assert await first.obtain() and first
        assert not await second.obtain() and not second
        assert await lease(world, 1, identifier="client-0").obtain(), "the same identifier is the same holder"
        await world.sim.sleep(9)
        assert not await second.obtain()
        await world.sim.sleep(3)
        assert await second.obtain()

    world.run(body(), clean=False)


def test_a_claim_whose_guard_was_deleted_is_not_made() -> None:
    world = World(0, 2)
    mine = lease(world)

    async def body() -> None:
        guard = AsyncLock(world.clients[0], PATH)
        await guard.acquire()
        (node,) = world.queue(PATH)
        world.server.intrude(node)
        with pytest.raises(LockLostError):
            await mine._claim(guard)
        assert world.server.stat(HOLDER) is None

    world.run(body(), clean=False)


@pytest.mark.parametrize("text", [b"", b"[]", b'{"version": 2, "holder": "a", "end": "2026-01-01T00:00:00"}', b"\xff"])
def test_a_holder_of_another_format_is_left_alone(text: bytes) -> None:
    world = World(0, 1)

    async def body() -> None:
        port = world.clients[0].port
        await port.ensure_path(PATH)
        await port.create(HOLDER, text)
        assert not await lease(world).obtain()
        assert (await port.get(HOLDER))[0] == text

    world.run(body(), clean=False)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("relative", HOUR), ValueError),
        ((PATH, 3600), TypeError),
        ((PATH, timedelta(0)), ValueError),
        ((PATH, HOUR, b"bytes"), TypeError),
    ],
)
def test_bad_arguments_are_refused_at_once(arguments: tuple[Any, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        AsyncNonBlockingLease(World(0, 1).clients[0], *arguments)
    with pytest.raises((TypeError, ValueError)):
        MultiNonBlockingLease(World(0, 1).clients[0], 0, PATH, HOUR)


def test_leases_of_threads_outlive_the_session_that_made_them(make_client: Callable[..., Client]) -> None:
    first = make_client()
    assert NonBlockingLease(first, PATH, HOUR, "one")
    first.stop()
    second = make_client()
    assert not NonBlockingLease(second, PATH, HOUR, "two")
    data, stat = second.get(HOLDER)
    assert stat.ephemeral_owner == 0
    assert json.loads(data or b"")["holder"] == "one"
    assert second.get_children(PATH) == ["lease_holder"]


def test_as_many_get_one_as_there_are(make_client: Callable[..., Client]) -> None:
    client = make_client()
    got = [MultiNonBlockingLease(client, 2, PATH, HOUR, str(number)) for number in range(3)]
    assert [bool(one) for one in got] == [True, True, False]
    assert [one.path for one in got] == [PATH + "/0", PATH + "/1", None]


def test_tasks_claim_as_threads_do(zk_server: ZooKeeperServer, zk_chroot: str) -> None:
    async def body() -> None:
        async with AsyncClient(zk_server.hosts + zk_chroot, 6.0) as client:
            mine = AsyncNonBlockingLease(client, PATH, HOUR, "one")
            assert await mine.obtain()
            assert not await AsyncNonBlockingLease(client, PATH, HOUR, "two").obtain()

    asyncio.run(body())


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")  # kazoo's own
def test_kazoo_and_ours_respect_each_other(
    make_client: Callable[..., Client], zk_server: ZooKeeperServer, zk_chroot: str
) -> None:
    client = pytest.importorskip("kazoo.client")
    recipe = pytest.importorskip("kazoo.recipe.lease")
    theirs = client.KazooClient(zk_server.hosts + zk_chroot, timeout=6.0)
    theirs.start()
    try:
        ours = make_client()
        assert NonBlockingLease(ours, PATH, HOUR, "ours")
        assert not recipe.NonBlockingLease(theirs, PATH, HOUR, "kazoo")
        assert recipe.NonBlockingLease(theirs, "/leases/two", HOUR, "kazoo")
        assert not NonBlockingLease(ours, "/leases/two", HOUR, "ours")
        assert NonBlockingLease(ours, "/leases/two", HOUR, "kazoo")
    finally:
        theirs.stop()
        theirs.close()
