"""Which error the embedded server tells when several would do, and what it answers to odd requests."""

from __future__ import annotations

import pytest
from embedded_client import OPEN, one

from zk_wire import (
    ACL,
    CreateRequest,
    DeleteContainerRequest,
    DeleteRequest,
    GetDataRequest,
    Id,
    MultiRequest,
    ReconfigRequest,
    SetDataRequest,
)


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


# Null, where a server decodes it and no client should send it

NULL = b"\xff\xff\xff\xff"
ANYONE = b"\0\0\0\1\0\0\0\x1f\0\0\0\5world\0\0\0\6anyone"


@pytest.mark.parametrize("version", ["3.8", "3.9"])
@pytest.mark.parametrize(
    ("opcode", "body", "code"),
    [
        (1, NULL + NULL + ANYONE + bytes(4), -5),
        (15, NULL + NULL + ANYONE + bytes(4), -5),
        (2, NULL + NULL, -5),
        (5, NULL + NULL + NULL, -8),
        (7, NULL + ANYONE + NULL, -8),
    ],
)
def test_a_write_without_a_path_is_refused_with_a_zxid(version: str, opcode: int, body: bytes, code: int) -> None:
    me = one(version)
    before = me.server.core.last_zxid
    assert me.raw(opcode, body) == [(77, before + 1, code, b"")]


@pytest.mark.parametrize(("version", "taken"), [("3.8", 1), ("3.9", 0)])
def test_null_in_front_of_garbage_is_garbage(version: str, taken: int) -> None:
    me = one(version)
    before = me.server.core.last_zxid
    assert me.raw(1, NULL + NULL + b"\xff") == [(77, before + taken, -5, b"")]


@pytest.mark.parametrize(("version", "checked"), [("3.8", -5), ("3.9", -121)])
def test_a_missing_path_can_be_watched_like_any_other(version: str, checked: int) -> None:
    me = one(version)
    any_kind = NULL + b"\0\0\0\3"
    assert me.raw(17, any_kind)[0][2] == checked
    assert me.raw(18, any_kind)[0][2] == -121
    assert me.raw(106, NULL + b"\0\0\0\1")[0][2] == 0
    assert me.raw(18, any_kind)[0][2] == 0
    assert me.raw(18, any_kind)[0][2] == -121


@pytest.mark.parametrize("version", ["3.8", "3.9"])
@pytest.mark.parametrize(
    ("scheme", "code"),
    [(None, -114), (b"", -114), (b"sasl", -114), (b"nosuch", -114), (b"world", -5), (b"digest", -5), (b"ip", -5)],
)
def test_an_identity_without_a_name_is_refused_with_a_zxid(version: str, scheme: bytes | None, code: int) -> None:
    me = one(version)
    before = me.server.core.last_zxid
    name = NULL if scheme is None else len(scheme).to_bytes(4, "big") + scheme
    entry = b"\0\0\0\1\0\0\0\x1f" + name + NULL
    assert me.raw(1, b"\0\0\0\2/a" + NULL + entry + bytes(4)) == [(77, before + 1, code, b"")]
    assert me.raw(7, b"\0\0\0\1/" + entry + NULL) == [(77, before + 2, code, b"")]
