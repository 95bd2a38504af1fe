"""Watches on servers: told once or for ever, taken back, and the functions they are told to."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest
from conftest import MakeClient
from live import PATIENCE, Background, Events, flush, kinds, servers, watches_on
from worlds import Threads

from zk_client import (
    Client,
    ConfigurationError,
    EventType,
    NoNodeError,
    SessionState,
    WatchedEvent,
)
from zk_testing import Choice, EmbeddedServer
from zk_testing.cluster import Cluster
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


# Once


@pytest.mark.parametrize(
    ("read", "change", "expected"),
    [
        (lambda zk, f: zk.get("/n", watch=f), lambda zk: zk.set("/n", b""), (CHANGED, "/n")),
        (lambda zk, f: zk.get("/n", watch=f), lambda zk: zk.delete("/n"), (DELETED, "/n")),
        (lambda zk, f: zk.exists("/n", watch=f), lambda zk: zk.set("/n", b""), (CHANGED, "/n")),
        (lambda zk, f: zk.exists("/n", watch=f), lambda zk: zk.delete("/n"), (DELETED, "/n")),
        (lambda zk, f: zk.exists("/m", watch=f), lambda zk: zk.create("/m"), (CREATED, "/m")),
        (lambda zk, f: zk.get_children("/n", watch=f), lambda zk: zk.create("/n/c"), (CHILD, "/n")),
        (lambda zk, f: zk.get_children("/n", watch=f), lambda zk: zk.delete("/n"), (DELETED, "/n")),
        (
            lambda zk, f: zk.get_children("/n", watch=f, include_data=True),
            lambda zk: zk.create("/n/c"),
            (CHILD, "/n"),
        ),
    ],
)
def test_a_watch_function_is_told_of_the_first_change(
    zk: Client,
    read: Callable[[Client, object], object],
    change: Callable[[Client], object],
    expected: tuple[EventType, str],
) -> None:
    zk.create("/n")
    seen = Events()
    read(zk, seen)

    change(zk)

    assert kinds(seen.wait()) == [expected]
    assert seen.seen[0].state is SessionState.CONNECTED


def test_a_one_shot_watch_fires_once(zk: Client) -> None:
    zk.create("/n")
    seen = Events()
    zk.get("/n", watch=seen)
    for value in (b"1", b"2", b"3"):
        zk.set("/n", value)
    flush(zk)
    assert kinds(seen.seen) == [(CHANGED, "/n")]


def test_a_watch_may_be_a_value_that_is_waited_for(zk: Client, other: Client) -> None:
    zk.create("/n")
    watcher = zk.watcher()
    zk.get("/n", watch=watcher)
    assert watcher.event is None
    assert watcher.wait(0) is None

    other.set("/n", b"")

    event = watcher.wait(PATIENCE)
    assert event is not None
    assert (event.type, event.path) == (CHANGED, "/n")
    assert watcher.event is event


def test_one_function_on_one_node_is_told_once(zk: Client) -> None:
    zk.create("/n")
    seen = Events()
    zk.get("/n", watch=seen)
    zk.get("/n", watch=seen)
    zk.exists("/n", watch=seen)
    zk.get_children("/n", watch=seen)

    zk.delete("/n")

    flush(zk)
    assert kinds(seen.seen) == [(DELETED, "/n")]


def test_two_functions_on_one_node_are_both_told(zk: Client) -> None:
    zk.create("/n")
    first, second = Events(), Events()
    zk.get("/n", watch=first)
    zk.get("/n", watch=second)
    zk.set("/n", b"")
    assert kinds(first.wait()) == kinds(second.wait()) == [(CHANGED, "/n")]


class Falsy(Events):
    """A watch function that counts as false, as an empty collection with a `__call__` does."""

    def __bool__(self) -> bool:
        return False


@pytest.mark.parametrize("read", ["get", "exists", "get_children"])
def test_a_watch_function_that_counts_as_false_is_told_all_the_same(zk: Client, read: str) -> None:
    zk.create("/n")
    seen = Falsy()
    getattr(zk, read)("/n", watch=seen)
    zk.delete("/n")
    assert kinds(seen.wait()) == [(DELETED, "/n")]


def test_a_refused_read_leaves_no_watch(zk: Client) -> None:
    seen = Events()
    for read in (zk.get, zk.get_children):
        with pytest.raises(NoNodeError):
            read("/m", watch=seen)
    zk.create("/m")
    zk.create("/m/c")
    flush(zk)
    assert seen.seen == []


def test_the_event_is_there_before_the_reply_of_the_write_that_caused_it(zk: Client) -> None:
    zk.create("/n")
    for version in range(50):
        watcher = zk.watcher()
        zk.get("/n", watch=watcher)
        zk.set("/n", b"%d" % version)
        assert watcher.event is not None


def test_callbacks_run_in_the_order_of_the_server(world: Threads, zk: Client) -> None:
    zk.create("/n")
    order = Events()
    for version in range(50):
        read = zk.operations.get("/n", lambda event, version=version: order(("event", version)))
        write = zk.operations.set("/n", b"")
        write.add_done_callback(lambda call, version=version: order(("reply", version)))
        world.submit_all(zk, [read, write])
    expected = [(what, version) for version in range(50) for what in ("event", "reply")]
    assert order.wait(100) == expected


# For ever


def test_a_persistent_watch_tells_every_change_of_its_node_and_its_children(zk: Client, other: Client) -> None:
    with zk.watch("/n") as watch:
        other.create("/n")
        other.set("/n", b"1")
        other.set("/n", b"2")
        other.create("/n/c")
        other.set("/n/c", b"")
        other.delete("/n/c")
        other.delete("/n")
        other.create("/n")
        events = [watch.get(PATIENCE) for _ in range(7)]
    assert kinds(events) == [
        (CREATED, "/n"),
        (CHANGED, "/n"),
        (CHANGED, "/n"),
        (CHILD, "/n"),
        (CHILD, "/n"),
        (DELETED, "/n"),
        (CREATED, "/n"),
    ]


def test_a_recursive_watch_tells_every_change_below(zk: Client, other: Client) -> None:
    zk.create("/n")
    seen = Events()
    zk.add_watch("/n", seen, recursive=True)
    other.create("/n/a")
    other.create("/n/a/b")
    other.set("/n/a/b", b"")
    other.create("/nn")  # not below /n
    other.delete("/n", recursive=True)
    assert kinds(seen.wait(6)) == [
        (CREATED, "/n/a"),
        (CREATED, "/n/a/b"),
        (CHANGED, "/n/a/b"),
        (DELETED, "/n/a/b"),
        (DELETED, "/n/a"),
        (DELETED, "/n"),
    ]


def test_a_recursive_watch_does_not_hear_what_a_child_watch_below_it_causes(zk: Client) -> None:
    zk.create("/n")
    seen, children = Events(), Events()
    zk.add_watch("/n", seen, recursive=True)
    zk.get_children("/n", watch=children)
    zk.create("/n/a")
    assert kinds(children.wait()) == [(CHILD, "/n")]
    flush(zk)
    assert kinds(seen.seen) == [(CREATED, "/n/a")]


def test_a_persistent_watch_misses_nothing_of_a_storm(zk: Client, other: Client) -> None:
    zk.create("/n")
    with zk.watch("/n") as watch:
        calls = [other.set_async("/n", b"%d" % i) for i in range(2000)]
        events = [watch.get(PATIENCE) for _ in range(2000)]
        zxids = [event.zxid for event in events]
        assert {event.type for event in events} == {CHANGED}
        assert zxids == [call.result(PATIENCE).mzxid for call in calls]


def test_iterating_over_a_watch_ends_when_it_is_closed(zk: Client) -> None:
    zk.create("/n")
    watch = zk.watch("/n")
    seen = Events()
    background = Background()
    background(lambda: [seen(event) for event in watch])
    zk.set("/n", b"")
    seen.wait()
    watch.close()
    background.join()
    assert kinds(seen.seen) == [(CHANGED, "/n")]


def test_one_path_is_not_watched_in_two_persistent_modes(zk: Client) -> None:
    with zk.watch("/n"), pytest.raises(ConfigurationError, match="one mode per path"):
        zk.watch("/n", recursive=True)


# Mixed, where old servers keep one mode per path


@pytest.fixture(scope="module", params=["3.6", "3.8", "newest"])
def mixing_server(zk_choice: Choice, request: pytest.FixtureRequest) -> Iterator[Cluster | EmbeddedServer]:
    with servers(zk_choice, request.param) as started:
        yield started


@pytest.mark.parametrize("recursive", [False, True])
@pytest.mark.parametrize("read", ["get", "get_children", "exists"])
def test_a_one_shot_watch_does_not_end_a_persistent_one(
    mixing_server: Cluster, make_client: MakeClient, read: str, recursive: bool
) -> None:
    zk = make_client(mixing_server.hosts)
    zk.create("/n")
    persistent, once = Events(), Events()
    zk.add_watch("/n", persistent, recursive=recursive)
    getattr(zk, read)("/n", watch=once)
    zk.get("/n")  # behind whatever the client asked for on its own
    for _ in range(3):
        zk.set("/n", b"")
    zk.delete("/n")

    told = [event.type for event in persistent.wait(4)]
    assert told == [CHANGED, CHANGED, CHANGED, DELETED]
    assert len(once.wait()) == 1


# Taken back


@pytest.mark.parametrize("how", ["get", "exists", "get_children", "missing", "persistent", "recursive"])
def test_a_removed_watch_is_gone_from_the_server(zk: Client, zk_server: ZooKeeperServer, how: str) -> None:
    zk.create("/n")
    before = watches_on(zk_server)
    seen = Events()
    path = "/m" if how == "missing" else "/n"
    if how in ("persistent", "recursive"):
        zk.add_watch(path, seen, recursive=how == "recursive")
    else:
        getattr(zk, {"missing": "exists"}.get(how, how))(path, watch=seen)
    assert watches_on(zk_server) > before

    zk.remove_watch(path, seen)

    zk.sync("/")  # behind the removal
    assert watches_on(zk_server) == before
    zk.create("/m")
    zk.delete("/n")
    flush(zk)
    assert seen.seen == []


@pytest.mark.parametrize("recursive", [False, True])
def test_a_closed_persistent_watch_is_gone_from_the_server(
    zk: Client, zk_server: ZooKeeperServer, recursive: bool
) -> None:
    before = watches_on(zk_server)
    with zk.watch("/n", recursive=recursive) as watch:
        assert watches_on(zk_server) > before
    zk.sync("/")
    assert watches_on(zk_server) == before
    zk.create("/n")
    assert watch.get(0) is None


def test_a_closed_watcher_is_gone_from_the_server(zk: Client, zk_server: ZooKeeperServer) -> None:
    zk.create("/n")
    before = watches_on(zk_server)
    watcher = zk.watcher()
    zk.get("/n", watch=watcher)
    watcher.close()
    zk.sync("/")
    assert watches_on(zk_server) == before
    assert watcher.wait(0) is None


def test_a_watcher_closed_while_its_read_is_under_way_leaves_no_watch(
    away: Client, zk_faults: FaultProxy, zk_server: ZooKeeperServer
) -> None:
    away.create("/n")
    before = watches_on(zk_server)
    zk_faults.freeze("to_client")
    mark = zk_faults.mark()
    watcher = away.watcher()
    call = away.get_async("/n", watch=watcher)
    zk_faults.wait_for("get_data", since=mark)
    watcher.close()
    zk_faults.heal()

    assert call.result(PATIENCE)[0] == b""
    away.sync("/")
    assert watches_on(zk_server) == before


def test_of_two_listeners_the_one_that_stays_is_told(zk: Client) -> None:
    zk.create("/n")
    stays, leaves = Events(), Events()
    for seen in (stays, leaves):
        zk.get("/n", watch=seen)
        zk.add_watch("/p", seen)
    zk.remove_watch("/n", leaves)
    zk.remove_watch("/p", leaves)
    zk.set("/n", b"")
    zk.create("/p")
    assert kinds(stays.wait(2)) == [(CHANGED, "/n"), (CREATED, "/p")]
    flush(zk)
    assert leaves.seen == []


def test_a_watch_can_be_set_again_after_it_was_removed(zk: Client) -> None:
    for _ in range(3):
        with zk.watch("/n"):
            pass
    with zk.watch("/n") as watch:
        zk.create("/n")
        assert watch.get(PATIENCE).type is CREATED


# Users' code


def test_a_callback_may_call_the_client(world: Threads, zk: Client) -> None:
    zk.create("/n")
    seen = Events()

    @world.calling
    def again(event: WatchedEvent) -> None:
        value, stat = zk.get("/n", watch=again)
        if stat.version < 20:
            zk.set("/n", value)
        seen((zk.exists("/n").version, event.type))

    zk.get("/n", watch=again)
    zk.set("/n", b"")
    assert [kind for _, kind in seen.wait(20)] == [CHANGED] * 20


def test_an_exception_in_a_callback_is_logged_and_harms_nothing(zk: Client, caplog: pytest.LogCaptureFixture) -> None:
    zk.create("/n")
    seen = Events()

    def bad(event: WatchedEvent) -> None:
        raise ArithmeticError("of the user's making")

    zk.get("/n", watch=bad)
    zk.get("/n", watch=seen)
    with caplog.at_level(logging.ERROR, "zk_client"):
        zk.set("/n", b"")
        seen.wait()
    assert "of the user's making" in caplog.text
    assert "Traceback" in caplog.text
    assert zk.get("/n")[0] == b""
    caplog.clear()


@pytest.mark.worlds("threads", "gevent")
def test_callbacks_do_not_run_on_a_thread_that_reads(zk: Client) -> None:
    zk.create("/n")
    release, seen = Events(), Events()

    def slow(event: WatchedEvent) -> None:
        seen(event)
        release.wait()

    zk.get("/n", watch=slow)
    zk.set("/n", b"")
    seen.wait()
    # The callback still runs; replies come all the same.
    assert [zk.get("/n")[0] for _ in range(20)] == [b""] * 20
    release(None)


def test_the_config_node_is_watched_by_its_own_name(zk: Client, zk_server: ZooKeeperServer) -> None:
    before = watches_on(zk_server)
    seen = Events()
    zk.get_config(watch=seen)
    assert watches_on(zk_server) == before + 1
    zk.remove_watch("/zookeeper/config", seen)
    zk.sync("/")
    assert watches_on(zk_server) == before
