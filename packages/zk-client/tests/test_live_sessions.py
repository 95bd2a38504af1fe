"""A session's life on a server: begin, resume, expire, end; hosts that fail; identities; bounds on waiting."""

from __future__ import annotations

import gc
import logging
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise

import pytest
from conftest import MakeClient
from live import (
    PATIENCE,
    Background,
    BlackHole,
    Deaf,
    Events,
    States,
    client_threads,
    descriptors,
    descriptors_come_down_to,
    expire,
    in_thread,
    unused_address,
)

from zk_client import (
    CREATOR_ALL_ACL,
    AuthFailedError,
    CallTimeoutError,
    Client,
    ConnectionLostError,
    NoNodeError,
    Outcome,
    RetryFailedError,
    RetryInterruptedError,
    RetryPolicy,
    SessionClosedError,
    SessionExpiredError,
    SessionState,
    StartTimeoutError,
)
from zk_client._session.core import SessionCore
from zk_testing.faults import FaultProxy
from zk_testing.member import ZooKeeperServer
from zk_testing.rawclient import RawClient

CLOSED, CONNECTING, CONNECTED, SUSPENDED, EXPIRED, AUTH_FAILED = (
    SessionState.CLOSED,
    SessionState.CONNECTING,
    SessionState.CONNECTED,
    SessionState.SUSPENDED,
    SessionState.EXPIRED,
    SessionState.AUTH_FAILED,
)


@pytest.fixture
def away(make_client: MakeClient, zk_faults: FaultProxy, zk_chroot: str) -> Client:
    """A client that can be cut off from the server."""
    return make_client(zk_faults.hosts + zk_chroot)


# Begin and end


def test_a_client_is_usable_in_a_with_block_and_closed_after_it(zk_server: ZooKeeperServer) -> None:
    with Client(zk_server.hosts) as zk:
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


def test_start_tells_why_there_is_no_session(make_client: MakeClient) -> None:
    with unused_address() as address:
        zk = make_client(address, start=False)
        begun = time.monotonic()
        with pytest.raises(StartTimeoutError, match=rf"{address} within 0.3 s.*refused"):
            zk.start(timeout=0.3)
        assert time.monotonic() - begun < 2
    assert zk.state is CLOSED
    assert client_threads() == []


def test_requests_under_way_are_answered_before_stop_ends_the_session(zk: Client) -> None:
    calls = [zk.create_async("/s", sequence=True) for _ in range(200)]
    zk.stop()
    assert [call.result(0) for call in calls] == [f"/s{number:010}" for number in range(200)]


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
    begun = time.monotonic()
    assert states.wait(SUSPENDED) - begun < 1.0
    assert zk.lease_remaining < 1.0
    gone = states.wait(EXPIRED) - begun
    assert 0.9 < gone < 2.0
    assert zk.lease_remaining == 0
    zk_faults.heal()
    states.wait(CONNECTED)
    assert states.seen == [SUSPENDED, EXPIRED, CONNECTING, CONNECTED]
    assert zk.get("/")[1].num_children > 0


@pytest.mark.zk_leaks_allowed("sessions")  # what waited in the server's socket may touch the old one once more
def test_a_frozen_server_is_given_up_and_its_session_with_it(
    make_client: MakeClient, zk_server: ZooKeeperServer
) -> None:
    zk = make_client(zk_server.hosts, 1.0)
    states = States(zk)
    zk_server.pause()
    states.wait(EXPIRED)
    zk_server.resume()
    states.wait(CONNECTED)
    assert states.seen == [SUSPENDED, EXPIRED, CONNECTING, CONNECTED]


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


def test_a_listener_may_block_and_call_the_client(away: Client, zk_faults: FaultProxy) -> None:
    entered, release, answered = Events(), Events(), Events()

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


# Stopped


def test_stop_may_be_called_from_a_watch_callback(zk: Client) -> None:
    states, stopped = States(zk), Events()

    def stop(event: object) -> None:
        zk.stop()
        stopped(zk.connected)

    zk.exists("/n", watch=stop)
    zk.create("/n")
    assert stopped.wait() == [False]
    states.wait(CLOSED)
    assert zk.state is CLOSED


