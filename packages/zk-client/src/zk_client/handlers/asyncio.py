"""Carries bytes and time for clients that are awaited: one asyncio transport per connection, no thread, no task.

Rule: it decides nothing. On its loop it tells the session core what happened and performs what the core asks. All of
it belongs to the loop's thread.

How a request travels. The first one is written at once; those that follow while it is under way are written together
when the loop comes round. A caller waits on a future of its own. A caller that is cancelled, or runs out of time,
leaves its request behind: one that was not sent never will be; the reply of one that was is consumed, and what a
sequential create has made by then is deleted again, because nobody knows its name; so is the marker of a transaction.

An idle client costs one timer: the core's deadlines only move on while nothing but bytes arrives, so the timer is set
anew when it has fired, or when the session has changed.
"""

from __future__ import annotations

import asyncio
import time
from asyncio import get_running_loop
from collections import deque
from inspect import iscoroutine
from weakref import WeakSet

from zk_wire import Outcome

from .._session.machine import CLOSING, IDLE
from ..errors import CallTimeoutError, ConfigurationError
from ..states import SessionState
from .leaving import Inline, Undo, leaves, left_behind
from .log import logger
from .opening import check, open_stream, resolve, search_read_write
from .performing import Performing
from .stream import Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any

    from .._session.actions import Connect, Log, Probe
    from .._session.core import SessionCore
    from ..aio import StateStream
    from ..calls import Call
    from ..following import Answers
    from ..hosts import Host
    from .resolving import Addresses

# Deadlines this close to the timer's are not worth another timer.
SLACK = 0.001


