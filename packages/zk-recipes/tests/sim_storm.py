"""One seeded run of bodies in a storm: connections cut, clients frozen, tasks cancelled, nodes deleted by a stranger.

The recipe under search says what its clients do and what must hold after every step; the storm says what goes wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine

from sim_world import FAULTS, Client, World
from simulated import Faults, SimulatedTask

Body = Callable[[int], Coroutine[object, None, None]]


class Storm:
    """A world of *clients* clients, in which each runs one body until it has ended, whatever the seed does to it.

    body: makes the body of a client, by its number.   intrude: a stranger's deed.   troubles: how many are tried.
    """

    def __init__(self, seed: int, clients: int, *, faults: Faults = FAULTS, troubles: int = 10) -> None:
        self.world = World(seed, 0, faults=faults)
        self.sim, self.server = self.world.sim, self.world.server
        self.faults = faults
        self.troubles = troubles if faults.limit else 0
        self.clients = [Client(self.sim, f"client-{number}") for number in range(clients)]
        self.world.clients.extend(self.clients)
        self.finished: list[int] = []
        self._tasks: list[SimulatedTask[None]] = []

    def run(self, body: Body, intrude: Callable[[], None] | None = None, workers: int = 1) -> None:
        """Run to the end; fail when somebody waits for ever, and when an ephemeral node or a watch is left behind.

        workers: how many bodies each client runs, numbered on from client to client, round and round.
        """
        count = workers * len(self.clients)

        async def finish(number: int) -> None:
            try:
                await body(number)
            finally:
                self.finished.append(number)

        for number in range(count):
            client = self.clients[number % len(self.clients)]
            self._tasks.append(self.sim.spawn(finish(number), f"worker {number} of {client.name}", home=client))
        if self.troubles:
            self.sim.spawn(self._trouble(intrude), "trouble")
        self.sim.run()
        if leaks := self.leaks():
            self.sim.refute(f"left behind: {', '.join(leaks)}")
        assert sorted(self.finished) == list(range(count))

    def leaks(self) -> list[str]:
        """What is left: ephemeral nodes, watches, listeners."""
        return (
            [f"node {path}" for path in self.ephemerals()]
            + [f"watch on {path}" for path in self.server.watches()]
            + [leak for client in self.clients for leak in client.leaks()]
        )

    def ephemerals(self, below: str = "/") -> list[str]:
        """Paths of the ephemeral nodes, the oldest first."""
        found = [(self.server.stat(path), path) for path in self.server.paths() if path.startswith(below)]
        return [path for stat, path in sorted(found, key=lambda pair: _czxid(pair[0])) if stat and stat.ephemeral_owner]

    async def _trouble(self, intrude: Callable[[], None] | None) -> None:
        sim = self.sim
        for _ in range(self.troubles):
            await sim.sleep(sim.between(0.0, 0.4 if sim.random() < 0.7 else 20.0))
            victim = int(sim.random() * len(self.clients))
            match int(sim.random() * 7):
                case 0:
                    task = sim.choose(self._tasks)
                    sim.note("trouble", f"cancels {task.name}")
                    task.cancel()
                    if sim.random() < 0.5:
                        await sim.pause()
                        task.cancel()
                case 1 if intrude is not None:
                    intrude()
                case 2 if "cut" in self.faults.kinds:
                    self.clients[victim].cut(sim.between(1.0, 25.0))
                case 3 if "freeze" in self.faults.kinds:
                    self.clients[victim].freeze(sim.between(1.0, 25.0))
                case _:
                    pass


def _czxid(stat: object) -> int:
    return getattr(stat, "czxid", 0)
