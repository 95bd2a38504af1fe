"""What a program may set and do about time: each knob, in every world."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conftest import MakeClient
from corepair import CorePair
from live import States

from zk_client import (
    CallTimeoutError,
    Client,
    ConfigurationError,
    Host,
    NodeExistsError,
    Outcome,
    SessionState,
)
from zk_client._session.timers import Timers
from zk_testing import EmbeddedServer, Settings
from zk_testing.faults import FaultProxy
from zk_testing.stopwatch import Stopwatch

CONNECTED, SUSPENDED = SessionState.CONNECTED, SessionState.SUSPENDED


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(settings=Settings(tick_ms=100)) as server:
        yield server


@pytest.fixture
def proxy(server: EmbeddedServer) -> Iterator[FaultProxy]:
    with FaultProxy(server) as proxy:
        yield proxy


# How soon a server counts as dead


@pytest.mark.parametrize(
    ("timeout", "dead_after", "read", "ping"),
    [
        (9.0, None, 6.0, 3.0),
        (90.0, None, 60.0, 10.0),
        (9.0, 1.0, 1.0, 0.5),
        (9.0, 60.0, 6.0, 3.0),  # the session would not outlive it
        (90.0, 30.0, 30.0, 10.0),
    ],
)
def test_a_server_counts_as_dead_when_told_and_at_the_latest_after_two_thirds_of_the_session_timeout(
    timeout: float, dead_after: float | None, read: float, ping: float
) -> None:
    timers = Timers(timeout, dead_after)
    assert (timers.read_timeout, timers.ping_interval) == (pytest.approx(read), pytest.approx(ping))
    assert timers.local_expiry == pytest.approx(timeout * 4 / 3)


def test_pings_keep_a_quiet_connection_however_soon_its_server_would_count_as_dead() -> None:
    pair = CorePair(timeout=30.0, read_timeout=0.4)
    pair.open()
    for _ in range(10):
        pair.wait_for(0.21)
        assert pair.kinds() == ["PingRequest"]
        pair.reply(pair.requests.pop())
    assert pair.states[-1] is CONNECTED
    pair.wait_for(0.41)
    assert pair.states[-1] is SUSPENDED
    assert "read timeout 0.4 s" in pair.core.reason


def test_a_frozen_server_is_left_long_before_the_session_timeout(make_client: MakeClient, proxy: FaultProxy) -> None:
    zk = make_client(proxy.hosts, 20.0, read_timeout=0.4)
    session = zk.session_id
    states = States(zk)
    proxy.freeze()
    frozen = Stopwatch()
    assert frozen.within(1.4, until=states.wait(SUSPENDED)), frozen
    proxy.cut()
    proxy.heal()
    states.wait(CONNECTED)
    assert zk.session_id == session


# The session timeout


def test_another_session_timeout_is_asked_for_at_once_and_the_session_goes_on(
    make_client: MakeClient, server: EmbeddedServer
) -> None:
    zk = make_client(server.hosts, 3.0)
    zk.create("/mine", b"", ephemeral=True)
    session = zk.session_id
    assert zk.session_timeout == 3.0
    states = States(zk)
    zk.set_session_timeout(1.6, reconnect=True)
    states.wait(SUSPENDED)
    states.wait(CONNECTED)
    assert (zk.session_timeout, zk.session_id) == (1.6, session)
    assert zk.exists("/mine").ephemeral_owner == session


def test_another_session_timeout_waits_for_the_next_connection_unless_told_otherwise(
    make_client: MakeClient, server: EmbeddedServer
) -> None:
    zk = make_client(server.hosts, 3.0)
    zk.set_session_timeout(1.6)
    assert zk.exists("/") is not None
    assert zk.session_timeout == 3.0
    zk.restart()
    assert zk.session_timeout == 1.6


def test_the_server_ends_the_session_after_the_new_timeout(make_client: MakeClient, server: EmbeddedServer) -> None:
    with FaultProxy(server) as proxy:
        zk = make_client(proxy.hosts, 30.0)
        zk.create("/mine", b"", ephemeral=True)
        states = States(zk)
        zk.set_session_timeout(0.6, reconnect=True)
        states.wait(SUSPENDED)
        states.wait(CONNECTED)
        zk.exists("/")
        other = make_client(server.hosts)
        gone = other.watcher()
        other.exists("/mine", watch=gone)
        proxy.refuse("not_listening")
        proxy.cut()
        assert gone.wait(5.0) is not None


@pytest.mark.parametrize("timeout", [0, -1, "10", True])
def test_a_session_timeout_that_makes_no_sense_is_refused(timeout: Any) -> None:
    with pytest.raises(ConfigurationError, match="timeout"):
        Client().set_session_timeout(timeout)


# Another connection


def test_a_reconnect_on_purpose_keeps_the_session_and_everything_of_it(
    make_client: MakeClient, proxy: FaultProxy
) -> None:
    zk = make_client(proxy.hosts)
    zk.create("/mine", b"", ephemeral=True)
    session = zk.session_id
    states = States(zk)
    zk.reconnect()
    states.wait(SUSPENDED)
    states.wait(CONNECTED)
    assert zk.session_id == session
    assert zk.exists("/mine") is not None


# A deadline


def test_operations_end_within_the_time_given_and_say_what_is_known(make_client: MakeClient, proxy: FaultProxy) -> None:
    zk = make_client(proxy.hosts)
    zk.create("/node")
    proxy.freeze()
    began = Stopwatch()
    with pytest.raises(CallTimeoutError) as read:
        zk.within(0.2).get("/node")
    assert began.within(1.2), began
    assert read.value.outcome is Outcome.NOT_APPLIED
    with pytest.raises(CallTimeoutError) as write:
        zk.within(0.2).set("/node", b"new")
    assert write.value.outcome is Outcome.UNKNOWN
    proxy.heal()
    assert zk.get("/node")[1].version <= 1


def test_a_deadline_holds_for_all_that_is_asked_of_it_and_nothing_is_sent_after_it(
    make_client: MakeClient, server: EmbeddedServer
) -> None:
    zk = make_client(server.hosts)
    soon = zk.within(0.0)
    with pytest.raises(CallTimeoutError, match="over before it began") as late:
        soon.create("/late")
    assert late.value.outcome is Outcome.NOT_APPLIED
    assert zk.exists("/late") is None


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("ensure_path", ("/a/b/c/d",)),
        ("delete", ("/tree", -1, True)),
        ("get_children", ("/",)),
        ("exists", ("/",)),
    ],
)
def test_every_kind_of_operation_is_bounded(
    make_client: MakeClient, proxy: FaultProxy, name: str, arguments: tuple[Any, ...]
) -> None:
    zk = make_client(proxy.hosts)
    zk.create("/tree/branch/leaf", b"", makepath=True)
    proxy.freeze()
    began = Stopwatch()
    with pytest.raises(CallTimeoutError):
        getattr(zk.within(0.3), name)(*arguments)
    assert began.within(1.3), began
    proxy.heal()


def test_transactions_and_batches_are_bounded_too(make_client: MakeClient, proxy: FaultProxy) -> None:
    zk = make_client(proxy.hosts)
    proxy.freeze()
    for draft in (zk.within(0.2).transaction().create("/a"), zk.within(0.2).multi_read().get("/")):
        with pytest.raises(CallTimeoutError):
            draft.commit()
    proxy.heal()


def test_a_transaction_keeps_to_the_call_timeout(make_client: MakeClient, proxy: FaultProxy) -> None:
    zk = make_client(proxy.hosts, call_timeout=0.2)
    proxy.freeze()
    with pytest.raises(CallTimeoutError):
        zk.transaction().create("/a").commit()
    proxy.heal()


def test_in_time_a_bounded_operation_is_as_any_other(make_client: MakeClient, server: EmbeddedServer) -> None:
    zk = make_client(server.hosts)
    soon = zk.within(10.0)
    assert soon.create("/a", b"data") == "/a"
    assert soon.get("/a")[0] == b"data"
    soon.ensure_path("/b/c")
    with pytest.raises(NodeExistsError):
        soon.create("/b/c")


def test_hosts_are_asked_one_connect_timeout_each() -> None:
    pair = CorePair("a:1,b:2", connect_timeout=0.7)
    pair.start()
    assert pair.connects[0].timeout == 0.7
    assert pair.connects[0].host == Host("a", 1)
