"""Fixtures of the tests on real ZooKeeper: clients that are stopped, and leave no thread behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from zk_client import Client
    from zk_testing.member import ZooKeeperServer


@pytest.fixture
def make_client(zk_server: ZooKeeperServer, zk_chroot: str) -> Iterator[Callable[..., Client]]:
    """Start a client below a fresh node: of the server, or of the proxy whose hosts are given."""
    from zk_client import Client

    made: list[Client] = []

    def make(hosts: str | None = None, timeout: float = 6.0) -> Client:
        client = Client((hosts or zk_server.hosts) + zk_chroot, timeout)
        made.append(client)
        client.start()
        return client

    yield make
    for client in made:
        client.stop()
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("zk-client")]
    assert left == []
