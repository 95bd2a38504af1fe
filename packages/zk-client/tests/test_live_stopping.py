"""`stop`, from anywhere and at any moment: it returns, and nothing is left."""

from __future__ import annotations

import gc
import signal
import threading
import time
from contextlib import suppress

import pytest
from conftest import MakeClient
from live import (
    PATIENCE,
    Background,
    BlackHole,
    Events,
    States,
    comes_true,
    cut_off,
    descriptors,
    in_thread,
)
from worlds import Threads

from zk_client import (
    Client,
    ConnectionLostError,
    Outcome,
    RetryInterruptedError,
    RetryPolicy,
    SessionClosedError,
    SessionState,
)
from zk_client._session.core import SessionCore
from zk_client.handlers.dispatcher import Dispatcher
from zk_testing.faults import FaultProxy
from zk_testing.member import ZooKeeperServer
from zk_testing.stopwatch import Stopwatch

CLOSED, CONNECTING, SUSPENDED = SessionState.CLOSED, SessionState.CONNECTING, SessionState.SUSPENDED


def test_stop_may_be_called_from_a_watch_callback(world: Threads, zk: Client) -> None:
    states, stopped = States(zk), Events()

    @world.calling
    def stop(event: object) -> None:
        zk.stop()
        stopped(zk.connected)

    zk.exists("/n", watch=stop)
    zk.create("/n")
    assert stopped.wait() == [False]
    states.wait(CLOSED)
    assert zk.state is CLOSED


def test_stop_may_be_called_from_a_listener(world: Threads, away: Client, zk_faults: FaultProxy) -> None:
    stopped = Events()

    @world.calling
    def stop(state: SessionState) -> None:
        if state is SUSPENDED:
            away.stop()
            stopped(None)

    away.add_listener(stop)
    zk_faults.cut()
    stopped.wait()
    with pytest.raises(SessionClosedError):
        away.get("/")


def test_stop_may_be_called_from_several_threads(world: Threads, zk: Client) -> None:
    background = Background()
    barrier = world.threading.Barrier(4)

    def stop() -> None:
        barrier.wait()
        zk.stop()

    for _ in range(4):
        background(stop)
    background.join()
    assert zk.state is CLOSED


def test_stop_ends_a_start_that_is_under_way(make_client: MakeClient) -> None:
    with BlackHole() as hole:
        zk = make_client(hole.address, start=False)
        states = States(zk)
        background = Background()

        def start() -> None:
            with pytest.raises(SessionClosedError, match=r"ended by stop\(\)"):
                zk.start(timeout=60)

        background(start)
        states.wait(CONNECTING)
        begun = Stopwatch()
        zk.stop()
        background.join(5)
        assert begun.within(2), begun


def test_stop_ends_waiting_calls_although_the_server_is_silent(away: Client, zk_faults: FaultProxy) -> None:
    zk_faults.freeze()
    reading = in_thread(lambda: away.get_async("/").exception(PATIENCE))
    writing = away.create_async("/n")
    begun = Stopwatch()
    away.stop(timeout=0.2)
    assert begun.within(3), begun
    assert isinstance(reading(), SessionClosedError)
    error = writing.exception(PATIENCE)
    assert isinstance(error, SessionClosedError)
    assert error.outcome is Outcome.UNKNOWN


def test_stop_fails_what_waits_for_a_connection(away: Client, zk_faults: FaultProxy) -> None:
    cut_off(away, zk_faults)
    waiting = away.create_async("/n")
    away.stop()
    error = waiting.exception(PATIENCE)
    assert isinstance(error, SessionClosedError)
    assert error.outcome is Outcome.NOT_APPLIED


def test_stop_ends_the_pause_of_a_retry(make_client: MakeClient, zk_server: ZooKeeperServer) -> None:
    zk = make_client(zk_server.hosts, command_retry=RetryPolicy(delay=60.0))
    tried = Events()

    def fails() -> None:
        tried(None)
        raise ConnectionLostError("/n", outcome=Outcome.NOT_APPLIED)

    def retry() -> None:
        with pytest.raises(RetryInterruptedError):
            zk.retry(fails)

    background = Background()
    background(retry)
    tried.wait()
    begun = Stopwatch()
    zk.stop()
    background.join(5)
    assert begun.within(1), begun
    assert len(tried.seen) == 1


@pytest.mark.worlds("threads", "gevent")
def test_nothing_is_left_of_fifty_clients(world: Threads, zk_server: ZooKeeperServer) -> None:
    world.client(zk_server.hosts).stop()
    gc.collect()
    before = descriptors()
    clients = [world.client(zk_server.hosts) for _ in range(50)]
    for zk in clients:
        zk.start_async()
    for zk in clients:
        zk.add_listener(lambda state: None)
        zk.exists_async("/").add_done_callback(lambda call: None)
        assert zk.wait_connected(PATIENCE)
    assert len(world.workers()) >= 50
    for zk in clients:
        zk.stop()
    assert world.workers() == set()
    assert comes_true(lambda: descriptors() <= before)  # a server closes its ends in its own time


@pytest.mark.worlds("threads")
def test_an_idle_client_costs_one_thread(world: Threads, zk_server: ZooKeeperServer) -> None:
    before = threading.active_count()
    with world.client(zk_server.hosts) as zk:
        zk.get("/")
        assert threading.active_count() == before + 1


# Where it may not wait


@pytest.mark.worlds("threads", "gevent")
@pytest.mark.parametrize(("owner", "name"), [(SessionCore, "submit"), (Dispatcher, "_begin")])
def test_stop_may_be_called_in_a_del_that_interrupts_the_client_itself(
    world: Threads,
    make_client: MakeClient,
    zk_server: ZooKeeperServer,
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    name: str,
) -> None:
    zk = make_client(zk_server.hosts)
    # The collector runs between any two lines, also where the client holds its locks.
    method = getattr(owner, name)

    def collected(*args: object) -> object:
        result = method(*args)
        zk.stop()
        return result

    monkeypatch.setattr(owner, name, collected)
    told = Events()
    call = zk.get_async("/")
    call.add_done_callback(told)
    assert told.wait() == [call]
    assert comes_true(lambda: not zk.connected and not world.workers())


@pytest.mark.worlds("threads")  # the handler of a real signal
def test_stop_may_be_called_in_a_signal_handler(zk: Client, other: Client) -> None:
    zk.create("/mine", ephemeral=True)
    gone = other.watcher()
    other.exists("/mine", watch=gone)
    stopped: list[tuple[Stopwatch, float]] = []

    def handle(number: int, frame: object) -> None:
        begun = Stopwatch()
        zk.stop()
        stopped.append((begun, time.monotonic()))

    before = signal.signal(signal.SIGUSR1, handle)
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGUSR1))
    timer.start()
    try:
        with suppress(SessionClosedError):
            while True:
                zk.exists("/")
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)
    assert gone.wait(PATIENCE) is not None
    ((begun, end),) = stopped
    assert begun.within(1, until=end), begun
    assert comes_true(lambda: zk.state is CLOSED)
