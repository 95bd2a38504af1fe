"""What the tests of zk_testing share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from toy import ToyServer

from zk_testing import _process
from zk_testing.cluster import live_clusters
from zk_testing.faults import FaultProxy
from zk_testing.rawclient import RawClient

pytest_plugins = ["pytester"]


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """After the test no cluster of its own lives, and nothing is announced to the reaper but what lives on purpose."""
    before = set(live_clusters())
    yield
    assert set(live_clusters()) == before
    expected = {f"f{cluster.folder}" for cluster in before}
    expected |= {f"p{member.pid}" for cluster in before for member in cluster.members if member.running}
    assert _process.watched() == expected


@pytest.fixture
def upstream() -> Iterator[ToyServer]:
    """A server that only speaks frames."""
    with ToyServer() as server:
        yield server


@pytest.fixture
def proxy(upstream: ToyServer) -> Iterator[FaultProxy]:
    """A fault proxy in front of it."""
    with FaultProxy(upstream) as proxy:
        yield proxy


@pytest.fixture
def raw(proxy: FaultProxy) -> Iterator[RawClient]:
    """A client through the proxy."""
    client = RawClient(proxy.address, reply_timeout=5.0)
    yield client
    client.close()
