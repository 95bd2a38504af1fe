"""One workload of the recipes, of one peer in this process; prints one JSON line of its metrics.

    python recipe_workloads.py PEER HOST PORT WORKLOAD SCALE [--profile]

| R1 | one contender: acquire and release a lock that nobody else wants |
| R2 | 10 contenders (threads or tasks) on one client, each acquiring and releasing one lock 30 times |
| R3 | a queue: put 1,000 entries of 100 bytes, one after the other, then get them all |
| R4 | a tree cache of 10,000 nodes of 100 bytes: until it is whole; then, after an outage in which 10 nodes have
       changed, from the way being up again until it has seen them; and how many requests the server got each time.
       `ours-single` is ours with single watches, which only R4 tells apart |

Rule: only operations are inside a measured span; opening, warming up and checking results are not.
The raw socket sends in R1 what a lock cannot do without: a create, a listing, a delete; in R3 a create, and one
listing, then a get and a delete for each entry. It recovers from nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import struct
import time
from typing import Any

import wire
from measuring import Metrics, Span, check
from outage import Outage

TIMEOUT = 30.0
LOCK, QUEUE = wire.ROOT + "/lock", wire.ROOT + "/queue"
CYCLES, WARM, CONTENDERS, TURNS, ENTRIES = 1_000, 100, 10, 30, 1_000
WORKLOADS = ["R1", "R2", "R3", "R4"]
THREADS, TASKS, RAW = ["ours", "ours-single", "kazoo"], ["ours-asyncio", "aiozk"], "raw"
PEERS = [*THREADS, *TASKS, RAW]
# aiozk has no queue, and its cache none that can be waited for.
MISSING = {("aiozk", "R3"), ("aiozk", "R4"), ("raw", "R2"), ("raw", "R4")} | {
    ("ours-single", workload) for workload in ("R1", "R2", "R3")
}


def caching(peer: str, host: str, port: int, scale: float) -> Metrics:
    """R4 of a peer."""
    from recipe_cache import open_cache, plant, received, touch

    hosts = f"{host}:{port}"
    paths = plant(host, port, scale)
    with Outage(hosts) as way:
        before = received(host, port)
        with Span() as loading:
            cache = open_cache(peer, way.hosts, len(paths))
        loaded = received(host, port)
        way.down()
        changed = touch(host, port, paths)
        between = received(host, port)
        with Span() as resyncing:
            way.up()
            cache.wait_for(changed)
        after = received(host, port)
        cache.close()
    return {
        "load_ms": loading.wall * 1e3,
        "load_cpu_us": loading.cpu * 1e6,
        "load_requests": float(loaded - before),
        "resync_ms": resyncing.wall * 1e3,
        "resync_cpu_us": resyncing.cpu * 1e6,
        "resync_requests": float(after - between),
    }


def open_client(peer: str, hosts: str) -> Any:
    """A started client of a peer on threads."""
    if peer == "ours":
        from zk_client import Client

        client: Any = Client(hosts, timeout=TIMEOUT)
    else:
        from kazoo.client import KazooClient

        client = KazooClient(hosts, timeout=TIMEOUT)
    client.start()
    return client


def on_threads(peer: str, hosts: str, workload: str, scale: float) -> Metrics:
    """A workload of a peer on threads."""
    client = open_client(peer, hosts)
    if peer == "ours":
        from zk_recipes import Lock
    else:
        from kazoo.recipe.lock import Lock
    try:
        if workload == "R1":
            lock = Lock(client, LOCK)
            cycles(lock, WARM, [])
            count, latencies = max(1, int(CYCLES * scale)), list[float]()
            with Span() as span:
                cycles(lock, count, latencies)
            return span.metrics(count, "lock_", latencies)
        if workload == "R2":
            from peers import Peer

            turns = max(1, int(TURNS * scale))
            cycles(Lock(client, LOCK), WARM, [])
            with Span() as span:
                Peer.run_together(lambda: cycles(Lock(client, LOCK), turns, []), CONTENDERS)
            return span.metrics(CONTENDERS * turns, "lock_")
        if peer == "ours":
            from zk_recipes import Queue
        else:
            from kazoo.recipe.queue import Queue
        queue = Queue(client, QUEUE)
        count = max(1, int(ENTRIES * scale))
        with Span() as putting:
            for _ in range(count):
                queue.put(wire.SMALL)
        with Span() as getting:
            got = [queue.get() for _ in range(count)]
        check(got == [wire.SMALL] * count, "the queue gave something else than it was given")
        return putting.metrics(count, "put_") | getting.metrics(count, "get_")
    finally:
        client.stop()


def cycles(lock: Any, count: int, latencies: list[float]) -> None:
    clock = time.perf_counter
    for _ in range(count):
        start = clock()
        lock.acquire()
        lock.release()
        latencies.append(clock() - start)


async def in_tasks(peer: str, hosts: str, workload: str, scale: float) -> Metrics:
    """A workload of a peer on asyncio."""
    if peer == "ours-asyncio":
        from zk_client import AsyncClient
        from zk_recipes import AsyncLock

        client: Any = AsyncClient(hosts, timeout=TIMEOUT)
        make: Any = AsyncLock
    else:
        from aiozk import ZKClient

        client = ZKClient(hosts, session_timeout=TIMEOUT)

        def make(client: Any, path: str) -> Any:
            return client.recipes.Lock(path)

    await client.start()
    if peer == "aiozk":
        await client.ensure_path(LOCK)
    try:
        if workload == "R1":
            lock = make(client, LOCK)
            await awaited_cycles(lock, WARM, [])
            count, latencies = max(1, int(CYCLES * scale)), list[float]()
            with Span() as span:
                await awaited_cycles(lock, count, latencies)
            return span.metrics(count, "lock_", latencies)
        if workload == "R2":
            turns = max(1, int(TURNS * scale))
            await awaited_cycles(make(client, LOCK), WARM, [])
            with Span() as span:
                await asyncio.gather(*(awaited_cycles(make(client, LOCK), turns, []) for _ in range(CONTENDERS)))
            return span.metrics(CONTENDERS * turns, "lock_")
        from zk_recipes import AsyncQueue

        queue = AsyncQueue(client, QUEUE)
        count = max(1, int(ENTRIES * scale))
        with Span() as putting:
            for _ in range(count):
                await queue.put(wire.SMALL)
        with Span() as getting:
            got = [await queue.get() for _ in range(count)]
        check(got == [wire.SMALL] * count, "the queue gave something else than it was given")
        return putting.metrics(count, "put_") | getting.metrics(count, "get_")
    finally:
        await (client.stop() if peer == "ours-asyncio" else client.close())


async def awaited_cycles(lock: Any, count: int, latencies: list[float]) -> None:
    clock = time.perf_counter
    for _ in range(count):
        start = clock()
        await lock.acquire()
        await lock.release()
        latencies.append(clock() - start)


def by_hand(host: str, port: int, workload: str, scale: float) -> Metrics:
    """The requests alone, on a raw socket."""
    connection = wire.Wire(host, port)
    try:
        for path in (wire.ROOT, LOCK, QUEUE):
            connection.call(wire.CREATE, wire.create_record(path, b""))
        if workload == "R1":
            count, latencies = max(1, int(CYCLES * scale)), list[float]()
            one_by_hand(connection, WARM, [])
            with Span() as span:
                one_by_hand(connection, count, latencies)
            return span.metrics(count, "lock_", latencies)
        count = max(1, int(ENTRIES * scale))
        entry = sequential(f"{QUEUE}/entry-100-", wire.SMALL, ephemeral=False)
        with Span() as putting:
            names = [made(connection.call(wire.CREATE, entry)) for _ in range(count)]
        listing = wire.watch_record(QUEUE)
        with Span() as getting:
            connection.call(wire.CHILDREN, listing)
            for name in names:
                connection.call(wire.GET, wire.watch_record(name))
                connection.call(wire.DELETE, wire.delete_record(name))
        return putting.metrics(count, "put_") | getting.metrics(count, "get_")
    finally:
        connection.close()


def one_by_hand(connection: wire.Wire, count: int, latencies: list[float]) -> None:
    clock = time.perf_counter
    create = sequential(f"{LOCK}/{'0' * 32}__lock__", b"", ephemeral=True)
    listing = wire.watch_record(LOCK)
    for _ in range(count):
        start = clock()
        name = made(connection.call(wire.CREATE, create))
        connection.call(wire.CHILDREN, listing)
        connection.call(wire.DELETE, wire.delete_record(name))
        latencies.append(clock() - start)


def sequential(path: str, data: bytes, *, ephemeral: bool) -> bytes:
    return wire.create_record(path, data)[:-4] + struct.pack(">i", 3 if ephemeral else 2)


def made(reply: tuple[int, bytes]) -> str:
    """The path in the reply to a create."""
    error, record = reply
    check(error == 0, f"create failed with {error}")
    return record[4 : 4 + wire.INT.unpack_from(record)[0]].decode()


def run(peer: str, host: str, port: int, workload: str, scale: float) -> Metrics:
    if peer == RAW:
        return by_hand(host, port, workload, scale)
    if workload == "R4":
        return caching(peer, host, port, scale)
    hosts = f"{host}:{port}"
    if peer in TASKS:
        return asyncio.run(in_tasks(peer, hosts, workload, scale))
    return on_threads(peer, hosts, workload, scale)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("scale", type=float)
    parser.add_argument("--profile", action="store_true", help="cProfile of every thread on stderr (slows it)")
    options = parser.parse_args()
    arguments = (options.peer, options.host, options.port, options.workload, options.scale)
    if options.profile:
        from profiling import profiled

        print(json.dumps(profiled(lambda: run(*arguments))))
    else:
        print(json.dumps(run(*arguments)))


if __name__ == "__main__":
    main()
