"""Patience: how long a wait goes on, in virtual time."""

from __future__ import annotations

import pytest
from sim_world import World

from zk_recipes._waiting import Patience


def test_pauses_grow_and_end_with_the_total() -> None:
    world = World(0, 1)
    begins: list[float] = []

    async def body() -> None:
        port = world.clients[0].port
        patience = Patience(port, 4.0, timed_out=TimeoutError, cancelled=InterruptedError)
        begun = world.sim.now()

        async def go_on() -> None:
            while True:
                begins.append(world.sim.now() - begun)
                await patience.pause()

        with pytest.raises(TimeoutError):
            await go_on()
        patience.end()
        assert world.sim.now() - begun == pytest.approx(4.0, abs=0.001)

    world.run(body())
    # The first one looks again at once; the last one would have been as long as those before.
    assert begins == pytest.approx([0.0, 0.0, 0.1, 0.3, 0.7, 1.5, 2.5, 3.5, 4.0])


def test_a_pause_ends_when_it_is_cancelled() -> None:
    world = World(0, 1)

    async def body() -> None:
        patience = Patience(world.clients[0].port, None, timed_out=TimeoutError, cancelled=InterruptedError)
        world.sim.spawn(cancel(patience), "cancel")
        with pytest.raises(InterruptedError):
            await sleep_on(patience)
        patience.end()
        assert world.sim.now() == pytest.approx(3.0, abs=0.5)

    async def sleep_on(patience: Patience) -> None:
        while True:
            await patience.sleep()

    async def cancel(patience: Patience) -> None:
        await world.sim.sleep(3.0)
        patience.cancel()

    world.run(body())
