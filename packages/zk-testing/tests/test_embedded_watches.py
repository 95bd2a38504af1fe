"""Promises about watches of the embedded server (protocol: watches)."""

from __future__ import annotations

import pytest
from embedded_client import ALL_VERSIONS, OPEN, Talker, server_of

from zk_wire import (
    ACL,
    AddWatchRequest,
    CheckWatchesRequest,
    CreateRequest,
    DeleteRequest,
    EventType,
    ExistsRequest,
    GetChildren2Request,
    GetChildrenRequest,
    GetDataRequest,
    Id,
    MultiReadRequest,
    MultiRequest,
    RemoveWatchesRequest,
    SetACLRequest,
    SetWatches,
    SetWatches2,
)

CREATED, DELETED, CHANGED, CHILD = EventType.CREATED, EventType.DELETED, EventType.CHANGED, EventType.CHILD
UNREADABLE = [ACL(30, Id("world", "anyone"))]


def pair(version: str = "3.9") -> tuple[Talker, Talker]:
    server = server_of(version)
    return Talker(server), Talker(server)


# One-shot


def test_a_data_watch_fires_once_for_set_data() -> None:
    me, other = pair()
    me.create("/a")
    me.ask(GetDataRequest("/a", True))
    other.set("/a")
    other.set("/a")
    assert me.heard() == [(CHANGED, "/a")]


def test_an_exists_watch_on_a_missing_node_fires_at_its_creation() -> None:
    me, other = pair()
    assert me.code(ExistsRequest("/a", True)) == -101
    other.create("/a")
    assert me.heard() == [(CREATED, "/a")]


@pytest.mark.parametrize("request_type", [GetDataRequest, GetChildrenRequest, GetChildren2Request])
def test_reads_of_a_missing_node_set_no_watch(request_type: type[GetDataRequest]) -> None:
    me, other = pair()
    assert me.code(request_type("/a", True)) == -101
    other.create("/a")
    assert me.heard() == []


def test_a_child_watch_hears_of_children_and_not_of_grandchildren_or_data() -> None:
    me, other = pair()
    me.create("/a")
    other.create("/a/b")
    me.ask(GetChildrenRequest("/a", True))
    other.set("/a")
    other.create("/a/b/c")
    assert me.heard() == []
    other.create("/a/d")
    other.ask(DeleteRequest("/a/d", -1))
    assert me.heard() == [(CHILD, "/a")]


def test_a_deleted_node_tells_data_and_child_watchers_of_one_connection_once() -> None:
    me, other = pair()
    me.create("/a")
    me.ask(GetDataRequest("/a", True))
    me.ask(GetChildrenRequest("/a", True))
    other.ask(DeleteRequest("/a", -1))
    assert me.heard() == [(DELETED, "/a")]
    other.create("/a")
    other.create("/a/b")
    assert me.heard() == []


def test_several_registrations_are_one_event() -> None:
    me, other = pair()
    me.create("/a")
    for request in (GetDataRequest("/a", True), GetDataRequest("/a", True), ExistsRequest("/a", True)):
        me.ask(request)
    other.set("/a")
    assert me.heard() == [(CHANGED, "/a")]


def test_set_acl_tells_nobody() -> None:
    me, other = pair()
    me.create("/a")
    me.ask(GetDataRequest("/a", True))
    me.ask(GetChildrenRequest("/a", True))
    other.ask(SetACLRequest("/a", OPEN, -1))
    assert me.heard() == []


def test_the_same_data_again_is_a_change() -> None:
    me, _other = pair()
    me.create("/a", b"x")
    me.ask(GetDataRequest("/a", True))
    me.set("/a", b"x")
    assert me.heard() == [(CHANGED, "/a")]


def test_an_event_comes_before_the_reply_of_the_write_that_caused_it() -> None:
    me, _other = pair()
    me.ask(GetChildrenRequest("/", True))
    me.create("/a")
    assert [type(item).__name__ for item in me.order[-2:]] == ["Notification", "Exchange"]


def test_a_create_tells_the_node_before_the_parent() -> None:
    me, other = pair()
    me.code(ExistsRequest("/a", True))
    me.ask(GetChildrenRequest("/", True))
    other.create("/a")
    assert me.heard() == [(CREATED, "/a"), (CHILD, "/")]


def test_a_multi_tells_in_the_order_of_its_operations() -> None:
    me, other = pair()
    me.ask(AddWatchRequest("/", 1))
    other.ask(
        MultiRequest([CreateRequest("/b", b"", OPEN, 0), CreateRequest("/a", b"", OPEN, 0), DeleteRequest("/b", -1)])
    )
    assert me.heard() == [(CREATED, "/b"), (CREATED, "/a"), (DELETED, "/b")]


