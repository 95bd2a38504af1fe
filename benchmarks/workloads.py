"""One workload of one peer in this process; prints one JSON line of its metrics.

    python workloads.py PEER HOST PORT WORKLOAD SCALE [--core N] [--profile]

| W1 | one caller, a get of 100 bytes after the other |
| W2 | gets begun at once, a sliding window of 1,000 handles, the oldest awaited first; the same with a task per get |
| W3 | 20,000 creates of 100 bytes, then their deletes, window 1,000 |
| W4 | 16 callers (threads, greenlets or tasks), gets on one client |
| W5 | get_children of 10,000 names; get of 900,000 bytes |
| W6 | 5,000 watches: set by gets, window 1,000; then another process fires all of them at once (real server only) |
| W7 | 200 sessions opened and closed; what 200 idle clients hold, and use while they ping |

Rule: only operations are inside a measured span; opening, warming up and checking results are not. What the peers of
one kind do is in `blocking`, `awaited` and `rawsocket`.
Latency of pipelined work (W2, W3) is from the call to the awaited result, of every 64th operation.
"""

from __future__ import annotations

import argparse
import json
import os

from amounts import WORKLOADS
from measuring import Metrics
from peers import AWAITED, PEERS, RAW


def run(peer: str, host: str, port: int, workload: str, scale: float) -> Metrics:
    if peer == RAW:
        import rawsocket

        return rawsocket.run(workload, host, port, scale)
    if peer in AWAITED:
        import awaited

        return awaited.run(peer, workload, host, port, scale)
    import blocking

    return blocking.run(peer, workload, host, port, scale)


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

        print(json.dumps(profiled(lambda: run(*arguments))))
    else:
        print(json.dumps(run(*arguments)))


if __name__ == "__main__":
    main()
