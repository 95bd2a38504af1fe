"""The port of threads and greenlets: its coroutines block inside and never suspend.

Rule: one line per request; what a body may rely on stands in `port`.
"""

from __future__ import annotations

from zk_wire import OperationTimeoutError, Outcome

from . import steps
from .errors import CallTimeoutError
from .faces import run_blocking
from .port_requests import PortRequests
from .watching import Watcher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, Generic, TypeVar

    from .calls import Call
    from .client import Client
    from .handlers.base import Runtime
    from .port import Event
    from .states import WatchedEvent
else:
    from ._typing import Generic, TypeVar

T = TypeVar("T")


class TaskCancelled(BaseException):
    """Raised inside a body whose task was cancelled; not an Exception, so that no body swallows it by accident."""


class BlockingEvent:
    """A flag. Whoever waits for it in a task is also woken when the task is cancelled."""

    def __init__(self, runtime: Runtime, current: Callable[[], BlockingTask[Any] | None]) -> None:
        self._runtime = runtime
        self._current = current
        self._mutex = runtime.lock()
        self._set = False
        self._sleepers: list[Any] = []

    def set(self) -> None:
        """Raise the flag and wake everybody who waits."""
        with self._mutex:
            self._set = True
            sleepers, self._sleepers = self._sleepers, []
        for sleeper in sleepers:
            sleeper.set()

    def clear(self) -> None:
        """Lower the flag."""
        self._set = False

    def is_set(self) -> bool:
        """Whether the flag is up."""
        return self._set

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait until the flag is up; False when `timeout` seconds go by first."""
        task = self._current()
        if task is not None:
            task.check()
        if self._set:
            return True
        self._runtime.may_block()
        sleeper = self._runtime.event()
        with self._mutex:
            if self._set:
                return True
            self._sleepers.append(sleeper)
        if task is not None:
            task.sleeper = sleeper
            if task.cancelled and not task.shields:
                sleeper.set()
        try:
            sleeper.wait(timeout)
        finally:
            if task is not None:
                task.sleeper = None
            with self._mutex:
                if sleeper in self._sleepers:
                    self._sleepers.remove(sleeper)
        if task is not None:
            task.check()
        return self._set


class BlockingWatcher:
    """A one-shot watch for bodies: `Watcher` with coroutines that block."""

    runs_inline = True

    def __init__(self, port: BlockingPort, wake: Event | None) -> None:
        self._flag = port.event()
        self._value = Watcher(port.client.runtime, port.client.forget_watcher, None)
        self._wake = wake
        self._forget = port.client.forget_watcher
        self.server_paths: set[str] = set()

    @property
    def closed(self) -> bool:
        """Whether the watch was given up."""
        return self._value.closed

    def __call__(self, event: object) -> None:
        self._value(event)
        self._flag.set()
        if self._wake is not None:
            self._wake.set()

    @property
    def event(self) -> WatchedEvent | None:
        """What the watch saw; None so far."""
        return self._value.event

    async def wait(self, timeout: float | None = None) -> WatchedEvent | None:
        """Wait for the event; None when `timeout` seconds go by first, or the watcher was closed."""
        await self._flag.wait(timeout)
        return self._value.event

    async def close(self) -> None:
        """Forget the watch, here at once and on the server when it was the last one on its path."""
        if not self._value.closed:
            self._value.closed = True
            if self._value.event is None:
                self._forget(self)
            self._flag.set()


class BlockingTask(Generic[T]):
    """A body in a worker of its own."""

    def __init__(self, port: BlockingPort, body: Coroutine[object, None, T], name: str) -> None:
        self.cancelled = False
        self.shields = 0  # how many shielded bodies it is inside of
        self.sleeper: Any = None
        self.ended = port.client.runtime.event()
        self._result: T | None = None
        self._failure: BaseException | None = None
        self._body = body
        self._port = port
        port.client.runtime.spawn(f"zk-client {name}", self._run)

    def _run(self) -> None:
        runtime = self._port.client.runtime
        runtime.set_task(self)
        try:
            self._result = run_blocking(self._body)
        except BaseException as error:  # noqa: BLE001 - join() raises it
            self._failure = error
        finally:
            runtime.set_task(None)
            self.ended.set()

    def check(self) -> None:
        """Raise TaskCancelled once the task was cancelled."""
        if self.cancelled and not self.shields:
            raise TaskCancelled

    @property
    def done(self) -> bool:
        """Whether the body has ended."""
        return self.ended.is_set()

    def cancel(self) -> None:
        """Ask the body to end: its current or next wait raises TaskCancelled."""
        self.cancelled = True
        sleeper = self.sleeper
        if sleeper is not None:
            sleeper.set()

    async def join(self, timeout: float | None = None) -> T:
        """Wait for the end and return the body's result, or raise what it raised."""
        if not self.ended.wait(timeout):
            raise TimeoutError(f"the body still runs after {timeout} s")
        return self.outcome()

    def outcome(self) -> T:
        """What a body that has ended returned, or raised."""
        if self._failure is not None:
            raise self._failure
        return self._result  # type: ignore[return-value]


