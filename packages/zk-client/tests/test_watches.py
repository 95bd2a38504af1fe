"""Watches: who is told of what, how they survive a reconnect, and what the server is told to forget."""

from __future__ import annotations

import pytest
from corepair import DATA, NO_AUTH, NO_NODE, STAT, UNIMPLEMENTED, CorePair, Sink

from zk_client import SessionState, UnimplementedError
from zk_client._session.machine import READY, WAITING
from zk_client._session.watches import CHILD, EXIST, PART_BYTES, PERSISTENT, RECURSIVE, Watches, ancestors
from zk_client._session.watches import DATA as DATA_TABLE
from zk_wire import (
    AddWatchMode,
    AddWatchRequest,
    ErrorResponse,
    EventType,
    ExistsRequest,
    ExistsResponse,
    GetChildren2Request,
    GetChildrenRequest,
    GetChildrenResponse,
    GetDataRequest,
    RemoveWatchesRequest,
    SetWatches,
    SetWatches2,
    WatcherType,
)

CREATED, DELETED, CHANGED, CHILDREN = EventType.CREATED, EventType.DELETED, EventType.CHANGED, EventType.CHILD
ALL = (DATA_TABLE, EXIST, CHILD, PERSISTENT, RECURSIVE)


def armed(path: str = "/a") -> tuple[Watches, dict[int, Sink]]:
    """One listener of each kind on a path."""
    watches, sinks = Watches(), {table: Sink() for table in ALL}
    for table, sink in sinks.items():
        watches.add(table, path, sink)
    return watches, sinks


# The registry


@pytest.mark.parametrize(
    ("event", "told", "kept"),
    [
        (CREATED, {DATA_TABLE, EXIST, PERSISTENT, RECURSIVE}, {CHILD, PERSISTENT, RECURSIVE}),
        (CHANGED, {DATA_TABLE, EXIST, PERSISTENT, RECURSIVE}, {CHILD, PERSISTENT, RECURSIVE}),
        (DELETED, {DATA_TABLE, EXIST, CHILD, PERSISTENT, RECURSIVE}, {PERSISTENT, RECURSIVE}),
        (CHILDREN, {CHILD, PERSISTENT}, {DATA_TABLE, EXIST, PERSISTENT, RECURSIVE}),
    ],
)
def test_an_event_tells_whom_it_concerns_and_uses_up_one_shot_watches(
    event: EventType, told: set[int], kept: set[int]
) -> None:
    watches, sinks = armed()
    assert watches.fire(event, "/a") == [sinks[table] for table in sorted(told)]
    assert {table for table in ALL if "/a" in watches.tables[table]} == kept


def test_one_function_watching_in_several_ways_is_told_once() -> None:
    watches, sink = Watches(), Sink()
    for table in ALL:
        watches.add(table, "/a", sink)
        watches.add(table, "/a", sink)
    assert watches.fire(DELETED, "/a") == [sink]


def test_a_recursive_watch_hears_of_descendants_by_component_and_of_no_child_events() -> None:
    watches, sink = Watches(), Sink()
    watches.add(RECURSIVE, "/a", sink)
    assert watches.fire(CREATED, "/a/b/c") == [sink]
    assert watches.fire(CREATED, "/ab") == []
    assert watches.fire(CHILDREN, "/a/b") == []


def test_a_recursive_watch_on_the_root_hears_of_everything() -> None:
    watches, sink = Watches(), Sink()
    watches.add(RECURSIVE, "/", sink)
    assert [watches.fire(CREATED, path) for path in ("/", "/a", "/a/b")] == [[sink]] * 3


@pytest.mark.parametrize("path", ["", "a", "a/b"])
def test_ancestors_end_even_for_what_is_no_path(path: str) -> None:
    assert list(ancestors(path))[-1] == "/"


def test_an_event_nobody_waits_for_tells_nobody() -> None:
    assert Watches().fire(CHANGED, "/a") == []