class AsyncHandler(Performing):
    """One client's connection to its loop; see the module's text."""

    def __init__(self, core: SessionCore) -> None:
        self.core = core
        self.listeners: list[Callable[[SessionState], object]] = []
        self.undoing: Callable[[str, int], Coroutine[Any, Any, None]] | None = None  # deletes what nobody knows of
        self._begin()

    def _begin(self) -> None:
        """Make everything that belongs to this process and to no other."""
        self.state = self.core.state
        self.loop: asyncio.AbstractEventLoop | None = None
        self.now: Callable[[], float] = time.monotonic
        self._stream: Stream | None = None
        self._streams: set[Stream] = set()  # also those that are ending
        self._opening: asyncio.Task[None] | None = None
        self._lookups: dict[Host, asyncio.Task[Addresses | Exception]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._cleaning: set[asyncio.Task[Any]] = set()  # those of them that `stop` lets finish
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._flushing = False
        self._told: deque[tuple[Callable[..., object], object]] = deque()
        self._settled = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()
        self.streams: WeakSet[StateStream] = WeakSet()

    # Starting and stopping

    def start(self) -> None:
        """Begin to connect, in the running loop."""
        self._leave_closed_loop()
        if self.core.phase != IDLE:
            self._check_loop()
            return
        self.loop = asyncio.get_running_loop()
        self.now = self.loop.time
        self._settled = asyncio.Event()
        self._ended = asyncio.Event()
        now = self.now()
        self.core.start(now)
        self.core.tick(now)  # the first attempt is due
        self.perform()

    async def settled(self, timeout: float | None) -> None:
        """Wait until a start has succeeded or failed for good, at most `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._settled.wait()
        except TimeoutError:
            pass

    async def stop(self, timeout: float, *, close_session: bool) -> None:
        """End the session, waiting at most `timeout` seconds for the server to confirm it; nothing is left then."""
        self._leave_closed_loop()
        loop = self.loop
        if loop is None or (self.core.phase == IDLE and not self._streams and not self._tasks):
            self.core.stop(0.0, close_session=close_session)
            self.perform()
            return
        self._check_loop()
        try:
            async with asyncio.timeout(timeout):
                if self._cleaning and self.core.state.is_connected:
                    await asyncio.wait(self._cleaning)
                if self.core.phase not in (IDLE, CLOSING):
                    self.core.stop(self.now(), close_session=close_session)
                    self.perform()
                    self._flush()
                    self._schedule()
                await self._ended.wait()
        except TimeoutError:
            pass
        finally:
            if self.core.phase not in (IDLE, CLOSING):
                self.core.stop(self.now(), close_session=close_session)
            self.core.abort()
            self.perform()
            own = [task for task in self._tasks if task is not asyncio.current_task()]
            for task in own:
                task.cancel()
        if own:
            await asyncio.wait(own)
        for stream in tuple(self._streams):
            await stream.ended.wait()

    def forked(self, reason: str) -> None:
        """In a forked child: be as if never started; the loop, and what it polls, are the parent's."""
        for call in self.core.forked(reason):
            call.done = True
            call.callbacks = None
        for stream in self._streams:
            stream.forked()
        self._begin()

    def _leave_closed_loop(self) -> None:
        """Be as if never started when the loop was closed without a word to this client; the session expires."""
        if self.core.phase != IDLE and self.loop is not None and self.loop.is_closed():
            self.forked("stopped: the event loop it was started in is closed")

    def _check_loop(self) -> None:
        if self.loop is not None and self.loop is not asyncio.get_running_loop():
            if self.loop.is_closed():
                raise ConfigurationError(
                    "the event loop this client was started in is closed: stop() frees what is left of it, and "
                    "start() begins anew in the running loop"
                )
            raise ConfigurationError(
                "this client was started in another event loop; a client belongs to the loop that started it: "
                "use one client per loop, or asyncio.run_coroutine_threadsafe"
            )

    # Requests

    async def call(self, call: Call[Any], timeout: float | None) -> Any:
        """Send a request, wait for its reply, return its result."""
        self.submit(call)
        if timeout is not None:
            await self._bounded(call, timeout)
        return await call

    async def finish(self, call: Call[Any], timeout: float | None) -> Any:
        """Wait for a request that was submitted, and return its result."""
        if timeout is not None:
            await self._bounded(call, timeout)
        return await call

    def submit(self, call: Call[Any]) -> None:
        """Send a request whose reply nobody waits for yet."""
        loop = self.loop
        core = self.core
        if loop is None:
            core.submit(call, 0.0)
            self.perform()
            return
        if loop is not get_running_loop():
            self._check_loop()
        connection, stream = core.connection, self._stream
        now = self.now()
        if stream is not None and connection is not None and not connection.in_flight:
            data = core.send_alone(call, now)
            if data:
                stream.write(data)
                return
        core.submit(call, now)
        if core.completed or core.actions:
            self.perform()
        if core.output and not self._flushing:
            self._flushing = True
            loop.call_soon(self._flush)

    def waiter(self, call: Call[Any]) -> asyncio.Future[None]:
        """What a caller awaits; several may wait for one call."""
        loop = self.loop
        assert loop is not None
        if loop is not get_running_loop():
            self._check_loop()
        future: asyncio.Future[None] = loop.create_future()
        if call.waiter is None:
            call.waiter = future
        else:
            self._add_callback(call, _Waiter(future))
        return future

    def abandon(self, call: Call[Any]) -> None:
        """The caller was cancelled, and will never see what its request came to."""
        if not call.done:
            self._leave(call)
        elif call.watch is not None:
            self.core.disarm(call)
            self._flush()
        elif call.failure is None:
            self.undo(call)

    def _leave(self, call: Call[Any]) -> bool:
        """Wait for a call no longer; True when its request was never sent and now never will be."""
        call.to_undo = leaves(call)
        if self.core.withdraw(call):
            self.core.cancelled(call)
            self.perform()
            return True
        if call.to_undo:
            self._add_callback(call, Undo(self.undo))
        return False

    def undo(self, call: Call[Any]) -> None:
        """Delete what a call has left behind that nobody knows of."""
        path = left_behind(call)
        if path is not None and self.undoing is not None:
            self.clean_up(self.undoing(path, self.core.session_id))

    async def _bounded(self, call: Call[Any], timeout: float) -> None:
        if call.done:
            return
        assert self.loop is not None
        future = self.waiter(call)
        timer = self.loop.call_later(timeout, _lapse, future)
        try:
            await future
        except asyncio.CancelledError:
            self.abandon(call)
            raise
        finally:
            timer.cancel()
        if call.done:
            return
        unknown = not self._leave(call) and call.recovery is not None
        raise CallTimeoutError(
            call.path,
            message=f"no reply for {call.path!r} within {timeout} s",
            outcome=Outcome.UNKNOWN if unknown else Outcome.NOT_APPLIED,
        )

    def wait(self, call: Call[Any], timeout: float | None) -> None:
        """Refuse to block the loop."""
        raise ConfigurationError(f"{call!r} is not done: await it instead of asking for its result")

    def cancel(self, call: Call[Any]) -> bool:
        """Take a request back that was not sent yet."""
        if not self.core.withdraw(call):
            return False
        self.core.cancelled(call)
        self.perform()
        return True

    def call_when_done(self, call: Call[Any], function: Callable[[Call[Any]], object]) -> None:
        """Have `function(call)` called once the call is done."""
        if call.done:
            self._tell(function, call)
        else:
            self._add_callback(call, function)

    def _add_callback(self, call: Call[Any], function: Callable[[Call[Any]], object]) -> None:
        if call.callbacks is None:
            call.callbacks = []
        call.callbacks.append(function)

    def forget_watch(self, path: str, listener: Any) -> None:
        """Take a listener off a path."""
        self.core.forget_watch(path, listener)
        self._flush()

    def forget_watcher(self, watcher: Any) -> None:
        """Take a watcher off every path it watches."""
        for path in watcher.server_paths:
            self.core.forget_watch(path, watcher)
        self._flush()

    def reconnect(self, reason: str) -> None:
        """Drop the connection and find a server again."""
        if self.loop is not None:
            self._check_loop()
            self.core.reconnect(self.now(), reason)
            self.perform()

    def set_hosts(
        self, hosts: Sequence[Host], fallback: Sequence[Host], connect_timeout: float, known_as: frozenset[str]
    ) -> None:
        """Have other hosts, and perhaps another connection."""
        if self.loop is not None:
            self._check_loop()
        if (peer := self.peer) is not None:
            known_as |= {peer[0]}
        now = self.now()
        self.core.set_hosts(now, hosts, fallback, connect_timeout=connect_timeout, known_as=known_as)
        self.perform()
        self._schedule()

    @property
    def peer(self) -> tuple[str, int] | None:
        """The connected server's address."""
        return self._stream.peer if self._stream is not None else None

    def spawn(self, body: Coroutine[Any, Any, Any], name: str = "zk-client") -> asyncio.Task[Any]:
        """Run something of the client's own beside everything else; `stop` ends it."""
        task = asyncio.get_running_loop().create_task(body, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def clean_up(self, body: Coroutine[Any, Any, Any]) -> None:
        """Run a clean-up beside everything else; `stop` waits for it while there is a connection."""
        task = self.spawn(body, "zk-client clean-up")
        self._cleaning.add(task)
        task.add_done_callback(self._cleaning.discard)

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger().error("exception in %r, run by the ZooKeeper client", task.get_name(), exc_info=error)

    # What happened, told by the stream

    def received(self, stream: Stream, data: bytes | int) -> None:
        """Bytes arrived; or so many of a large frame did, into the memory given by `room`."""
        if stream is not self._stream:
            return
        assert self.loop is not None
        core = self.core
        core.received(data, self.now())
        connection = core.connection
        stream.missing = connection.missing if connection is not None else 0
        if core.completed or core.actions:
            self.perform()
        if core.output and not self._flushing:
            self._flush()

    def lost(self, stream: Stream, reason: str) -> None:
        """The connection has ended."""
        self._streams.discard(stream)
        if stream is self._stream and self.loop is not None:
            self.core.closed(self.now(), reason)
            self.perform()

    def _flush(self) -> None:
        self._flushing = False
        if self.core.output and self._stream is not None:
            self._stream.write(self.core.take_output())

    def _tick(self) -> None:
        self._timer = None
        assert self.loop is not None
        self.core.tick(self.now())
        self.perform()
        self._flush()
        self._schedule()

    def _schedule(self) -> None:
        deadline = self.core.deadline()
        timer = self._timer
        if timer is not None:
            if deadline is not None and self._timer_at <= deadline + SLACK:
                return
            timer.cancel()
            self._timer = None
        if deadline is not None and self.loop is not None:
            self._timer_at = deadline + SLACK
            self._timer = self.loop.call_later(max(0.0, self._timer_at - self.now()), self._tick)

    # Performing what the core asks

    def perform(self) -> None:
        """Complete calls, tell what is to be told, connect or disconnect."""
        core = self.core
        while core.actions:
            self.act()
            self._schedule()
        if core.completed:
            completed = tuple(core.completed)
            core.completed.clear()
            for call in completed:
                self._settle(call)

    def _settle(self, call: Call[Any]) -> None:
        call.done = True
        waiter = call.waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        if call.callbacks is not None:
            for function in call.callbacks:
                if isinstance(function, Inline):
                    function(call)
                else:
                    self._tell(function, call)
            call.callbacks = None

    def _tell(self, listener: Any, event: Any) -> None:
        self._told.append((listener, event))
        if self.loop is not None and not self.loop.is_closed():
            self.loop.call_soon(self._tell_next)

    def _tell_next(self) -> None:
        listener, event = self._told.popleft()
        try:
            result = listener(event)
            if iscoroutine(result):
                self.spawn(result, f"zk-client callback {listener!r}")
        except Exception:  # noqa: BLE001 - a callback's fault is its own
            logger().exception("exception in %r, called by the ZooKeeper client", listener)

    def _change(self, state: SessionState) -> None:
        if self.listeners or self._told:
            self._tell(self._deliver_state, state)
        else:
            self._arrive(state)

    def _deliver_state(self, state: SessionState) -> None:
        self._arrive(state)
        for listener in tuple(self.listeners):
            try:
                result = listener(state)
                if iscoroutine(result):
                    self.spawn(result, f"zk-client listener {listener!r}")
            except Exception:  # noqa: BLE001 - a listener's fault is its own
                logger().exception("exception in the state listener %r", listener)

    def _arrive(self, state: SessionState) -> None:
        self.state = state
        if state is not SessionState.CONNECTING and state is not SessionState.SUSPENDED:
            self._settled.set()
        for stream in tuple(self.streams):
            stream.arrive(state)

    def _connect(self, action: Connect) -> None:
        if self._opening is not None:
            self._opening.cancel()
        self._opening = self.spawn(self._open(action), "zk-client connect")
        self._opening.add_done_callback(self._opening_done)

    def _opening_done(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() and task is self._opening:
            # Not by us: somebody ends all tasks of the loop, and a new one would outlive them.
            self._opening = None
            self.core.fail("its connecting task was cancelled")
            self.perform()

    async def _open(self, action: Connect) -> None:
        try:
            await self._try_to_open(action)
        except Exception as error:
            if self.loop is None or self.loop.is_closed():
                return
            # Logged with the task's end. Without a word to the core everybody would wait for a connection for ever.
            self.core.fail(f"internal error: {error!r}")
            self.perform()
            raise

    async def _try_to_open(self, action: Connect) -> None:
        loop = asyncio.get_running_loop()
        attempt = asyncio.current_task()
        stream, reason = await open_stream(loop, action, self._look_up, lambda sock: Stream(self, loop, sock))
        if self._opening is not attempt:
            if stream is not None:
                stream.abort()
            return
        self._opening = None
        if stream is None:
            self.core.connect_failed(self.now(), reason)
        elif stream.ended.is_set():
            self.core.connect_failed(self.now(), "closed at once by the server")
        else:
            self._stream = stream
            self._streams.add(stream)
            self.core.connected(self.now())
        self.perform()
        self._flush()
        self._schedule()

    def _look_up(self, host: Host) -> asyncio.Future[Addresses | Exception]:
        """Ask the resolver, or join the question about this host that is under way: nobody can end one."""
        lookup = self._lookups.get(host)
        if lookup is None or lookup.done():
            lookup = self._lookups[host] = self.spawn(resolve(host), "zk-client resolve")
        return asyncio.shield(lookup)

    def _disconnect(self) -> None:
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.cancel()
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.abort()

    def _probe(self, action: Probe) -> None:
        self.spawn(self._search(action), "zk-client search")

    async def _search(self, probe: Probe) -> None:
        found = await search_read_write(probe)
        self.core.probed(self.now(), found)
        self.perform()
        self._schedule()

    def check_servers(self, hosts: Sequence[Host], then: Callable[[Answers], None]) -> None:
        """Find out which of these hosts are servers, and tell."""
        self.spawn(self._check(hosts, then), "zk-client search")

    async def _check(self, hosts: Sequence[Host], then: Callable[[Answers], None]) -> None:
        then(await check(hosts, self.core.config.connect_timeout))

    def _note(self, action: Log) -> None:
        logger().log(action.level, action.message)

    def _over(self) -> None:
        self._ended.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Waiter(Inline):
    """Stands among a call's callbacks for a further caller that waits for it."""

    __slots__ = ("_future",)

    def __init__(self, future: asyncio.Future[None]) -> None:
        self._future = future

    def __call__(self, call: object) -> None:
        if not self._future.done():
            self._future.set_result(None)


def _lapse(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
