"""The workloads of clients that are awaited.

Rule: as `workloads` says. `get` is awaited by itself, or by one task per call where the part is called `task`.
"""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import amounts
import wire
from async_peers import ASYNC, AsyncPeer, run_in_loop
from firing import Firer
from measuring import Holding, Metrics, Span, check
from peers import TIMEOUT
from rawsocket import scratch_paths

Opening = Callable[[float], Awaitable[AsyncPeer]]


def run(peer: str, workload: str, host: str, port: int, scale: float) -> Metrics:
    opening = partial(ASYNC[peer], host, port)

    async def main() -> Metrics:
        if workload == "W7":
            return await sessions(opening, host, port, scale)
        client = await opening(TIMEOUT)
        try:
            if workload == "W6":
                return await watches(client, host, port, scale)
            return await ON_ONE_CLIENT[workload](client, scale)
        finally:
            await client.close()

    found: Metrics = run_in_loop(peer, main)
    return found


async def repeat(call: Callable[[str], Awaitable[Any]], path: str, count: int, latencies: list[float]) -> Any:
    add, clock = latencies.append, time.perf_counter
    result = None
    for _ in range(count):
        start = clock()
        result = await call(path)
        add(clock() - start)
    return result


async def pipeline(submit: Callable[[Any], Awaitable[Any]], items: Sequence[Any]) -> list[float]:
    """Submit every item with at most WINDOW handles open, awaiting the oldest; returns sampled latencies."""
    latencies: list[float] = []
    open_handles: deque[Awaitable[Any]] = deque()
    starts: deque[float] = deque()
    push, pop, clock = open_handles.append, open_handles.popleft, time.perf_counter
    for number, item in enumerate(items):
        if number >= amounts.WINDOW:
            await pop()
            if not (number - amounts.WINDOW) % amounts.SAMPLE:
                latencies.append(clock() - starts.popleft())
        if not number % amounts.SAMPLE:
            starts.append(clock())
        push(submit(item))
    while open_handles:
        await pop()
    return latencies


async def lone_gets(peer: AsyncPeer, scale: float) -> Metrics:
    count = amounts.gets(scale)
    latencies: list[float] = []
    await repeat(peer.get, wire.SMALL_NODE, 500, [])
    with Span() as span:
        result = await repeat(peer.get, wire.SMALL_NODE, count, latencies)
    check(result[0] == wire.SMALL, "get returned other data")
    return span.metrics(count, "get_", latencies)


async def pipelined_gets(peer: AsyncPeer, scale: float) -> Metrics:
    count = amounts.pipelined(scale)
    found: Metrics = {}
    begin: Any = asyncio.ensure_future
    for part, submit in (("get_", peer.get_async), ("task_", lambda path: begin(peer.get(path)))):
        await pipeline(submit, [wire.SMALL_NODE] * 3 * amounts.WINDOW)
        with Span() as span:
            latencies = await pipeline(submit, [wire.SMALL_NODE] * count)
        found |= span.metrics(count, part, latencies)
    check((await peer.get_async(wire.SMALL_NODE))[0] == wire.SMALL, "get returned other data")
    return found


async def writes(peer: AsyncPeer, scale: float) -> Metrics:
    base, paths = scratch_paths(scale)
    await peer.create_async(base, b"")
    create, create_async = wire.SMALL, peer.create_async
    with Span() as creating:
        created = await pipeline(lambda path: create_async(path, create), paths)
    with Span() as deleting:
        deleted = await pipeline(peer.delete_async, paths)
    check(not await peer.children(base), "nodes were left behind")
    await peer.delete_async(base)
    return creating.metrics(len(paths), "create_", created) | deleting.metrics(len(paths), "delete_", deleted)


async def shared_gets(peer: AsyncPeer, scale: float) -> Metrics:
    each = amounts.per_caller(scale)

    async def callers(count: int) -> list[float]:
        latencies: list[list[float]] = [[] for _ in range(amounts.CALLERS)]
        await asyncio.gather(*(repeat(peer.get, wire.SMALL_NODE, count, mine) for mine in latencies))
        return [latency for mine in latencies for latency in mine]

    await callers(50)
    with Span() as span:
        every = await callers(each)
    check(len(every) == amounts.CALLERS * each, "a caller failed")
    return span.metrics(len(every), "get_", every)


