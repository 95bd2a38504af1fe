"""What a release costs with a hundred waiters, counted by the server: the same as with one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from zk_client import AsyncClient
from zk_recipes import AsyncElection, AsyncLock, AsyncMultiLock, AsyncReentrantLock, AsyncTerm, AsyncWriteLock
from zk_testing import EmbeddedServer

PATH = "/queue"
PATIENCE = 20.0
Recipe = AsyncLock | AsyncReentrantLock | AsyncMultiLock | AsyncTerm

MAKE: dict[str, Callable[[AsyncClient], Recipe]] = {
    "lock": lambda zk: AsyncLock(zk, PATH),
    "write lock": lambda zk: AsyncWriteLock(zk, PATH),
    "re-entrant lock": lambda zk: AsyncReentrantLock(zk, PATH),
    "several locks": lambda zk: AsyncMultiLock(zk, [PATH]),
    "election": lambda zk: AsyncElection(zk, PATH).lead(),
}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


@pytest.mark.parametrize("kind", MAKE)
def test_a_release_costs_as_much_with_a_hundred_waiters_as_with_one(kind: str) -> None:
    async def cost(server: EmbeddedServer, waiters: int) -> int:
        def watches() -> int:
            return server.call(lambda core: core.watches.data.counts()[2])

        async with AsyncClient(server.hosts) as zk:
            # A leader watches its node, as does the first who waits; in one client that is one watch of the server's.
            own = 1 if kind == "election" else 0
            gate = asyncio.Event()
            taken = 0

            async def wait() -> None:
                nonlocal taken
                async with MAKE[kind](zk):
                    taken += 1
                    await gate.wait()

            holder = MAKE[kind](zk)
            async with holder:
                tasks = [asyncio.create_task(wait()) for _ in range(waiters)]
                await until(lambda: watches() == max(waiters, own))
                before = server.call(lambda core: core.received)
            await until(lambda: taken == 1 and watches() == max(waiters - 1, own))
            after = server.call(lambda core: core.received)
            gate.set()
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*tasks)
        return after - before

    with EmbeddedServer() as server:
        one, hundred = asyncio.run(cost(server, 1)), asyncio.run(cost(server, 100))
    assert hundred <= one + 1 <= 6, (one, hundred)
