"""Recipes side by side: ours on threads and asyncio, kazoo's, aiozk's, and the bare requests, on a real server.

    python recipes.py [--quick] [--reps N] [--scale F] [--workloads R1,R2] [--peers ours,kazoo,raw]

Every (repetition, workload, peer) is a fresh process; within a repetition the peers follow each other directly and take
turns in who is first (`recipe_workloads.py` says what each does). Prints the table (each cell: median, then its ratio
to kazoo and to the bare requests), the goals with their outcome, and one JSON line. Exit status 1 when a run failed, 0
otherwise, whatever goals are reached.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import report
import wire
from choosing import names
from noise import Watch, machine, wait_for_quiet
from peers import NEEDS, missing
from realserver import NoRealServerError, RealServer
from recipe_workloads import MISSING, PEERS, WORKLOADS

PROGRAM = Path(__file__).with_name("recipe_workloads.py")
RUN_TIMEOUT = 300.0  # seconds for one workload of one peer
PARTS = {"R1": ["lock"], "R2": ["lock"], "R3": ["put", "get"], "R4": ["load", "resync"]}
SHOWN = ["ops_s", "cpu_us", "p50_us", "ms", "requests"]
MORE_IS_BETTER = {"ops_s"}

GOALS = [
    report.Goal("ours", "R1 free lock: rate against bare requests", "real", "R1", "lock_ops_s", "raw", "least", 0.55),
    report.Goal("ours", "R1 free lock: CPU against kazoo", "real", "R1", "lock_cpu_us", "kazoo", "most", 0.2),
    report.Goal(
        "ours-single",
        "R4 requests after an outage with 10 changes, of 10,000 nodes",
        "real",
        "R4",
        "resync_requests",
        None,
        "most",
        40,
    ),
    report.Goal("ours", "R2 ten contenders: rate against kazoo", "real", "R2", "lock_ops_s", "kazoo", "least", 2.5),
]


def one_run(peer: str, server: RealServer, workload: str, scale: float, repetition: int, quiet: float) -> report.Run:
    """One workload of one peer in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    wait_for_quiet(quiet, report.MOST_FOREIGN, server.pid)
    watch = Watch(server.pid)
    command = [sys.executable, str(PROGRAM), peer, server.host, str(server.port), workload, str(scale)]
    metrics: dict[str, float] = {}
    error = None
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=RUN_TIMEOUT, env=environment
        )
        if done.returncode == 0:
            metrics = json.loads(done.stdout)
        else:
            error = f"exit status {done.returncode}: {done.stderr.strip()[-300:]}"
    except subprocess.TimeoutExpired:
        error = f"not done after {RUN_TIMEOUT:.0f} s"
    noise = watch.stop()
    return report.Run("real", workload, peer, repetition, metrics, noise.foreign, noise.steal, error)


def measure(server: RealServer, options: argparse.Namespace, results: report.Results) -> None:
    """Run every workload and peer, `--reps` times."""
    connection = wire.Wire(server.host, server.port)
    connection.call(wire.CREATE, wire.create_record(wire.ROOT, b""))
    connection.close()
    for workload in ("R1", "R3"):  # a JVM compiles what it has run some thousand times
        one_run("raw", server, workload, 1.0, 0, 0.0)
    for repetition in range(options.reps):
        for workload in options.workloads:
            turn = repetition % len(options.peers)
            for peer in options.peers[turn:] + options.peers[:turn]:
                if (peer, workload) in MISSING:
                    continue
                run = one_run(peer, server, workload, options.scale, repetition, options.quiet_wait)
                results.runs.append(run)
                print(f"{repetition + 1}/{options.reps} {report.line(run)}", file=sys.stderr, flush=True)


def table(results: report.Results, peers: list[str]) -> str:
    """Medians by peer, each with its ratio to kazoo and to the bare requests."""
    rows = [["workload", "", *peers]]
    for workload, parts in PARTS.items():
        for metric in (f"{part}_{name}" for part in parts for name in SHOWN):
            cells = [cell(results, workload, peer, metric, peers) for peer in peers]
            if any(text != "–" for text in cells):
                arrow = "↑" if metric.endswith(tuple(MORE_IS_BETTER)) else "↓"
                rows.append([workload, f"{metric} {arrow}", *cells])
    return report.aligned(rows)


def cell(results: report.Results, workload: str, peer: str, metric: str, peers: list[str]) -> str:
    value = results.median("real", workload, peer, metric)
    if value is None:
        return "–"
    ratios = [
        "–" if ratio is None else f"{report.number(ratio)}x"
        for other in (report.BASE, report.FLOOR)
        if other != peer and other in peers
        for ratio in [results.ratio("real", workload, peer, other, metric)]
    ]
    return f"{report.number(value)} ({' / '.join(ratios)})" if ratios else report.number(value)


def verdicts(results: report.Results) -> list[dict[str, object]]:
    """Every goal with what was seen, and whether it was reached; None where it was not measured."""
    return [
        {"goal": goal.text, "bound": goal.bound, "seen": seen, "reached": reached, "disturbed": results.disturbed(goal)}
        for goal in GOALS
        for seen, reached in [results.reached(goal)]
    ]


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a fifth of the operations, 2 repetitions")
    parser.add_argument("--reps", type=int, help="repetitions (default 5)")
    parser.add_argument("--scale", type=float, help="operations as a fraction of the full workload (default 1)")
    parser.add_argument("--workloads", type=names(WORKLOADS), default=WORKLOADS)
    parser.add_argument("--peers", type=names(PEERS), default=PEERS)
    parser.add_argument("--zookeeper", default="3.9", help="version of the real server (default 3.9)")
    parser.add_argument("--quiet-wait", type=float, default=2.0, help="seconds to wait for a quiet machine, per run")
    options = parser.parse_args()
    options.reps = options.reps or (2 if options.quick else 5)
    options.scale = options.scale or (0.2 if options.quick else 1.0)
    lacking = {peer for peer in missing() if peer in NEEDS}
    options.left_out = [peer for peer in options.peers if peer in lacking]
    options.peers = [peer for peer in options.peers if peer not in lacking]
    return options


def main() -> int:
    options = parsed()
    results = report.Results()
    try:
        with RealServer(options.zookeeper) as server:
            version = server.version
            measure(server, options, results)
    except NoRealServerError as reason:
        print(f"no real server: {reason}", file=sys.stderr)
        return 1
    host = machine()
    print(f"\n{host['processor']}, {host['cores']} cores, {host['system']}; ZooKeeper {version}")
    print(f"{options.reps} repetitions, scale {options.scale}. Cells: median (ratio to kazoo / to bare requests).\n")
    print(table(results, options.peers) + "\n")
    outcomes = verdicts(results)
    for outcome in outcomes:
        reached = "not measured" if outcome["reached"] is None else "reached" if outcome["reached"] else "MISSED"
        disturbed = ", disturbed" if outcome["disturbed"] and outcome["reached"] is not None else ""
        seen = outcome["seen"]
        shown = report.number(seen) if isinstance(seen, float) else "–"
        print(f"{outcome['goal']}: bound {outcome['bound']}, seen {shown}: {reached}{disturbed}")
    for left_out in options.left_out:
        print(f"left out: {left_out}: {missing()[left_out]} is not installed")
    runs = [run._asdict() for run in results.runs]
    print(json.dumps({"benchmark": "recipes", "machine": host, "zookeeper": version, "runs": runs, "goals": outcomes}))
    return 1 if any(run.error for run in results.runs) else 0


if __name__ == "__main__":
    sys.exit(main())
