"""What the embedded server counts: the fields of Stat, and the numbers of sequential nodes."""

from __future__ import annotations

import pytest
from embedded_client import OPEN, one, stat_of
from hypothesis import given
from hypothesis import strategies as st

from zk_testing.embedded.tree import INT_MAX
from zk_wire import (
    ACL,
    CreateRequest,
    DeleteRequest,
    GetACLRequest,
    GetAllChildrenNumberRequest,
    GetDataRequest,
    Id,
    MultiRequest,
    SetACLRequest,
    Stat,
)

# Stat


def test_the_first_tree_is_that_of_a_new_server() -> None:
    me = one()
    zeros = Stat(*[0] * 11)
    assert stat_of(me, "/") == zeros._replace(cversion=-1, num_children=1)
    assert stat_of(me, "/zookeeper") == zeros._replace(cversion=-2, num_children=2)
    assert stat_of(me, "/zookeeper/quota") == zeros
    assert stat_of(me, "/zookeeper/config") == zeros._replace(aversion=-1)
    assert me.ask(GetACLRequest("/zookeeper/config")).acl == [ACL(1, Id("world", "anyone"))]
    assert me.ask(GetAllChildrenNumberRequest("/")).total_number == 3


def test_a_create_sets_all_zxids_and_both_times() -> None:
    me = one()
    now = me.server.now_ms
    stat = me.create2("/a")
    assert stat == Stat(2, 2, now, now, 0, 0, 0, 0, 0, 0, 2)


def test_set_data_moves_mzxid_mtime_and_version_only() -> None:
    me = one()
    before = me.create2("/a")
    me.server.advance(1)
    after = me.set("/a", b"xyz")
    assert after == before._replace(mzxid=3, mtime=before.mtime + 1000, version=1, data_length=3)


def test_set_acl_moves_aversion_only() -> None:
    me = one()
    before = me.create2("/a")
    assert me.ask(SetACLRequest("/a", OPEN, 0)).stat == before._replace(aversion=1)


def test_children_count_in_cversion_twice_when_they_go_and_move_pzxid() -> None:
    me = one()
    me.create("/a")
    me.create("/a/b")
    me.create("/a/c")
    assert stat_of(me, "/a")[5:] == (2, 0, 0, 0, 2, 4)
    me.ask(DeleteRequest("/a/b", -1))
    assert stat_of(me, "/a")[5:] == (3, 0, 0, 0, 1, 5)


def test_null_and_empty_data_are_kept_apart() -> None:
    me = one()
    me.create("/null", None)
    me.create("/empty", b"")
    assert me.ask(GetDataRequest("/null", False)).data is None
    assert me.ask(GetDataRequest("/empty", False)).data == b""
    assert stat_of(me, "/null").data_length == 0


@pytest.mark.parametrize(("version", "after"), [("3.9", -1), ("3.10", 0)])
def test_a_version_wraps_and_skips_minus_one_since_3_10(version: str, after: int) -> None:
    me = one(version)
    me.create("/a")
    node = me.server.core.tree.nodes["/a"]
    node.version = INT_MAX
    assert me.set("/a").version == -(2**31)
    node.version = -2
    assert me.set("/a").version == after


@given(st.lists(st.sampled_from(["create", "delete", "set"]), max_size=30))
def test_stat_is_what_the_history_makes_it(history: list[str]) -> None:
    me = one()
    me.create("/p")
    created = deleted = version = 0
    names: list[str] = []
    for event in history:
        if event == "create":
            names.append(me.create(f"/p/{created}"))
            created += 1
        elif event == "delete" and names:
            me.ask(DeleteRequest(names.pop(), -1))
            deleted += 1
        elif event == "set":
            version = me.set("/p").version
    stat = stat_of(me, "/p")
    assert (stat.cversion, stat.num_children, stat.version) == (created + deleted, len(names), version)


# Sequences


def test_sequence_numbers_count_every_child_of_the_parent() -> None:
    me = one()
    me.create("/p")
    assert me.create("/p/s-", flags=2) == "/p/s-0000000000"
    me.create("/p/x")
    assert me.create("/p/t-", flags=3) == "/p/t-0000000002"
    me.ask(DeleteRequest("/p/x", -1))
    assert me.code(CreateRequest("/p/s-0000000000", b"", OPEN, 0)) == -110
    assert me.create("/p/", flags=2) == "/p/0000000003"
    assert me.create("/", flags=2) == "/0000000001"


def test_the_counter_sticks_at_its_largest_value() -> None:
    me = one()
    me.create("/p")
    me.server.core.tree.nodes["/p"].creations = INT_MAX
    assert me.create("/p/s-", flags=2) == "/p/s-2147483647"
    before = stat_of(me, "/p")
    assert me.code(CreateRequest("/p/s-", b"", OPEN, 2)) == -110
    assert me.create("/p/other") == "/p/other"
    assert stat_of(me, "/p").pzxid == before.pzxid


def test_a_negative_counter_keeps_its_sign_within_the_width() -> None:
    me = one()
    me.create("/p")
    me.server.core.tree.nodes["/p"].creations = -3
    assert me.create("/p/s-", flags=2) == "/p/s--000000003"


def test_a_failed_multi_moves_no_counter() -> None:
    me = one()
    me.create("/p")
    me.ask(MultiRequest([CreateRequest("/p/s-", b"", OPEN, 2), DeleteRequest("/nope", -1)]))
    assert me.create("/p/s-", flags=2) == "/p/s-0000000000"
