"""How a request of a blocking client travels: sent by its caller, and read by whoever leads.

Rule: nothing here connects, keeps time or ends a session, and nothing is decided: the core is told, under the mutex.

The calling thread encodes a request, hands it to the core and sends it. A caller that then waits
reads the socket itself and completes everybody's replies from what it receives (it *leads*); others that wait
meanwhile sleep on a lock of their own. That saves a hand-over between threads per call, which costs as much as the
network. The background worker reads while no caller does. When callers lead, it steps
aside and only looks in every few milliseconds; when it finds that nobody has led since, it reads again. A leader
that leaves wakes the next one that waits; should that wake-up hit a thread that has just given up, the background
worker takes over within the same few milliseconds, so no reply can stay unread.

A request whose caller does not wait is sent at once when nothing is in flight; otherwise it joins others and is
sent when somebody waits, when many are together, or when the next reply arrives.

A thread that reads never waits to write: with both buffers full, client and server would wait for each other.
"""

from __future__ import annotations

from zk_wire import Outcome

from ..errors import CallTimeoutError, ConfigurationError
from .leaving import Leaving, Release, release
from .link import DONT_WAIT, RECEIVE, Link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable
    from typing import Any, TypeVar

    from ..calls import Call
    from .base import RuntimeLock
    from .dispatcher import Dispatcher

    T = TypeVar("T")

# Requests nobody waits for yet are sent together up to this number.
TOGETHER = 512
LARGE = 4096
# Seconds after which a caller that sleeps looks whether an interrupted thread has lost its call from sight.
SLICE = 1.0
NO_DATA = b""


class Traffic(Leaving):
    """The part of the blocking handler that sends requests and reads replies."""

    link: Link | None  # the connection there is
    waiters: deque[tuple[Call[Any], RuntimeLock]]  # callers that sleep, the next to lead first
    leads: int  # how often a caller has led; the background worker steps aside when it grows
    missing: int  # bytes that a large frame under way still lacks
    dispatcher: Dispatcher
    _now: Callable[[], float]
    _may_block: Callable[[], None]
    _callers_read: bool

    # Requests

    def call(self, call: Call[T], timeout: float | None) -> T:
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
            return call.reply  # type: ignore[return-value]  # no error, therefore a reply
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
            if self.out_of_time(call):
                error.outcome = Outcome.NOT_APPLIED
            elif call.done and not call.to_undo:
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
