"""The simulation: the seed decides everything, time is virtual, and what goes wrong is what can really go wrong."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Coroutine

import pytest

from zk_testing.sim import Simulation, SimulationFailedError, StuckError, TaskCancelled
from zk_testing.simclient import NO_FAULTS, PLAIN, Faults, PlainWatchedEvent, SimulatedClient
from zk_testing.simport import SimulatedPort
from zk_testing.simserver import SimulatedServer
from zk_wire import (
    BadVersionError,
    CheckVersionRequest,
    ConnectionLostError,
    CreateMode,
    CreateRequest,
    DeleteRequest,
    EventType,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    OperationTimeoutError,
    Outcome,
    SessionExpiredError,
    SetDataRequest,
    ZooKeeperError,
)

Client = SimulatedClient[str, PlainWatchedEvent]
Port = SimulatedPort[str, PlainWatchedEvent]
Body = Coroutine[object, None, None]


def make(
    seed: int = 0, clients: int = 1, faults: Faults = NO_FAULTS
) -> tuple[Simulation, SimulatedServer, list[Client]]:
    simulation = Simulation(seed)
    server = SimulatedServer(simulation)
    return (
        simulation,
        server,
        [SimulatedClient(simulation, server, f"client-{number}", PLAIN, faults=faults) for number in range(clients)],
    )


def run(body: Callable[[Client, SimulatedServer], Body], seed: int = 0, faults: Faults = NO_FAULTS) -> Simulation:
    """Run one body with a client of its own."""
    simulation, server, (client,) = make(seed, faults=faults)
    simulation.spawn(body(client, server), "body", home=client)
    simulation.run()
    return simulation


# The scheduler


def test_time_is_virtual_and_passes_only_where_somebody_waits() -> None:
    simulation = Simulation(0)
    woken: list[float] = []

    async def sleeper(seconds: float) -> None:
        await simulation.sleep(seconds)
        woken.append(simulation.now())

    for seconds in (3000.0, 1.5, 20.0):
        simulation.spawn(sleeper(seconds), "sleeper")
    simulation.run()
    assert woken == [1.5, 20.0, 3000.0]


def test_the_seed_decides_the_order_among_equals() -> None:
    def order(seed: int) -> tuple[int, ...]:
        simulation = Simulation(seed)
        seen: list[int] = []

        async def body(number: int) -> None:
            await simulation.pause()
            seen.append(number)

        for number in range(4):
            simulation.spawn(body(number), f"body {number}")
        simulation.run()
        return tuple(seen)

    assert len({order(seed) for seed in range(200)}) == 24
    assert order(3) == order(3)


def test_whoever_waits_for_ever_is_named_with_the_seed_and_the_timeline() -> None:
    simulation = Simulation(42)

    async def body() -> None:
        simulation.note("me", "waits for what never comes")
        await simulation.event().wait()

    simulation.spawn(body(), "the waiter")
    with pytest.raises(StuckError, match=r"seed 42: the waiter \(for an event\) waiting for ever") as caught:
        simulation.run()
    assert caught.value.seed == 42
    assert "waits for what never comes" in str(caught.value)


def test_whoever_polls_for_ever_is_found_when_virtual_time_runs_out() -> None:
    simulation = Simulation(0, time_limit=100.0)

    async def body() -> None:
        while True:
            await simulation.sleep(1)

    simulation.spawn(body(), "poller")
    with pytest.raises(StuckError, match=r"poller .* still waiting when time ran out"):
        simulation.run()


def test_whoever_is_busy_for_ever_is_found_though_no_time_passes() -> None:
    simulation = Simulation(0)

    async def body() -> None:
        while True:
            await simulation.pause()

    simulation.spawn(body(), "spinner")
    with pytest.raises(StuckError, match=r"spinner .* busy for ever"):
        simulation.run()


def test_a_task_that_raises_fails_the_run_with_its_error_as_the_cause() -> None:
    simulation = Simulation(0)

    async def body() -> None:
        raise KeyError("mine")

    simulation.spawn(body(), "culprit")
    with pytest.raises(SimulationFailedError, match="task 'culprit' raised KeyError") as caught:
        simulation.run()
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_check_that_fails_ends_the_run_at_that_step() -> None:
    simulation = Simulation(0)
    reached: list[float] = []

    async def body() -> None:
        for _ in range(10):
            await simulation.sleep(1)
            reached.append(simulation.now())

    def check() -> None:
        assert simulation.now() < 3

    simulation.always(check)
    simulation.spawn(body(), "body")
    with pytest.raises(SimulationFailedError, match="AssertionError"):
        simulation.run()
    assert reached == [1.0, 2.0]


def test_an_await_of_another_world_is_named() -> None:
    simulation = Simulation(0)

    class Foreign:
        def __await__(self):  # type: ignore[no-untyped-def]
            yield "foreign"

    async def body() -> None:
        await Foreign()

    simulation.spawn(body(), "stranger")
    with pytest.raises(
        SimulationFailedError, match="task 'stranger' awaited 'foreign', which is not of this simulation"
    ):
        simulation.run()


def test_join_gives_the_result_or_the_error_or_a_timeout() -> None:
    simulation = Simulation(0)

    async def value() -> int:
        await simulation.sleep(1)
        return 7

    async def error() -> int:
        await simulation.sleep(1)
        raise KeyError("mine")

    async def body() -> None:
        task = simulation.spawn(value(), "value")
        with pytest.raises(TimeoutError, match=r"task 'value' still runs after 0\.5 s"):
            await task.join(0.5)
        assert not task.done
        assert await task.join() == 7
        assert task.done
        with pytest.raises(KeyError):
            await simulation.spawn(error(), "error").join()

    simulation.spawn(body(), "body")
    simulation.run()


def test_each_cancel_raises_once_at_an_await() -> None:
    simulation = Simulation(0)
    raised: list[str] = []

    async def victim() -> None:
        try:
            await simulation.event().wait()
        except TaskCancelled:
            raised.append("first")
            try:
                await simulation.sleep(5)
            except TaskCancelled:
                raised.append("second")
            raise

    async def body() -> None:
        task = simulation.spawn(victim(), "victim")
        await simulation.sleep(1)
        task.cancel()
        await simulation.sleep(1)
        task.cancel()
        with pytest.raises(TaskCancelled):
            await task.join()
        task.cancel()

    simulation.spawn(body(), "body")
    simulation.run()
    assert raised == ["first", "second"]


def test_an_event_wakes_everybody_and_times_out() -> None:
    simulation = Simulation(0)
    event = simulation.event()
    results: list[bool] = []

    async def wait(timeout: float | None) -> None:
        results.append(await event.wait(timeout))

    async def body() -> None:
        await simulation.sleep(2)
        event.set()
        assert event.is_set()
        event.clear()
        assert await event.wait(1.0) is False

    for timeout in (1.0, None, 5.0):
        simulation.spawn(wait(timeout), "waiter")
    simulation.spawn(body(), "setter")
    simulation.run()
    assert results == [False, True, True]


def test_nothing_is_reported_by_the_collector_after_a_failed_run(recwarn: pytest.WarningsRecorder) -> None:
    simulation, _, (client,) = make()

    async def cleaning(port: Port) -> None:
        try:
            await port.event().wait()
        finally:
            port.background_delete("/a", "x", port.session_id or 0)
            await port.sleep(1)
            await port.shielded(port.sleep(1))

    simulation.spawn(cleaning(client.port), "cleaner")
    with pytest.raises(StuckError):
        simulation.run()
    del simulation, client
    gc.collect()
    assert [str(warning.message) for warning in recwarn] == []


def test_the_same_seed_gives_the_same_run_on_every_python() -> None:
    """The numbers were taken from CPython 3.11, 3.12 and 3.13, which agreed."""

    def fingerprint(seed: int) -> tuple[int, int]:
        simulation, _, clients = make(seed, 3, Faults(rate=0.1, limit=5))

        async def body(client: Client) -> None:
            port = client.port
            for _ in range(5):
                try:
                    path = await port.create(
                        f"/a/{port.guid()}-", ephemeral=True, sequence=True, makepath=True, unique=True
                    )
                    await port.get_children("/a")
                    await port.delete(path)
                except ZooKeeperError:
                    await port.sleep(1)

        for client in clients:
            simulation.spawn(body(client), client.name, home=client)
        simulation.run()
        return simulation.fingerprint()

    assert [fingerprint(seed) for seed in range(3)] == [
        (137, 3840119261),
        (148, 1610293944),
        (148, 1475935428),
    ]


# The server


def test_nodes_are_created_read_changed_and_deleted_as_a_server_does() -> None:
    async def body(client: Client, server: SimulatedServer) -> None:
        port = client.port
        with pytest.raises(NoNodeError):
            await port.create("/a/b")
        path, created = await port.create_with_stat("/a", b"one")
        assert path == "/a" and created.version == 0 and created.ephemeral_owner == 0 and created.data_length == 3
        with pytest.raises(NodeExistsError):
            await port.create("/a")
        changed = await port.set("/a", b"two", 0)
        assert changed.version == 1 and changed.mzxid > changed.czxid == created.czxid
        with pytest.raises(BadVersionError):
            await port.set("/a", b"three", 0)
        assert await port.get("/a") == (b"two", changed)
        await port.create("/a/b", ephemeral=True)
        with pytest.raises(NoChildrenForEphemeralsError):
            await port.create("/a/b/c")
        with pytest.raises(NotEmptyError):
            await port.delete("/a")
        await port.ensure_path("/x/y/z")
        assert server.paths() == ["/a", "/a/b", "/x", "/x/y", "/x/y/z"]
        assert sorted(await port.get_children("/x")) == ["y"]
        await port.delete("/a/b")
        await port.delete("/a", 1)
        assert await port.exists("/a") is None

    run(body)


def test_sequence_numbers_are_the_parents_counter_and_wrap_as_a_signed_32_bit_number() -> None:
    async def body(client: Client, server: SimulatedServer) -> None:
        server.set_counter("/q", 2**31 - 2)
        names = [await client.port.create("/q/n", sequence=True) for _ in range(4)]
        assert names == ["/q/n2147483646", "/q/n2147483647", "/q/n-2147483648", "/q/n-2147483647"]
        server.set_counter("/q", -1)
        assert [await client.port.create("/q/n", sequence=True) for _ in range(2)] == [
            "/q/n-000000001",
            "/q/n0000000000",
        ]

    run(body)


def test_a_transaction_applies_all_or_nothing_with_one_zxid() -> None:
    async def body(client: Client, server: SimulatedServer) -> None:
        port = client.port
        create = [CreateRequest(path, b"", (), CreateMode.PERSISTENT) for path in ("/a", "/a/b")]
        await port.commit([*create, SetDataRequest("/a", b"x", 0)])
        first, second = server.stat("/a"), server.stat("/a/b")
        assert first is not None and second is not None and first.czxid == second.czxid == first.mzxid
        with pytest.raises(BadVersionError):
            await port.commit([DeleteRequest("/a/b", -1), CheckVersionRequest("/a", 7)])
        assert server.paths() == ["/a", "/a/b"]

    run(body)


def test_a_watch_fires_once_and_a_missing_node_keeps_only_the_watch_of_exists() -> None:
    async def body(client: Client, server: SimulatedServer) -> None:
        port = client.port
        with pytest.raises(NoNodeError):
            await port.get("/a", port.watcher())
        assert server.watches() == [] and client.leaks() == []
        born, wake = port.watcher(), port.event()
        assert await port.exists("/a", born) is None
        changed = port.watcher(wake)
        await port.create("/a")
        event = await born.wait()
        assert event is not None and (event.type, event.path, event.state) == (EventType.CREATED, "/a", "connected")
        await port.get("/a", changed)
        await port.set("/a", b"x")
        await port.set("/a", b"y")
        assert await wake.wait(1.0)
        assert changed.event is not None and changed.event.type is EventType.CHANGED
        assert server.watches() == []

    run(body)


def test_a_closed_watcher_is_forgotten_everywhere_and_wakes_who_waits() -> None:
    async def body(client: Client, server: SimulatedServer) -> None:
        port = client.port
        await port.create("/a")
        watch = port.watcher()
        await port.get("/a", watch)
        waiting = client.simulation.spawn(watch.wait(), "waiter")
        await port.sleep(1)
        assert server.watches() == ["/a"]
        await watch.close()
        assert await waiting.join() is None
        assert server.watches() == [] and client.leaks() == []

    run(body)


# The client


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
