"""A node that is kept, in virtual time: what it makes of a creation of which nobody heard."""

from __future__ import annotations

import pytest
from data_world import DataWorld, lose_next_commit

from zk_recipes import AsyncPersistentNode

PATH = "/group/member"


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_a_creation_of_which_nobody_heard_is_ours_in_the_same_session(seed: int, applied: bool) -> None:
    world = DataWorld(seed, 1)
    client = world.clients[0]

    async def body() -> None:
        await client.port.ensure_path("/group")
        session = client.session_id
        lose_next_commit(world, client, applied=applied, kind="create")
        node = AsyncPersistentNode(client, PATH, b"here")
        await node.start()
        assert await node.wait(10.0) and node.exists
        stat = world.server.stat(PATH)
        assert stat is not None and stat.ephemeral_owner == session == client.session_id
        assert await node.close() is True
        assert world.server.stat(PATH) is None

    world.finish(body())


def test_a_node_of_somebody_else_is_not_ours_although_our_creation_was_lost() -> None:
    world = DataWorld(0, 2)
    client, other = world.clients

    async def body() -> None:
        await client.port.ensure_path("/group")
        lose_next_commit(world, client, kind="create")
        node = AsyncPersistentNode(client, PATH, b"here")
        await node.start()
        await world.sim.sleep(0.2)
        await other.port.create(PATH, b"theirs", ephemeral=True)
        assert await node.wait(10.0) is False and not node.exists
        await other.port.delete(PATH)
        assert await node.wait(10.0) and node.exists
        await node.close()

    world.finish(body())
