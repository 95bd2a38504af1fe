"""Chaos: eight workers a world against an ensemble that is killed, frozen, cut off and restarted all the while.

    python chaos.py --seconds 600 --seed 7              # on three real servers
    python chaos.py --seconds 60 --servers embedded --worlds threads,asyncio

Rule: a run is a number of rounds. In each the workers work while things break; then all is healed, the workers end, and
what they wrote down is held against what the ensemble has. Clients live through all rounds, so what they keep must not
grow. A broken promise ends the run, with the timeline around it and the seed that draws the same faults again.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import resource
import sys
import threading
import time
import traceback
import types
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import ExitStack, contextmanager
from typing import Any

from chaos_faults import Monkey
from chaos_history import LONGEST, totals
from chaos_workers import PLANS, Round, Worker, agree, gather, prepare, work
from chaos_worlds import WORLDS, World

from zk_client import Client, run_blocking
from zk_client.base import ClientBase
from zk_testing import EmbeddedEnsemble
from zk_testing.cluster import start_cluster
from zk_testing.faults import FaultProxy

TIMEOUTS = (1.2, 4.0, 8.0)  # of each world's clients: some sessions expire, most do not
SLACK = 48 * 1024  # bytes by which what a client keeps may differ from round to round
PATIENCE = 20.0


class BrokenPromiseError(AssertionError):
    """A promise was broken."""


class Report:
    """What a run did, for people."""

    def __init__(self) -> None:
        self.rounds: list[Counter[str]] = []
        self.longest = 0.0
        self.sessions = 0
        self.faults = 0
        self.weights: list[dict[str, int]] = []
        self.resident: list[int] = []  # KiB

    def __str__(self) -> str:
        lines = [f"{len(self.rounds)} rounds, {self.faults} faults, longest call {self.longest:.2f} s"]
        lines += [f"  {count:8d}  {what}" for what, count in sorted(totals(self.rounds).items())]
        if self.resident:
            lines.append(f"  resident {self.resident[0]} KiB at first, {self.resident[-1]} KiB at last")
        if self.weights:
            lines.append(f"  clients keep {self.weights[0]} bytes at first, {self.weights[-1]} at last")
        return "\n".join(lines)


@contextmanager
def servers_of(kind: str, size: int = 3) -> Iterator[Any]:
    """An ensemble of a kind, healed or not at the end."""
    if kind == "embedded":
        with EmbeddedEnsemble(size, tick_ms=100) as ensemble:
            yield ensemble
    else:
        with start_cluster(size, config={"minSessionTimeout": "400"}, heap_mb=128) as cluster:
            yield cluster


def run(
    seconds: float,
    seed: int,
    *,
    kind: str = "embedded",
    worlds: tuple[str, ...] = ("threads", "asyncio"),
    round_seconds: float = 12.0,
    say: Callable[[str], object] = lambda text: None,
) -> Report:
    """Run for about so long. Raises BrokenPromiseError with everything there is to know about it."""
    report = Report()
    with servers_of(kind) as servers:
        with ExitStack() as stack:
            # Two ways to each server, so that some clients can be cut off while others go on.
            ways = [[stack.enter_context(FaultProxy(member)) for member in servers] for _ in range(2)]
            before = footprint()
            monkey = Monkey(servers, ways, longest=1.5 if kind == "embedded" else 4.0)
            hosts = [",".join(proxy.address for proxy in way) for way in ways]
            options = [{"hosts": hosts[min(at, 1)], "timeout": timeout} for at, timeout in enumerate(TIMEOUTS)]
            opened: list[World] = []
            try:
                for name in worlds:
                    opened.append(WORLDS[name](options))
                monkey.ended = lambda: last_sessions(opened)
                end = time.monotonic() + seconds
                number = 0
                while not number or time.monotonic() < end - 0.5 * round_seconds:
                    number += 1
                    length = min(round_seconds, max(1.0, end - time.monotonic()))
                    one_round(number, seed + number - 1, length, servers, monkey, opened, report)
                    say(f"round {number}, seed {seed + number - 1}: {sum(report.rounds[-1].values())} calls")
            finally:
                for proxy in (proxy for way in ways for proxy in way):
                    proxy.heal()
                for world in opened:
                    world.close()
            left = [text for world in opened for text in world.left]
            nothing_left(servers)
            # The servers and proxies notice a little later that everybody has gone.
            left += grown(before, wait_for(footprint, lambda seen: not grown(before, seen)))
        if left:
            raise BrokenPromiseError(f"left behind (seed {seed}): " + "; ".join(left))
    return report


def one_round(
    number: int, seed: int, seconds: float, servers: Any, monkey: Monkey, worlds: list[World], report: Report
) -> None:
    """Work while things break; heal; hold what was written down against what is there."""
    shared = Round(number, seed)
    history = shared.history
    with Client(servers.hosts, 10.0, runtime="threads") as zk:
        run_blocking(prepare(zk, shared))
    running = [world.begin(lambda clients, world=world: bodies(world, clients, shared)) for world in worlds]
    monkey.break_things(seconds, seed, history)
    monkey.heal(history)
    shared.over = True
    problems = ended(running, history)
    with Client(servers.hosts, 10.0, runtime="threads") as zk:
        final, children = run_blocking(gather(zk, shared))
        found = history.violations(final, children)
        for worker, copy in shared.mirrors:
            for path, version in copy.items():
                if final[path][1].version != version:
                    text = f"{worker} has version {version} by its watch, the last one is {final[path][1].version}"
                    found.append((time.monotonic(), path, text))
        if not found and not problems:
            problems += tidy(zk, shared, worlds, servers)
    report.rounds.append(history.outcomes())
    report.faults += len(history.notes)
    report.longest = max([report.longest, *(op.seconds for op in history.ops)])
    if found or problems:
        timeline = history.timeline(time.monotonic(), "-") if problems else ""
        raise BrokenPromiseError(
            f"seed {seed} (round {number}):\n{history.report(found)}\n" + "\n".join(problems) + f"\n{timeline}"
        )
    gc.collect()
    report.weights.append({world.name: sum(map(weight, world.clients)) for world in worlds})
    report.resident.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    first, last = report.weights[0], report.weights[-1]
    heavy = [name for name in first if last[name] > first[name] + SLACK]
    if heavy:
        raise BrokenPromiseError(
            f"seed {seed} (round {number}): the clients of {heavy} keep {last}, and kept {first} at first"
        )


def bodies(world: World, clients: list[Any], shared: Round) -> list[Any]:
    """The workers of a world in a round."""
    made = []
    for index, plan in enumerate(PLANS):
        at = index % len(clients)  # so the locks, which are the last plans, are not held by the last client
        worker = Worker(clients[at], f"{world.name}-{at}", f"{world.name}-{plan.__name__}-{index}", shared)
        made.append(work(worker, plan))
    return made


def last_sessions(worlds: list[World]) -> list[int]:
    """The sessions of each world's last client, whose workers hold no locks."""
    return [client.session_id for world in worlds if (client := world.clients[-1]).session_id]


