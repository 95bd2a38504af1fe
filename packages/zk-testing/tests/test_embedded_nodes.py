"""Promises about nodes, permissions and multis of the embedded server (protocol: nodes, multi and multiRead)."""

from __future__ import annotations

from typing import Any

import pytest
from embedded_client import ALL_VERSIONS, OPEN, Talker, server_of
from hypothesis import given
from hypothesis import strategies as st

from zk_testing.embedded.quotas import Usage
from zk_testing.embedded.tree import INT_MAX
from zk_wire import (
    ACL,
    CheckResult,
    CheckVersionRequest,
    ClientInfo,
    Create2Request,
    CreateContainerRequest,
    CreateRequest,
    CreateResult,
    CreateTTLRequest,
    DeleteContainerRequest,
    DeleteRequest,
    DeleteResult,
    ErrorResult,
    ExistsRequest,
    GetACLRequest,
    GetAllChildrenNumberRequest,
    GetChildren2Request,
    GetChildrenRequest,
    GetDataRequest,
    GetDataResult,
    GetEphemeralsRequest,
    Id,
    MultiReadRequest,
    MultiRequest,
    Op,
    ReconfigRequest,
    Request,
    SetACLRequest,
    SetDataRequest,
    SetDataResult,
    Stat,
    SyncRequest,
    WhoAmIRequest,
    make_digest_acl,
)


def one(version: str = "3.9", **settings: Any) -> Talker:
    return Talker(server_of(version, **settings))


def stat_of(talker: Talker, path: str) -> Stat:
    return talker.ask(ExistsRequest(path, False)).stat


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


# Paths


@pytest.mark.parametrize(
    "path", ["/a/", "//a", "/./a", "/a/..", "/a\x00", "/\x01", "/\x7f", "/\ue000", "/\ufff0", "/😀"]
)
def test_bad_paths_are_refused(path: str) -> None:
    me = one()
    me.create("/a")
    assert me.code(SetDataRequest(path, b"", -1)) == -8
    assert me.code(SetACLRequest(path, OPEN, -1)) == -8
    assert me.ask(MultiRequest([CheckVersionRequest(path, -1)])).results == [ErrorResult(-8)]
    expected = -101 if path == "/./a" else -8
    assert me.code(CreateRequest(path, b"", OPEN, 0)) == expected


@pytest.mark.parametrize("path", ["/...", "/.a", "/a..", "/a b", "/\xa0", "/\u200b", "/\uf900", "/\uffef", "/é"])
def test_odd_paths_are_accepted(path: str) -> None:
    assert one().create(path) == path


@pytest.mark.parametrize("path", ["", "nopath", "/\x00"])
def test_create_needs_a_slash_and_no_zero(path: str) -> None:
    assert one().code(CreateRequest(path, b"", OPEN, 0)) == -8


def test_reads_look_up_any_string_and_take_the_empty_path_for_the_root() -> None:
    me = one()
    for kind in (GetDataRequest, GetChildrenRequest, GetChildren2Request, ExistsRequest):
        assert me.code(kind("nopath", False)) == -101
        assert me.code(kind("", False)) == 0
    assert me.code(ExistsRequest("/\0", False)) == -8
    assert me.code(SetDataRequest("", b"", -1)) == -8
    assert me.ask(SyncRequest(None)).path is None