def test_stop_may_be_called_from_a_listener(away: Client, zk_faults: FaultProxy) -> None:
    stopped = Events()

    def stop(state: SessionState) -> None:
        if state is SUSPENDED:
            away.stop()
            stopped(None)

    away.add_listener(stop)
    zk_faults.cut()
    stopped.wait()
    with pytest.raises(SessionClosedError):
        away.get("/")


def test_stop_may_be_called_from_several_threads(zk: Client) -> None:
    background = Background()
    barrier = threading.Barrier(4)

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
            with suppress(StartTimeoutError, SessionClosedError):
                zk.start(timeout=60)

        background(start)
        states.wait(CONNECTING)
        begun = time.monotonic()
        zk.stop()
        background.join(5)
        assert time.monotonic() - begun < 2


def test_stop_ends_waiting_calls_although_the_server_is_silent(away: Client, zk_faults: FaultProxy) -> None:
    zk_faults.freeze()
    mark = zk_faults.mark()
    reading = in_thread(lambda: away.get_async("/").exception(PATIENCE))
    writing = away.create_async("/n")
    del mark
    begun = time.monotonic()
    away.stop(timeout=0.2)
    assert time.monotonic() - begun < 3
    assert isinstance(reading(), SessionClosedError)
    error = writing.exception(0)
    assert isinstance(error, SessionClosedError)
    assert error.outcome is Outcome.UNKNOWN


def test_stop_fails_what_waits_for_a_connection(away: Client, zk_faults: FaultProxy) -> None:
    states = States(away)
    zk_faults.refuse()
    zk_faults.cut()
    states.wait(SUSPENDED)
    waiting = away.create_async("/n")
    away.stop()
    error = waiting.exception(0)
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
    begun = time.monotonic()
    zk.stop()
    background.join(5)
    assert time.monotonic() - begun < 1
    assert len(tried.seen) == 1


def test_nothing_is_left_of_fifty_clients(zk_server: ZooKeeperServer) -> None:
    Client(zk_server.hosts).stop()
    gc.collect()
    before = descriptors()
    clients = [Client(zk_server.hosts) for _ in range(50)]
    for zk in clients:
        zk.start_async()
    for zk in clients:
        zk.add_listener(lambda state: None)
        zk.exists_async("/").add_done_callback(lambda call: None)
        assert zk.wait_connected(PATIENCE)
    assert len(client_threads()) >= 50
    for zk in clients:
        zk.stop()
    assert client_threads() == []
    assert descriptors_come_down_to(before)


def test_an_idle_client_costs_one_thread(zk_server: ZooKeeperServer) -> None:
    before = threading.active_count()
    with Client(zk_server.hosts) as zk:
        zk.get("/")
        assert threading.active_count() == before + 1


# Hosts


def test_the_connected_server_is_named_and_asked(zk: Client, zk_server: ZooKeeperServer) -> None:
    assert zk.server_address == ("127.0.0.1", zk_server.port)
    assert zk.server_version() == tuple(int(number) for number in zk_server.version.split("."))
    assert zk.command() == "imok"
    assert f"zk_version\t{zk_server.version}" in zk.command("mntr")


def test_command_without_a_server_says_so(make_client: MakeClient, zk_server: ZooKeeperServer) -> None:
    zk = make_client(zk_server.hosts, start=False)
    with pytest.raises(ConnectionLostError, match="not started"):
        zk.command()


def test_a_missing_chroot_is_warned_of(
    make_client: MakeClient, zk_server: ZooKeeperServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "zk_client"):
        zk = make_client(f"{zk_server.hosts}/no/such/chroot")
        done = Events()
        zk.sync_async("/").add_done_callback(done)
        done.wait()
    assert "/no/such/chroot" in caplog.text
    with pytest.raises(NoNodeError):
        zk.get("/")
    # The chroot itself can be made like any other node.
    zk.ensure_path("/")


class Forwarder:
    """Passes one connection at a time from an IPv6 address to a server."""

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
        self.port = self._listener.getsockname()[1]
        self._upstream = port
        self._sockets: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._upstream))
                self._sockets += [client, server]
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        for sock in [self._listener, *self._sockets]:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self._thread.join(5)


