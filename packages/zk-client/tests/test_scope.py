"""A scope: a stretch of a task's work that something beside it can cut short."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import pytest

from zk_client import AsyncClient, Client, ConfigurationError


def run(body: Coroutine[object, object, None]) -> None:
    asyncio.run(body)  # type: ignore[arg-type]


def port():  # type: ignore[no-untyped-def]
    return AsyncClient("127.0.0.1:1").port


def test_a_cancelled_scope_ends_its_task_where_it_waits_and_nowhere_else() -> None:
    async def body() -> None:
        scope = port().scope()
        asyncio.get_running_loop().call_soon(scope.cancel)
        with pytest.raises(asyncio.CancelledError) as ended:
            await asyncio.Event().wait()
        assert await scope.leave(ended.value)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(0)

    run(body())


def test_a_scope_cancelled_on_its_way_out_is_not_heard_of_later() -> None:
    async def body() -> None:
        scope = port().scope()
        scope.cancel()
        assert not await scope.leave(None)
        await asyncio.sleep(0)

    run(body())


def test_a_cancellation_by_somebody_else_stands() -> None:
    async def body() -> None:
        scope = port().scope()
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_soon(task.cancel)
        with pytest.raises(asyncio.CancelledError) as ended:
            await asyncio.Event().wait()
        assert not await scope.leave(ended.value)
        assert task.cancelling() == 1
        task.uncancel()

    run(body())


@pytest.mark.parametrize("seen", [True, False])
def test_a_cancellation_by_somebody_else_stands_beside_that_of_the_scope(seen: bool) -> None:
    async def body() -> None:
        scope = port().scope()
        task = asyncio.current_task()
        assert task is not None
        scope.cancel()
        task.cancel()
        error: BaseException | None = None
        if seen:
            with pytest.raises(asyncio.CancelledError) as ended:
                await asyncio.sleep(0)
            error = ended.value
            assert not await scope.leave(error)
        else:
            with pytest.raises(asyncio.CancelledError):
                await scope.leave(None)
        assert task.cancelling() == 1
        task.uncancel()
        await asyncio.sleep(0)

    run(body())


def test_a_scope_that_was_left_is_not_cancelled_any_more() -> None:
    async def body() -> None:
        scope = port().scope()
        assert not await scope.leave(None)
        scope.cancel()
        await asyncio.sleep(0)
        assert not scope.cancelled

    run(body())


def test_a_scope_outside_of_a_task_is_refused() -> None:
    async def body() -> None:
        refused: list[Exception] = []

        def outside() -> None:
            try:
                port().scope()
            except ConfigurationError as error:
                refused.append(error)

        asyncio.get_running_loop().call_soon(outside)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert "task" in str(refused[0])

    run(body())


def test_a_scope_of_a_thread_is_only_told() -> None:
    scope = Client("127.0.0.1:1").port.scope()
    scope.cancel()
    assert scope.cancelled
    with pytest.raises(StopIteration) as ended:
        scope.leave(None).send(None)
    assert ended.value.value is False