@pytest.mark.parametrize("path", ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"])
def test_system_nodes_are_neither_deleted_nor_created(path: str) -> None:
    me = one()
    assert me.code(DeleteRequest(path, -1)) == -8
    assert me.code(CreateRequest(path, b"", OPEN, 0)) == -110


def test_the_config_node_is_written_by_the_super_user_only() -> None:
    me = one()
    assert me.code(SetDataRequest("/zookeeper/config", b"x", -1)) == -102
    assert me.auth("digest", b"super:test") == 0
    assert me.code(SetDataRequest("/zookeeper/config", b"x", -1)) == 0
    assert [tuple(info._comparable()) for info in me.ask(WhoAmIRequest()).client_info] == [
        ("super", ""),
        ("ip", "127.0.0.1"),
        ("digest", "super"),
    ]


# Which error comes first


def test_create_tells_errors_in_the_order_of_the_server() -> None:
    me, denied = one(), [ACL(27, Id("world", "anyone"))]
    me.create("/e", flags=1)
    me.create("/closed", acl=denied)
    me.create("/a")
    bad: list[ACL] = []
    for path, acl, flags, code in [
        ("nopath", bad, 99, -8),
        ("/nope/a", bad, 0, -114),
        ("/nope/a\x01", OPEN, 0, -101),
        ("/closed/a\x01", OPEN, 0, -102),
        ("/a\x01", OPEN, 0, -8),
        ("/a", OPEN, 0, -110),
        ("/e/a", OPEN, 0, -108),
    ]:
        assert me.code(CreateRequest(path, b"", acl, flags)) == code, path


def test_delete_tells_a_wrong_version_before_children() -> None:
    me = one()
    me.create("/a")
    me.create("/a/b")
    assert me.code(DeleteRequest("/a", 7)) == -103
    assert me.code(DeleteRequest("/a", -2)) == -103
    assert me.code(DeleteRequest("/a", 0)) == -111
    assert me.code(DeleteRequest("/nope/x", 0)) == -101


def test_delete_asks_the_parent_for_permission() -> None:
    me = one()
    me.create("/p", acl=[ACL(23, Id("world", "anyone"))])
    me.create("/p/a")
    assert me.code(DeleteRequest("/p/a", 7)) == -102
    me.create("/locked", acl=[ACL(0, Id("world", "anyone"))])
    assert me.code(DeleteRequest("/locked", -1)) == 0


def test_failed_writes_take_a_zxid_and_failed_reads_do_not() -> None:
    me = one()
    before = me.server.core.last_zxid
    me.code(GetDataRequest("/nope", False))
    assert me.server.core.last_zxid == before
    me.code(SetDataRequest("/nope", b"", -1))
    me.code(MultiRequest([DeleteRequest("/nope", -1)]))
    me.ask(MultiRequest([]))
    assert me.server.core.last_zxid == before + 3


@pytest.mark.parametrize(("enabled", "code"), [(False, -123), (True, -6)])
def test_reconfig_is_disabled_or_unimplemented_on_a_standalone_server(enabled: bool, code: int) -> None:
    me = one(reconfig=enabled)
    assert me.code(ReconfigRequest(None, None, "", -1)) == code and not me.closed


@pytest.mark.parametrize(
    ("version", "answer", "closed"),
    [("3.8.4", [], False), ("3.8.5", [-6], True), ("3.9.2", [], False), ("3.9.3", [-6], True)],
)
def test_a_check_alone_is_never_answered_until_it_is_refused(version: str, answer: list[int], closed: bool) -> None:
    me = one(version)
    body = b"\0\0\0\1/\xff\xff\xff\xff"
    assert [reply[2] for reply in me.raw(13, body)] == answer
    assert me.closed is closed


@pytest.mark.parametrize(
    ("version", "code", "closed"),
    [("3.8", 0, True), ("3.8.4", -8, False), ("3.9.5", 0, False), ("3.9.6", 0, True), ("3.10", 0, False)],
)
def test_delete_container_is_refused_done_or_closes(version: str, code: int, closed: bool) -> None:
    me = one(version)
    me.create("/a", acl=[ACL(0, Id("world", "anyone"))])
    exchange = me.exchange(DeleteContainerRequest("/a"))
    assert (exchange.error, me.closed) == (code, closed)
    assert ("/a" in me.server.core.tree.nodes) is (closed or code != 0)


def test_delete_container_spares_parents_and_ephemerals() -> None:
    me = one("3.9.5")
    me.create("/a")
    me.create("/a/e", flags=1)
    assert me.code(DeleteContainerRequest("/a")) == -111
    assert me.code(DeleteContainerRequest("/a/e")) == -103
    assert me.code(DeleteContainerRequest("/")) == -8


@pytest.mark.parametrize(("version", "taken"), [("3.8", 1), ("3.9", 0)])
def test_a_write_that_cannot_be_decoded_takes_a_zxid_before_3_9(version: str, taken: int) -> None:
    me = one(version)
    before = me.server.core.last_zxid
    assert me.raw(1, b"\0\0\0\x09ab")[0][2] == -5
    assert me.server.core.last_zxid == before + taken
    assert not me.closed


@pytest.mark.parametrize("opcode", [2, 3, 4, 8, 9, 14, 17, 18, 22, 101, 103, 105, 106])
def test_what_cannot_be_decoded_is_minus_five_and_keeps_the_connection(opcode: int) -> None:
    me = one()
    assert [reply[2:] for reply in me.raw(opcode, b"\0\0\0\x09ab")] == [(-5, b"")]
    assert not me.closed


def test_an_auth_packet_that_cannot_be_decoded_closes() -> None:
    me = one()
    assert me.raw(100, b"\0") == []
    assert me.closed


# Kinds of nodes


@pytest.mark.parametrize("flags", [5, 6, 7, -1])
def test_a_plain_create_refuses_other_flags(flags: int) -> None:
    assert one().code(CreateRequest("/a", b"", OPEN, flags)) == -8


def test_the_opcode_makes_the_container_and_the_flag_alone_does_not() -> None:
    me = one()
    me.create("/plain", flags=4)
    me.ask(CreateContainerRequest("/c-", b"", OPEN, 2))
    me.ask(CreateContainerRequest("/e", b"", OPEN, 1))
    assert sorted(me.server.core.tree.containers) == ["/c-0000000001", "/e"]
    assert stat_of(me, "/e").ephemeral_owner == 0
    assert me.ask(GetEphemeralsRequest(None)).ephemerals == []


def test_an_empty_container_goes_when_it_had_a_child() -> None:
    me = Talker(server_of(), timeout_ms=60_000)
    for path in ("/used", "/unused"):
        me.ask(CreateContainerRequest(path, b"", OPEN, 4))
    me.create("/used/a")
    me.server.advance(5)
    assert me.code(ExistsRequest("/used", False)) == 0
    me.ask(DeleteRequest("/used/a", -1))
    me.code(ExistsRequest("/used", True))
    me.server.advance(5)
    assert [path for _kind, path in me.heard()] == ["/used"]
    assert me.code(ExistsRequest("/unused", False)) == 0


@pytest.mark.parametrize(("version", "there"), [("3.9", 0), ("3.10", -101)])
def test_a_container_never_used_goes_after_five_minutes_since_3_10(version: str, there: int) -> None:
    server = server_of(version)
    Talker(server).ask(CreateContainerRequest("/c", b"", OPEN, 4))
    server.advance(302)
    assert Talker(server).code(ExistsRequest("/c", False)) == there


def test_a_ttl_node_goes_when_it_was_empty_and_unmodified_for_its_time() -> None:
    me = Talker(server_of(), timeout_ms=60_000)
    me.ask(CreateTTLRequest("/t", b"", OPEN, 5, 3000))
    me.server.advance(2)
    me.set("/t")
    me.server.advance(2)
    assert me.code(ExistsRequest("/t", False)) == 0
    me.create("/t/a")
    me.server.advance(10)
    assert me.code(ExistsRequest("/t", False)) == 0
    me.ask(DeleteRequest("/t/a", -1))
    me.server.advance(2)
    assert me.code(ExistsRequest("/t", False)) == -101


@pytest.mark.parametrize(
    ("flags", "ttl", "code"),
    [(5, 1, 0), (6, 2**40 - 1, 0), (5, 0, -8), (5, -1, -8), (5, 2**40, -8), (0, 5, -8), (0, -1, -8)],
)
def test_a_ttl_has_limits_and_needs_its_flags(flags: int, ttl: int, code: int) -> None:
    assert one().code(CreateTTLRequest("/t", b"", OPEN, flags, ttl)) == code


def test_ttl_nodes_can_be_switched_off() -> None:
    me = one(ttl_nodes=False)
    assert me.code(CreateTTLRequest("/t", b"", OPEN, 5, 1000)) == -6
    assert not me.closed


def test_ephemerals_are_listed_by_a_prefix_of_the_string() -> None:
    me = one()
    me.create("/t")
    for path in ("/t/e1", "/t/f"):
        me.create(path, flags=1)
    assert me.ask(GetEphemeralsRequest("/t/e")).ephemerals == ["/t/e1"]
    for all_of_them in (None, "", " / "):
        assert sorted(me.ask(GetEphemeralsRequest(all_of_them)).ephemerals) == ["/t/e1", "/t/f"]


# Permissions


def test_each_permission_lets_do_what_it_says() -> None:
    me, admin = one(), ACL(16, Id("world", "anyone"))
    for bit in (1, 2, 4, 8, 16):
        path = f"/{bit}"
        me.create(path, acl=[ACL(bit, Id("world", "anyone"))])
        requests: dict[int, list[Request[Any]]] = {
            1: [GetDataRequest(path, False), GetChildrenRequest(path, False), GetAllChildrenNumberRequest(path)],
            2: [SetDataRequest(path, b"", -1)],
            4: [CreateRequest(f"{path}/a", b"", OPEN, 0)],
            16: [SetACLRequest(path, [admin], -1)],
        }
        for needed, asked in requests.items():
            if bit != needed:
                assert [me.code(request) for request in asked] == [-102] * len(asked), (bit, needed)
        assert [me.code(request) for request in requests.get(bit, [])] == [0] * len(requests.get(bit, []))
        assert me.code(GetACLRequest(path)) == (0 if bit in (1, 16) else -102)


@pytest.mark.parametrize(
    "acl",
    [
        None, [], [ACL(31, Id("world", "someone"))], [ACL(31, Id("auth", ""))], [ACL(31, Id("super", ""))],
        [ACL(31, Id("digest", "nohash"))], [ACL(31, Id("digest", "u:h:x"))], [ACL(31, Id("digest", "u:"))],
        [ACL(31, Id("ip", "1.2.3"))], [ACL(31, Id("ip", "1.2.3.4/33"))], [ACL(31, Id("ip", "300.1.1.1"))],
        [ACL(31, Id("x509", "CN=a"))], [ACL(31, Id("sasl", "bob"))], [ACL(31, Id("nosuch", ""))],
    ],
)  # fmt: skip
def test_bad_lists_are_refused(acl: list[ACL] | None) -> None:
    assert one().code(CreateRequest("/a", b"", acl, 0)) == -114


@pytest.mark.parametrize(("version", "code"), [("3.9.3", -114), ("3.9.4", 0)])
def test_ipv6_addresses_are_accepted_since_3_9_4(version: str, code: int) -> None:
    assert one(version).code(CreateRequest("/a", b"", [ACL(31, Id("ip", "::1"))], 0)) == code


@pytest.mark.parametrize(
    ("address", "code"),
    [
        *(("127.0.0.5.", -114), ("0127.0.0.5", 0), ("+127.0.0.5", 0), ("1.2.3.4/8/8", -114), ("1.2.3.4/+8", 0)),
        *(("::", 0), ("::ffff:1.2.3.4", -114), ("fe80::1%1", -114), ("::-1", 0), ("::00001", -114), ("1::2::3", -114)),
        *(("1:2:3:4:5:6:7::", 0), ("1:2:3:4::5:6:7:8", -114), ("::1/128", 0), ("::1/129", -114), ("::1/", -114)),
    ],
)
def test_addresses_are_read_as_java_reads_them(address: str, code: int) -> None:
    assert one("3.9.6").code(CreateRequest("/a", b"", [ACL(31, Id("ip", address))], 0)) == code


def test_auth_stands_for_who_asks_and_duplicates_are_dropped() -> None:
    me = one()
    assert me.auth("digest", b"bob:pw") == 0
    me.create("/a", acl=[ACL(31, Id("auth", "ignored")), *OPEN, *OPEN])
    assert me.ask(GetACLRequest("/a")).acl == [ACL(31, Id("digest", "bob:ikIaKsbtGweaHnb/jKn7OHqbunM=")), *OPEN]


def test_auth_may_come_without_an_id_as_kazoo_sends_it() -> None:
    me = one()
    me.auth("digest", b"bob:pw")
    written = CreateRequest("/a", b"", [ACL(31, Id("auth", ""))], 0).encode()
    as_null = written.replace(b"auth" + bytes(4), b"auth" + b"\xff" * 4)
    assert [code for _xid, _zxid, code, _body in me.raw(CreateRequest.opcode, as_null)] == [0]
    assert me.ask(GetACLRequest("/a")).acl[0].id.scheme == "digest"


def test_identities_belong_to_the_connection_and_are_lost_with_it() -> None:
    server = server_of()
    me = Talker(server)
    me.auth("digest", b"bob:pw")
    me.create("/a", acl=[make_digest_acl("bob", "pw", all=True)])
    assert me.code(GetDataRequest("/a", False)) == 0
    again = Talker(server, me.session)
    assert again.code(GetDataRequest("/a", False)) == -102
    again.auth("digest", b"bob:pw")
    assert again.code(GetDataRequest("/a", False)) == 0


def test_digests_are_masked_for_those_who_do_not_administer() -> None:
    me = one()
    me.create("/a", acl=[make_digest_acl("bob", "pw", all=True), ACL(1, Id("world", "anyone"))])
    assert me.ask(GetACLRequest("/a")).acl[0] == ACL(31, Id("digest", "bob:x"))


def test_networks_match_by_their_bits() -> None:
    server = server_of()
    near, far = Talker(server, host="10.1.2.3"), Talker(server, host="10.2.2.3")
    near.create("/a", acl=[ACL(31, Id("ip", "10.1.0.0/16"))])
    assert (near.code(GetDataRequest("/a", False)), far.code(GetDataRequest("/a", False))) == (0, -102)


@pytest.mark.parametrize("scheme", ["world", "super", "sasl", "x509", "nosuch"])
def test_other_schemes_fail_to_authenticate_and_close_but_keep_the_session(scheme: str) -> None:
    server = server_of()
    me = Talker(server)
    assert me.auth(scheme, b"x") == -115
    assert me.closed
    assert Talker(server, me.session).connected


def test_digest_without_data_fails_and_without_a_colon_does_not() -> None:
    assert one().auth("digest", None) == -115
    me = one()
    assert me.auth("digest", b"nocolon") == 0
    assert ClientInfo("digest", "nocolon") in me.ask(WhoAmIRequest()).client_info


# Multi


def test_the_operations_of_a_multi_see_each_other_and_share_one_zxid() -> None:
    me = one()
    before = me.server.core.last_zxid
    results = me.ask(
        MultiRequest(
            [
                CreateRequest("/a", b"", OPEN, 0),
                CheckVersionRequest("/a", 0),
                SetDataRequest("/a", b"x", 0),
                SetDataRequest("/a", b"xy", 1),
                CreateRequest("/a/b", b"", OPEN, 1),
                DeleteRequest("/a/b", -1),
                DeleteRequest("/a", 2),
                CreateRequest("/a", b"", OPEN, 0),
            ]
        )
    ).results
    assert [type(result) for result in results] == [
        CreateResult, CheckResult, SetDataResult, SetDataResult, CreateResult, DeleteResult, DeleteResult, CreateResult
    ]  # fmt: skip
    assert [r.stat.version for r in results if isinstance(r, SetDataResult)] == [1, 2]
    assert stat_of(me, "/a").czxid == me.server.core.last_zxid == before + 1


def test_a_failed_multi_changes_nothing_and_says_where() -> None:
    me = one()
    exchange = me.exchange(
        MultiRequest([CreateRequest("/a", b"", OPEN, 0), CheckVersionRequest("/", 9), DeleteRequest("/zookeeper", -1)])
    )
    assert exchange.error == 0 and exchange.reply is not None
    assert exchange.reply.results == [ErrorResult(0), ErrorResult(-103), ErrorResult(-2)]
    assert me.code(ExistsRequest("/a", False)) == -101


NEW = ("3.7.2", "3.8.2", "3.9.0", "3.10")
OLD = ("3.6", "3.7.1", "3.8.0", "3.8.1")


@pytest.mark.parametrize("version", [*OLD, *NEW])
@pytest.mark.parametrize(
    ("operation", "old", "new"),
    [
        (CreateRequest("/a", b"", OPEN, 0), (False, False), (False, False)),
        (Create2Request("/a", b"", OPEN, 0), (False, False), (True, False)),
        (CreateRequest("/a", b"", OPEN, 4), (True, True), (True, True)),
        (CreateContainerRequest("/a", b"", OPEN, 4), (True, True), (True, True)),
        (CreateContainerRequest("/a", b"", OPEN, 0), (False, False), (True, True)),
        (CreateTTLRequest("/a", b"", OPEN, 5, 1000), (True, False), (True, False)),
        (CreateTTLRequest("/a", b"", OPEN, 0, 1000), (False, False), (False, False)),
    ],
)
def test_the_result_of_a_create_in_a_multi_depends_on_the_release(
    version: str, operation: Op, old: tuple[bool, bool], new: tuple[bool, bool]
) -> None:
    me = one(version)
    (result,) = me.ask(MultiRequest([operation])).results
    assert isinstance(result, CreateResult)
    assert (result.stat is not None, "/a" in me.server.core.tree.containers) == (new if version in NEW else old)


@pytest.mark.parametrize(
    ("version", "flags", "first"), [("3.9", 5, -5), ("3.9", 7, -5), ("3.6", 5, -101), ("3.6", 7, -101)]
)
def test_odd_flags_in_a_multi_break_it_before_or_after_its_first_operation(
    version: str, flags: int, first: int
) -> None:
    me = one(version)
    exchange = me.exchange(MultiRequest([DeleteRequest("/nope", -1), CreateRequest("/a", b"", OPEN, flags)]))
    if first == -5:
        assert exchange.error == -5
    else:
        assert exchange.reply is not None and exchange.reply.results == [ErrorResult(-101), ErrorResult(-2)]
    alone = me.exchange(MultiRequest([CreateRequest("/a", b"", OPEN, flags)]))
    if (version, flags) == ("3.6", 7):
        assert alone.reply is not None and alone.reply.results == [ErrorResult(-8)]
    else:
        assert alone.error == -5


TERMINATOR = b"\xff\xff\xff\xff\x01\xff\xff\xff\xff"


@pytest.mark.parametrize(
    ("version", "body", "taken", "skipped"),
    [("3.6", TERMINATOR, 0, 1), ("3.8", TERMINATOR, 0, 1), ("3.9", b"", 1, 0)],
)
def test_a_null_path_in_a_multi_breaks_it(version: str, body: bytes, taken: int, skipped: int) -> None:
    me = one(version)
    before = me.server.core.last_zxid
    assert me.raw(14, MultiRequest([SetDataRequest(None, b"", -1)]).encode()) == [(77, before + taken, -5, body)]
    assert me.create2("/a").czxid == before + taken + skipped + 1


@pytest.mark.parametrize(("version", "body"), [("3.8", TERMINATOR), ("3.9", b"")])
def test_a_null_list_in_a_multi_breaks_it_without_a_zxid(version: str, body: bytes) -> None:
    me = one(version)
    before = me.server.core.last_zxid
    request = MultiRequest([CreateRequest("/a", b"", None, 0)])
    assert me.raw(14, request.encode()) == [(77, before, -5, body)]
    assert me.create2("/a").czxid == before + 1
    assert one("3.6").ask(request).results == [ErrorResult(-114)]


@pytest.mark.parametrize(("flags", "taken"), [(0, 0), (6, 0), (7, 1), (99, 1)])
def test_unknown_flags_in_a_multi_are_found_before_a_null_list(flags: int, taken: int) -> None:
    me = one("3.9")
    before = me.server.core.last_zxid
    assert me.code(MultiRequest([Create2Request("/a", b"", None, flags)])) == -5
    assert me.server.core.last_zxid == before + taken


def test_reads_and_set_acl_are_not_allowed_in_a_multi() -> None:
    me = one()
    for kind, record in (
        (4, GetDataRequest("/", False)),
        (7, SetACLRequest("/", OPEN, -1)),
        (3, ExistsRequest("/", False)),
    ):
        body = kind.to_bytes(4, "big") + b"\0\xff\xff\xff\xff" + record.encode() + TERMINATOR
        assert me.raw(14, body)[0][2:] == (-5, b"")


def test_a_multi_without_its_end_cannot_be_decoded() -> None:
    assert one().raw(14, b"")[0][2] == -5


def test_each_read_of_a_multi_read_fails_or_succeeds_on_its_own() -> None:
    me = one()
    me.create("/a", b"x")
    reply = me.ask(MultiReadRequest([GetChildrenRequest("/nope", False), GetDataRequest("/a", False)]))
    assert reply.results[0] == ErrorResult(-101)
    assert isinstance(reply.results[1], GetDataResult) and reply.results[1].data == b"x"


def test_a_write_in_a_multi_read_is_refused_with_a_body() -> None:
    me = one()
    body = MultiRequest([CreateRequest("/a", b"", OPEN, 0)]).encode()
    assert me.raw(22, body)[0][2:] == (-5, TERMINATOR)


# Quotas


def test_the_usage_of_a_quota_is_counted_with_its_root_and_in_silence() -> None:
    me = one()
    me.create("/q", b"12345")
    me.create("/q/a", b"1")
    me.create("/qt", b"not counted")
    for path in ("/zookeeper/quota/q", "/zookeeper/quota/q/zookeeper_limits"):
        me.create(path, b"count=1,bytes=1")
    stats = "/zookeeper/quota/q/zookeeper_stats"
    me.create(stats, b"whatever")
    assert me.ask(GetDataRequest(stats, True)).data == b"count=2,bytes=6"
    me.create("/q/b", b"22")
    me.set("/q/a", b"")
    me.create("/qt/x", b"12")
    assert me.heard() == []
    reply = me.ask(GetDataRequest(stats, False))
    assert (reply.data, reply.stat.version) == (b"count=3,bytes=7", 0)


@pytest.mark.parametrize("version", ALL_VERSIONS)
def test_hard_limits_refuse_since_3_7_when_enforced(version: str) -> None:
    me = one(version, enforce_quotas=True)
    me.create("/q")
    me.create("/zookeeper/quota/q")
    me.create("/zookeeper/quota/q/zookeeper_limits", b"count=-1,bytes=-1=;byteHardLimit=5;countHardLimit=2")
    me.create("/zookeeper/quota/q/zookeeper_stats")
    expected = 0 if version == "3.6" else -125
    assert me.code(CreateRequest("/q/a", b"123456", OPEN, 0)) == expected
    assert me.code(SetDataRequest("/q", b"123456", -1)) == expected
    if expected:
        me.create("/q/a", b"12345")
        assert me.code(CreateRequest("/q/b", b"", OPEN, 0)) == -125
        assert me.code(SetDataRequest("/q/a", b"", -1)) == 0
        results = me.ask(MultiRequest([CreateRequest("/q/b", b"", OPEN, 0)])).results
        assert results == [ErrorResult(-125)]


def test_a_multi_can_overshoot_a_quota() -> None:
    me = one(enforce_quotas=True)
    me.create("/q")
    me.create("/zookeeper/quota/q")
    me.create("/zookeeper/quota/q/zookeeper_limits", b"count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=2")
    me.create("/zookeeper/quota/q/zookeeper_stats")
    results = me.ask(MultiRequest([CreateRequest(f"/q/{n}", b"", OPEN, 0) for n in range(3)])).results
    assert [type(result) for result in results] == [CreateResult] * 3


@given(*[st.integers(-1, 2**40)] * 4)
def test_a_usage_survives_its_text(nodes: int, size: int, hard_nodes: int, hard_size: int) -> None:
    usage = Usage(nodes, size, hard_nodes, hard_size)
    assert Usage.parse(usage.encode()) == usage
