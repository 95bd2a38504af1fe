"""A leader that was deposed and has not noticed: what it says of the past is nobody's proof."""

from __future__ import annotations

import asyncio

from zk_client import AsyncClient
from zk_recipes import AsyncBarrier
from zk_testing import EnsembleSettings, Settings
from zk_testing.sim import ServerEnsemble, Simulation

# A leader without a quorum gives itself up a tick after its followers have.
SETTINGS = EnsembleSettings(size=3, server=Settings(tick_ms=2000, max_session_timeout_ms=60_000), sync_limit=2)


async def passed(waiting: asyncio.Task[bool], seconds: float) -> bool:
    """Whether a wait ends within so many seconds, which are virtual."""
    done, _ = await asyncio.wait([waiting], timeout=seconds)
    return bool(done)


def test_a_barrier_is_not_passed_by_the_word_of_a_deposed_leader() -> None:
    async def main(sim: Simulation) -> None:
        assert isinstance(sim.servers, ServerEnsemble)
        ensemble = sim.servers.ensemble
        old = await ensemble.leader()
        others = ",".join(member.address for member in ensemble if member is not old)
        async with AsyncClient(old.address, 40.0) as behind, AsyncClient(others, 40.0) as ahead:
            ensemble.isolate(old)
            new = await ensemble.leader(other_than=old)
            assert new is not old and old.role == "leader"
            await AsyncBarrier(ahead, "/gate").create()
            assert old.role == "leader", "it has noticed already, so this shows nothing"
            waiting = asyncio.create_task(AsyncBarrier(behind, "/gate").wait())
            assert not await passed(waiting, 1.0), "passed a barrier that is there"
            ensemble.reconnect()
            assert not await passed(waiting, 30.0), "passed a barrier that is there"
            await AsyncBarrier(ahead, "/gate").remove()
            assert await waiting is True

    for seed in range(5):
        Simulation(seed, settings=SETTINGS).run(main)
