"""A lease that outlives its session, in virtual time and on running servers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from data_world import CancelledByTestError, DataWorld, lose_next_commit
from finding import finds
from schedules import on_every_schedule
from sim_world import World
from simulated import NO_FAULTS, Faults, faults_of

from zk_client import AsyncClient, ConfigurationError, TransactionFailedError
from zk_client import Client as BlockingClient
from zk_recipes import AsyncDurableLease, DurableLease, LockCancelledError, LockInUseError, LockLostError, LockTimeout
from zk_testing import EmbeddedServer, Settings
from zk_testing.member import ZooKeeperServer
from zk_wire import SetDataRequest, ZooKeeperError

PATH = "/leases/one"
HELD = PATH + "/held"


def lease(world: World, number: int = 0, duration: float = 5.0) -> AsyncDurableLease:
    return AsyncDurableLease(world.clients[number], PATH, duration, f"client-{number}")


def claims(world: World) -> list[str]:
    return [path for path in world.server.paths() if path.startswith(HELD + "/")]


def campaign(
    seed: int, kind: type[AsyncDurableLease] = AsyncDurableLease, *, clients: int = 3, faults: Faults = NO_FAULTS
) -> None:
    """Let clients acquire, renew, forget, release and be cancelled; look on at every step."""
    world = DataWorld(seed, clients, faults=faults)
    sim = world.sim
    leases = [kind(client, PATH, 5.0, f"client-{number}") for number, client in enumerate(world.clients)]
    tokens: list[int] = []

    def alone() -> None:
        holders = [lease for lease in leases if lease.is_acquired]
        assert len(holders) <= 1, f"held at once: {holders}"

    sim.always(alone)

    async def use(number: int) -> None:
        mine, client = leases[number], world.clients[number]
        port = client.port
        for _ in range(2):
            await sim.sleep(sim.between(0.0, 3.0))
            try:
                try:
                    if not await world.do(client, mine.acquire(timeout=sim.between(5.0, 40.0))):
                        continue
                except (CancelledByTestError, ZooKeeperError) as error:
                    held = mine.is_acquired and not isinstance(error, LockInUseError)
                    assert not held, "an acquire that failed holds the lease"
                    raise
                token, guard = mine.token, mine.guard()
                assert token is not None
                if mine.is_acquired:
                    assert token > max(tokens, default=0), f"token {token} after {tokens}"
                    tokens.append(token)
                await sim.sleep(sim.between(0.0, 7.0))
                if sim.random() < 0.5 and mine.is_acquired:
                    await world.do(client, mine.renew())
                    guard = mine.guard()
                others = any(other.is_acquired for other in leases if other is not mine)
                try:
                    await port.commit([guard, SetDataRequest("/protected", b"", -1)])
                except TransactionFailedError:
                    pass
                else:
                    assert not others, "a transaction guarded by an old lease went through"
                if sim.random() < 0.7:
                    await world.do(client, mine.release())
            except (CancelledByTestError, ZooKeeperError) as error:
                sim.note(client.name, f"gives up: {error!r}")

    async def use_all() -> None:
        world.server.ensure_path("/protected")
        users = [sim.spawn(use(number), f"user {number}", home=world.clients[number]) for number in range(clients)]
        for user in users:
            await user.join()
        # What was not given back ends by itself, when the server looks for such nodes the next time.
        await sim.sleep(5.0 + 2.0)

    sim.spawn(use_all(), "users")
    if faults.limit:
        sim.spawn(world.trouble(6), "trouble")
    sim.run()
    assert [path for path in world.server.paths() if path.count("/") > 3] == []
    assert [leak for client in world.clients for leak in client.leaks()] == []
    assert world.server.watches() == []


@on_every_schedule
def test_never_two_holders_of_a_durable_lease(seeds: range) -> None:
    for seed in seeds:
        campaign(seed, clients=2 + seed % 2, faults=faults_of(rate=0.04, limit=4))


class CountsFromTheReply(AsyncDurableLease):
    """A naive holder: its time begins when it hears of it, and its clock is the server's."""

    def _end(self, begun: float) -> float:
        return self._port.now() + self._duration


