"""The table, the goals and the noise of a run of `client.py`.

Rule: a ratio is formed inside one repetition, between neighbours in time, and the median over repetitions is shown.
Runs that strangers disturbed (by their CPU use, never by their result) are set aside while enough others remain.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Literal, NamedTuple

BASE, FLOOR = "kazoo", "raw"
MOST_FOREIGN = 0.3  # cores; runs above it are set aside ...
LEAST_RUNS = 3  # ... while this many remain

# What each workload shows: its parts, each with these metrics (what it is called, whether more is better).
PARTS = {
    "W1": ["get"],
    "W2": ["get", "task"],
    "W3": ["create", "delete"],
    "W4": ["get"],
    "W5": ["children", "big"],
    "W6": ["register", "fire"],
    "W7": ["session", "idle"],
}
METRICS = {
    "ops_s": ("ops, /s", True),
    "ms": ("all, ms", False),
    "cpu_us": ("cpu, us", False),
    "p50_us": ("p50, us", False),
    "p99_us": ("p99, us", False),
    "threads": ("threads each", False),
    "fds": ("descriptors each", False),
    "rss_kib": ("resident KiB each", False),
    "traced_kib": ("Python's KiB each", False),
    "own_kib": ("KiB each beyond a bare connection", False),
    "cpu_us_s": ("cpu each, us/s", False),
}


class Run(NamedTuple):
    """One workload of one peer in one process. metrics is empty where it failed, and `error` says why."""

    server: str
    workload: str
    peer: str
    repetition: int
    metrics: dict[str, float]
    foreign: float | None
    steal: float | None
    error: str | None = None


def line(run: Run) -> str:
    """A run in one line, for following the progress."""
    shown = ", ".join(f"{k} {number(v)}" for k, v in run.metrics.items() if k.endswith(("cpu_us", "ops_s")))
    return f"{run.server} {run.workload} {run.peer}: {run.error or shown}"


class Goal(NamedTuple):
    """A metric of one of ours against a bound: times another peer's, or (of None) an absolute number.

    kind: "most" (at most the bound) or "least" (at least it).
    """

    peer: str
    text: str
    server: str
    workload: str
    metric: str
    against: str | None
    kind: Literal["most", "least"]
    bound: float


GOALS = [
    Goal("ours", "W1 null, one core: p50 against kazoo", "null", "W1", "get_p50_us", "kazoo", "most", 0.25),
    Goal("ours", "W1 null, one core: p50 against the raw socket", "null", "W1", "get_p50_us", "raw", "most", 2.0),
    Goal("ours", "W1 system calls per synchronous get", "null", "W1", "syscalls", None, "most", 3.0),
    Goal("ours", "W1 real: CPU against kazoo", "real", "W1", "get_cpu_us", "kazoo", "most", 0.3),
    Goal("ours", "W2 null: CPU against kazoo", "null", "W2", "get_cpu_us", "kazoo", "most", 0.05),
    Goal("ours", "W2 null: gets per second", "null", "W2", "get_ops_s", None, "least", 150_000),
    Goal("ours", "W2 system calls per pipelined get", "null", "W2", "syscalls", None, "most", 0.2),
    Goal("ours", "W2 real: rate against the raw socket", "real", "W2", "get_ops_s", "raw", "least", 0.85),
    Goal("ours", "W2 real: CPU against kazoo", "real", "W2", "get_cpu_us", "kazoo", "most", 0.2),
    Goal("ours", "W4 null, one core: rate against kazoo", "null", "W4", "get_ops_s", "kazoo", "least", 5.0),
    Goal("ours", "W5 null: 10,000 children, CPU against kazoo", "null", "W5", "children_cpu_us", "kazoo", "most", 0.45),
    Goal("ours", "W5 real: 10,000 children, CPU against kazoo", "real", "W5", "children_cpu_us", "kazoo", "most", 0.45),
    Goal("ours", "W5 null: 900 KB get, CPU against the raw socket", "null", "W5", "big_cpu_us", "raw", "most", 2.5),
    Goal("ours", "W5 real: 900 KB get, CPU against the raw socket", "real", "W5", "big_cpu_us", "raw", "most", 2.5),
    Goal("ours", "import zk_client over bare Python, ms", "", "import", "wall_ms", None, "most", 25.0),
    Goal("ours", "W6 real: all watches fired, against the raw socket", "real", "W6", "fire_ms", "raw", "most", 2.0),
    Goal(
        "ours",
        "W7 real: sessions per second, against the raw socket",
        "real",
        "W7",
        "session_ops_s",
        "raw",
        "least",
        0.6,
    ),
    Goal("ours", "W7 real: threads per idle client", "real", "W7", "idle_threads", None, "most", 1.0),
    Goal(
        "ours-gevent", "W6 real: all watches fired, against the raw socket", "real", "W6", "fire_ms", "raw", "most", 2.0
    ),
    Goal("ours-gevent", "W7 real: threads per idle client", "real", "W7", "idle_threads", None, "most", 0.0),
    Goal("ours-asyncio", "W1 null, one core: p50 against kazoo", "null", "W1", "get_p50_us", "kazoo", "most", 0.35),
    Goal("ours-asyncio", "W2 null: CPU against kazoo", "null", "W2", "get_cpu_us", "kazoo", "most", 0.05),
    Goal("ours-asyncio", "W4 null, one core: rate against aiozk", "null", "W4", "get_ops_s", "aiozk", "least", 8.0),
    Goal(
        "ours-asyncio",
        "W6 real: all watches fired, against the raw socket",
        "real",
        "W6",
        "fire_ms",
        "raw",
        "most",
        2.0,
    ),
    Goal(
        "ours-asyncio",
        "W7 real: sessions per second, against the raw socket",
        "real",
        "W7",
        "session_ops_s",
        "raw",
        "least",
        0.6,
    ),
    Goal("ours-asyncio", "W7 real: threads per idle client", "real", "W7", "idle_threads", None, "most", 0.0),
    Goal(
        "ours-asyncio",
        "W7 real: KiB per idle client beyond a bare connection",
        "real",
        "W7",
        "idle_own_kib",
        None,
        "most",
        4.0,
    ),
]


class Results:
    """All runs, and what can be told of them."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.system_calls: dict[tuple[str, str], float] = {}  # (workload, peer)
        self.import_ms: dict[str, float] = {}  # by peer
        self.import_cpu_ms: dict[str, float] = {}
        self.import_foreign: float | None = None  # cores of other programs while imports were timed

    def kept(self, server: str, workload: str, peer: str) -> list[Run]:
        """The runs that count: the undisturbed ones, or else the least disturbed."""
        whole = [r for r in self.runs if (r.server, r.workload, r.peer) == (server, workload, peer) and r.metrics]
        whole.sort(key=lambda run: run.foreign or 0.0)
        quiet = [run for run in whole if (run.foreign or 0.0) <= MOST_FOREIGN]
        return quiet if len(quiet) >= LEAST_RUNS else whole[:LEAST_RUNS]

    def values(self, server: str, workload: str, peer: str, metric: str) -> dict[int, float]:
        """Metric by repetition."""
        return {r.repetition: r.metrics[metric] for r in self.kept(server, workload, peer) if metric in r.metrics}

    def median(self, server: str, workload: str, peer: str, metric: str) -> float | None:
        if metric == "syscalls":
            return self.system_calls.get((workload, peer))
        if workload == "import":
            return self.import_ms.get(peer)
        values = self.values(server, workload, peer, metric)
        return statistics.median(values.values()) if values else None

    def spread(self, server: str, workload: str, peer: str, metric: str) -> float | None:
        """Largest over smallest of the runs that count."""
        values = list(self.values(server, workload, peer, metric).values())
        return max(values) / min(values) if len(values) > 1 and min(values) > 0 else None

    def ratio(self, server: str, workload: str, peer: str, other: str, metric: str) -> float | None:
        """Median of the ratios inside repetitions both took part in; of the medians where there are none."""
        mine, its = (self.values(server, workload, name, metric) for name in (peer, other))
        pairs = [mine[n] / its[n] for n in mine if its.get(n)]
        if pairs:
            return statistics.median(pairs)
        if mine and its and statistics.median(its.values()):
            return statistics.median(mine.values()) / statistics.median(its.values())
        return None

    def disturbed(self, goal: Goal) -> bool:
        """Whether a goal could only be judged by runs beside other programs, which cost more than they would alone."""
        if goal.workload == "import":
            return (self.import_foreign or 0.0) > MOST_FOREIGN
        if goal.metric == "syscalls":
            return False
        peers = [goal.peer] if goal.against is None else [goal.peer, goal.against]
        runs = [run for peer in peers for run in self.kept(goal.server, goal.workload, peer)]
        return any((run.foreign or 0.0) > MOST_FOREIGN for run in runs)

    def reached(self, goal: Goal) -> tuple[float | None, bool | None]:
        """(what was seen, whether the goal was reached), or Nones where it was not measured."""
        if goal.against is None:
            seen = self.median(goal.server, goal.workload, goal.peer, goal.metric)
        else:
            seen = self.ratio(goal.server, goal.workload, goal.peer, goal.against, goal.metric)
        if seen is None:
            return None, None
        return seen, seen <= goal.bound if goal.kind == "most" else seen >= goal.bound


