"""Carries bytes and time for clients whose calls block: threads, and greenlets through their own runtime.

Rule: it decides nothing. Under its mutex it tells the session core what happened and performs what the core asks.

How a request travels. The calling thread encodes it, hands it to the core and sends it. A caller that then waits
reads the socket itself and completes everybody's replies from what it receives (it *leads*); others that wait
meanwhile sleep on a lock of their own. That saves a hand-over between threads per call, which costs as much as the
network. One background thread connects, keeps time, and reads while no caller does. When callers lead, it steps
aside and only looks in every few milliseconds; when it finds that nobody has led since, it reads again. A leader
that leaves wakes the next one that waits; should that wake-up hit a thread that has just given up, the background
thread takes over within the same few milliseconds, so no reply can stay unread.

A request whose caller does not wait is sent at once when nothing is in flight; otherwise it joins others and is
sent when somebody waits, when many are together, or when the next reply arrives.

A thread that reads never waits to write: with both buffers full, client and server would wait for each other.
"""

from __future__ import annotations

from collections import deque
from functools import partial

from zk_wire import Outcome

from .._session.machine import IDLE
from ..errors import CallTimeoutError, ConfigurationError
from ..states import SessionState
from .asking import Asking
from .background import Background
from .connecting import Attempt
from .dispatcher import Dispatcher
from .leaving import Inline, Leaving, Release, release
from .link import DONT_WAIT, RECEIVE, Link
from .log import logger
from .resolving import Resolver
from .workers import Workers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any

    from .._session.actions import Connect, Log, Probe
    from .._session.core import SessionCore
    from ..calls import Call
    from ..following import Answers
    from ..hosts import Host
    from .base import Runtime, RuntimeLock

# Requests nobody waits for yet are sent together up to this number.
TOGETHER = 512
LARGE = 4096
# Seconds after which a caller that sleeps looks whether an interrupted thread has lost its call from sight.
SLICE = 1.0
NO_DATA = b""