def test_the_search_finds_a_naive_durable_lease() -> None:
    finds(lambda seed: campaign(seed, CountsFromTheReply, faults=faults_of(rate=0.04, limit=4)), "held at once")


def test_a_durable_lease_outlives_its_session_and_ends_by_itself() -> None:
    world = World(0, 2)

    async def body() -> None:
        mine, other = lease(world, duration=60.0), lease(world, 1)
        assert await mine.acquire()
        assert 59.0 < mine.lease_remaining <= 60.0 and await other.holder() == "client-0"
        world.clients[0].cut(40.0)
        await world.sim.sleep(30.0)
        assert not world.server.is_alive(0x1000_0000_0000)
        assert mine.is_acquired and not await other.acquire(blocking=False)
        begun = world.sim.now()
        assert await other.acquire()
        assert 29.0 < world.sim.now() - begun < 31.0
        assert not mine.is_acquired
        with pytest.raises(LockLostError):
            mine.guard()
        assert await mine.release() is False
        assert await other.release() is True
        assert await other.holder() is None

    world.run(body(), clean=False)


@pytest.mark.parametrize("seed", range(30))
def test_a_lost_reply_never_costs_a_durable_lease(seed: int) -> None:
    world = World(seed, 1, faults=faults_of(rate=0.3, limit=1, kinds=("lose reply",)))

    async def body() -> None:
        mine = lease(world, duration=600.0)
        assert await mine.acquire()
        assert mine.is_acquired

    world.run(body(), clean=False)


@pytest.mark.parametrize("applied", [False, True])
def test_a_claim_of_which_nobody_heard_is_ours_at_once_and_not_waited_for(applied: bool) -> None:
    world = World(0, 1)
    client = world.clients[0]

    async def body() -> None:
        await client.port.ensure_path(HELD)
        mine = lease(world, duration=600.0)
        lose_next_commit(world, client, applied=applied)
        assert await mine.acquire(timeout=10.0)
        assert mine.is_acquired and len(claims(world)) == 1

    world.run(body(), clean=False)


@pytest.mark.parametrize("absence", [2.0, 2.5])
def test_a_claim_of_ours_whose_time_is_over_is_not_the_lease(absence: float) -> None:
    # The server keeps it for up to a second more: who is back by then has to wait, and claim anew.
    async def body(world: World) -> None:
        client = world.clients[0]
        await client.port.ensure_path(HELD)
        mine = lease(world, duration=3.0)
        lose_next_commit(world, client, applied=True, absence=absence)
        assert await mine.acquire(timeout=30.0)
        assert mine.is_acquired

    for seed in range(10):
        world = World(seed, 1)
        world.run(body(world), clean=False)


def test_what_cannot_be_given_back_now_is_given_back_behind() -> None:
    world = World(0, 2)

    async def body() -> None:
        mine, other = lease(world, duration=600.0), lease(world, 1)
        assert await mine.acquire()
        world.clients[0].cut(6.0)
        await mine.release()
        assert await other.acquire(timeout=60.0)
        await other.release()

    world.run(body(), clean=False)


def test_a_renewed_durable_lease_goes_on() -> None:
    world = World(0, 2)

    async def body() -> None:
        mine, other = lease(world), lease(world, 1)
        await mine.acquire()
        token = mine.token
        for _ in range(5):
            await world.sim.sleep(4.0)
            await mine.renew()
            await mine.check()
            assert not await other.acquire(blocking=False)
        assert mine.token == token
        await world.sim.sleep(6.0)
        with pytest.raises(LockLostError):
            await mine.renew()

    world.run(body(), clean=False)


def test_a_durable_lease_is_counted_from_the_sending_however_late_the_reply_is_read() -> None:
    world = World(0, 1)

    def stand_still(what: str) -> None:
        world.clients[0].on_request = None
        world.sim.call_at(world.sim.now() + 0.001, lambda: world.clients[0].freeze(3.0))

    async def body() -> None:
        mine = lease(world)
        await mine.acquire()
        await world.sim.sleep(1.0)
        world.clients[0].on_request = stand_still
        before = world.sim.now()
        await mine.renew()
        assert world.sim.now() - before >= 3.0
        assert mine.lease_remaining <= 5.0 - (world.sim.now() - before) + 1e-6
        await mine.release()

    world.run(body(), clean=False)


