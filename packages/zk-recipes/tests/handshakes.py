"""Faults where no other fault strikes: while a client asks for its session, sets its watches again, and pings.

A client whose handshake is not answered may give its session up while the servers keep it, since they have heard of it;
one that stands still reads an answer that is as old.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from zk_testing.sim.faults import _PING as PING
from zk_testing.sim.network import Connection
from zk_testing.sim.world import Simulation

TIMEOUT = 10.0


def strike_handshakes(world: Simulation, limit: int, then: Callable[[], object] | None = None) -> None:
    """Strike some handshakes and pings of each client, so many at most. then: called when a handshake is struck."""
    chances: dict[str, random.Random] = {}
    left: dict[str, int] = {}

    def strike(connection: Connection, data: bytes) -> None:
        process = connection.client.process
        is_first = connection.writes == 1
        if process is None or world.calm or not (is_first or data == PING):
            return
        name = process.name
        chance = chances.setdefault(name, random.Random(f"{world.seed}/{name}/handshakes"))
        what = chance.random()
        if what > (0.7 if is_first else 0.2) or left.setdefault(name, limit) == 0:
            return
        left[name] -= 1
        seconds, soon = TIMEOUT * (0.1 + 2.4 * chance.random()), chance.random()
        if what < 0.2:
            world.note(name, f"freezes for {seconds:.3f} s in {'the handshake' if is_first else 'a ping'}")
            world.loop.call_later(0.001 * soon, process.freeze, seconds)
        elif what < 0.3:
            world.note(name, "is not answered in the handshake")
            connection.hangs = True
        elif what < 0.4:
            world.note(name, "is heard in the handshake, and does not hear")
            connection.deaf = True
        else:
            # While it sets its watches again, and looks up what it has lost.
            world.loop.call_later(0.06 * soon, connection.cut)
        if is_first and then is not None:
            then()

    world.network.told.append(strike)
