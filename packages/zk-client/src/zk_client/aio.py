"""The client of asyncio: a session, its life, and its watches; the operations are in `async_requests`.

async with AsyncClient("127.0.0.1:2181") as zk:
    await zk.create("/greeting", b"hello")
    async for event in zk.watch("/greeting"):
        ...
"""

from __future__ import annotations

from collections import deque

from zk_wire import EventType

from .async_port import AsyncEvent, AsyncPort, AsyncWatcher, random_number
from .async_requests import AsyncRequests, like
from .base import ClientBase, check_observers, check_seconds, version_of
from .calls import Call, no_reply
from .client import Client
from .errors import SessionClosedError, StartTimeoutError
from .handlers.asyncio import AsyncHandler
from .hosts import Host
from .operations import Operations
from .retry import RetryPolicy, retrying
from .states import SessionState, WatchedEvent
from .steps import undo_create
from .watching import MOST_EVENTS, is_last

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Sequence
    from types import TracebackType
    from typing import Any, Literal, ParamSpec, TypeVar

    from zk_wire import ACL

    from .observing import Observer

    P = ParamSpec("P")
    T = TypeVar("T")


class AsyncClient(ClientBase, AsyncRequests):
    """A ZooKeeper client that is awaited, for asyncio.

    The parameters are those of `Client`. It belongs to the event loop it is started in and is to be used there
    alone; another loop gets ConfigurationError. Any number of tasks may share it; it has no thread, and no task while
    nothing happens. Listeners and watch functions run in the loop, in the server's order, never inside a call of
    yours; they may be `async def`. A client may be started again after `stop`, also in another loop.
    """

    def __init__(
        self,
        hosts: str | Iterable[str] = "127.0.0.1:2181",
        timeout: float = 10.0,
        *,
        client_id: tuple[int, bytes] | None = None,
        default_acl: Sequence[ACL] | None = None,
        auth_data: Iterable[tuple[str, str | bytes]] = (),
        read_only: bool = False,
        randomize_hosts: bool = True,
        connect_timeout: float | None = None,
        read_timeout: float | None = None,
        connection_retry: RetryPolicy | None = None,
        command_retry: RetryPolicy | None = None,
        when_disconnected: Literal["queue", "fail"] = "queue",
        call_timeout: float | None = None,
        resolve_timeout: float | None = None,
        renew_after_expiry: bool = True,
        follow_config: bool = False,
        max_in_flight: int | None = None,
        when_full: Literal["wait", "fail"] = "wait",
        max_frame: int = 64 * 1024 * 1024,
        max_request: int = 1_048_575,
        observers: Iterable[Observer] = (),
    ) -> None:
        super().__init__(
            hosts,
            timeout,
            chance=random_number,
            client_id=client_id,
            default_acl=default_acl,
            read_only=read_only,
            randomize_hosts=randomize_hosts,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            connection_retry=connection_retry,
            command_retry=command_retry,
            when_disconnected=when_disconnected,
            call_timeout=call_timeout,
            resolve_timeout=resolve_timeout,
            renew_after_expiry=renew_after_expiry,
            max_in_flight=max_in_flight,
            when_full=when_full,
            max_frame=max_frame,
        )
        watching = check_observers(observers)
        handler: AsyncHandler
        if watching:
            from .handlers.observed_asyncio import ObservedAsyncHandler

            handler = ObservedAsyncHandler(self._core, self.now, watching)
        else:
            handler = AsyncHandler(self._core)
        self._world = self.handler = handler
        self.operations = Operations(self.handler, self.chroot, default_acl, max_request)
        self.port = AsyncPort(self)
        self.handler.undoing = self._undo
        self._interrupt = AsyncEvent()
        self._present(auth_data)
        if follow_config:
            self._follow_config()

    # Life

    @like(Client.start)
    async def start(self, timeout: float = 15.0) -> None:
        check_seconds("timeout", timeout)
        self.start_async()
        try:
            state = await self.handler.settled(timeout)
        except BaseException:
            await self.stop()
            raise
        if state.is_connected:
            if self.chroot:
                call = self.operations.exists("/")
                self.handler.submit(call)
                call.add_done_callback(self._warn_of_chroot)
            return
        reason = self._core.reason
        stopped = self._interrupt.is_set()
        await self.stop()
        if stopped:
            raise SessionClosedError("start() was ended by stop()")
        listed = ",".join(str(host) for host in self.hosts)
        if state is SessionState.AUTH_FAILED:
            raise self._core.auth_error(reason)
        raise StartTimeoutError(f"no session from {listed} within {timeout} s: {reason}")

    @like(Client.start_async)
    def start_async(self) -> None:
        self._interrupt.clear()
        self._look_after_forks()
        self.handler.start()

    @like(Client.wait_connected)
    async def wait_connected(self, timeout: float | None = None) -> bool:
        return (await self.handler.settled(timeout)).is_connected

    @like(Client.stop)
    async def stop(self, timeout: float = 5.0, *, close_session: bool = True) -> None:
        self._interrupt.set()
        await self.handler.stop(timeout, close_session=close_session)

    @like(Client.close)
    async def close(self) -> None:
        await self.stop()

    @like(Client.restart)
    async def restart(self, timeout: float = 15.0) -> None:
        await self.stop()
        await self.start(timeout)

    async def __aenter__(self) -> AsyncClient:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # The session

    def now(self) -> float:
        """Seconds on the monotonic clock by which this client lives."""
        return self.handler.now()

    def states(self) -> StateStream:
        """Iterate with `async for` over the state there is and every new one, until the client has ended."""
        stream = StateStream(self.state)
        self.handler.tell_states(stream)
        return stream

    # Asking servers

    @like(Client.command)
    async def command(self, word: str = "ruok", timeout: float = 5.0) -> str:
        from .handlers.opening import ask

        address = self.server_address
        if address is None:
            raise self._core.no_connection()
        return await ask(Host(*address), word, timeout)

    @like(Client.server_version)
    async def server_version(self) -> tuple[int, ...]:
        return version_of(await self.command("srvr"))

    # Watches

    @like(Client.watcher)
    def watcher(self) -> AsyncWatcher:
        return AsyncWatcher(self.forget_watcher)

    def watch(self, path: str, *, recursive: bool = False) -> AsyncWatch:
        """Watch a node until told otherwise; with `recursive` everything below it too (servers of 3.6 and newer).

        Returns a value to iterate over with `async for`; it is set on the server when the iteration begins, or before
        by `async with` or by awaiting it. The node need not exist. After a reconnect it yields an event of type NONE
        with a connected state, because no server reports what a persistent watch missed: read again then.
        Raises ConfigurationError for a path that this client watches persistently in the other mode already:
        servers before 3.9 keep one mode per path.
        """
        self.operations.full(path)
        return AsyncWatch(self, path, recursive)

    @like(Client.add_watch)
    async def add_watch(
        self, path: str, listener: Callable[[WatchedEvent], object], *, recursive: bool = False
    ) -> None:
        await self._run(self._watch_call(path, listener, recursive))

    # Deadlines and retrying

    @like(Client.within)
    def within(self, seconds: float) -> AsyncRequests:
        from .within import AsyncWithin

        check_seconds("seconds", seconds)
        return AsyncWithin(self, seconds)

    @like(Client.retry)
    async def retry(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        async def attempt() -> T:
            return await function(*args, **kwargs)

        return await retrying(self.port, self._command_retry, attempt, interrupt=self._interrupt)

    def _forked(self, reason: str) -> None:
        super()._forked(reason)
        self._interrupt = AsyncEvent()

    # What the faces run on

    def _run(self, call: Call[T]) -> Awaitable[T]:
        if self.call_timeout is not None:
            return self.handler.call(call, self.call_timeout)
        self.handler.submit(call)
        return call

    def _submit(self, call: Call[T]) -> Call[T]:
        self.handler.submit(call)
        return call

    def _body_async(self, path: str, body: Coroutine[object, None, T]) -> Call[T]:
        future: Call[T] = Call(self.handler, b"", no_reply, path)
        self.handler.run_steps(body, future)
        return future

    def _now(self) -> float:
        return self.handler.now()

    def _undo(self, path: str, session_id: int) -> Coroutine[Any, Any, None]:
        return undo_create(self.port, path, session_id)


class StateStream:
    """The states of a session, one after the other; the last one is CLOSED or AUTH_FAILED."""

    def __init__(self, state: SessionState) -> None:
        self._states = deque([state])
        self._arrived = AsyncEvent()
        self._ended = False

    def arrive(self, state: SessionState) -> None:
        """The handler tells a new state."""
        self._states.append(state)
        self._arrived.set()

    def __aiter__(self) -> StateStream:
        return self

    async def __anext__(self) -> SessionState:
        if self._ended:
            raise StopAsyncIteration
        while not self._states:
            self._arrived.clear()
            await self._arrived.wait()
        state = self._states.popleft()
        self._ended = state in (SessionState.CLOSED, SessionState.AUTH_FAILED)
        return state


class AsyncWatch:
    """A persistent watch: iterate over it with `async for`, or await `get` event by event.

    Iteration ends when the watch is closed or its session is over. `async with` closes it at the end.
    """

    runs_inline = True

    def __init__(self, client: AsyncClient, path: str, recursive: bool) -> None:
        self.path = path
        self.recursive = recursive
        self.closed = False
        self.server_paths: set[str] = set()
        self._client = client
        self._set = False
        self._events: deque[WatchedEvent] = deque()
        self._arrived = AsyncEvent()

    def __call__(self, event: object) -> None:
        if not isinstance(event, WatchedEvent):
            return
        if len(self._events) >= MOST_EVENTS:
            self._events.clear()
            event = WatchedEvent(EventType.NONE, event.state, self.path)
        self._events.append(event)
        if is_last(event):
            self.closed = True
        self._arrived.set()

    async def start(self) -> AsyncWatch:
        """Set the watch on the server, if it is not yet; the same as awaiting it."""
        if not self._set:
            self._set = True
            try:
                await self._client.add_watch(self.path, self, recursive=self.recursive)
            except BaseException:
                await self.close()
                raise
        return self

    def __await__(self) -> Generator[Any, None, AsyncWatch]:
        return self.start().__await__()

    async def get(self, timeout: float | None = None) -> WatchedEvent | None:
        """The next event; None when `timeout` seconds pass first, or the watch is closed and all events are read."""
        await self.start()
        while True:
            if self._events:
                return self._events.popleft()
            if self.closed:
                return None
            self._arrived.clear()
            if not await self._arrived.wait(timeout):
                return None

    def forked(self) -> None:
        """In a forked child: the watch is the parent's, and nothing comes of it here."""
        self.closed = True
        self._arrived = AsyncEvent()

    def __aiter__(self) -> AsyncWatch:
        return self

    async def __anext__(self) -> WatchedEvent:
        event = await self.get()
        if event is None:
            raise StopAsyncIteration
        return event

    async def close(self) -> None:
        """Forget the watch, here at once and on the server when it was the last one on its path."""
        if not self.closed:
            self.closed = True
            self._client.forget_watcher(self)
        self._arrived.set()

    async def __aenter__(self) -> AsyncWatch:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
