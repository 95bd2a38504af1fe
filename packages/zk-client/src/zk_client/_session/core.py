"""The session as its handler sees it: told what happened, it answers with actions.

Rule: no socket, clock, thread or random source. Times are arguments (monotonic seconds).

A handler tells the core what happened (`connected`, `received`, `closed`, `tick`, ...) and what users want
(`submit`, `stop`), one call at a time, and afterwards takes what is to be done: `take_output` (bytes for the
connection), `actions`, `completed` (calls to wake up), emptying the lists. It calls `tick` no later than `deadline()`.
The transitions behind it are in `machine`.
"""

from __future__ import annotations

from zk_wire import (
    AuthFailedError,
    Connected,
    ConnectionLostError,
    ConnectRejected,
    EventType,
    NoNodeError,
    Notification,
    Outcome,
    PingAnswered,
    RemoteProtocolError,
    SessionExpiredError,
    SessionGone,
    error_for_code,
)

from .. import _wire
from ..calls import Call
from ..errors import CancelledCallError, SessionClosedError, TooManyRequestsError
from ..hosts import HostList
from ..states import SessionState
from .actions import Disconnect, Probe
from .machine import CLOSING, CONNECTING, HANDSHAKE, IDLE, PREPARING, READY, UNIMPLEMENTED, WAITING, Machine
from .outage import Outage
from .steps import Step
from .timers import Timers
from .watches import CHILD, DATA, EXIST, Listener

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..hosts import Host

NO_NODE = NoNodeError.code


