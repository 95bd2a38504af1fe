"""multi and multiRead on the embedded server, release by release."""

from __future__ import annotations

import pytest
from embedded_client import OPEN, one, stat_of

from zk_wire import (
    CheckResult,
    CheckVersionRequest,
    Create2Request,
    CreateContainerRequest,
    CreateRequest,
    CreateResult,
    CreateTTLRequest,
    DeleteRequest,
    DeleteResult,
    ErrorResult,
    ExistsRequest,
    GetChildrenRequest,
    GetDataRequest,
    GetDataResult,
    MultiReadRequest,
    MultiRequest,
    Op,
    SetACLRequest,
    SetDataRequest,
    SetDataResult,
)


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


@pytest.mark.parametrize("opcode", [1, 2, 13, 15])
@pytest.mark.parametrize(("version", "body", "taken", "skipped"), [("3.8", TERMINATOR, 0, 1), ("3.9", b"", 1, 0)])
def test_so_does_one_that_no_record_can_hold(opcode: int, version: str, body: bytes, taken: int, skipped: int) -> None:
    me = one(version)
    before = me.server.core.last_zxid
    rest = bytes(4 if opcode in (2, 13) else 12)
    operation = opcode.to_bytes(4, "big") + b"\0" + 2 * b"\xff\xff\xff\xff" + rest
    assert me.raw(14, operation + TERMINATOR) == [(77, before + taken, -5, body)]
    assert me.create2("/a").czxid == before + taken + skipped + 1


@pytest.mark.parametrize("opcode", [1, 2, 13, 15])
def test_but_not_one_that_cannot_be_decoded_behind_the_null_path(opcode: int) -> None:
    me = one("3.8")
    before = me.server.core.last_zxid
    operation = opcode.to_bytes(4, "big") + b"\0" + 2 * b"\xff\xff\xff\xff"
    assert me.raw(14, operation) == [(77, before + 1, -5, b"")]
    assert me.create2("/a").czxid == before + 2


@pytest.mark.parametrize("opcode", [4, 8])
def test_a_null_path_in_a_multi_read_breaks_it_with_a_body(opcode: int) -> None:
    operation = opcode.to_bytes(4, "big") + b"\0" + 2 * b"\xff\xff\xff\xff" + b"\0"
    assert one().raw(22, operation + TERMINATOR)[0][2:] == (-5, TERMINATOR)


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
