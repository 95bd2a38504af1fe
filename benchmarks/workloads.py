"""One workload of one peer in this process; prints one JSON line of its metrics.

    python workloads.py PEER HOST PORT WORKLOAD SCALE [--core N] [--profile]

| W1 | one caller, synchronous get of 100 bytes |
| W2 | get_async, a sliding window of 1,000 handles, the oldest awaited first |
| W3 | 20,000 creates of 100 bytes, then their deletes, window 1,000 |
| W4 | 16 threads, synchronous gets on one client |
| W5 | get_children of 10,000 names; get of 900,000 bytes |

Rule: only operations are inside a measured span; opening, warming up and checking results are not. CPU is user plus
system time of this whole process, so a client's own threads count. The raw socket (peer `raw`) packs its requests
before the span and decodes nothing; its W4 is one thread with a window of 16.
Latency of pipelined work (W2, W3) is from the call to the awaited result, of every 64th operation.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import wire
from peers import PEERS, RAW, Peer, open_peer

WORKLOADS = ["W1", "W2", "W3", "W4", "W5"]
# Operations at scale 1: per workload and part.
GETS, PIPELINED, WRITES, PER_THREAD, LISTINGS, BIG_GETS = 5_000, 30_000, 20_000, 1_000, 60, 100
THREADS, WINDOW, SAMPLE = 16, 1_000, 64

Metrics = dict[str, float]


class Span:
    """Wall and CPU seconds, and context switches, of what runs inside it."""

    def __enter__(self) -> Span:
        gc.collect()
        self._before = resource.getrusage(resource.RUSAGE_SELF)
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall = time.perf_counter() - self._start
        after, before = resource.getrusage(resource.RUSAGE_SELF), self._before
        self.cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        self.switches = after.ru_nvcsw - before.ru_nvcsw + after.ru_nivcsw - before.ru_nivcsw

    def metrics(self, count: int, prefix: str = "", latencies: Sequence[float] = ()) -> Metrics:
        found = {
            "ops_s": count / self.wall,
            "cpu_us": self.cpu / count * 1e6,
            "switches": self.switches / count,
        }
        if latencies:
            ordered = sorted(latencies)
            found["p50_us"] = ordered[len(ordered) // 2] * 1e6
            found["p99_us"] = ordered[int(len(ordered) * 0.99)] * 1e6
        return {prefix + name: value for name, value in found.items()}


# A client's workloads


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
        if number >= WINDOW:
            wait(pop())
            if not (number - WINDOW) % SAMPLE:
                latencies.append(clock() - starts.popleft())
        if not number % SAMPLE:
            starts.append(clock())
        push(submit(item))
    while open_handles:
        wait(pop())
    return latencies


def synchronous_gets(peer: Peer, scale: float) -> Metrics:
    count = operations("W1", scale)
    latencies: list[float] = []
    repeat(peer.get, wire.SMALL_NODE, 500, [])
    with Span() as span:
        result = repeat(peer.get, wire.SMALL_NODE, count, latencies)
    check(result[0] == wire.SMALL, "get returned other data")
    return span.metrics(count, "get_", latencies)


def pipelined_gets(peer: Peer, scale: float) -> Metrics:
    count = operations("W2", scale)
    pipeline(peer.get_async, peer.wait, [wire.SMALL_NODE] * 3 * WINDOW)
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


def threaded_gets(peer: Peer, scale: float) -> Metrics:
    per_thread = max(1, int(PER_THREAD * scale))
    run_threads(lambda: repeat(peer.get, wire.SMALL_NODE, 50, []))
    latencies: list[list[float]] = []

    def body() -> None:
        mine: list[float] = []
        latencies.append(mine)
        repeat(peer.get, wire.SMALL_NODE, per_thread, mine)

    with Span() as span:
        run_threads(body)
    every = [latency for mine in latencies for latency in mine]
    check(len(every) == THREADS * per_thread, "a thread failed")
    return span.metrics(len(every), "get_", every)


def large_replies(peer: Peer, scale: float) -> Metrics:
    found: Metrics = {}
    for name, call, path, full in (
        ("children_", peer.children, wire.KIDS_NODE, LISTINGS),
        ("big_", peer.get, wire.BIG_NODE, BIG_GETS),
    ):
        count = max(3, int(full * scale))
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


CLIENT_WORKLOADS = {
    "W1": synchronous_gets,
    "W2": pipelined_gets,
    "W3": writes,
    "W4": threaded_gets,
    "W5": large_replies,
}


# The raw socket's workloads


def raw(workload: str, host: str, port: int, scale: float) -> Metrics:
    socket = wire.Wire(host, port)
    buffer = bytearray(1 << 20)
    found: Metrics = {}
    get = wire.frame(1, wire.GET, wire.watch_record(wire.SMALL_NODE))
    get_reply = 20 + 4 + len(wire.SMALL) + 68
    if workload in ("W1", "W5"):
        parts = {
            "W1": [("get_", get, get_reply, 500, max(1, int(GETS * scale)))],
            "W5": [
                ("children_", wire.frame(1, wire.CHILDREN, wire.watch_record(wire.KIDS_NODE)), 200_024, 5,
                 max(3, int(LISTINGS * scale))),
                ("big_", wire.frame(1, wire.GET, wire.watch_record(wire.BIG_NODE)), 20 + 4 + len(wire.BIG) + 68, 5,
                 max(3, int(BIG_GETS * scale))),
            ],
        }[workload]  # fmt: skip
        for name, request, reply_size, warm, count in parts:
            latencies: list[float] = []
            ping_pong(socket, request, reply_size, warm, buffer, [])
            with Span() as span:
                ping_pong(socket, request, reply_size, count, buffer, latencies)
            found |= span.metrics(count, name, latencies)
    elif workload in ("W2", "W4"):
        window, count = WINDOW if workload == "W2" else THREADS, operations(workload, scale)
        socket.pump(get * 3 * WINDOW, len(get), get_reply, window, buffer)
        frames = get * count
        with Span() as span:
            socket.pump(frames, len(get), get_reply, window, buffer)
        found = span.metrics(count, "get_")
    else:
        base, paths = scratch_paths(scale)
        socket.call(wire.CREATE, wire.create_record(base, b""))
        create = [wire.frame(1, wire.CREATE, wire.create_record(path, wire.SMALL)) for path in paths]
        delete = [wire.frame(1, wire.DELETE, wire.delete_record(path)) for path in paths]
        for name, frames_of, reply_size in (
            ("create_", create, 20 + 4 + len(paths[0])),
            ("delete_", delete, 20),
        ):
            frames, size = b"".join(frames_of), len(frames_of[0])
            with Span() as span:
                socket.pump(frames, size, reply_size, WINDOW, buffer)
            found |= span.metrics(len(paths), name)
        socket.call(wire.DELETE, wire.delete_record(base))
    socket.close()
    return found


def ping_pong(
    peer: wire.Wire, request: bytes, reply_size: int, count: int, buffer: bytearray, latencies: list[float]
) -> None:
    send, receive, clock, add = peer.socket.sendall, peer.socket.recv_into, time.perf_counter, latencies.append
    for _ in range(count):
        start = clock()
        send(request)
        got = receive(buffer)
        while got < reply_size:
            more = receive(buffer)
            if not more:
                raise EOFError("the server closed the connection")
            got += more
        add(clock() - start)


# Helpers


def scratch_paths(scale: float) -> tuple[str, list[str]]:
    base = f"{wire.SCRATCH}/p{os.getpid():010d}"
    return base, [f"{base}/n{number:08d}" for number in range(max(2 * WINDOW, int(WRITES * scale)))]


def run_threads(body: Callable[[], Any]) -> None:
    threads = [threading.Thread(target=body) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise SystemExit(f"wrong result: {otherwise}")


def operations(workload: str, scale: float) -> int:
    """How many operations a run of this scale measures, for dividing counts such as system calls."""
    return {
        "W1": max(1, int(GETS * scale)),
        "W2": max(2 * WINDOW, int(PIPELINED * scale)),
        "W3": 2 * max(2 * WINDOW, int(WRITES * scale)),
        "W4": THREADS * max(1, int(PER_THREAD * scale)),
        "W5": max(3, int(LISTINGS * scale)) + max(3, int(BIG_GETS * scale)),
    }[workload]


def run(peer: str, host: str, port: int, workload: str, scale: float) -> Metrics:
    if peer == RAW:
        return raw(workload, host, port, scale)
    client = open_peer(peer, host, port)
    try:
        return CLIENT_WORKLOADS[workload](client, scale)
    finally:
        client.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("scale", type=float)
    parser.add_argument("--core", type=int, help="confine this process to one core")
    parser.add_argument("--profile", action="store_true", help="cProfile of every thread on stderr (slows it)")
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    arguments = (options.peer, options.host, options.port, options.workload, options.scale)
    if options.profile:
        from profiling import profiled

        print(json.dumps(profiled(lambda: run(*arguments))), file=sys.stdout)
    else:
        print(json.dumps(run(*arguments)))


if __name__ == "__main__":
    main()
