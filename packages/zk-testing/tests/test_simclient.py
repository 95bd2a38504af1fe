"""The client of the simulation: what goes wrong with it is what can really go wrong."""

from __future__ import annotations

import contextlib

import pytest
from sim_stage import Client, make, run

from zk_testing.sim import TaskCancelled
from zk_testing.simclient import Faults
from zk_testing.simserver import SimulatedServer
from zk_wire import (
    OPEN_ACL_UNSAFE,
    ConnectionLostError,
    CreateMode,
    CreateRequest,
    CreateResult,
    EventType,
    NoNodeError,
    OperationTimeoutError,
    Outcome,
    SessionExpiredError,
)


def test_ephemeral_nodes_go_with_an_expired_session_and_its_watchers_are_told() -> None:
    async def body(client: Client, server: SimulatedServer) -> None:
        port = client.port
        old = port.session_id
        await port.create("/a", ephemeral=True)
        watch = port.watcher()
        await port.get("/a", watch)
        client.cut(30.0)
        event = await watch.wait()
        assert event is not None and (event.type, event.state) == (EventType.NONE, "expired")
        await port.sleep(1)
        assert port.state == "connected" and port.session_id != old
        assert server.paths() == []

    run(body)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("trouble", ["cut", "freeze", "hang"])
def test_the_lease_ends_before_the_server_gives_the_session_up(seed: int, trouble: str) -> None:
    simulation, server, (client,) = make(seed)
    expired: list[float] = []

    def check() -> None:
        if client.session_id is not None and not server.is_alive(client.session_id):
            expired.append(simulation.now())
            assert client.lease_remaining <= 0

    async def body() -> None:
        await simulation.sleep(1)
        client.hang() if trouble == "hang" else getattr(client, trouble)(25.0)
        await simulation.sleep(60)

    simulation.always(check)
    simulation.spawn(body(), "body")
    simulation.run()
    assert expired or trouble == "hang"


def test_a_session_survives_a_short_absence_with_its_nodes_and_watches() -> None:
    async def body(client: Client, server: SimulatedServer) -> None:
        port = client.port
        old = port.session_id
        await port.create("/a", ephemeral=True)
        watch = port.watcher()
        await port.get("/a", watch)
        client.cut(5.0)
        server.intrude("/a")
        assert await watch.wait(4.0) is None
        event = await watch.wait()
        assert event is not None and event.type is EventType.DELETED
        assert port.session_id == old

    run(body)


def test_nothing_of_a_frozen_client_runs_but_the_clock_does() -> None:
    async def body(client: Client, server: SimulatedServer) -> None:
        port = client.port
        client.freeze(7.0)
        before = port.now()
        await port.sleep(0.1)
        assert port.now() - before == pytest.approx(7.0)

    run(body)


@pytest.mark.parametrize("seed", range(20))
def test_a_deadline_bounds_every_request(seed: int) -> None:
    async def body(client: Client, server: SimulatedServer) -> None:
        client.hang() if seed % 2 else client.cut(8.0)
        port = client.port.until(client.port.now() + 3.0)
        before = port.now()
        with pytest.raises((OperationTimeoutError, ConnectionLostError)) as caught:
            await port.create("/a")
        assert port.now() - before <= 3.0 + 1e-6
        assert caught.value.outcome is (Outcome.UNKNOWN if seed % 2 else Outcome.NOT_APPLIED)

    run(body, seed)


def test_the_outcomes_of_lost_writes_are_true() -> None:
    """Applied or not as said; unknown where both happen."""
    seen: set[tuple[Outcome, bool]] = set()

    async def body(client: Client, server: SimulatedServer) -> None:
        path = "/a"
        try:
            await client.port.create(path)
            outcome = Outcome.APPLIED
        except (ConnectionLostError, SessionExpiredError) as error:
            outcome = error.outcome
        await client.simulation.sleep(60)
        exists = path in server.paths()
        assert (outcome, exists) not in {(Outcome.APPLIED, False), (Outcome.NOT_APPLIED, True)}
        seen.add((outcome, exists))

    for seed in range(60):
        run(body, seed, Faults(rate=1.0, limit=1, kinds=("lose request", "lose reply", "cut")))
    assert seen >= {(Outcome.APPLIED, True), (Outcome.UNKNOWN, True), (Outcome.UNKNOWN, False)}


def test_a_unique_create_is_resolved_or_said_to_be_unknown() -> None:
    results: set[str] = set()

    async def body(client: Client, server: SimulatedServer) -> None:
        port = client.port
        try:
            path, stat = await port.create_with_stat(
                f"/a/{port.guid()}-", ephemeral=True, sequence=True, makepath=True, unique=True
            )
        except (ConnectionLostError, SessionExpiredError) as error:
            results.add(error.outcome.value)
        else:
            assert stat.ephemeral_owner == port.session_id
            assert [node for node in server.paths() if node != "/a"] == [path]
            results.add("returned")

    for seed in range(80):
        run(body, seed, Faults(rate=1.0, limit=1, kinds=("lose request", "lose reply")))
    assert {"returned", "unknown"} <= results


