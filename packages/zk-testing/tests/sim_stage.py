"""What the tests of the simulation share: a server, its clients, and one body run to its end."""

from __future__ import annotations

from collections.abc import Callable, Coroutine

from zk_testing.sim import Simulation
from zk_testing.simclient import NO_FAULTS, PLAIN, Faults, PlainWatchedEvent, SimulatedClient
from zk_testing.simport import SimulatedPort
from zk_testing.simserver import SimulatedServer

Client = SimulatedClient[str, PlainWatchedEvent]
Port = SimulatedPort[str, PlainWatchedEvent]
Body = Coroutine[object, None, None]


def make(
    seed: int = 0, clients: int = 1, faults: Faults = NO_FAULTS
) -> tuple[Simulation, SimulatedServer, list[Client]]:
    simulation = Simulation(seed)
    server = SimulatedServer(simulation)
    return (
        simulation,
        server,
        [SimulatedClient(simulation, server, f"client-{number}", PLAIN, faults=faults) for number in range(clients)],
    )


def run(body: Callable[[Client, SimulatedServer], Body], seed: int = 0, faults: Faults = NO_FAULTS) -> Simulation:
    """Run one body with a client of its own."""
    simulation, server, (client,) = make(seed, faults=faults)
    simulation.spawn(body(client, server), "body", home=client)
    simulation.run()
    return simulation
