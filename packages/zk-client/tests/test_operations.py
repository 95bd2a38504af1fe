"""Operations: bad input ends before any I/O, with the rule it breaks; good input is exactly what the wire asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from corepair import STAT, CorePair, Sink

from zk_client import ACL, OPEN_ACL_UNSAFE, READ_ACL_UNSAFE, Id, InvalidPathError
from zk_client.operations import MAX_REQUEST, REMEMBERED_PATHS, Operations
from zk_client.transactions import ReadBatch, Transaction
from zk_wire import (
    AddWatchMode,
    AddWatchRequest,
    AuthPacket,
    ClientInfo,
    Create2Request,
    Create2Response,
    CreateContainerRequest,
    CreateRequest,
    CreateResponse,
    CreateTTLRequest,
    DeleteRequest,
    ErrorResult,
    ExistsRequest,
    GetACLRequest,
    GetACLResponse,
    GetAllChildrenNumberRequest,
    GetAllChildrenNumberResponse,
    GetChildren2Request,
    GetChildrenRequest,
    GetChildrenResult,
    GetDataRequest,
    GetDataResult,
    GetEphemeralsRequest,
    GetEphemeralsResponse,
    MultiReadRequest,
    MultiReadResponse,
    ReconfigRequest,
    Request,
    SetACLRequest,
    SetDataRequest,
    SyncRequest,
    SyncResponse,
    WhoAmIRequest,
    WhoAmIResponse,
)

Make = Callable[[Operations], Any]
READ_BY_USER = (ACL(1, Id("digest", "u:hash")),)


def operations(chroot: str = "", **options: Any) -> Operations:
    return Operations(CorePair(), chroot, **options)


# What is sent

SENT: list[tuple[Make, Callable[[str], Request[Any]]]] = [
    (lambda o: o.get("/a"), lambda c: GetDataRequest(c + "/a", False)),
    (lambda o: o.get("/a", Sink()), lambda c: GetDataRequest(c + "/a", True)),
    (lambda o: o.get("/"), lambda c: GetDataRequest(c or "/", False)),
    (lambda o: o.exists("/ü"), lambda c: ExistsRequest(c + "/ü", False)),
    (lambda o: o.exists("/a", Sink()), lambda c: ExistsRequest(c + "/a", True)),
    (lambda o: o.get_children("/a", Sink()), lambda c: GetChildrenRequest(c + "/a", True)),
    (lambda o: o.get_children_with_stat("/a"), lambda c: GetChildren2Request(c + "/a", False)),
    (lambda o: o.get_acls("/a"), lambda c: GetACLRequest(c + "/a")),
    (lambda o: o.get_all_children_number("/a"), lambda c: GetAllChildrenNumberRequest(c + "/a")),
    (lambda o: o.get_ephemerals(), lambda c: GetEphemeralsRequest(c or "/")),
    (lambda o: o.get_ephemerals("/a"), lambda c: GetEphemeralsRequest(c + "/a")),
    (lambda o: o.sync("/a"), lambda c: SyncRequest(c + "/a")),
    (lambda o: o.whoami(), lambda c: WhoAmIRequest()),
    (lambda o: o.get_config(), lambda c: GetDataRequest("/zookeeper/config", False)),
    (lambda o: o.set("/a", b"x", 3), lambda c: SetDataRequest(c + "/a", b"x", 3)),
    (lambda o: o.set("/a", None), lambda c: SetDataRequest(c + "/a", None, -1)),
    (lambda o: o.delete("/a"), lambda c: DeleteRequest(c + "/a", -1)),
    (lambda o: o.delete("/a", 7), lambda c: DeleteRequest(c + "/a", 7)),
    (lambda o: o.set_acls("/a", READ_BY_USER, 2), lambda c: SetACLRequest(c + "/a", READ_BY_USER, 2)),
    (lambda o: o.reconfig("j", None, None, 5), lambda c: ReconfigRequest("j", None, None, 5)),
    (lambda o: o.add_auth("digest", "ü:p"), lambda c: AuthPacket("digest", "ü:p".encode())),
    (lambda o: o.add_auth("x", b"\0"), lambda c: AuthPacket("x", b"\0")),
    (
        lambda o: o.add_watch("/a", Sink(), recursive=False),
        lambda c: AddWatchRequest(c + "/a", AddWatchMode.PERSISTENT),
    ),
    (
        lambda o: o.add_watch("/", Sink(), recursive=True),
        lambda c: AddWatchRequest(c or "/", AddWatchMode.PERSISTENT_RECURSIVE),
    ),
    (lambda o: o.create("/a"), lambda c: CreateRequest(c + "/a", b"", OPEN_ACL_UNSAFE, 0)),
    (lambda o: o.create("/a", None), lambda c: CreateRequest(c + "/a", None, OPEN_ACL_UNSAFE, 0)),
    (lambda o: o.create("/a", b"x", READ_BY_USER), lambda c: CreateRequest(c + "/a", b"x", READ_BY_USER, 0)),
    (lambda o: o.create("/a", ephemeral=True), lambda c: CreateRequest(c + "/a", b"", OPEN_ACL_UNSAFE, 1)),
    (lambda o: o.create("/a-", sequence=True), lambda c: CreateRequest(c + "/a-", b"", OPEN_ACL_UNSAFE, 2)),
    (lambda o: o.create("/a/", sequence=True), lambda c: CreateRequest(c + "/a/", b"", OPEN_ACL_UNSAFE, 2)),
    (
        lambda o: o.create("/", ephemeral=True, sequence=True),
        lambda c: CreateRequest(c + "/", b"", OPEN_ACL_UNSAFE, 3),
    ),
    (lambda o: o.create("/a", container=True), lambda c: CreateContainerRequest(c + "/a", b"", OPEN_ACL_UNSAFE, 4)),
    (lambda o: o.create("/a", ttl=0.5), lambda c: CreateTTLRequest(c + "/a", b"", OPEN_ACL_UNSAFE, 5, 500)),
    (
        lambda o: o.create("/a", sequence=True, ttl=60),
        lambda c: CreateTTLRequest(c + "/a", b"", OPEN_ACL_UNSAFE, 6, 60_000),
    ),
    (lambda o: o.create_with_stat("/a"), lambda c: Create2Request(c + "/a", b"", OPEN_ACL_UNSAFE, 0)),
    (
        lambda o: o.create_with_stat("/a", container=True),
        lambda c: CreateContainerRequest(c + "/a", b"", OPEN_ACL_UNSAFE, 4),
    ),
]


@pytest.mark.parametrize("chroot", ["", "/app", "/app/sub"])
@pytest.mark.parametrize(("make", "request_for"), SENT)
def test_a_call_is_the_wires_own_encoding_of_its_request(
    make: Make, request_for: Callable[[str], Request[Any]], chroot: str
) -> None:
    assert make(operations(chroot)).payload == request_for(chroot).payload()


def test_the_default_acl_is_used_where_none_is_given() -> None:
    call = operations(acl=READ_ACL_UNSAFE).create("/a")
    assert call.payload == CreateRequest("/a", b"", READ_ACL_UNSAFE, 0).payload()


def test_a_path_is_encoded_once_and_forgotten_in_time() -> None:
    made = operations("/app")
    for i in range(REMEMBERED_PATHS + 10):
        made.get(f"/{i}")
    assert len(made._ustrings) <= REMEMBERED_PATHS
    assert made.get("/5").payload == GetDataRequest("/app/5", False).payload()


# What is understood


def understood(call: Any, response: Any) -> Any:
    """What a call makes of a response."""
    encoded = response.encode()
    return call.decode(encoded, 0, len(encoded))


@pytest.mark.parametrize(
    ("make", "response", "value"),
    [
        (lambda o: o.create("/n"), CreateResponse("/app/n"), "/n"),
        (lambda o: o.create("/", sequence=True), CreateResponse("/app/0000000001"), "/0000000001"),
        (lambda o: o.create("/n"), CreateResponse("/application/n"), "/application/n"),
        (lambda o: o.create("/n", ttl=1), Create2Response("/app/n", STAT), "/n"),
        (lambda o: o.create_with_stat("/n"), Create2Response("/app/n", STAT), ("/n", STAT)),
        (lambda o: o.sync("/n"), SyncResponse("/app/n"), "/n"),
        (lambda o: o.get_acls("/n"), GetACLResponse(list(READ_BY_USER), STAT), (list(READ_BY_USER), STAT)),
        (lambda o: o.get_all_children_number("/n"), GetAllChildrenNumberResponse(7), 7),
        (lambda o: o.whoami(), WhoAmIResponse([ClientInfo("ip", "::1")]), [ClientInfo("ip", "::1")]),
        (
            lambda o: o.get_ephemerals("/a"),
            GetEphemeralsResponse(["/app/a", "/app/a/b", "/app/ab", "/app2/a"]),
            ["/a", "/a/b"],
        ),
        (lambda o: o.get_ephemerals(), GetEphemeralsResponse(["/app/a", "/app2/a"]), ["/a"]),
    ],
)
def test_the_chroot_is_stripped_by_component(make: Make, response: Any, value: Any) -> None:
    assert understood(make(operations("/app")), response) == value


def test_a_batch_of_reads_gives_values_and_errors_one_by_one() -> None:
    pair = CorePair("h:1/app")
    pair.open()
    call = ReadBatch(pair.operations).get("/a").get_children("/b").get("/c").commit_async()
    request = pair.next(MultiReadRequest)
    assert [read.path for read in request.request.ops] == ["/app/a", "/app/b", "/app/c"]  # type: ignore[attr-defined]
    pair.reply(request, MultiReadResponse([GetDataResult(b"x", STAT), GetChildrenResult(["n"]), ErrorResult(-101)]))
    data, children, error = call.result()
    assert (data, children) == ((b"x", STAT), ["n"])
    assert (error.code, error.path) == (-101, "/c")  # type: ignore[union-attr]


# What is refused

BY_PATH: list[Make] = [
    lambda o: lambda path: o.get(path),
    lambda o: lambda path: o.exists(path),
    lambda o: lambda path: o.get_children(path),
    lambda o: lambda path: o.get_children_with_stat(path),
    lambda o: lambda path: o.get_acls(path),
    lambda o: lambda path: o.set_acls(path, OPEN_ACL_UNSAFE),
    lambda o: lambda path: o.get_all_children_number(path),
    lambda o: lambda path: o.get_ephemerals(path),
    lambda o: lambda path: o.sync(path),
    lambda o: lambda path: o.create(path),
    lambda o: lambda path: o.create_with_stat(path),
    lambda o: lambda path: o.set(path, b""),
    lambda o: lambda path: o.delete(path),
    lambda o: lambda path: o.add_watch(path, Sink(), recursive=True),
    lambda o: lambda path: Transaction(o, None).delete(path),
    lambda o: lambda path: Transaction(o, None).check(path),
    lambda o: lambda path: Transaction(o, None).create(path),
    lambda o: lambda path: Transaction(o, None).set_data(path, b""),
    lambda o: lambda path: Transaction(o, None).add(DeleteRequest(path, -1)),
    lambda o: lambda path: ReadBatch(o).get(path),
    lambda o: lambda path: ReadBatch(o).get_children(path),
]


@pytest.mark.parametrize("take", BY_PATH)
@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("", "empty path"),
        ("a", "does not start with /"),
        ("/a/", "ends with /"),
        ("/a//b", "empty segment at position 3"),
    ],
)
def test_a_bad_path_is_refused_by_every_operation(take: Make, path: str, rule: str) -> None:
    with pytest.raises(InvalidPathError, match=rule):
        take(operations())(path)


@pytest.mark.parametrize("path", [None, b"/a", 1])
@pytest.mark.parametrize("take", BY_PATH[:-3])
def test_a_path_is_a_str(take: Make, path: Any) -> None:
    with pytest.raises(TypeError, match="a path must be a str, not"):
        take(operations())(path)


@pytest.mark.parametrize("value", ["text", bytearray(b"x"), memoryview(b"x"), 1, ["x"]])
@pytest.mark.parametrize(
    "take",
    [
        lambda o, value: o.create("/a", value),
        lambda o, value: o.create_with_stat("/a", value),
        lambda o, value: o.set("/a", value),
        lambda o, value: Transaction(o, None).create("/a", value),
        lambda o, value: Transaction(o, None).set_data("/a", value),
    ],
)
def test_data_is_bytes_and_nothing_else(take: Any, value: Any) -> None:
    with pytest.raises(TypeError, match=f"the value for '/a' must be bytes .* not {type(value).__name__}"):
        take(operations(), value)


@pytest.mark.parametrize(
    ("version", "error"),
    [
        ("1", TypeError),
        (1.0, TypeError),
        (True, TypeError),
        (None, TypeError),
        (2**31, ValueError),
        (-(2**31) - 1, ValueError),
    ],
)
@pytest.mark.parametrize(
    "take",
    [
        lambda o, version: o.set("/a", b"", version),
        lambda o, version: o.delete("/a", version),
        lambda o, version: o.set_acls("/a", OPEN_ACL_UNSAFE, version),
        lambda o, version: Transaction(o, None).check("/a", version),
        lambda o, version: Transaction(o, None).delete("/a", version),
        lambda o, version: Transaction(o, None).set_data("/a", b"", version),
    ],
)
def test_a_version_is_an_int_of_32_bits(take: Any, version: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="the version for '/a' must"):
        take(operations(), version)


@pytest.mark.parametrize(
    ("ttl", "error"),
    [
        (0, ValueError),
        (-1, ValueError),
        (0.0001, ValueError),
        (1_099_511_628, ValueError),
        (float("nan"), ValueError),
        (float("inf"), ValueError),
        ("1", TypeError),
        (True, TypeError),
    ],
)
def test_a_ttl_is_a_number_of_seconds_from_a_millisecond_on(ttl: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="ttl must"):
        operations().create("/a", ttl=ttl)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"container": True, "ephemeral": True}, "a container cannot"),
        ({"container": True, "sequence": True}, "a container cannot"),
        ({"container": True, "ttl": 1}, "a container cannot"),
        ({"ephemeral": True, "ttl": 1}, "an ephemeral node cannot have a ttl"),
    ],
)
def test_a_mode_that_does_not_exist_is_refused(options: dict[str, Any], rule: str) -> None:
    for create in (operations().create, operations().create_with_stat):
        with pytest.raises(ValueError, match=rule):
            create("/a", **options)
    with pytest.raises(ValueError, match=rule):
        Transaction(operations(), None).create("/a", **options)


@pytest.mark.parametrize(
    "acl",
    [
        "world:anyone",
        b"x",
        [("world", "anyone")],
        [None],
        [1],
        OPEN_ACL_UNSAFE[0],
        5,
        [ACL(31, "world:anyone")],
        [ACL(31, Id("world", None))],
    ],
)
def test_an_acl_is_a_list_of_entries(acl: Any) -> None:
    for take in (
        lambda: operations().create("/a", acl=acl),
        lambda: operations().set_acls("/a", acl),
        lambda: operations(acl=acl),
    ):
        with pytest.raises(TypeError, match="acl must be"):
            take()


def test_an_acl_given_as_a_generator_is_not_taken_for_an_empty_one() -> None:
    with pytest.raises(TypeError, match="acl must be"):
        operations().create("/a", acl=(acl for acl in OPEN_ACL_UNSAFE))  # type: ignore[arg-type]


def test_an_acl_is_not_empty() -> None:
    with pytest.raises(ValueError, match="acl must not be empty"):
        operations().create("/a", acl=[])


@pytest.mark.parametrize("watch", [1, "watch", b"x"])
def test_a_watch_is_a_function(watch: Any) -> None:
    for take in (operations().get, operations().exists, operations().get_children, operations().get_children_with_stat):
        with pytest.raises(TypeError, match="watch must be a function"):
            take("/a", watch)
    with pytest.raises(TypeError, match="watch must be a function"):
        operations().get_config(watch)


def test_a_request_the_server_would_hang_up_on_is_not_sent() -> None:
    made = operations()
    largest = MAX_REQUEST - len(made.set("/a", b"").payload) - 4
    made.set("/a", bytes(largest))
    with pytest.raises(ValueError, match="takes 1048576 bytes, but the server drops connections"):
        made.set("/a", bytes(largest + 1))
    with pytest.raises(ValueError, match="drops connections"):
        made.create("/a", bytes(MAX_REQUEST))
    with pytest.raises(ValueError, match="drops connections"):
        Transaction(made, None).set_data("/a", bytes(MAX_REQUEST)).commit_async()


def test_the_largest_request_is_the_users_choice() -> None:
    with pytest.raises(ValueError, match="more than 100"):
        operations(max_request=100).set("/a", bytes(100))


@pytest.mark.parametrize(("scheme", "credential"), [("", "x"), (None, "x"), ("digest", None), ("digest", 5)])
def test_an_identity_is_a_scheme_and_a_credential(scheme: Any, credential: Any) -> None:
    with pytest.raises(TypeError, match=r"(scheme|credential) must be"):
        operations().add_auth(scheme, credential)


@pytest.mark.parametrize("members", [5, b"server.1"])
def test_members_are_text(members: Any) -> None:
    with pytest.raises(TypeError, match="joining must be a str or None"):
        operations().reconfig(members, None, None)


def test_a_transaction_takes_operations_only() -> None:
    with pytest.raises(TypeError, match="a transaction takes create, delete, set and check, not GetDataRequest"):
        Transaction(operations(), None).add(GetDataRequest("/a", False))  # type: ignore[arg-type]