@pytest.fixture
def ipv6(zk_server: ZooKeeperServer) -> Iterator[Forwarder]:
    try:
        forwarder = Forwarder(zk_server.port)
    except OSError as error:
        pytest.skip(f"no IPv6 on this machine: {error}")
    yield forwarder
    forwarder.close()


def test_an_ipv6_address_is_a_host(make_client: MakeClient, ipv6: Forwarder) -> None:
    zk = make_client(f"[::1]:{ipv6.port}")
    assert zk.server_address == ("::1", ipv6.port)
    assert zk.get("/")[1].num_children > 0


def test_hosts_are_tried_in_the_order_given_when_asked_to(make_client: MakeClient, zk_server: ZooKeeperServer) -> None:
    with FaultProxy(zk_server) as second, unused_address() as first:
        for _ in range(5):
            zk = make_client(f"{first},{second.hosts},{zk_server.hosts}", randomize_hosts=False)
            assert zk.server_address == ("127.0.0.1", second.port)
            zk.stop()


def test_hosts_are_tried_in_a_random_order_otherwise(make_client: MakeClient, zk_server: ZooKeeperServer) -> None:
    with FaultProxy(zk_server) as other:
        used = set()
        for _ in range(40):
            zk = make_client(f"{other.hosts},{zk_server.hosts}")
            used.add(zk.server_address)
            zk.stop()
    assert len(used) == 2


@pytest.mark.parametrize("trap", [BlackHole, Deaf])
def test_a_host_that_never_answers_costs_its_connect_timeout_only(
    make_client: MakeClient, zk_server: ZooKeeperServer, trap: type[BlackHole | Deaf]
) -> None:
    connect_timeout = 0.5
    with FaultProxy(zk_server) as first, trap() as silent, unused_address() as dead:
        hosts = f"{first.address},{dead},{silent.address},{zk_server.address}"
        zk = make_client(hosts, 6.0, randomize_hosts=False, connect_timeout=connect_timeout)
        session = zk.session_id
        states = States(zk)
        first.refuse()
        first.cut()
        lost = states.wait(SUSPENDED)
        back = states.wait(CONNECTED) - lost
        assert connect_timeout * 0.9 < back < connect_timeout + 1
        assert zk.server_address == ("127.0.0.1", zk_server.port)
        assert zk.session_id == session


def test_a_silent_host_among_three_does_not_cost_the_session(
    make_client: MakeClient, zk_server: ZooKeeperServer
) -> None:
    # Default connect timeout: a third of the session timeout for each of three hosts.
    with FaultProxy(zk_server) as first, BlackHole() as silent:
        zk = make_client(f"{first.address},{silent.address},{zk_server.address}", 3.0, randomize_hosts=False)
        session = zk.session_id
        first.refuse()
        first.cut()
        assert zk.get("/")[1].num_children > 0
        assert zk.session_id == session


@pytest.mark.zk_leaks_allowed("sessions")  # its proxy ends before its client
def test_a_refusing_host_is_asked_with_growing_pauses(make_client: MakeClient, zk_server: ZooKeeperServer) -> None:
    with FaultProxy(zk_server) as proxy:
        zk = make_client(proxy.hosts, 10.0, connection_retry=RetryPolicy(delay=0.05, backoff=2.0, jitter=0.0))
        attempts = Events()
        handler = _Attempts(attempts)
        logger = logging.getLogger("zk_client")
        level = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        try:
            proxy.refuse("not_listening")
            proxy.cut()
            attempts.wait(4)
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)
        times = attempts.seen[:4]
        pauses = [later - earlier for earlier, later in pairwise(times)]
        assert all(pause > least for pause, least in zip(pauses, (0.045, 0.095, 0.19), strict=True))
        proxy.heal()
        zk.sync("/")


class _Attempts(logging.Handler):
    """Notes when the client says that it connects."""

    def __init__(self, attempts: Events) -> None:
        super().__init__()
        self._attempts = attempts

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("connecting to"):
            self._attempts(time.monotonic())


# Identities


