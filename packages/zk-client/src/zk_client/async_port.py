"""The port of asyncio: what bodies await there, for one client.

Rule: one line per request; what a body may rely on stands in `port`. Everything runs in the client's loop, but an event
may be set from any thread.
"""

from __future__ import annotations

import asyncio
import os

from zk_wire import OperationTimeoutError, Outcome

from . import steps
from .errors import CallTimeoutError, ConfigurationError
from .port_requests import PortRequests
from .states import WatchedEvent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, Generic, TypeVar

    from .aio import AsyncClient
    from .calls import Call
    from .port import Event
else:
    from ._typing import Generic, TypeVar

T = TypeVar("T")


class AsyncEvent:
    """A flag. Tasks of one loop wait for it; any thread may raise it."""

    __slots__ = ("_flag", "_loop", "_set")

    def __init__(self) -> None:
        self._set = False
        self._flag: asyncio.Event | None = None  # follows `_set`, in the loop, once somebody has waited
        self._loop: asyncio.AbstractEventLoop | None = None  # of whoever waits

    def set(self) -> None:
        """Raise the flag and wake everybody who waits."""
        # Whoever waits tells its loop before it looks at `_set`, and this raises `_set` before it looks for a loop: one
        # of the two sees the other, and no lock is needed.
        self._set = True
        loop = self._loop
        if loop is not None and loop is _running_loop():
            self._follow()
        elif loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._follow)

    def _follow(self) -> None:
        if self._set and self._flag is not None:
            self._flag.set()

    def clear(self) -> None:
        """Lower the flag."""
        self._set = False
        if self._flag is not None:
            self._flag.clear()

    def is_set(self) -> bool:
        """Whether the flag is up."""
        return self._set

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait until the flag is up; False when `timeout` seconds go by first."""
        self._loop = asyncio.get_running_loop()
        if self._set:
            return True
        if self._flag is None:
            self._flag = asyncio.Event()
        if timeout is None:
            return await self._flag.wait()
        try:
            async with asyncio.timeout(timeout):
                return await self._flag.wait()
        except TimeoutError:
            return self._set


class AsyncWatcher:
    """A one-shot watch: give it to one read as `watch`, then wait for its event."""

    runs_inline = True

    def __init__(self, forget: Callable[[Any], None], wake: Event | None = None) -> None:
        self._flag = AsyncEvent()
        self._event: WatchedEvent | None = None
        self._forget = forget
        self._wake = wake
        self.closed = False
        self.server_paths: set[str] = set()

    def __call__(self, event: object) -> None:
        if self._event is None and isinstance(event, WatchedEvent):
            self._event = event
            self._flag.set()
            if self._wake is not None:
                self._wake.set()

    @property
    def event(self) -> WatchedEvent | None:
        """What the watch saw; None so far."""
        return self._event

    async def wait(self, timeout: float | None = None) -> WatchedEvent | None:
        """Wait for the event; None when `timeout` seconds pass first, or the watcher is closed."""
        await self._flag.wait(timeout)
        return self._event

    def forked(self) -> None:
        """In a forked child: the watch is the parent's, and nothing comes of it here."""
        self.closed = True
        self._flag = AsyncEvent()
        self._flag.set()

    async def close(self) -> None:
        """Forget the watch, here at once and on the server when it was the last one on its path."""
        if not self.closed:
            self.closed = True
            if self._event is None:
                self._forget(self)
            self._flag.set()


class AsyncTask(Generic[T]):
    """A body running as a task of its own."""

    def __init__(self, body: Coroutine[object, None, T], name: str) -> None:
        self._task: asyncio.Task[T] = asyncio.get_running_loop().create_task(_as_any(body), name=f"zk-client {name}")

    @property
    def done(self) -> bool:
        """Whether the body has ended."""
        return self._task.done()

    def cancel(self) -> None:
        """Ask the body to end: its current or next await raises."""
        self._task.cancel()

    async def join(self, timeout: float | None = None) -> T:
        """Wait for the end and return the body's result, or raise what it raised."""
        await asyncio.wait([self._task], timeout=timeout)
        if not self._task.done():
            raise TimeoutError(f"the body still runs after {timeout} s")
        return self._task.result()


