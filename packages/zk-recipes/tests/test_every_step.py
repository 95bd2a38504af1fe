"""Every recipe, with something that goes wrong at its first step, at its second, and so on to its last.

On the real client and an embedded server. The searches try the same in virtual time, at more moments and in every
combination; here the client, its reconnects and its clean-up are those that users have.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from every_recipe import PROTECTED, USES, UnansweredError, Use
from heard import PATIENCE, Heard

from zk_client import AsyncClient
from zk_recipes import LockLostError, UndecidedError
from zk_testing import EmbeddedServer, Settings
from zk_testing.faults import Fault, FaultProxy
from zk_wire import ConnectionLostError, SessionExpiredError, ZooKeeperError

FAULTS = ["lost reply", "cut", "expiry"]
# What a use may raise when its session ends: what it held is lost, or nobody can tell what became of a write.
OF_THE_END = (LockLostError, UndecidedError, SessionExpiredError, ConnectionLostError)
# What it may raise when only the connection does: those that do not wait for one.
OF_THE_CONNECTION: dict[str, tuple[type[ZooKeeperError], ...]] = {
    "read_write": (ConnectionLostError,),  # downgrade, which has not been applied
    "durable_lease": (ConnectionLostError,),  # renew
    "non_blocking_lease": (ConnectionLostError,),
    "multi_non_blocking_lease": (ConnectionLostError,),
}
MOST_STEPS = 100


class Stage:
    """A server, a client behind a proxy, and one beside it."""

    def __init__(self, server: EmbeddedServer, proxy: FaultProxy, zk: AsyncClient, other: AsyncClient) -> None:
        self.server = server
        self.proxy = proxy
        self.zk = zk
        self.other = other

    async def use(self, use: Use, kind: str, nth: int, allowed: tuple[type[Exception], ...]) -> bool:
        """Use a recipe while something goes wrong at its nth step; whether there was one."""
        fault = self._set(kind, nth)
        using = asyncio.ensure_future(use(self.zk, self.other))
        try:
            async with asyncio.timeout(PATIENCE):
                if kind == "expiry":
                    await self._expire(fault, using)
                await using
        except allowed:
            if not fault.struck:
                raise
        except BaseException as error:
            error.add_note(f"{kind} at step {nth}: {fault.struck}")
            raise
        self.proxy.heal()
        return bool(fault.struck)

    def _set(self, kind: str, nth: int) -> Fault:
        match kind:
            case "lost reply":
                return self.proxy.lose_reply("any", nth)
            case "cut":
                return self.proxy.cut_before("any", nth)
            case _:
                return self.proxy.lose_request("any", nth, then="freeze")

    async def _expire(self, fault: Fault, using: asyncio.Future[None]) -> None:
        """End the session when the fault has struck, and have the client know."""
        while not fault.struck:
            if using.done():
                return
            await self.other.sync("/")
        session_id = self.zk.session_id
        heard = Heard()
        self.zk.add_listener(heard)
        if session_id is not None:
            self.server.expire_session(session_id)
        self.proxy.heal()
        await heard.until(lambda: self.zk.session_id not in (None, session_id))
        self.zk.remove_listener(heard)

    def left(self) -> list[str]:
        """What is left on the server and in the client: ephemeral nodes, watches, listeners."""

        def look(_: object) -> list[str]:
            tree, watches = self.server.core.tree, self.server.core.watches
            nodes = [path for path, node in tree.nodes.items() if node.owner > 0]
            count = watches.data.counts()[2] + watches.child.counts()[2]
            return nodes + ([f"{count} watches"] if count else [])

        return self.server.call(look) + [repr(listener) for listener in self.zk.handler.listeners]

    async def is_clean(self) -> None:
        """Wait until nothing is left: what the client still has to clear away goes out between its syncs."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while self.left():
                    await self.zk.sync("/")
        assert self.left() == []


async def steps(use: Use, kind: str, allowed: tuple[type[Exception], ...]) -> int:
    """Use a recipe again and again, with a fault at a later step each time; how many steps there were."""
    with EmbeddedServer(settings=Settings(tick_ms=50)) as server, FaultProxy(server) as proxy:
        async with AsyncClient(proxy.hosts, 4.0) as zk, AsyncClient(server.hosts, 4.0) as other:
            await other.create(PROTECTED, b"0")
            stage = Stage(server, proxy, zk, other)
            for nth in range(1, MOST_STEPS):
                struck = await stage.use(use, kind, nth, allowed)
                assert await zk.wait_connected(PATIENCE)
                async with asyncio.timeout(PATIENCE):
                    await use(zk, other)
                await stage.is_clean()
                if not struck:
                    return nth - 1
    raise AssertionError(f"still going on after {MOST_STEPS} steps")


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("name", USES)
def test_a_recipe_keeps_its_promise_whichever_step_fails(name: str, kind: str) -> None:
    allowed = (UnansweredError, *OF_THE_CONNECTION.get(name, ()), *(OF_THE_END if kind == "expiry" else ()))
    count = asyncio.run(steps(USES[name], kind, allowed))
    assert count > 0
