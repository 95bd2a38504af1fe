"""The search for faults of caches: seeded schedules in virtual time, and naive caches on which it finds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from finding import finds
from schedules import on_every_schedule, some
from sim_world import FAULTS, Client, World
from simulated import NO_FAULTS, Faults, RefusedTransactionError, faults_of

from zk_recipes import (
    AsyncChildrenCache,
    AsyncNodeCache,
    AsyncTreeCache,
    CachedNode,
    CacheEvent,
    CacheEventKind,
    _cache,
)
from zk_recipes._mirror import Mirror
from zk_recipes._tree_watching import Heard, RecursiveWay, SingleWay
from zk_testing.errors import ConversationError
from zk_wire import OPEN_ACL_UNSAFE, CreateRequest, NoNodeError, NotEmptyError

TOP = "/top"
Make = Callable[[Client], Any]
Wanted = Callable[[str], bool]


async def change(world: World, rounds: int) -> None:
    """Create, change and delete nodes of a small tree, and of its neighbours, as the seed wants."""
    sim, server = world.sim, world.server
    await server.ready()
    session = server.open_session()
    for number in range(rounds):
        await sim.sleep(sim.between(0.0, 0.01 if sim.random() < 0.7 else 6.0))
        path = sim.choose([TOP, f"{TOP}/a", f"{TOP}/a/b", f"{TOP}/a/b/c", f"{TOP}/d", f"{TOP}/d/e", "/topmost"])
        await server.ready()
        try:
            match int(sim.random() * 7):
                case 6:
                    for gone in reversed(server.paths()):
                        if gone.startswith(path):
                            server.delete(session, gone)
                case 5:
                    new = [sim.choose([TOP, f"{TOP}/a", f"{TOP}/d"])]
                    new += [f"{new[0]}/b", f"{new[0]}/b/c"]
                    server.commit(session, [CreateRequest(node, b"", OPEN_ACL_UNSAFE, 0) for node in new])
                case 0:
                    server.set(session, path, b"%d" % number)
                case 1:
                    server.delete(session, path)
                case 2:
                    server.delete(session, path)
                    server.ensure_path(path)
                case _:
                    server.ensure_path(path)
        except (NoNodeError, NotEmptyError, RefusedTransactionError, ConversationError):
            pass


def identity(node: CachedNode) -> tuple[bytes | None, int, int]:
    return node.data, node.stat.czxid, node.stat.mzxid


def replay(events: list[CacheEvent]) -> dict[str, CachedNode]:
    """What the events told lead to; fails where one does not follow from those before."""
    nodes: dict[str, CachedNode] = {}
    for event in events:
        match event.kind:
            case CacheEventKind.ADDED:
                assert event.path not in nodes and event.node is not None, f"added twice: {event}"
                nodes[event.path] = event.node
            case CacheEventKind.UPDATED | CacheEventKind.RECREATED:
                assert event.before is not None and event.node is not None
                assert identity(nodes[event.path]) == identity(event.before)
                assert (event.before.stat.czxid != event.node.stat.czxid) == (event.kind is CacheEventKind.RECREATED)
                nodes[event.path] = event.node
            case CacheEventKind.REMOVED:
                assert event.before is not None
                assert identity(nodes.pop(event.path)) == identity(event.before)
                assert not [path for path in nodes if path.startswith(event.path + "/")], "children are told first"
    return nodes


def essence(nodes: dict[str, CachedNode]) -> dict[str, tuple[bytes | None, int, int]]:
    return {path: identity(node) for path, node in nodes.items()}


def truth(world: World, wanted: Wanted) -> dict[str, tuple[bytes | None, int, int]]:
    found = {}
    for path in world.server.paths():
        if (path == TOP or path.startswith(TOP + "/")) and wanted(path):
            data, stat = world.server.get(path)
            found[path] = (data, stat.czxid, stat.mzxid)
    return found


def chaos(seed: int, make: Make, wanted: Wanted, *, faults: Faults = NO_FAULTS, old: bool = False) -> World:
    """Follow a tree that changes, through everything that goes wrong; in the end the copy is the original."""
    world = World(seed, 1, faults=faults)
    sim, client, server = world.sim, world.clients[0], world.server
    if old:
        server.forget_persistent_watches()
    events: list[CacheEvent] = []

    def listen(event: CacheEvent) -> None:
        sim.note("listener", f"is told {event.kind} {event.path}")
        events.append(event)
        if sim.random() < 0.05:
            raise ValueError("a bug of the user's")

    async def life() -> None:
        if sim.random() < 0.5:
            await change(world, 6)
        changing = sim.spawn(change(world, 14), "changing")
        cache = make(client)
        cache.listen(listen)
        await cache.start()
        if faults.limit:
            await sim.sleep(sim.between(0.0, 1.0))
            client.cut(sim.between(0.1, 25.0))
            if sim.random() < 0.1:
                await sim.sleep(sim.between(0.0, 1.0))
                await cache.close()
                await changing.join()
                return
        await changing.join()
        await sim.sleep(400)
        assert await cache.wait(0) and cache.connected
        assert essence(replay(events)) == truth(world, wanted), "what was told is not what is"
        assert essence(cache._mirror.nodes) == truth(world, wanted), "the copy is not the original"
        for path in cache._mirror.nodes:
            names = {name for name in server.children(path) if wanted(f"{path}/{name}")}
            assert cache._mirror.names(path) == names, f"children of {path}"
        kinds = [event.kind for event in events]
        assert kinds.count(CacheEventKind.INITIALIZED) == 1
        assert cache.as_of >= max((mzxid for _, _, mzxid in truth(world, wanted).values()), default=-1)
        await cache.close()
        count = len(events)
        server.ensure_path(f"{TOP}/late")
        await sim.sleep(60)
        assert len(events) == count

    world.run(life(), clean=False)
    if leaks := [leak for leak in world.leaks() if not leak.startswith("node")]:
        raise AssertionError(f"seed {seed}: left behind {leaks}")
    return world


def everything(path: str) -> bool:
    return True


def depth(path: str) -> int:
    return 0 if path == TOP else path[len(TOP) :].count("/")


TREES: dict[str, tuple[Make, Wanted]] = {
    "tree": (lambda client: AsyncTreeCache(client, TOP), everything),
    "tree, single watches": (lambda client: AsyncTreeCache(client, TOP, single_watches=True), everything),
    "two levels": (lambda client: AsyncTreeCache(client, TOP, max_depth=2), lambda path: depth(path) <= 2),
    "selected": (
        lambda client: AsyncTreeCache(client, TOP, select=lambda path: not path.endswith("/b")),
        lambda path: "/b" not in path,
    ),
    "selected, single watches": (
        lambda client: AsyncTreeCache(
            client, TOP, select=lambda path: not path.endswith("/b"), single_watches=True, max_depth=2
        ),
        lambda path: "/b" not in path and depth(path) <= 2,
    ),
    "children": (lambda client: AsyncChildrenCache(client, TOP), lambda path: depth(path) <= 1),
    "node": (lambda client: AsyncNodeCache(client, TOP), lambda path: path == TOP),
}


def search(seed: int, *, faults: Faults = FAULTS) -> None:
    make, wanted = TREES[list(TREES)[seed // 5 % len(TREES)]]
    chaos(seed, make, wanted, faults=faults, old=seed % 7 == 0)


@on_every_schedule
def test_the_cache_becomes_what_the_server_has(seeds: range) -> None:
    for seed in seeds:
        search(seed)


@pytest.mark.parametrize("kind", TREES)
def test_a_quiet_world_is_followed_by_every_kind_of_cache(kind: str) -> None:
    make, wanted = TREES[kind]
    for seed in range(10):
        chaos(seed, make, wanted)


@pytest.mark.parametrize("fault", ["lose request", "lose reply", "cut", "hang", "freeze"])
@pytest.mark.parametrize("kind", ["tree", "tree, single watches"])
def test_each_kind_of_fault_alone_is_survived_at_every_request(kind: str, fault: str) -> None:
    make, wanted = TREES[kind]
    for seed in some(50, least=20):
        chaos(seed, make, wanted, faults=faults_of(rate=0.3, limit=12, kinds=(fault,)))


# Naive caches


class HearsWhatItHears(RecursiveWay):
    """Goes on after a reconnect as if nothing could have been missed."""

    def take(self) -> Heard:
        heard = super().take()
        return heard._replace(missed=heard.over)


class ListsNever(RecursiveWay):
    """Reads what it knows again after a reconnect, and never finds what is new."""

    def must_list(self, path: str, stat: Any, known: int | None, *, looking: bool) -> bool:
        return known is None


class ReadsFirst(SingleWay):
    """Reads, and watches after."""

    async def read(self, paths: Any) -> Any:
        found = await super().read(paths)
        await self._port.sleep(0.05)
        await super().read(paths)
        return found


class ComparesVersions(Mirror):
    """Takes a node of the same version for the same node."""

    def put(self, path: str, data: bytes | None, stat: Any) -> Any:
        before = self.nodes.get(path)
        if before is not None and before.stat.version == stat.version:
            return None
        return super().put(path, data, stat)


class BelievesEvents(RecursiveWay):
    """Takes a creation for news of a node that was not there."""

    def take(self) -> Heard:
        heard = super().take()
        return heard._replace(gone={}) if heard.gone else heard


def naive(way: type[RecursiveWay | SingleWay], monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setattr(_cache, "SingleWay" if issubclass(way, SingleWay) else "RecursiveWay", way)
    return lambda client: AsyncTreeCache(client, TOP, single_watches=issubclass(way, SingleWay))


@pytest.mark.parametrize("way", [HearsWhatItHears, ListsNever, ReadsFirst, BelievesEvents])
def test_the_search_finds_a_naive_cache(way: type[RecursiveWay], monkeypatch: pytest.MonkeyPatch) -> None:
    make = naive(way, monkeypatch)
    finds(lambda seed: chaos(seed, make, everything, faults=FAULTS), "not what is|original")


def test_the_search_finds_a_cache_that_compares_versions() -> None:
    def make(client: Client) -> AsyncTreeCache:
        cache = AsyncTreeCache(client, TOP)
        cache._mirror = ComparesVersions(TOP)
        return cache

    finds(lambda seed: chaos(seed, make, everything, faults=FAULTS), "not what is")
