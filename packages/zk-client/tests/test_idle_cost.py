"""What an idle asyncio client holds: a few kilobytes of its own, and neither task nor thread."""

from __future__ import annotations

import asyncio
import gc
import threading
import tracemalloc
from collections.abc import Iterator

import pytest
from loops import others

from zk_client import AsyncClient
from zk_testing import EmbeddedServer

CLIENTS = 40
# What zk_client and zk_wire have allocated for each. The benchmarks tell exactly what a client costs beyond a bare
# connection (the goal is 4 KiB on CPython 3.11); this is to notice on any version when something large moves in.
MOST_KIB = 5.0
OURS = [tracemalloc.Filter(True, pattern) for pattern in ("*zk_client*", "*zk_wire*connection.py")]


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as server:
        yield server


async def opened(server: EmbeddedServer) -> AsyncClient:
    zk = AsyncClient(server.hosts, timeout=30.0)
    await zk.start()
    return zk


def test_an_idle_client_costs_a_few_kilobytes_and_neither_thread_nor_task(server: EmbeddedServer) -> None:
    async def main() -> float:
        await (await opened(server)).stop()
        threads = threading.active_count()
        gc.collect()
        tracemalloc.start()
        try:
            clients = [await opened(server) for _ in range(CLIENTS)]
            gc.collect()
            traces = tracemalloc.take_snapshot().filter_traces(OURS)
        finally:
            tracemalloc.stop()
        held = sum(trace.size for trace in traces.traces)
        assert others() == []
        assert threading.active_count() == threads
        for zk in clients:
            await zk.stop()
        return held / CLIENTS / 1024

    assert asyncio.run(main()) < MOST_KIB
