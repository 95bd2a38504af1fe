"""Watches that outlive a connection, and end with the session: each is set again, or its owner is told."""

from __future__ import annotations

import pytest
from conftest import MakeClient
from live import PATIENCE, Events, cut_off, expire, flush, kinds
from worlds import Threads

from zk_client import (
    Client,
    EventType,
    SessionState,
    WatchedEvent,
)
from zk_testing.faults import FaultProxy
from zk_testing.member import ZooKeeperServer

pytestmark = pytest.mark.cluster

CREATED, DELETED, CHANGED, CHILD, NONE = (
    EventType.CREATED,
    EventType.DELETED,
    EventType.CHANGED,
    EventType.CHILD,
    EventType.NONE,
)


def make_nodes(client: Client, count: int) -> list[str]:
    """Create nodes with long names, many at a time."""
    names = [f"/{number:05}-{'x' * 190}" for number in range(count)]
    for start in range(0, count, 500):
        with client.transaction() as batch:
            for name in names[start : start + 500]:
                batch.create(name)
    return names


def delete_nodes(client: Client, names: list[str]) -> None:
    """Delete them again, which one by one takes long."""
    for start in range(0, len(names), 500):
        with client.transaction() as batch:
            for name in names[start : start + 500]:
                batch.delete(name)


def let_back(client: Client, proxy: FaultProxy) -> None:
    proxy.heal()
    client.sync("/")


# Across a reconnect


def test_what_changed_while_away_is_told_after_the_reconnect(
    away: Client, other: Client, zk_faults: FaultProxy
) -> None:
    for name in ("changed", "deleted", "parent", "parent/old", "again", "gone"):
        away.create(f"/{name}")
    seen = {name: Events() for name in ("changed", "deleted", "created", "parent", "again", "gone")}
    away.get("/changed", watch=seen["changed"])
    away.exists("/deleted", watch=seen["deleted"])
    away.exists("/created", watch=seen["created"])
    away.get_children("/parent", watch=seen["parent"])
    away.get("/again", watch=seen["again"])
    away.get_children("/gone", watch=seen["gone"])
    cut_off(away, zk_faults)
    other.set("/changed", b"")
    other.delete("/deleted")
    other.create("/created")
    other.delete("/parent/old")
    other.delete("/again")
    other.create("/again")
    other.delete("/gone")

    let_back(away, zk_faults)

    assert {name: kinds(events.wait()) for name, events in seen.items()} == {
        "changed": [(CHANGED, "/changed")],
        "deleted": [(DELETED, "/deleted")],
        "created": [(CREATED, "/created")],
        "parent": [(CHILD, "/parent")],
        "again": [(CHANGED, "/again")],
        "gone": [(DELETED, "/gone")],
    }


def test_what_did_not_change_is_still_watched_after_the_reconnect(
    away: Client, other: Client, zk_faults: FaultProxy
) -> None:
    away.create("/n")
    data, exists, missing, children = Events(), Events(), Events(), Events()
    away.get("/n", watch=data)
    away.exists("/n", watch=exists)
    away.exists("/m", watch=missing)
    away.get_children("/n", watch=children)
    for _ in range(2):
        cut_off(away, zk_faults)
        let_back(away, zk_faults)
    flush(away)
    assert data.seen + exists.seen + missing.seen + children.seen == []

    other.set("/n", b"")
    other.create("/m")
    other.create("/n/c")

    assert kinds(data.wait() + exists.wait()) == [(CHANGED, "/n")] * 2
    assert kinds(missing.wait() + children.wait()) == [(CREATED, "/m"), (CHILD, "/n")]


def test_a_change_is_told_although_the_connection_that_told_it_was_lost(
    world: Threads, away: Client, other: Client, zk_faults: FaultProxy
) -> None:
    # Two parts: the reply to the first shows a newer zxid than the change that the second will tell.
    names = make_nodes(other, 800)
    seen = Events()
    world.submit_all(away, [away.operations.get(name, seen) for name in names])
    away.sync("/")  # answered behind them
    cut_off(away, zk_faults)
    other.set(names[-1], b"")
    zk_faults.heal()
    lost = zk_faults.lose_reply("notification")

    lost.wait()

    assert kinds(seen.wait()) == [(CHANGED, names[-1])]
    parts = [passed for passed in zk_faults.record if passed.kind == "set_watches" and passed.direction == "to_client"]
    assert parts[0].connection == lost.struck[0].connection
    delete_nodes(other, names)


