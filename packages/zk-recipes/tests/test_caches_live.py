"""Caches on threads on a running server, with a proxy that cuts and counts; and in the other worlds."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Callable

import pytest
from telling import PATIENCE, Told, server_watches, wait_for_threads_to_end, wait_until

from zk_client import AsyncClient, Client, NoAuthError, SessionClosedError, SessionState, make_acl
from zk_recipes import (
    AsyncTreeCache,
    CacheEvent,
    CacheEventKind,
    ChildrenCache,
    GroupMembership,
    NodeCache,
    TreeCache,
)
from zk_testing import EmbeddedServer, Settings
from zk_testing.faults import FaultProxy
from zk_testing.member import ZooKeeperServer
from zk_wire import OpCode

MakeClient = Callable[..., Client]
WORKER = "zk-client cache"
ADDED, UPDATED, REMOVED, RECREATED = (
    CacheEventKind.ADDED,
    CacheEventKind.UPDATED,
    CacheEventKind.REMOVED,
    CacheEventKind.RECREATED,
)


@pytest.fixture
def zk(make_client: MakeClient) -> Client:
    return make_client()


def cut_off(client: Client, proxy: FaultProxy) -> None:
    away = threading.Event()

    def listen(state: SessionState) -> None:
        if not state.is_connected:
            away.set()

    client.add_listener(listen)
    proxy.refuse()
    proxy.cut()
    assert away.wait(PATIENCE)
    client.remove_listener(listen)


def kinds_of(told: Told) -> list[tuple[CacheEventKind, str]]:
    return [(event.kind, event.path) for (event,) in told.calls if isinstance(event, CacheEvent)]


def make_old(server: EmbeddedServer) -> None:
    """Have the server not know what came with 3.6."""

    def forget(core: object) -> None:
        for opcode in (OpCode.ADD_WATCH, OpCode.MULTI_READ):
            core._reads.pop(opcode)  # type: ignore[attr-defined]

    server.call(forget)


def make_nodes(client: Client, paths: list[str]) -> None:
    for start in range(0, len(paths), 500):
        with client.transaction() as batch:
            for path in paths[start : start + 500]:
                batch.create(path, path.encode())


# What is in it, and what is told


@pytest.mark.parametrize("single", [False, True])
def test_a_tree_is_copied_and_followed_and_its_neighbours_are_not(zk: Client, single: bool) -> None:
    for path in ("/top/a/b", "/top/c", "/topmost/d"):
        zk.create(path, path.encode(), makepath=True)
    told = Told()
    with TreeCache(zk, "/top", single_watches=single) as cache:
        cache.listen(told)
        assert set(cache.snapshot()) == {"/top", "/top/a", "/top/a/b", "/top/c"}
        assert cache.children() == {"a", "c"} and cache.children("/top/c") == frozenset()
        node = cache.get("/top/a/b")
        assert node is not None and (node.data, node.stat) == zk.get("/top/a/b")
        assert "/top/c" in cache and len(cache) == 4 and cache.get("/top/x") is None
        for path in ("/topmost", "/topmost/d", "/"):
            with pytest.raises(ValueError, match="not in the tree"):
                cache.get(path)
        zk.set("/topmost/d", b"")
        zk.set("/top/c", b"2")
        told.wait(lambda event: event.kind is UPDATED and event.node.data == b"2")
        zk.create("/top/c/new", b"")
        told.wait(lambda event: (event.kind, event.path) == (ADDED, "/top/c/new"))
        zk.delete("/top/a", recursive=True)
        told.wait(lambda event: (event.kind, event.path) == (REMOVED, "/top/a"))
        assert kinds_of(told) == [
            (UPDATED, "/top/c"),
            (ADDED, "/top/c/new"),
            (REMOVED, "/top/a/b"),
            (REMOVED, "/top/a"),
        ]
        assert set(cache.snapshot()) == {"/top", "/top/c", "/top/c/new"}


def test_a_node_and_children_have_caches_of_their_own(zk: Client) -> None:
    told = Told()
    with NodeCache(zk, "/top") as node, ChildrenCache(zk, "/top", select=lambda path: "hidden" not in path) as children:
        node.listen(told)
        children.listen(told)
        assert (node.node, node.data, node.stat) == (None, None, None)
        assert len(children) == 0
        zk.create("/top", b"1")
        zk.create("/top/hidden")
        zk.create("/top/a", b"a")
        zk.create("/top/a/deep")
        told.wait(lambda event: event.path == "/top/a")
        assert node.wait_for(zk.get("/top")[1].mzxid, 20.0)  # two caches, each at its own pace
        assert node.data == b"1" and node.stat is not None and node.stat.czxid == zk.get("/top")[1].czxid
        assert children.names == {"a"} and "a" in children and "hidden" not in children
        found = children.get("a")
        assert found is not None and found.data == b"a" and children.snapshot() == {"a": found}
        zk.delete("/top", recursive=True)
        told.wait(lambda event: (event.kind, event.path) == (REMOVED, "/top/a"))
        assert children.wait_for(0) and not children.names


def test_a_node_recreated_unseen_is_told_as_recreated(make_client: MakeClient, zk_faults: FaultProxy) -> None:
    away, other = make_client(zk_faults.hosts), make_client()
    other.create("/top/n", b"same", makepath=True)
    told = Told()
    with TreeCache(away, "/top") as tree, NodeCache(away, "/top/n") as node:
        tree.listen(told)
        node.listen(told)
        cut_off(away, zk_faults)
        other.delete("/top/n")
        other.create("/top/n", b"same")
        zk_faults.heal()
        for _ in range(2):
            told.wait(lambda event: event.kind is RECREATED and event.path == "/top/n")
        told.wait(lambda event: sum(call[0].kind is RECREATED for call in told.calls) == 2)  # type: ignore[attr-defined]
        (event,) = told.wait(lambda event: event.kind is RECREATED)
        assert isinstance(event, CacheEvent) and event.before is not None and event.node is not None
        assert event.before.stat.czxid < event.node.stat.czxid


@pytest.mark.parametrize("kind", ["node", "tree", "single watches"])
def test_a_top_that_goes_and_comes_back_is_followed_every_time(zk: Client, kind: str) -> None:
    zk.create("/top", b"0")
    told = Told()
    cache = NodeCache(zk, "/top") if kind == "node" else TreeCache(zk, "/top", single_watches=kind != "tree")
    with cache:
        cache.listen(told)
        for life in range(1, 4):
            zk.delete("/top")
            told.wait(lambda event: event.kind is REMOVED)
            zk.create("/top", b"%d" % life)
            told.wait(lambda event, life=life: event.kind is ADDED and event.node.data == b"%d" % life)
            told.calls.clear()


def test_a_write_is_waited_for_by_its_zxid(zk: Client) -> None:
    zk.create("/top", b"1")
    with TreeCache(zk, "/top") as cache:
        for number in range(20):
            stat = zk.set("/top", b"%d" % number)
            assert cache.wait_for(stat.mzxid, PATIENCE)
            node = cache.get()
            assert node is not None and node.data == b"%d" % number and cache.as_of >= stat.mzxid
        assert not cache.wait_for(stat.mzxid + 1000, 0.01)


def test_without_a_connection_the_cache_says_that_it_ages(make_client: MakeClient, zk_faults: FaultProxy) -> None:
    away, other = make_client(zk_faults.hosts, 2.0), make_client()
    other.create("/top", b"1")
    told = Told()
    cache = TreeCache(away, "/top")
    assert cache.age == float("inf") and not cache.connected
    with cache:
        cache.listen(told)
        assert cache.connected and cache.age < 2.0
        cut_off(away, zk_faults)
        told.wait(lambda event: event.kind is CacheEventKind.SUSPENDED)
        assert not cache.connected
        before = cache.age
        assert not cache.wait_for(1 << 62, 0.05)
        assert cache.age >= before + 0.05
        assert cache.get() is not None
        other.set("/top", b"2")
        zk_faults.heal()
        told.wait(lambda event: event.kind is CacheEventKind.CONNECTED)
        node = cache.get()
        assert node is not None and node.data == b"2" and cache.connected and cache.age < 2.0


def test_an_expired_session_is_told_and_followed_by_the_next(
    make_client: MakeClient, zk_faults: FaultProxy, zk_server: ZooKeeperServer
) -> None:
    from zk_testing.rawclient import RawClient

    away, other = make_client(zk_faults.hosts), make_client()
    other.create("/top/n", makepath=True)
    told = Told()
    with TreeCache(away, "/top") as cache:
        cache.listen(told)
        cut_off(away, zk_faults)
        assert away.client_id is not None
        RawClient(zk_server.hosts, session=away.client_id).close_session()
        other.create("/top/m")
        zk_faults.heal()
        told.wait(lambda event: event.kind is CacheEventKind.LOST)
        told.wait(lambda event: event.kind is CacheEventKind.CONNECTED)
        assert cache.children() == {"m", "n"}
        other.set("/top/m", b"2")
        told.wait(lambda event: event.kind is UPDATED)


# What it costs


@pytest.mark.parametrize("single", [False, True])
def test_the_requests_of_a_load_and_of_a_resync_are_counted(
    make_client: MakeClient, zk_faults: FaultProxy, single: bool
) -> None:
    away, other = make_client(zk_faults.hosts), make_client()
    directories = [f"/top/d{number}" for number in range(20)]
    leaves = [f"{directory}/n{number}" for directory in directories for number in range(30)]
    make_nodes(other, ["/top", *directories, *leaves])
    count = 1 + len(directories) + len(leaves)
    told = Told()

    def sent(mark: int) -> Counter[str]:
        passed = [passed for passed in zk_faults.record[mark:] if passed.direction == "to_server"]
        return Counter(one.kind for one in passed if one.kind not in ("ping", "connect"))

    mark = zk_faults.mark()
    with TreeCache(away, "/top", single_watches=single) as cache:
        assert len(cache) == count
        load = sent(mark)
        cache.listen(told)
        cut_off(away, zk_faults)
        mark = zk_faults.mark()
        for leaf in leaves[:10]:
            other.set(leaf, b"changed")
        other.create("/top/d0/new")
        other.delete(leaves[-1])
        zk_faults.heal()
        told.wait(lambda event: event.kind is CacheEventKind.CONNECTED)
        resync = sent(mark)
        assert (
            {event.path for (event,) in told.calls if event.node or event.before}
            == {  # type: ignore[attr-defined]
                *leaves[:10],
                "/top/d0/new",
                leaves[-1],
            }
        )
        assert len(cache) == count
    if single:
        assert load == {"get_data": count, "get_children": count, "exists": 1}
        # Each changed node read once, each changed directory listed once, the new node read and listed.
        assert resync["get_data"] <= 10 + 1 + 1 and resync["get_children"] <= 2 + 1
        assert sum(resync.values()) <= resync["get_data"] + resync["get_children"] + 3
    else:
        # Level by level: nodes, 60 in a request, and directories, 60 in a request.
        assert load == {"add_watch": 1, "multi_read": 1 + 1 + 1 + 1 + 10}
        assert resync == {"set_watches": 1, "multi_read": 11 + 1 + 1}


def test_ten_thousand_nodes_are_loaded_and_followed(zk: Client) -> None:
    leaves = [f"/top/{number:05}" for number in range(10_000)]
    make_nodes(zk, ["/top", *leaves])
    with TreeCache(zk, "/top") as cache:
        assert len(cache) == 10_001
        stat = zk.set(leaves[5_000], b"2")
        assert cache.wait_for(stat.mzxid, PATIENCE)
        node = cache.get(leaves[5_000])
        assert node is not None and node.data == b"2"
    for start in range(0, len(leaves), 500):
        with zk.transaction() as batch:
            for leaf in leaves[start : start + 500]:
                batch.delete(leaf)


# What is left


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("how", ["close", "listener", "client"])
def test_a_closed_cache_leaves_nothing(
    make_client: MakeClient, zk_server: ZooKeeperServer, how: str, single: bool, caplog: pytest.LogCaptureFixture
) -> None:
    zk, other = make_client(), make_client()
    other.create("/top/a/b", makepath=True)
    before = server_watches(zk_server)
    cache = TreeCache(zk, "/top", single_watches=single).start()
    assert cache.wait(PATIENCE) and server_watches(zk_server) > before
    with caplog.at_level(logging.WARNING):
        if how == "close":
            cache.close()
            cache.close()
        elif how == "listener":
            cache.listen(lambda event: cache.close())
            other.set("/top/a", b"2")
        else:
            zk.stop()
        wait_for_threads_to_end(WORKER)
    assert caplog.records == []
    assert not cache.connected and len(cache) == 3
    with pytest.raises(SessionClosedError):
        cache.wait_for(1 << 62, PATIENCE)
    with pytest.raises(ValueError, match="started before"):
        cache.start()
    if how != "client":
        zk.sync("/")
        assert zk.handler.listeners == []
    wait_until(lambda: server_watches(zk_server) == before)


def test_what_may_not_be_read_is_left_out_with_a_warning(zk: Client, caplog: pytest.LogCaptureFixture) -> None:
    zk.create("/top/open", makepath=True)
    zk.create("/top/secret", acl=[make_acl("world", "anyone", create=True, delete=True, admin=True)])
    with caplog.at_level(logging.WARNING), TreeCache(zk, "/top") as cache:
        assert cache.children() == {"open"}
    assert "leaves out what it may not read" in caplog.text
    with pytest.raises(NoAuthError):
        zk.get("/top/secret")


def test_an_exception_in_a_listener_is_logged_and_a_stopped_one_is_told_nothing(
    zk: Client, caplog: pytest.LogCaptureFixture
) -> None:
    zk.create("/top")
    told, stopped = Told(), Told()

    def broken(event: CacheEvent) -> None:
        raise ValueError("a bug of the user's")

    with TreeCache(zk, "/top") as cache:
        cache.listen(broken)
        listening = cache.listen(stopped)
        cache.listen(told)
        listening.stop()
        listening.stop()
        zk.create("/top/a")
        told.wait(lambda event: event.path == "/top/a")
    assert stopped.calls == [] and "a bug of the user's" in caplog.text


def test_arguments_that_mean_nothing_are_refused(zk: Client) -> None:
    for depth in (-1, 1.5, True):
        with pytest.raises(ValueError, match="max_depth"):
            TreeCache(zk, "/top", max_depth=depth)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="invalid path"):
        TreeCache(zk, "top")
    with pytest.raises(TypeError, match="callable"):
        TreeCache(zk, "/top").listen("no function")  # type: ignore[arg-type]
    with pytest.raises(SessionClosedError, match="not started"):
        TreeCache(zk, "/top").wait(PATIENCE)

    async def listen(event: CacheEvent) -> None: ...

    for cache in (TreeCache(zk, "/top"), GroupMembership(zk, "/top", "me")):
        with pytest.raises(TypeError, match="asynchronous"):
            cache.listen(listen)


# Other servers, other worlds


def test_an_old_server_is_watched_node_by_node() -> None:
    with EmbeddedServer(settings=Settings(tick_ms=20)) as server, Client(server.hosts, 4.0) as zk:
        make_old(server)
        zk.create("/top/a/b", makepath=True)
        told = Told()
        with TreeCache(zk, "/top") as cache:
            cache.listen(told)
            assert set(cache.snapshot()) == {"/top", "/top/a", "/top/a/b"}
            zk.create("/top/a/c", b"c")
            told.wait(lambda event: (event.kind, event.path) == (ADDED, "/top/a/c"))
        wait_for_threads_to_end(WORKER)
        zk.sync("/")
        assert server_watches(server) == 0  # type: ignore[arg-type]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_tree_is_followed_on_asyncio(loop: str) -> None:
    with EmbeddedServer(settings=Settings(tick_ms=20)) as server, FaultProxy(server) as proxy:

        async def main() -> None:
            async with (
                asyncio.timeout(30),
                AsyncClient(proxy.hosts, 4.0) as zk,
                AsyncClient(server.hosts, 4.0) as other,
            ):
                await other.create("/top/a", makepath=True)
                told: asyncio.Queue[CacheEvent] = asyncio.Queue()

                async def listen(event: CacheEvent) -> None:
                    await zk.exists("/top")
                    told.put_nowait(event)

                async with AsyncTreeCache(zk, "/top") as cache:
                    cache.listen(listen)
                    assert cache.children() == {"a"}
                    await other.create("/top/b")
                    assert (await told.get()).path == "/top/b"
                    proxy.cut()
                    stat = await other.set("/top/a", b"2")
                    while (await told.get()).kind is not CacheEventKind.UPDATED:
                        pass
                    assert await cache.wait_for(stat.mzxid, PATIENCE)
                async with AsyncTreeCache(zk, "/top", max_depth=0) as cache:
                    assert len(cache) == 1
            async with asyncio.timeout(PATIENCE):
                while asyncio.all_tasks() - {asyncio.current_task()}:  # noqa: ASYNC110
                    await asyncio.sleep(0)

        factory = asyncio.new_event_loop if loop == "asyncio" else pytest.importorskip("uvloop").new_event_loop
        with asyncio.Runner(debug=True, loop_factory=factory) as runner:
            runner.run(main())


def test_a_tree_is_followed_on_greenlets_where_nothing_is_patched() -> None:
    gevent = pytest.importorskip("gevent")
    with (
        EmbeddedServer(settings=Settings(tick_ms=20)) as server,
        Client(server.hosts, 4.0, runtime="gevent") as zk,
    ):
        seen = gevent.event.Event()
        with TreeCache(zk, "/top") as cache:
            cache.listen(lambda event: seen.set() if event.path == "/top/a" else None)
            zk.create("/top/a", makepath=True)
            assert seen.wait(PATIENCE) and cache.children() == {"a"}
        with gevent.Timeout(PATIENCE):
            while server_watches(server):  # type: ignore[arg-type]
                zk.sync("/")
