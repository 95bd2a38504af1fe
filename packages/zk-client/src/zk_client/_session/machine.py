"""How a session comes to a usable connection, loses it, and ends: the transitions behind `SessionCore`.

Rule: no socket, clock, thread or random source. Times are arguments (monotonic seconds); chance is handed in.

The way to a usable connection, phase by phase:

    IDLE         not started, stopped, or ended for good
    WAITING      until the next attempt is due
    CONNECTING   the handler opens a TCP connection
    HANDSHAKE    ConnectRequest sent; nothing else is, because writing into a socket that the server closes after
                 a refusal can turn its answer into a reset and hide an expiry
    PREPARING    authentication replayed, then watches set again, then lost writes looked up
    READY        requests flow
    CLOSING      closeSession sent

Source of the order in PREPARING: protocol notes 6.7 (events are filtered by identity, so auth comes first).
"""

from __future__ import annotations

from zk_wire import (
    AuthFailedError,
    ClientConnection,
    Connected,
    ConnectionLostError,
    ConnectRequest,
    EventType,
    Outcome,
    SessionExpiredError,
    UnimplementedError,
    error_for_code,
    strip_chroot,
)

from .. import _wire
from ..calls import Call
from ..errors import SessionClosedError
from ..states import ALLOWED, SessionState, WatchedEvent
from .actions import Action, ChangeState, Connect, Deliver, Disconnect, Log
from .lost import LostWrites
from .outage import DEBUG, INFO, WARNING, Outage
from .search import Search
from .steps import Step, ignore
from .timers import Timers
from .waiting import Waiting
from .watches import PERSISTENT, Listener, Watches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NamedTuple

    from zk_wire import Exchange, Request

    from ..hosts import Host, HostList
    from ..retry import RetryPolicy
    from .recovery import Verdict
else:
    from .._typing import NamedTuple

IDLE, WAITING, CONNECTING, HANDSHAKE, PREPARING, READY, CLOSING = range(7)
UNIMPLEMENTED = UnimplementedError.code
# How a session ends that is ended on purpose: without the server's word, or with it, or with everything of its loop.
STOPPED, CLOSED, CANCELLED = "stopped", "stopped, and its session closed", "its connecting task was cancelled"
# A read is sent again after a lost connection, but not for ever: its own reply may be what ends the connections.
MOST_LOSSES = 4
# So are the questions after a lost write, and oftener: what is at stake is whether a write was applied.
MOST_INTERRUPTIONS = 10


class SessionConfig(NamedTuple):
    """What the user chose; durations in seconds, see `Client` for the meaning of each."""

    timeout: float
    connect_timeout: float
    reconnect: RetryPolicy
    read_only: bool = False
    queue_when_disconnected: bool = True
    resolve_timeout: float | None = None
    renew_after_expiry: bool = True
    max_frame: int = 64 * 1024 * 1024
    chroot: str = ""
    max_in_flight: int | None = None
    fail_when_full: bool = False
    read_timeout: float | None = None


