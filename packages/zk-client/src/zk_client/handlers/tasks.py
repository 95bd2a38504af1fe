"""The tasks of an asyncio client: what it does beside everything else, from connecting to cleaning up.

Rule: each is known until it has ended, so that `stop` leaves none behind. Most clients have none most of the time, so
nothing is kept for them then.
"""

from __future__ import annotations

import asyncio
from functools import partial

from .log import logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, TypeVar

    T = TypeVar("T")


class Tasks:
    """The tasks of one client."""

    __slots__ = ("_cleaning", "_running")

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] | None = None
        self._cleaning: set[asyncio.Task[Any]] | None = None  # those of them that `stop` lets finish

    def __bool__(self) -> bool:
        return self._running is not None

    def spawn(self, body: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run something; an exception in it is logged."""
        task = self._begin(body, name)
        task.add_done_callback(_log_error)
        return task

    def clean_up(self, body: Coroutine[Any, Any, object]) -> None:
        """Run a clean-up; `finish_cleaning` waits for it."""
        task = self.spawn(body, "zk-client clean-up")
        if self._cleaning is None:
            self._cleaning = set()
        self._cleaning.add(task)
        task.add_done_callback(self._cleaned)

    def run_steps(self, body: Coroutine[Any, Any, T], then: Callable[[asyncio.Task[T]], object]) -> None:
        """Run a body whose outcome is for `then` to see; it gets the task once that has ended."""
        self._begin(body, "zk-client steps").add_done_callback(then)

    async def finish_cleaning(self) -> None:
        """Wait until every clean-up of now has ended."""
        if self._cleaning is not None:
            await asyncio.wait(self._cleaning)

    def cancel(self) -> list[asyncio.Task[Any]]:
        """Cancel every task but the calling one, and return those to be waited for; they end later.

        None, if one of them is calling: others may be waiting for it.
        """
        current = asyncio.current_task()
        running = tuple(self._running or ())
        for task in running:
            if task is not current:
                task.cancel()
        return [] if current in running else list(running)

    def _begin(self, body: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(body, name=name)
        if self._running is None:
            self._running = set()
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if self._running is not None:
            self._running.discard(task)
            if not self._running:
                self._running = None

    def _cleaned(self, task: asyncio.Task[Any]) -> None:
        if self._cleaning is not None:
            self._cleaning.discard(task)
            if not self._cleaning:
                self._cleaning = None


class Lookups:
    """Questions to the resolver, one at a time for each host: nobody can end one, so whoever asks again joins it."""

    __slots__ = ("_tasks", "_under_way")

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._under_way: dict[object, asyncio.Task[Any]] | None = None

    def ask(self, key: object, question: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Future[T]:
        """The answer of `question()`, or of the one about the same key that is under way."""
        if self._under_way is None:
            self._under_way = {}
        task = self._under_way.get(key)
        if task is None or task.done():
            task = self._under_way[key] = self._tasks.spawn(question(), "zk-client resolve")
            task.add_done_callback(partial(self._answered, key))
        return asyncio.shield(task)

    def _answered(self, key: object, task: asyncio.Task[Any]) -> None:
        if self._under_way is not None and self._under_way.get(key) is task:
            del self._under_way[key]
            if not self._under_way:
                self._under_way = None


def _log_error(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger().error("exception in %r, run by the ZooKeeper client", task.get_name(), exc_info=error)