def test_a_path_is_to_be_forgotten_with_its_last_listener_only() -> None:
    watches, sinks = armed()
    gone = [watches.forget("/a", sink) for sink in sinks.values()]
    assert gone == [False, False, False, False, True]
    assert not watches.forget("/a", sinks[DATA_TABLE])


def test_a_second_mode_on_a_path_conflicts() -> None:
    watches = Watches()
    watches.add(PERSISTENT, "/a", Sink())
    assert watches.conflict(RECURSIVE, "/a")
    assert not watches.conflict(PERSISTENT, "/a")
    assert not watches.conflict(RECURSIVE, "/a/b")
    assert not watches.conflict(DATA_TABLE, "/a")


# Setting again


def test_nothing_is_set_again_where_nothing_is_watched() -> None:
    assert Watches().rearm(5) == []


def test_without_persistent_watches_the_older_request_does() -> None:
    watches = Watches()
    watches.add(DATA_TABLE, "/d", Sink())
    watches.add(EXIST, "/e", Sink())
    watches.add(CHILD, "/c", Sink())
    assert watches.rearm(5) == [SetWatches(5, ["/d"], ["/e"], ["/c"])]


def test_many_watches_are_set_again_in_frames_of_at_most_128_kib_with_one_zxid_and_none_twice() -> None:
    watches = Watches()
    expected: list[set[str]] = []
    for table in ALL:
        expected.append({f"/{table}/{'ü' * 150}/{i:04}" for i in range(500)} | {"/" + "x" * 70_000})
        for path in expected[table]:
            watches.add(table, path, Sink())
    requests = watches.rearm(77)
    assert len(requests) > 5
    found: list[list[str]] = [[] for _ in ALL]
    for request in requests:
        assert isinstance(request, (SetWatches, SetWatches2))
        assert request.relative_zxid == 77
        assert 8 + len(request.payload()) <= PART_BYTES
        lists = [request.data_watches, request.exist_watches, request.child_watches]
        if isinstance(request, SetWatches2):
            lists += [request.persistent_watches, request.persistent_recursive_watches]
        for table, paths in enumerate(lists):
            found[table] += paths
    assert [sorted(paths) for paths in found] == [sorted(paths) for paths in expected]


def test_persistent_watches_are_set_last_because_on_old_servers_the_last_mode_wins() -> None:
    watches = Watches()
    for table in (RECURSIVE, PERSISTENT, DATA_TABLE):
        for i in range(3000):
            watches.add(table, f"/{'x' * 100}/{i}", Sink())
    kinds = [isinstance(request, SetWatches2) for request in watches.rearm(1)]
    assert kinds == sorted(kinds)


# In the core


def watching() -> tuple[CorePair, Sink]:
    """A client with one data watch on /a."""
    pair, sink = CorePair(), Sink()
    pair.open()
    pair.submit(pair.operations.get("/a", sink))
    pair.reply(pair.next(GetDataRequest), DATA)
    return pair, sink


def test_a_watch_fires_once_and_is_gone() -> None:
    pair, sink = watching()
    pair.notify(CHANGED, "/a")
    pair.notify(CHANGED, "/a")
    assert sink.kinds == [("CHANGED", "/a")]
    assert len(pair.core.watches) == 0


def test_a_watch_hears_an_event_that_comes_right_behind_its_reply() -> None:
    pair, sink = CorePair(), Sink()
    pair.open()
    pair.submit(pair.operations.get("/a", sink))
    pair.send(pair.frame(pair.next(GetDataRequest), DATA), pair.event(CHANGED, "/a"))
    assert sink.kinds == [("CHANGED", "/a")]


def test_an_event_before_the_reply_does_not_concern_the_new_watch() -> None:
    pair, sink = CorePair(), Sink()
    pair.open()
    pair.submit(pair.operations.get("/a", sink))
    pair.send(pair.event(CHANGED, "/a"), pair.frame(pair.next(GetDataRequest), DATA))
    assert sink.kinds == []
    assert len(pair.core.watches) == 1