def test_a_failed_multi_tells_nobody() -> None:
    me, other = pair()
    me.ask(AddWatchRequest("/", 1))
    other.ask(MultiRequest([CreateRequest("/b", b"", OPEN, 0), DeleteRequest("/nope", -1)]))
    assert me.heard() == []


def test_watch_flags_of_a_multi_read_are_ignored() -> None:
    me, other = pair()
    me.create("/a")
    me.ask(MultiReadRequest([GetDataRequest("/a", True), GetChildrenRequest("/a", True)]))
    other.set("/a")
    assert me.heard() == []


def test_watches_end_with_their_connection() -> None:
    server = server_of()
    me, other = Talker(server), Talker(server)
    me.create("/a")
    me.ask(GetDataRequest("/a", True))
    me.lose()
    again = Talker(server, me.session)
    other.set("/a")
    assert again.heard() == []
    assert server.core.watches.data.counts() == (0, 0, 0)


@pytest.mark.parametrize("version", ALL_VERSIONS)
def test_notifications_carry_the_zxid_since_3_9(version: str) -> None:
    me, other = pair(version)
    me.code(ExistsRequest("/a", True))
    stat = other.create2("/a")
    assert me.zxids_heard() == [stat.czxid if me.server.core.profile.event_zxids else -1]
    assert me.server.core.profile.event_zxids is version.startswith(("3.9", "3.10"))


# Filtered by permission


@pytest.mark.parametrize(("version", "filtered"), [("3.7", False), ("3.8.3", False), ("3.8.4", True), ("3.9.2", True)])
def test_an_event_of_an_unreadable_node_is_dropped_and_the_watch_used_up(version: str, filtered: bool) -> None:
    me, other = pair(version)
    me.create("/a")
    me.ask(GetDataRequest("/a", True))
    other.ask(SetACLRequest("/a", UNREADABLE, -1))
    other.set("/a")
    assert me.heard() == ([] if filtered else [(CHANGED, "/a")])
    other.ask(SetACLRequest("/a", OPEN, -1))
    other.set("/a")
    assert me.heard() == []


def test_a_child_event_depends_on_the_parent_only() -> None:
    me, other = pair()
    me.ask(GetChildrenRequest("/", True))
    other.create("/a", acl=UNREADABLE)
    assert me.heard() == [(CHILD, "/")]


@pytest.mark.parametrize(("version", "code"), [("3.8.3", 0), ("3.8.4", -102), ("3.9.1", 0), ("3.9.2", -102)])
def test_exists_needs_read_since_events_are_filtered(version: str, code: int) -> None:
    me, other = pair(version)
    other.create("/a", acl=UNREADABLE)
    assert me.code(ExistsRequest("/a", True)) == code
    assert me.server.core.watches.data.is_watched("/a") is (code == 0)


@pytest.mark.parametrize(
    ("version", "events"),
    [("3.8.4", 3), ("3.8.7", 0), ("3.9.5", 3), ("3.9.6", 0), ("3.10", 3)],
)
def test_events_of_set_watches_are_filtered_in_the_latest_releases(version: str, events: int) -> None:
    me, other = pair(version)
    other.create("/a", acl=UNREADABLE)
    me.ask(SetWatches(0, ["/a"], ["/a"], ["/a"]))
    assert len(me.heard()) == events


# Persistent


@pytest.mark.parametrize("version", ALL_VERSIONS)
def test_a_persistent_watch_hears_everything_of_its_node_and_its_children(version: str) -> None:
    me, other = pair(version)
    me.ask(AddWatchRequest("/a", 0))
    other.create("/a")
    other.set("/a")
    other.create("/a/b")
    other.set("/a/b")
    other.create("/a/b/c")
    other.ask(DeleteRequest("/a/b/c", -1))
    other.ask(DeleteRequest("/a/b", -1))
    other.ask(DeleteRequest("/a", -1))
    other.create("/a")
    assert me.heard() == [
        (CREATED, "/a"), (CHANGED, "/a"), (CHILD, "/a"), (CHILD, "/a"), (DELETED, "/a"), (CREATED, "/a")
    ]  # fmt: skip


