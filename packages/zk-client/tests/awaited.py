"""An `AsyncClient` that is called as a `Client` is, for suites that are written once for all worlds.

Rule: the client lives in a loop of its own, on a thread of the test's. Whatever is called is called there, in the order
of the calls, and waited for by the caller. Functions handed in run in the loop, as asyncio's users' do: one that calls
the client in turn is wrapped in `calling`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from zk_client import AsyncClient, Call

# Seconds a call may take that nothing else bounds.
LONGEST = 60.0


class Loop:
    """A loop on a thread of its own, which must be empty at the end."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._complaints: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self._complaints.append(context))
        self._thread = threading.Thread(target=self.loop.run_forever, name="loop of a test", daemon=True)
        self._thread.start()

    def begin(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:
        """Call something in the loop, as a task; await what it returns."""
        assert threading.current_thread() is not self._thread, f"{function} would wait in its own loop: see `calling`"

        async def body() -> Any:
            result = function(*args, **kwargs)
            if isinstance(result, Call):
                return Future(result, self)
            return await result if inspect.isawaitable(result) else result

        return asyncio.run_coroutine_threadsafe(body(), self.loop)

    def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """As `begin`, and wait for it."""
        return self.begin(function, *args, **kwargs).result(LONGEST)

    def end(self) -> None:
        """Nothing may run in it any more, and it may have had no complaint."""
        try:
            left = self.run(lambda: [str(task) for task in asyncio.all_tasks() if task is not asyncio.current_task()])
            self.run(self.loop.shutdown_default_executor)
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join()
            self.loop.close()
        assert left == []
        assert self._complaints == []


class Awaited:
    """Something of asyncio's, called as its blocking twin."""

    def __init__(self, target: Any, loop: Loop) -> None:
        self.__dict__.update(_target=target, _loop=loop)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        return partial(self._run, value) if inspect.ismethod(value) else value

    def _waits(self, method: Callable[..., Any]) -> bool:
        """Whether it is for the loop; what collects the parts of a transaction knows none."""
        return inspect.iscoroutinefunction(method) or method.__name__.endswith("_async")

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._target, name, value)

    def __repr__(self) -> str:
        return repr(self._target)

    def _run(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        run = self._loop.run if self._waits(method) else _call
        result = run(method, *map(bare, args), **{name: bare(value) for name, value in kwargs.items()})
        if isinstance(result, Future):
            return result
        # What has coroutines in turn: watchers, transactions, the operations of `within`.
        return Awaited(result, self._loop) if type(result).__name__.startswith("Async") else result

    def __enter__(self) -> Any:
        return self._run(self._target.__aenter__)

    def __exit__(self, *exc: object) -> None:
        self._run(self._target.__aexit__, *exc)

    def __iter__(self) -> Iterator[Any]:
        while (event := self.get()) is not None:
            yield event


class Future:
    """A call that nobody awaits, asked as one of a blocking client is; made in the loop."""

    def __init__(self, call: Call[Any], loop: Loop) -> None:
        self._call = call
        self._loop = loop
        self._over = threading.Event()
        call.add_done_callback(lambda _: self._over.set())

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._call.done

    def wait(self, timeout: float | None = None) -> bool:
        """Whether it ends in time."""
        return self._over.wait(timeout)

    def result(self, timeout: float | None = LONGEST) -> Any:
        """What it returns, or raises; awaited in the loop."""

        async def awaited() -> Any:
            return await self._call

        return self._loop.begin(awaited).result(timeout)

    def exception(self, timeout: float | None = LONGEST) -> BaseException | None:
        """What it raises, or None."""
        assert self.wait(timeout), f"not done within {timeout} s: {self._call}"
        return self._call.exception()

    def cancel(self) -> bool:
        """Take it back."""
        return bool(self._loop.run(self._call.cancel))

    def add_done_callback(self, function: Callable[[Any], object]) -> None:
        """Have it told, in the loop."""
        self._loop.run(self._call.add_done_callback, function)


class AwaitedClient(Awaited):
    """A client, in a loop that ends with it."""

    def __init__(self, hosts: str, timeout: float, **options: Any) -> None:
        loop = Loop()
        try:
            super().__init__(loop.run(lambda: AsyncClient(hosts, timeout, **options)), loop)
        except BaseException:
            loop.end()
            raise

    def _waits(self, method: Callable[..., Any]) -> bool:
        return True

    def __enter__(self) -> AwaitedClient:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.end()

    def watch(self, path: str, *, recursive: bool = False) -> Awaited:
        """A persistent watch that is set when this returns, as a blocking client's is."""
        watch = self._target.watch(path, recursive=recursive)
        self._run(watch.start)
        return Awaited(watch, self._loop)

    def retry(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """The function is one of the test's, and blocks."""
        return self._loop.run(self._target.retry, asyncio.to_thread, function, *args, **kwargs)

    def submit_all(self, calls: Iterable[Call[Any]]) -> None:
        """Send requests whose replies nobody waits for yet."""
        self._loop.run(lambda: [self.handler.submit(call) for call in calls] and None)

    def run_body(self, body: Callable[[Any], Any]) -> Any:
        """Run a body on the client's port."""
        return self._loop.run(body, self.port)

    def end(self) -> None:
        """Stop the client, then its loop."""
        try:
            self.stop()
        finally:
            self._loop.end()


def _call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)


def bare(value: Any) -> Any:
    """What the loop knows: without the wrapping of this room."""
    return value._target if isinstance(value, Awaited) else value


def calling(function: Callable[..., Any]) -> Callable[..., Any]:
    """A callback that calls the client, for a client in a loop: it runs on a thread, and is awaited."""

    async def called(*args: Any) -> Any:
        return await asyncio.to_thread(function, *args)

    return called