def test_a_block_is_cancelled_when_its_durable_lease_is_nearly_over() -> None:
    world = World(0, 1)
    ended: list[float] = []

    async def work(mine: AsyncDurableLease) -> None:
        async with mine:
            await world.sim.sleep(4.0)
            await mine.renew()
            try:
                await world.sim.sleep(3600.0)
            finally:
                assert 0 < mine.lease_remaining < 1.0
                ended.append(world.sim.now())

    async def body() -> None:
        mine = lease(world)
        with pytest.raises(LockLostError):
            await work(mine)
        assert 8.0 < ended[0] < 9.0 and not mine.is_acquired
        async with mine:
            await world.sim.sleep(1.0)
        await world.sim.sleep(10.0)

    world.run(body(), clean=False)


def test_a_durable_lease_deleted_by_a_stranger_is_noticed_when_one_asks() -> None:
    world = World(0, 1)

    async def body() -> None:
        mine = lease(world)
        await mine.acquire()
        world.server.intrude(claims(world)[0])
        with pytest.raises(LockLostError):
            await mine.check()
        assert not mine.is_acquired
        await mine.acquire()
        world.server.intrude(claims(world)[0])
        with pytest.raises(LockLostError):
            await mine.renew()
        await mine.acquire()
        world.server.intrude(claims(world)[0])
        assert await mine.release() is False

    world.run(body(), clean=False)


def test_who_gives_up_leaves_nothing_of_a_durable_lease() -> None:
    world = World(0, 3)

    async def body() -> None:
        first, second, third = (lease(world, number, 600.0) for number in range(3))
        await first.acquire()
        with pytest.raises(LockTimeout):
            await second.acquire(timeout=1.0)
        task = world.sim.spawn(second.acquire(), "second")
        waiting = world.sim.spawn(third.acquire(), "third")
        await world.sim.sleep(1.0)
        with pytest.raises(LockInUseError):
            await second.acquire()
        second.cancel()
        with pytest.raises(LockCancelledError):
            await task.join()
        waiting.cancel()
        await world.sim.sleep(1.0)
        assert [path for path in world.queue(PATH) if "__lock__" in path] == []
        assert world.server.watches() == []
        with pytest.raises(LockInUseError):
            await first.acquire()
        await first.release()

    world.run(body(), clean=False)
    assert world.clients[0].leaks() == []


def test_an_acquire_cancelled_at_any_moment_leaves_nothing() -> None:
    for moment in range(60):
        world = World(moment, 1)

        async def body(world: World = world, moment: int = moment) -> None:
            mine = lease(world, duration=600.0)
            task = world.sim.spawn(mine.acquire(), "acquire")
            await world.sim.sleep(moment / 200)  # to acquire takes less than the longest
            held = mine.is_acquired
            task.cancel()
            await world.sim.sleep(20.0)
            assert claims(world) == [] or held or mine.is_acquired
            assert [path for path in world.queue(PATH) if "__lock__" in path] == []

        world.run(body(), clean=False)


def test_a_timeout_and_a_cancellation_name_the_lease_and_the_whole_time() -> None:
    world = World(0, 3)

    async def body() -> None:
        first, second, third = (lease(world, number, 600.0) for number in range(3))
        await first.acquire()
        waiting = world.sim.spawn(second.acquire(timeout=60.0), "at the head of the queue")
        await world.sim.sleep(1.0)
        with pytest.raises(LockTimeout, match='lock "/leases/one" not acquired within 5 s'):
            await third.acquire(timeout=5.0)
        world.sim.call_at(world.sim.now() + 1.0, third.cancel)
        with pytest.raises(LockCancelledError, match='lock "/leases/one" was cancelled'):
            await third.acquire()
        await first.release()
        assert await waiting.join() and await second.release()

    world.run(body(), clean=False)


def test_a_lease_released_while_it_is_renewed_is_not_held() -> None:
    for seed in range(20):
        world = World(seed, 1)

        async def renew(mine: AsyncDurableLease) -> None:
            with pytest.raises(LockLostError):
                await mine.renew()

        async def body(world: World = world) -> None:
            mine = lease(world, duration=600.0)
            await mine.acquire()
            renewing = world.sim.spawn(renew(mine), "renew")
            await world.sim.pause()
            await mine.release()
            await renewing.join()
            assert not mine.is_acquired and mine.token is None

        world.run(body(), clean=False)


