"""The tree that R4 caches, and the caches of the peers behind the same two methods.

Rule: the tree is made and changed by hand (`wire`), and requests are counted by the server.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import wire

TREE = wire.ROOT + "/tree"
NODES, DIRECTORIES, CHANGES = 10_000, 100, 10
LONGEST = 120.0  # seconds for a cache to be whole, or to have seen the changes
NEW = b"y" * 100


class Cache(Protocol):
    """A peer's cache that is whole."""

    def wait_for(self, paths: list[str]) -> None:
        """Return when the cache has the new data of all these."""

    def close(self) -> None:
        """End the cache and its client."""


def plant(host: str, port: int, scale: float) -> list[str]:
    """Make the tree anew; returns its leaves."""
    connection = wire.Wire(host, port)
    each = max(1, int(NODES * scale)) // DIRECTORIES
    leaves = [f"{TREE}/d{number:03d}/n{leaf:03d}" for number in range(DIRECTORIES) for leaf in range(each)]
    for path in (wire.ROOT, TREE, *(f"{TREE}/d{number:03d}" for number in range(DIRECTORIES))):
        connection.call(wire.CREATE, wire.create_record(path, b""))
    for path in leaves:
        error, _ = connection.call(wire.CREATE, wire.create_record(path, wire.SMALL))
        if error == wire.NODE_EXISTS:
            connection.call(wire.SET, wire.set_record(path, wire.SMALL))
    connection.close()
    return leaves


def touch(host: str, port: int, leaves: list[str]) -> list[str]:
    """Change some nodes; returns them."""
    changed = leaves[:: max(1, len(leaves) // CHANGES)][:CHANGES]
    connection = wire.Wire(host, port)
    for path in changed:
        connection.call(wire.SET, wire.set_record(path, NEW))
    connection.close()
    return changed


def received(host: str, port: int) -> int:
    """How many requests the server has got."""
    with socket.create_connection((host, port)) as connection:
        connection.sendall(b"srvr")
        text = b""
        while part := connection.recv(4096):
            text += part
    (line,) = [line for line in text.decode().splitlines() if line.startswith("Received:")]
    return int(line.split()[1])


class Ours:
    """zk_recipes on threads."""

    def __init__(self, hosts: str, count: int, *, single_watches: bool = False) -> None:
        from zk_client import Client
        from zk_recipes import TreeCache

        self._client = Client(hosts, timeout=30.0)
        self._client.start()
        self._cache = TreeCache(self._client, TREE, single_watches=single_watches)
        self._cache.start()
        self._cache.wait(LONGEST)
        self._changed = threading.Event()
        self._cache.listen(lambda event: self._changed.set())
        assert len(self._cache) >= count

    def wait_for(self, paths: list[str]) -> None:
        wait(self._changed, lambda: all(data_of(self._cache.get(path)) == NEW for path in paths))

    def close(self) -> None:
        self._cache.close()
        self._client.stop()


class Kazoo:
    """kazoo."""

    def __init__(self, hosts: str, count: int) -> None:
        from kazoo.client import KazooClient
        from kazoo.recipe.cache import TreeCache, TreeEvent

        self._client = KazooClient(hosts, timeout=30.0)
        self._client.start()
        self._cache = TreeCache(self._client, TREE)
        self._changed = threading.Event()
        whole = threading.Event()

        def listen(event: Any) -> None:
            self._changed.set()
            if event.event_type == TreeEvent.INITIALIZED:
                whole.set()

        self._cache.listen(listen)
        self._cache.start()
        if not whole.wait(LONGEST):
            raise SystemExit("kazoo's cache did not become whole")

    def wait_for(self, paths: list[str]) -> None:
        wait(self._changed, lambda: all(data_of(self._cache.get_data(path)) == NEW for path in paths))

    def close(self) -> None:
        self._cache.close()
        self._client.stop()
        self._client.close()


class OursAwaited:
    """zk_recipes on asyncio; the loop runs while this waits."""

    def __init__(self, hosts: str, count: int) -> None:
        from zk_client import AsyncClient
        from zk_recipes import AsyncTreeCache

        self._runner = asyncio.Runner()
        self._changed = asyncio.Event()

        async def begin() -> None:
            self._client = AsyncClient(hosts, timeout=30.0)
            await self._client.start()
            self._cache = AsyncTreeCache(self._client, TREE)
            await self._cache.start()
            await self._cache.wait(LONGEST)
            self._cache.listen(lambda event: self._changed.set())
            assert len(self._cache) >= count

        self._runner.run(begin())

    def wait_for(self, paths: list[str]) -> None:
        async def waiting() -> None:
            async with asyncio.timeout(LONGEST):
                while not all(data_of(self._cache.get(path)) == NEW for path in paths):
                    await self._changed.wait()
                    self._changed.clear()

        self._runner.run(waiting())

    def close(self) -> None:
        async def end() -> None:
            await self._cache.close()
            await self._client.stop()

        self._runner.run(end())
        self._runner.close()


def open_cache(peer: str, hosts: str, count: int) -> Cache:
    """A cache of a peer that is whole: `count` nodes at least."""
    kinds: dict[str, Callable[[str, int], Cache]] = {
        "ours": Ours,
        "ours-single": partial(Ours, single_watches=True),
        "ours-asyncio": OursAwaited,
        "kazoo": Kazoo,
    }
    return kinds[peer](hosts, count)


def wait(changed: threading.Event, is_so: Callable[[], bool]) -> None:
    while not is_so():
        if not changed.wait(LONGEST):
            raise SystemExit("the cache did not see the changes")
        changed.clear()


def data_of(node: Any) -> bytes | None:
    return None if node is None else node.data