@pytest.mark.parametrize(
    ("operation", "kind", "error", "table"),
    [
        ("get", GetDataRequest, NO_NODE, None),
        ("get", GetDataRequest, NO_AUTH, None),
        ("get_children", GetChildrenRequest, NO_NODE, None),
        ("get_children_with_stat", GetChildren2Request, NO_NODE, None),
        ("exists", ExistsRequest, NO_NODE, EXIST),
        ("exists", ExistsRequest, NO_AUTH, None),
    ],
)
def test_a_read_that_fails_leaves_a_watch_only_where_the_server_does(
    operation: str, kind: type, error: int, table: int | None
) -> None:
    pair = CorePair()
    pair.open()
    pair.submit(getattr(pair.operations, operation)("/a", Sink()))
    pair.reply(pair.next(kind), err=error)
    assert [i for i in ALL if pair.core.watches.tables[i]] == ([] if table is None else [table])


def test_a_watch_on_a_node_that_exists_counts_as_a_data_watch() -> None:
    pair = CorePair()
    pair.open()
    pair.submit(pair.operations.exists("/a", Sink()))
    pair.reply(pair.next(ExistsRequest), ExistsResponse(STAT))
    pair.close()
    pair.reopen()
    assert pair.next(SetWatches).request == SetWatches(101, ["/a"], [], [])


def test_one_function_given_to_get_and_exists_is_called_once() -> None:
    pair, sink = watching()
    pair.submit(pair.operations.exists("/a", sink))
    pair.reply(pair.next(ExistsRequest), ExistsResponse(STAT))
    pair.notify(DELETED, "/a")
    assert sink.kinds == [("DELETED", "/a")]


def test_watches_survive_a_reconnect_and_the_change_in_between_is_told() -> None:
    pair, sink = watching()
    pair.close()
    pair.reopen()
    request = pair.next(SetWatches)
    pair.send(pair.event(CHANGED, "/a"), pair.frame(request))
    assert sink.kinds == [("CHANGED", "/a")]


def test_the_zxid_is_that_of_the_loss_until_every_part_is_answered() -> None:
    pair, _ = watching()
    for i in range(3000):
        pair.core.watches.add(DATA_TABLE, f"/{'x' * 60}/{i}", Sink())
    zxid = pair.core.last_zxid
    for _ in range(3):
        pair.close()
        pair.reopen()
        parts = [pair.next(SetWatches) for _ in range(2)]
        assert {part.request.relative_zxid for part in parts} == {zxid}  # type: ignore[attr-defined]
        pair.reply(parts[0])
        assert pair.core.last_zxid > zxid
    pair.reply(parts[1])
    pair.close()
    pair.reopen()
    assert pair.next(SetWatches).request.relative_zxid > zxid  # type: ignore[attr-defined]


def test_persistent_watches_are_set_again_and_their_owners_told_to_read_again() -> None:
    pair, sink = CorePair(), Sink()
    pair.open()
    pair.submit(pair.operations.add_watch("/a", sink, recursive=True))
    pair.reply(pair.next(AddWatchRequest), ErrorResponse(0))
    pair.close()
    pair.reopen()
    assert pair.next(SetWatches2).request == SetWatches2(101, [], [], [], [], ["/a"])
    assert [(event.type, event.state) for event in sink.events] == [(EventType.NONE, SessionState.CONNECTED)]


def test_a_server_that_does_not_know_persistent_watches_costs_two_reconnects_and_the_owners_are_told() -> None:
    pair, one_shot = watching()
    lasting = Sink()
    pair.core.watches.add(PERSISTENT, "/p", lasting)
    zxid = pair.core.last_zxid
    pair.close()
    pair.reopen()
    pair.reply(pair.next(SetWatches2), err=UNIMPLEMENTED, zxid=-1)
    assert pair.core.phase == WAITING
    pair.reopen()
    assert pair.next(SetWatches).request == SetWatches(zxid, ["/a"], [], [])
    assert lasting.kinds == [("NONE", "/p"), ("PERSISTENT_WATCH_REMOVED", "/p")]
    assert one_shot.kinds == []
    assert pair.core.phase == READY