def test_an_identity_is_presented_again_after_a_reconnect(
    away: Client, zk_faults: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        away.add_auth("digest", "ann:s3cret")
        away.create("/mine", b"private", acl=CREATOR_ALL_ACL)
        states = States(away)
        zk_faults.cut()
        states.wait(CONNECTED)
        assert away.get("/mine")[0] == b"private"
    assert len(zk_faults.wait_for("auth", 2)) == 2
    assert "s3cret" not in caplog.text
    assert "s3cret" not in repr(vars(away.operations))


def test_identities_are_known_before_the_watches_are_set_again(away: Client, zk_faults: FaultProxy) -> None:
    away.add_auth("digest", "ann:secret")
    away.create("/mine", acl=CREATOR_ALL_ACL)
    watcher = away.watcher()
    away.get("/mine", watch=watcher)
    states = States(away)
    zk_faults.cut()
    states.wait(CONNECTED)
    away.set("/mine", b"")
    event = watcher.wait(PATIENCE)
    assert event is not None
    assert event.path == "/mine"


@pytest.mark.zk_leaks_allowed("sessions")  # the server has closed the connection
def test_a_refused_identity_ends_the_session_for_good(zk: Client) -> None:
    states = States(zk)
    with pytest.raises(AuthFailedError):
        zk.add_auth("no such scheme", "x:y")
    states.wait(AUTH_FAILED)
    with pytest.raises(AuthFailedError) as refused:
        zk.create("/n")
    assert refused.value.outcome is Outcome.NOT_APPLIED
    zk.restart()
    assert zk.exists("/n") is None


@pytest.mark.zk_leaks_allowed("sessions")  # the server has closed the connection
def test_a_refused_identity_given_at_the_start_is_told_by_start(
    make_client: MakeClient, zk_server: ZooKeeperServer, caplog: pytest.LogCaptureFixture
) -> None:
    zk = make_client(zk_server.hosts, start=False, auth_data=[("no such scheme", "x:s3cret")])
    with caplog.at_level(logging.DEBUG), pytest.raises(AuthFailedError, match="no such scheme") as refused:
        zk.start()
    assert "s3cret" not in caplog.text + str(refused.value) + repr(refused.value)


# Bounds on waiting


def test_requests_wait_for_a_connection_and_keep_their_order(away: Client, zk_faults: FaultProxy) -> None:
    away.create("/n")
    states = States(away)
    zk_faults.refuse()
    zk_faults.cut()
    states.wait(SUSPENDED)
    calls = [away.set_async("/n", b"%d" % version, version=version) for version in range(300)]
    reading = in_thread(lambda: away.get("/n"))
    zk_faults.heal()
    assert [call.result(PATIENCE).version for call in calls] == list(range(1, 301))
    reading()
    assert away.get("/n")[0] == b"299"


def test_requests_fail_at_once_without_a_connection_when_asked_to(
    make_client: MakeClient, zk_faults: FaultProxy, zk_chroot: str
) -> None:
    zk = make_client(zk_faults.hosts + zk_chroot, when_disconnected="fail")
    states = States(zk)
    zk_faults.refuse()
    zk_faults.cut()
    states.wait(SUSPENDED)
    for action in (lambda: zk.get("/"), lambda: zk.create("/n")):
        with pytest.raises(ConnectionLostError) as lost:
            action()
        assert lost.value.outcome is Outcome.NOT_APPLIED
    zk_faults.heal()
    states.wait(CONNECTED)
    assert zk.exists("/n") is None


def test_a_call_is_bounded_by_the_call_timeout(make_client: MakeClient, zk_faults: FaultProxy, zk_chroot: str) -> None:
    zk = make_client(zk_faults.hosts + zk_chroot, 20.0, call_timeout=0.2)
    zk_faults.freeze("to_client")
    begun = time.monotonic()
    with pytest.raises(CallTimeoutError) as reading:
        zk.get("/")
    with pytest.raises(TimeoutError) as writing:
        zk.create("/n", b"late")
    assert 0.4 <= time.monotonic() - begun < 3
    assert reading.value.outcome is Outcome.NOT_APPLIED
    assert isinstance(writing.value, CallTimeoutError)
    assert writing.value.outcome is Outcome.UNKNOWN

    zk_faults.heal()

    zk.call_timeout = None
    assert zk.get("/n")[0] == b"late"


def test_a_call_that_timed_out_before_it_was_sent_is_never_sent(
    make_client: MakeClient, zk_faults: FaultProxy, zk_chroot: str
) -> None:
    zk = make_client(zk_faults.hosts + zk_chroot, 20.0, call_timeout=0.1)
    states = States(zk)
    zk_faults.refuse()
    zk_faults.cut()
    states.wait(SUSPENDED)
    with pytest.raises(CallTimeoutError) as late:
        zk.create("/n")
    assert late.value.outcome is Outcome.NOT_APPLIED

    zk_faults.heal()

    zk.call_timeout = None
    assert zk.exists("/n") is None


def test_a_future_may_be_waited_for_again_after_a_timeout(away: Client, zk_faults: FaultProxy) -> None:
    zk_faults.freeze("to_client")
    call = away.create_async("/n")
    with pytest.raises(CallTimeoutError) as late:
        call.result(0.05)
    assert late.value.outcome is Outcome.UNKNOWN
    assert not call.wait(0.05)
    zk_faults.heal()
    assert call.result(PATIENCE) == "/n"


def test_a_future_that_waits_for_a_connection_is_unknown_until_it_is_cancelled(
    away: Client, zk_faults: FaultProxy
) -> None:
    states = States(away)
    zk_faults.refuse()
    zk_faults.cut()
    states.wait(SUSPENDED)
    call, other = away.create_async("/n"), away.create_async("/m")
    with pytest.raises(CallTimeoutError) as late:
        call.result(0.05)
    assert late.value.outcome is Outcome.UNKNOWN  # it will be sent all the same
    assert call.cancel()
    assert not call.cancel()
    zk_faults.heal()
    assert other.result(PATIENCE) == "/m"
    assert away.exists("/n") is None


def test_retry_goes_on_until_there_is_a_server(make_client: MakeClient, zk_faults: FaultProxy, zk_chroot: str) -> None:
    zk = make_client(
        zk_faults.hosts + zk_chroot, when_disconnected="fail", command_retry=RetryPolicy(delay=0.02, max_delay=0.05)
    )
    states = States(zk)
    zk_faults.refuse()
    zk_faults.cut()
    states.wait(SUSPENDED)
    tries = Events()

    def attempt() -> str:
        tries(None)
        return zk.create("/n", b"1")

    result = in_thread(lambda: zk.retry(attempt))
    tries.wait(3)
    zk_faults.heal()
    assert result() == "/n"


def test_retry_gives_up_with_the_last_error_as_its_cause(
    make_client: MakeClient, zk_faults: FaultProxy, zk_chroot: str
) -> None:
    zk = make_client(
        zk_faults.hosts + zk_chroot,
        when_disconnected="fail",
        command_retry=RetryPolicy(max_tries=3, delay=0.01, max_delay=0.02),
    )
    states = States(zk)
    zk_faults.refuse()
    zk_faults.cut()
    states.wait(SUSPENDED)
    with pytest.raises(RetryFailedError, match="3 tries") as failed:
        zk.retry(zk.get, "/")
    assert isinstance(failed.value.__cause__, ConnectionLostError)


def test_retry_does_not_repeat_what_the_server_refused(zk: Client) -> None:
    tries = Events()

    def attempt() -> None:
        tries(None)
        zk.get("/nothing")

    with pytest.raises(NoNodeError):
        zk.retry(attempt)
    assert len(tries.seen) == 1


# Many threads, and one that is interrupted


def test_many_threads_share_one_client(zk: Client) -> None:
    zk.create("/n")
    background = Background()

    def work(number: int) -> None:
        path = zk.create(f"/w{number}", b"%d" % number)
        for turn in range(20):
            assert zk.get(path)[0] == b"%d" % (number + turn)
            zk.set(path, b"%d" % (number + turn + 1), version=turn)
            assert len(zk.get_children("/")) >= 1
            assert zk.get_async(path).result(PATIENCE)[1].version == turn + 1

    for number in range(64):
        background(lambda number=number: work(number))
    background.join(60)
    assert len(zk.get_children("/")) == 65


def test_several_threads_may_wait_for_one_future(away: Client, zk_faults: FaultProxy) -> None:
    zk_faults.freeze("to_client")
    call = away.create_async("/n")
    waiting = [in_thread(lambda: call.result(PATIENCE)) for _ in range(8)]
    zk_faults.heal()
    assert [wait() for wait in waiting] == ["/n"] * 8


class Interrupts:
    """Ctrl-C for the main thread, sent by others; it raises only while `armed`, and once."""

    def __enter__(self) -> Interrupts:
        self.armed = False
        self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *exc: object) -> None:
        self.armed = False
        signal.signal(signal.SIGINT, self._before)

    def _handle(self, number: int, frame: object) -> None:
        if self.armed:
            self.armed = False
            raise KeyboardInterrupt

    def send(self) -> None:
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGINT)


