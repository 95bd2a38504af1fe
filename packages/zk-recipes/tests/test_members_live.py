"""PersistentNode, Party, ShallowParty and GroupMembership on threads on a running server; and in the other worlds."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest
from telling import PATIENCE, Told, server_watches, wait_for_threads_to_end, wait_until

from zk_client import AsyncClient, Client, NoAuthError, NoNodeError, SessionClosedError, SessionState, make_acl
from zk_recipes import (
    AsyncGroupMembership,
    AsyncParty,
    GroupMembership,
    Party,
    PersistentNode,
    ShallowParty,
)
from zk_testing import EmbeddedServer, Settings
from zk_testing.faults import FaultProxy
from zk_testing.member import ZooKeeperServer
from zk_testing.rawclient import RawClient
from zk_testing.stopwatch import Stopwatch

MakeClient = Callable[..., Client]
PATH = "/group"
WORKER = "zk-client nodes"


@pytest.fixture
def zk(make_client: MakeClient) -> Client:
    return make_client()


def cut_off(client: Client, proxy: FaultProxy) -> None:
    away = threading.Event()

    def listen(state: SessionState) -> None:
        if not state.is_connected:
            away.set()

    client.add_listener(listen)
    proxy.refuse()
    proxy.cut()
    assert away.wait(PATIENCE)
    client.remove_listener(listen)


def wait_for_children(client: Client, is_right: Callable[[list[str]], bool], path: str = PATH) -> list[str]:
    """Wait until the children are right, told by watches."""
    deadline = time.monotonic() + PATIENCE
    while True:
        watch = client.watcher()
        try:
            names = client.get_children(path, watch=watch)
        except NoNodeError:
            names = []
            if client.exists(path, watch=watch) is not None:
                continue
        if is_right(names):
            watch.close()
            return names
        assert watch.wait(deadline - time.monotonic()) is not None, f"{names} after {PATIENCE} s"


# Nodes that are kept


def test_a_node_comes_back_with_its_data_and_its_parents(make_client: MakeClient) -> None:
    zk, other = make_client(), make_client()
    tokens = []
    with PersistentNode(zk, "/a/b/n", b"mine") as node:
        for _ in range(3):
            wait_for_children(other, lambda names: names == ["n"], "/a/b")
            assert other.get("/a/b/n")[0] == b"mine"
            stat = other.exists("/a/b/n")
            assert stat is not None and stat.ephemeral_owner == zk.session_id
            tokens.append(stat.czxid)
            other.delete("/a", recursive=True)
        wait_for_children(other, lambda names: names == ["n"], "/a/b")
        other.set("/a/b/n", b"a stranger's")
        watch = other.watcher()
        while other.get("/a/b/n", watch=watch)[0] != b"mine":
            assert watch.wait(PATIENCE)
            watch = other.watcher()
        watch.close()
        node.update(b"new")
        watch = other.watcher()
        while other.get("/a/b/n", watch=watch)[0] != b"new":
            assert watch.wait(PATIENCE)
            watch = other.watcher()
        watch.close()
        assert tokens == sorted(set(tokens)) and node.token is not None and node.token > tokens[-1]
        assert node.data == b"new" and node.exists
    assert other.exists("/a/b/n") is None and not node.exists and node.token is None
    wait_for_threads_to_end(WORKER)


def test_a_node_of_another_session_is_waited_for_and_never_touched(make_client: MakeClient) -> None:
    zk, other = make_client(), make_client()
    other.create("/n", b"theirs", ephemeral=True)
    with_wait = PersistentNode(zk, "/n", b"mine").start()
    assert with_wait.wait(0.1) is False and not with_wait.exists
    assert other.get("/n")[0] == b"theirs"
    other.delete("/n")
    assert with_wait.wait(PATIENCE) and with_wait.exists
    assert with_wait.close() and zk.exists("/n") is None
    other.create("/n", b"theirs", ephemeral=True)
    blocked = PersistentNode(zk, "/n", b"mine").start()
    assert blocked.wait(0.05) is False
    assert blocked.close()
    assert other.get("/n")[0] == b"theirs"
    with pytest.raises(SessionClosedError, match="closed"):
        blocked.wait(PATIENCE)


def test_a_persistent_node_is_kept_and_only_ones_own_is_deleted(make_client: MakeClient) -> None:
    zk, other = make_client(), make_client()
    other.create("/theirs", b"1")
    with (
        PersistentNode(zk, "/theirs", b"2", ephemeral=False) as theirs,
        PersistentNode(zk, "/ours", b"2", ephemeral=False) as ours,
    ):
        assert theirs.exists and ours.exists
        assert other.get("/theirs")[0] == b"1"
        other.delete("/ours")
        wait_for_children(other, lambda names: "ours" in names, "/")
    assert other.exists("/theirs") is not None and other.exists("/ours") is None


@pytest.mark.parametrize("lose", ["lose_reply", "lose_request"])
def test_a_lost_create_makes_one_node_that_is_known_as_ones_own(
    make_client: MakeClient, zk_faults: FaultProxy, lose: str
) -> None:
    away, other = make_client(zk_faults.hosts), make_client()
    away.ensure_path(PATH)
    fault = getattr(zk_faults, lose)("create")
    with Party(away, PATH, "me") as party:
        fault.wait()
        assert party.participating and list(party) == ["me"]
        lost_delete = getattr(zk_faults, lose)("delete")
    lost_delete.wait()
    wait_for_children(other, lambda names: names == [])


def test_closing_without_a_connection_returns_at_once_and_is_finished_later(
    make_client: MakeClient, zk_faults: FaultProxy
) -> None:
    away, other = make_client(zk_faults.hosts, 10.0), make_client()
    node = PersistentNode(away, f"{PATH}/n").start()
    assert node.wait(PATIENCE)
    cut_off(away, zk_faults)
    before = Stopwatch()
    assert node.close() is False
    assert before.within(1.0), before
    assert other.get_children(PATH) == ["n"]
    zk_faults.heal()
    wait_for_children(other, lambda names: names == [])
    wait_for_threads_to_end(WORKER)


def test_what_cannot_be_created_is_said_and_not_tried_for_ever(zk: Client) -> None:
    zk.create("/closed", acl=[make_acl("world", "anyone", read=True, delete=True, admin=True)])
    node = PersistentNode(zk, "/closed/n").start()
    with pytest.raises(NoAuthError):
        node.wait(PATIENCE)
    with pytest.raises(NoAuthError):
        Party(zk, "/closed").join()
    with pytest.raises(ValueError, match="started before"):
        node.start()
    assert node.close() is True
    wait_for_threads_to_end(WORKER)


# Parties


@pytest.mark.parametrize("kind", [Party, ShallowParty])
def test_members_see_each_other_and_leave(
    make_client: MakeClient, zk_server: ZooKeeperServer, kind: type[Party]
) -> None:
    one, two = make_client(), make_client()
    before = server_watches(zk_server)
    first, second = kind(one, PATH, "first"), kind(two, PATH, "second")
    assert (len(first), list(first), first.participating) == (0, [], False) and bool(first)
    assert first.join() is True and first.join(PATIENCE) is True
    with second:
        assert list(first) == list(second) == ["first", "second"] and len(first) == 2
        assert second.participating and two.exists(second.create_path) is not None
        assert second.create_path == f"{PATH}/{second.node}"
    assert list(first) == ["first"] and not second.participating
    assert first.leave() is True and first.leave() is True and not first.participating
    assert first.join(PATIENCE) and len(second) == 1
    first.leave()
    wait_for_threads_to_end(WORKER)
    one.sync("/")
    wait_until(lambda: server_watches(zk_server) == before)


def test_a_party_joins_again_after_its_session_expired(
    make_client: MakeClient, zk_faults: FaultProxy, zk_server: ZooKeeperServer
) -> None:
    away, other = make_client(zk_faults.hosts), make_client()
    with Party(away, PATH, "me") as party:
        session = away.session_id
        cut_off(away, zk_faults)
        assert away.client_id is not None
        RawClient(zk_server.hosts, session=away.client_id).close_session()
        assert list(Party(other, PATH)) == []
        zk_faults.heal()
        wait_for_children(other, lambda names: names == [party.node])
        stat = other.exists(party.create_path)
        assert stat is not None and stat.ephemeral_owner == away.session_id != session


def test_a_party_has_kazoos_layout(zk: Client, make_client: MakeClient) -> None:
    other = make_client()
    other.create(f"{PATH}/{'ab' * 16}__party__", b"kazoo", ephemeral=True, makepath=True)
    other.create(f"{PATH}/lost+found", b"no member")
    with Party(zk, PATH, "ours") as party:
        assert list(party) == ["kazoo", "ours"] and len(party) == 2
        assert len(party.node) == 32 + len("__party__") and party.node.endswith("__party__")
        assert other.get(party.create_path)[0] == b"ours"
    other.create(f"/shallow/{'cd' * 16}-kazoo-1", b"kazoo-1", ephemeral=True, makepath=True)
    with ShallowParty(zk, "/shallow", "ours") as shallow:
        assert list(shallow) == ["kazoo-1", "ours"]
        assert shallow.node[32:] == "-ours" and other.get(shallow.create_path)[0] == b"ours"


def test_arguments_that_mean_nothing_are_refused(zk: Client) -> None:
    with pytest.raises(ValueError, match="part of a path"):
        ShallowParty(zk, PATH, "a/b")
    with pytest.raises(TypeError, match="identifier"):
        Party(zk, PATH, b"me")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="data must be bytes"):
        PersistentNode(zk, PATH, "text")  # type: ignore[arg-type]
    for member_id in ("", "a/b", 5):
        with pytest.raises(ValueError, match="member_id"):
            GroupMembership(zk, PATH, member_id)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="timeout"):
        Party(zk, PATH).join(-1)


# Groups


def test_a_member_knows_when_it_has_landed(make_client: MakeClient, zk_faults: FaultProxy) -> None:
    away, other = make_client(zk_faults.hosts), make_client()
    other.ensure_path(PATH)
    told = Told()
    with GroupMembership(other, PATH, "other", b"1") as group:
        group.listen(told)
        zk_faults.freeze("to_client")
        late = GroupMembership(away, PATH, "late", b"2").start()
        assert late.wait(0.1) is False and not late.joined and late.members == {}
        zk_faults.heal()
        assert late.wait(PATIENCE) and late.joined
        told.wait(lambda event: event.path == f"{PATH}/late")
        assert group.members == {"other": b"1", "late": b"2"} == late.members
        late.update(b"3")
        told.wait(lambda event: event.node is not None and event.node.data == b"3")
        assert late.close() is True
        told.wait(lambda event: event.path == f"{PATH}/late" and event.node is None)
        assert group.members == {"other": b"1"} and group.connected and group.age < 10
    assert other.get_children(PATH) == []


def test_two_members_of_one_name_take_turns(make_client: MakeClient) -> None:
    one, two = make_client(), make_client()
    first = GroupMembership(one, PATH, "me", b"1").start()
    assert first.wait(PATIENCE)
    second = GroupMembership(two, PATH, "me", b"2").start()
    assert second.wait(0.1) is False and not second.joined
    first.close()
    assert second.wait(PATIENCE) and second.joined and not first.joined
    second.close()


# Other worlds


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_members_come_and_go_on_asyncio(loop: str) -> None:
    with EmbeddedServer(settings=Settings(tick_ms=20)) as server:

        async def main() -> None:
            async with (
                asyncio.timeout(30),
                AsyncClient(server.hosts, 4.0) as zk,
                AsyncClient(server.hosts, 4.0) as other,
            ):
                async with AsyncParty(zk, PATH, "me") as party, AsyncGroupMembership(other, "/g", "it", b"1") as group:
                    assert await party.members() == ["me"] and await party.count() == 1
                    assert group.members == {"it": b"1"}
                    assert zk.session_id is not None
                    server.expire_session(zk.session_id)
                    guest = AsyncParty(other, PATH)
                    while not (await guest.members() == ["me"] and party.participating):
                        pass
                assert await zk.get_children(PATH) == [] == await other.get_children("/g")
            async with asyncio.timeout(PATIENCE):
                while asyncio.all_tasks() - {asyncio.current_task()}:  # noqa: ASYNC110
                    await asyncio.sleep(0)

        factory = asyncio.new_event_loop if loop == "asyncio" else pytest.importorskip("uvloop").new_event_loop
        with asyncio.Runner(debug=True, loop_factory=factory) as runner:
            runner.run(main())


def test_a_join_cancelled_at_any_turn_leaves_no_node_and_no_task() -> None:
    with EmbeddedServer(settings=Settings(tick_ms=20)) as server:

        async def main() -> None:
            async with asyncio.timeout(60), AsyncClient(server.hosts, 4.0) as zk:
                await zk.ensure_path(PATH)
                turns, cancelled = 0, True
                while cancelled:
                    task = asyncio.create_task(AsyncParty(zk, PATH, "me").join())
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    cancelled = not task.done()
                    task.cancel()
                    await asyncio.wait([task])
                    if cancelled:
                        while await zk.get_children(PATH):
                            pass
                    turns += 1
                assert turns > 5

        asyncio.run(main(), debug=True)


def test_greenlets_take_part_where_nothing_is_patched() -> None:
    pytest.importorskip("gevent")
    with EmbeddedServer() as server, Client(server.hosts, 4.0, runtime="gevent") as zk:
        with Party(zk, PATH, "me") as party, GroupMembership(zk, "/g", "it") as group:
            assert list(party) == ["me"] and group.members == {"it": b""}
        assert zk.get_children(PATH) == zk.get_children("/g") == []
