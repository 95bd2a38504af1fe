"""Faults seen on other clients that no search is for, each on ours and on a naive version that has it.

Rule: a check raises AssertionError where it finds the fault. It finds none on ours, and finds it on the naive one.
The other faults have searches, which find their naive versions; docs/defects.md says where each is kept out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from data_world import DataWorld
from sim_world import PATH, World, lock
from simulated import SimulationFailedError

from zk_client import TransactionFailedError
from zk_recipes import AsyncLockingQueue, LockTimeout, _claims
from zk_recipes import lock as lock_module
from zk_recipes._claims import Claims
from zk_recipes._queue import Attempt
from zk_recipes._waiting import Patience

Check = Callable[[], None]


# K8: a time-out that begins anew with each predecessor


def total_time() -> None:
    """Six are ahead, and one of them goes every 0.4 seconds; we give up after a second."""
    world = World(clients=8)
    waited: list[float] = []

    async def ahead(number: int) -> None:
        await world.sim.sleep(number * 0.01)
        await world.clients[number].port.create(
            f"{PATH}/{number:032x}__lock__", b"", ephemeral=True, sequence=True, makepath=True
        )

    async def go() -> None:
        await world.sim.sleep(1.0)
        for path in reversed(world.queue()[1:7]):
            await world.sim.sleep(0.4)
            world.server.intrude(path)

    async def body() -> None:
        await world.sim.sleep(0.5)
        before = world.sim.now()
        with pytest.raises(LockTimeout):
            await lock(world, 7).acquire(timeout=1.0)
        waited.append(world.sim.now() - before)

    world.run(*(ahead(number) for number in range(7)), go(), body(), clean=False)
    assert waited[0] < 1.1, f"waited for {waited[0]:.1f} s instead of 1 s"


class BeginsAnew(Attempt):
    """Gives each predecessor the whole time."""

    __slots__ = ("_timeout",)

    def __init__(self, port: Any, path: str, timeout: float | None) -> None:
        super().__init__(port, path, timeout)
        self._timeout = timeout or 0.0

    async def sleep(self, longest: float | None = None) -> None:
        await super().sleep(longest)
        if (self.remaining or 0.0) > 0:
            self._deadline = self._port.now() + self._timeout
            self.port = self._port.until(self._deadline)


def test_a_timeout_that_begins_anew_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    total_time()
    monkeypatch.setattr(lock_module, "Attempt", BeginsAnew)
    with pytest.raises(AssertionError, match="instead of 1 s"):
        total_time()


# K2: a transaction whose result nobody looks at


def consumed_or_not(claims: type[Claims]) -> None:
    """A stranger deletes the entry that is held."""
    world = DataWorld()

    async def body() -> None:
        queue = AsyncLockingQueue(world.clients[0], "/queue")
        queue._claims.__class__ = claims
        await queue.put(b"1")
        assert await queue.get() == b"1"
        (entry,) = [path for path in world.server.paths() if "/entries/" in path]
        assert world.server.intrude(entry)
        assert await queue.consume() is False, "consumed what was not there"

    world.finish(body())


class LooksAway(Claims):
    """Commits, and says that all is well."""

    async def consume(self, patience: Any, claim: Any, effects: Any = ()) -> bool:
        try:
            await super().consume(patience, claim, effects)
        except TransactionFailedError:
            pass
        return True


def test_a_consume_that_does_not_look_at_its_transaction_is_found() -> None:
    consumed_or_not(Claims)
    with pytest.raises(SimulationFailedError, match="consumed what was not there"):
        consumed_or_not(LooksAway)


# K13, K14: listeners and watches of those who gave up


def gives_up_twenty_times() -> None:
    """Twenty waits for a lock, and twenty for an entry, whose time runs out."""
    world = DataWorld(clients=2)

    async def body() -> None:
        holder = lock(world)
        await holder.acquire()
        for _ in range(20):
            with pytest.raises(LockTimeout):
                await lock(world, 1).acquire(timeout=0.1)
            assert await AsyncLockingQueue(world.clients[1], "/queue").get(timeout=0.1) is None
        await holder.release()

    world.finish(body())


async def keep(watches: Any) -> None:
    """Close nothing."""


def test_what_is_left_by_those_who_gave_up_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    gives_up_twenty_times()
    with monkeypatch.context() as naive:
        naive.setattr(Patience, "end", lambda patience: None)
        with pytest.raises(SimulationFailedError, match="left behind: client-1: the listener"):
            gives_up_twenty_times()
    monkeypatch.setattr(_claims, "_close", keep)
    with pytest.raises(SimulationFailedError, match="left behind: watch on /queue"):
        gives_up_twenty_times()