def test_a_newer_server_after_an_old_one_keeps_new_persistent_watches() -> None:
    pair = CorePair()
    pair.open()
    pair.core.watches.add(PERSISTENT, "/p", Sink())
    pair.close()
    pair.reopen()
    pair.reply(pair.next(SetWatches2), err=UNIMPLEMENTED, zxid=-1)
    pair.reopen()
    sink = Sink()
    pair.submit(pair.operations.add_watch("/p", sink, recursive=False))
    pair.reply(pair.next(AddWatchRequest), ErrorResponse(0))
    pair.close()
    pair.reopen()
    assert isinstance(pair.requests[0].request, SetWatches2)
    assert ("PERSISTENT_WATCH_REMOVED", "/p") not in sink.kinds


def test_watches_the_server_would_not_set_again_are_tried_again_and_not_in_a_tight_loop() -> None:
    pair, _ = watching()
    zxid = pair.core.last_zxid
    pair.close()
    began = pair.now
    for _ in range(6):
        read = pair.submit(pair.operations.get("/b"))
        pair.reopen()
        request = pair.next(SetWatches)
        assert request.request.relative_zxid == zxid  # type: ignore[attr-defined]
        pair.send(pair.frame(request, err=-127), pair.frame(pair.next(GetDataRequest), DATA, zxid=zxid))
        assert read.done
        assert pair.core.phase == WAITING
    assert pair.now - began > 2
    pair.reopen()
    pair.reply(pair.next(SetWatches))
    assert pair.core.phase == READY


def test_adding_a_persistent_watch_on_an_old_server_fails_and_leaves_nothing() -> None:
    pair = CorePair()
    pair.open()
    call = pair.submit(pair.operations.add_watch("/a", Sink(), recursive=False))
    pair.reply(pair.next(AddWatchRequest), err=UNIMPLEMENTED, zxid=-1)
    assert isinstance(call.exception(), UnimplementedError)
    assert len(pair.core.watches) == 0


@pytest.mark.parametrize("recursive", [False, True])
def test_a_one_shot_watch_on_a_persistent_ones_path_is_followed_by_setting_that_again(recursive: bool) -> None:
    pair = CorePair()
    pair.open()
    pair.submit(pair.operations.add_watch("/a", Sink(), recursive=recursive))
    pair.reply(pair.next(AddWatchRequest), ErrorResponse(0))
    pair.submit(pair.operations.get("/a", Sink()))
    pair.reply(pair.next(GetDataRequest), DATA)
    mode = AddWatchMode.PERSISTENT_RECURSIVE if recursive else AddWatchMode.PERSISTENT
    assert pair.next(AddWatchRequest).request == AddWatchRequest("/a", mode)


def test_the_last_listeners_leaving_tells_the_server() -> None:
    pair, sink = watching()
    other = Sink()
    pair.submit(pair.operations.get_children("/a", other))
    pair.reply(pair.next(GetChildrenRequest), GetChildrenResponse([]))
    pair.core.forget_watch("/a", sink)
    pair.settle()
    assert pair.requests == []
    pair.core.forget_watch("/a", other)
    pair.settle()
    assert pair.next(RemoveWatchesRequest).request == RemoveWatchesRequest("/a", WatcherType.ANY)


def test_a_watch_on_its_way_is_not_forgotten_along_with_another_one() -> None:
    pair, sink = watching()
    arriving = Sink()
    pair.submit(pair.operations.get("/a", arriving))
    pair.core.forget_watch("/a", sink)
    pair.settle()
    assert pair.kinds() == ["GetDataRequest"]
    pair.reply(pair.next(GetDataRequest), DATA)
    pair.notify(CHANGED, "/a")
    assert arriving.kinds == [("CHANGED", "/a")]


