"""The thread that starts clients' threads a moment later, and clients that end before it does."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest
from conftest import MakeClient
from live import PATIENCE, States, comes_true
from worlds import Threads

from zk_client import Client, SessionState
from zk_client.handlers.starter import Starter
from zk_testing._leaks import LeakCheck
from zk_testing.faults import FaultProxy
from zk_testing.member import ZooKeeperServer


class Held:
    """Stands in for a runtime's `soon`: nothing is started before it is let go."""

    def __init__(self, zk: Client) -> None:
        self._functions: list[Callable[[], None]] = []
        zk.runtime.soon = self._functions.append  # type: ignore[method-assign]

    def let_go(self) -> None:
        for function in self._functions:
            function()


pytestmark = pytest.mark.worlds("threads")


def test_a_session_that_ends_soon_has_no_thread_of_its_own(
    world: Threads, make_client: MakeClient, zk_server: ZooKeeperServer
) -> None:
    zk = make_client(zk_server.hosts, start=False)
    held = Held(zk)
    others = world.workers()
    zk.start()
    assert zk.get("/")[1].num_children > 0
    assert world.workers() == others
    zk.stop()
    assert zk.server_address is None
    held.let_go()
    assert world.workers() == others


def test_the_thread_is_there_as_soon_as_a_connection_is_lost(
    world: Threads, make_client: MakeClient, zk_faults: FaultProxy
) -> None:
    zk = make_client(zk_faults.hosts, start=False)
    Held(zk)
    zk.start()
    session = zk.session_id
    zk_faults.cut()
    assert zk.get("/")[1].num_children > 0
    assert zk.session_id == session
    assert len(world.workers()) == 1


def test_a_client_left_alone_gets_its_thread_and_is_told_what_happens(
    make_client: MakeClient, zk_faults: FaultProxy
) -> None:
    zk = make_client(zk_faults.hosts)
    states = States(zk)
    zk_faults.cut()
    states.wait(SessionState.SUSPENDED)
    states.wait(SessionState.CONNECTED)


def test_a_client_may_be_started_again_before_the_first_start_had_a_thread(
    world: Threads, make_client: MakeClient, zk_server: ZooKeeperServer
) -> None:
    zk = make_client(zk_server.hosts, start=False)
    held = Held(zk)
    for _ in range(3):
        zk.start()
        zk.stop()
    zk.start()
    held.let_go()
    assert len(world.workers()) == 1
    assert zk.get("/")[1].num_children > 0
    zk.stop()
    assert world.workers() == set()


def test_a_client_started_just_before_a_leak_check_is_none_of_its_leaks(
    world: Threads, make_client: MakeClient, zk_server: ZooKeeperServer
) -> None:
    make_client(zk_server.hosts)
    check = LeakCheck([])
    assert comes_true(lambda: len(world.workers()) == 1)
    assert check.leaks() == []


# The starter itself


def test_the_starter_starts_what_it_is_given_in_order_and_leaves() -> None:
    starter = Starter()
    called: list[int] = []
    done = threading.Event()
    for number in range(3):
        starter.soon(lambda number=number: called.append(number))
    starter.soon(done.set)
    assert done.wait(PATIENCE)
    assert called == [0, 1, 2]
    assert comes_true(lambda: starter._thread is None)
    done.clear()
    starter.soon(done.set)
    assert done.wait(PATIENCE)


def test_the_starter_tries_again_what_could_not_be_started() -> None:
    starter = Starter()
    done = threading.Event()
    tries: list[int] = []

    def start() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError("can't start new thread")
        done.set()

    starter.soon(start)
    assert done.wait(PATIENCE)


def test_the_starter_outlives_what_fails(caplog: pytest.LogCaptureFixture) -> None:
    starter = Starter()
    done = threading.Event()

    def fail() -> None:
        raise ValueError("of no use")

    starter.soon(fail)
    starter.soon(done.set)
    assert done.wait(PATIENCE)
    assert "of no use" in caplog.text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_starter_of_a_forked_child_is_its_own() -> None:
    starter = Starter()
    begun, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        go_on.wait(PATIENCE)

    starter.soon(wait)
    assert begun.wait(PATIENCE)
    starter.soon(lambda: os._exit(3))  # the parent's: it would end the child
    child = os.fork()
    if not child:
        done = threading.Event()
        starter.soon(done.set)
        os._exit(0 if done.wait(PATIENCE) else 1)
    assert os.waitpid(child, 0)[1] == 0
    starter._functions.clear()
    go_on.set()
