"""What users want of a session: requests, watches, identities, other hosts, another connection, the end.

Rule: as in `core`: what a method decides is done by the handler, or on the way to the next connection.
"""

from __future__ import annotations

from zk_wire import AuthFailedError, ConnectionLostError, Outcome, SessionExpiredError

from .. import _wire
from ..calls import Call
from ..errors import CancelledCallError, SessionClosedError, TooManyRequestsError
from ..hosts import HostList
from ..states import SessionState
from .actions import Disconnect
from .machine import CLOSED, CLOSING, CONNECTING, HANDSHAKE, IDLE, PREPARING, READY, STOPPED, WAITING, Machine
from .outage import Outage
from .steps import Step
from .timers import Timers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, ClassVar

    from ..hosts import Host
    from .watches import Listener

# Seconds for which `stop` waits for a session that was asked for and not granted yet, to close it. A server that lives
# grants one in milliseconds.
GRANT_GRACE = 0.5


class Wishes(Machine):
    """The part of the session core that users speak to, through the handler."""

    __slots__ = ()

    # What `stop` sends, loaded by the first start: at the interpreter's end it is too late for that.
    _farewell: ClassVar[Any] = None

    def start(self, now: float) -> None:
        """Begin to connect; with the session given by `resume`, or with a new one."""
        if self.phase != IDLE:
            return
        if self._resume is not None:
            self.session_id, self.password = self._resume
            self._was_read_write = True
        self._presented = self.session_id
        type(self)._farewell = _wire.CloseSessionRequest()
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

    @property
    def in_flight(self) -> int:
        """Requests sent and not answered yet."""
        return len(self.connection.in_flight) if self.connection is not None else 0

    def _refuse(self, call: Call[Any]) -> None:
        if self.state is SessionState.AUTH_FAILED:
            self._fail(call, AuthFailedError(call.path, message=self.reason))
        elif self.state is SessionState.EXPIRED:
            self._fail(call, SessionExpiredError(call.path, message=self.reason, outcome=Outcome.NOT_APPLIED))
        else:
            self._fail(call, SessionClosedError(f"request for {call.path!r} refused: the client is {self.reason}"))

    def withdraw(self, call: Call[Any]) -> bool:
        """The caller's time is up: True when the request was never sent and now never will be."""
        if self._queue.remove(call):
            # A write in the queue was never sent. A read may have been, and has no effect.
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
            self._auths += (identity,)

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
        """End: with closeSession when there is a connection to send it on, at once otherwise.

        A server that was asked for a session and has not answered yet is waited for, a little: the session that it
        grants would be left behind, and one that it confirms would keep its ephemeral nodes.
        """
        if self.phase == IDLE:
            if self.state is not SessionState.CLOSED:
                self._finish(STOPPED, SessionState.CLOSED)
            return
        if self.phase == CLOSING:
            return
        self._resume = None
        if self.phase >= PREPARING and close_session:
            self._ask(self._farewell, self._session_closed)
            self.timers.sent = now
            self.phase = CLOSING
            self._search = None
            self.reason = "stopping"
            return
        if self.phase == HANDSHAKE and close_session:
            self._due = now + GRANT_GRACE
            self.timers.received = now
            self.phase = CLOSING
            self.reason = "stopping"
            return
        if not close_session and self.session_id:
            self._resume = (self.session_id, self.password)
        self._finish(STOPPED, SessionState.CLOSED)

    def _close_granted(self, session_id: int) -> None:
        """The answer that `stop` has waited for."""
        self.session_id = session_id
        self._ask(self._farewell, self._session_closed)

    def _session_closed(self, step: Step, now: float) -> None:
        self._finish(CLOSED, SessionState.CLOSED)

    def abort(self) -> None:
        """Wait no longer for the end of `stop`: everything unanswered fails, the connection is closed."""
        if self.phase != IDLE:
            self._finish(STOPPED, SessionState.CLOSED)

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

    def disarm(self, call: Call[Any]) -> None:
        """The caller left before it saw the reply: drop the watch that this has armed."""
        if call.armed is not None and call.watch is not None:
            self.forget_watch(call.watch.path, call.watch.listener, (call.armed,))