def test_a_lost_delete_says_when_the_node_may_be_gone_by_it() -> None:
    results: set[Outcome] = set()

    async def body(client: Client, server: SimulatedServer) -> None:
        server.ensure_path("/a")
        client.faults_left = 1
        try:
            await client.port.delete("/a")
        except (NoNodeError, ConnectionLostError, SessionExpiredError) as error:
            results.add(error.outcome)
        await client.simulation.sleep(60)
        with pytest.raises(NoNodeError) as caught:
            await client.port.delete("/a")
        assert caught.value.outcome is Outcome.NOT_APPLIED

    for seed in range(30):
        run(body, seed, Faults(rate=1.0, limit=0, kinds=("lose reply",)))
    assert results == {Outcome.UNKNOWN}


@pytest.mark.parametrize("seed", range(30))
def test_a_background_delete_leaves_nothing_whatever_is_lost(seed: int) -> None:
    async def body(client: Client, server: SimulatedServer) -> None:
        port = client.port
        guid, session = port.guid(), port.session_id

        async def create() -> None:
            with contextlib.suppress(ConnectionLostError, SessionExpiredError):
                await port.create(f"/a/{guid}-", ephemeral=True, makepath=True)

        task = client.simulation.spawn(create(), "create")
        await client.simulation.sleep(client.simulation.between(0.0, 0.02))
        task.cancel()
        with contextlib.suppress(TaskCancelled):
            await task.join()
        assert session is not None
        port.background_delete("/a", guid, session)
        await client.simulation.sleep(200)
        assert [node for node in server.paths() if node != "/a"] == []

    run(body, seed, Faults(rate=0.5, limit=4))


def test_a_shielded_body_runs_to_its_end_though_its_caller_was_cancelled() -> None:
    done: list[str] = []

    async def body(client: Client, server: SimulatedServer) -> None:
        port = client.port

        async def inner() -> None:
            await port.sleep(2)
            done.append("inner")

        async def outer() -> None:
            await port.shielded(inner())
            done.append("outer")

        task = client.simulation.spawn(outer(), "outer")
        await port.sleep(1)
        task.cancel()
        with pytest.raises(TaskCancelled):
            await task.join()
        await port.sleep(5)

    run(body)
    assert done == ["inner"]


def test_listeners_hear_every_state_and_leaks_are_named() -> None:
    heard: list[str] = []

    async def body(client: Client, server: SimulatedServer) -> None:
        port = client.port
        port.add_listener(heard.append)
        client.cut(20.0)
        await port.sleep(60)
        assert len(client.leaks()) == 1
        port.remove_listener(heard.append)
        port.remove_listener(heard.append)
        assert client.leaks() == []

    run(body)
    assert heard == ["suspended", "expired", "connecting", "connected"]


def test_a_marker_tells_what_became_of_a_transaction_while_the_session_lives() -> None:
    told: set[Outcome] = set()

    async def body(client: Client, server: SimulatedServer) -> None:
        server.ensure_path("/markers")
        session = client.session_id
        request = CreateRequest("/a", b"", OPEN_ACL_UNSAFE, CreateMode.PERSISTENT)
        try:
            (result,) = await client.port.commit([request], marker="/markers")
            assert isinstance(result, CreateResult)
            outcome = Outcome.APPLIED
        except (ConnectionLostError, SessionExpiredError) as lost:
            outcome = lost.outcome
        assert outcome is not Outcome.UNKNOWN or client.session_id != session
        assert outcome is Outcome.UNKNOWN or (outcome is Outcome.APPLIED) == ("/a" in server.paths())
        told.add(outcome)
        await client.port.sleep(30)
        assert server.paths() in (["/markers"], ["/a", "/markers"])

    for seed in range(40):
        run(body, seed, Faults(rate=0.5, limit=2))
    assert told == set(Outcome)


def test_a_data_version_wraps_and_passes_over_minus_one() -> None:
    async def body(client: Client, server: SimulatedServer) -> None:
        await client.port.create("/a")
        server.set_version("/a", 2**31 - 1)
        assert (await client.port.set("/a", b"", 2**31 - 1)).version == -(2**31)
        server.set_version("/a", -2)
        assert (await client.port.set("/a", b"", -2)).version == -1

    run(body)


def test_a_scope_is_cancelled_where_it_waits_and_its_task_goes_on() -> None:
    async def body(client: Client, server: SimulatedServer) -> None:
        scope = client.port.scope()
        client.simulation.call_at(client.simulation.now() + 1, scope.cancel)
        with pytest.raises(TaskCancelled) as ended:
            await client.port.sleep(100)
        assert client.simulation.now() == 1
        assert await scope.leave(ended.value)
        await client.port.sleep(1)

    run(body)


def test_a_scope_cancelled_on_its_way_out_leaves_nothing_to_raise() -> None:
    async def body(client: Client, server: SimulatedServer) -> None:
        scope = client.port.scope()
        scope.cancel()
        assert not await scope.leave(None)
        await client.port.sleep(1)
        left = client.port.scope()
        await left.leave(None)
        left.cancel()
        await client.port.sleep(1)

    run(body)
