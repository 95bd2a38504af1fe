"""A transaction of which nobody heard is known by its witness, or it is said that nobody knows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from data_world import DataWorld, end_the_session_at_the_next_commit, lose_next_commit
from sim_world import Client

from zk_client import TransactionFailedError
from zk_recipes._settling import commit_witnessed
from zk_wire import ConnectionLostError, CreateMode, CreateRequest, NodeExistsError, Outcome, SessionExpiredError

WITNESS = "/app/witness"


async def settle(client: Client) -> int | None:
    """Create the witness; its creation zxid, if the server has told."""
    session = client.session_id
    assert session is not None
    stat = await commit_witnessed(
        client.port, [CreateRequest(WITNESS, b"", (), CreateMode.EPHEMERAL)], WITNESS, session
    )
    return None if stat is None else stat.czxid


def test_a_witness_that_is_there_tells_that_all_was_applied() -> None:
    world = DataWorld(0, 1)
    client = world.clients[0]

    async def body() -> None:
        await client.port.ensure_path("/app")
        lose_next_commit(world, client, applied=True)
        czxid = await settle(client)
        stat = await client.port.exists(WITNESS)
        assert stat is not None and stat.czxid == czxid
        await client.port.delete(WITNESS)

    world.finish(body())


@pytest.mark.parametrize("there", [False, True], ids=["no witness", "the witness of another session"])
def test_a_witness_that_is_not_ours_tells_that_nothing_was(there: bool) -> None:
    world = DataWorld(0, 2)
    client, other = world.clients

    async def body() -> None:
        await client.port.ensure_path("/app")
        lose_next_commit(world, client)
        if there:
            world.sim.spawn(intrude(), "other")
        with pytest.raises(ConnectionLostError) as lost:
            await settle(client)
        assert lost.value.outcome is Outcome.NOT_APPLIED
        assert (await client.port.exists(WITNESS) is not None) is there
        if there:
            await other.port.delete(WITNESS)

    async def intrude() -> None:
        await world.sim.sleep(0.2)
        await other.port.create(WITNESS, b"", ephemeral=True)

    world.finish(body())


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("gives_up", [True, False], ids=["gives up looking", "looks to the end"])
def test_nobody_knows_after_the_end_of_the_session(applied: bool, gives_up: bool) -> None:
    world = DataWorld(0, 1)
    client = world.clients[0]
    if gives_up:
        client.zk.handler.core.config = client.zk.handler.core.config._replace(resolve_timeout=0.05)

    async def body() -> None:
        await client.port.ensure_path("/app")
        end_the_session_at_the_next_commit(world, client, applied=applied)
        with pytest.raises((ConnectionLostError, SessionExpiredError)) as lost:
            await settle(client)
        assert lost.value.outcome is Outcome.UNKNOWN

    world.finish(body())


def test_the_ensemble_agrees_before_a_missing_witness_counts() -> None:
    world = DataWorld(0, 1)
    client = world.clients[0]
    asked: list[str] = []

    async def body() -> None:
        await client.port.ensure_path("/app")
        lose_next_commit(world, client)
        lose = client.on_request
        assert lose is not None
        client.on_request = both(lose)
        with pytest.raises(ConnectionLostError):
            await settle(client)

    def both(lose: Callable[[str], None]) -> Callable[[str], None]:
        def listen(what: str) -> None:
            lose(what)
            client.on_request = asked.append

        return listen

    world.finish(body())
    assert asked[-2:] == ["commit ", f"exists {WITNESS}"]


def test_what_the_servers_refuse_comes_out() -> None:
    world = DataWorld(0, 1)
    client = world.clients[0]

    async def body() -> None:
        await client.port.create(WITNESS, b"", makepath=True)
        with pytest.raises(TransactionFailedError) as refused:
            await settle(client)
        assert isinstance(refused.value.error, NodeExistsError)

    world.finish(body())
