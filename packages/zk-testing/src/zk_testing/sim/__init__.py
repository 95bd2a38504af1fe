"""Simulation: programs, clients and an ensemble in one thread, in virtual time, with everything decided by a seed.

    from zk_testing.sim import Simulation, simulate

    @simulate(seeds=1000)
    async def test_there_is_one_leader(sim: Simulation) -> None:
        for name in ("a", "b", "c"):
            sim.start(name, lambda: candidate(sim.hosts))

Rule: the servers are embedded ones, the clients are the real ones, and what is simulated is the world between them: the
event loop and its time, the network, the system's clock and randomness. Documentation: docs/simulation.md.
"""

from __future__ import annotations

from .faults import FAULTS, MESSAGE_FAULTS, NO_FAULTS, TROUBLES, Faults
from .process import Process
from .program import Program
from .searching import search, simulate
from .servers import ServerEnsemble, Servers, SingleServer
from .stranger import Stranger
from .world import Simulation, SimulationFailedError, StuckError

__all__ = [
    "FAULTS",
    "MESSAGE_FAULTS",
    "NO_FAULTS",
    "TROUBLES",
    "Faults",
    "Process",
    "Program",
    "ServerEnsemble",
    "Servers",
    "Simulation",
    "SimulationFailedError",
    "SingleServer",
    "Stranger",
    "StuckError",
    "search",
    "simulate",
]
