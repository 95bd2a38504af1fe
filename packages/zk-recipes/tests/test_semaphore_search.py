"""The search for faults of a semaphore: seeded schedules, with everything that can go wrong at any await."""

from __future__ import annotations

import pytest
from finding import finds
from schedules import on_every_schedule, some
from sim_storm import Storm
from sim_world import FAULTS
from simulated import Faults, faults_of

from zk_client import Port
from zk_recipes import AsyncSemaphore, LockTimeout, semaphore
from zk_recipes._holding import OwnNode
from zk_recipes._queue import Attempt, Place, Queue
from zk_recipes._sequence import Contender
from zk_recipes.semaphore import _Leases
from zk_wire import ZooKeeperError, join_path

PATH = "/pool"


class Counting(_Leases):
    """Naive: counts, and makes a lease when there is room, without a guard."""

    async def compete(self, attempt: Attempt, blocking: bool) -> Place | None:
        port = attempt.port
        while True:
            attempt.check()
            try:
                await self._read_limit(port)
                if len(await port.get_children(self._leases)) < (self.limit or 0):
                    guid = attempt.guid = port.guid()
                    path, stat = await port.create_with_stat(
                        join_path(self._leases, guid), self._data, ephemeral=True, unique=True
                    )
                    node = OwnNode(path, guid, stat.ephemeral_owner, stat.czxid, stat.version)
                    return Place(node, Contender(guid, 0))
            except ZooKeeperError:
                if attempt.guid is not None:
                    self.abandon(attempt.guid, port.session_id)
            await port.sleep(0.05)


class ForgetsTheLease(_Leases):
    """Naive: cleans its place in the queue up, and not the lease that may have been made."""

    def abandon(self, guid: str, session_id: int | None) -> None:
        Queue.abandon(self, guid, session_id)


def search(seed: int, leases: type[_Leases] = _Leases, *, faults: Faults = FAULTS, resizing: bool = True) -> set[str]:
    """Let three or four clients hold a semaphore of one to three leases, change the number, and check everything."""
    storm = Storm(seed, 3 + seed % 2, faults=faults, troubles=8)
    sim, server = storm.sim, storm.server
    number = 1 + int(sim.random() * 3)
    told = [_ignore if sim.random() < 0.5 else None for _ in storm.clients]
    # The number is there already: who names one is refused after it was changed.
    server.ensure_path(PATH)
    sim.prepare(lambda: server.set(0, PATH, str(number).encode()))
    pool = [
        AsyncSemaphore(client, PATH, client.name, None, on_lost=on_lost)
        for client, on_lost in zip(storm.clients, told, strict=True)
    ]
    for one in pool:
        one._queue.__class__ = leases
    seen: set[str] = set()
    before = 0
    highest = number

    def bounded() -> None:
        nonlocal before, highest
        data, stat = server.get(PATH)
        limit, there = int(data or b"0"), stat.num_children
        assert there <= before or there <= limit, f"a lease too many: {there} of {limit}"
        highest = limit if there <= limit else max(limit, highest)
        before = there
        holders = [one for one in pool if one.is_acquired]
        assert len(holders) <= highest, f"{len(holders)} holders at once, of {highest}"

    sim.always(bounded)

    async def body(client: int) -> None:
        mine = pool[client]
        for _ in range(2):
            await sim.sleep(sim.between(0.0, 0.1))
            try:
                if not await mine.acquire(timeout=sim.between(0.5, 60.0) if sim.random() < 0.3 else None):
                    continue
            except LockTimeout:
                seen.add("timeout")
                continue
            try:
                seen.add("held")
                await sim.sleep(sim.between(0.0, 0.1 if sim.random() < 0.8 else 20.0))
                if resizing and sim.random() < 0.2:
                    seen.add("resized")
                    try:
                        await mine.resize(1 + int(sim.random() * 3))
                    except ZooKeeperError:
                        seen.add("not resized")
            finally:
                await mine.release()

    def intrude() -> None:
        # Guards that wait, and the node itself while nobody is there: what happens to a holder is a test of its own.
        guards = storm.ephemerals(f"{PATH}-__lock__/")
        if len(guards) > 1:
            server.intrude(guards[-1])
        elif guards:
            server.intrude(guards[0])

    storm.run(body, intrude)
    return seen


def _ignore() -> None:
    pass


@on_every_schedule
def test_never_more_leases_than_the_number_says(seeds: range) -> None:
    seen: set[str] = set()
    for seed in seeds:
        seen |= search(seed)
    assert {"held", "resized"} <= seen or len(seeds) < 100


@pytest.mark.parametrize("kind", ["lose request", "lose reply", "cut", "hang", "freeze"])
def test_each_kind_of_fault_alone_is_survived_by_a_semaphore(kind: str) -> None:
    for seed in some(50, least=20):
        search(seed, faults=faults_of(rate=0.3, limit=12, kinds=(kind,)))


@pytest.mark.parametrize(
    ("leases", "symptom"), [(Counting, "a lease too many"), (ForgetsTheLease, "left behind|waiting|too many")]
)
def test_the_search_finds_a_naive_semaphore(leases: type[_Leases], symptom: str) -> None:
    finds(lambda seed: search(seed, leases), symptom)


def test_the_search_finds_a_semaphore_that_does_not_check_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    commit = semaphore.commit_witnessed

    async def unchecked(port: Port, operations: list, witness: str, session_id: int) -> object:  # type: ignore[type-arg]
        return await commit(port, operations[1:], witness, session_id)

    monkeypatch.setattr(semaphore, "commit_witnessed", unchecked)
    finds(lambda seed: search(seed, faults=faults_of(rate=0.0, limit=0)), "a lease too many")
