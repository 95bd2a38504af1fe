"""A leader election as one might write it first: whoever creates the node leads, and never looks again."""

from __future__ import annotations

import asyncio

from zk_client import AsyncClient, ZooKeeperError
from zk_testing.sim import Simulation


async def candidate(sim: Simulation, me: str, leaders: set[str]) -> None:
    """Lead for half a minute, once."""
    async with AsyncClient(sim.hosts, 10.0) as zk:
        while True:
            try:
                await zk.create("/leader", me.encode(), ephemeral=True)
                break
            except ZooKeeperError:
                await asyncio.sleep(1.0)
        leaders.add(me)
        sim.note(me, "leads")
        assert len(leaders) == 1, f"two leaders: {sorted(leaders)}"
        await asyncio.sleep(30.0)
        leaders.discard(me)


async def elect(sim: Simulation) -> None:
    """Let three candidates run."""
    leaders: set[str] = set()
    for name in ("a", "b", "c"):
        sim.start(name, lambda name=name: candidate(sim, name, leaders))
