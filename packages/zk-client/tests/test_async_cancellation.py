"""Cancellation at every turn of the loop: whatever was under way, the session and the loop are as if it had not been.

Client and server live in one loop, so that every turn of it can be told from the next: a request is written in one,
served in another, and answered in a third.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from loops import at_every_turn, cancelled_after, loop_kind, others, run, until

from zk_client import OPEN_ACL_UNSAFE, AsyncClient, ConnectionLostError, Outcome, RetryPolicy, ServerError, SessionState
from zk_client.handlers.ending import LONGEST_END
from zk_testing import AsyncEmbeddedServer, Settings
from zk_testing.stopwatch import Stopwatch

pytestmark = pytest.mark.usefixtures("loop_kind")
__all__ = ["loop_kind"]


class Scene:
    """A server and one client of it, in the running loop."""

    def __init__(self, server: AsyncEmbeddedServer, zk: AsyncClient) -> None:
        self.server = server
        self.zk = zk
        self.session = zk.session_id

    @property
    def watches(self) -> tuple[int, int]:
        """How many watches the server keeps, and how many the client."""
        core = self.server.core
        return core.watches.data.counts()[2] + core.watches.child.counts()[2], len(self.zk.handler.core.watches)

    def children(self, path: str) -> list[str]:
        return sorted(self.server.core.tree.nodes[path].children)

    async def is_as_before(self) -> None:
        """The session lives on its connection, nothing is under way, and no watch is left."""
        assert await self.zk.exists("/") is not None
        await until(lambda: others() == [] and self.watches == (0, 0))
        core = self.zk.handler.core
        assert core.in_flight == 0 and not core.output and not core.completed
        assert self.zk.session_id == self.session
        assert self.zk.state is SessionState.CONNECTED
        assert self.server.core.session_count() == 1


@asynccontextmanager
async def scene(chroot: str = "", **options: Any) -> AsyncIterator[Scene]:
    async with AsyncEmbeddedServer(settings=Settings(tick_ms=50)) as server:
        if chroot:
            async with AsyncClient(server.hosts) as maker:
                await maker.create(chroot)
        async with AsyncClient(server.hosts + chroot, 10.0, **options) as zk:
            await zk.exists("/")
            yield Scene(server, zk)
        await until(lambda: server.core.session_count() == 0)


# Operations

OPERATIONS: dict[str, Callable[[AsyncClient], Awaitable[object]]] = {
    "get": lambda zk: zk.get("/"),
    "exists": lambda zk: zk.exists("/nothing"),
    "get_children": lambda zk: zk.get_children("/", include_data=True),
    "get_acls": lambda zk: zk.get_acls("/"),
    "get_all_children_number": lambda zk: zk.get_all_children_number("/"),
    "get_ephemerals": lambda zk: zk.get_ephemerals(),
    "whoami": lambda zk: zk.whoami(),
    "sync": lambda zk: zk.sync("/"),
    "get_config": lambda zk: zk.get_config(),
    "multi_read": lambda zk: zk.multi_read().get("/").get_children("/").commit(),
    "create": lambda zk: zk.create("/n/n/n", makepath=True),
    "create without a name": lambda zk: zk.create("/n", include_data=True),
    "ensure_path": lambda zk: zk.ensure_path("/n/n/n"),
    "set": lambda zk: zk.set("/", b"1"),
    "delete": lambda zk: zk.delete("/n", recursive=True),
    "set_acls": lambda zk: zk.set_acls("/", OPEN_ACL_UNSAFE),
    "add_auth": lambda zk: zk.add_auth("digest", "u:p"),
    "transaction": lambda zk: zk.transaction(marker="/").set_data("/", b"2").check("/").commit(),
    "command": lambda zk: zk.command("ruok"),
    "server_version": lambda zk: zk.server_version(),
    "wait_connected": lambda zk: zk.wait_connected(),
    "call_timeout": lambda zk: zk.handler.call(zk.operations.get("/"), 5.0),
}


async def whatever(operation: Callable[[AsyncClient], Awaitable[object]], zk: AsyncClient) -> None:
    """Do what the one before, whose end nobody knows, may have made impossible."""
    try:
        await operation(zk)
    except ServerError:
        pass


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_cancelled_at_any_turn_leaves_the_session_as_it_was(name: str) -> None:
    async def body() -> None:
        async with scene() as at:
            cancelled = await at_every_turn(lambda _: whatever(OPERATIONS[name], at.zk), at.is_as_before)
            assert cancelled >= (1 if name == "wait_connected" else 3)

    run(body)


@pytest.mark.parametrize("kind", ["callback", "watcher"])
@pytest.mark.parametrize("read", ["get", "exists", "get_children"])
def test_a_cancelled_read_leaves_no_watch(read: str, kind: str) -> None:
    async def body() -> None:
        async with scene() as at:

            async def look() -> None:
                watcher = at.zk.watcher()
                watch: Any = watcher if kind == "watcher" else lambda event: None
                await getattr(at.zk, read)("/", watch=watch)
                await watcher.close()
                at.zk.remove_watch("/", watch)

            assert await at_every_turn(lambda _: look(), at.is_as_before) >= 3

    run(body)


@pytest.mark.parametrize("chroot", ["", "/below"])
@pytest.mark.parametrize("ephemeral", [True, False])
def test_a_sequential_node_of_a_cancelled_create_is_deleted(chroot: str, ephemeral: bool) -> None:
    async def body() -> None:
        async with scene(chroot) as at:
            await at.zk.create("/q")
            made: list[str] = []

            async def create() -> None:
                made.append(await at.zk.create("/q/n-", ephemeral=ephemeral, sequence=True, include_data=False))

            async def nothing_but_what_was_told() -> None:
                await at.is_as_before()
                assert at.children(chroot + "/q") == [path.rpartition("/")[2] for path in made]

            assert await at_every_turn(lambda _: create(), nothing_but_what_was_told) >= 3
            assert len(made) == 1

    run(body)


def test_a_transaction_cancelled_at_any_turn_is_applied_as_a_whole_or_not_at_all() -> None:
    async def body() -> None:
        async with scene() as at:

            async def make_two(number: int) -> None:
                async with at.zk.transaction() as transaction:
                    transaction.create(f"/one-{number}").create(f"/two-{number}")

            async def both_or_neither() -> None:
                await at.is_as_before()
                names = at.children("/")
                assert {name[4:] for name in names if name.startswith("one-")} == {
                    name[4:] for name in names if name.startswith("two-")
                }

            assert await at_every_turn(make_two, both_or_neither) >= 3

    run(body)


# Watches


def test_a_persistent_watch_cancelled_at_any_turn_of_its_life_is_forgotten() -> None:
    async def body() -> None:
        async with scene() as at:

            async def follow(number: int) -> None:
                async with at.zk.watch("/", recursive=True) as changes:
                    await at.zk.create(f"/n{number}")
                    async for _event in changes:
                        break

            assert await at_every_turn(follow, at.is_as_before) >= 6

    run(body)


def test_a_listener_whose_adding_was_cancelled_is_forgotten() -> None:
    async def body() -> None:
        async with scene() as at:

            def listener(_event: object) -> None:
                pass

            async def add() -> None:
                await at.zk.add_watch("/", listener)
                at.zk.remove_watch("/", listener)

            assert await at_every_turn(lambda _: add(), at.is_as_before) >= 3

    run(body)


def test_whoever_waits_for_an_event_or_a_state_may_stop_to() -> None:
    async def body() -> None:
        async with scene() as at:
            watcher = at.zk.watcher()
            await at.zk.exists("/later", watch=watcher)
            for turns in range(4):
                assert await cancelled_after(turns, watcher.wait())
                assert await cancelled_after(turns, watcher.wait(5.0))
            states = at.zk.states()
            assert await anext(states) is SessionState.CONNECTED
            for turns in range(4):
                assert await cancelled_after(turns, anext(states))  # type: ignore[arg-type]
            await at.zk.create("/later")
            assert await watcher.wait() is not None
            at.server.drop_connections()
            assert [await anext(states), await anext(states)] == [SessionState.SUSPENDED, SessionState.CONNECTED]

    run(body)


# Retrying


def test_a_retry_cancelled_at_any_turn_ends_and_tries_no_more() -> None:
    async def body() -> None:
        async with scene(command_retry=RetryPolicy(delay=0.0)) as at:
            tries = 0

            async def fail_thrice() -> None:
                nonlocal tries
                tries += 1
                await at.zk.exists("/")
                if tries % 4:
                    raise ConnectionLostError("/", message="as if", outcome=Outcome.NOT_APPLIED)

            async def begin(_: int) -> None:
                nonlocal tries
                tries = 0
                await at.zk.retry(fail_thrice)

            async def ended() -> None:
                before = tries
                await at.is_as_before()
                assert tries == before

            assert await at_every_turn(begin, ended) >= 10

    run(body)


# Starting and stopping


async def is_over(zk: AsyncClient) -> None:
    """Nothing is left of the client, at once: not even when it was cancelled there is anything to wait for."""
    assert others() == []
    assert zk.state is SessionState.CLOSED
    assert zk.handler._timer is None and not zk.handler._streams


@pytest.mark.parametrize("ending", ["stop", "restart", "close"])
def test_a_client_whose_start_or_end_is_cancelled_at_any_turn_has_ended(ending: str) -> None:
    async def body() -> None:
        async with AsyncEmbeddedServer(settings=Settings(tick_ms=50)) as server:
            zk = AsyncClient(server.hosts, 2.0)

            async def life() -> None:
                async with zk:
                    await zk.exists("/")
                    if ending != "stop":
                        await getattr(zk, ending)()

            assert await at_every_turn(lambda _: life(), lambda: is_over(zk)) >= 8
            async with zk:  # and it can be used again
                assert await zk.exists("/")
            for session in server.core.sessions.all():
                server.expire_session(session.id)

    run(body)


def test_a_stop_that_is_cancelled_at_any_turn_ends_when_everything_has() -> None:
    async def body() -> None:
        async with AsyncEmbeddedServer(settings=Settings(tick_ms=50)) as server:

            async def take_leave() -> None:
                try:
                    await asyncio.Event().wait()
                finally:
                    for _ in range(7):
                        await asyncio.sleep(0)

            async def stop(turns: int) -> bool:
                zk = AsyncClient(server.hosts, 2.0)
                await zk.start()
                zk.handler.tasks.spawn(take_leave(), "slow")
                await asyncio.sleep(0)
                cancelled = await cancelled_after(turns, zk.stop())
                await is_over(zk)
                return cancelled

            turns = 1  # before that it has not begun
            while await stop(turns):
                turns += 1
            assert turns >= 8

    run(body)


def test_a_callback_that_will_not_be_cancelled_does_not_keep_stop(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        async with AsyncEmbeddedServer(settings=Settings(tick_ms=50)) as server:
            released = asyncio.Event()

            async def stay(_event: object) -> None:
                while not released.is_set():
                    try:
                        await released.wait()
                    except asyncio.CancelledError:
                        pass

            zk = AsyncClient(server.hosts, 2.0)
            await zk.start()
            await zk.exists("/n", watch=stay)
            await zk.create("/n")
            await until(lambda: len(others()) > 0)
            async with asyncio.timeout(LONGEST_END + 3):
                await zk.stop()
            assert "goes on although it was cancelled" in caplog.text
            released.set()
            await until(lambda: others() == [])

    run(body)


def test_callbacks_that_stop_the_client_at_once_do_not_wait_for_each_other() -> None:
    async def body() -> None:
        async with AsyncEmbeddedServer(settings=Settings(tick_ms=50)) as server:
            zk = AsyncClient(server.hosts, 2.0)
            await zk.start()
            for _ in range(3):

                async def stop(_event: object) -> None:
                    await zk.stop()

                await zk.exists("/n", watch=stop)
            began = Stopwatch()
            await zk.create("/n")
            await until(lambda: zk.state is SessionState.CLOSED and others() == [])
            assert began.within(LONGEST_END), began

    run(body)


def test_stop_is_finished_by_another_when_the_first_is_cancelled() -> None:
    async def body() -> None:
        async with AsyncEmbeddedServer() as server:

            async def two_stops(turns: int) -> bool:
                zk = AsyncClient(server.hosts, 2.0)
                await zk.start()
                first = asyncio.create_task(zk.stop())
                second = asyncio.create_task(zk.stop())
                for _ in range(turns):
                    await asyncio.sleep(0)
                late = first.done()
                first.cancel()
                await asyncio.wait([first, second])
                assert second.exception() is None
                await is_over(zk)
                return late

            turns = 0
            while not await two_stops(turns):
                turns += 1
            assert turns >= 3

    run(body)


# Time-outs and groups


def test_a_timeout_of_asyncio_ends_an_operation_and_nothing_else() -> None:
    async def body() -> None:
        async with scene() as at:
            watch = await at.zk.watch("/")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await watch.get()
            await at.zk.set("/", b"1")
            async with asyncio.timeout(5):
                assert await watch.get() is not None
            await watch.close()
            await at.is_as_before()

    run(body)


def test_a_group_of_tasks_that_fails_leaves_nothing_of_the_others() -> None:
    async def body() -> None:
        async with scene() as at:

            async def fail(turns: int) -> None:
                for _ in range(turns):
                    await asyncio.sleep(0)
                raise ValueError("of its own")

            async def together(turns: int) -> None:
                async with asyncio.TaskGroup() as group:
                    for _ in range(5):
                        group.create_task(at.zk.create("/q/n-", sequence=True))
                    group.create_task(fail(turns))
                    group.create_task(at.zk.watcher().wait())

            for turns in range(8):
                await at.zk.ensure_path("/q")
                with pytest.raises(ExceptionGroup, match="unhandled"):
                    await together(turns)
                await at.is_as_before()
                await at.zk.delete("/q", recursive=True)

    run(body)
