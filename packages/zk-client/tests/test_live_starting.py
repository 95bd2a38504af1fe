"""A session's beginning and end on a server, and one that is taken up again."""

from __future__ import annotations

import pytest
from conftest import MakeClient
from live import (
    PATIENCE,
    Events,
    States,
    cut_off,
    flush,
    in_thread,
    unused_address,
)
from worlds import Threads

from zk_client import (
    Client,
    Outcome,
    SessionClosedError,
    SessionState,
    StartTimeoutError,
)
from zk_testing.faults import FaultProxy
from zk_testing.member import ZooKeeperServer
from zk_testing.rawclient import RawClient
from zk_testing.stopwatch import Stopwatch

CLOSED, CONNECTING, CONNECTED, SUSPENDED, EXPIRED = (
    SessionState.CLOSED,
    SessionState.CONNECTING,
    SessionState.CONNECTED,
    SessionState.SUSPENDED,
    SessionState.EXPIRED,
)


# Begin and end


def test_a_client_is_usable_in_a_with_block_and_closed_after_it(world: Threads, zk_server: ZooKeeperServer) -> None:
    with world.client(zk_server.hosts) as zk:
        assert zk.state is CONNECTED
        assert zk.connected
        assert zk.get("/")[1].num_children > 0
    assert zk.state is CLOSED
    assert not zk.connected
    assert zk.session_id is None
    assert zk.server_address is None


def test_stop_ends_the_session_on_the_server_at_once(
    make_client: MakeClient, zk: Client, zk_server: ZooKeeperServer, zk_chroot: str
) -> None:
    owner = make_client(zk_server.connection_string(zk_chroot), 30.0)
    owner.create("/mine", ephemeral=True)
    owner.stop()
    zk.sync("/")
    assert zk.exists("/mine") is None


def test_a_client_that_was_never_started_or_is_stopped_refuses_requests(
    make_client: MakeClient, zk_server: ZooKeeperServer
) -> None:
    zk = make_client(zk_server.hosts, start=False)
    with pytest.raises(SessionClosedError, match="not started") as refused:
        zk.create("/a")
    assert refused.value.outcome is Outcome.NOT_APPLIED
    zk.start()
    zk.stop()
    with pytest.raises(SessionClosedError, match="stopped"):
        zk.get("/")
    assert isinstance(zk.get_async("/").exception(1), SessionClosedError)


def test_stop_and_start_may_be_repeated(make_client: MakeClient, zk_server: ZooKeeperServer) -> None:
    zk = make_client(zk_server.hosts, start=False)
    zk.stop()
    zk.start()
    first = zk.session_id
    zk.start()
    assert zk.session_id == first
    zk.stop()
    zk.stop()
    zk.start()
    assert zk.session_id not in (None, first)
    assert zk.exists("/") is not None


def test_restart_begins_a_new_session(zk: Client) -> None:
    first = zk.session_id
    zk.create("/mine", ephemeral=True)
    zk.restart()
    assert zk.session_id != first
    assert zk.exists("/mine") is None


def test_start_async_returns_at_once_and_requests_wait_for_the_session(
    make_client: MakeClient, zk_server: ZooKeeperServer
) -> None:
    zk = make_client(zk_server.hosts, start=False)
    zk.start_async()
    assert zk.get("/")[1].num_children > 0
    assert zk.wait_connected(0)


def test_start_tells_why_there_is_no_session(world: Threads, make_client: MakeClient) -> None:
    with unused_address() as address:
        zk = make_client(address, start=False)
        begun = Stopwatch()
        with pytest.raises(StartTimeoutError, match=rf"{address} within 0.3 s.*refused"):
            zk.start(timeout=0.3)
        assert begun.within(2), begun
    assert zk.state is CLOSED
    assert [worker.name for worker in world.workers() if worker.name.startswith("zk-client")] == []


def test_requests_under_way_are_answered_before_stop_ends_the_session(zk: Client) -> None:
    calls = [zk.create_async("/s", sequence=True) for _ in range(200)]
    zk.stop()
    assert [call.result(PATIENCE) for call in calls] == [f"/s{number:010}" for number in range(200)]