def test_an_interrupted_call_leaves_the_client_usable(away: Client, zk_faults: FaultProxy) -> None:
    zk_faults.freeze("to_client")
    other = in_thread(lambda: away.get("/")[0])
    zk_faults.wait_for("get_data")
    background = Background()
    with Interrupts() as interrupts:
        background(lambda: (zk_faults.wait_for("create"), interrupts.send()))
        interrupts.armed = True
        with pytest.raises(KeyboardInterrupt):
            away.create("/n", b"sent")
    background.join()

    zk_faults.heal()

    assert other() == b""
    assert away.get("/n")[0] == b"sent"


def test_a_call_interrupted_before_it_was_sent_is_never_sent(away: Client, zk_faults: FaultProxy) -> None:
    states = States(away)
    zk_faults.refuse()
    zk_faults.cut()
    states.wait(SUSPENDED)
    with Interrupts() as interrupts:
        timer = threading.Timer(0.1, interrupts.send)
        timer.start()
        interrupts.armed = True
        with pytest.raises(KeyboardInterrupt):
            away.create("/n")
        timer.join()
    zk_faults.heal()
    assert away.exists("/n") is None


def test_replies_in_the_hands_of_an_interrupted_thread_are_not_waited_for_in_vain(
    zk: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    core_class = type(zk.handler.core)
    received = core_class.received
    lost: list[object] = []

    def interrupted(core: SessionCore, data: bytes, now: float) -> None:
        if lost or threading.current_thread() is not threading.main_thread():
            received(core, data, now)
            return
        assert core.connection is not None
        lost.extend(core.connection.receive(data))
        raise KeyboardInterrupt

    monkeypatch.setattr(core_class, "received", interrupted)
    number = 0
    reads, writes = [], []
    while not lost:
        number += 1
        reads = [zk.get_async("/") for _ in range(5)]
        writes = [zk.create_async(f"/n{number}-{turn}") for turn in range(5)]
        with suppress(KeyboardInterrupt):
            reads[0].result(PATIENCE)
    assert [call.result(PATIENCE)[0] for call in reads] == [b""] * 5
    for turn, call in enumerate(writes):
        error = call.exception(PATIENCE)
        there = zk.exists(f"/n{number}-{turn}") is not None
        outcome = Outcome.APPLIED if error is None else error.outcome
        assert outcome in (Outcome.UNKNOWN, Outcome.APPLIED if there else Outcome.NOT_APPLIED)


def test_interrupts_at_any_moment_leave_the_client_usable(zk: Client) -> None:
    stop = threading.Event()
    counts = Events()

    def others() -> None:
        number = 0
        while not stop.is_set():
            assert zk.get("/")[0] == b""
            number += 1
        counts(number)

    background = Background()
    background(others)
    background(others)
    interrupted = 0
    with Interrupts() as interrupts:
        for turn in range(60):
            sent = threading.Event()
            timer = threading.Timer(0.001 + turn * 0.0001, lambda sent=sent: (interrupts.send(), sent.set()))
            timer.start()
            try:
                interrupts.armed = True
                while not sent.is_set():
                    zk.get("/")
                interrupts.armed = False
            except KeyboardInterrupt:
                interrupted += 1
            timer.join()
            assert zk.get("/")[0] == b""
    stop.set()
    background.join()
    assert interrupted > 30
    assert all(count > 10 for count in counts.wait(2))
