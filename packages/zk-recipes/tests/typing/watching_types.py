"""What type checkers see of watches, caches and members. Checked, not run."""

from __future__ import annotations

from typing import assert_type

from zk_client import Client, HasPort
from zk_recipes import (
    AsyncDataWatch,
    AsyncParty,
    AsyncTreeCache,
    CachedNode,
    CacheEvent,
    ChildrenCache,
    ChildrenWatch,
    DataWatch,
    GroupMembership,
    NodeCache,
    Party,
    PatientChildrenWatch,
    PersistentNode,
    ShallowParty,
    TreeCache,
)
from zk_wire import Stat


def on_data(data: bytes | None, stat: Stat | None) -> None: ...


def on_children(names: list[str]) -> None: ...


def on_event(event: CacheEvent) -> None: ...


def watches(client: Client) -> None:
    watch = DataWatch(client, "/a", on_data)
    assert_type(watch.stop(), None)
    assert_type(watch.stopped, bool)
    assert_type(watch.called(1.0), bool)
    ChildrenWatch(client, "/a", on_children, send_event=True)
    names, changed = PatientChildrenWatch(client, "/a", 1.0).start().get(5.0)
    assert_type(names, list[str])
    assert_type(changed.get(), bool)

    @DataWatch(client, "/a")
    def decorated(data: bytes | None, stat: Stat | None) -> int:
        return 1

    assert_type(decorated(b"", None), int)


def caches(client: Client) -> None:
    with TreeCache(client, "/a", max_depth=2, select=lambda path: True) as cache:
        assert_type(cache, TreeCache)
        assert_type(cache.get("/a/b"), CachedNode | None)
        assert_type(cache.children(), frozenset[str])
        assert_type(cache.snapshot(), dict[str, CachedNode])
        assert_type(cache.wait_for(5, 1.0), bool)
        assert_type(cache.age, float)
        assert_type(cache.connected, bool)
        cache.listen(on_event).stop()
    assert_type(NodeCache(client, "/a").data, bytes | None)
    assert_type(NodeCache(client, "/a").start(), NodeCache)
    assert_type(ChildrenCache(client, "/a").names, frozenset[str])
    TreeCache(client, "/a", depth=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def members(client: Client) -> None:
    with PersistentNode(client, "/a", b"") as node:
        assert_type(node.exists, bool)
        assert_type(node.token, int | None)
        assert_type(node.close(), bool)
    party = ShallowParty(client, "/a", "me")
    assert_type(list(party), list[str])
    assert_type(len(party), int)
    assert_type(party.join(), bool)
    with Party(client, "/a") as joined:
        assert_type(joined.members(), list[str])
    assert_type(GroupMembership(client, "/a", "me").members, dict[str, bytes])


async def awaited(client: HasPort) -> None:
    watch = AsyncDataWatch(client, "/a", on_data)
    assert_type(await watch.called(), bool)
    async with AsyncTreeCache(client, "/a") as cache:
        assert_type(cache, AsyncTreeCache)
        assert_type(await cache.wait(1.0), bool)
        assert_type(cache.get(), CachedNode | None)
    async with AsyncParty(client, "/a") as party:
        assert_type(await party.members(), list[str])
