"""The asyncio client's futures: operations begun at once, without a task, and awaited later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from loops import loop_kind, others, run

from zk_client import AsyncClient, CancelledCallError, ConfigurationError, NoNodeError, SessionClosedError
from zk_client.handlers.flag import Flag
from zk_testing import EmbeddedServer, Settings

pytestmark = pytest.mark.usefixtures("loop_kind")
__all__ = ["loop_kind"]


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(settings=Settings(tick_ms=20)) as server:
        yield server


@asynccontextmanager
async def connected(hosts: str, **options: Any) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(hosts, **{"timeout": 2.0, **options}) as zk:
        yield zk


def test_every_future_gives_what_its_operation_gives(server: EmbeddedServer) -> None:
    async def body() -> None:
        async with connected(server.hosts) as zk:
            path, stat = await zk.create_async("/a/b", b"1", makepath=True, include_data=True)
            assert (path, stat.version) == ("/a/b", 0)
            assert await zk.get_async("/a/b") == (b"1", stat)
            assert (await zk.set_async("/a/b", b"2", version=0)).version == 1
            assert await zk.exists_async("/nothing") is None
            assert await zk.get_children_async("/a") == ["b"]
            assert (await zk.get_children_async("/a", include_data=True))[1].num_children == 1
            assert await zk.get_all_children_number_async("/a") == 1
            assert await zk.create_async("/e", ephemeral=True) == "/e"
            assert await zk.get_ephemerals_async() == ["/e"]
            assert await zk.sync_async("/a") == "/a"
            assert await zk.ensure_path_async("/x/y/z") == "/x/y/z"
            acls, acl_stat = await zk.get_acls_async("/a")
            assert (await zk.set_acls_async("/a", acls, version=acl_stat.aversion)).aversion == 1
            await zk.add_auth_async("digest", "u:p")
            await zk.delete_async("/a", recursive=True)
            assert await zk.exists_async("/a") is None
            assert (await zk.transaction().create("/t").commit_async())[0].path == "/t"  # type: ignore[union-attr]
            assert await zk.multi_read().get_children("/t").commit_async() == [[]]
            assert await zk.within(5.0).exists_async("/t") is not None

    run(body)


def test_futures_reach_the_server_in_the_order_of_their_calls_and_before_they_are_awaited(
    server: EmbeddedServer,
) -> None:
    async def body() -> None:
        async with connected(server.hosts) as zk:
            await zk.create("/q")
            made = [zk.create_async("/q/n-", str(n).encode(), sequence=True) for n in range(50)]
            names = [await call for call in reversed(made)]
            assert names == sorted(names, reverse=True)
            assert [(await zk.get(name))[0] for name in names] == [str(n).encode() for n in reversed(range(50))]

    run(body)


def test_a_future_needs_no_task(server: EmbeddedServer) -> None:
    async def body() -> None:
        async with connected(server.hosts) as zk:
            calls = [zk.exists_async("/") for _ in range(10)]
            assert others() == []
            assert all([await call for call in calls])

    run(body)


def test_a_future_may_be_awaited_by_several_tasks_and_again(server: EmbeddedServer) -> None:
    async def body() -> None:
        async with connected(server.hosts) as zk:
            call = zk.exists_async("/")

            async def wait() -> Any:
                return await call

            first, second, third = await asyncio.gather(wait(), wait(), wait())
            assert first == second == third == await call == call.result()

    run(body)


def test_the_error_of_a_future_is_raised_by_each_await(server: EmbeddedServer) -> None:
    async def body() -> None:
        async with connected(server.hosts) as zk:
            for call in (zk.get_async("/none"), zk.create_async("/none/x", makepath=False)):
                for _ in range(2):
                    with pytest.raises(NoNodeError):
                        await call

    run(body)


def test_asking_for_a_result_that_is_not_there_is_refused_instead_of_blocking_the_loop(server: EmbeddedServer) -> None:
    async def body() -> None:
        async with connected(server.hosts) as zk:
            call = zk.exists_async("/")
            with pytest.raises(ConfigurationError, match="await it"):
                call.result()
            await call

    run(body)


def test_a_watch_may_be_set_by_a_future(server: EmbeddedServer) -> None:
    async def body() -> None:
        async with connected(server.hosts) as zk:
            arrived = asyncio.Event()
            await zk.add_watch_async("/w", lambda event: arrived.set())
            await zk.create("/w")
            await arrived.wait()

    run(body)


def test_the_error_of_an_operation_in_steps_is_its_futures(server: EmbeddedServer) -> None:
    async def body() -> None:
        async with connected(server.hosts) as zk:
            await zk.create("/e", ephemeral=True)
            call = zk.ensure_path_async("/e/below")
            with pytest.raises(Exception, match="/e"):
                await call
            assert call.exception() is not None

    run(body)


def test_stop_ends_an_operation_in_steps_and_its_future_tells(server: EmbeddedServer) -> None:
    async def body() -> None:
        zk = AsyncClient(server.hosts, timeout=2.0)
        await zk.start()
        call = zk.ensure_path_async("/x/y/z")
        await zk.stop()
        with pytest.raises((CancelledCallError, SessionClosedError)):
            await call

    run(body)


def test_a_flag_wakes_all_who_wait_and_forgets_one_who_leaves() -> None:
    async def body() -> None:
        flag = Flag()
        leaving, *staying = [asyncio.create_task(flag.wait()) for _ in range(3)]
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait([leaving])
        assert not any(task.done() for task in staying)
        flag.set()
        await asyncio.gather(*staying)
        assert flag.is_set() and leaving.cancelled()
        await flag.wait()

    run(body)