def test_the_session_timeout_is_what_the_server_grants(make_client: MakeClient, zk_server: ZooKeeperServer) -> None:
    zk = make_client(zk_server.hosts, 0.05)
    assert zk.session_timeout == 0.4  # two ticks of 200 ms
    zk.sync("/")
    assert 0 < zk.lease_remaining < 0.4


# Resumed


def test_a_session_left_open_is_resumed_with_its_ephemeral_nodes(
    make_client: MakeClient, zk_server: ZooKeeperServer, zk_chroot: str
) -> None:
    first = make_client(zk_server.connection_string(zk_chroot))
    first.create("/mine", ephemeral=True)
    client_id = first.client_id
    first.stop(close_session=False)

    second = make_client(zk_server.connection_string(zk_chroot), client_id=client_id)

    assert second.client_id == client_id
    stat = second.exists("/mine")
    assert stat is not None
    assert stat.owner_session_id == second.session_id


def test_the_same_client_resumes_a_session_it_left_open(zk: Client) -> None:
    session = zk.session_id
    zk.stop(close_session=False)
    assert zk.state is CLOSED
    zk.start()
    assert zk.session_id == session


def test_resuming_a_session_that_is_gone_is_told_as_an_expiry(
    make_client: MakeClient, zk_server: ZooKeeperServer
) -> None:
    with RawClient(zk_server.address) as raw:
        gone = raw.session
    zk = make_client(zk_server.hosts, start=False, client_id=gone)
    states = States(zk)
    zk.start_async()
    states.wait(CONNECTED)
    assert states.seen == [CONNECTING, EXPIRED, CONNECTING, CONNECTED]
    assert zk.session_id not in (None, gone[0])


def test_the_password_is_in_no_repr(zk: Client) -> None:
    assert zk.client_id is not None
    assert repr(zk.client_id[1]) not in repr(zk)


def test_a_start_that_resumes_a_session_that_is_gone_ends_with_a_new_one(
    make_client: MakeClient, zk_server: ZooKeeperServer
) -> None:
    with RawClient(zk_server.address) as raw:
        gone = raw.session
    zk = make_client(zk_server.hosts, client_id=gone)
    assert zk.state is CONNECTED
    assert zk.session_id not in (None, gone[0])


def test_a_start_that_may_not_renew_the_session_it_resumes_ends_at_once(
    make_client: MakeClient, zk_server: ZooKeeperServer
) -> None:
    with RawClient(zk_server.address) as raw:
        gone = raw.session
    zk = make_client(zk_server.hosts, start=False, client_id=gone, renew_after_expiry=False)
    with pytest.raises(StartTimeoutError, match="expired"):
        zk.start()


# Without a connection


def test_a_start_of_a_suspended_client_waits_for_its_next_connection(away: Client, zk_faults: FaultProxy) -> None:
    session = away.session_id
    cut_off(away, zk_faults)
    starting = in_thread(away.start)
    zk_faults.wait_for_connections(0)
    zk_faults.heal()
    starting()
    assert away.session_id == session
    assert away.connected


def test_waiting_for_a_connection_ends_with_the_next_one(away: Client, zk_faults: FaultProxy) -> None:
    states = States(away)
    assert away.wait_connected()
    zk_faults.refuse()
    zk_faults.cut()
    states.wait(SUSPENDED)
    assert not away.wait_connected(0.05)
    waiting = in_thread(lambda: away.wait_connected(PATIENCE))
    zk_faults.heal()
    assert waiting()


def test_waiting_for_a_connection_ends_with_the_client(away: Client, zk_faults: FaultProxy) -> None:
    cut_off(away, zk_faults)
    waiting = in_thread(lambda: away.wait_connected(PATIENCE))
    away.stop()
    assert not waiting()


def test_a_client_may_be_restarted_in_a_listener(world: Threads, away: Client, zk_faults: FaultProxy) -> None:
    first = away.session_id
    sessions = Events()

    @world.calling
    def restart(state: SessionState) -> None:
        if state is SUSPENDED:
            away.restart()
            sessions(away.session_id)

    away.add_listener(restart)
    begun = Stopwatch()
    zk_faults.cut()
    assert sessions.wait()[0] not in (None, first)
    assert begun.within(5), begun
    states = States(away)
    assert away.get("/")[0] == b""
    flush(away)
    assert away.connected
    assert states.seen in ([], [CONNECTED], [CONNECTING, CONNECTED], [CLOSED, CONNECTING, CONNECTED])