def ended(running: list[Future[list[Any]]], history: Any) -> list[str]:
    """Wait until all workers have ended; what is wrong with those that have not, or have failed."""
    problems = []
    deadline = time.monotonic() + LONGEST
    for future in running:
        try:
            future.result(max(0.1, deadline - time.monotonic()))
        except FutureTimeoutError:
            open_ops = [f"{op.worker} {op.kind} {op.path} for {op.seconds:.1f} s" for op in history.ops if not op.end]
            problems.append(f"workers have not ended {LONGEST} s after everything was healed: {open_ops}")
            problems += [
                f"{op.worker} {op.kind} {op.outcome} {op.seconds:.3f} s {op.detail}" for op in history.ops[-12:]
            ]
            problems.append(stacks())
            history.trouble.set()
            break
        except Exception as error:
            problems.append("".join(traceback.format_exception(error)))
    return problems


def tidy(zk: Client, shared: Round, worlds: list[World], servers: Any) -> list[str]:
    """What is left of a round in which nobody works any more: nodes nobody owns, watches, requests."""
    problems = []
    owned = {op.detail for op in shared.history.ops if op.kind == "sequential" and op.applied}
    alive = {client.session_id for world in worlds for client in world.clients}

    def stray() -> list[str]:
        run_blocking(agree(zk.port))
        own = [f"{shared.root}/own/{name}" for name in zk.get_children(f"{shared.root}/own")]
        return [path for path in own if path not in owned] + zk.get_children(f"{shared.root}/lock")

    strays = wait_for(stray, lambda found: not found)
    for path in strays:
        made_by = [
            f"{op.worker} after {op.seconds:.3f} s: {op.outcome and op.outcome.name} {op.detail}"
            for op in shared.history.ops
            if op.kind == "sequential" and path.startswith(op.path)
        ]
        problems.append(f"{path} was left behind by {made_by}")
    for op in shared.history.ops:
        # A node of a session that lives is there, unless its delete has been asked for.
        if op.kind == "sequential" and op.applied and op.stat is not None and op.stat.owner_session_id in alive:
            asked = any(other.kind == "delete" and other.path == op.detail for other in shared.history.ops)
            if not asked and zk.exists(op.detail) is None:
                problems.append(f"{op.detail} of {op.worker} is gone, though its session lives")
    for world in worlds:
        for client in world.clients:
            held = wait_for(lambda client=client: watches_of(client), lambda count: count == 0)
            if held:
                problems.append(f"{client!r} keeps {held} watches that nobody waits for")
    watched = wait_for(lambda: watches_on(servers), lambda count: count == 0)
    if watched:
        problems.append(f"the servers keep {watched} watches that nobody waits for")
    return problems


