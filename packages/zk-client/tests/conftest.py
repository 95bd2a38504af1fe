"""Fixtures of the tests on running servers: embedded and real ones, as `--zk` says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from zk_client import Client
    from zk_testing.member import ZooKeeperServer

MakeClient = Callable[..., "Client"]


# What clients may be connected through; it has to outlive them, because closing a session takes a connection.
PROXIES = ("zk_faults", "mangler", "ipv6")


@pytest.fixture
def make_client(request: pytest.FixtureRequest) -> Iterator[MakeClient]:
    """Make (and start) clients that are stopped after the test, none of whose threads is left then."""
    for proxy in PROXIES:
        if proxy in request.fixturenames:
            request.getfixturevalue(proxy)

    from live import client_threads

    from zk_client import Client

    made: list[Client] = []

    def make(hosts: str, timeout: float = 6.0, *, start: bool = True, **options: Any) -> Client:
        client = Client(hosts, timeout, **options)
        made.append(client)
        if start:
            client.start()
        return client

    yield make
    for client in made:
        client.stop()
    assert client_threads() == []


@pytest.fixture
def zk(make_client: MakeClient, zk_server: ZooKeeperServer, zk_chroot: str) -> Client:
    """A started client on the session's standalone server, below a fresh node."""
    return make_client(zk_server.connection_string(zk_chroot))
