"""DataWatch and ChildrenWatch on threads on a running server, with a proxy that loses and cuts."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable

import pytest
from telling import PATIENCE, Told, server_watches, wait_for_threads_to_end, wait_until

from zk_client import Client, EventType, NoAuthError, SessionClosedError, SessionState, Stat, make_acl
from zk_recipes import ChildrenWatch, DataWatch, WatchInUseError
from zk_testing.faults import FaultProxy
from zk_testing.member import ZooKeeperServer
from zk_testing.rawclient import RawClient

MakeClient = Callable[..., Client]
WORKER = "zk-client watches"


@pytest.fixture
def zk(make_client: MakeClient) -> Client:
    return make_client()


def cut_off(client: Client, proxy: FaultProxy) -> None:
    """Have the client know that its connection is gone."""
    away = threading.Event()

    def listen(state: SessionState) -> None:
        if not state.is_connected:
            away.set()

    client.add_listener(listen)
    proxy.refuse()
    proxy.cut()
    assert away.wait(PATIENCE)
    client.remove_listener(listen)


def create(client: Client, path: str, data: bytes) -> Stat:
    """Create a node and return its Stat."""
    client.create(path, data)
    return client.get(path)[1]


# What is told


def test_the_function_has_been_called_when_the_watch_is_made(zk: Client) -> None:
    zk.create("/n", b"1")
    data, names = Told(), Told()
    assert DataWatch(zk, "/n")(data) is data
    ChildrenWatch(zk, "/n", names)
    assert [call[0] for call in data.calls] == [b"1"]
    assert names.calls == [([],)]
    zk.create("/n/c")
    names.wait(lambda names: names == ["c"])


def test_a_missing_node_is_told_as_none_and_followed_through_every_life(zk: Client) -> None:
    told = Told()
    DataWatch(zk, "/n", told)
    assert told.calls == [(None, None, None)]
    for life in (b"1", b"2"):
        zk.create("/n", life)
        _, stat, event = told.wait(lambda data, stat, event, life=life: data == life)
        assert stat == zk.exists("/n") and event is not None
        zk.delete("/n")
        told.wait(lambda data, stat, event: data is None and event is not None)
        told.calls.clear()


def test_a_recreated_node_is_told(make_client: MakeClient, zk_faults: FaultProxy) -> None:
    away, other = make_client(zk_faults.hosts), make_client()
    first = create(other, "/n", b"same")
    told = Told()
    DataWatch(away, "/n", lambda data, stat: told(data, stat))
    cut_off(away, zk_faults)
    other.delete("/n")
    second = create(other, "/n", b"same")
    zk_faults.heal()
    told.wait(lambda data, stat: stat == second)
    assert told.calls == [(b"same", first), (b"same", second)]


def test_children_of_a_missing_node_are_told_when_it_comes(zk: Client) -> None:
    told = Told()
    ChildrenWatch(zk, "/n", told)
    assert told.calls == [([],)]
    for name in ("a", "b"):
        zk.create(f"/n/{name}", makepath=True)
        told.wait(lambda names, name=name: names == [name])
        told.calls.clear()
        zk.delete("/n", recursive=True)
        told.wait(lambda names: names == [])


def test_what_changed_while_the_connection_was_away_is_told_and_what_did_not_is_not(
    make_client: MakeClient, zk_faults: FaultProxy
) -> None:
    away, other = make_client(zk_faults.hosts), make_client()
    for path in ("/same", "/changed"):
        other.create(path)
    same, changed, children = Told(), Told(), Told()
    DataWatch(away, "/same", same)
    DataWatch(away, "/changed", changed)
    ChildrenWatch(away, "/same", children)
    cut_off(away, zk_faults)
    other.set("/changed", b"2")
    zk_faults.heal()
    changed.wait(lambda data, stat, event: data == b"2")
    assert len(same.calls) == len(children.calls) == 1
    other.set("/same", b"2")
    other.create("/same/c")
    same.wait(lambda data, stat, event: data == b"2")
    children.wait(lambda names: names == ["c"])


def test_watches_go_on_in_a_new_session(
    make_client: MakeClient, zk_faults: FaultProxy, zk_server: ZooKeeperServer
) -> None:
    zk, other = make_client(zk_faults.hosts), make_client()
    other.create("/n", b"1")
    told, names, ended = Told(), Told(), Told()
    DataWatch(zk, "/n", told)
    ChildrenWatch(zk, "/n", names)
    last = ChildrenWatch(zk, "/n", ended, allow_session_lost=False)
    cut_off(zk, zk_faults)
    assert zk.client_id is not None
    RawClient(zk_server.hosts, session=zk.client_id).close_session()
    zk_faults.heal()
    other.set("/n", b"2")
    other.create("/n/c")
    told.wait(lambda data, stat, event: data == b"2")
    names.wait(lambda names: names == ["c"])
    assert last.stopped and ended.calls == [([],)]


# What the function takes, and what it does


def test_the_event_is_given_to_functions_that_take_it(zk: Client) -> None:
    zk.create("/n")
    three, partial, two, children = Told(), Told(), Told(), Told()

    def named(data: object, stat: object, node: str) -> None:
        two(data, node)

    DataWatch(zk, "/n", three)
    DataWatch(zk, "/n", functools.partial(partial, "bound"))
    DataWatch(zk, "/n", functools.partial(named, node="mine"))
    ChildrenWatch(zk, "/n", children, send_event=True)
    zk.set("/n", b"2")
    zk.create("/n/c")
    event = three.wait(lambda data, stat, event: data == b"2")[2]
    assert (event.type, event.path) == (EventType.CHANGED, "/n")  # type: ignore[attr-defined]
    partial.wait(lambda bound, data, stat, event: (bound, data) == ("bound", b"2"))
    two.wait(lambda data, node: (data, node) == (b"2", "mine"))
    _, event = children.wait(lambda names, event: names == ["c"])
    assert (event.type, event.path) == (EventType.CHILD, "/n")  # type: ignore[attr-defined]
    assert children.calls[0] == ([], None)


def test_a_type_error_in_the_function_is_logged_and_does_not_call_it_twice(
    zk: Client, caplog: pytest.LogCaptureFixture
) -> None:
    zk.create("/n")
    told = Told()

    def broken(data: object, stat: object, event: object) -> None:
        told(data)
        raise TypeError("a bug of the user's")

    with caplog.at_level(logging.ERROR):
        DataWatch(zk, "/n", broken)
        zk.set("/n", b"2")
        told.wait(lambda data: data == b"2")
        zk.set("/n", b"3")
        told.wait(lambda data: data == b"3")
    assert [call[0] for call in told.calls] == [b"", b"2", b"3"]
    assert "a bug of the user's" in caplog.text


def test_a_function_that_returns_something_to_be_awaited_is_refused_and_harms_nothing(
    zk: Client, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told()

    async def work() -> None: ...

    def hand_out(data: object, stat: object) -> object:
        return work()

    DataWatch(zk, "/n", told)
    with caplog.at_level(logging.ERROR):
        DataWatch(zk, "/n", hand_out)
        zk.create("/n", b"1")
        told.wait(lambda data, stat, event: data == b"1")
    assert "something to be awaited" in caplog.text


@pytest.mark.parametrize("kind", [DataWatch, ChildrenWatch])
def test_false_stops_the_watch_and_nothing_else_does(
    zk: Client, zk_server: ZooKeeperServer, kind: type[DataWatch]
) -> None:
    zk.create("/n")
    before = server_watches(zk_server)
    answers = [None, 0, "", False]
    told = Told()

    def answer(*arguments: object) -> object:
        told(*arguments)
        return answers[len(told.calls) - 1]

    watch = kind(zk, "/n", answer)
    for number in range(2, 5):
        assert not watch.stopped
        if kind is DataWatch:
            zk.set("/n", b"%d" % number)
        else:
            zk.create(f"/n/{number}")
        told.wait(lambda *arguments, number=number: len(told.calls) >= number)
    wait_for_threads_to_end(WORKER)
    assert watch.stopped
    zk.set("/n", b"last")
    zk.create("/n/last")
    zk.sync("/n")
    assert len(told.calls) == 4
    wait_until(lambda: server_watches(zk_server) == before)


def test_a_watch_takes_one_function_and_refuses_what_it_cannot_call(zk: Client) -> None:
    watch = DataWatch(zk, "/n", Told())
    with pytest.raises(WatchInUseError, match='"/n"'):
        watch(Told())
    with pytest.raises(TypeError, match="callable"):
        DataWatch(zk, "/n", "no function")  # type: ignore[arg-type]

    async def waits(data: object, stat: object) -> None: ...

    with pytest.raises(TypeError, match="asynchronous"):
        DataWatch(zk, "/n", waits)


def test_a_watch_made_in_a_function_of_a_watch_is_called_at_once(zk: Client) -> None:
    told = Told()

    def on_children(names: list[str]) -> None:
        for name in names:
            DataWatch(zk, f"/n/{name}", told)

    ChildrenWatch(zk, "/n", on_children)
    zk.create("/n/c", b"1", makepath=True)
    told.wait(lambda data, stat, event: data == b"1")
    zk.set("/n/c", b"2")
    told.wait(lambda data, stat, event: data == b"2")


def test_a_node_that_may_not_be_read_is_refused_when_the_watch_is_made(zk: Client) -> None:
    zk.create("/n", acl=[make_acl("world", "anyone", delete=True, admin=True)])
    with pytest.raises(NoAuthError):
        DataWatch(zk, "/n", Told())
    wait_for_threads_to_end(WORKER)


# What it costs, and what is left


def test_a_hundred_watches_are_served_by_one_thread(make_client: MakeClient, zk_faults: FaultProxy) -> None:
    away, other = make_client(zk_faults.hosts), make_client()
    before = {thread.name for thread in threading.enumerate()}
    tolds = []
    for number in range(100):
        other.create(f"/n{number}")
        tolds.append(Told())
        DataWatch(away, f"/n{number}", tolds[-1])
    for again in (b"1", b"2"):
        cut_off(away, zk_faults)
        for number in range(100):
            other.set(f"/n{number}", again)
        zk_faults.heal()
        for told in tolds:
            told.wait(lambda data, stat, event, again=again: data == again)
    # Beside those of the clients, which come and go with what there is to tell.
    extra = [t.name for t in threading.enumerate() if t.name not in before and t.name != "zk-client callbacks"]
    assert extra == [WORKER]
    assert {name for told in tolds for name in told.threads} == {WORKER, "MainThread"}


def test_a_hundred_stopped_watches_leave_nothing(zk: Client, zk_server: ZooKeeperServer) -> None:
    zk.create("/n")
    before = server_watches(zk_server)
    watches = [
        kind(zk, path, Told()) for _ in range(25) for kind in (DataWatch, ChildrenWatch) for path in ("/n", "/m")
    ]
    assert server_watches(zk_server) > before
    for watch in watches:
        watch.stop()
        watch.stop()
    wait_for_threads_to_end(WORKER)
    zk.sync("/")
    wait_until(lambda: server_watches(zk_server) == before)
    assert zk.handler.listeners == []


def test_stopping_the_client_ends_its_watches_and_says_nothing(zk: Client, caplog: pytest.LogCaptureFixture) -> None:
    watches = [DataWatch(zk, "/n", Told()), ChildrenWatch(zk, "/n", Told())]
    with caplog.at_level(logging.WARNING):
        zk.stop()
        wait_for_threads_to_end(WORKER)
    assert all(watch.stopped for watch in watches)
    assert caplog.records == []
    with pytest.raises(SessionClosedError):
        DataWatch(zk, "/n", Told())


def test_the_lost_reply_of_a_read_is_read_again(make_client: MakeClient, zk_faults: FaultProxy) -> None:
    away, other = make_client(zk_faults.hosts), make_client()
    other.create("/n")
    told = Told()
    DataWatch(away, "/n", told)
    fault = zk_faults.lose_reply("get_data")
    other.set("/n", b"2")
    told.wait(lambda data, stat, event: data == b"2")
    fault.wait()
    other.set("/n", b"3")
    told.wait(lambda data, stat, event: data == b"3")
