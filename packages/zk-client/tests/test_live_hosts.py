"""Which server a client is connected to; hosts that refuse, that never answer, that are tried in turn."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise

import pytest
from conftest import MakeClient
from live import (
    BlackHole,
    Deaf,
    Events,
    States,
    flush,
    unused_address,
)

from zk_client import (
    Client,
    ConnectionLostError,
    NoNodeError,
    RetryPolicy,
    SessionState,
)
from zk_testing.faults import FaultProxy
from zk_testing.member import ZooKeeperServer

CONNECTED, SUSPENDED = SessionState.CONNECTED, SessionState.SUSPENDED


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
        flush(zk)
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