def nothing_left(servers: Any) -> None:
    """All sessions were closed."""
    with Client(servers.hosts, 10.0, runtime="threads") as zk:

        def ephemerals() -> int:
            run_blocking(agree(zk.port))
            return sum(len(zk.get_children(f"/{name}/own")) for name in zk.get_children("/") if name != "zookeeper")

        left = wait_for(ephemerals, lambda count: count == 0)
    if left:
        raise BrokenPromiseError(f"{left} ephemeral nodes outlive their sessions")


# Looking


def watches_of(client: Any) -> int:
    """How many watches a client has in its tables."""
    return len(client._core.watches)


def watches_on(servers: Any) -> int:
    """How many watches the servers have."""
    total = 0
    for member in servers:
        for line in member.send_command("mntr").splitlines():
            name, _, value = line.partition("\t")
            if name == "zk_watch_count":
                total += int(value)
    return total


def footprint() -> dict[str, int]:
    """Threads and descriptors of this process."""
    gc.collect()
    counts: Counter[str] = Counter(f"thread {thread.name}" for thread in threading.enumerate())
    for entry in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{entry}")
        except OSError:
            continue
        counts["descriptors of " + target.partition(":")[0]] += 1
    return counts


def grown(before: dict[str, int], after: dict[str, int]) -> list[str]:
    """What there is more of."""
    return [f"{count - before.get(name, 0)} x {name}" for name, count in after.items() if count > before.get(name, 0)]


_SHARED = (type, types.ModuleType, types.FunctionType, types.CodeType, types.FrameType, threading.Thread)


def weight(client: Any) -> int:
    """Bytes of everything that is reached from a client, but for what belongs to the interpreter or the event loop.

    Encoded paths that it remembers, up to a fixed number, are forgotten before.
    """
    if isinstance(client, ClientBase):
        client.operations._ustrings.clear()
        client.operations._gets.clear()
    hub = getattr(sys.modules.get("gevent.hub"), "Hub", ())
    shared = (*_SHARED, asyncio.AbstractEventLoop, *((hub,) if hub else ()))
    seen: dict[int, Any] = {}
    waiting = [client]
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, shared) or thing is sys.modules or thing is os.environ:
            continue
        seen[id(thing)] = thing
        waiting += gc.get_referents(thing)
    return sum(map(sys.getsizeof, seen.values()))


def stacks() -> str:
    """Where every thread is."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = []
    for ident, frame in sys._current_frames().items():
        parts.append(f"--- {names.get(ident)}\n" + "".join(traceback.format_stack(frame)[-6:]))
    return "\n".join(parts)


def wait_for(look: Callable[[], Any], enough: Callable[[Any], bool], patience: float = PATIENCE) -> Any:
    """Look again and again until it is as it should be, or patience ends; what was seen last."""
    deadline = time.monotonic() + patience
    never = threading.Event()
    while True:
        seen = look()
        if enough(seen) or time.monotonic() > deadline:
            return seen
        never.wait(0.05)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big"))
    parser.add_argument("--servers", choices=["real", "embedded"], default="real")
    parser.add_argument("--worlds", default="threads,gevent,asyncio")
    parser.add_argument("--round", type=float, default=12.0, help="seconds of each round")
    chosen = parser.parse_args(arguments)
    print(f"chaos: seed {chosen.seed}", flush=True)
    try:
        report = run(
            chosen.seconds,
            chosen.seed,
            kind=chosen.servers,
            worlds=tuple(chosen.worlds.split(",")),
            round_seconds=chosen.round,
            say=lambda text: print(text, flush=True),
        )
    except BrokenPromiseError as error:
        print(f"VIOLATED: {error}", flush=True)
        # Whatever hangs is not to keep the program from ending.
        os._exit(1)
    print(report)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
