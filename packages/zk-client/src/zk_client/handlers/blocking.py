"""Carries bytes and time for clients whose calls block: threads, and greenlets through their own runtime.

Rule: it decides nothing. Under its mutex it tells the session core what happened and performs what the core asks.

One background worker connects and keeps time; how requests travel stands in `traffic`.
"""

from __future__ import annotations

from collections import deque
from functools import partial

from .._session.machine import IDLE
from ..calls import Inline
from .asking import Asking
from .background import Background
from .connecting import Attempt
from .dispatcher import Dispatcher
from .inside import interrupts_the_client
from .leaving import Release, release
from .resolving import Resolver
from .traffic import Traffic
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
    from ..states import SessionState
    from .base import Runtime, RuntimeEvent, RuntimeLock
    from .link import Link


# Seconds a caller that may not wait for the end gives another worker to ask for it.
BEGIN = 0.5


class BlockingHandler(Traffic):
    """One client's connection to the world; see the module's text."""

    def __init__(self, core: SessionCore, runtime: Runtime) -> None:
        self.core = core
        self.runtime = runtime
        self.listeners: list[Callable[[SessionState], object]] = []
        self._now = runtime.now
        self._callers_read = runtime.callers_read
        self._may_block = runtime.may_block
        self.undoing: Callable[[str, int], Coroutine[Any, Any, None]] | None = None
        self._begin()

    def _begin(self) -> None:
        """Make everything that belongs to this process and to no other."""
        runtime = self.runtime
        self.mutex = runtime.mutex()
        self.dispatcher = Dispatcher(runtime)
        self.state = self.core.state
        self._decided = runtime.event()  # set while there is a connection, or will be none
        self._settled = runtime.event()  # ... and that has been told
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
            # What is still to be told of an earlier start does not concern who waits for this one.
            self._decided = self.runtime.event()
            self._settled = self.runtime.event()
            self._ended.clear()
            self.core.start(self._now())
            self.perform()
            self.background.start()

    def wait_settled(self, timeout: float | None) -> SessionState:
        """Wait until there is a connection, or will be none, and that was told, at most `timeout` seconds.

        Returns the state then. Whoever tells waits for the fact alone: nothing more is told before it returns.
        """
        telling = self.dispatcher.is_current()
        deadline = None if timeout is None else self._now() + timeout
        while True:
            settled = self._decided if telling else self._settled
            in_time = settled.wait(None if deadline is None else max(0.0, deadline - self._now()))
            state = self.core.state if telling else self.state
            if not in_time or self._is_settled(state):
                return state
            # Lost again meanwhile, or begun anew.

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

    is_interrupted_in = staticmethod(interrupts_the_client)

    def stop_beside(self, first: Callable[[], None], timeout: float, *, close_session: bool) -> None:
        """Stop for a caller who may not wait; when this returns the server was asked for the end, if that could be.

        first: called before anything else, where one may wait.
        """
        begun = self.runtime.event()

        def stop() -> None:
            first()
            self._begin_to_end(close_session)
            begun.set()
            self.stop(timeout, close_session=close_session)

        self.runtime.spawn_last("zk-client stop", stop)
        if not self.runtime.kills and self.mutex.acquire(False):
            self.mutex.release()
            begun.wait(BEGIN)

    def leave(self, *, close_session: bool) -> None:
        """At the interpreter's end, when no other thread runs any more: ask for the end, and wait for nobody."""
        if not self.mutex.acquire(False):
            return
        try:
            self.core.stop(self._now(), close_session=close_session)
            link = self.link
            if link is not None and self.core.output and not (link.sending or link.rest):
                link.send_some(self.core.take_output())
        finally:
            self.mutex.release()

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

    # What users ask for beside requests

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
            self.dispatcher.submit(self._deliver_state, self._settled, state)
        else:
            self._arrive(self._settled, state)
        follow(self._decided, self._is_settled(state))

    def _deliver_state(self, settled: RuntimeEvent, state: SessionState) -> None:
        with self.mutex:
            self._undelivered -= 1
        self._arrive(settled, state)
        self.dispatcher.call_each(tuple(self.listeners), state)

    def _arrive(self, settled: RuntimeEvent, state: SessionState) -> None:
        self.state = state
        follow(settled, self._is_settled(state))

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


def follow(event: RuntimeEvent, holds: bool) -> None:
    """Set an event while something holds."""
    if holds:
        event.set()
    else:
        event.clear()
