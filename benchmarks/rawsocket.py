"""The workloads of the raw socket: what is possible, without a client.

Rule: requests are packed before the clock starts, and replies are only counted by their bytes. One thread; where a
client has 16 callers, it has 16 requests under way.
"""

from __future__ import annotations

import os
import socket
import time

import amounts
import wire
from firing import Firer
from measuring import Holding, Metrics, Span, check

GET_REPLY = 20 + 4 + len(wire.SMALL) + 68
EVENT_SIZE = 20 + 4 + 4 + 4 + len(wire.watched(0))


def run(workload: str, host: str, port: int, scale: float) -> Metrics:
    if workload == "W7":
        return sessions(host, port, scale)
    connection = wire.Wire(host, port)
    try:
        if workload == "W1":
            get = wire.frame(1, wire.GET, wire.watch_record(wire.SMALL_NODE))
            return repeated(connection, "get_", get, GET_REPLY, 500, amounts.gets(scale))
        if workload == "W2":
            return windowed_gets(connection, amounts.WINDOW, amounts.pipelined(scale))
        if workload == "W4":
            return windowed_gets(connection, amounts.CALLERS, amounts.operations("W4", scale))
        return {"W3": writes, "W5": large_replies, "W6": watches}[workload](connection, scale)
    finally:
        connection.close()


def repeated(connection: wire.Wire, prefix: str, request: bytes, reply_size: int, warm: int, count: int) -> Metrics:
    """One request after the other, each after the reply to the last."""
    buffer = bytearray(1 << 20)
    latencies: list[float] = []
    ping_pong(connection.socket, request, reply_size, warm, buffer, [])
    with Span() as span:
        ping_pong(connection.socket, request, reply_size, count, buffer, latencies)
    return span.metrics(count, prefix, latencies)


def ping_pong(
    connection: socket.socket, request: bytes, reply_size: int, count: int, buffer: bytearray, latencies: list[float]
) -> None:
    send, receive, clock, add = connection.sendall, connection.recv_into, time.perf_counter, latencies.append
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


def windowed_gets(connection: wire.Wire, window: int, count: int) -> Metrics:
    buffer = bytearray(1 << 20)
    get = wire.frame(1, wire.GET, wire.watch_record(wire.SMALL_NODE))
    connection.pump(get * 3 * amounts.WINDOW, len(get), GET_REPLY, window, buffer)
    frames = get * count
    with Span() as span:
        connection.pump(frames, len(get), GET_REPLY, window, buffer)
    return span.metrics(count, "get_")


def writes(connection: wire.Wire, scale: float) -> Metrics:
    buffer = bytearray(1 << 20)
    base, paths = scratch_paths(scale)
    connection.call(wire.CREATE, wire.create_record(base, b""))
    create = [wire.frame(1, wire.CREATE, wire.create_record(path, wire.SMALL)) for path in paths]
    delete = [wire.frame(1, wire.DELETE, wire.delete_record(path)) for path in paths]
    found: Metrics = {}
    for name, frames_of, reply_size in (("create_", create, 20 + 4 + len(paths[0])), ("delete_", delete, 20)):
        frames, size = b"".join(frames_of), len(frames_of[0])
        with Span() as span:
            connection.pump(frames, size, reply_size, amounts.WINDOW, buffer)
        found |= span.metrics(len(paths), name)
    connection.call(wire.DELETE, wire.delete_record(base))
    return found


def large_replies(connection: wire.Wire, scale: float) -> Metrics:
    children = wire.frame(1, wire.CHILDREN, wire.watch_record(wire.KIDS_NODE))
    big = wire.frame(1, wire.GET, wire.watch_record(wire.BIG_NODE))
    found = repeated(connection, "children_", children, 200_024, 5, amounts.listings(scale))
    return found | repeated(connection, "big_", big, 20 + 4 + len(wire.BIG) + 68, 5, amounts.big_gets(scale))


def watches(connection: wire.Wire, scale: float) -> Metrics:
    count = amounts.watches(scale)
    buffer = bytearray(1 << 20)
    gets = [wire.frame(1, wire.GET, wire.watch_record(wire.watched(number), True)) for number in range(count)]
    with Span() as registering:
        connection.pump(b"".join(gets), len(gets[0]), 20 + 4 + 1 + 68, amounts.WINDOW, buffer)
    with Firer(connection.host, connection.port, count) as firer:
        with Span() as firing:
            firer.fire()
            got, receive = 0, connection.socket.recv_into
            while got < count * EVENT_SIZE:
                size = receive(buffer)
                check(size > 0, "the server closed the connection")
                got += size
        firer.fired()
    check(got == count * EVENT_SIZE, f"{got} bytes of events, not {count} times {EVENT_SIZE}")
    found = registering.metrics(count, "register_") | firing.metrics(count, "fire_")
    return found | {"fire_ms": firing.wall * 1e3}


def sessions(host: str, port: int, scale: float) -> Metrics:
    for _ in range(5):
        wire.Wire(host, port).close()
    count = amounts.sessions(scale)
    with Span() as opening:
        for _ in range(count):
            wire.Wire(host, port).close()
    number = amounts.idle(scale)
    before = Holding.now()
    idle = [wire.Wire(host, port) for _ in range(number)]
    held = Holding.now()
    for connection in idle:
        connection.close()
    return opening.metrics(count, "session_") | held.each(before, number, "idle_")


def scratch_paths(scale: float) -> tuple[str, list[str]]:
    base = f"{wire.SCRATCH}/p{os.getpid():010d}"
    return base, [f"{base}/n{number:08d}" for number in range(amounts.writes(scale))]
