"""Every operation and its twin, on servers of every supported line."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from live import Events, servers

from zk_client import (
    ACL,
    CREATOR_ALL_ACL,
    OPEN_ACL_UNSAFE,
    READ_ACL_UNSAFE,
    BadArgumentsError,
    BadVersionError,
    Call,
    Client,
    ConfigurationError,
    EventType,
    Id,
    InvalidACLError,
    InvalidPathError,
    NoAuthError,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    Outcome,
    Permission,
    ServerError,
    SessionState,
    Stat,
    TransactionFailedError,
    UnimplementedError,
    make_digest_acl,
    run_blocking,
)
from zk_testing import Choice, EmbeddedServer
from zk_testing.cluster import Cluster
from zk_wire import (
    CheckResult,
    CreateMode,
    CreateRequest,
    CreateResult,
    DeleteRequest,
    DeleteResult,
    QuotaExceededError,
    ReconfigDisabledError,
    RolledBackError,
    RuntimeInconsistencyError,
    SetDataResult,
)

VERSIONS = ("3.6", "3.7", "3.8", "newest")


@pytest.fixture(scope="module", params=VERSIONS)
def server(zk_choice: Choice, request: pytest.FixtureRequest) -> Iterator[Cluster | EmbeddedServer]:
    with servers(zk_choice, request.param, quotas=True) as started:
        yield started


@pytest.fixture(scope="module")
def shared(server: Cluster) -> Iterator[Client]:
    """One client per version, for all tests of this module."""
    with Client(server.hosts, 10.0) as client:
        yield client


@pytest.fixture
def top(shared: Client) -> str:
    """A fresh node."""
    return shared.create(f"/t-{uuid.uuid4().hex}")


def line(cluster: Cluster) -> tuple[int, ...]:
    return tuple(int(number) for number in cluster.version.split("."))


# Creating


@pytest.mark.parametrize(("ephemeral", "sequence"), [(False, False), (True, False), (False, True), (True, True)])
def test_create_makes_the_kind_of_node_asked_for(shared: Client, top: str, ephemeral: bool, sequence: bool) -> None:
    path = shared.create(f"{top}/n", b"data", ephemeral=ephemeral, sequence=sequence)

    assert path == f"{top}/n" + ("0000000000" if sequence else "")
    data, stat = shared.get(path)
    assert data == b"data"
    assert stat.owner_session_id == (shared.session_id if ephemeral else None)


def test_a_container_goes_with_its_last_child(shared: Client, top: str) -> None:
    container = shared.create(f"{top}/box", container=True)
    child = shared.create(f"{container}/child")
    gone = shared.watcher()
    shared.exists(container, watch=gone)

    shared.delete(child)

    event = gone.wait(20)
    assert event is not None
    assert event.type is EventType.DELETED


@pytest.mark.parametrize("sequence", [False, True])
def test_a_node_with_a_ttl_goes_when_its_time_is_over(shared: Client, top: str, sequence: bool) -> None:
    path = shared.create(f"{top}/t", ttl=0.001, sequence=sequence)
    gone = shared.watcher()
    if shared.exists(path, watch=gone) is not None:
        event = gone.wait(20)
        assert event is not None
        assert event.type is EventType.DELETED
    assert path == f"{top}/t" + ("0000000000" if sequence else "")


@pytest.mark.parametrize(
    "kind", [{}, {"ephemeral": True}, {"sequence": True}, {"ephemeral": True, "sequence": True}, {"ttl": 60}]
)
def test_create_with_include_data_gives_the_stat_of_the_new_node(
    shared: Client, top: str, kind: dict[str, bool]
) -> None:
    path, stat = shared.create(f"{top}/n", b"12345", include_data=True, **kind)
    assert stat == shared.get(path)[1]
    assert stat.data_length == 5


def test_a_container_can_be_created_with_its_stat(shared: Client, top: str) -> None:
    path, stat = shared.create(f"{top}/box", include_data=True, container=True)
    assert (path, stat) == (f"{top}/box", shared.exists(f"{top}/box"))


def test_create_with_makepath_makes_the_parents(shared: Client, top: str) -> None:
    assert shared.create(f"{top}/a/b/c/d", b"leaf", makepath=True) == f"{top}/a/b/c/d"
    assert shared.get(f"{top}/a/b/c/d")[0] == b"leaf"
    assert shared.get(f"{top}/a/b/c")[0] == b""


def test_create_async_with_makepath_makes_the_parents(shared: Client, top: str) -> None:
    calls = [shared.create_async(f"{top}/a/b/{i}", makepath=True) for i in range(5)]
    assert [call.result(20) for call in calls] == [f"{top}/a/b/{i}" for i in range(5)]


def test_create_async_with_makepath_reports_an_existing_node(shared: Client, top: str) -> None:
    shared.create(f"{top}/a")
    with pytest.raises(NodeExistsError):
        shared.create_async(f"{top}/a", makepath=True).result(20)


def test_a_sequential_name_may_be_the_number_alone(shared: Client, top: str) -> None:
    assert shared.create(f"{top}/", sequence=True) == f"{top}/0000000000"


def test_null_data_and_empty_data_stay_apart(shared: Client, top: str) -> None:
    shared.create(f"{top}/null", None)
    shared.create(f"{top}/empty", b"")
    shared.create(f"{top}/default")
    assert [shared.get(f"{top}/{name}")[0] for name in ("null", "empty", "default")] == [None, b"", b""]

    shared.set(f"{top}/null", b"")
    shared.set(f"{top}/empty", None)
    assert [shared.get(f"{top}/{name}")[0] for name in ("null", "empty")] == [b"", None]


def test_names_beyond_ascii_come_back_as_they_went_out(shared: Client, top: str) -> None:
    names = {"Zoë", "日本語", "файл", "a b", "\u00a0", "x\u0301", "\uf900"}
    for name in names:
        assert shared.create(f"{top}/{name}", name.encode()) == f"{top}/{name}"
    assert set(shared.get_children(top)) == names
    assert {shared.get(f"{top}/{name}")[0] for name in names} == {name.encode() for name in names}


def test_a_megabyte_survives_the_round_trip(shared: Client, top: str) -> None:
    data = bytes(range(256)) * 4000
    shared.create(f"{top}/big", data)
    assert shared.get(f"{top}/big")[0] == data


# Reading and writing


def test_exists_answers_with_the_stat_or_none(shared: Client, top: str) -> None:
    stat = shared.exists(top)
    assert isinstance(stat, Stat)
    assert stat.version == 0
    assert shared.exists(f"{top}/nothing") is None


def test_set_replaces_the_data_and_answers_with_the_new_stat(shared: Client, top: str) -> None:
    stat = shared.set(top, b"two")
    assert stat.version == 1
    assert shared.get(top) == (b"two", stat)


def test_set_and_delete_check_the_version(shared: Client, top: str) -> None:
    path = shared.create(f"{top}/n")
    assert shared.set(path, b"1", version=0).version == 1
    with pytest.raises(BadVersionError) as refused:
        shared.set(path, b"2", version=0)
    assert refused.value.path == path
    with pytest.raises(BadVersionError):
        shared.delete(path, version=0)
    shared.delete(path, version=1)
    assert shared.exists(path) is None


def test_get_children_names_them_and_gives_the_parents_stat_on_request(shared: Client, top: str) -> None:
    for name in "cab":
        shared.create(f"{top}/{name}")
    children, stat = shared.get_children(top, include_data=True)
    assert sorted(children) == sorted(shared.get_children(top)) == ["a", "b", "c"]
    assert stat == shared.exists(top)
    assert stat.num_children == 3


def test_the_number_of_all_children_counts_every_depth(shared: Client, top: str) -> None:
    shared.ensure_path(f"{top}/a/b/c")
    shared.create(f"{top}/d")
    assert shared.get_all_children_number(top) == 4


def test_get_ephemerals_names_this_sessions_nodes_below_a_path(shared: Client, top: str) -> None:
    shared.create(f"{top}/x")
    shared.create(f"{top}/x/1", ephemeral=True)
    shared.create(f"{top}/xy", ephemeral=True)
    assert sorted(shared.get_ephemerals(top)) == [f"{top}/x/1", f"{top}/xy"]
    # The server compares by letters; a path does not lie below another because its name goes on.
    assert shared.get_ephemerals(f"{top}/x") == [f"{top}/x/1"]


def test_recursive_delete_removes_everything_below(shared: Client, top: str) -> None:
    for path in ("a/b/c", "a/d", "e"):
        shared.ensure_path(f"{top}/{path}")
    shared.delete(top, recursive=True)
    assert shared.exists(top) is None


def test_recursive_delete_async_removes_everything_below(shared: Client, top: str) -> None:
    shared.ensure_path(f"{top}/a/b")
    assert shared.delete_async(top, recursive=True).result(20) is None
    assert shared.exists(top) is None


def test_recursive_delete_of_a_missing_node_is_done_already(shared: Client, top: str) -> None:
    shared.delete(f"{top}/nothing", recursive=True)


def test_ensure_path_makes_what_is_missing_and_keeps_what_is_there(shared: Client, top: str) -> None:
    shared.create(f"{top}/a", b"kept")
    assert shared.ensure_path(f"{top}/a/b/c") == f"{top}/a/b/c"
    assert shared.ensure_path_async(f"{top}/a/b/c/d").result(20) == f"{top}/a/b/c/d"
    assert shared.get(f"{top}/a")[0] == b"kept"
    assert shared.exists(f"{top}/a/b/c/d") is not None


def test_sync_answers_with_its_path(shared: Client, top: str) -> None:
    assert shared.sync(top) == top


def test_get_config_answers_with_the_config_node(shared: Client) -> None:
    data, stat = shared.get_config()
    assert data is None or isinstance(data, bytes)
    assert stat.aversion == -1


def test_reconfig_is_refused_where_it_is_not_enabled(shared: Client) -> None:
    with pytest.raises(ReconfigDisabledError):
        shared.reconfig(leaving="3")
    with pytest.raises(ReconfigDisabledError):
        shared.reconfig_async(joining="server.9=127.0.0.1:1:2;127.0.0.1:3").result(20)


# Access control


def test_acls_are_read_and_replaced_under_their_own_version(shared: Client, top: str) -> None:
    path = shared.create(f"{top}/n")
    acls, stat = shared.get_acls(path)
    assert (acls, stat.aversion) == (list(OPEN_ACL_UNSAFE), 0)

    mine = [ACL(Permission.READ | Permission.ADMIN, Id("world", "anyone"))]
    assert shared.set_acls(path, mine, version=0).aversion == 1
    assert shared.get_acls(path)[0] == mine
    with pytest.raises(BadVersionError):
        shared.set_acls(path, mine, version=0)
    with pytest.raises(NoAuthError):
        shared.set(path, b"")


def test_a_digest_opens_what_it_protects(server: Cluster, top: str) -> None:
    with Client(server.hosts, 10.0) as owner, Client(server.hosts, 10.0) as other:
        owner.add_auth("digest", "ann:secret")
        path = owner.create(f"{top}/mine", b"private", acl=CREATOR_ALL_ACL)
        with pytest.raises(NoAuthError):
            other.get(path)
        assert owner.get(path)[0] == b"private"
        assert owner.get_acls(path)[0] == [make_digest_acl("ann", "secret", all=True)]

        other.add_auth_async("digest", b"ann:secret").result(20)
        assert other.get(path)[0] == b"private"


def test_the_default_acl_is_given_to_every_new_node(server: Cluster, top: str) -> None:
    mine = [make_digest_acl("bob", "pw", all=True)]
    with Client(server.hosts, 10.0, default_acl=mine, auth_data=[("digest", "bob:pw")]) as client:
        made = [client.create(f"{top}/a"), client.ensure_path(f"{top}/b/c"), client.create(f"{top}/d/e", makepath=True)]
        with client.transaction() as transaction:
            transaction.create(f"{top}/f")
        for path in [*made, f"{top}/b", f"{top}/d", f"{top}/f"]:
            assert client.get_acls(path)[0] == mine
        client.delete(f"{top}/b", recursive=True)


def test_whoami_names_the_connections_identities(server: Cluster, shared: Client) -> None:
    if line(server) < (3, 7):
        with pytest.raises(UnimplementedError):
            shared.whoami()
        return
    with Client(server.hosts, 10.0, auth_data=[("digest", "eve:pw")]) as client:
        assert {(info.auth_scheme, info.user) for info in client.whoami()} == {("ip", "127.0.0.1"), ("digest", "eve")}
        assert client.whoami_async().result(20) == client.whoami()


@pytest.mark.zk_leaks_allowed("descriptors")  # the shared client's next connection may have other numbers
@pytest.mark.parametrize("server", ["3.6"], indirect=True)
def test_an_operation_the_server_does_not_know_harms_nobody_else(shared: Client, top: str) -> None:
    session = shared.session_id
    node = shared.create(f"{top}/e", ephemeral=True)
    before = [shared.get_async(node) for _ in range(20)]
    unknown = shared.whoami_async()
    after = [shared.get_async(node) for _ in range(20)]

    assert isinstance(unknown.exception(20), UnimplementedError)
    # The server ends the connection; what is asked from here on waits for the next one.
    shared.set(node, b"")
    assert {call.result(20)[0] for call in before + after} == {b""}
    assert shared.session_id == session


# Errors


@pytest.mark.parametrize(
    ("expected", "action"),
    [
        (NoNodeError, lambda zk, top: zk.get(f"{top}/nothing")),
        (NoNodeError, lambda zk, top: zk.get_children(f"{top}/nothing")),
        (NoNodeError, lambda zk, top: zk.get_children(f"{top}/nothing", include_data=True)),
        (NoNodeError, lambda zk, top: zk.get_acls(f"{top}/nothing")),
        (NoNodeError, lambda zk, top: zk.set_acls(f"{top}/nothing", OPEN_ACL_UNSAFE)),
        (NoNodeError, lambda zk, top: zk.set(f"{top}/nothing", b"")),
        (NoNodeError, lambda zk, top: zk.delete(f"{top}/nothing")),
        (NoNodeError, lambda zk, top: zk.create(f"{top}/nothing/child")),
        (NoNodeError, lambda zk, top: zk.get_all_children_number(f"{top}/nothing")),
        (NodeExistsError, lambda zk, top: zk.create(top)),
        (NodeExistsError, lambda zk, top: zk.create("/")),
        (NotEmptyError, lambda zk, top: (zk.create(f"{top}/a"), zk.delete(top))),
        (
            NoChildrenForEphemeralsError,
            lambda zk, top: (zk.create(f"{top}/e", ephemeral=True), zk.create(f"{top}/e/child")),
        ),
        (InvalidACLError, lambda zk, top: zk.create(f"{top}/a", acl=[ACL(31, Id("nobody", "knows"))])),
        (InvalidACLError, lambda zk, top: zk.create(f"{top}/a", acl=CREATOR_ALL_ACL)),
        (NoAuthError, lambda zk, top: zk.create(f"{zk.create(f'{top}/ro', acl=READ_ACL_UNSAFE)}/a")),
        (BadArgumentsError, lambda zk, top: zk.delete("/zookeeper/quota")),
    ],
)
def test_what_the_server_refuses_is_an_error_of_its_own_class(
    shared: Client, top: str, expected: type[ServerError], action: Callable[[Client, str], object]
) -> None:
    with pytest.raises(expected) as refused:
        action(shared, top)
    assert refused.value.outcome is Outcome.NOT_APPLIED
    assert refused.value.path is not None


def test_a_hard_quota_is_told_apart(server: Cluster, shared: Client, top: str) -> None:
    limits = f"/zookeeper/quota{top}/zookeeper_limits"
    shared.create(limits, b"count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=2", makepath=True)
    shared.create(f"/zookeeper/quota{top}/zookeeper_stats", b"count=0,bytes=0")
    shared.create(f"{top}/fits")
    if line(server) < (3, 7):
        shared.create(f"{top}/before hard quotas")
    else:
        with pytest.raises(QuotaExceededError):
            shared.create(f"{top}/too many")


@pytest.mark.parametrize(
    ("expected", "rule", "action"),
    [
        (InvalidPathError, "start", lambda zk: zk.get("relative")),
        (InvalidPathError, "empty segment", lambda zk: zk.create("/a//b")),
        (InvalidPathError, "relative segment", lambda zk: zk.set("/a/../b", b"")),
        (InvalidPathError, "end", lambda zk: zk.delete("/a/")),
        (TypeError, "bytes", lambda zk: zk.create("/a", "text")),
        (TypeError, "bytes", lambda zk: zk.create_async("/a", "text")),
        (TypeError, "bytes", lambda zk: zk.set("/a", "text")),
        (TypeError, "bytes", lambda zk: zk.set("/a", bytearray(b"x"))),
        (TypeError, "int", lambda zk: zk.set("/a", b"", version="1")),
        (TypeError, "str", lambda zk: zk.get(b"/a")),
        (TypeError, "function", lambda zk: zk.get("/a", watch="yes")),
        (TypeError, "ACL", lambda zk: zk.create("/a", acl=[31])),
        (ValueError, "empty", lambda zk: zk.set_acls("/a", [])),
        (ValueError, "ttl", lambda zk: zk.create("/a", ttl=0)),
        (ValueError, "ttl", lambda zk: zk.create("/a", ttl=-1)),
        (ValueError, "ephemeral", lambda zk: zk.create("/a", ephemeral=True, ttl=1)),
        (ValueError, "container", lambda zk: zk.create("/a", ephemeral=True, container=True)),
        (ValueError, "recursive", lambda zk: zk.delete("/a", version=3, recursive=True)),
        (ValueError, "jute.maxbuffer", lambda zk: zk.set("/a", bytes(1_048_576))),
        (ValueError, "32 bits", lambda zk: zk.set("/a", b"", version=1 << 31)),
        (TypeError, "scheme", lambda zk: zk.add_auth("", "x")),
        (ConfigurationError, "callable", lambda zk: zk.add_listener(3)),
    ],
)
def test_bad_input_fails_before_anything_is_sent(
    expected: type[Exception], rule: str, action: Callable[[Client], object]
) -> None:
    # A client that was never started refuses every request; bad input is refused before that.
    with pytest.raises(expected, match=rule):
        action(Client("127.0.0.1:1"))


# Futures


def test_requests_reach_the_server_in_the_order_of_the_calls(shared: Client, top: str) -> None:
    path = shared.create(f"{top}/n")
    # Each set succeeds only directly after the one before it.
    sets = [shared.set_async(path, b"%d" % version, version=version) for version in range(500)]
    assert [call.result(20).version for call in sets] == list(range(1, 501))


def test_twins_of_all_kinds_share_one_order(shared: Client, top: str) -> None:
    path = f"{top}/n"
    calls: list[Call[object]] = [
        shared.exists_async(path),
        shared.create_async(path, b"1"),
        shared.get_async(path),
        shared.set_async(path, b"2"),
        shared.get_async(path),
        shared.get_children_async(top),
        shared.get_children_async(top, include_data=True),
        shared.get_acls_async(path),
        shared.set_acls_async(path, OPEN_ACL_UNSAFE),
        shared.sync_async(path),
        shared.get_all_children_number_async(top),
        shared.get_ephemerals_async(top),
        shared.get_config_async(),
        shared.multi_read().get(path).commit_async(),
        shared.transaction().delete(path).commit_async(),
        shared.exists_async(path),
        shared.delete_async(path),
    ]
    results = [call.exception(20) or call.result() for call in calls]

    assert results[0] is None
    assert results[1] == path
    assert results[2][0] == b"1"
    assert results[3].version == 1
    assert results[4][0] == b"2"
    assert results[5] == ["n"]
    assert results[6][0] == ["n"]
    assert results[7][0] == list(OPEN_ACL_UNSAFE)
    assert results[8].aversion == 1
    assert results[9] == path
    assert results[10] == 1
    assert results[11] == []
    assert isinstance(results[12][1], Stat)
    assert results[13][0][0] == b"2"
    assert results[14] == [DeleteResult()]
    assert results[15] is None
    assert isinstance(results[16], NoNodeError)


def test_a_done_callback_is_given_the_call_and_may_ask_the_client(shared: Client, top: str) -> None:
    seen = Events()
    shared.get_async(top).add_done_callback(lambda call: seen((call.result()[0], shared.get(top)[0])))
    assert seen.wait(1) == [(b"", b"")]


def test_a_done_callback_added_late_is_called_all_the_same(shared: Client, top: str) -> None:
    seen = Events()
    call = shared.get_async(top)
    assert call.wait(20)
    call.add_done_callback(seen)
    assert seen.wait(1) == [call]


# Transactions


def test_a_transaction_applies_every_kind_of_operation_at_once(shared: Client, top: str) -> None:
    shared.create(f"{top}/old")
    shared.create(f"{top}/data")
    transaction = shared.transaction()
    transaction.create(f"{top}/a", b"1").create(f"{top}/a/b", ephemeral=True).create(f"{top}/s", sequence=True)
    transaction.create(f"{top}/box", container=True).create(f"{top}/ttl", ttl=60).create(f"{top}/c", include_data=True)
    transaction.check(f"{top}/data", 0).set_data(f"{top}/data", b"new", 0).delete(f"{top}/old")

    results = transaction.commit()

    created = [result.path for result in results[:6] if isinstance(result, CreateResult)]
    assert created == [f"{top}/{name}" for name in ("a", "a/b", "s0000000003", "box", "ttl", "c")]
    assert results[6] == CheckResult()
    assert isinstance(results[7], SetDataResult)
    assert results[7].stat.version == 1
    assert results[8] == DeleteResult()
    assert sorted(shared.get_children(top)) == ["a", "box", "c", "data", "s0000000003", "ttl"]
    assert shared.exists(f"{top}/a/b").ephemeral_owner == shared.session_id


def test_create_with_include_data_in_a_transaction_gives_a_stat_where_the_server_does(
    server: Cluster, shared: Client, top: str
) -> None:
    (result,) = shared.transaction().create(f"{top}/a", include_data=True).commit()
    assert isinstance(result, CreateResult)
    assert result.path == f"{top}/a"
    if line(server) >= (3, 7, 2):
        assert result.stat == shared.exists(f"{top}/a")
    else:
        assert result.stat is None


def test_a_failed_transaction_names_the_operation_and_changes_nothing(shared: Client, top: str) -> None:
    transaction = shared.transaction()
    transaction.create(f"{top}/a").check(f"{top}/nothing").delete(f"{top}/b").create(f"{top}/c")
    with pytest.raises(TransactionFailedError) as failed:
        transaction.commit()

    error = failed.value
    assert error.index == 1
    assert isinstance(error.error, NoNodeError)
    assert error.error.path == f"{top}/nothing"
    assert [type(result) for result in error.results] == [
        RolledBackError,
        NoNodeError,
        RuntimeInconsistencyError,
        RuntimeInconsistencyError,
    ]
    assert error.outcome is Outcome.NOT_APPLIED
    assert shared.get_children(top) == []


def test_the_future_of_a_failed_transaction_holds_the_error(shared: Client, top: str) -> None:
    call = shared.transaction().create(f"{top}/a").create(f"{top}/a").commit_async()
    error = call.exception(20)
    assert isinstance(error, TransactionFailedError)
    assert error.index == 1
    assert isinstance(error.error, NodeExistsError)


def test_a_transaction_commits_when_its_block_ends(shared: Client, top: str) -> None:
    with shared.transaction() as transaction:
        transaction.create(f"{top}/a")
    assert shared.exists(f"{top}/a") is not None


def test_a_transaction_is_not_committed_when_its_block_raises(shared: Client, top: str) -> None:
    with suppress(KeyError), shared.transaction() as transaction:
        transaction.create(f"{top}/a")
        raise KeyError
    assert shared.get_children(top) == []


def test_a_transaction_is_committed_once(shared: Client, top: str) -> None:
    transaction = shared.transaction().create(f"{top}/a")
    transaction.commit()
    with pytest.raises(ValueError, match="already committed"):
        transaction.commit()
    with pytest.raises(ValueError, match="already committed"):
        transaction.delete(f"{top}/a")


def test_a_body_commits_with_a_marker_and_the_default_acl(server: Cluster, top: str) -> None:
    mine = CREATOR_ALL_ACL
    with Client(server.hosts, 10.0, default_acl=mine, auth_data=[("digest", "bob:pw")]) as client:
        client.create(f"{top}/markers")
        request = CreateRequest(f"{top}/a", b"", (), CreateMode.PERSISTENT)
        (result,) = run_blocking(client.port.commit([request], marker=f"{top}/markers"))
        assert isinstance(result, CreateResult) and result.path == f"{top}/a"
        assert client.get_acls(f"{top}/a")[0] == client.get_acls(f"{top}/markers")[0]
        assert client.get_children(f"{top}/markers") == []
        with pytest.raises(TransactionFailedError) as refused:
            run_blocking(client.port.commit([DeleteRequest(f"{top}/a", -1)], marker=f"{top}/missing"))
        assert refused.value.index == 1 and isinstance(refused.value.error, NoNodeError)


def test_the_marker_of_a_transaction_does_not_stay(shared: Client, top: str) -> None:
    shared.create(f"{top}/markers")
    results = shared.transaction(marker=f"{top}/markers").create(f"{top}/a").commit()
    assert len(results) == 1
    # The marker's delete went out behind the transaction; this read is behind it in turn.
    assert shared.get_children(f"{top}/markers") == []


def test_an_empty_transaction_is_nothing_done(shared: Client) -> None:
    assert shared.transaction().commit() == []


def test_reads_that_travel_together_succeed_or_fail_alone(shared: Client, top: str) -> None:
    shared.create(f"{top}/a", b"1")
    results = shared.multi_read().get(f"{top}/a").get(f"{top}/nothing").get_children(top).commit()
    assert results[0] == shared.get(f"{top}/a")
    assert isinstance(results[1], NoNodeError)
    assert results[1].path == f"{top}/nothing"
    assert results[2] == ["a"]


# Below a chroot


def test_a_chroot_is_added_and_taken_off_everywhere(server: Cluster, top: str) -> None:
    with Client(f"{server.hosts}{top}", 10.0) as zk:
        seen = Events()
        zk.exists("/a", watch=seen)
        assert zk.create("/a") == "/a"
        assert seen.wait()[0].path == "/a"
        assert zk.create("/s", sequence=True) == "/s0000000001"
        assert zk.create("/i", include_data=True)[0] == "/i"
        assert zk.create("/", sequence=True) == "/0000000003"
        assert zk.create("/e", ephemeral=True) == "/e"
        assert zk.get_ephemerals() == ["/e"]
        assert zk.create("/p/q/r", makepath=True) == "/p/q/r"
        assert zk.ensure_path("/u/v") == "/u/v"
        assert zk.sync("/a") == "/a"
        (made,) = zk.transaction().create("/m").commit()
        assert made == CreateResult("/m", None)
        with pytest.raises(NoNodeError) as missing:
            zk.get("/nothing")
        assert missing.value.path == "/nothing"
        with pytest.raises(TransactionFailedError) as failed:
            zk.transaction().check("/nothing").commit()
        assert failed.value.error.path == "/nothing"
        assert zk.get_config()[1].aversion == -1
        assert set(zk.get_children("/")) == {"a", "s0000000001", "i", "0000000003", "e", "p", "u", "m"}
    with Client(server.hosts, 10.0) as absolute:
        assert absolute.exists(f"{top}/p/q/r") is not None


def test_recursive_events_below_a_chroot_name_paths_below_it(server: Cluster, top: str) -> None:
    with Client(f"{server.hosts}{top}", 10.0) as zk, zk.watch("/", recursive=True) as watch:
        zk.create("/a")
        zk.create("/a/b")
        assert [watch.get(20).path, watch.get(20).path] == ["/a", "/a/b"]


def test_the_version_of_the_server_is_told(server: Cluster, shared: Client) -> None:
    assert shared.server_version() == line(server)


def test_the_session_is_connected_all_the_while(shared: Client) -> None:
    assert shared.state is SessionState.CONNECTED