async def large_replies(peer: AsyncPeer, scale: float) -> Metrics:
    found: Metrics = {}
    for name, call, path, count in (
        ("children_", peer.children, wire.KIDS_NODE, amounts.listings(scale)),
        ("big_", peer.get, wire.BIG_NODE, amounts.big_gets(scale)),
    ):
        latencies: list[float] = []
        await repeat(call, path, 5, [])
        with Span() as span:
            result = await repeat(call, path, count, latencies)
        found |= span.metrics(count, name, latencies)
        if name == "children_":
            check(sorted(result) == [wire.kid(i) for i in range(wire.KIDS)], "get_children returned other names")
        else:
            check(result[0] == wire.BIG, "get returned other data")
    return found


async def watches(peer: AsyncPeer, host: str, port: int, scale: float) -> Metrics:
    count = amounts.watches(scale)
    seen: list[Any] = []
    everyone_told = asyncio.Event()

    def told(event: Any) -> None:
        seen.append(event)
        if len(seen) == count:
            everyone_told.set()

    paths = [wire.watched(number) for number in range(count)]
    with Span() as registering:
        await pipeline(lambda path: peer.watch_async(path, told), paths)
    with Firer(host, port, count) as firer:
        with Span() as firing:
            firer.fire()
            async with asyncio.timeout(amounts.LONGEST_FIRE):
                await everyone_told.wait()
        firer.fired()
    check(len(seen) == count, f"{len(seen)} of {count} watches fired")
    found = registering.metrics(count, "register_") | firing.metrics(count, "fire_")
    return found | {"fire_ms": firing.wall * 1e3}


async def sessions(opening: Opening, host: str, port: int, scale: float) -> Metrics:
    for _ in range(5):
        await (await opening(TIMEOUT)).close()
    count = amounts.sessions(scale)
    with Span() as span:
        for _ in range(count):
            await (await opening(TIMEOUT)).close()
    found = span.metrics(count, "session_")

    number = amounts.idle(scale)
    before = Holding.now()
    clients = [await opening(amounts.IDLE_TIMEOUT) for _ in range(number)]
    await asyncio.sleep(0.5)
    found |= Holding.now().each(before, number, "idle_")
    with Span() as span:
        await asyncio.sleep(amounts.rest(scale))
    found["idle_cpu_us_s"] = span.cpu / number / span.wall * 1e6
    for client in clients:
        await client.close()

    # What the loop itself needs for a connection and its timer is nobody's merit, nor fault: it is measured beside.
    bare = [await bare_connection(host, port) for _ in range(5)]
    with Traced(number) as traced:
        bare += [await bare_connection(host, port) for _ in range(number)]
        await traced.settle()
    found["idle_bare_kib"] = traced.kib
    for connection in bare:
        connection.abort()
    await asyncio.sleep(0.1)
    bare.clear()
    with Traced(number) as traced:
        closing = [(await opening(TIMEOUT)).close for _ in range(number)]  # which keeps the client, not its adapter
        await traced.settle()
    found["idle_traced_kib"] = traced.kib
    found["idle_own_kib"] = found["idle_traced_kib"] - found["idle_bare_kib"]
    for close in closing:
        await close()
    return found


class Traced:
    """The memory that Python has handed out inside, per item and in KiB, after `settle`."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.kib = 0.0

    def __enter__(self) -> Traced:
        Holding.now()  # collects what is garbage
        tracemalloc.start()
        return self

    async def settle(self) -> None:
        await asyncio.sleep(0.5)
        Holding.now()
        self.kib = tracemalloc.get_traced_memory()[0] / self._count / 1024

    def __exit__(self, *_: object) -> None:
        tracemalloc.stop()


class Bare(asyncio.BufferedProtocol):
    """A connection that says hello and keeps the answer to itself."""

    __slots__ = ("answered",)
    room = memoryview(bytearray(65536))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.room

    def buffer_updated(self, nbytes: int) -> None:
        if not self.answered.done():
            self.answered.set_result(None)


async def bare_connection(host: str, port: int) -> asyncio.Transport:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_connection(Bare, host, port)
    protocol.answered = loop.create_future()
    transport.write(wire.connect_frame(30_000))
    await protocol.answered
    del protocol.answered
    loop.call_later(10.0, transport.get_write_buffer_size)  # every session has a time at which it must ping
    return transport


ON_ONE_CLIENT: dict[str, Callable[[AsyncPeer, float], Coroutine[Any, Any, Metrics]]] = {
    "W1": lone_gets,
    "W2": pipelined_gets,
    "W3": writes,
    "W4": shared_gets,
    "W5": large_replies,
}
