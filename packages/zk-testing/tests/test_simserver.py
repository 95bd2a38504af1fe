"""The server of the simulation does to nodes, watches and sessions what a real one does."""

from __future__ import annotations

import pytest
from sim_stage import Client, run

from zk_testing.simserver import SimulatedServer
from zk_wire import (
    BadVersionError,
    CheckVersionRequest,
    CreateMode,
    CreateRequest,
    DeleteRequest,
    EventType,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    SetDataRequest,
)


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
