"""AsyncLock on the asyncio client, against an embedded server and a proxy that loses and freezes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from zk_client import AsyncClient, SessionExpiredError, TransactionFailedError
from zk_recipes import AsyncLock, LockLostError, LockTimeout
from zk_testing import AsyncEmbeddedServer, EmbeddedServer, Settings
from zk_testing.faults import FaultProxy

PATH = "/locks/one"
PATIENCE = 10.0


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(settings=Settings(tick_ms=20)) as server:
        yield server
        assert server.sessions() == []


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(30):
            await body()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left

    asyncio.run(main(), debug=True)


def contenders(server: EmbeddedServer) -> list[str]:
    return server.call(lambda core: list(core.tree.nodes[PATH].children) if PATH in core.tree.nodes else [])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


def test_one_holds_the_lock_at_a_time_and_tokens_grow(server: EmbeddedServer) -> None:
    async def body() -> None:
        tokens: list[int] = []
        holders = 0

        async def contend() -> None:
            nonlocal holders
            async with AsyncClient(server.hosts, 2.0) as zk:
                for _ in range(5):
                    async with AsyncLock(zk, PATH) as lock:
                        holders += 1
                        assert holders == 1
                        assert lock.token is not None
                        tokens.append(lock.token)
                        await asyncio.sleep(0)
                        holders -= 1

        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(contend())
        assert len(tokens) == 20 and tokens == sorted(set(tokens))

    run(body)


@pytest.mark.parametrize("kind", ["create", "get_children", "delete", "exists"])
def test_a_lost_reply_leaves_neither_two_holders_nor_a_node(server: EmbeddedServer, kind: str) -> None:
    with FaultProxy(server) as proxy:

        async def body() -> None:
            async with AsyncClient(proxy.hosts, 2.0) as zk, AsyncClient(server.hosts, 2.0) as other:
                await zk.ensure_path(PATH)
                proxy.lose_reply(kind)
                lock = AsyncLock(zk, PATH)
                await lock.acquire(timeout=PATIENCE)
                with pytest.raises(LockTimeout):
                    await AsyncLock(other, PATH).acquire(timeout=0.05)
                await lock.release()
                await until(lambda: contenders(server) == [])
                async with AsyncLock(other, PATH):
                    pass

        run(body)


@pytest.mark.parametrize("steps", range(8))
def test_a_contender_cancelled_anywhere_leaves_no_node_and_the_lock_free(server: EmbeddedServer, steps: int) -> None:
    async def body() -> None:
        async with AsyncClient(server.hosts, 2.0) as zk, AsyncClient(server.hosts, 2.0) as other:
            await zk.ensure_path(PATH)
            async with AsyncLock(other, PATH):
                waiting = asyncio.create_task(AsyncLock(zk, PATH).acquire())
                before = server.call(lambda core: core.received)
                await until(lambda: server.call(lambda core: core.received) >= before + min(steps, 4))
                for _ in range(steps):
                    await asyncio.sleep(0)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                await until(lambda: len(contenders(server)) == 1)
            await until(lambda: contenders(server) == [])

    run(body)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("contended", [False, True])
def test_a_holder_cancelled_at_any_turn_of_the_loop_leaves_no_node_no_watch_and_no_task(
    loop: str, contended: bool
) -> None:
    """Client and server live in one loop, so that every turn between two requests is met."""

    async def main() -> None:
        async with AsyncEmbeddedServer() as near, AsyncClient(near.hosts) as zk, AsyncClient(near.hosts) as other:
            await zk.ensure_path(PATH)
            turns = 0
            cancelled = True

            def is_clean() -> bool:
                watches = near.core.watches
                nodes = near.core.tree.nodes[PATH].children
                left = asyncio.all_tasks() - {asyncio.current_task()}
                return not nodes and not left and watches.data.counts()[2] + watches.child.counts()[2] == 0

            async def life() -> None:
                async with AsyncLock(zk, PATH):
                    await zk.exists(PATH)

            while cancelled:
                ahead = AsyncLock(other, PATH)
                if contended:
                    await ahead.acquire()
                task = asyncio.create_task(life())
                for turn in range(turns):
                    if turn == 12:
                        await ahead.release()
                    await asyncio.sleep(0)
                cancelled = not task.done()
                task.cancel()
                await asyncio.wait([task])
                assert task.cancelled() == cancelled
                await ahead.release()
                await until(is_clean)
                turns += 1
                assert turns < 300
            assert turns > 10

    factory = asyncio.new_event_loop if loop == "asyncio" else pytest.importorskip("uvloop").new_event_loop
    with asyncio.Runner(debug=True, loop_factory=factory) as runner:
        runner.run(main())


def test_a_holder_whose_session_expired_is_told_and_its_guard_is_refused(server: EmbeddedServer) -> None:
    async def body() -> None:
        async with AsyncClient(server.hosts, 2.0) as zk:
            await zk.create("/data")
            lock = AsyncLock(zk, PATH)
            await lock.acquire()
            guard = lock.guard()
            assert zk.session_id is not None
            server.expire_session(zk.session_id)
            await until(lambda: not lock.is_acquired)
            with pytest.raises(LockLostError):
                await lock.check()
            transaction = zk.transaction()
            transaction.add(guard)
            transaction.set_data("/data", b"too late")
            with pytest.raises((TransactionFailedError, SessionExpiredError)):
                await transaction.commit()

    run(body)
