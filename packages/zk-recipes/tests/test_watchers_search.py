"""The search for faults of watches: seeded schedules in virtual time, and naive watches on which it finds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from finding import finds
from schedules import on_every_schedule
from sim_world import FAULTS, Client, World
from simulated import NO_FAULTS, Faults

from zk_client import EventType, WatchedEvent
from zk_recipes import AsyncChildrenWatch, AsyncDataWatch
from zk_testing.errors import ConversationError
from zk_wire import NoNodeError, NotEmptyError

NODE = "/n"
Make = Callable[[Client, Callable[..., object]], Any]


async def change(world: World, rounds: int) -> None:
    """Change, delete and create a node and its children as the seed wants."""
    sim, server = world.sim, world.server
    await server.ready()
    session = server.open_session()
    for number in range(rounds):
        await sim.sleep(sim.between(0.0, 0.02 if sim.random() < 0.6 else 8.0))
        child = f"{NODE}/{int(sim.random() * 2)}"
        await server.ready()
        try:
            match int(sim.random() * 6):
                case 0:
                    server.ensure_path(NODE)
                case 1:
                    server.set(session, NODE, b"%d" % number)
                case 2:
                    for name in server.children(NODE):
                        server.delete(session, f"{NODE}/{name}")
                    server.delete(session, NODE)
                    if sim.random() < 0.5:
                        server.ensure_path(NODE)
                case 3:
                    server.delete(session, child)
                case _:
                    server.ensure_path(child)
        except (NoNodeError, NotEmptyError, ConversationError):  # the last: by a leader who is about to lose its office
            pass


def chaos(seed: int, make: Make, latest: Callable[[World], object], *, faults: Faults = NO_FAULTS) -> World:
    """Watch a node that changes, through everything that goes wrong; the last word must be the truth."""
    world = World(seed, 1, faults=faults)
    sim, client = world.sim, world.clients[0]
    told: list[object] = []

    def listen(*arguments: object) -> object:
        sim.note("function", f"is told {arguments!r:.60}")
        told.append(arguments)
        if sim.random() < 0.1:
            raise ValueError("a bug of the user's")
        return None

    async def life() -> None:
        changing = sim.spawn(change(world, 12), "changing")
        watch = make(client, listen)
        if faults.limit:
            await sim.sleep(sim.between(0.0, 1.0))
            client.cut(sim.between(0.1, 25.0))
        await changing.join()
        await sim.sleep(120)
        assert told and told[-1] == latest(world), f"told {told[-1:]}, but it is {latest(world)}"
        await watch.stop()
        count = len(told)
        world.server.ensure_path(f"{NODE}/late")
        await sim.sleep(60)
        assert len(told) == count

    world.run(life(), clean=False)
    if leaks := [leak for leak in world.leaks() if not leak.startswith("node")]:
        raise AssertionError(f"seed {seed}: left behind {leaks}")
    return world


def data(world: World) -> object:
    try:
        return world.server.get(NODE)[0], world.server.get(NODE)[1].mzxid
    except NoNodeError:
        return None, None


def children(world: World) -> object:
    try:
        return sorted(world.server.children(NODE))
    except NoNodeError:
        return []


def watch_data(client: Client, listen: Callable[..., object]) -> AsyncDataWatch:
    return AsyncDataWatch(client, NODE, lambda data, stat: listen(data, stat and stat.mzxid))


def watch_children(client: Client, listen: Callable[..., object]) -> AsyncChildrenWatch:
    return AsyncChildrenWatch(client, NODE, lambda names: listen(sorted(names)))


def last_children(world: World) -> object:
    return (children(world),)


def search_data(seed: int, *, faults: Faults = FAULTS) -> None:
    chaos(seed, watch_data, data, faults=faults)


def search_children(seed: int, *, faults: Faults = FAULTS) -> None:
    chaos(seed, watch_children, last_children, faults=faults)


@pytest.mark.filterwarnings("ignore")
@on_every_schedule
def test_the_last_call_tells_the_latest_state_whatever_goes_wrong(seeds: range) -> None:
    for seed in seeds:
        search_data(seed)


@on_every_schedule
def test_the_last_call_tells_the_latest_children_whatever_goes_wrong(seeds: range) -> None:
    for seed in seeds:
        search_children(seed)


# Naive watches


class Naive:
    """A watch that believes what most believe: it reads when it is told, and that is all."""

    def __init__(self, client: Client, listen: Callable[..., object]) -> None:
        self.port = client.port
        self.listen = listen
        self.watch: Any = None
        self.port.spawn(self.follow(), "naive")

    async def follow(self) -> None:
        event: WatchedEvent | None = None
        while event is None or event.type is not EventType.NONE:
            try:
                self.watch = self.port.watcher()
                names = await self.port.get_children(NODE, self.watch)
            except NoNodeError:
                return  # kazoo's ChildrenWatch is dead from here on
            self.tell(names)
            event = await self.watch.wait()

    def tell(self, names: list[str]) -> None:
        try:
            self.listen(sorted(names))
        except ValueError:
            pass

    async def stop(self) -> None:
        await self.watch.close()


class LooksFirst(Naive):
    """Reads first, and watches after."""

    async def follow(self) -> None:
        while True:
            try:
                self.tell(await self.port.get_children(NODE))
            except NoNodeError:
                self.tell([])
            self.watch = self.port.watcher()
            await self.port.exists(f"{NODE}", self.watch)
            if await self.watch.wait(30.0) is None:
                return


@pytest.mark.parametrize("naive", [Naive, LooksFirst])
def test_the_search_finds_a_naive_watch(naive: Make) -> None:
    finds(lambda seed: chaos(seed, naive, last_children, faults=FAULTS), "but it is|raised")
