"""Watches on asyncio and on greenlets, against an embedded server: what is told, and that nothing is left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from zk_client import AsyncClient, Client
from zk_recipes import (
    AsyncChildrenWatch,
    AsyncDataWatch,
    AsyncPatientChildrenWatch,
    AsyncPersistentNode,
    AsyncTreeCache,
    ChildrenWatch,
    DataWatch,
)
from zk_testing import AsyncEmbeddedServer, EmbeddedServer, Settings
from zk_testing.faults import FaultProxy

PATIENCE = 10.0


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(settings=Settings(tick_ms=20)) as server:
        yield server
        assert server.sessions() == []


def watches(server: EmbeddedServer) -> int:
    (line,) = (line for line in server.send_command("mntr").splitlines() if line.startswith("zk_watch_count"))
    return int(line.split()[1])


def run(body: Callable[[], Awaitable[None]], loop: str = "asyncio") -> None:
    async def main() -> None:
        async with asyncio.timeout(30):
            await body()
            while asyncio.all_tasks() - {asyncio.current_task()}:  # noqa: ASYNC110 - the worker ends by itself
                await asyncio.sleep(0)

    factory = asyncio.new_event_loop if loop == "asyncio" else pytest.importorskip("uvloop").new_event_loop
    with asyncio.Runner(debug=True, loop_factory=factory) as runner:
        runner.run(main())


class Told:
    """A function that remembers, and can be awaited for."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self._called = asyncio.Event()

    def __call__(self, *arguments: object) -> None:
        self.calls.append(arguments)
        self._called.set()

    async def wait(self, is_right: Callable[..., bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not any(is_right(*call) for call in self.calls):
                self._called.clear()
                await self._called.wait()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_plain_and_asynchronous_functions_are_told(server: EmbeddedServer, loop: str) -> None:
    with FaultProxy(server) as proxy:

        async def body() -> None:
            async with AsyncClient(proxy.hosts, 4.0) as zk, AsyncClient(server.hosts, 4.0) as other:
                data, names, slow = Told(), Told(), Told()
                watch = AsyncDataWatch(zk, "/n", data)
                assert await watch.called(PATIENCE)
                assert data.calls == [(None, None, None)]

                @AsyncChildrenWatch(zk, "/n")
                async def on_children(children: list[str]) -> None:
                    await zk.exists("/n")
                    names(children)

                @AsyncDataWatch(zk, "/n")
                async def once(value: bytes | None, stat: object) -> bool:
                    slow(value)
                    return value is None

                await slow.wait(lambda value: value is None)
                await other.create("/n/c", b"", makepath=True)
                await data.wait(lambda value, stat, event: value == b"")
                await names.wait(lambda children: children == ["c"])
                await slow.wait(lambda value: value == b"")
                proxy.cut()
                await other.set("/n", b"2")
                await data.wait(lambda value, stat, event: value == b"2")
                assert slow.calls == [(None,), (b"",)]
                assert watches(server) == 2
                await watch.stop()

        run(body, loop)


def test_a_hundred_watches_are_one_task_and_end_with_their_client(server: EmbeddedServer) -> None:
    async def body() -> None:
        async with AsyncClient(server.hosts, 4.0) as zk:
            before = len(asyncio.all_tasks())
            made = [AsyncDataWatch(zk, f"/n{number}", Told()) for number in range(100)]
            for watch in made:
                assert await watch.called(PATIENCE)
            assert len(asyncio.all_tasks()) == before + 1
        async with asyncio.timeout(PATIENCE):
            while not all(watch.stopped for watch in made):  # noqa: ASYNC110
                await asyncio.sleep(0)

    run(body)


def test_a_settled_group_is_told_on_asyncio(server: EmbeddedServer) -> None:
    async def body() -> None:
        async with AsyncClient(server.hosts, 4.0) as zk:
            await zk.create("/n/c", makepath=True)
            watch = AsyncPatientChildrenWatch(zk, "/n", time_boundary=0.02)
            names, changed = await watch.start().get(PATIENCE)
            assert names == ["c"] and not changed.ready
            await zk.create("/n/d")
            assert await changed.get(PATIENCE) is True
            later = watch.start()
            watch.stop()
            with pytest.raises(Exception, match="stopped"):
                await later.get(PATIENCE)

    run(body)


@pytest.mark.parametrize("kind", [DataWatch, ChildrenWatch])
def test_greenlets_are_told_where_nothing_is_patched(server: EmbeddedServer, kind: type[DataWatch]) -> None:
    gevent = pytest.importorskip("gevent")
    with Client(server.hosts, 4.0, runtime="gevent") as zk:
        calls: list[object] = []
        arrived = gevent.event.Event()

        def told(value: object, *rest: object) -> None:
            calls.append(value)
            arrived.set()

        watch = kind(zk, "/n", told)
        assert len(calls) == 1
        arrived.clear()
        zk.create("/n/c", b"", makepath=True)
        assert arrived.wait(PATIENCE)
        watch.stop()
        zk.sync("/")
        assert watches(server) == 0


@pytest.mark.parametrize("kind", ["watch", "cache", "single cache", "member"])
def test_whoever_is_cancelled_at_any_turn_of_the_loop_leaves_no_watch_no_node_and_no_task(kind: str) -> None:
    """Client and server live in one loop, so that every turn between two requests is met."""

    async def main() -> None:
        async with AsyncEmbeddedServer() as near, AsyncClient(near.hosts) as zk:
            await zk.create("/top/a", makepath=True)
            turns, cancelled = 0, True

            def is_clean() -> bool:
                watches = near.core.watches
                left = asyncio.all_tasks() - {asyncio.current_task()}
                kept = watches.data.counts()[2] + watches.child.counts()[2]
                return not left and not kept and "m" not in near.core.tree.nodes["/top"].children

            async def life() -> None:
                if kind == "watch":
                    watch = AsyncDataWatch(zk, "/top", lambda data, stat: None)
                    try:
                        await watch.called()
                    finally:
                        await watch.stop()
                elif kind == "member":
                    async with AsyncPersistentNode(zk, "/top/m"):
                        await zk.exists("/top/m")
                else:
                    async with AsyncTreeCache(zk, "/top", single_watches=kind == "single cache") as cache:
                        assert len(cache) >= 2
                        await zk.set("/top/a", b"")

            while cancelled:
                task = asyncio.create_task(life())
                for _ in range(turns):
                    await asyncio.sleep(0)
                cancelled = not task.done()
                task.cancel()
                await asyncio.wait([task])
                if not cancelled:
                    await task
                async with asyncio.timeout(PATIENCE):
                    while not is_clean():  # noqa: ASYNC110
                        await asyncio.sleep(0)
                turns += 1
                assert turns < 500
            assert turns > 8

    asyncio.run(main(), debug=True)