def number(value: float | None) -> str:
    if value is None:
        return "–"
    if value >= 100_000:
        return f"{value / 1000:,.0f}k"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def table(results: Results, peers: list[str]) -> str:
    """Medians by peer, each with its ratio to kazoo and to the raw socket."""
    first = "ours" if "ours" in peers else peers[0]
    rows = [["server", "workload", "", *peers, f"spread of {first}"]]
    for server in dict.fromkeys(run.server for run in results.runs):
        for workload, part, name in ((w, p, m) for w, parts in PARTS.items() for p in parts for m in METRICS):
            metric, (title, more) = f"{part}_{name}", METRICS[name]
            cells = [_cell(results, server, workload, peer, metric, peers) for peer in peers]
            if any(cell != "–" for cell in cells):
                spread = results.spread(server, workload, first, metric)
                rows.append(
                    [
                        server,
                        workload,
                        f"{part} {title} {'↑' if more else '↓'}",
                        *cells,
                        "–" if spread is None else f"{spread:.2f}x",
                    ]
                )
    for workload in dict.fromkeys(workload for workload, _ in results.system_calls):
        cells = [number(results.system_calls.get((workload, peer))) for peer in peers]
        rows.append(["null", workload, "system calls per operation ↓", *cells, ""])
    if results.import_ms:
        cells = [number(results.import_ms.get(peer)) for peer in peers]
        rows.append(["", "import", "ms over bare Python ↓", *cells, ""])
        cells = [number(results.import_cpu_ms.get(peer)) for peer in peers]
        rows.append(["", "import", "CPU ms over bare Python ↓", *cells, ""])
    return aligned(rows)


