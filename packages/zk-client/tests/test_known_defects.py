"""Defects of other clients that no other test keeps out of this one; `docs/defects.md` lists all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conftest import MakeClient
from corepair import CorePair
from live import PATIENCE, Background, Events, States, flush
from worlds import Threads

from zk_client import (
    CallTimeoutError,
    ConnectionLostError,
    OperationTimeoutError,
    SessionClosedError,
    SessionExpiredError,
    SessionState,
    StartTimeoutError,
    ZooKeeperError,
)
from zk_testing import EmbeddedServer
from zk_testing.faults import FaultProxy
from zk_testing.stopwatch import Stopwatch
from zk_wire import AuthPacket

CONNECTED, CONNECTING, SUSPENDED = SessionState.CONNECTED, SessionState.CONNECTING, SessionState.SUSPENDED


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def proxy(server: EmbeddedServer) -> Iterator[FaultProxy]:
    with FaultProxy(server) as proxy:
        yield proxy


def test_an_answer_to_a_four_letter_word_is_whole_however_long_it_is(
    world: Threads, make_client: MakeClient, server: EmbeddedServer
) -> None:
    zk = make_client(server.hosts)
    names = [f"/watched-by-somebody-{number:04}" for number in range(600)]
    world.submit_all(zk, [zk.operations.exists(name, print) for name in names])
    zk.exists("/")
    answer = zk.command("wchp")
    assert len(answer) > 8192
    assert all(name in answer for name in names)


def test_requests_made_without_a_connection_block_nobody_however_many_they_are(
    world: Threads, make_client: MakeClient, proxy: FaultProxy
) -> None:
    zk = make_client(proxy.hosts)
    states = States(zk)
    proxy.refuse()
    proxy.cut()
    states.wait(SUSPENDED)
    calls = [zk.operations.exists("/") for _ in range(5000)]
    began = Stopwatch()
    world.submit_all(zk, calls)
    assert began.within(5), began
    assert not any(call.done for call in calls)
    proxy.heal()
    states.wait(CONNECTED)
    zk.exists("/")
    assert all(call.result() is not None for call in calls)


def test_requests_made_in_a_state_listener_are_sent_and_answered(
    world: Threads, make_client: MakeClient, proxy: FaultProxy
) -> None:
    zk = make_client(proxy.hosts)
    begun, answered = Events(), Events()

    @world.calling
    def listen(state: SessionState) -> None:
        if state is SUSPENDED:
            begun([zk.exists_async("/") for _ in range(500)])
        elif state is CONNECTED:
            answered(zk.exists("/"))

    zk.add_listener(listen)
    proxy.cut()
    assert answered.wait() != [None]
    assert all(call.result(PATIENCE) is not None for call in begun.wait()[0])


def test_starting_twice_is_starting_once(make_client: MakeClient, server: EmbeddedServer) -> None:
    zk = make_client(server.hosts, start=False)
    zk.start_async()
    zk.start_async()
    zk.start()
    assert zk.connected
    session = zk.session_id
    zk.start_async()
    assert zk.exists("/") is not None
    assert zk.session_id == session


def test_threads_that_start_a_client_at_once_get_one_session(
    world: Threads, make_client: MakeClient, server: EmbeddedServer
) -> None:
    zk = make_client(server.hosts, start=False)
    barrier = world.threading.Barrier(8)
    sessions: list[int | None] = []

    def start() -> None:
        barrier.wait()
        zk.start()
        sessions.append(zk.session_id)

    background = Background()
    for _ in range(8):
        background(start)
    background.join()
    assert sessions == [zk.session_id] * 8


def test_connected_is_told_once_the_identities_are_accepted_and_not_before() -> None:
    pair = CorePair()
    pair.core.add_identity(("digest", b"user:secret"))
    pair.open()
    assert pair.states == [CONNECTING]
    pair.reply(pair.next(AuthPacket), zxid=0)
    assert pair.states == [CONNECTING, CONNECTED]


def test_every_done_callback_is_called_once_whenever_it_was_added(
    make_client: MakeClient, server: EmbeddedServer
) -> None:
    zk = make_client(server.hosts)
    called = Events()
    call = zk.exists_async("/")
    call.add_done_callback(lambda call: called("first"))
    call.result()
    for name in ("second", "third"):
        call.add_done_callback(lambda call, name=name: called(name))
    flush(zk)
    assert called.seen == ["first", "second", "third"]


def test_a_closed_client_and_a_lost_connection_are_no_expiry_and_every_error_is_caught_by_one_name() -> None:
    assert not issubclass(SessionClosedError, SessionExpiredError)
    assert not issubclass(ConnectionLostError, SessionExpiredError)
    for error in (SessionClosedError, SessionExpiredError, CallTimeoutError, StartTimeoutError):
        assert issubclass(error, ZooKeeperError)
        assert issubclass(error, Exception)
    for error in (CallTimeoutError, StartTimeoutError):
        assert issubclass(error, TimeoutError)
    assert issubclass(CallTimeoutError, OperationTimeoutError)
