"""What bodies may rely on when they watch persistently and read many nodes at once, in every world."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator

import pytest

from zk_client import (
    AsyncClient,
    Client,
    ConfigurationError,
    EventType,
    NoNodeError,
    Port,
    Read,
    SessionState,
    UnimplementedError,
    run_blocking,
)
from zk_testing import EmbeddedServer, Settings
from zk_testing.faults import FaultProxy
from zk_wire import OpCode

PATIENCE = 10.0
Run = Callable[[str, Callable[[Port], Coroutine[object, None, None]]], None]


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(settings=Settings(tick_ms=20)) as server:
        yield server


@pytest.fixture(params=["threads", "gevent", "asyncio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a body with the port of a client of each world."""
    world: str = request.param
    if world == "gevent":
        pytest.importorskip("gevent")

    def run(hosts: str, body: Callable[[Port], Coroutine[object, None, None]]) -> None:
        async def in_loop() -> None:
            async with AsyncClient(hosts, 4.0) as zk:
                await body(zk.port)

        if world == "asyncio":
            asyncio.run(in_loop(), debug=True)
            return
        with Client(hosts, 4.0, runtime="gevent" if world == "gevent" else "threads") as zk:
            run_blocking(body(zk.port))

    return run


def make_old(server: EmbeddedServer) -> None:
    """Have the server not know what came with 3.6."""

    def forget(core: object) -> None:
        for opcode in (OpCode.ADD_WATCH, OpCode.MULTI_READ):
            core._reads.pop(opcode)  # type: ignore[attr-defined]

    server.call(forget)


def watches(server: EmbeddedServer) -> int:
    (line,) = (line for line in server.send_command("mntr").splitlines() if line.startswith("zk_watch_count"))
    return int(line.split()[1])


async def no_watches(port: Port, server: EmbeddedServer) -> None:
    """Wait until the server keeps no watch: one that came too late is taken back when its answer arrives."""
    patient = port.until(port.now() + PATIENCE)
    while watches(server):
        await patient.sync("/")


def test_a_persistent_watch_tells_every_change_in_order(server: EmbeddedServer, run: Run) -> None:
    async def body(port: Port) -> None:
        wake = port.event()
        plain = await port.watch("/n", wake=wake)
        below = await port.watch("/r", recursive=True)
        await port.create("/n")
        assert wake.is_set()
        await port.create("/n/c")
        await port.set("/n", b"1")
        await port.create("/r/a/b", makepath=True)
        await port.create("/ra")
        seen = [await plain.next(PATIENCE) for _ in range(3)]
        assert [event and (event.type, event.path) for event in seen] == [
            (EventType.CREATED, "/n"),
            (EventType.CHILD, "/n"),
            (EventType.CHANGED, "/n"),
        ]
        told = [below.take() for _ in range(4)]
        assert [event and event.path for event in told] == ["/r", "/r/a", "/r/a/b", None]
        assert await below.next(0.0) is None
        await plain.close()
        await below.close()

    run(server.hosts, body)


def test_a_closed_persistent_watch_wakes_who_waits_and_is_gone_from_the_server(
    server: EmbeddedServer, run: Run
) -> None:
    async def body(port: Port) -> None:
        watch = await port.watch("/n", recursive=True)
        assert watches(server) > 0
        waiting = port.spawn(watch.next(), "waiter")
        await watch.close()
        assert await waiting.join(PATIENCE) is None
        assert watch.closed
        await port.sync("/")
        assert watches(server) == 0

    run(server.hosts, body)


def test_closing_a_watch_is_no_event_and_wakes_nobody_who_waits_for_one(server: EmbeddedServer, run: Run) -> None:
    async def body(port: Port) -> None:
        wake = port.event()
        used, unused = port.watcher(wake), port.watcher(wake)
        await port.exists("/n", used)
        subscription = await port.watch("/n", wake=wake)
        for watch in (used, unused, subscription):
            await watch.close()
        assert not wake.is_set()

    run(server.hosts, body)


def test_a_reconnect_is_told_as_read_again_and_the_watch_goes_on(server: EmbeddedServer, run: Run) -> None:
    with FaultProxy(server) as proxy:

        async def body(port: Port) -> None:
            watch = await port.watch("/n", recursive=True)
            proxy.cut()
            event = await watch.next(PATIENCE)
            assert event is not None
            assert (event.type, event.state.is_connected, event.path) == (EventType.NONE, True, "/n")
            await port.create("/n")
            event = await watch.next(PATIENCE)
            assert event is not None and event.type is EventType.CREATED
            await watch.close()

        run(proxy.hosts, body)


