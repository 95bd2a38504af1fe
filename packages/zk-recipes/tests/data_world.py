"""What the simulated tests of counters, values and queues share: operations that are cancelled, cut and frozen.

Rule: every operation runs in a task of its own, so that one that is cancelled leaves its client to go on. What it may
have done is "unknown" then; the test's history says what must hold all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TypeVar

from sim_world import Client, World
from simulated import NO_FAULTS, Faults, SimulatedTask, TaskCancelled, faults_of

T = TypeVar("T")

FAULTS = faults_of(rate=0.1, limit=5)
# Seconds: longer than a connection hangs that was not given up.
IN_PEACE = 8.0


class CancelledByTestError(Exception):
    """An operation was cancelled by the test: whether it did anything, nobody knows."""


class DataWorld(World):
    """A world whose clients do one operation after another, and whose trouble ends before the test does."""

    def __init__(self, seed: int = 0, clients: int = 2, *, timeout: float = 10.0, faults: Faults = NO_FAULTS) -> None:
        super().__init__(seed, clients, timeout=timeout, faults=faults)
        self._under_way: dict[str, SimulatedTask[object]] = {}
        self.finished: list[str] = []

    async def do(self, client: Client, operation: Coroutine[object, None, T]) -> T:
        """Run one operation of a client, which `trouble` may cancel; raises CancelledByTestError then."""
        task = self.sim.spawn(operation, client.name, home=client)
        self._under_way[client.name] = task
        try:
            return await task.join()
        except TaskCancelled:
            raise CancelledByTestError from None
        finally:
            del self._under_way[client.name]

    def keep_nobody_waiting(self, entries: str, taken: str) -> Callable[[str], None]:
        """Note since when there are free entries; returns what is called when somebody has waited for one in vain.

        It fails where one was free all the time, nobody was cut off or stood still, and who waits comes to know of it.
        """
        free: dict[str, float] = {}
        since, seen = 0.0, 0

        def look() -> None:
            nonlocal since, seen
            now = self.sim.now()
            if not all(client.is_connected and client.frozen_until < now for client in self.clients):
                since = now
            if self.server.zxid == seen or not self.server.has_leader:
                return
            seen = self.server.zxid
            paths = self.server.paths()
            busy = {path.rpartition("/")[2] for path in paths if path.startswith(f"{taken}/")}
            names = {path.rpartition("/")[2] for path in paths if path.startswith(f"{entries}/")} - busy
            for name in free.keys() - names:
                del free[name]
            for name in names:
                free.setdefault(name, now)

        def in_vain(who: str) -> None:
            long_ago = self.sim.now() - IN_PEACE
            waiting = [name for name, when in free.items() if max(when, since) < long_ago]
            assert not waiting, f"{who} got nothing, and {waiting} was free for long"

        self.sim.always(look)
        return in_vain

    async def trouble(self, times: int = 8, *, cancels: bool = True) -> None:
        """Cancel operations, and cut and freeze clients, as the seed wants."""
        sim = self.sim
        for _ in range(times):
            await sim.sleep(sim.between(0.0, 0.1 if sim.random() < 0.7 else 10.0))
            client = sim.choose(self.clients)
            match int(sim.random() * 5):
                case 0 | 1 if cancels and client.name in self._under_way:
                    sim.note("trouble", f"cancels the operation of {client.name}")
                    task = self._under_way[client.name]
                    task.cancel()
                    if sim.random() < 0.5:
                        await sim.pause()
                        task.cancel()
                case 2:
                    client.cut(sim.between(1.0, 25.0))
                case 3:
                    client.freeze(sim.between(1.0, 25.0))
                case _:
                    pass

    def leaks(self) -> list[str]:
        """Everything recipes have left behind: markers, watches, listeners."""
        # "turn-": where a version wraps, once in 2**32 writes, the node stays that made one writer the only one.
        markers = [
            path
            for path in self.server.paths()
            if ("-__writes__/" in path or "/writes/" in path) and "/turn-" not in path
        ]
        return [f"marker {path}" for path in markers] + super().leaks()

    def finish(self, *workers: Coroutine[object, None, None]) -> None:
        """Run the workers to their end; nothing may be left then."""
        for number, worker in enumerate(workers):
            self.sim.spawn(worker, f"worker {number}")
        self.sim.run()
        if leaks := self.leaks():
            self.sim.refute(f"left behind: {', '.join(leaks)}")


def lose_next_commit(
    world: World, client: Client, *, applied: bool = False, absence: float = 1.0, kind: str = "commit"
) -> None:
    """Lose the next transaction of a client, or its reply, and let it give up looking before it is back.

    kind: of the request, if it is to be another one.
    """
    core = client.zk.handler.core
    core.config = core.config._replace(resolve_timeout=0.05)
    _lose(world, client, applied, absence, kind)


def end_the_session_at_the_next_commit(world: World, client: Client, *, applied: bool) -> None:
    """Lose the next transaction of a client, or its reply, and cut it off until its session is over."""
    _lose(world, client, applied, 40.0)


def _lose(world: World, client: Client, applied: bool, absence: float, kind: str = "commit") -> None:
    sim = world.sim

    def lose(what: str) -> None:
        if not what.startswith(kind):
            return
        client.on_request = None
        if not applied:
            client.cut(absence)
            return
        for connection in sim.world.network.connections_of(client.process):
            connection.deaf = True
        sim.call_at(sim.now() + 0.05, lambda: client.cut(absence))

    client.on_request = lose
