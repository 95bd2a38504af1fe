"""A connection lost and found, a session that expires, and what listeners are told of it."""

from __future__ import annotations

import logging

import pytest
from conftest import MakeClient
from live import (
    PATIENCE,
    Events,
    States,
    expire,
)
from worlds import Threads

from zk_client import (
    Client,
    Outcome,
    SessionExpiredError,
    SessionState,
)
from zk_testing.faults import FaultProxy
from zk_testing.member import ZooKeeperServer
from zk_testing.stopwatch import Stopwatch

CLOSED, CONNECTING, CONNECTED, SUSPENDED, EXPIRED = (
    SessionState.CLOSED,
    SessionState.CONNECTING,
    SessionState.CONNECTED,
    SessionState.SUSPENDED,
    SessionState.EXPIRED,
)


# Lost and found


def test_a_lost_connection_is_replaced_and_the_session_goes_on(away: Client, zk_faults: FaultProxy) -> None:
    away.create("/mine", ephemeral=True)
    session = away.session_id
    states = States(away)
    zk_faults.cut()
    states.wait(CONNECTED)
    assert states.seen == [SUSPENDED, CONNECTED]
    assert away.session_id == session
    assert away.exists("/mine") is not None


def test_reconnect_moves_to_another_connection_of_the_same_session(away: Client, zk_faults: FaultProxy) -> None:
    session = away.session_id
    states = States(away)
    away.reconnect()
    states.wait(CONNECTED)
    assert away.session_id == session
    assert max(passed.connection for passed in zk_faults.record) == 2


def test_an_expiry_the_server_tells_begins_a_new_session(
    away: Client, zk_faults: FaultProxy, zk_server: ZooKeeperServer
) -> None:
    first = away.session_id
    states = States(away)
    zk_faults.refuse()
    zk_faults.cut()
    states.wait(SUSPENDED)
    waiting = [away.get_async("/"), away.create_async("/n")]
    expire(away, zk_server.address)
    zk_faults.heal()

    states.wait(CONNECTED)

    assert states.seen == [SUSPENDED, EXPIRED, CONNECTING, CONNECTED]
    errors = [call.exception(PATIENCE) for call in waiting]
    assert [(type(error), error.outcome) for error in errors] == [(SessionExpiredError, Outcome.NOT_APPLIED)] * 2
    assert away.session_id not in (None, first)
    assert away.exists("/n") is None


def test_a_client_without_a_server_gives_its_session_up_by_itself(
    make_client: MakeClient, zk_faults: FaultProxy
) -> None:
    zk = make_client(zk_faults.hosts, 1.0)
    states = States(zk)
    zk_faults.freeze()
    begun = Stopwatch()
    assert begun.within(1.0, until=states.wait(SUSPENDED)), begun
    assert zk.lease_remaining < 1.0
    gone = states.wait(EXPIRED)
    assert gone - begun.begun > 0.9
    assert begun.within(2.0, until=gone), begun
    assert zk.lease_remaining == 0
    zk_faults.heal()
    states.wait(CONNECTED)
    assert states.seen == [SUSPENDED, EXPIRED, CONNECTING, CONNECTED]
    assert zk.get("/")[1].num_children > 0


# What waited in its queue is answered when it goes on: a ping, and handshakes that were given up. They touch the old
# session and begin others, which run out by themselves.
@pytest.mark.zk_leaks_allowed("sessions")
def test_a_frozen_server_is_given_up_and_its_session_with_it(
    make_client: MakeClient, zk_server: ZooKeeperServer, zk_chroot: str
) -> None:
    zk = make_client(zk_server.connection_string(zk_chroot), 1.0)
    zk.create("/mine", ephemeral=True)
    states = States(zk)
    zk_server.pause()
    states.wait(EXPIRED)
    zk_server.resume()
    states.wait(CONNECTED)
    assert states.seen == [SUSPENDED, EXPIRED, CONNECTING, CONNECTED]
    gone = zk.watcher()
    if zk.exists("/mine", watch=gone) is not None:
        assert gone.wait(PATIENCE) is not None


def test_a_client_told_not_to_renew_stays_expired_until_it_is_started(
    make_client: MakeClient, zk_faults: FaultProxy, zk_server: ZooKeeperServer
) -> None:
    zk = make_client(zk_faults.hosts, renew_after_expiry=False)
    states = States(zk)
    zk_faults.refuse()
    zk_faults.cut()
    states.wait(SUSPENDED)
    expire(zk, zk_server.address)
    zk_faults.heal()
    states.wait(EXPIRED)
    with pytest.raises(SessionExpiredError) as refused:
        zk.create("/a")
    assert refused.value.outcome is Outcome.NOT_APPLIED
    zk.start()
    assert states.seen[:4] == [SUSPENDED, EXPIRED, CONNECTING, CONNECTED][: len(states.seen)]
    assert zk.exists("/") is not None


# Told


def test_the_state_is_always_the_one_told_last(away: Client, zk_faults: FaultProxy, zk_server: ZooKeeperServer) -> None:
    pairs = Events()
    away.add_listener(lambda state: pairs((state, away.state)))
    zk_faults.cut()
    pairs.wait(2)
    zk_faults.refuse()
    zk_faults.cut()
    pairs.wait(3)
    expire(away, zk_server.address)
    zk_faults.heal()
    pairs.wait(6)
    away.stop()
    told = pairs.wait(7)
    assert [state for state, _ in told] == [
        SUSPENDED,
        CONNECTED,
        SUSPENDED,
        EXPIRED,
        CONNECTING,
        CONNECTED,
        CLOSED,
    ]
    assert all(state is at_that_time for state, at_that_time in told)


def test_a_listener_may_block_and_call_the_client(world: Threads, away: Client, zk_faults: FaultProxy) -> None:
    entered, release, answered = Events(), Events(), Events()

    @world.calling
    def listen(state: SessionState) -> None:
        if state is CONNECTED:
            entered(state)
            release.wait()
            answered(away.get("/")[0])

    away.add_listener(listen)
    zk_faults.cut()
    entered.wait()
    assert away.get("/")[0] == b""  # replies come although the listener still runs
    release(None)
    assert answered.wait() == [b""]


def test_a_bad_listener_harms_no_other(away: Client, zk_faults: FaultProxy, caplog: pytest.LogCaptureFixture) -> None:
    def bad(state: SessionState) -> None:
        raise ArithmeticError("of the user's making")

    away.add_listener(bad)
    states = States(away)
    with caplog.at_level(logging.ERROR, "zk_client"):
        zk_faults.cut()
        states.wait(CONNECTED)
    assert "of the user's making" in caplog.text


def test_a_removed_listener_hears_nothing_more(away: Client, zk_faults: FaultProxy) -> None:
    removed, stays = States(away), States(away)
    away.add_listener(stays)  # twice is once
    away.remove_listener(removed)
    away.remove_listener(removed)
    zk_faults.cut()
    stays.wait(CONNECTED)
    assert removed.seen == []
    assert stays.seen == [SUSPENDED, CONNECTED]