def test_the_end_of_a_session_is_the_last_event(server: EmbeddedServer, run: Run) -> None:
    async def body(port: Port) -> None:
        watch = await port.watch("/n")
        assert port.session_id is not None
        server.expire_session(port.session_id)
        event = await watch.next(PATIENCE)
        while event is not None and event.state.is_connected:
            event = await watch.next(PATIENCE)
        assert event is not None and (event.type, event.state) == (EventType.NONE, SessionState.EXPIRED)
        assert watch.closed
        assert await watch.next(0.0) is None

    run(server.hosts, body)


def test_a_watch_that_was_refused_or_came_too_late_leaves_nothing(server: EmbeddedServer, run: Run) -> None:
    with FaultProxy(server) as proxy:

        async def body(port: Port) -> None:
            first = await port.watch("/n")
            with pytest.raises(ConfigurationError, match="already has a persistent watch"):
                await port.watch("/n", recursive=True)
            await first.close()
            proxy.freeze("to_client")
            with pytest.raises(TimeoutError):
                await port.until(port.now() + 0.2).watch("/m", recursive=True)
            proxy.heal()
            await no_watches(port, server)

        run(proxy.hosts, body)


def test_an_old_server_says_that_it_does_not_know_persistent_watches(server: EmbeddedServer, run: Run) -> None:
    make_old(server)

    async def body(port: Port) -> None:
        with pytest.raises(UnimplementedError):
            await port.watch("/n", recursive=True)
        await port.sync("/")
        assert watches(server) == 0

    run(server.hosts, body)


@pytest.mark.parametrize("old", [False, True])
def test_many_reads_give_what_single_reads_do_and_a_missing_node_as_a_value(
    server: EmbeddedServer, run: Run, old: bool
) -> None:
    if old:
        make_old(server)

    async def body(port: Port) -> None:
        for number in range(130):
            await port.create(f"/n{number}", b"%d" % number)
        await port.create("/n0/c")
        watch = port.watcher()
        reads = [Read(f"/n{number}") for number in range(131)]
        before = server.call(lambda core: core.received)
        *found, missing, names, watched = await port.read_many(
            [*reads, Read("/n0", children=True), Read("/n1", watch=watch)]
        )
        if not old:
            assert server.call(lambda core: core.received) - before == 4  # 60, 60 and 12 in one request, and one alone
        for number, result in enumerate(found):
            assert result == await port.get(f"/n{number}")
        assert isinstance(missing, NoNodeError) and missing.path == "/n130"
        assert names == ["c"]
        assert watched == await port.get("/n1")
        assert watch.event is None
        await port.set("/n1", b"")
        event = await watch.wait(PATIENCE)
        assert event is not None and event.type is EventType.CHANGED
        assert watches(server) == 0

    run(server.hosts, body)


def test_many_reads_keep_the_deadline_of_their_port_and_leave_no_watch(server: EmbeddedServer, run: Run) -> None:
    with FaultProxy(server) as proxy:

        async def body(port: Port) -> None:
            await port.create("/n")
            proxy.freeze()
            made = [port.watcher() for _ in range(3)]
            with pytest.raises(TimeoutError):
                await port.until(port.now() + 0.2).read_many([Read("/n"), *(Read("/n", watch=watch) for watch in made)])
            for watch in made:
                await watch.close()
            proxy.heal()
            await no_watches(port, server)

        run(proxy.hosts, body)


def test_reads_and_watches_whose_replies_are_lost_are_asked_again(server: EmbeddedServer, run: Run) -> None:
    with FaultProxy(server) as proxy:

        async def body(port: Port) -> None:
            await port.create("/n")
            lost = [proxy.lose_reply(kind) for kind in ("get_data", "add_watch")]
            made = [port.watcher() for _ in range(500)]
            results = await port.read_many([Read("/n", watch=watch) for watch in made])
            assert results == [await port.get("/n")] * 500
            watch = await port.watch("/m")
            for fault in lost:
                fault.wait()
            assert watches(server) == 3  # a persistent one counts as two
            for made_one in (*made, watch):
                await made_one.close()
            await port.sync("/")
            assert watches(server) == 0

        run(proxy.hosts, body)


def test_many_reads_stay_within_what_a_client_may_send_at_once(server: EmbeddedServer) -> None:
    with Client(server.hosts, max_in_flight=10, when_full="fail") as zk:

        async def body(port: Port) -> None:
            await port.create("/n")
            made = [port.watcher() for _ in range(500)]
            results = await port.read_many([Read("/n", watch=watch) for watch in made])
            assert results == [await port.get("/n")] * 500
            for watch in made:
                await watch.close()

        run_blocking(body(zk.port))