@pytest.mark.parametrize("version", ALL_VERSIONS)
def test_a_recursive_watch_hears_of_all_nodes_below_and_of_no_children(version: str) -> None:
    me, other = pair(version)
    me.ask(AddWatchRequest("/a", 1))
    other.create("/a")
    other.create("/a/b")
    other.create("/a/b/c")
    other.set("/a/b/c")
    other.create("/ab")
    other.ask(DeleteRequest("/a/b/c", -1))
    assert me.heard() == [
        (CREATED, "/a"), (CREATED, "/a/b"), (CREATED, "/a/b/c"), (CHANGED, "/a/b/c"), (DELETED, "/a/b/c")
    ]  # fmt: skip


def test_nested_watches_of_a_connection_are_one_event() -> None:
    me, other = pair()
    for path, mode in (("/", 1), ("/a", 1), ("/a", 0)):
        me.ask(AddWatchRequest(path, mode))
    other.create("/a")
    assert me.heard() == [(CREATED, "/a")]


def test_a_recursive_watch_on_the_root_sees_the_system_nodes() -> None:
    me, other = pair()
    me.ask(AddWatchRequest("/", 1))
    other.create("/zookeeper/x")
    assert me.heard() == [(CREATED, "/zookeeper/x")]


@pytest.mark.parametrize(("version", "heard"), [("3.8", [CHANGED]), ("3.9", [CHANGED, CHANGED])])
def test_a_one_shot_watch_downgrades_a_persistent_one_before_3_9(version: str, heard: list[EventType]) -> None:
    me, other = pair(version)
    me.create("/a")
    me.ask(AddWatchRequest("/a", 0))
    me.ask(GetDataRequest("/a", True))
    other.set("/a")
    other.set("/a")
    assert [kind for kind, _path in me.heard()] == heard
    other.create("/a/b")
    assert me.heard() == [(CHILD, "/a")]


@pytest.mark.parametrize(("version", "survives"), [("3.6", False), ("3.9", True)])
def test_a_one_shot_watch_on_a_recursive_one_loses_it_before_3_9(version: str, survives: bool) -> None:
    me, other = pair(version)
    me.create("/a")
    me.ask(AddWatchRequest("/a", 1))
    me.ask(GetDataRequest("/a", True))
    other.set("/a")
    other.create("/a/b")
    assert me.heard() == [(CHANGED, "/a"), *([(CREATED, "/a/b")] if survives else [])]


@pytest.mark.parametrize("version", ["3.8", "3.9"])
def test_a_one_shot_child_watch_beside_a_recursive_one_fires_once(version: str) -> None:
    me, other = pair(version)
    me.create("/a")
    me.ask(AddWatchRequest("/a", 1))
    me.ask(GetChildrenRequest("/a", True))
    other.create("/a/b")
    other.create("/a/c")
    assert me.heard() == [(CREATED, "/a/b"), (CHILD, "/a"), (CREATED, "/a/c")]


@pytest.mark.parametrize(("version", "child_event"), [("3.8", False), ("3.9", True)])
def test_recursive_after_persistent_replaces_it_before_3_9(version: str, child_event: bool) -> None:
    me, other = pair(version)
    me.create("/a")
    me.ask(AddWatchRequest("/a", 0))
    me.ask(AddWatchRequest("/a", 1))
    other.create("/a/b")
    assert me.heard() == [(CREATED, "/a/b"), *([(CHILD, "/a")] if child_event else [])]


# Removing and checking


@pytest.mark.parametrize(("version", "code"), [("3.8", -5), ("3.9", -121)])
def test_the_types_4_and_5_exist_since_3_9(version: str, code: int) -> None:
    me, _other = pair(version)
    assert [me.code(RemoveWatchesRequest("/a", kind)) for kind in (4, 5)] == [code, code]
    assert me.code(RemoveWatchesRequest("/a", 6)) == -5


@pytest.mark.parametrize(("version", "code"), [("3.8", 0), ("3.9", -121)])
def test_removing_one_shot_watches_takes_persistent_ones_before_3_9(version: str, code: int) -> None:
    me, other = pair(version)
    me.create("/a")
    me.ask(AddWatchRequest("/a", 0))
    assert me.code(RemoveWatchesRequest("/a", 1)) == code
    other.set("/a")
    other.create("/a/b")
    assert (CHANGED, "/a") in me.heard()


@pytest.mark.parametrize("version", ["3.8", "3.9"])
def test_removing_any_removes_all_and_tells_nobody(version: str) -> None:
    me, other = pair(version)
    me.create("/a")
    for mode in (0, 1):
        me.ask(AddWatchRequest("/a", mode))
    me.ask(GetDataRequest("/a", True))
    assert me.code(RemoveWatchesRequest("/a/b", 3)) == -121
    assert me.code(RemoveWatchesRequest("/a", 3)) == 0
    assert me.code(RemoveWatchesRequest("/a", 3)) == -121
    other.set("/a")
    assert me.heard() == []


