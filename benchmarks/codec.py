"""The codec alone, without a network: zk_wire against kazoo's own serialization module, in the same run.

    python codec.py [--rounds N] [--quick]

| encode get | a path in, a whole frame out (length, xid, opcode, record) |
| decode get | one reply frame in; header, data of 100 bytes and Stat out |
| 10,000 children of one length | one reply frame in, a list of str out (sequence nodes) |
| 10,000 children of differing lengths | the same for names of two to seven characters |
| receive a get | ClientConnection.receive of 300 replies at once, per reply, with all its checks (no counterpart) |

Rule: both sides start from the same values and bytes and must give equal results, checked before the clock starts.
The rounds of both are interleaved, garbage collection is off inside a round, and the best round counts: everything
that disturbs a round of pure computing makes it slower, never faster.
Prints a table, the goals with their outcome, and one JSON line. Exit status 0 whatever is reached.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import statistics
import struct
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

PATH, XID, ZXID = "/bench/small", 1000, 77_000
REPLY = struct.Struct(">iiqi")  # length, xid, zxid, error
STAT = struct.pack(">qqqqiiiqiiq", 5, 6, 1_700_000_000_000, 1_700_000_000_000, 0, 0, 0, 0, 100, 0, 5)
BATCH = 300

GOALS = {  # our time as a fraction of kazoo's, at most
    "encode get": 0.25,
    "decode get": 0.6,
    "10,000 children of one length": 0.35,
    "10,000 children of differing lengths": 0.65,
}


class Side(NamedTuple):
    """One library's way to do each thing; decoders take a whole frame."""

    encode_get: Callable[[], bytes]
    decode_get: Callable[[bytes], tuple[Any, Any]]
    decode_children: Callable[[bytes], list[str]]


def reply_frame(record: bytes, xid: int = XID) -> bytes:
    return REPLY.pack(16 + len(record), xid, ZXID, 0) + record


def names_record(names: list[str]) -> bytes:
    return struct.pack(">i", len(names)) + b"".join(struct.pack(">i", len(n)) + n.encode() for n in names)


GET_RECORD = struct.pack(">i", 100) + b"x" * 100 + STAT
ONE_LENGTH = [f"child-{i:010d}" for i in range(10_000)]
DIFFERING = [f"n{i * 7919 % 1_000_003}" for i in range(10_000)]


def ours() -> Side:
    from zk_wire import decode_children, decode_get_data, encode_get_data

    def decode_get(frame: bytes) -> tuple[Any, Any]:
        header = REPLY.unpack_from(frame)
        return header, decode_get_data(frame, 20, len(frame))

    def children(frame: bytes) -> list[str]:
        REPLY.unpack_from(frame)
        return decode_children(frame, 20, len(frame))

    return Side(lambda: encode_get_data(XID, PATH, False), decode_get, children)


def kazoo() -> Side:
    """As kazoo's ConnectionHandler calls its serialization: _submit for requests, _read_header and _read_response."""
    from kazoo.protocol.serialization import GetChildren, GetData, ReplyHeader, int_struct

    def encode_get() -> bytes:
        request = GetData(PATH, False)
        buffer = bytearray()
        buffer.extend(int_struct.pack(XID))
        buffer.extend(int_struct.pack(request.type))
        buffer += request.serialize()
        return bytes(int_struct.pack(len(buffer)) + buffer)

    def decode_get(frame: bytes) -> tuple[Any, Any]:
        header, offset = ReplyHeader.deserialize(frame, 4)
        return header, GetData.deserialize(frame, offset)

    def children(frame: bytes) -> list[str]:
        _, offset = ReplyHeader.deserialize(frame, 4)
        names: list[str] = GetChildren.deserialize(frame, offset)
        return names

    return Side(encode_get, decode_get, children)


def receive_batch() -> Callable[[], float]:
    """Returns a round: seconds per reply of receiving BATCH get replies in one piece."""
    from zk_wire import (
        ClientConnection,
        ConnectRequest,
        ConnectResponse,
        Exchange,
        ServerConnection,
        decode_get_data,
        encode_ustring,
        get_data_payload,
    )

    payload = get_data_payload(encode_ustring(PATH), False)
    server = ServerConnection()
    hello = server.accept(ConnectResponse(timeout_ms=10_000, session_id=1, password=bytes(16), read_only=False))

    def one_round() -> float:
        connection = ClientConnection()
        connection.connect(ConnectRequest(timeout_ms=10_000))
        connection.receive(hello)
        exchanges = [Exchange(payload, decode_get_data) for _ in range(BATCH)]
        for exchange in exchanges:
            connection.send(exchange)
        data = b"".join(reply_frame(GET_RECORD, exchange.xid) for exchange in exchanges)
        start = time.perf_counter()
        events = connection.receive(data)
        elapsed = time.perf_counter() - start
        if len(events) != BATCH or exchanges[-1].reply is None:
            raise SystemExit("receive() did not complete every exchange")
        return elapsed / BATCH

    return one_round


