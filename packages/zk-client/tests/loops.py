"""Event loops for tests: asyncio's own and uvloop's, and a caller that is cancelled at every turn of one.

Rule: a test's loop is made for it, checks itself (asyncio's debug mode) and must be empty at the end.
"""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

import pytest

PATIENCE = 10.0
# Turns of a loop after which an operation against a server in the same loop counts as hanging.
MOST_TURNS = 300

_chosen: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop


@pytest.fixture(params=["asyncio", "uvloop"])
def loop_kind(request: pytest.FixtureRequest) -> Iterator[str]:
    """Have `run` make loops of each kind in turn."""
    global _chosen
    kind: str = request.param
    if kind == "uvloop":
        _chosen = pytest.importorskip("uvloop").new_event_loop
    yield kind
    _chosen = asyncio.new_event_loop


def run(body: Callable[[], Awaitable[None]], *, seconds: float = 30.0) -> None:
    """Run an async test in a loop of its own; neither a task, nor a thread, nor a complaint of the loop may be left."""
    complaints: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        async with asyncio.timeout(seconds):
            await body()
        assert others() == []

    threads = threading.active_count()
    with asyncio.Runner(debug=True, loop_factory=_chosen) as runner:
        runner.run(main())
        gc.collect()
    assert complaints == []
    assert threading.active_count() <= threads


def others() -> list[str]:
    """Every task of the loop but the caller's."""
    return [str(task) for task in asyncio.all_tasks() if task is not asyncio.current_task()]


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something that has no event of its own has happened."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def cancelled_after(turns: int, operation: Coroutine[Any, Any, object]) -> bool:
    """Begin an operation, let the loop turn so many times, then cancel it; False when it had ended before.

    What was cancelled must end as cancelled, and soon.
    """
    task = asyncio.ensure_future(operation)
    for _ in range(turns):
        await asyncio.sleep(0)
    if task.done():
        task.result()
        return False
    task.cancel()
    await asyncio.wait([task], timeout=PATIENCE)
    assert task.done(), f"{task} goes on although it was cancelled after {turns} turns"
    assert task.cancelled(), f"{task} was cancelled after {turns} turns, and ended otherwise"
    return True


async def at_every_turn(
    begin: Callable[[int], Coroutine[Any, Any, object]], check: Callable[[], Awaitable[None]]
) -> int:
    """Cancel `begin(n)` after n turns of the loop, for n = 0, 1, ... until it ends by itself; `check` each time.

    Returns how often it was cancelled.
    """
    for turns in range(MOST_TURNS):
        if not await cancelled_after(turns, begin(turns)):
            await check()
            return turns
        await check()
    raise AssertionError(f"it still runs after {MOST_TURNS} turns of the loop")
