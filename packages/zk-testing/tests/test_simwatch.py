"""Persistent watches and batches of reads in the simulation: as a real client's, which is tried beside it."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from sim_stage import Client, make, run

from zk_testing.sim import TaskCancelled
from zk_testing.simclient import Faults
from zk_testing.simserver import SimulatedServer
from zk_testing.simwatch import SimulatedWatcher
from zk_wire import EventType, NoNodeError, UnimplementedError, ZooKeeperError


class Read(NamedTuple):
    path: str
    children: bool = False
    watch: SimulatedWatcher | None = None  # type: ignore[type-arg]


def test_a_persistent_watch_tells_every_change_in_order() -> None:
    async def body(client: Client, server: SimulatedServer) -> None:
        port = client.port
        plain = await port.watch("/n")
        below = await port.watch("/r", recursive=True)
        await port.create("/n")
        await port.create("/n/c")
        await port.set("/n", b"1")
        await port.create("/r/a/b", makepath=True)
        await port.delete("/r/a/b")
        await port.create("/ra")
        told = [await plain.next() for _ in range(3)]
        assert [event and (event.type, event.path) for event in told] == [
            (EventType.CREATED, "/n"),
            (EventType.CHILD, "/n"),
            (EventType.CHANGED, "/n"),
        ]
        await port.sleep(1)
        told = [below.take() for _ in range(5)]
        assert [event and (event.type, event.path) for event in told] == [
            (EventType.CREATED, "/r"),
            (EventType.CREATED, "/r/a"),
            (EventType.CREATED, "/r/a/b"),
            (EventType.DELETED, "/r/a/b"),
            None,
        ]
        assert await below.next(1.0) is None
        await plain.close()
        await below.close()
        assert server.watches() == [] and client.leaks() == []

    run(body)


def test_what_a_persistent_watch_misses_is_told_as_read_again() -> None:
    async def body(client: Client, server: SimulatedServer) -> None:
        port = client.port
        watch = await port.watch("/n", recursive=True)
        client.cut(1.0)
        server.ensure_path("/n")
        event = await watch.next()
        assert event is not None
        assert (event.type, event.state, event.path) == (EventType.NONE, "connected", "/n")
        assert watch.take() is None
        await port.set("/n", b"1")
        event = await watch.next()
        assert event is not None and event.type is EventType.CHANGED
        await watch.close()

    run(body)


def test_the_end_of_a_session_is_the_last_event() -> None:
    async def body(client: Client, server: SimulatedServer) -> None:
        watch = await client.port.watch("/n")
        client.cut(30.0)
        event = await watch.next()
        assert event is not None and (event.type, event.state) == (EventType.NONE, "expired")
        assert watch.closed and await watch.next() is None
        await client.port.sleep(2)
        assert server.watches() == [] and client.leaks() == []

    run(body)


def test_closing_a_persistent_watch_wakes_who_waits() -> None:
    async def body(client: Client, server: SimulatedServer) -> None:
        watch = await client.port.watch("/n")
        waiting = client.port.spawn(watch.next(), "waiter")
        await client.port.sleep(1)
        await watch.close()
        assert await waiting.join() is None

    run(body)


@pytest.mark.parametrize("kind", ["lose reply", "lose request", "cut", "hang", "freeze"])
def test_a_watch_that_failed_or_was_cancelled_leaves_nothing(kind: str) -> None:
    for seed in range(30):
        simulation, server, (client,) = make(seed, faults=Faults(0.5, 3, (kind,)))

        async def body(client: Client = client) -> None:
            for _ in range(4):
                try:
                    watch = await client.port.watch("/n")
                except (TaskCancelled, Exception):
                    continue
                await watch.close()

        task = simulation.spawn(body(), "body", home=client)

        async def trouble(task=task, simulation=simulation) -> None:  # type: ignore[no-untyped-def]
            await simulation.sleep(simulation.between(0.0, 0.02))
            task.cancel()

        simulation.spawn(trouble(), "trouble")
        simulation.run()
        assert server.watches() == [] and client.leaks() == []


def test_an_old_server_does_not_know_persistent_watches() -> None:
    async def body(client: Client, server: SimulatedServer) -> None:
        server.persistent_watches = False
        with pytest.raises(UnimplementedError):
            await client.port.watch("/n", recursive=True)
        assert server.watches() == [] and client.leaks() == []

    run(body)


def test_many_reads_give_what_single_reads_do_and_a_missing_node_as_a_value() -> None:
    async def body(client: Client, server: SimulatedServer) -> None:
        port = client.port
        await port.create("/n", b"1")
        await port.create("/n/c")
        watch = port.watcher()
        found, missing, names, watched = await port.read_many(
            [Read("/n"), Read("/m"), Read("/n", children=True), Read("/n", watch=watch)]
        )
        assert found == watched == await port.get("/n")
        assert isinstance(missing, NoNodeError)
        assert names == ["c"]
        assert server.watches() == ["/n"]
        await watch.close()

    for seed in range(10):
        run(body, seed)


def test_a_watch_whose_read_waited_for_the_next_session_is_a_watch_of_that() -> None:
    waited = 0

    async def body(client: Client, server: SimulatedServer) -> None:
        nonlocal waited
        server.ensure_path("/n")
        client.cut(30.0)
        watch = client.port.watcher()
        try:
            await client.port.get("/n", watch)
        except ZooKeeperError:
            return
        waited += 1
        assert watch.event is None and server.watches() == ["/n"]
        server.intrude("/n")
        event = await watch.wait()
        assert event is not None and event.type is EventType.DELETED
        assert server.watches() == [] and client.leaks() == []

    for seed in range(20):
        run(body, seed)
    assert waited
