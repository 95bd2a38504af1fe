"""Every recipe, cancelled around each of its requests: nothing is left, and the same client uses it again.

Client and server live in one loop, so that what happens between a request and its reply can be told by turns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import pytest
from every_recipe import PROTECTED, USES, Use
from heard import PATIENCE

from zk_client import AsyncClient
from zk_testing import AsyncEmbeddedServer, Settings

MOST_STEPS = 100
# Turns of the loop after the server has got a request: before it answers, when the answer comes, and afterwards.
TURNS = [0, 1, 3, 6]


def has_got(server: AsyncEmbeddedServer, requests: int) -> bool:
    """Whether a server has received so many requests."""
    return server.core.received >= requests


async def reaches(task: asyncio.Task[None], condition: Callable[[], bool], turns: int) -> bool:
    """Go on until a condition is met, and so many turns more; False when the task has ended by then."""
    while not condition() and not task.done():  # noqa: ASYNC110
        await asyncio.sleep(0)
    for _ in range(turns):
        await asyncio.sleep(0)
    return not task.done()


async def steps(use: Use, turns: int) -> int:
    """Use a recipe again and again, cancelled at a later request each time; how many requests there were."""
    async with (
        AsyncEmbeddedServer(settings=Settings(tick_ms=50)) as near,
        AsyncClient(near.hosts) as zk,
        AsyncClient(near.hosts) as other,
    ):
        await other.create(PROTECTED, b"0")

        def left() -> list[str]:
            core = near.core
            watches = core.watches.data.counts()[2] + core.watches.child.counts()[2]
            return [
                *(path for path, node in core.tree.nodes.items() if node.owner > 0),
                *([f"{watches} watches"] if watches else []),
                *map(repr, zk.handler.listeners),
                *map(repr, asyncio.all_tasks() - before),
            ]

        before = asyncio.all_tasks()
        for step in range(1, MOST_STEPS):
            under_way = partial(has_got, near, near.core.received + step)
            task = asyncio.create_task(use(zk, other))
            async with asyncio.timeout(PATIENCE):
                is_under_way = await reaches(task, under_way, turns)
                task.cancel()
                await asyncio.wait([task])
                assert task.cancelled() == is_under_way, f"at step {step}: {task!r}"
                await use(zk, other)
                try:
                    while left():
                        await zk.sync("/")
                except asyncio.CancelledError:
                    raise AssertionError(f"left behind at step {step}: {left()}") from None
            if not is_under_way:
                return step - 1
    raise AssertionError(f"still going on after {MOST_STEPS} steps")


@pytest.mark.parametrize("name", USES)
def test_a_recipe_cancelled_at_any_request_leaves_nothing_and_can_be_used_again(name: str) -> None:
    for turns in TURNS:
        assert asyncio.run(steps(USES[name], turns)) > 0