def test_a_persistent_watch_says_read_again_after_a_reconnect_and_goes_on(
    away: Client, other: Client, zk_faults: FaultProxy
) -> None:
    with away.watch("/n") as plain, away.watch("/r", recursive=True) as recursive:
        cut_off(away, zk_faults)
        other.create("/n")
        other.create("/r")
        let_back(away, zk_faults)
        for watch, path in ((plain, "/n"), (recursive, "/r")):
            event = watch.get(PATIENCE)
            assert event is not None
            assert (event.type, event.path) == (NONE, path)
            assert event.state.is_connected
        other.set("/n", b"")
        other.create("/r/c")
        assert kinds([plain.get(PATIENCE), recursive.get(PATIENCE)]) == [(CHANGED, "/n"), (CREATED, "/r/c")]


@pytest.mark.zk_leaks_allowed("sessions")  # its proxy ends before its clients
@pytest.mark.worlds("threads")  # twenty thousand short ones are watched in every world: test_watch_restoration
def test_thousands_of_long_paths_are_watched_again_in_parts(
    world: Threads, make_client: MakeClient, zk_server: ZooKeeperServer, zk_chroot: str
) -> None:
    count = 5500
    with FaultProxy(zk_server) as proxy:
        zk = make_client(proxy.hosts + zk_chroot, 20.0)
        names = make_nodes(zk, count)
        seen = Events()
        world.submit_all(zk, [zk.operations.get(name, seen) for name in names])
        zk.sync("/")  # answered behind them
        other = make_client(zk_server.connection_string(zk_chroot))
        cut_off(zk, proxy)
        mark = proxy.mark()
        missed = [names[0], names[count // 2], names[-1]]
        for name in missed:
            other.set(name, b"")

        let_back(zk, proxy)

        assert kinds(seen.wait(3)) == [(CHANGED, name) for name in missed]
        parts = [p for p in proxy.record if p.number > mark and p.kind == "set_watches" and p.direction == "to_server"]
        assert sum(part.size for part in parts) > 1024 * 1024
        assert max(part.size for part in parts) < 132 * 1024
        for name in (names[1], names[-2]):
            other.set(name, b"")
        assert kinds(seen.wait(5))[3:] == [(CHANGED, names[1]), (CHANGED, names[-2])]
        delete_nodes(other, names)


# The end of the session


def test_an_expiry_tells_the_owner_of_every_watch(
    away: Client, zk_faults: FaultProxy, zk_server: ZooKeeperServer
) -> None:
    away.create("/n")
    seen, watcher = Events(), away.watcher()
    away.get("/n", watch=seen)
    away.exists("/m", watch=watcher)
    persistent = away.watch("/p", recursive=True)
    cut_off(away, zk_faults)
    expire(away, zk_server.address)
    zk_faults.heal()

    assert seen.wait() == [WatchedEvent(NONE, SessionState.EXPIRED, "/n")]
    assert watcher.wait(PATIENCE) == WatchedEvent(NONE, SessionState.EXPIRED, "/m")
    assert list(persistent) == [WatchedEvent(NONE, SessionState.EXPIRED, "/p")]
    away.sync("/")  # a new session is there
    away.set("/n", b"")
    flush(away)
    assert len(seen.seen) == 1


def test_stop_tells_the_owner_of_every_watch(zk: Client) -> None:
    zk.create("/n")
    seen, watcher = Events(), zk.watcher()
    zk.get("/n", watch=seen)
    zk.exists("/m", watch=watcher)
    persistent = zk.watch("/p")
    zk.stop()
    assert seen.wait() == [WatchedEvent(NONE, SessionState.CLOSED, "/n")]
    assert watcher.wait(PATIENCE) == WatchedEvent(NONE, SessionState.CLOSED, "/m")
    assert list(persistent) == [WatchedEvent(NONE, SessionState.CLOSED, "/p")]
