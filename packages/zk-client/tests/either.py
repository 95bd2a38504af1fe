"""One client of either world behind blocking calls, for tests of what both promise.

Rule: an asyncio client lives in a loop of its own, on a thread of the test's; whatever is called is called there.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from zk_client import AsyncClient, Call, Client, SessionState

PATIENCE = 20.0


class OnLoop:
    """An `AsyncClient` that is called as a `Client` is."""

    def __init__(self, hosts: str, timeout: float, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="loop of a test", daemon=True)
        self._thread.start()
        try:
            self.client: AsyncClient = self.run(lambda: AsyncClient(hosts, timeout, **options))
        except BaseException:
            self.end()
            raise

    def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call something in the loop; await what it returns."""

        async def body() -> Any:
            result = function(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result

        return asyncio.run_coroutine_threadsafe(body(), self._loop).result(PATIENCE * 2)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.client, name)
        return (lambda *args, **kwargs: self.run(value, *args, **kwargs)) if callable(value) else value

    def end(self) -> None:
        """Stop the client, then its loop, in which nothing must be left."""
        try:
            if hasattr(self, "client"):
                self.run(self.client.stop)
                assert self.run(_other_tasks) == []
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


def submit_all(zk: Any, calls: Iterable[Call[Any]]) -> None:
    """Send requests whose replies nobody waits for yet."""

    def submit() -> None:
        for call in calls:
            zk.handler.submit(call)

    submit() if isinstance(zk, Client) else zk.run(submit)


def _other_tasks() -> list[str]:
    return [str(task) for task in asyncio.all_tasks() if task is not asyncio.current_task()]


class States:
    """Every state a client of either world was told, and when; waits for the next of a kind."""

    def __init__(self, zk: Any) -> None:
        self.seen: list[tuple[SessionState, float]] = []
        self._changed = threading.Condition()
        self._read = 0
        self.now = zk.runtime.now if isinstance(zk, Client) else zk.client.now
        zk.add_listener(self)

    def __call__(self, state: SessionState) -> None:
        with self._changed:
            self.seen.append((state, self.now()))
            self._changed.notify_all()

    def wait(self, state: SessionState) -> float:
        """Wait for a state not waited for yet, and return when it was told."""

        def found() -> bool:
            return any(seen is state for seen, _ in self.seen[self._read :])

        with self._changed:
            assert self._changed.wait_for(found, PATIENCE), f"no {state} within {PATIENCE} s, but {self.seen}"
            while True:
                seen, when = self.seen[self._read]
                self._read += 1
                if seen is state:
                    return when


MakeEither = Callable[..., Any]


@contextmanager
def making(world: str) -> Iterator[MakeEither]:
    """Make (and start) clients of one world, all of which are stopped at the end."""
    made: list[Any] = []

    def make(hosts: str, timeout: float = 6.0, *, start: bool = True, **options: Any) -> Any:
        zk = Client(hosts, timeout, **options) if world == "threads" else OnLoop(hosts, timeout, **options)
        made.append(zk)
        if start:
            zk.start()
        return zk

    try:
        yield make
    finally:
        for zk in made:
            if isinstance(zk, Client):
                zk.stop()
            else:
                zk.end()


@pytest.fixture(params=["threads", "asyncio"])
def make(request: pytest.FixtureRequest) -> Iterator[MakeEither]:
    """Make clients of each world in turn."""
    with making(request.param) as make:
        yield make
