"""Carries bytes and time for clients that are awaited: one asyncio transport per connection, no thread, no task.

Rule: it decides nothing. On its loop it tells the session core what happened and performs what the core asks. All of
it belongs to the loop's thread.

An idle client costs one timer: the core's deadlines only move on while nothing but bytes arrives, so the timer is set
anew when it has fired, or when the session has changed. What is not needed by every client is made when it is needed.
How a request travels is in `async_traffic`.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from inspect import iscoroutine
from weakref import WeakSet

from .._session.machine import CANCELLED, CLOSING, IDLE
from ..calls import Inline
from ..errors import CancelledCallError, ConfigurationError
from ..states import SessionState
from .async_traffic import AsyncTraffic
from .ending import see_off
from .flag import Flag
from .log import logger
from .opening import check, open_stream, resolve, search_read_write
from .stream import Stream
from .tasks import Lookups, Tasks

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


class AsyncHandler(AsyncTraffic):
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
        self._streams: tuple[Stream, ...] = ()  # also those that are ending
        self._opening: asyncio.Task[None] | None = None
        self.tasks = Tasks()
        self._lookups: Lookups | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._flushing = False
        self._untold = 0  # what users are yet to be told
        self._settled = Flag()
        self._ended = Flag(is_set=True)
        self._state_streams: WeakSet[StateStream] | None = None

    # Starting and stopping

    def start(self) -> None:
        """Begin to connect, in the running loop."""
        self._leave_closed_loop()
        if self.core.phase != IDLE:
            self._check_loop()
            return
        self.loop = asyncio.get_running_loop()
        self.now = self.loop.time
        self._settled = Flag()
        self._ended = Flag()
        now = self.now()
        self.core.start(now)
        self.core.tick(now)  # the first attempt is due
        self.perform()

    async def settled(self, timeout: float | None) -> SessionState:
        """Wait until there is a connection, or will be none, at most `timeout` seconds; the state then."""
        if self._settled.is_set():
            return self.state
        self._check_loop()
        try:
            async with asyncio.timeout(timeout):
                await self._settled.wait()
                while not self._is_settled(self.state):  # lost again meanwhile, or begun anew
                    await self._settled.wait()
        except TimeoutError:
            pass
        return self.state

    async def stop(self, timeout: float, *, close_session: bool) -> None:
        """End the session, waiting at most `timeout` seconds for the server to confirm it; nothing is left then."""
        self._leave_closed_loop()
        loop = self.loop
        if loop is None or (self.core.phase == IDLE and not self._streams and not self.tasks):
            self.core.stop(0.0, close_session=close_session)
            self.perform()
            return
        self._check_loop()
        cancelled: asyncio.CancelledError | None = None
        try:
            async with asyncio.timeout(timeout):
                if self.core.state.is_connected:
                    await self.tasks.finish_cleaning()
                if self.core.phase not in (IDLE, CLOSING):
                    self.core.stop(self.now(), close_session=close_session)
                    self.perform()
                    self._flush()
                    self._schedule()
                await self._ended.wait()
        except TimeoutError:
            pass
        except asyncio.CancelledError as error:
            cancelled = error
        finally:
            if self.core.phase not in (IDLE, CLOSING):
                self.core.stop(self.now(), close_session=close_session)
            self.core.abort()
            self.perform()
            ending = self.tasks.cancel()
        await see_off(ending, self._streams)
        if cancelled is not None:
            raise cancelled

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

    # Watches, hosts, tasks

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

    def clean_up(self, body: Coroutine[Any, Any, None]) -> None:
        """Run a clean-up beside everything else; `stop` waits for it while there is a connection."""
        self.tasks.clean_up(body)

    def run_steps(self, body: Coroutine[Any, Any, Any], call: Call[Any]) -> None:
        """Run a body beside everything else; the call, which is no request, is done with what it comes to."""
        self._check_loop()

        def ended(task: asyncio.Task[Any]) -> None:
            if task.cancelled():
                call.failure = CancelledCallError(call.path)
            elif (failure := task.exception()) is not None:
                call.failure = failure
            else:
                call.reply = task.result()
            self._settle(call)

        self.tasks.run_steps(body, ended)

    def tell_states(self, stream: StateStream) -> None:
        """Tell every new state to a stream, as long as somebody has it."""
        if self._state_streams is None:
            self._state_streams = WeakSet()
        self._state_streams.add(stream)

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
        self._streams = tuple(known for known in self._streams if known is not stream)
        if stream is self._stream and self.loop is not None:
            self.core.closed(self.now(), reason)
            self.perform()

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
        loop = self.loop
        if loop is None:
            loop = asyncio.get_running_loop()  # a call that was refused because the client is not started
        if not loop.is_closed():
            self._untold += 1
            # One turn each, not all at once: who waits for a reply that came between two of them wakes between them.
            loop.call_soon(self._tell_now, self.tasks, listener, event)

    def _tell_now(self, life: Tasks, listener: Callable[..., object], event: object) -> None:
        if life is not self.tasks:
            return  # the process has forked since, and this is the parent's
        self._untold -= 1
        try:
            result = listener(event)
            if iscoroutine(result):
                self.tasks.spawn(result, f"zk-client callback {listener!r}")
        except Exception:  # noqa: BLE001 - a callback's fault is its own
            logger().exception("exception in %r, called by the ZooKeeper client", listener)

    def _change(self, state: SessionState) -> None:
        if self.listeners or self._untold:
            self._tell(partial(self._deliver_state, self._settled), state)
        else:
            self._arrive(self._settled, state)

    def _deliver_state(self, settled: Flag, state: SessionState) -> None:
        self._arrive(settled, state)
        for listener in tuple(self.listeners):
            try:
                result = listener(state)
                if iscoroutine(result):
                    self.tasks.spawn(result, f"zk-client listener {listener!r}")
            except Exception:  # noqa: BLE001 - a listener's fault is its own
                logger().exception("exception in the state listener %r", listener)

    def _arrive(self, settled: Flag, state: SessionState) -> None:
        self.state = state
        if self._is_settled(state):
            settled.set()  # of the start that this state came of: another may have begun since
        else:
            settled.clear()
        for stream in tuple(self._state_streams or ()):
            stream.arrive(state)

    def _connect(self, action: Connect) -> None:
        if self._opening is not None:
            self._opening.cancel()
        self._opening = self.tasks.spawn(self._open(action), "zk-client connect")
        self._opening.add_done_callback(self._opening_done)

    def _opening_done(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() and task is self._opening:
            # Not by us: somebody ends all tasks of the loop, and a new one would outlive them.
            self._opening = None
            self.core.fail(CANCELLED)
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
            self._streams += (stream,)
            self.core.connected(self.now())
        self.perform()
        self._flush()
        self._schedule()

    def _look_up(self, host: Host) -> asyncio.Future[Addresses | Exception]:
        """Ask the resolver, or join the question about this host that is under way: nobody can end one."""
        if self._lookups is None:
            self._lookups = Lookups(self.tasks)
        return self._lookups.ask(host, partial(resolve, host))

    def _disconnect(self) -> None:
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.cancel()
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.abort()

    def _probe(self, action: Probe) -> None:
        self.tasks.spawn(self._search(action), "zk-client search")

    async def _search(self, probe: Probe) -> None:
        found = await search_read_write(probe)
        self.core.probed(self.now(), found)
        self.perform()
        self._schedule()

    def check_servers(self, hosts: Sequence[Host], then: Callable[[Answers], None]) -> None:
        """Find out which of these hosts are servers, and tell."""
        self.tasks.spawn(self._check(hosts, then), "zk-client search")

    async def _check(self, hosts: Sequence[Host], then: Callable[[Answers], None]) -> None:
        then(await check(hosts, self.core.config.connect_timeout))

    def _note(self, action: Log) -> None:
        logger().log(action.level, action.message)

    def _over(self) -> None:
        self._ended.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