def _cell(results: Results, server: str, workload: str, peer: str, metric: str, peers: list[str]) -> str:
    value = results.median(server, workload, peer, metric)
    if value is None:
        return "–"
    ratios = []
    for other in (BASE, FLOOR):
        if other != peer and other in peers:
            ratio = results.ratio(server, workload, peer, other, metric)
            ratios.append("–" if ratio is None else f"{number(ratio)}x")
    return f"{number(value)} ({' / '.join(ratios)})" if ratios else number(value)


def goals(results: Results) -> str:
    rows = [["peer", "goal", "bound", "seen", ""]]
    for goal in GOALS:
        seen, reached = results.reached(goal)
        sign = "<=" if goal.kind == "most" else ">="
        times = "x" if goal.against else ""
        verdict = "not measured" if reached is None else "reached" if reached else "MISSED"
        if reached is not None and results.disturbed(goal):
            verdict += ", disturbed"
        shown = "–" if seen is None else number(seen) + times
        rows.append([goal.peer, goal.text, f"{sign} {number(goal.bound)}{times}", shown, verdict])
    return aligned(rows)


def noise(results: Results, peers: Iterable[str]) -> str:
    """One paragraph: strangers' CPU, stolen time, repetitions set aside, failures."""
    foreign = [run.foreign for run in results.runs if run.foreign is not None]
    steal = [run.steal for run in results.runs if run.steal is not None]
    lines = []
    if foreign:
        lines.append(
            f"noise: other programs used {statistics.median(foreign):.2f} cores (median; worst {max(foreign):.2f}),"
            f" {statistics.mean(steal):.3f} cores were stolen (worst {max(steal):.3f})"
        )
    cells = {(run.server, run.workload, peer) for run in results.runs for peer in peers}
    spreads = [
        spread
        for server, workload, peer in cells
        for part in PARTS[workload]
        for metric in ("cpu_us", "ops_s")
        for spread in [results.spread(server, workload, peer, f"{part}_{metric}")]
        if spread is not None
    ]
    if spreads:
        lines.append(
            "spread between repetitions (largest over smallest CPU or rate of a cell):"
            f" median {statistics.median(spreads):.2f}x, worst {max(spreads):.2f}x;"
            " believe no difference below the median"
        )
    whole = sum(bool(run.metrics) for run in results.runs)
    kept = sum(len(results.kept(*cell)) for cell in cells)
    lines.append(f"runs: {whole}, of which {kept} count (the rest ran beside more than {MOST_FOREIGN} foreign cores)")
    lines += [f"FAILED: {r.server} {r.workload} {r.peer}: {r.error}" for r in results.runs if r.error]
    return "\n".join(lines)


def aligned(rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