@pytest.mark.parametrize(("version", "code"), [("3.8", 0), ("3.9", -121)])
def test_check_watches_counts_the_watches_of_others_before_3_9(version: str, code: int) -> None:
    me, other = pair(version)
    other.create("/a")
    other.ask(GetDataRequest("/a", True))
    assert me.code(CheckWatchesRequest("/a", 2)) == code
    assert other.code(CheckWatchesRequest("/a", 2)) == 0


@pytest.mark.parametrize(("version", "code"), [("3.8", -5), ("3.9", -121)])
def test_check_watches_stumbles_over_a_path_without_a_slash_before_3_9(version: str, code: int) -> None:
    me, _other = pair(version)
    assert me.code(CheckWatchesRequest("nopath", 3)) == code
    assert me.code(CheckWatchesRequest("", 3)) == -121


@pytest.mark.parametrize("mode", [-1, 2])
def test_an_unknown_mode_cannot_be_decoded(mode: int) -> None:
    assert pair()[0].code(AddWatchRequest("/a", mode)) == -5


# Set again


def test_set_watches_tells_what_was_missed_and_registers_the_rest() -> None:
    me, other = pair()
    for path in ("/old", "/new", "/parent"):
        other.create(path)
    since = other.create2("/mark").czxid
    other.set("/new")
    other.create("/parent/child")
    me.ask(SetWatches(since, ["/gone", "/new", "/old"], ["/old", "/later"], ["/gone", "/parent", "/old"]))
    assert me.heard() == [
        (DELETED, "/gone"), (CHANGED, "/new"), (CREATED, "/old"), (DELETED, "/gone"), (CHILD, "/parent")
    ]  # fmt: skip
    other.set("/old")
    other.create("/later")
    other.create("/old/child")
    assert me.heard() == [(CHANGED, "/old"), (CREATED, "/later"), (CHILD, "/old")]


def test_set_watches_compares_strictly() -> None:
    me, other = pair()
    zxid = other.create2("/a").mzxid
    me.ask(SetWatches(zxid, ["/a"], [], ["/a"]))
    assert me.heard() == []
    me.ask(SetWatches(zxid - 1, ["/a"], [], ["/a"]))
    assert me.heard() == [(CHANGED, "/a"), (CHILD, "/a")]


def test_events_of_set_watches_have_no_zxid_and_come_before_the_reply() -> None:
    me, _other = pair("3.9")
    me.ask(SetWatches(0, ["/gone", "/gone"], [], []))
    assert [type(item).__name__ for item in me.order[-3:]] == ["Notification", "Notification", "Exchange"]
    assert me.zxids_heard() == [-1, -1]


def test_set_watches_2_registers_lasting_watches_without_catching_up() -> None:
    me, other = pair()
    other.create("/a")
    me.ask(SetWatches2(0, [], [], [], ["/a"], ["/b"]))
    assert me.heard() == []
    other.set("/a")
    other.create("/b")
    other.create("/b/c")
    assert me.heard() == [(CHANGED, "/a"), (CREATED, "/b"), (CREATED, "/b/c")]


def test_set_watches_with_a_null_vector_cannot_be_decoded() -> None:
    assert pair()[0].raw(101, bytes(8) + b"\xff" * 12)[0][2] == -5


def test_a_path_beyond_the_basic_plane_comes_back_as_surrogates() -> None:
    me, _other = pair("3.8")
    body = bytes(8) + b"\0\0\0\1\0\0\0\5/\xf0\x9f\x98\x80" + bytes(8)
    event = me.raw(101, body)[0]
    assert event[3] == bytes.fromhex("0000000200000003000000072feda0bdedb880")


def test_ten_thousand_watches_are_held_and_told() -> None:
    server = server_of()
    talkers = [Talker(server) for _ in range(10)]
    for talker in talkers:
        for number in range(1000):
            talker.exchange(ExistsRequest(f"/n{number}", True))
    assert server.core.watches.data.counts() == (10, 1000, 10_000)
    talkers[0].create("/n7")
    assert [talker.heard() for talker in talkers] == [[(CREATED, "/n7")]] * 10


def test_a_thousand_sessions_are_held_and_expire() -> None:
    server = server_of()
    talkers = [Talker(server, timeout_ms=1000) for _ in range(1000)]
    assert len(server.core.sessions) == 1000
    server.advance(3)
    assert len(server.core.sessions) == 0
    assert all(talker.closed for talker in talkers)
