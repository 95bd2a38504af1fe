"""What observers cost: instructions per get without any, with one that does nothing, and with OpenTelemetry's.

    python observers.py [--quick]

Rule: instructions are counted, by `valgrind --tool=callgrind`, for runs of two sizes; the difference over the gets
between them is free of start-up, and of the machine's load. Without valgrind CPU time stands in for them.
A client without observers has a handler that knows nothing of them. That is checked too: not one call of a function in
`observing` or `observed*` per get, and neither module imported. OpenTelemetry runs with the SDK and no exporter, which
is what its spans and metrics cost by themselves.
Prints a table, the goal with its outcome, and one JSON line. Exit status 1 when a get without observers meets them.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import wire
from nullserver import NoCompilerError, NullServer
from report import aligned

CASES = {"threads": "get, one after the other", "pipelined": "get_async, 200 under way", "asyncio": "get, awaited"}
OBSERVERS = {"none": "without", "empty": "one that does nothing", "opentelemetry": "OpenTelemetry's"}
SMALL, LARGE, TIMES_FASTER = 50, 350, 100  # gets of a run; how many times more where nothing is traced
WINDOW = 200
TRIES = 3


# In the process that is measured


def observers(kind: str) -> list[Any]:
    if kind == "none":
        return []
    if kind == "empty":
        from zk_client import Observer

        return [Observer()]
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider

    from zk_client.opentelemetry import OpenTelemetryObserver

    return [OpenTelemetryObserver(tracer_provider=TracerProvider(), meter_provider=MeterProvider())]


def gets(case: str, hosts: str, kind: str, count: int) -> None:
    """Do so many gets, and print the CPU time they took."""
    if case == "asyncio":
        asyncio.run(awaited_gets(hosts, kind, count))
        return
    from zk_client import Client
    from zk_client.handlers import background

    background.GRACE = 60.0  # or how often the background thread looks in would depend on how slowly we are traced
    with Client(hosts, timeout=600.0, observers=observers(kind)) as client:
        if case == "threads":
            body = lambda n: [client.get(wire.SMALL_NODE) for _ in range(n)]  # noqa: E731
        else:
            body = lambda n: pipelined(client, n)  # noqa: E731
        body(50)
        measured(lambda: body(count))


def pipelined(client: Any, count: int) -> None:
    under_way: deque[Any] = deque()
    for number in range(count):
        if number >= WINDOW:
            under_way.popleft().result()
        under_way.append(client.get_async(wire.SMALL_NODE))
    for call in under_way:
        call.result()


async def awaited_gets(hosts: str, kind: str, count: int) -> None:
    from zk_client import AsyncClient

    async with AsyncClient(hosts, timeout=600.0, observers=observers(kind)) as client:
        for _ in range(50):
            await client.get(wire.SMALL_NODE)
        before = resource.getrusage(resource.RUSAGE_SELF)
        calls, end = counted()
        for _ in range(count):
            await client.get(wire.SMALL_NODE)
        end()
        told(before, calls)


def measured(body: Callable[[], Any]) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF)
    calls, end = counted()
    body()
    end()
    told(before, calls)


def counted() -> tuple[list[int], Callable[[], None]]:
    """Count the calls of functions that serve observers, if this process was asked to."""
    calls = [0]
    if "ZK_COUNT_CALLS" not in os.environ:
        return calls, lambda: None

    def look(frame: Any, event: str, argument: Any) -> None:
        if event == "call" and re.search(r"[/\\]zk_client[/\\].*(observ|opentelemetry)", frame.f_code.co_filename):
            calls[0] += 1

    threading.setprofile_all_threads(look) if sys.version_info >= (3, 12) else sys.setprofile(look)
    return calls, lambda: sys.setprofile(None)


def told(before: resource.struct_rusage, calls: list[int]) -> None:
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    modules = [name for name in sys.modules if name.startswith("zk_client.handlers.observ")]
    print(json.dumps({"cpu_s": cpu, "calls": calls[0], "modules": modules}))


# In the process that measures


def command(case: str, hosts: str, kind: str, count: int) -> list[str]:
    return [sys.executable, __file__, "--run", case, hosts, kind, str(count)]


def run(arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        arguments,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "0", **environment},
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}:\n{done.stderr[-800:]}")
    return done


def instructions(case: str, hosts: str, kind: str) -> float:
    """Instructions of one get."""
    counts = []
    for count in (SMALL, LARGE):
        callgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
        said = run([*callgrind, *command(case, hosts, kind, count)]).stderr
        found = re.search(r"Collected : (\d+)", said)
        if found is None:
            raise SystemExit(f"valgrind did not tell its count:\n{said[-800:]}")
        counts.append(int(found[1]))
    return (counts[1] - counts[0]) / (LARGE - SMALL)


def microseconds(case: str, hosts: str, kind: str) -> float:
    """CPU time of one get: the least of some runs, because whatever disturbs them adds to it."""
    count = LARGE * TIMES_FASTER
    runs = [json.loads(run(command(case, hosts, kind, count)).stdout)["cpu_s"] for _ in range(TRIES)]
    return min(runs) / count * 1e6


def main() -> int:
    if sys.argv[1:2] == ["--run"]:
        case, hosts, kind, count = sys.argv[2:]
        gets(case, hosts, kind, int(count))
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only gets one after the other, on threads")
    options, _ = parser.parse_known_args()  # what the other benchmarks are given is no concern of this one
    cases = {"threads": CASES["threads"]} if options.quick else CASES
    kinds = dict(OBSERVERS)
    if importlib.util.find_spec("opentelemetry.sdk") is None:
        del kinds["opentelemetry"]
        print("left out: opentelemetry-sdk is not installed")
    traced = shutil.which("valgrind") is not None
    unit, cost = ("instructions", instructions) if traced else ("CPU, us", microseconds)
    rows = [[f"{unit} per get", *kinds.values(), "calls of observers' code, without any"]]
    results: dict[str, dict[str, float]] = {}
    met = False
    try:
        with NullServer() as server:
            hosts = f"{server.host}:{server.port}"
            for case, title in cases.items():
                figures = results[case] = {kind: cost(case, hosts, kind) for kind in kinds}
                seen = json.loads(run(command(case, hosts, "none", SMALL), ZK_COUNT_CALLS="1").stdout)
                met = met or bool(seen["calls"] or seen["modules"])
                base = figures["none"]
                cells = [f"{figure:,.0f} ({figure / base:.2f}x)" if traced else f"{figure:.2f} ({figure / base:.2f}x)"
                         for figure in figures.values()]  # fmt: skip
                rows.append([f"{case}: {title}", *cells, str(seen["calls"])])
    except NoCompilerError as reason:
        print(f"left out: {reason}")
        return 0
    print(aligned(rows))
    outcome = "MISSED, their code is met" if met else "reached, nothing is added"
    print(f"\ngoal: less than 3 % without observers: {outcome}")
    print(json.dumps({"benchmark": "observers", "unit": unit, "per_get": results, "met": met}))
    return int(met)


if __name__ == "__main__":
    sys.exit(main())