def timed(call: Callable[[], object], count: int) -> Callable[[], float]:
    def one_round() -> float:
        repeat = range(count)
        start = time.perf_counter()
        for _ in repeat:
            call()
        return (time.perf_counter() - start) / count

    return one_round


def rows(quick: bool) -> dict[str, dict[str, Callable[[], float]]]:
    """Each row's rounds by library, after checking that both do the same work."""
    us, them = ours(), kazoo()
    get, one, differing = (reply_frame(r) for r in (GET_RECORD, names_record(ONE_LENGTH), names_record(DIFFERING)))
    for side in (us, them):
        assert side.encode_get() == struct.pack(">iiii", 13 + len(PATH), XID, 4, len(PATH)) + PATH.encode() + b"\0"
        _, (data, stat) = side.decode_get(get)
        assert data == b"x" * 100 and tuple(stat) == struct.unpack(">qqqqiiiqiiq", STAT)
        assert side.decode_children(one) == ONE_LENGTH and side.decode_children(differing) == DIFFERING
    small, large = (2_000, 3) if quick else (10_000, 10)
    table: dict[str, dict[str, Callable[[], float]]] = {name: {} for name in GOALS}
    for library, side in (("zk_wire", us), ("kazoo", them)):
        table["encode get"][library] = timed(side.encode_get, small)
        table["decode get"][library] = timed(lambda side=side: side.decode_get(get), small)  # type: ignore[misc]
        table["10,000 children of one length"][library] = timed(lambda side=side: side.decode_children(one), large)  # type: ignore[misc]
        table["10,000 children of differing lengths"][library] = timed(
            lambda side=side: side.decode_children(differing),  # type: ignore[misc]
            large,
        )
    table["receive a get"] = {"zk_wire": receive_batch()}
    return table


def measure(rounds: int, quick: bool) -> dict[str, dict[str, list[float]]]:
    table = rows(quick)
    times: dict[str, dict[str, list[float]]] = {name: {library: [] for library in row} for name, row in table.items()}
    for _ in range(rounds):
        for name, row in table.items():
            for library, one_round in row.items():
                gc.collect()
                gc.disable()
                try:
                    times[name][library].append(one_round())
                finally:
                    gc.enable()
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="5 short rounds")
    options, _ = parser.parse_known_args()  # the others are client.py's: see there
    rounds = 5 if options.quick else max(1, options.rounds)
    times = measure(rounds, options.quick)

    print(f"Codec, best of {rounds} interleaved rounds, Python {platform.python_version()}; ns per operation\n")
    print(f"{'':38}{'zk_wire':>12}{'kazoo':>12}{'ratio':>8}{'goal':>8}  {'':8}{'spread':>7}")
    found: dict[str, dict[str, float | bool | None]] = {}
    for name, row in times.items():
        best = {library: min(values) * 1e9 for library, values in row.items()}
        ratio = best["zk_wire"] / best["kazoo"] if "kazoo" in best else None
        goal = GOALS.get(name)
        reached = ratio <= goal if ratio is not None and goal is not None else None
        spread = statistics.median(row["zk_wire"]) / min(row["zk_wire"]) - 1
        found[name] = {**best, "ratio": ratio, "goal": goal, "reached": reached, "spread": spread}
        print(
            f"{name:38}{best['zk_wire']:12,.0f}"
            + (f"{best['kazoo']:12,.0f}{ratio:8.2f}{goal:8.2f}" if ratio is not None else f"{'–':>12}{'–':>8}{'–':>8}")
            + f"  {'' if reached is None else 'reached' if reached else 'MISSED':8}{spread:7.0%}"
        )
    print("\nspread: how far the median round of zk_wire lies above its best; large means a disturbed machine.\n")
    import kazoo.version

    versions = {"python": platform.python_version(), "kazoo": kazoo.version.__version__}
    print(json.dumps({"benchmark": "codec", "rounds": rounds, **versions, "ns": found}))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