def test_a_watch_whose_reply_is_in_the_same_piece_is_not_forgotten_along_with_another_one() -> None:
    class Closed(Sink):
        closed = True

    pair = CorePair()
    pair.open()
    lasting = Sink()
    pair.submit(pair.operations.get("/a", Closed()))
    pair.submit(pair.operations.get("/a", lasting))
    pair.send(*[pair.frame(pair.next(GetDataRequest), DATA) for _ in range(2)])
    assert pair.requests == []
    assert len(pair.core.watches) == 1


def test_the_server_forgets_in_the_end_when_the_watch_on_its_way_failed() -> None:
    pair, sink = watching()
    pair.submit(pair.operations.get("/a", Sink()))
    pair.core.forget_watch("/a", sink)
    pair.settle()
    pair.reply(pair.next(GetDataRequest), err=NO_NODE)
    assert pair.next(RemoveWatchesRequest).request == RemoveWatchesRequest("/a", WatcherType.ANY)


def test_a_persistent_watch_that_nobody_hears_any_more_ends_with_the_one_shot_watch_beside_it() -> None:
    pair, one_shot = watching()
    lasting = Sink()
    pair.core.watches.add(PERSISTENT, "/a", lasting)
    pair.core.forget_watch("/a", lasting)
    pair.settle()
    assert pair.requests == []
    pair.notify(CHANGED, "/a")
    assert one_shot.kinds == [("CHANGED", "/a")]
    assert pair.kinds() == ["RemoveWatchesRequest"]


@pytest.mark.parametrize("how", ["closed", "abandoned"])
def test_a_watch_nobody_wants_any_more_when_its_reply_comes_is_forgotten_at_once(how: str) -> None:
    class Closing(Sink):
        closed = False

    pair, sink = CorePair(), Closing()
    pair.open()
    call = pair.submit(pair.operations.get("/a", sink))
    if how == "closed":
        sink.closed = True
    else:
        call.cancel()
    pair.reply(pair.next(GetDataRequest), DATA)
    assert len(pair.core.watches) == 0
    assert pair.kinds() == ["RemoveWatchesRequest"]


def test_an_abandoned_read_takes_no_watch_away_that_was_there_before() -> None:
    pair, sink = watching()
    call = pair.submit(pair.operations.get("/a", sink))
    call.cancel()
    pair.reply(pair.next(GetDataRequest), DATA)
    assert len(pair.core.watches) == 1


def test_a_watch_forgotten_while_disconnected_is_not_set_again() -> None:
    pair, sink = watching()
    pair.close()
    pair.core.forget_watch("/a", sink)
    pair.settle()
    pair.reopen()
    assert pair.requests == []


def test_events_carry_the_path_below_the_chroot() -> None:
    pair, sink = CorePair("h1:2181/app"), Sink()
    pair.open()
    pair.submit(pair.operations.add_watch("/", sink, recursive=True))
    assert pair.requests[0].request == AddWatchRequest("/app", AddWatchMode.PERSISTENT_RECURSIVE)
    pair.reply(pair.next(AddWatchRequest), ErrorResponse(0))
    pair.notify(CREATED, "/app/x")
    pair.notify(CREATED, "/app")
    pair.notify(CREATED, "/application")
    assert sink.kinds == [("CREATED", "/x"), ("CREATED", "/")]


def test_the_config_nodes_watch_ignores_the_chroot() -> None:
    pair, sink = CorePair("h1:2181/app"), Sink()
    pair.open()
    pair.submit(pair.operations.get_config(sink))
    assert pair.requests[0].request == GetDataRequest("/zookeeper/config", True)
    pair.reply(pair.next(GetDataRequest), DATA)
    pair.notify(CHANGED, "/zookeeper/config")
    assert sink.kinds == [("CHANGED", "/zookeeper/config")]
