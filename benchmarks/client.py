"""Clients side by side in three worlds: zk_client and its peers, on a costless server and on a real one.

    python client.py [--quick] [--reps N] [--workloads W1,W2] [--peers ours,kazoo,raw] [--server null|real|both]

`nox -s bench -- ...` hands the same options to `codec.py`, which passes over those it does not know.

Every (repetition, server, workload, peer) is a fresh process; within a repetition the peers follow each other directly
and take turns in who is first, so that a ratio compares neighbours in time (`workloads.py` says what each does).
On the null server, W1 and W4 run with client and server confined to one core: with several, a ping-pong mostly
measures how long a halted virtual core takes to wake.

Prints the table (each cell: median, then its ratio to kazoo and to the raw socket), the goals with their outcome, the
machine's noise, and one JSON line. Exit status 1 when a run failed, 0 otherwise, whatever goals are reached.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version  # noqa: TID251 - a program, never vendored
from pathlib import Path
from typing import Protocol

import report
import syscalls
import wire
from amounts import WATCHES, WORKLOADS, operations
from choosing import names
from imports import ImportCost, import_costs
from noise import Watch, machine, wait_for_quiet
from nullserver import NoCompilerError, NullServer
from peers import LIBRARIES, PEERS, RAW, missing
from realserver import NoRealServerError, RealServer

ONE_CORE = ("W1", "W4")
WARMING = ("W2", "W3", "W5")
REAL_ONLY = ("W6",)  # the null server fires no watches
RUN_TIMEOUT = 180.0  # seconds for one workload of one peer


class Server(Protocol):
    kind: str
    host: str
    port: int
    pid: int
    version: str

    def pin(self, core: int | None) -> None: ...


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def command(peer: str, server: Server, workload: str, scale: float, core: int | None) -> list[str]:
    program = str(Path(__file__).with_name("workloads.py"))
    pinned = [] if core is None else ["--core", str(core)]
    return [sys.executable, program, peer, server.host, str(server.port), workload, str(scale), *pinned]


def one_run(
    peer: str, server: Server, workload: str, scale: float, core: int | None, repetition: int, quiet_wait: float = 0.0
) -> report.Run:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    wait_for_quiet(quiet_wait, report.MOST_FOREIGN, server.pid)
    watch = Watch(server.pid)
    metrics: dict[str, float] = {}
    error = None
    try:
        done = subprocess.run(
            command(peer, server, workload, scale, core),
            check=False,
            capture_output=True,
            text=True,
            timeout=RUN_TIMEOUT,
            env=environment,
        )
        if done.returncode == 0:
            metrics = json.loads(done.stdout)
        else:
            error = f"exit status {done.returncode}: {done.stderr.strip()[-300:]}"
    except subprocess.TimeoutExpired:
        error = f"not done after {RUN_TIMEOUT:.0f} s"
    noise = watch.stop()
    return report.Run(server.kind, workload, peer, repetition, metrics, noise.foreign, noise.steal, error)


@contextmanager
def one_core(server: Server, workload: str) -> Iterator[int | None]:
    """The core that client and server share in this workload, or None."""
    if server.kind != "null" or workload not in ONE_CORE or not hasattr(os, "sched_setaffinity"):
        yield None
        return
    core = max(os.sched_getaffinity(0))
    server.pin(core)
    try:
        yield core
    finally:
        server.pin(None)


def measure(server: Server, options: argparse.Namespace, results: report.Results) -> None:
    """Run every workload and peer against one server, `--reps` times."""
    wire.prepare(server.host, server.port, WATCHES if "W6" in options.workloads and server.kind == "real" else 0)
    workloads = [w for w in options.workloads if server.kind == "real" or w not in REAL_ONLY]
    if server.kind == "real":  # a JVM compiles what it has run some thousand times
        for workload in (w for w in WARMING if w in options.workloads or w == "W2"):
            one_run(RAW, server, workload, 1.0, None, 0)
    for repetition in range(options.reps):
        for workload in workloads:
            turn = repetition % len(options.peers)
            with one_core(server, workload) as core:
                for peer in options.peers[turn:] + options.peers[:turn]:
                    run = one_run(peer, server, workload, options.scale, core, repetition, options.quiet_wait)
                    results.runs.append(run)
                    say(f"{repetition + 1}/{options.reps} {report.line(run)}")


def trace(server: Server, options: argparse.Namespace, results: report.Results) -> dict[str, dict[str, float]]:
    """Count system calls per operation on the null server; returns them by name for the JSON line."""
    details: dict[str, dict[str, float]] = {}
    for workload in (w for w in options.workloads if w in syscalls.WORKLOADS):
        small, large = syscalls.SMALL_SCALE[workload], syscalls.LARGE_SCALE[workload]
        between = operations(workload, large) - operations(workload, small)
        with one_core(server, workload) as core:
            for peer in options.peers:
                few, many = (command(peer, server, workload, scale, core) for scale in (small, large))
                try:
                    found = syscalls.per_operation(few, many, between)
                except subprocess.CalledProcessError as failed:
                    say(f"system calls of {workload} {peer}: {failed.stderr.decode()[-300:]}")
                    continue
                results.system_calls[workload, peer] = found.total
                details[f"{workload} {peer}"] = found.by_name
                say(f"system calls {workload} {peer}: {found.total:.2f} per operation {found.by_name}")
    return details


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("zk-client", "zk-wire", "kazoo", "aiozk", "gevent", "uvloop"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a fifth of the operations, 2 repetitions")
    parser.add_argument("--reps", type=int, help="repetitions (default 5)")
    parser.add_argument("--scale", type=float, help="operations as a fraction of the full workload (default 1)")
    parser.add_argument("--workloads", type=names(WORKLOADS), default=WORKLOADS)
    parser.add_argument("--peers", type=names(PEERS), default=list(PEERS))
    parser.add_argument("--server", choices=["null", "real", "both"], default="both")
    parser.add_argument("--zookeeper", default="3.9", help="version of the real server (default 3.9)")
    parser.add_argument("--quiet-wait", type=float, default=2.0, help="seconds to wait for a quiet machine, per run")
    parser.add_argument("--no-syscalls", action="store_true", help="leave strace out")
    parser.add_argument("--no-import", action="store_true", help="leave the import times out")
    options = parser.parse_args()
    options.reps = options.reps or (2 if options.quick else 5)
    options.scale = options.scale or (0.2 if options.quick else 1.0)
    return options


def main() -> int:
    options = parsed()
    results = report.Results()
    traced: dict[str, dict[str, float]] = {}
    imports: dict[str, ImportCost] = {}
    servers: dict[str, str] = {}
    skipped: list[str] = []
    for peer, module in missing().items():
        if peer in options.peers:
            options.peers.remove(peer)
            skipped.append(f"{peer}: {module} is not installed")

    if not options.no_import:
        wanted = {peer: LIBRARIES[peer] for peer in options.peers if peer in LIBRARIES}
        if wanted:
            wait_for_quiet(options.quiet_wait, report.MOST_FOREIGN, None)
            watch = Watch(None)
            bare, imports = import_costs(list(wanted.values()))
            results.import_foreign = watch.stop().foreign
            results.import_ms = {peer: imports[module].wall_ms for peer, module in wanted.items()}
            results.import_cpu_ms = {peer: imports[module].cpu_ms for peer, module in wanted.items()}
            say(f"bare python {bare:.1f} ms, " + ", ".join(f"import {m} +{c.wall_ms:.1f}" for m, c in imports.items()))
    if options.server in ("null", "both"):
        try:
            with NullServer() as null_server:
                servers["null"] = null_server.version
                measure(null_server, options, results)
                if options.no_syscalls:
                    skipped.append("system calls: not asked for")
                elif not syscalls.available():
                    skipped.append("system calls: n/a (no strace here, or it may not trace)")
                else:
                    traced = trace(null_server, options, results)
        except NoCompilerError as reason:
            skipped.append(f"null server: {reason}")
    if options.server in ("real", "both"):
        try:
            with RealServer(options.zookeeper) as real_server:
                servers["real"] = real_server.version
                measure(real_server, options, results)
        except NoRealServerError as reason:
            skipped.append(f"real server: {reason}")

    host = machine()
    print(f"\n{host['processor']}, {host['cores']} cores, {host['system']}; {versions()}; servers: {servers}")
    print(f"{options.reps} repetitions, scale {options.scale}. Cells: median (ratio to kazoo / to the raw socket).\n")
    print(report.table(results, options.peers) + "\n")
    print(report.goals(results) + "\n")
    print(report.noise(results, options.peers))
    for left_out in skipped:
        print(f"left out: {left_out}")
    print()
    goals = {
        f"{goal.peer}: {goal.text}": {
            "bound": goal.bound,
            "seen": seen,
            "reached": reached,
            "disturbed": results.disturbed(goal),
        }
        for goal in report.GOALS
        for seen, reached in [results.reached(goal)]
    }
    everything = {
        "benchmark": "client",
        "machine": host,
        "versions": versions(),
        "servers": servers,
        "reps": options.reps,
        "scale": options.scale,
        "runs": [run._asdict() for run in results.runs],
        "system_calls": traced,
        "imports": {name: cost._asdict() for name, cost in imports.items()},
        "goals": goals,
        "left_out": skipped,
    }
    print(json.dumps(everything))
    return 1 if any(run.error for run in results.runs) else 0


if __name__ == "__main__":
    sys.exit(main())
