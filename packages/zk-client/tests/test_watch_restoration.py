"""Twenty thousand watches after a lost connection: set again completely, soon, and in no more bytes than needed."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from conftest import MakeClient
from live import Events, States
from worlds import Threads

from zk_client import EventType, SessionState
from zk_testing import EmbeddedServer
from zk_testing.faults import FaultProxy

COUNT = 20_000
PART = 128 * 1024


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    with EmbeddedServer() as server, FaultProxy(server) as proxy:
        yield proxy


@pytest.mark.slow
def test_twenty_thousand_watches_are_set_again_in_time_and_in_few_bytes(
    world: Threads, make_client: MakeClient, proxy: FaultProxy
) -> None:
    zk = make_client(proxy.hosts, 30.0)
    names = [f"/watched-node-{number:05}" for number in range(COUNT)]
    seen = Events()
    for begin in range(0, COUNT, 1000):
        calls = [zk.operations.exists(name, seen) for name in names[begin : begin + 1000]]
        world.submit_all(zk, calls)
        zk.exists("/")  # answered behind them
        assert all(call.done for call in calls)
    states = States(zk)
    mark = proxy.mark()

    proxy.cut()

    lost = states.wait(SessionState.SUSPENDED)
    states.wait(SessionState.CONNECTED)
    zk.exists("/")  # answered behind the watches
    back = time.monotonic() - lost
    created = [names[0], names[COUNT // 2], names[-1]]
    for name in created:
        zk.create(name)
    assert [(event.type, event.path) for event in seen.wait(3)] == [(EventType.CREATED, name) for name in created]
    sent = [p.size for p in proxy.record if p.number > mark and p.kind == "set_watches" and p.direction == "to_server"]
    needed = sum(4 + len(name) for name in names)
    assert max(sent) <= PART
    assert len(sent) == -(-needed // PART)
    assert needed < sum(sent) < needed + 64 * len(sent)
    assert back < 3.0, f"{COUNT} watches took {back:.1f} s"