class AsyncScope:
    """A stretch of a task's work that is cancelled by cancelling the task, and only once."""

    interrupts = True

    def __init__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise ConfigurationError("a scope belongs to a task, but this is called outside of one")
        self._task: asyncio.Task[Any] | None = task
        self._requests = task.cancelling()
        self.cancelled = False

    def cancel(self) -> None:
        """Cancel the task that began the scope, unless it has left it."""
        if self._task is not None and not self.cancelled:
            self.cancelled = True
            self._task.cancel("the scope was cut short")

    async def leave(self, error: BaseException | None) -> bool:
        """End the scope, and take its own cancellation back."""
        task, self._task = self._task, None
        if task is None or not self.cancelled:
            return False
        seen = isinstance(error, asyncio.CancelledError)
        if not seen:
            # The task was cancelled while it was on its way out, and would hear of it at its next await.
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                pass
        # When somebody else has cancelled the task as well, that cancellation stands.
        if task.uncancel() <= self._requests:
            return seen
        if not seen:
            raise asyncio.CancelledError
        return False


class AsyncPort(PortRequests):
    """What bodies await, for one client of this loop.

    deadline: monotonic seconds by which every request and sleep must end; None for no limit.
    """

    def __init__(self, client: AsyncClient, deadline: float | None = None) -> None:
        super().__init__(client)
        self.client = client
        self._deadline = deadline

    async def _run(self, call: Call[T]) -> T:
        timeout = self.client.call_timeout
        if self._deadline is not None:
            timeout = self._deadline - self.now()
            if timeout <= 0:
                raise CallTimeoutError(
                    call.path, message="the time was over before it began", outcome=Outcome.NOT_APPLIED
                )
        result: T = await self.client.handler.call(call, timeout)
        return result

    async def _result(self, call: Call[T], since: float) -> T:
        deadline = self._deadline
        if deadline is None and self.client.call_timeout is not None:
            deadline = since + self.client.call_timeout
        timeout = None if deadline is None else max(0.0, deadline - self.now())
        result: T = await self.client.handler.finish(call, timeout)
        return result

    def _submit(self, call: Call[Any]) -> None:
        self.client.handler.submit(call)

    def _abandon(self, call: Call[Any]) -> None:
        if not call.done:
            self.client.handler.abandon(call)

    # Waiting, time, tasks

    def watcher(self, wake: Event | None = None) -> AsyncWatcher:
        """Make a one-shot watch as a value."""
        return AsyncWatcher(self.client.forget_watcher, wake)

    def event(self) -> AsyncEvent:
        """Make an event, with its flag down."""
        return AsyncEvent()

    async def sleep(self, seconds: float) -> None:
        """Pause."""
        if self._deadline is not None and self.now() + seconds > self._deadline:
            await asyncio.sleep(max(0.0, self._deadline - self.now()))
            raise OperationTimeoutError(None, message="the time was over during a pause", outcome=Outcome.NOT_APPLIED)
        await asyncio.sleep(seconds)

    def now(self) -> float:
        """Seconds on the monotonic clock."""
        return self.client.now()

    def chance(self) -> float:
        """A random number in [0, 1)."""
        return random_number()

    def until(self, deadline: float | None) -> AsyncPort:
        """This port with every request and `sleep` bounded by a deadline."""
        return AsyncPort(self.client, deadline)

    def spawn(self, body: Coroutine[object, None, T], name: str) -> AsyncTask[T]:
        """Run a body as a task."""
        return AsyncTask(body, name)

    def scope(self) -> AsyncScope:
        """Begin a scope of the calling task."""
        return AsyncScope()

    async def shielded(self, body: Coroutine[object, None, T]) -> T:
        """Run a body to its end even when the caller is cancelled meanwhile; the caller then ends as cancelled."""
        task = asyncio.get_running_loop().create_task(_as_any(body))
        cancelled: asyncio.CancelledError | None = None
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            if not task.cancelled():
                task.exception()  # it was seen, though nobody is told
            raise cancelled
        return task.result()

    # Clean-up and identity

    def background_delete(self, parent: str, name_prefix: str, session_id: int) -> None:
        """See to it that no child of `parent` whose name begins with `name_prefix` is left."""
        self.client.handler.clean_up(steps.sweep(AsyncPort(self.client), parent, name_prefix, session_id))

    def guid(self) -> str:
        """Return 32 hex digits that nobody else has."""
        return os.urandom(16).hex()

    def caller(self) -> object | None:
        """Return the task that calls; None outside of one."""
        return None if _running_loop() is None else asyncio.current_task()


def random_number() -> float:
    """A random number in [0, 1), of the system's making, so that forked processes differ."""
    return int.from_bytes(os.urandom(7), "big") / (1 << 56)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _as_any(body: Coroutine[object, None, T]) -> Coroutine[Any, Any, T]:
    return body