class BlockingScope:
    """A stretch of work that nobody can interrupt safely: that it should end is noted, and the work has to ask."""

    interrupts = False

    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        """Note that it should end."""
        self.cancelled = True

    async def leave(self, error: BaseException | None) -> bool:
        """End it; nothing that leaves it is its own doing."""
        return False


class BlockingPort(PortRequests):
    """What bodies await, for one client whose calls block.

    deadline: monotonic seconds by which every request and sleep must end; None for no limit.
    """

    def __init__(self, client: Client, deadline: float | None = None) -> None:
        super().__init__(client)
        self.client = client
        self._deadline = deadline
        self._call = client.handler.call
        self._runtime = client.runtime

    async def _run(self, call: Call[T]) -> T:
        task = self._runtime.current_task()
        if task is not None:
            task.check()
        if self._deadline is None:
            result: T = self._call(call, self.client.call_timeout)
            return result
        remaining = self._deadline - self._runtime.now()
        if remaining <= 0:
            raise CallTimeoutError(call.path, message="the time was over before it began", outcome=Outcome.NOT_APPLIED)
        bounded: T = self._call(call, remaining)
        return bounded

    async def _result(self, call: Call[T], since: float) -> T:
        if self._deadline is None:
            timeout = self.client.call_timeout
            return call.result(None if timeout is None else max(0.0, since + timeout - self._runtime.now()))
        return call.result(max(0.0, self._deadline - self._runtime.now()))

    def _submit(self, call: Call[Any]) -> None:
        task = self._runtime.current_task()
        if task is not None:
            task.check()
        self.client.handler.submit(call)

    def _abandon(self, call: Call[Any]) -> None:
        self.client.handler.abandon(call)

    # Waiting, time, tasks

    def watcher(self, wake: Event | None = None) -> BlockingWatcher:
        """Make a one-shot watch as a value."""
        return BlockingWatcher(self, wake)

    def event(self) -> BlockingEvent:
        """Make an event, with its flag down."""
        return BlockingEvent(self._runtime, self._runtime.current_task)

    async def sleep(self, seconds: float) -> None:
        """Pause."""
        if self._deadline is not None and self._runtime.now() + seconds > self._deadline:
            await self.event().wait(max(0.0, self._deadline - self._runtime.now()))
            raise OperationTimeoutError(None, message="the time was over during a pause", outcome=Outcome.NOT_APPLIED)
        await self.event().wait(seconds)

    def now(self) -> float:
        """Seconds on the monotonic clock."""
        return self._runtime.now()

    def chance(self) -> float:
        """A random number in [0, 1)."""
        return self._runtime.chance()

    def until(self, deadline: float | None) -> BlockingPort:
        """This port with every request and `sleep` bounded by a deadline."""
        return BlockingPort(self.client, deadline)

    def spawn(self, body: Coroutine[object, None, T], name: str) -> BlockingTask[T]:
        """Run a body in a worker of its own."""
        return BlockingTask(self, body, name)

    def scope(self) -> BlockingScope:
        """Begin a scope, which here is only told that it should end."""
        return BlockingScope()

    async def shielded(self, body: Coroutine[object, None, T]) -> T:
        """Run a body to its end even when the caller is cancelled meanwhile."""
        if self._runtime.kills:
            return self._shielded_from_kills(body)
        task = self._runtime.current_task()
        if task is None:
            return await body
        task.shields += 1
        try:
            return await body
        finally:
            task.shields -= 1

    def _shielded_from_kills(self, body: Coroutine[object, None, T]) -> T:
        """Run a body in a worker that nobody knows to kill; a caller that was killed meanwhile ends after it."""
        task = BlockingTask(self, body, "shielded")
        killed: BaseException | None = None
        while not task.done:
            try:
                task.ended.wait()
            except BaseException as error:  # noqa: BLE001 - raised once the body has ended
                killed = error
        if killed is not None:
            raise killed
        return task.outcome()

    # Clean-up and identity

    def background_delete(self, parent: str, name_prefix: str, session_id: int) -> None:
        """See to it that no child of `parent` whose name begins with `name_prefix` is left."""
        self.client.clean_up(steps.sweep(BlockingPort(self.client), parent, name_prefix, session_id))

    def guid(self) -> str:
        """Return 32 hex digits that nobody else has."""
        return self._runtime.guid()

    def caller(self) -> object | None:
        """Return the thread or greenlet that calls."""
        return self._runtime.caller()