class Machine:
    """The state of a session, and its transitions."""

    # More attributes than CPython keeps inline (30): without slots each access would look them up in a dictionary.
    __slots__ = (
        "_auths",
        "_chance",
        "_doomed",
        "_due",
        "_failures",
        "_handshake_sent",
        "_leftovers",
        "_limit",
        "_lost",
        "_old_server",
        "_outage",
        "_pings",
        "_presented",
        "_proven",
        "_queue",
        "_resume",
        "_search",
        "_unarmed",
        "_was_read_write",
        "_watch_zxid",
        "actions",
        "completed",
        "config",
        "connection",
        "host",
        "hosts",
        "last_zxid",
        "output",
        "password",
        "phase",
        "reason",
        "session_id",
        "state",
        "timers",
        "unsent",
        "watches",
    )

    def __init__(
        self,
        config: SessionConfig,
        hosts: HostList,
        chance: Callable[[], float],
        resume: tuple[int, bytes] | None = None,
    ) -> None:
        self.config = config
        self.hosts = hosts
        self.state = SessionState.CLOSED
        self.phase = IDLE
        self.reason = "not started"
        self.session_id = 0
        self.password: bytes = bytes(16)
        self.last_zxid = 0
        self.host: Host | None = None
        self.timers = Timers(config.timeout, config.read_timeout)
        self.watches = Watches()
        self.connection: ClientConnection | None = None
        self._resume: tuple[int, bytes] | None = resume
        self._chance = chance
        self._auths: tuple[tuple[str, bytes], ...] = ()
        self._queue = Waiting()
        self._lost = LostWrites(self._conclude)
        self._outage = Outage()
        self._search: Search | None = None
        # What the handler takes; lists that stay the same objects, because it looks at them several times a request.
        self.output: list[bytes] = []
        self._limit = config.max_in_flight or 0  # 0 for none
        self.unsent = 0  # calls framed since the output was last taken
        self.actions: list[Action] = []
        self.completed: list[Call[Any]] = []
        self._failures = 0
        self._due = 0.0
        self._pings: tuple[float, ...] = ()  # when those under way were sent; more than one is rare
        self._handshake_sent = 0.0
        self._presented = 0
        self._was_read_write = False
        self._old_server = False
        self._proven = True  # whether the connection has answered anything since it became READY
        self._watch_zxid: int | None = None  # what the watches have seen, while they are not all set again
        self._unarmed = 0
        self._leftovers: list[str] = []  # paths that nobody listens on any more, the server not told yet
        self._doomed: str | None = None  # why the connection is to be dropped, once what was received is worked off

    # Attempts

    def _attempt_at(self, due: float) -> None:
        self._due = due
        self.phase = WAITING

    def _begin_attempt(self) -> None:
        if self.state is SessionState.EXPIRED:
            self._change(SessionState.CONNECTING)  # an interrupt has hit between the two
        self.host = self.hosts.next()
        self.phase = CONNECTING
        self._log(DEBUG, f"connecting to {self.host}")
        self.actions.append(Connect(self.host, self.config.connect_timeout))

    def _next_attempt(self, now: float, reason: str, *, told: bool = False) -> None:
        """The attempt failed: the next host at once, or after a pause when all of them were tried.

        told: whether the failure has been logged.
        """
        level, line = self._outage.failed(now, len(self.hosts), str(self.host), reason)
        if not told or level >= WARNING:
            self._log(level, line)
        self.reason = f"disconnected ({self.host}: {reason})"
        if not self.hosts.round_ended:
            self._attempt_at(now)
            return
        self._failures += 1
        policy = self.config.reconnect
        if policy.max_tries is not None and self._failures >= policy.max_tries:
            self._finish(f"gave up connecting after {self._failures} rounds: {reason}", SessionState.CLOSED)
            return
        self._attempt_at(now + policy.pause(self._failures, self._chance()))

    def _greet(self, now: float) -> None:
        """The TCP connection is there: ask for the session."""
        self.connection = ClientConnection(max_frame=self.config.max_frame)
        self.connection.last_zxid = self.last_zxid
        self._pings = ()
        self._leftovers.clear()
        self._doomed = None
        # A session that was only ever served read-only means nothing to other servers.
        self._presented = self.session_id if self._was_read_write else 0
        request = ConnectRequest(
            last_zxid_seen=self.last_zxid,
            timeout_ms=max(1, int(self.config.timeout * 1000)),
            session_id=self._presented,
            password=self.password if self._presented else bytes(16),
            read_only=self.config.read_only,
        )
        self.output.append(self.connection.connect(request))
        self._handshake_sent = now
        self.phase = HANDSHAKE
        self._due = now + self.config.connect_timeout

    # From the handshake to READY

    def _welcome(self, event: Connected, now: float) -> None:
        """The server granted or confirmed a session."""
        if self._presented and event.session_id != self._presented:
            # Whatever the server calls it, the ephemeral nodes of the old session are not ours any more.
            if not self.config.renew_after_expiry:
                self._expire(now, "the server answered with another session")
                return
            self._lose_session(now, "the server answered with another session")
            self._change(SessionState.CONNECTING)
        if not self._presented:
            self.timers.lease_base = None
        self.session_id = event.session_id
        self.password = event.password
        self.timers.timeout = event.timeout_ms / 1000
        self.timers.sent = now
        self.timers.answered(self._handshake_sent)
        if event.read_only:
            self._search = Search(now)
        else:
            self._was_read_write = True
            self._search = None
        level, since = self._outage.end(now)
        self._log(level, f"session 0x{self.session_id:x} on {self.host}, timeout {self.timers.timeout:.1f} s{since}")
        self.phase = PREPARING
        if not self._auths:
            self._rearm(now)
            return
        assert self.connection is not None
        replies = len(self._auths)

        def authenticated(step: Step, now: float) -> None:
            nonlocal replies
            if step.error:
                self._refuse_auth(now, step.error)
                return
            replies -= 1
            if replies == 0 and self.phase == PREPARING:
                self._rearm(now)

        for scheme, credential in self._auths:
            self.output.append(self.connection.send_auth(Step(_wire.AuthPacket(scheme, credential), authenticated)))

    def _refuse_auth(self, now: float, code: int) -> None:
        scheme = ", ".join(sorted({scheme for scheme, _ in self._auths}))
        reason = f"authentication refused by {self.host} (scheme {scheme}): {error_for_code(code)}"
        self._finish(reason, SessionState.AUTH_FAILED)

    def _rearm(self, now: float) -> None:
        """Set every watch again; the events of what was missed come before the replies."""
        if self._old_server:
            # Asked again only by whoever sets a new one: the next server may be newer.
            self._old_server = False
            self._drop_persistent()
        # All parts carry one zxid: what was seen when the connection was lost. Their own replies raise `last_zxid`,
        # so it is kept until the last part is answered, in case this connection ends before that.
        if self._watch_zxid is None:
            self._watch_zxid = self.last_zxid
        requests = self.watches.rearm(self._watch_zxid)
        self._unarmed = len(requests)
        if not requests:
            self._watch_zxid = None
        for request in requests:
            self._ask(request, self._rearmed)
        state = SessionState.CONNECTED if self._search is None else SessionState.CONNECTED_READ_ONLY
        for path, listener in self.watches.persistent_listeners():
            self._tell(listener, EventType.NONE, path, -1, state)
        if self._lost:
            self._lost.investigate(self.session_id, self._ask, self._ready)
        else:
            self._ready(now)

    def _rearmed(self, step: Step, now: float) -> None:
        if step.error:
            # On the next connection all of them are set again. -6: the server does not know persistent watches, and
            # ends the connection; then those are given up.
            self._old_server = step.error == UNIMPLEMENTED
            self._doomed = f"watches could not be set again: {error_for_code(step.error)}"
            return
        self._unarmed -= 1
        if self._unarmed == 0:
            self._watch_zxid = None

    def _drop_persistent(self) -> None:
        for path, listener in self.watches.drop_persistent():
            self._log(WARNING, f"persistent watch on {path!r} lost: {self.host} does not know persistent watches")
            self._tell(listener, EventType.PERSISTENT_WATCH_REMOVED, path, -1)

    def _ready(self, now: float) -> None:
        if self.phase != PREPARING:
            return
        self.phase = READY
        self.reason = "connected"
        self._proven = False
        self._change(SessionState.CONNECTED_READ_ONLY if self._search is not None else SessionState.CONNECTED)
        self._send_queue(now)

    def _send_queue(self, now: float) -> None:
        """Send what waits, as far as there is room."""
        queue = self._queue
        if not self._limit:
            for call in queue.take():
                self._send(call, now)
            return
        assert self.connection is not None
        while queue and len(self.connection.in_flight) < self._limit:
            self._send(queue.pop(), now)

    def _send(self, call: Call[Any], now: float) -> None:
        connection = self.connection
        assert connection is not None
        call.sent_at = now
        if call.auth is None:
            self.output.append(connection.send(call))
            self.unsent += 1
        else:
            self.output.append(connection.send_auth(call))
        self.timers.sent = now

    def _ask(self, request: Request[Any], then: Callable[[Step, float], None]) -> None:
        """Send a request of our own."""
        assert self.connection is not None
        if self.connection.pending_error is None:  # otherwise it is about to be dropped
            self.output.append(self.connection.send(Step(request, then)))

    # Losing the connection

    def _drop(self, now: float, reason: str, *, poisoned: bool = False) -> None:
        """The connection ended: sort what was under way, tell the state, try elsewhere.

        poisoned: the oldest unanswered request's reply could not be read; it is not sent again.
        """
        if self.phase == CLOSING:
            self._finish(STOPPED, SessionState.CLOSED)
            return
        connection, self.connection = self.connection, None
        lost: Sequence[Exchange[object]] = connection.close() if connection is not None else []
        was = self.phase
        unsent, self.unsent = self.unsent, 0
        self.output.clear()
        self._search = None
        self._lost.interrupted()
        self.actions.append(Disconnect(reason))
        self.reason = f"disconnected ({reason})"
        if was == HANDSHAKE:
            self._next_attempt(now, reason)
            return
        self._log(*self._outage.lost(now, f"session 0x{self.session_id:x}", str(self.host), reason))
        if was == READY and self.state.is_connected:  # it is not when an interrupt has hit just before it was told
            self._change(SessionState.SUSPENDED)
        self._sort(lost, now, unsent, poisoned)
        if self._watch_zxid is None:
            self._watch_zxid = self.last_zxid
        # A server that grants the session and drops it at once must not be asked in a tight loop.
        if was == PREPARING or self._unarmed or not self._proven:
            self._next_attempt(now, reason, told=True)
        else:
            self._failures = 0
            self.hosts.restart(self.host)
            self._attempt_at(now)

    def _sort(self, lost: Sequence[Exchange[object]], now: float, unsent: int, poisoned: bool) -> None:
        """Send again, look up later, or fail: every call that was under way."""
        calls: list[Call[Any]] = [call for call in lost if isinstance(call, Call)]
        ordered = (exchange for exchange in lost if getattr(exchange, "auth", None) is None)
        culprit = next(ordered, None) if poisoned else None
        again: list[Call[Any]] = []
        writes: list[Call[Any]] = []
        for position, call in enumerate(calls):
            never_sent = call.auth is None and position >= len(calls) - unsent
            call.losses += 0 if never_sent else 1
            call.xid = 0
            bad = (call is culprit and not never_sent) or call.losses >= MOST_LOSSES
            unwanted = call.abandoned and (never_sent or not call.to_undo)
            if unwanted or not self.config.queue_when_disconnected or bad:
                if not never_sent and self.config.queue_when_disconnected:
                    self._lost.forget(call)
                outcome = Outcome.NOT_APPLIED if never_sent or call.recovery is None else Outcome.UNKNOWN
                self._fail(call, self._connection_error(call, outcome))
            elif never_sent or call.recovery is None:
                again.append(call)
            else:
                writes.append(call)
        self._queue.prepend(again)
        if not self.config.queue_when_disconnected:
            for call in self._queue.take():
                self._fail(call, self._connection_error(call, Outcome.NOT_APPLIED))
        if writes:
            self._lost.add(writes, self.last_zxid, now)

    def _conclude(self, call: Call[Any], verdict: Verdict) -> None:
        """The outcome of a lost write is known, or known to be unknown."""
        if verdict.outcome is Outcome.APPLIED and verdict.reply is not None:
            call.error = 0
            call.reply = verdict.reply
            self.completed.append(call)
        elif verdict.code:
            error = error_for_code(verdict.code, call.path)
            error.outcome = verdict.outcome
            self._fail(call, error)
        else:
            self._fail(call, self._connection_error(call, verdict.outcome))

    def _connection_error(self, call: Call[Any], outcome: Outcome) -> ConnectionLostError:
        known = {Outcome.NOT_APPLIED: "not applied", Outcome.APPLIED: "applied"}.get(outcome, "outcome unknown")
        return ConnectionLostError(call.path, message=f"{call.path}: {self.reason}; {known}", outcome=outcome)

    # Losing the session

    def _expire(self, now: float, reason: str) -> None:
        """The session is gone: everybody is told, and a new one is asked for."""
        self._lose_session(now, reason)
        if self.connection is not None:
            self.connection.close()
            self.connection = None
            self.output.clear()
            self.actions.append(Disconnect(reason))
        elif self.phase == CONNECTING:
            self.actions.append(Disconnect(reason))
        if not self.config.renew_after_expiry:
            self.phase = IDLE
            return
        self._change(SessionState.CONNECTING)
        self._attempt_at(now)

    def _lose_session(self, now: float, reason: str) -> None:
        full = f"session 0x{self.session_id:x} expired: {reason}"
        self.reason = full
        self._log(WARNING, full)
        self.session_id, self.password, self._resume = 0, bytes(16), None
        self._was_read_write = False
        self._presented = 0
        # Nothing older is read for that: a server grants a session when it has applied its creation, on which was
        # agreed after all that was seen here. And servers that were set back to a backup refuse whoever has seen more.
        self.last_zxid = 0
        self._watch_zxid = None
        self.timers.lease_base = None
        self.timers.received = now
        self._change(SessionState.EXPIRED)
        self._fail_everything(lambda call, outcome: SessionExpiredError(call.path, message=full, outcome=outcome))
        for path, listener in self.watches.drop_all():
            self._tell(listener, EventType.NONE, path, -1, SessionState.EXPIRED)

    def _finish(self, reason: str, state: SessionState) -> None:
        """The end: no further attempt is made until `start`."""
        lost = self.connection.close() if self.connection is not None else []
        if self.connection is not None or self.phase == CONNECTING:
            self.actions.append(Disconnect(reason))
        if self.phase == CLOSING:
            state = SessionState.CLOSED  # whatever ended it: this is what was asked for
        self.connection = None
        self.output.clear()
        unsent, self.unsent = self.unsent, 0
        self._search = None
        self.phase = IDLE
        self.reason = reason
        self._log(INFO if reason in (STOPPED, CLOSED, CANCELLED) else WARNING, self._last_line(reason))
        calls = [call for call in lost if isinstance(call, Call)]
        self._queue.extend(calls)
        for call in calls[: len(calls) - unsent]:
            call.losses += 1

        def error(call: Call[Any], outcome: Outcome) -> BaseException:
            if state is SessionState.AUTH_FAILED:
                return AuthFailedError(call.path, message=reason, outcome=outcome)
            return SessionClosedError(f"request for {call.path!r} not answered: {reason}", outcome=outcome)

        self._fail_everything(error)
        for path, listener in self.watches.drop_all():
            self._tell(listener, EventType.NONE, path, -1, state)
        self._change(state)
        self.session_id, self.password = 0, bytes(16)
        self._was_read_write = False
        self._presented = 0
        self._watch_zxid = None
        self.last_zxid = 0
        self.timers.lease_base = None

    def _last_line(self, reason: str) -> str:
        if not self.session_id:
            return f"ended without a session: {reason}"
        session = f"session 0x{self.session_id:x}"
        if reason == CLOSED:
            return f"{session} closed"
        if self._resume is not None:
            return f"{session} left open for {self.timers.timeout:.1f} s: {reason}"
        return f"{session} left to expire, in {self.timers.timeout:.1f} s at most: {reason}"

    def _fail_everything(self, error: Callable[[Call[Any], Outcome], BaseException]) -> None:
        for call in self._lost.take():
            self._fail(call, error(call, Outcome.UNKNOWN))
        for call in self._queue.take():
            maybe = call.losses > 0 and call.recovery is not None
            self._fail(call, error(call, Outcome.UNKNOWN if maybe else Outcome.NOT_APPLIED))

    # Small things

    def _fail(self, call: Call[Any], error: BaseException) -> None:
        call.failure = error
        self.completed.append(call)

    def _change(self, state: SessionState) -> None:
        if state is self.state:
            return
        if state not in ALLOWED[self.state]:
            raise AssertionError(f"session state {self.state} may not become {state}")
        self.state = state
        self.actions.append(ChangeState(state, len(self.completed)))

    def _tell(
        self, listener: Listener, event_type: EventType, path: str, zxid: int, state: SessionState | None = None
    ) -> None:
        shown = strip_chroot(self.config.chroot, path) if self.config.chroot else path
        event = WatchedEvent(event_type, state or self.state, shown if shown is not None else path, zxid)
        self.actions.append(Deliver(listener, event, len(self.completed)))

    def _renew_watch(self, mode: int, path: str) -> None:
        kind = _wire.AddWatchMode.PERSISTENT if mode == PERSISTENT else _wire.AddWatchMode.PERSISTENT_RECURSIVE
        self._ask(_wire.AddWatchRequest(path, kind), ignore)

    def _remove_watch(self, path: str) -> None:
        self._ask(_wire.RemoveWatchesRequest(path, _wire.WatcherType.ANY), ignore)

    def _log(self, level: int, message: str) -> None:
        self.actions.append(Log(level, message))
