"""The workloads of clients whose calls block, on threads or on greenlets.

Rule: as `workloads` says: only operations are inside a measured span.
"""

from __future__ import annotations

import time
import tracemalloc
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import amounts
import wire
from firing import Firer
from measuring import Holding, Metrics, Span, check
from peers import BLOCKING, TIMEOUT, Peer
from rawsocket import scratch_paths

Opening = Callable[[float], Peer]


def run(peer: str, workload: str, host: str, port: int, scale: float) -> Metrics:
    opening = partial(BLOCKING[peer], host, port)
    if workload == "W7":
        return sessions(opening, scale)
    client = opening(TIMEOUT)
    try:
        if workload == "W6":
            return watches(client, host, port, scale)
        return ON_ONE_CLIENT[workload](client, scale)
    finally:
        client.close()


def repeat(call: Callable[[str], Any], path: str, count: int, latencies: list[float]) -> Any:
    add, clock = latencies.append, time.perf_counter
    result = None
    for _ in range(count):
        start = clock()
        result = call(path)
        add(clock() - start)
    return result


def pipeline(submit: Callable[[Any], Any], wait: Callable[[Any], Any], items: Sequence[Any]) -> list[float]:
    """Submit every item with at most WINDOW handles open, awaiting the oldest; returns sampled latencies."""
    latencies: list[float] = []
    open_handles: deque[Any] = deque()
    starts: deque[float] = deque()
    push, pop, clock = open_handles.append, open_handles.popleft, time.perf_counter
    for number, item in enumerate(items):
        if number >= amounts.WINDOW:
            wait(pop())
            if not (number - amounts.WINDOW) % amounts.SAMPLE:
                latencies.append(clock() - starts.popleft())
        if not number % amounts.SAMPLE:
            starts.append(clock())
        push(submit(item))
    while open_handles:
        wait(pop())
    return latencies


def lone_gets(peer: Peer, scale: float) -> Metrics:
    count = amounts.gets(scale)
    latencies: list[float] = []
    repeat(peer.get, wire.SMALL_NODE, 500, [])
    with Span() as span:
        result = repeat(peer.get, wire.SMALL_NODE, count, latencies)
    check(result[0] == wire.SMALL, "get returned other data")
    return span.metrics(count, "get_", latencies)


def pipelined_gets(peer: Peer, scale: float) -> Metrics:
    count = amounts.pipelined(scale)
    pipeline(peer.get_async, peer.wait, [wire.SMALL_NODE] * 3 * amounts.WINDOW)
    with Span() as span:
        latencies = pipeline(peer.get_async, peer.wait, [wire.SMALL_NODE] * count)
    check(peer.wait(peer.get_async(wire.SMALL_NODE))[0] == wire.SMALL, "get_async returned other data")
    return span.metrics(count, "get_", latencies)


def writes(peer: Peer, scale: float) -> Metrics:
    base, paths = scratch_paths(scale)
    peer.wait(peer.create_async(base, b""))
    create, create_async = wire.SMALL, peer.create_async
    with Span() as creating:
        created = pipeline(lambda path: create_async(path, create), peer.wait, paths)
    with Span() as deleting:
        deleted = pipeline(peer.delete_async, peer.wait, paths)
    check(not peer.children(base), "nodes were left behind")
    peer.wait(peer.delete_async(base))
    return creating.metrics(len(paths), "create_", created) | deleting.metrics(len(paths), "delete_", deleted)


def shared_gets(peer: Peer, scale: float) -> Metrics:
    each = amounts.per_caller(scale)
    peer.run_together(lambda: repeat(peer.get, wire.SMALL_NODE, 50, []), amounts.CALLERS)
    latencies: list[list[float]] = []

    def body() -> None:
        mine: list[float] = []
        latencies.append(mine)
        repeat(peer.get, wire.SMALL_NODE, each, mine)

    with Span() as span:
        peer.run_together(body, amounts.CALLERS)
    every = [latency for mine in latencies for latency in mine]
    check(len(every) == amounts.CALLERS * each, "a caller failed")
    return span.metrics(len(every), "get_", every)


def large_replies(peer: Peer, scale: float) -> Metrics:
    found: Metrics = {}
    for name, call, path, count in (
        ("children_", peer.children, wire.KIDS_NODE, amounts.listings(scale)),
        ("big_", peer.get, wire.BIG_NODE, amounts.big_gets(scale)),
    ):
        latencies: list[float] = []
        repeat(call, path, 5, [])
        with Span() as span:
            result = repeat(call, path, count, latencies)
        found |= span.metrics(count, name, latencies)
        if name == "children_":
            check(sorted(result) == [wire.kid(i) for i in range(wire.KIDS)], "get_children returned other names")
        else:
            check(result[0] == wire.BIG, "get returned other data")
    return found


def watches(peer: Peer, host: str, port: int, scale: float) -> Metrics:
    count = amounts.watches(scale)
    seen: list[Any] = []
    everyone_told = peer.event()

    def told(event: Any) -> None:
        seen.append(event)
        if len(seen) == count:
            everyone_told.set()

    paths = [wire.watched(number) for number in range(count)]
    with Span() as registering:
        pipeline(lambda path: peer.watch_async(path, told), peer.wait, paths)
    with Firer(host, port, count) as firer:
        with Span() as firing:
            firer.fire()
            everyone_told.wait(amounts.LONGEST_FIRE)
        firer.fired()
    check({event.path for event in seen} == set(paths), f"{len(seen)} of {count} watches fired")
    found = registering.metrics(count, "register_") | firing.metrics(count, "fire_")
    return found | {"fire_ms": firing.wall * 1e3}


def sessions(opening: Opening, scale: float) -> Metrics:
    for _ in range(5):
        opening(TIMEOUT).close()
    count = amounts.sessions(scale)
    with Span() as span:
        for _ in range(count):
            opening(TIMEOUT).close()
    found = span.metrics(count, "session_")

    number = amounts.idle(scale)
    before = Holding.now()
    clients = [opening(amounts.IDLE_TIMEOUT) for _ in range(number)]
    pause = clients[0].rest
    pause(2.0)  # threads that serve only the start have left
    found |= Holding.now().each(before, number, "idle_")
    with Span() as span:
        pause(amounts.rest(scale))
    found["idle_cpu_us_s"] = span.cpu / number / span.wall * 1e6
    for client in clients:
        client.close()

    tracemalloc.start()
    traced = tracemalloc.get_traced_memory()[0]
    closing = [opening(TIMEOUT).close for _ in range(number)]  # which keeps the client, not its adapter
    pause(2.0)
    Holding.now()  # collects what is garbage
    found["idle_traced_kib"] = (tracemalloc.get_traced_memory()[0] - traced) / number / 1024
    tracemalloc.stop()
    for close in closing:
        close()
    return found


ON_ONE_CLIENT: dict[str, Callable[[Peer, float], Metrics]] = {
    "W1": lone_gets,
    "W2": pipelined_gets,
    "W3": writes,
    "W4": shared_gets,
    "W5": large_replies,
}
