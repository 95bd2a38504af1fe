"""Barrier and DoubleBarrier on threads on a running server, across reconnects and the end of sessions."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from zk_client import Client
from zk_recipes import Barrier, DoubleBarrier
from zk_testing.faults import FaultProxy

MakeClient = Callable[..., Client]
PATH = "/barriers/one"
PATIENCE = 20.0


class Thread(threading.Thread):
    """A thread whose function's result comes out of `finish`."""

    def __init__(self, function: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._function = function
        self._results: list[object] = []
        self.start()

    def run(self) -> None:
        self._results.append(self._function())

    def finish(self) -> object:
        self.join(PATIENCE)
        assert self._results, f"still waiting after {PATIENCE} s"
        return self._results[0]


def wait_for_a_look(faults: FaultProxy) -> None:
    """Wait until a barrier was asked for. (Clients look at their chroot as well.)"""
    faults.wait_for(lambda passed: passed.kind == "exists" and PATH in (passed.path or ""), direction="to_server")


@pytest.mark.parametrize("fault", ["cut", "lose_reply"])
def test_a_wait_survives_a_reconnect(fault: str, make_client: MakeClient, zk_faults: FaultProxy) -> None:
    # K6: with kazoo it waits for ever.
    client, other = make_client(zk_faults.hosts), make_client()
    Barrier(other, PATH).create()
    waiting = Thread(lambda: Barrier(client, PATH).wait(PATIENCE))
    wait_for_a_look(zk_faults)
    client.sync("/")  # behind it: the watch is there
    if fault == "cut":
        zk_faults.cut()
    else:
        lost = zk_faults.lose_reply("notification")
    assert Barrier(other, PATH).remove() is True
    if fault != "cut":
        lost.wait()
    assert waiting.finish() is True
    assert Barrier(other, PATH).remove() is False


def test_members_enter_although_one_reconnects_while_it_waits(make_client: MakeClient, zk_faults: FaultProxy) -> None:
    # K7a: with kazoo it waits for ever although all have entered.
    clients = [make_client(zk_faults.hosts), make_client(), make_client()]
    barriers = [DoubleBarrier(client, PATH, 3, f"member-{number}") for number, client in enumerate(clients)]
    for _ in range(2):
        entering = [Thread(lambda barrier=barrier: barrier.enter(PATIENCE)) for barrier in barriers[:2]]  # type: ignore[misc]
        wait_for_a_look(zk_faults)
        zk_faults.cut()
        assert barriers[2].enter(PATIENCE) is True
        assert [thread.finish() for thread in entering] == [True, True]
        assert all(barrier.participating for barrier in barriers)
        leaving = [Thread(lambda barrier=barrier: barrier.leave(PATIENCE)) for barrier in barriers[1:]]  # type: ignore[misc]
        zk_faults.cut()
        assert barriers[0].leave(PATIENCE) is True
        assert [thread.finish() for thread in leaving] == [True, True]
    assert len(clients[1].get_children(PATH)) == 1


def test_nobody_leaves_while_a_member_is_inside_unless_its_session_ends(make_client: MakeClient) -> None:
    # K7c.
    dies, stays = make_client(timeout=2.0), make_client()
    first, second = DoubleBarrier(dies, PATH, 2), DoubleBarrier(stays, PATH, 2)
    entering = Thread(lambda: first.enter(PATIENCE))
    assert second.enter(PATIENCE) is True and entering.finish() is True
    assert second.leave(timeout=0.3) is False
    entering = Thread(lambda: second.enter(PATIENCE))
    dies.stop()
    third = DoubleBarrier(make_client(), PATH, 2)
    assert third.enter(PATIENCE) is True and entering.finish() is True
    leaving = Thread(lambda: second.leave(PATIENCE))
    assert third.leave(PATIENCE) is True and leaving.finish() is True


@pytest.mark.parametrize("lose", ["lose_reply", "lose_request"])
@pytest.mark.parametrize("kind", ["create", "multi", "delete"])
def test_a_member_enters_and_leaves_once_although_a_message_was_lost(
    kind: str, lose: str, make_client: MakeClient, zk_faults: FaultProxy
) -> None:
    client = make_client(zk_faults.hosts)
    client.ensure_path(f"{PATH}/round-0000000000")
    barrier = DoubleBarrier(client, PATH, 1)
    fault = getattr(zk_faults, lose)(kind)
    assert barrier.enter(PATIENCE) is True
    assert barrier.leave(PATIENCE) is True
    fault.wait()
    assert client.get_children(f"{PATH}/round-0000000000") == ["ready"]


def test_an_impossible_path_is_an_error(make_client: MakeClient) -> None:
    # K7b: kazoo's enter returns with nobody there.
    client = make_client()
    client.create("/ephemeral", ephemeral=True)
    from zk_client import NoChildrenForEphemeralsError

    with pytest.raises(NoChildrenForEphemeralsError):
        DoubleBarrier(client, "/ephemeral/barrier", 2).enter(PATIENCE)
