"""PatientChildrenWatch: on threads, and searched for faults in the simulation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sim_world import FAULTS, World
from telling import PATIENCE, server_watches, wait_for_threads_to_end, wait_until

from zk_client import Client, SessionClosedError
from zk_recipes import AsyncPatientChildrenWatch, PatientChildrenWatch
from zk_testing.member import ZooKeeperServer

MakeClient = Callable[..., Client]
NODE = "/n"


def test_settled_children_are_the_latest_and_the_next_change_is_told() -> None:
    for seed in range(300):
        world = World(seed, 1, faults=FAULTS)
        sim, server, (client,) = world.sim, world.server, world.clients
        changes: list[float] = []

        async def change(world: World = world, changes: list[float] = changes) -> None:
            sim, server = world.sim, world.server
            for number in range(6):
                await sim.sleep(sim.between(0.0, 4.0))
                server.ensure_path(f"{NODE}/{number}")
                changes.append(sim.now())

        async def life(world: World = world, changes: list[float] = changes) -> None:
            sim, server, (client,) = world.sim, world.server, world.clients
            watch = AsyncPatientChildrenWatch(client, NODE, time_boundary=5.0)
            changing = sim.spawn(change(), "changing")
            names, changed = await watch.start().get()
            now = len(changes)
            if client.is_connected and not client.frozen_until > sim.now() - 5.0:
                assert len(names) <= now
            await changing.join()
            if len(names) < 6 or changed.ready:
                assert await changed.get() is True
                names, changed = await watch.start().get()
            assert sorted(names) == [str(number) for number in range(6)]
            assert sim.now() - changes[-1] >= 5.0
            if not changed.ready:
                server.ensure_path(f"{NODE}/late")
            assert await changed.get() is True

        sim.spawn(life(), "life")
        sim.run()
        assert [path for path in server.watches() if path] == [] and client.leaks() == []


def test_threads_are_told_when_children_settle_and_when_they_change(make_client: MakeClient) -> None:
    zk = make_client()
    zk.create("/n/c", makepath=True)
    watch = PatientChildrenWatch(zk, NODE, time_boundary=0.05)
    later = watch.start()
    names, changed = later.get(PATIENCE)
    assert names == ["c"] and later.ready and not changed.ready
    with pytest.raises(TimeoutError):
        changed.get(0.01)
    zk.create("/n/d")
    assert changed.get(PATIENCE) is True
    wait_for_threads_to_end("zk-client children")


@pytest.mark.parametrize("how", ["stop", "again", "client"])
def test_a_stopped_round_leaves_nothing(make_client: MakeClient, zk_server: ZooKeeperServer, how: str) -> None:
    zk, other = make_client(), make_client()
    before = server_watches(zk_server)
    watch = PatientChildrenWatch(zk, "/missing", time_boundary=0.01)
    names, changed = watch.start().get(PATIENCE)
    assert names == [] and server_watches(zk_server) == before + 1
    if how == "stop":
        watch.stop()
    elif how == "again":
        watch.start().get(PATIENCE)
        watch.stop()
    else:
        zk.stop()
    with pytest.raises(SessionClosedError):
        changed.get(PATIENCE)
    wait_for_threads_to_end("zk-client children")
    other.sync("/")
    if how != "client":
        zk.sync("/")
    wait_until(lambda: server_watches(zk_server) == before)


def test_a_boundary_that_means_nothing_is_refused() -> None:
    for boundary in (-1, "5", float("nan"), True):
        with pytest.raises(ValueError, match="time_boundary"):
            AsyncPatientChildrenWatch(World(clients=1).clients[0], NODE, boundary)  # type: ignore[arg-type]
