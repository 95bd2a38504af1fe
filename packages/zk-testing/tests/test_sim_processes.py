"""Simulated processes stand still, crash and begin again as a whole."""

from __future__ import annotations

import asyncio

from zk_client import AsyncClient, SessionState
from zk_testing.sim import Simulation


def test_a_frozen_process_does_nothing_and_loses_nothing() -> None:
    ticks: list[float] = []

    async def tick(sim: Simulation) -> None:
        async with AsyncClient(sim.hosts, 10.0) as zk:
            for _ in range(40):
                await asyncio.sleep(0.1)
                await zk.exists("/")
                ticks.append(sim.now())

    async def main(sim: Simulation) -> None:
        program = sim.start("ticking", lambda: tick(sim))
        await asyncio.sleep(1)
        frozen_at = sim.now()
        program.freeze(3.0)
        await asyncio.sleep(2.9)
        assert not [when for when in ticks if when > frozen_at]
        await program.ended.wait()

    Simulation(1).run(main)
    assert len(ticks) == 40


def test_a_frozen_process_whose_session_ends_is_told_when_it_runs_again() -> None:
    states: list[SessionState] = []

    async def live(sim: Simulation) -> None:
        async with AsyncClient(sim.hosts, 4.0) as zk:
            expired = asyncio.Event()
            zk.add_listener(lambda state: (states.append(state), expired.set() if state is SessionState.EXPIRED else 0))
            await expired.wait()

    async def main(sim: Simulation) -> None:
        program = sim.start("frozen", lambda: live(sim))
        await asyncio.sleep(1)
        program.freeze(30.0)
        await asyncio.sleep(20)
        assert sim.sessions() == [] and states == []

    Simulation(1).run(main)
    assert SessionState.EXPIRED in states


def test_a_crashed_process_ends_without_a_word_and_begins_again() -> None:
    lives: list[float] = []
    ended: list[str] = []

    async def live(sim: Simulation) -> None:
        lives.append(sim.now())
        async with AsyncClient(sim.hosts, 4.0) as zk:
            try:
                await zk.create("/mine", ephemeral=True)
                await asyncio.sleep(20)
            finally:
                ended.append("cleaned up")

    async def main(sim: Simulation) -> list[str]:
        program = sim.start("crashing", lambda: live(sim))
        await asyncio.sleep(1)
        assert sim.stranger.exists("/mine") is not None
        program.crash(restart_after=10.0)
        await asyncio.sleep(1)
        assert ended == [] and sim.stranger.exists("/mine") is not None
        await asyncio.sleep(6)
        assert sim.stranger.exists("/mine") is None
        await program.ended.wait()
        return list(ended)  # of the second life alone: the first one's end is the end of the run

    assert Simulation(1).run(main) == ["cleaned up"]
    assert len(lives) == 2


def test_a_process_that_crashes_while_it_is_down_begins_again_once() -> None:
    lives: list[float] = []

    async def live(sim: Simulation) -> None:
        lives.append(sim.now())
        await asyncio.sleep(20)

    async def main(sim: Simulation) -> None:
        program = sim.start("crashing", lambda: live(sim))
        await asyncio.sleep(1)
        program.crash(restart_after=10.0)
        await asyncio.sleep(1)
        program.crash(restart_after=3.0)

    Simulation(1).run(main)
    assert lives == [0.0, 5.0]
