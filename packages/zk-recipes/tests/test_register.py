"""What a node shows, after the end of the session that wrote it, of a write of which nobody heard."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from data_world import DataWorld, end_the_session_at_the_next_commit
from simulated import SimulatedServer

from zk_recipes import UndecidedError
from zk_recipes._deciding import MARKERS, patience_for
from zk_recipes._register import Reading, Register

PATH = "/values/one"
OURS = b"ours"

Stranger = Callable[[SimulatedServer], object]


def write(server: SimulatedServer, data: bytes = b"theirs") -> None:
    server.set(server.open_session(), PATH, data)


def write_twice(server: SimulatedServer) -> None:
    write(server)
    write(server)


def create(server: SimulatedServer, data: bytes = b"theirs") -> None:
    server.create(server.open_session(), PATH, data)


def delete(server: SimulatedServer) -> None:
    server.intrude(PATH)


def create_again(server: SimulatedServer) -> None:
    delete(server)
    create(server)


def nothing(_: SimulatedServer) -> None:
    pass


@pytest.mark.parametrize(
    ("there", "applied", "then", "is_refused"),
    [
        # A node was seen.
        pytest.param(True, False, nothing, True, id="untouched"),
        pytest.param(True, False, write, True, id="written by another"),
        pytest.param(True, True, nothing, False, id="written by us"),
        pytest.param(
            True, False, lambda server: write(server, OURS), False, id="written by another, who says the same"
        ),
        pytest.param(True, True, write, False, id="written by us, and by another"),
        pytest.param(True, False, write_twice, False, id="written twice by another"),
        pytest.param(True, False, delete, False, id="deleted"),
        pytest.param(True, False, create_again, False, id="deleted and created again"),
        pytest.param(True, True, create_again, False, id="written by us, deleted and created again"),
        # None was.
        pytest.param(False, False, nothing, False, id="not created"),
        pytest.param(False, True, nothing, False, id="created by us"),
        pytest.param(False, False, create, False, id="created by another"),
        pytest.param(False, False, lambda server: create(server, OURS), False, id="the same created by another"),
        pytest.param(False, True, write, False, id="created by us, written by another"),
        pytest.param(False, True, create_again, False, id="created by us, and again by another"),
    ],
)
def test_a_write_is_refused_only_where_the_node_could_not_look_so_after_it(
    there: bool, applied: bool, then: Stranger, is_refused: bool
) -> None:
    world = DataWorld(0, 1)
    client, server, sim = world.clients[0], world.server, world.sim

    async def body() -> None:
        register = Register(PATH)
        patience = patience_for(client.port, PATH, "testing", None)
        seen: Reading | None = None
        await client.port.ensure_path(PATH + MARKERS)
        if there:
            await client.port.create(PATH, b"first")
            seen = await register.read(client.port)
        session = client.session_id
        assert session is not None
        end_the_session_at_the_next_commit(world, client, applied=applied)

        async def meanwhile() -> None:
            while not server.is_over(session):
                await sim.sleep(0.5)
            then(server)

        sim.spawn(meanwhile(), "stranger")
        try:
            if is_refused:
                assert await register.replace(patience, OURS, seen) is None
            else:
                with pytest.raises(UndecidedError):
                    await register.replace(patience, OURS, seen)
        finally:
            patience.end()
        assert client.session_id != session

    world.finish(body())


def test_what_shows_a_refusal_is_read_after_an_agreement() -> None:
    # A session that is local to its server may be on one that has not heard of the write yet.
    world = DataWorld(0, 1)
    client = world.clients[0]
    asked: list[str] = []

    async def body() -> None:
        register = Register(PATH)
        patience = patience_for(client.port, PATH, "testing", None)
        await client.port.ensure_path(PATH + MARKERS)
        await client.port.create(PATH, b"first")
        seen = await register.read(client.port)
        session = client.session_id
        assert session is not None
        end_the_session_at_the_next_commit(world, client, applied=False)

        async def listen() -> None:
            while client.session_id == session:
                await world.sim.sleep(0.5)
            client.on_request = asked.append

        world.sim.spawn(listen(), "listener")
        assert await register.replace(patience, OURS, seen) is None
        patience.end()

    world.finish(body())
    assert asked == ["commit ", f"get {PATH}"]