@pytest.mark.parametrize("how", ["time", "stranger", "check", "renew", "away"])
def test_a_holder_is_told_once_when_its_durable_lease_ends(how: str) -> None:
    world = World(0, 2)
    told: list[float] = []

    async def body() -> None:
        mine = AsyncDurableLease(world.clients[0], PATH, 60.0, on_lost=lambda: told.append(world.sim.now()))
        await mine.acquire()
        await world.sim.sleep(30.0)
        await mine.renew()
        begun = world.sim.now()
        await world.sim.sleep(40.0)
        assert told == []
        match how:
            case "stranger" | "check" | "renew":
                world.server.intrude(claims(world)[0])
                if how != "stranger":
                    with pytest.raises(LockLostError):
                        await (mine.check() if how == "check" else mine.renew())
                await world.sim.sleep(1.0)
            case "away":
                world.clients[0].cut(30.0)
                await world.sim.sleep(21.0)
            case _:
                await world.sim.sleep(21.0)
        assert len(told) == 1 and told[0] - begun < 60.0
        assert not mine.is_acquired and mine.token is None and not await mine.release()
        await world.sim.sleep(60.0)
        assert await mine.acquire() and await mine.release()
        await world.sim.sleep(100.0)
        assert len(told) == 1, "told of a lease that was released"

    world.run(body(), clean=False)
    assert world.clients[0].leaks() == [] and world.server.watches() == []


def test_only_one_of_those_who_wait_watches_a_durable_lease() -> None:
    world = World(0, 6)

    async def body() -> None:
        leases = [lease(world, number, 600.0) for number in range(6)]
        await leases[0].acquire()
        for mine in leases[1:]:
            world.sim.spawn(mine.acquire(), "waiter")
        await world.sim.sleep(2.0)
        assert [path for path in world.server.watches() if path.startswith(HELD)] == claims(world)
        had = set()
        for _ in leases:
            (holder,) = [mine for mine in leases if mine.is_acquired]
            had.add(holder)
            await holder.release()
            await world.sim.sleep(2.0)
        assert had == set(leases)

    world.run(body(), clean=False)


BAD = [("5", TypeError), (0, ValueError), (0.0001, ValueError), (1e12, ValueError)]


@pytest.mark.parametrize(("duration", "error"), BAD)
def test_a_duration_is_one_that_servers_can_keep(duration: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        lease(World(0, 1), 0, duration)


def test_a_server_without_nodes_with_a_ttl_is_named_as_the_reason() -> None:
    with EmbeddedServer(settings=Settings(ttl_nodes=False)) as server, BlockingClient(server.hosts) as client:
        with pytest.raises(ConfigurationError, match="extendedTypesEnabled"):
            DurableLease(client, PATH, 5.0).acquire()
        assert client.get_children(PATH + "/queue") == []


def test_threads_lease_across_sessions(make_client: Callable[..., BlockingClient]) -> None:
    first = make_client()
    mine = DurableLease(first, PATH, 60.0, "first")
    with mine:
        assert mine.is_acquired and mine.holder() == "first"
        mine.renew()
        mine.check()
    assert mine.holder() is None
    mine.acquire()
    first.stop()
    second = make_client()
    other = DurableLease(second, PATH, 60.0, "second")
    assert not other.acquire(blocking=False) and other.holder() == "first"
    (name,) = second.get_children(HELD)
    second.delete(f"{HELD}/{name}")
    assert other.acquire(timeout=10.0)
    assert other.release()
    assert second.get_children(HELD) == []


def test_tasks_lease_across_sessions(zk_server: ZooKeeperServer, zk_chroot: str) -> None:
    async def body() -> None:
        async with AsyncClient(zk_server.hosts + zk_chroot, 6.0) as client:
            async with AsyncDurableLease(client, PATH, 60.0, "one") as mine:
                assert mine.token is not None
                await mine.renew()
            assert await mine.holder() is None

    asyncio.run(body())
