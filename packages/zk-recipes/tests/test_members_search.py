"""The search for faults of nodes that are kept, and of parties made of them; and naive ones on which it finds them."""

from __future__ import annotations

import contextlib
from typing import Any
from unittest import mock

import pytest
from finding import finds
from schedules import on_every_schedule, some
from sim_world import FAULTS, World
from simulated import NO_FAULTS, Faults, faults_of

from zk_recipes import AsyncParty, AsyncPersistentNode, AsyncShallowParty
from zk_recipes import party as party_module
from zk_wire import NotEmptyError, Stat

PATH = "/group/members"


def chaos(
    seed: int, member_type: type[AsyncPersistentNode] = AsyncPersistentNode, *, faults: Faults = NO_FAULTS
) -> World:
    """Let members join and leave while strangers delete what they find; in the end everybody is what it says."""
    world = World(seed, 3 if seed % 3 == 0 else 2, faults=faults)
    sim, server = world.sim, world.server
    kind = AsyncShallowParty if seed % 2 else AsyncParty
    parties = [kind(client, PATH, client.name) for client in world.clients]

    def honest() -> None:
        for party, client in zip(parties, world.clients, strict=True):
            if party.participating:
                assert client.session_id is not None and not server.is_over(client.session_id), (
                    f"{client.name} takes part in a session that is over"
                )

    sim.always(honest)

    async def trouble() -> None:
        for _ in range(10):
            await sim.sleep(sim.between(0.0, 0.1 if sim.random() < 0.6 else 12.0))
            victim = sim.choose(world.clients)
            match int(sim.random() * 5):
                case 0:
                    for name in sorted(server.children(PATH)) if server.stat(PATH) else []:
                        if sim.random() < 0.7:
                            server.intrude(f"{PATH}/{name}")
                    server.intrude(PATH)
                    server.intrude("/group")
                case 1 if server.has_leader:
                    for name in sorted(server.children(PATH)) if server.stat(PATH) else []:
                        with contextlib.suppress(NotEmptyError):
                            server.set(server.open_session(), f"{PATH}/{name}", b"a stranger's")
                case 2 if faults.limit:
                    victim.cut(sim.between(0.5, 25.0))
                case 3 if faults.limit:
                    victim.freeze(sim.between(0.5, 25.0))
                case _:
                    pass

    async def life(party: AsyncParty) -> None:
        await sim.sleep(sim.between(0.0, 0.2))
        await party.join(sim.between(0.1, 5.0) if sim.random() < 0.5 else None)
        if sim.random() < 0.4:
            await sim.sleep(sim.between(0.0, 8.0))
            await party.leave()
            await sim.sleep(sim.between(0.0, 0.5))
            await party.join(60.0)

    async def play() -> None:
        members = [
            sim.spawn(life(party), f"member {number}", home=client)
            for number, (party, client) in enumerate(zip(parties, world.clients, strict=True))
        ]
        await sim.spawn(trouble(), "trouble").join()
        for member in members:
            await member.join()
        await sim.sleep(60)
        sim.world.calm = True
        await sim.sleep(100)
        found = {}
        for name in server.children(PATH):
            data, stat = server.get(f"{PATH}/{name}")
            found[data] = stat.ephemeral_owner
        expected = {client.name.encode(): client.session_id for client in world.clients}
        assert found == expected, f"{found} take part, and should {expected}"
        assert all(party.participating for party in parties), "somebody takes part, and does not know it"
        for party in parties:
            assert sorted(await party.members()) == sorted(client.name for client in world.clients)
            assert await party.count() == len(parties)
        sim.world.calm = False
        leaving = [sim.spawn(party.leave(), "leaving") for party in parties]
        if faults.limit:
            sim.choose(world.clients).cut(sim.between(0.5, 25.0))
        for one in leaving:
            await one.join()

    with mock.patch.object(party_module, "AsyncPersistentNode", member_type):
        world.run(play(), clean=False)
    leaks = [leak for leak in world.leaks() if not leak.startswith("node")]
    if nodes := [path for path in server.paths() if path.startswith(PATH + "/")]:
        leaks += nodes
    if leaks:
        raise AssertionError(f"seed {seed}: left behind {leaks}")
    return world


@on_every_schedule
def test_members_come_back_whatever_goes_wrong(seeds: range) -> None:
    for seed in seeds:
        chaos(seed, faults=FAULTS)


@pytest.mark.parametrize("kind", ["lose request", "lose reply", "cut", "hang", "freeze"])
def test_each_kind_of_fault_alone_is_survived_at_every_request(kind: str) -> None:
    for seed in some(50, least=20):
        chaos(seed, faults=faults_of(rate=0.3, limit=12, kinds=(kind,)))


# Naive members


class TakesWhatItFinds(AsyncPersistentNode):
    """Takes a node that bears its name for its own, as kazoo's party does with a leftover of its own session."""

    @property
    def exists(self) -> bool:
        return self._stat is not None

    def _is_ours(self, stat: Stat) -> bool:
        return True


class JoinsOnce(AsyncPersistentNode):
    """Creates its node, and that is all."""

    def due(self) -> float | None:
        return None if self._stat is not None and not self._closing else super().due()


class LeavesInOneStep(AsyncPersistentNode):
    """Deletes its node once, and does not care what came of it."""

    async def attend(self) -> None:
        closing = self._closing
        await super().attend()
        if closing:
            self._end(RuntimeError("left"))


@pytest.mark.parametrize(
    ("member", "symptom"),
    [
        (TakesWhatItFinds, "takes part in a session that is over"),
        (JoinsOnce, "take part"),
        (LeavesInOneStep, "left behind|take part"),
    ],
)
def test_the_search_finds_a_naive_member(member: Any, symptom: str) -> None:
    finds(lambda seed: chaos(seed, member, faults=FAULTS), symptom)