class BlockingHandler(Leaving):
    """One client's connection to the world; see the module's text."""

    def __init__(self, core: SessionCore, runtime: Runtime) -> None:
        self.core = core
        self.runtime = runtime
        self.listeners: list[Callable[[SessionState], object]] = []
        self._now = runtime.now
        self._callers_read = runtime.callers_read
        self._may_block = runtime.may_block
        self.undo: Callable[[str, int], Coroutine[Any, Any, None]] | None = None
        self._begin()

    def _begin(self) -> None:
        """Make everything that belongs to this process and to no other."""
        runtime = self.runtime
        self.mutex = runtime.mutex()
        self.dispatcher = Dispatcher(runtime)
        self.state = self.core.state
        self.settled = runtime.event()  # set when a start has succeeded or failed
        self.poller = runtime.poller()
        self.workers = Workers(runtime)
        self.background = Background(self)
        self._searches: set[Asking] = set()
        self._resolver = Resolver(runtime, self.poller.wake)
        self.link: Link | None = None
        self.attempt: Attempt | None = None
        self.dead_links: list[Link] = []
        self.waiters: deque[tuple[Call[Any], RuntimeLock]] = deque()
        self.leads = 0
        self.called_back: set[Call[Any]] = set()
        self._undelivered = 0  # changes of state that the dispatcher has yet to tell
        self.missing = 0
        self.lines: deque[Log] = deque()  # written by the background worker, never under the mutex
        self.interrupted_at = -1.0
        self._ended = runtime.event()  # nothing is left of a session
        self._ended.set()

    # Starting and stopping

    def start(self) -> None:
        """Start the background worker and begin to connect."""
        self.runtime.check()
        if self.core.phase == IDLE:
            self.background.join(5.0)
        with self.mutex:
            if self.core.phase != IDLE:
                return
            self.settled.clear()
            self._ended.clear()
            self.core.start(self._now())
            self.perform()
            self.background.start()

    def stop(self, timeout: float, *, close_session: bool = True) -> None:
        """End the session, waiting at most `timeout` seconds for the server to confirm it."""
        deadline = self._now() + timeout
        ended = False
        try:
            if self.core.state.is_connected:
                self.workers.finish_cleaning(timeout)
            self._begin_to_end(close_session)
            ended = self._ended.wait(max(0.0, deadline - self._now()))
        finally:
            if not ended:
                # Perhaps because the caller was interrupted or killed: then the rest ends without it.
                self._begin_to_end(close_session)
                with self.mutex:
                    self.core.abort()
                    self.perform()
            self._resolver.give_up()
            self.poller.wake()
        self.background.join(5.0)
        if not self.dispatcher.is_current():
            self.dispatcher.finish(5.0)
        self.workers.join(5.0)

    def _begin_to_end(self, close_session: bool) -> None:
        with self.mutex:
            self.core.stop(self._now(), close_session=close_session)
            self.perform()
            for asking in self._searches:
                asking.give_up()
        self.flush(wait=False)
        self.poller.wake()

    def forked(self, reason: str) -> None:
        """In a forked child: be as if never started; the connection is the parent's, and hears nothing of this."""
        for call in self.core.forked(reason):
            call.done = True
            if call.waiter is not None:
                release(call.waiter)
            for function in call.callbacks or ():
                if isinstance(function, Release):
                    function(call)
            call.callbacks = None
        if self.attempt is not None:
            self.attempt.abandon()
        for link in (self.link, *self.dead_links):
            if link is not None:
                link.forked()
        self.dispatcher.forked()
        self.poller.forked()
        self._begin()

    # Requests

    def call(self, call: Call[Any], timeout: float | None) -> Any:
        """Send a request, wait for its reply, return its result."""
        self._may_block()
        core = self.core
        data = NO_DATA
        link: Link | None = None
        try:
            with self.mutex:
                now = self._now()
                link = self.link
                if link is not None and not link.sending and not link.rest:
                    data = core.send_alone(call, now)
                    if not data:
                        core.submit(call, now)
                        data = core.take_output() if core.output else NO_DATA
                    link.sending = data is not NO_DATA
                else:
                    core.submit(call, now)
                if core.completed or core.actions:
                    self.perform()
            if data:
                assert link is not None
                self._drain(link, data, True)
            if link is not None and self._callers_read and link.lead.acquire(False):
                # The common case of `wait`, written out: nobody reads, so this caller does.
                self.leads += 1
                try:
                    while not call.done and not link.dead:
                        if timeout is not None and not link.readable(now + timeout - self._now()):
                            break
                        self.read(link)
                finally:
                    link.lead.release()
                    if self.waiters:
                        self.promote()
        except BaseException as error:
            self.interrupted(link, error)
            self.abandon(call)
            raise
        if not call.done:
            self._wait_or_leave(call, timeout, now)
        if call.error == 0 and call.failure is None and call.convert is None:
            return call.reply
        return call.result()

    def submit(self, call: Call[Any]) -> None:
        """Send a request whose reply nobody waits for yet."""
        core = self.core
        link: Link | None = None
        try:
            with self.mutex:
                core.submit(call, self._now())
                if core.completed or core.actions:
                    self.perform()
                link = self.link
                connection = core.connection
                if link is None or link.sending or connection is None:
                    return
                if len(connection.in_flight) > 1 and core.unsent < TOGETHER and len(call.payload) < LARGE:
                    return
            self.flush(wait=True)
        except BaseException as error:
            self.interrupted(link, error)
            self.abandon(call)
            raise

    def _look_after(self, call: Call[Any]) -> None:
        with self.mutex:
            if not call.done:
                self.core.adopt(call, self._now())
                self.perform()
        self.flush(wait=True)

    def cancel(self, call: Call[Any]) -> bool:
        """Take a request back that was not sent yet."""
        with self.mutex:
            if not self.core.withdraw(call):
                return False
            self.core.cancelled(call)
            self.perform()
            return True

    def call_when_done(self, call: Call[Any], function: Callable[[Call[Any]], object]) -> None:
        """Queue `function(call)` for the dispatcher once the call is done."""
        with self.mutex:
            if not call.done:
                if call.callbacks is None:
                    call.callbacks = []
                call.callbacks.append(function)
                self.called_back.add(call)
                return
        self.dispatcher.submit(function, call)

    def forget_watch(self, path: str, listener: Any) -> None:
        """Take a listener off a path."""
        with self.mutex:
            self.core.forget_watch(path, listener)
        self.flush(wait=False)

    def forget_watcher(self, watcher: Any) -> None:
        """Take a watcher off every path it watches."""
        with self.mutex:
            for path in watcher.server_paths:
                self.core.forget_watch(path, watcher)
        self.flush(wait=False)

    def reconnect(self, reason: str) -> None:
        """Drop the connection and find a server again."""
        with self.mutex:
            self.core.reconnect(self._now(), reason)
            self.perform()
        self.poller.wake()

    def set_hosts(
        self, hosts: Sequence[Host], fallback: Sequence[Host], connect_timeout: float, known_as: frozenset[str]
    ) -> None:
        """Have other hosts, and perhaps another connection."""
        if (peer := self.peer) is not None:
            known_as |= {peer[0]}
        with self.mutex:
            self.core.set_hosts(self._now(), hosts, fallback, connect_timeout=connect_timeout, known_as=known_as)
            self.perform()
        self.poller.wake()

    @property
    def peer(self) -> tuple[str, int] | None:
        """The connected server's address."""
        link = self.link
        return link.peer if link is not None else None

    def complete(self, call: Call[Any]) -> None:
        """End a call that never was on the wire; its reply or failure is set."""
        with self.mutex:
            self._settle(call)

    # Sending

    def flush(self, *, wait: bool) -> None:
        with self.mutex:
            link = self.link
            if link is None or link.sending or not (self.core.output or link.rest):
                return
            link.sending = True
            data, link.rest = link.rest, NO_DATA
            if self.core.output:
                data += self.core.take_output()
        self._drain(link, data, wait)

    def _drain(self, link: Link, data: bytes, wait: bool) -> None:
        """Send, and take along what others add meanwhile; only one at a time is in here for a link."""
        try:
            while True:
                if wait:
                    link.send(data)
                elif rest := link.send_some(data):
                    with self.mutex:
                        link.rest = rest
                        link.sending = False
                    self.poller.wake()
                    return
                # Whoever adds output does so before looking at `sending`, and this lowers `sending` before looking
                # at the output: one of the two sees the other, so nothing is left unsent, and no lock is needed.
                link.sending = False
                if not self.core.output:
                    return
                with self.mutex:
                    if self.link is not link or link.sending or not self.core.output:
                        return
                    link.sending = True
                    data = self.core.take_output()
        except BaseException as error:
            if link.spared is error:
                # Only the caller leaves; whoever sends next, or else the background worker, sends the rest.
                with self.mutex:
                    link.rest, link.unsent = link.unsent, NO_DATA
                    link.sending = False
                self.poller.wake()
                raise
            # Part of a frame may be out, so the connection is of no use whatever the reason was.
            link.sending = False
            self.lost(link, f"cannot send: {error}")
            if not isinstance(error, OSError):
                raise

    # Waiting and reading

    def _wait_or_leave(self, call: Call[Any], timeout: float | None, since: float) -> None:
        """As `wait`; a request whose caller leaves with an error is not sent any more if it was not yet."""
        try:
            self.wait(call, timeout, since)
        except CallTimeoutError as error:
            if self.cancel(call):
                error.outcome = Outcome.NOT_APPLIED
            elif call.done:
                return  # the reply came at the last moment
            raise
        except BaseException:
            self.abandon(call)
            raise

    def wait(self, call: Call[Any], timeout: float | None, since: float | None = None) -> None:
        """Return when the call is done; raise CallTimeoutError when `timeout` seconds pass first.

        since: what they are counted from, now by default.
        """
        self._may_block()
        deadline = None if timeout is None else (self._now() if since is None else since) + timeout
        if self.core.output:
            self.flush(wait=True)
        leading = self._callers_read and call.payload is not NO_DATA
        link: Link | None = None
        lock: RuntimeLock | None = None
        queued = asleep = False
        try:
            while not call.done:
                if call.sent_at <= self.interrupted_at and call.payload is not NO_DATA:
                    self._look_after(call)
                link = self.link if leading else None
                if link is not None and not link.dead and link.lead.acquire(False):
                    self.leads += 1
                    try:
                        in_time = self._lead(link, call, deadline)
                    finally:
                        link.lead.release()
                        if self.waiters:
                            self.promote()
                    if not in_time:
                        break
                    continue
                if lock is None or not queued:
                    lock = self._queue_up(call, lock)
                    queued = True
                    continue  # The leader may have left before it could see us.
                remaining = SLICE if deadline is None else min(SLICE, max(0.0, deadline - self._now()))
                asleep = True
                queued = not lock.acquire(True, remaining)
                asleep = False
                if queued and deadline is not None and self._now() >= deadline:
                    break
        except BaseException as error:
            if not asleep:
                self.interrupted(link, error)
            self._unqueue(call, lock)
            raise
        if not call.done:
            self._unqueue(call, lock)
            raise CallTimeoutError(
                call.path,
                message=f"no reply for {call.path!r} within {timeout} s",
                # It goes on: even a request that waits for a connection may still be sent.
                outcome=Outcome.UNKNOWN if call.recovery is not None else Outcome.NOT_APPLIED,
            )

    def waiter(self, call: Call[Any]) -> Any:
        """Refuse to be awaited."""
        raise ConfigurationError(
            f"{call!r} belongs to a client whose calls block: ask for its result(), or use AsyncClient"
        )

    def _queue_up(self, call: Call[Any], lock: RuntimeLock | None) -> RuntimeLock:
        """Register to be woken when the call is done or the lead is free."""
        if lock is None:
            lock = self.runtime.lock()
            lock.acquire()
            with self.mutex:
                if call.done:
                    lock.release()
                elif call.waiter is None:
                    call.waiter = lock
                else:  # Another thread waits for the same call.
                    if call.callbacks is None:
                        call.callbacks = []
                    call.callbacks.append(Release(lock))
        self.waiters.append((call, lock))
        return lock

    def _unqueue(self, call: Call[Any], lock: RuntimeLock | None) -> None:
        """Leave the queue; should the lead have been offered to the caller, the next one gets it."""
        if lock is None:
            return
        try:
            self.waiters.remove((call, lock))
        except ValueError:
            if not call.done:
                self.promote()

    def promote(self) -> None:
        """Wake one that waits, to lead."""
        waiters = self.waiters
        while waiters:
            try:
                call, lock = waiters.popleft()
            except IndexError:
                return
            if not call.done:
                release(lock)
                return

    def _lead(self, link: Link, call: Call[Any], deadline: float | None) -> bool:
        """Read for everybody until the call is done or the connection ends; False when time is up first."""
        while not call.done and not link.dead:
            if deadline is not None and not link.readable(deadline - self._now()):
                return False
            self.read(link)
        return True

    def read(self, link: Link, wait: bool = True) -> None:
        """Receive once, and tell the core; only whoever leads may call it.

        wait: False returns at once when nothing has arrived. Whoever keeps time must not wait here: what made the
        socket readable may have been read by a caller since.
        """
        try:
            if not wait:
                data = self._receive_arrived(link)
            elif not self.missing:
                data = link.recv(RECEIVE)
            else:
                data = self._receive_large(link, wait=True)
        except OSError as error:
            if link.spared is error:
                raise
            if not isinstance(error, BlockingIOError):
                self.lost(link, f"cannot receive: {error}")
            return
        if not data:
            self.lost(link, "closed by the server")
            return
        core = self.core
        with self.mutex:
            if self.link is not link:
                return
            core.received(data, self._now())
            connection = core.connection
            self.missing = connection.missing if connection is not None else 0
            if core.completed or core.actions:
                self.perform()
            if not core.output or link.sending:
                return
        self.flush(wait=False)

    def _receive_arrived(self, link: Link) -> bytes | int:
        """Receive what is there, and raise BlockingIOError when nothing is."""
        if not DONT_WAIT and not link.readable(0):
            raise BlockingIOError
        return link.recv(RECEIVE, DONT_WAIT) if not self.missing else self._receive_large(link, wait=False)

    def _receive_large(self, link: Link, *, wait: bool) -> int:
        """Receive a part of a large frame into the memory where it belongs."""
        with self.mutex:
            if self.link is not link:
                return 0
            room = self.core.room()
        try:
            return link.receive_into(room, wait=wait)
        finally:
            room.release()

    def lost(self, link: Link, reason: str) -> None:
        with self.mutex:
            if self.link is link:
                self.core.closed(self._now(), reason)
                self.perform()
            elif not link.dead:
                link.shutdown()
        self.poller.wake()

    # Performing what the core asks (all under the mutex)

    def perform(self) -> None:
        core = self.core
        completed = core.completed
        if core.actions:
            self.act()
        elif completed:
            for call in completed:
                call.done = True
                if call.waiter is not None:
                    release(call.waiter)
                if call.callbacks is not None:
                    self._settle(call)
            completed.clear()

    def _tell(self, listener: Any, event: Any) -> None:
        self.dispatcher.submit(listener, event)

    def _connect(self, action: Connect) -> None:
        self.attempt = Attempt(action, self._resolver)
        self.poller.wake()

    def _disconnect(self) -> None:
        self.attempt = None
        link, self.link = self.link, None
        if link is not None:
            link.shutdown()
            self.dead_links.append(link)
        self.poller.wake()

    def _probe(self, action: Probe) -> None:
        asking = Asking(self.runtime)
        self._searches.add(asking)
        self.workers.spawn("zk-client search", partial(self._search, action, asking))

    def check_servers(self, hosts: Sequence[Host], then: Callable[[Answers], None]) -> None:
        """Find out which of these hosts are servers, and tell."""
        asking = Asking(self.runtime)
        self._searches.add(asking)
        self.workers.spawn("zk-client search", partial(self._check, hosts, then, asking))

    def _check(self, hosts: Sequence[Host], then: Callable[[Answers], None], asking: Asking) -> None:
        try:
            answers = asking.check(hosts, self.core.config.connect_timeout)
        finally:
            with self.mutex:
                self._searches.discard(asking)
            asking.close()
        then(answers)

    def _note(self, action: Log) -> None:
        self.lines.append(action)

    def _over(self) -> None:
        self._ended.set()

    def _settle(self, call: Call[Any]) -> None:
        call.done = True
        self.called_back.discard(call)
        if call.waiter is not None:
            release(call.waiter)
        for function in call.callbacks or ():
            if isinstance(function, Inline):
                function(call)
            else:
                self.dispatcher.submit(function, call)
        call.callbacks = None

    def _change(self, state: SessionState) -> None:
        if self.listeners or self._undelivered:
            self._undelivered += 1
            self.dispatcher.submit(self._deliver_state, state)
        else:
            self._arrive(state)

    def _deliver_state(self, state: SessionState) -> None:
        with self.mutex:
            self._undelivered -= 1
        self._arrive(state)
        for listener in tuple(self.listeners):
            try:
                listener(state)
            except Exception:  # noqa: BLE001 - a listener's fault is its own
                logger().exception("exception in the state listener %r", listener)

    def _arrive(self, state: SessionState) -> None:
        self.state = state
        if state is not SessionState.CONNECTING and state is not SessionState.SUSPENDED:
            self.settled.set()

    def _search(self, probe: Probe, asking: Asking) -> None:
        try:
            found = asking.search_read_write(probe)
        finally:
            asking.close()
        with self.mutex:
            self._searches.discard(asking)
            self.core.probed(self._now(), found)
            self.perform()
        self.poller.wake()
