"""Every operation and its twin, on servers of every supported line."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from conftest import MakeClient
from live import Events, line
from worlds import Threads

from zk_client import (
    ACL,
    CREATOR_ALL_ACL,
    OPEN_ACL_UNSAFE,
    READ_ACL_UNSAFE,
    BadArgumentsError,
    BadVersionError,
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
)
from zk_testing.cluster import Cluster
from zk_wire import (
    CreateResult,
    QuotaExceededError,
    ReconfigDisabledError,
)

# Creating


@pytest.mark.parametrize(("ephemeral", "sequence"), [(False, False), (True, False), (False, True), (True, True)])
def test_create_makes_the_kind_of_node_asked_for(shared: Client, top: str, ephemeral: bool, sequence: bool) -> None:
    path = shared.create(f"{top}/n", b"data", ephemeral=ephemeral, sequence=sequence)

    assert path == f"{top}/n" + ("0000000000" if sequence else "")
    data, stat = shared.get(path)
    assert data == b"data"
    assert stat.owner_session_id == (shared.session_id if ephemeral else None)


@pytest.mark.worlds("threads")  # it is the server that ends it
def test_a_container_goes_with_its_last_child(shared: Client, top: str) -> None:
    container = shared.create(f"{top}/box", container=True)
    child = shared.create(f"{container}/child")
    gone = shared.watcher()
    shared.exists(container, watch=gone)

    shared.delete(child)

    event = gone.wait(20)
    assert event is not None
    assert event.type is EventType.DELETED


@pytest.mark.worlds("threads")  # it is the server that ends it
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


def test_a_digest_opens_what_it_protects(world: Threads, each_server: Cluster, top: str) -> None:
    with world.client(each_server.hosts, 10.0) as owner, world.client(each_server.hosts, 10.0) as other:
        owner.add_auth("digest", "ann:secret")
        path = owner.create(f"{top}/mine", b"private", acl=CREATOR_ALL_ACL)
        with pytest.raises(NoAuthError):
            other.get(path)
        assert owner.get(path)[0] == b"private"
        assert owner.get_acls(path)[0] == [make_digest_acl("ann", "secret", all=True)]

        other.add_auth_async("digest", b"ann:secret").result(20)
        assert other.get(path)[0] == b"private"


def test_the_default_acl_is_given_to_every_new_node(world: Threads, each_server: Cluster, top: str) -> None:
    mine = [make_digest_acl("bob", "pw", all=True)]
    with world.client(each_server.hosts, 10.0, default_acl=mine, auth_data=[("digest", "bob:pw")]) as client:
        made = [client.create(f"{top}/a"), client.ensure_path(f"{top}/b/c"), client.create(f"{top}/d/e", makepath=True)]
        with client.transaction() as transaction:
            transaction.create(f"{top}/f")
        for path in [*made, f"{top}/b", f"{top}/d", f"{top}/f"]:
            assert client.get_acls(path)[0] == mine
        client.delete(f"{top}/b", recursive=True)


@pytest.mark.zk_leaks_allowed("descriptors")  # a server that does not know it ends the shared client's connection
def test_whoami_names_the_connections_identities(world: Threads, each_server: Cluster, shared: Client) -> None:
    if line(each_server) < (3, 7):
        with pytest.raises(UnimplementedError):
            shared.whoami()
        return
    with world.client(each_server.hosts, 10.0, auth_data=[("digest", "eve:pw")]) as client:
        assert {(info.auth_scheme, info.user) for info in client.whoami()} == {("ip", "127.0.0.1"), ("digest", "eve")}
        assert client.whoami_async().result(20) == client.whoami()


@pytest.mark.zk_leaks_allowed("descriptors")  # the shared client's next connection may have other numbers
@pytest.mark.parametrize("each_server", ["3.6"], indirect=True)
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


def test_a_hard_quota_is_told_apart(each_server: Cluster, shared: Client, top: str) -> None:
    limits = f"/zookeeper/quota{top}/zookeeper_limits"
    shared.create(limits, b"count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=2", makepath=True)
    shared.create(f"/zookeeper/quota{top}/zookeeper_stats", b"count=0,bytes=0")
    shared.create(f"{top}/fits")
    if line(each_server) < (3, 7):
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
    make_client: MakeClient, expected: type[Exception], rule: str, action: Callable[[Client], object]
) -> None:
    # A client that was never started refuses every request; bad input is refused before that.
    zk = make_client("127.0.0.1:1", start=False)
    with pytest.raises(expected, match=rule):
        action(zk)


def test_bad_input_of_a_twin_fails_at_the_call() -> None:
    with pytest.raises(TypeError, match="bytes"):
        Client("127.0.0.1:1").create_async("/a", "text")  # type: ignore[arg-type]


# Below a chroot


def test_a_chroot_is_added_and_taken_off_everywhere(world: Threads, each_server: Cluster, top: str) -> None:
    with world.client(f"{each_server.hosts}{top}", 10.0) as zk:
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
    with world.client(each_server.hosts, 10.0) as absolute:
        assert absolute.exists(f"{top}/p/q/r") is not None


def test_recursive_events_below_a_chroot_name_paths_below_it(world: Threads, each_server: Cluster, top: str) -> None:
    with world.client(f"{each_server.hosts}{top}", 10.0) as zk, zk.watch("/", recursive=True) as watch:
        zk.create("/a")
        zk.create("/a/b")
        assert [watch.get(20).path, watch.get(20).path] == ["/a", "/a/b"]


def test_the_version_of_the_server_is_told(each_server: Cluster, shared: Client) -> None:
    assert shared.server_version() == line(each_server)


def test_the_session_is_connected_all_the_while(shared: Client) -> None:
    assert shared.state is SessionState.CONNECTED