class SessionCore(Machine):
    """One ZooKeeper session over any number of connections; see the module's text."""

    __slots__ = ()

    # What users want

    def start(self, now: float) -> None:
        """Begin to connect; with the session given by `resume`, or with a new one."""
        if self.phase != IDLE:
            return
        if self._resume is not None:
            self.session_id, self.password = self._resume
            self._was_read_write = True
        self._presented = self.session_id
        self.timers = Timers(self.config.timeout, self.config.read_timeout)
        self.timers.received = now
        self._failures = 0
        self._outage = Outage()
        self._outage.begin(now)
        self._change(SessionState.CONNECTING)
        self._attempt_at(now)

    def send_alone(self, call: Call[Any], now: float) -> bytes:
        """As `submit` when nothing else waits to be sent: the request's frame, or nothing if it cannot go right now."""
        if self.phase != READY or self.output or call.auth is not None or self._limit:
            return b""
        connection = self.connection
        assert connection is not None
        call.sent_at = now
        self.timers.sent = now
        return connection.send(call)

    def submit(self, call: Call[Any], now: float) -> None:
        """Take a request: it is sent, or queued, or completed with an error."""
        phase = self.phase
        if phase == READY:
            connection = self.connection
            assert connection is not None
            if self._limit and call.auth is None and len(connection.in_flight) >= self._limit:
                self._wait_for_room(call)
                return
            call.sent_at = now
            if call.auth is None:
                self.output.append(connection.send(call))
                self.unsent += 1
            else:
                self.output.append(connection.send_auth(call))
            self.timers.sent = now
        elif phase == IDLE or phase == CLOSING:
            self._refuse(call)
        elif self.config.queue_when_disconnected:
            self._wait_for_room(call)
        else:
            self._fail(call, self._connection_error(call, Outcome.NOT_APPLIED))

    def _wait_for_room(self, call: Call[Any]) -> None:
        """Queue a request, or refuse it where too many are under way already."""
        if self.config.fail_when_full and 0 < self._limit <= self.in_flight + len(self._queue) + len(self._lost):
            self._fail(call, TooManyRequestsError(call.path, self._limit))
        else:
            self._queue.append(call)

    def _refuse(self, call: Call[Any]) -> None:
        if self.state is SessionState.AUTH_FAILED:
            self._fail(call, AuthFailedError(call.path, message=self.reason))
        elif self.state is SessionState.EXPIRED:
            self._fail(call, SessionExpiredError(call.path, message=self.reason, outcome=Outcome.NOT_APPLIED))
        else:
            self._fail(call, SessionClosedError(f"request for {call.path!r} refused: the client is {self.reason}"))

    def withdraw(self, call: Call[Any]) -> bool:
        """The caller's time is up: True when the request was never sent and now never will be."""
        if call in self._queue:
            # A write in the queue was never sent. A read may have been, and has no effect.
            self._queue.remove(call)
            return True
        # Already sent: its reply is consumed when it comes; it is not sent again.
        call.abandoned = True
        return False

    def adopt(self, call: Call[Any], now: float) -> None:
        """Look after a call that an interrupt may have lost from sight: ask again, or tell that its outcome is unknown.

        No effect on a call that is on its way as it should be.
        """
        connection = self.connection
        if call in self._queue or call in self._lost or call in self.completed:
            return
        if connection is not None and (call in connection.in_flight or call in connection.auth_in_flight):
            return
        call.xid = call.error = 0
        if call.recovery is None:
            self.submit(call, now)
        else:
            self._fail(call, self._connection_error(call, Outcome.UNKNOWN))

    def add_identity(self, identity: tuple[str, bytes]) -> None:
        """Present a scheme and credential on every connection from now on."""
        if identity not in self._auths:
            self._auths.append(identity)

    def auth_error(self, reason: str) -> AuthFailedError:
        """The error of a session whose authentication was refused."""
        return AuthFailedError(None, message=reason)

    def no_connection(self) -> ConnectionLostError:
        """The error for what needs a server right now."""
        return ConnectionLostError(None, message=f"no server: {self.reason}", outcome=Outcome.NOT_APPLIED)

    def cancelled(self, call: Call[Any]) -> None:
        """End a call that was withdrawn."""
        self._fail(call, CancelledCallError(call.path))

    def fail(self, reason: str) -> None:
        """Something went wrong in the handler: nothing is left waiting."""
        if self.phase != IDLE:
            self._finish(reason, SessionState.CLOSED)

    def forked(self, reason: str) -> list[Call[Any]]:
        """This process is a copy, and the session is the original's: be as if never started, and tell nobody.

        Returns the calls that were under way, each with its error. The original goes on with them, so that of a
        write the outcome is unknown here. Identities are kept; they are the application's.
        """
        under_way: list[Call[Any]] = [*self.completed, *self._queue, *self._lost.take()]
        if self.connection is not None:
            lost = self.connection.close()
            under_way += [call for call in lost if isinstance(call, Call)]
        for call in under_way:
            outcome = Outcome.UNKNOWN if call.recovery is not None else Outcome.NOT_APPLIED
            call.failure = SessionClosedError(f"request for {call.path!r}: the client is {reason}", outcome=outcome)
        for _, listener in self.watches.drop_all():
            end = getattr(listener, "forked", None)
            if end is not None:
                end()
        identities = self._auths
        Machine.__init__(self, self.config, HostList(self.hosts, self.hosts.shuffle, self.hosts.fallback), self._chance)
        self._auths = identities
        self.reason = reason
        return under_way

    def stop(self, now: float, *, close_session: bool = True) -> None:
        """End: with closeSession when there is a connection to send it on, at once otherwise."""
        if self.phase == IDLE:
            if self.state is not SessionState.CLOSED:
                self._finish("stopped", SessionState.CLOSED)
            return
        if self.phase == CLOSING:
            return
        self._resume = None
        if self.phase >= PREPARING and close_session:
            self._ask(_wire.CloseSessionRequest(), self._session_closed)
            self.timers.sent = now
            self.phase = CLOSING
            self._search = None
            self.reason = "stopping"
            return
        if not close_session and self.session_id:
            self._resume = (self.session_id, self.password)
        self._finish("stopped", SessionState.CLOSED)

    def _session_closed(self, step: Step, now: float) -> None:
        self._finish("stopped", SessionState.CLOSED)

    def abort(self) -> None:
        """Wait no longer for the end of `stop`: everything unanswered fails, the connection is closed."""
        if self.phase != IDLE:
            self._finish("stopped", SessionState.CLOSED)

    def ask_for_timeout(self, timeout: float) -> None:
        """Ask for another session timeout, in seconds, with every connection from now on."""
        self.config = self.config._replace(timeout=timeout)

    def reconnect(self, now: float, reason: str) -> None:
        """Drop the connection on purpose and find another; the session goes on."""
        if PREPARING <= self.phase <= READY:
            self._drop(now, reason)

    def set_hosts(
        self,
        now: float,
        hosts: Sequence[Host],
        fallback: Sequence[Host] = (),
        *,
        connect_timeout: float,
        known_as: frozenset[str] = frozenset(),
    ) -> None:
        """Have other hosts, and leave the server there is when it is gone, or to make room on it (see `rebalance`).

        known_as: other names of the connected server, and its address.
        """
        from .rebalance import decide

        before = self.hosts.hosts
        self.config = self.config._replace(connect_timeout=connect_timeout)
        mine = self.host
        if not PREPARING <= self.phase <= READY or mine is None:
            self.hosts.replace(hosts, fallback)
            if self.phase in (CONNECTING, HANDSHAKE) and mine not in self.hosts.everyone:
                self.connection = None
                self.output.clear()
                self.actions.append(Disconnect(f"{mine} is no host any more"))
                self._attempt_at(now)
            elif self.phase == WAITING:
                self._attempt_at(now)
            return
        names = known_as | {mine.name}
        move = decide(before, hosts, lambda host: host.port == mine.port and host.name in names, self._chance())
        if move is not None:
            self._proven = True  # leaving this server is no failure of it
            self._drop(now, f"the hosts have changed: leaving {mine}")
        self.hosts.replace(hosts, fallback)
        if move is not None:
            self.hosts.move(move.new, move.old, lambda: self._chance() < move.chance_of_new)
            if self.phase == WAITING:
                self._attempt_at(now)

    def forget_watch(self, path: str, listener: Listener, tables: tuple[int, ...] = (0, 1, 2, 3, 4)) -> None:
        """Drop a listener; when it was the path's last, the server is told to forget the path as well."""
        if self.watches.forget(path, listener, tables):
            self._leftovers.append(path)
            self._tidy()

    def disarm(self, call: Call[Any]) -> None:
        """The caller left before it saw the reply: drop the watch that this has armed."""
        if call.armed is not None and call.watch is not None:
            self.forget_watch(call.watch.path, call.watch.listener, (call.armed,))

    # What happened

    def connected(self, now: float) -> None:
        """The TCP connection asked for by Connect is there."""
        if self.phase == CONNECTING:
            self._greet(now)
        else:
            self.actions.append(Disconnect("no longer wanted"))

    def connect_failed(self, now: float, reason: str) -> None:
        """No address of the host could be reached."""
        if self.phase == CONNECTING:
            self._next_attempt(now, reason)

    def closed(self, now: float, reason: str) -> None:
        """The connection ended: end of file, or an error of the socket."""
        if self.phase >= HANDSHAKE:
            self._drop(now, reason)

    def received(self, data: bytes | int, now: float) -> None:
        """Bytes arrived on the connection; or so many of a large frame did, and were written into `room`."""
        connection = self.connection
        if connection is None:
            return
        events: Sequence[object]
        try:
            if not isinstance(data, bytes):
                events = connection.filled(data)
            elif (lone := connection.receive_lone(data)) is None:
                events = connection.receive(data)
            elif isinstance(lone, Call) and lone.watch is None and not self._leftovers and not self._limit:
                # The commonest case of what follows, written out: one result, and nothing but it.
                self.completed.append(lone)
                timers = self.timers
                timers.received = now
                if timers.lease_base is None or lone.sent_at > timers.lease_base:
                    timers.lease_base = lone.sent_at
                self._proven = True
                if lone.zxid > self.last_zxid:
                    self.last_zxid = lone.zxid
                return
            else:
                events = (lone,)
        except RemoteProtocolError as error:
            self._drop(now, f"protocol error: {error}", poisoned=True)
            return
        self.timers.received = now
        completed = self.completed
        last: Call[Any] | None = None
        for event in events:
            if isinstance(event, Call):
                last = event
                if event.watch is None and not event.error and event.auth is None:
                    completed.append(event)
                else:
                    self._answered(event, now)
            elif self.connection is connection:
                self._happened(event, now)
        if self.connection is not connection:
            return
        if self._leftovers:
            self._tidy()
        if self._limit and self._queue and self.phase == READY:
            self._send_queue(now)
        if last is not None and last.auth is None:
            self.timers.answered(last.sent_at)
            self._proven = True
        if connection.last_zxid > self.last_zxid:
            self.last_zxid = connection.last_zxid
        if connection.pending_error is not None:
            self._drop(now, f"protocol error: {connection.pending_error}", poisoned=True)
        elif self._doomed is not None:
            self._drop(now, self._doomed)

    def _answered(self, call: Call[Any], now: float) -> None:
        """A reply that is more than a result."""
        error = call.error
        if call.auth is not None:
            if error:
                self.completed.append(call)
                if self.connection is None:
                    return
                reason = f"authentication refused by {self.host} (scheme {call.auth[0]}): {error_for_code(error)}"
                self._finish(reason, SessionState.AUTH_FAILED)
                return
            if call.auth not in self._auths:
                self._auths.append(call.auth)
        elif call.watch is not None:
            self._register(call)
        self.completed.append(call)
        if error == UNIMPLEMENTED and call.zxid == -1 and self.phase == READY:
            # An opcode the server does not know: it reads nothing more, so what is sent from here on would be lost.
            # What else was received is looked at first: it counts, and the next connection is asked for what follows.
            self._doomed = f"{self.host} does not know the operation asked for, and ends the connection"

    def _register(self, call: Call[Any]) -> None:
        """Arm the watch of a request that was answered."""
        assert call.watch is not None
        table, path, listener = call.watch
        if call.error == NO_NODE and call.absent_is_none:
            table = EXIST  # it watches for the creation
        elif call.error and (call.error != NO_NODE or table in (DATA, CHILD)):
            if self.watches.lingers(path):
                self._leftovers.append(path)
            return
        if self.connection is None:
            # What came before this reply ended the session, and its watches with it.
            self._tell(listener, EventType.NONE, path, -1)
            return
        added = self.watches.add(table, path, listener)
        if added:
            call.armed = table
        if getattr(listener, "closed", False):
            forgotten = self.watches.forget(path, listener)
        else:
            forgotten = call.abandoned and added and self.watches.forget(path, listener, (table,))
        if forgotten:
            self._leftovers.append(path)
        mode = self.watches.must_renew(table, path)
        if mode is not None:
            self._renew_watch(mode, path)

    def _tidy(self) -> None:
        """Have the server forget the paths nobody listens on any more."""
        paths, self._leftovers = self._leftovers, []
        connection = self.connection
        if connection is None or not PREPARING <= self.phase <= READY:
            return
        calls = [call for call in connection.in_flight if isinstance(call, Call)]
        arriving = {call.watch.path for call in calls if call.watch is not None}
        for path in dict.fromkeys(paths):
            if path in arriving:
                # The server would forget the new watch as well; its reply, or its event, comes back to this.
                self.watches.linger(path)
            elif not self.watches.watched(path):
                self._remove_watch(path)

    def _happened(self, event: object, now: float) -> None:
        """Everything the server says that is not the reply to a user's request."""
        # Behind what is looked at here may be bytes that have ended the connection: then no step follows from it.
        broken = self.connection is not None and self.connection.pending_error is not None
        if isinstance(event, Step):
            if not broken:
                event.then(event, now)
        elif isinstance(event, Notification):
            try:
                event_type = EventType(event.type)
            except ValueError:
                self._doomed = f"protocol error: watch event of the unknown type {event.type}"
                return
            for listener in self.watches.fire(event_type, event.path):
                self._tell(listener, event_type, event.path, event.zxid)
            self._leftovers.extend(self.watches.stale_paths())
        elif isinstance(event, PingAnswered):
            self._proven = True
            if self._pings:
                self.timers.answered(self._pings.popleft())
        elif isinstance(event, Connected):
            if not broken:
                self._welcome(event, now)
        elif isinstance(event, SessionGone):
            if self._presented:
                self._expire(now, f"{self.host} does not know it any more")
            else:
                self._drop(now, "refused a new session")
        elif isinstance(event, ConnectRejected):
            self._drop(now, f"connect refused: {error_for_code(event.code)}")

    def tick(self, now: float) -> None:
        """Time has passed."""
        phase = self.phase
        if phase == IDLE:
            return
        if self._lost.waited_for and not self._lost.investigating and now >= self._lost.since + self._resolve_timeout:
            self._lost.give_up()
        if phase < PREPARING and self.session_id and now >= self.timers.local_expiry:
            silent = now - self.timers.received
            self._expire(now, f"no server heard for {silent:.1f} s (session timeout {self.timers.timeout:.1f} s)")
        elif phase == WAITING and now >= self._due:
            self._begin_attempt()
        elif phase == HANDSHAKE and now >= self._due:
            self._drop(now, f"no answer to the connect request within {self.config.connect_timeout:.1f} s")
        elif phase >= PREPARING:
            if now >= self.timers.read_deadline():
                silent = now - self.timers.received
                self._drop(now, f"server silent for {silent:.1f} s (read timeout {self.timers.read_timeout:.1f} s)")
                return
            if now >= self.timers.ping_due() and phase != CLOSING:
                assert self.connection is not None
                self.output.append(self.connection.ping())
                self._pings.append(now)
                self.timers.sent = now
            if self._search is not None and not self._search.running and now >= self._search.due:
                self._search.running = True
                self.actions.append(Probe(self.hosts.everyone, self.config.connect_timeout))

    def probed(self, now: float, found: Host | None) -> None:
        """A search for a read-write server ended."""
        if self._search is None:
            return
        if found is None:
            self._search.failed(now)
        else:
            self._proven = True  # leaving this server is no failure of it
            self._drop(now, f"read-write server found: {found}")
            self.hosts.prefer(found)

    @property
    def _resolve_timeout(self) -> float:
        chosen = self.config.resolve_timeout
        return self.timers.timeout if chosen is None else chosen

    def deadline(self) -> float | None:
        """When `tick` must be called at the latest; None when nothing is due."""
        phase = self.phase
        if phase == IDLE:
            return None
        timers = self.timers
        times: list[float] = []
        if phase in (WAITING, HANDSHAKE):
            times.append(self._due)
        if phase < PREPARING:
            if self.session_id:
                times.append(timers.local_expiry)
        else:
            times.append(timers.read_deadline())
            if phase != CLOSING:
                times.append(timers.ping_due())
            if self._search is not None and not self._search.running:
                times.append(self._search.due)
        if self._lost.waited_for and not self._lost.investigating:
            times.append(self._lost.since + self._resolve_timeout)
        return min(times, default=None)

    # What is to be done

    def room(self) -> memoryview:
        """The memory in which the rest of a large frame belongs; only while the connection's `missing` is not 0."""
        return self.connection.room() if self.connection is not None else memoryview(bytearray(1))

    def take_output(self) -> bytes:
        """The bytes to send now; the handler sends them, or reports `closed`."""
        output = self.output
        self.unsent = 0
        data = output[0] if len(output) == 1 else b"".join(output)
        output.clear()
        return data

    @property
    def in_flight(self) -> int:
        """Requests sent and not answered yet."""
        return len(self.connection.in_flight) if self.connection is not None else 0

    def lease_remaining(self, now: float) -> float:
        """Seconds for which no server can have given this session up; 0 when that is not certain."""
        # Once closeSession is on its way the server may end the session at any moment.
        return 0.0 if self.phase == CLOSING else self.timers.lease_remaining(now)
