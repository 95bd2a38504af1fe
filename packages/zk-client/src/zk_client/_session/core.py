"""The session as its handler sees it: told what happened, it answers with actions.

Rule: no socket, clock, thread or random source. Times are arguments (monotonic seconds).

A handler tells the core what happened (`connected`, `received`, `closed`, `tick`, ...) and what users want
(`submit`, `stop`), one call at a time, and afterwards takes what is to be done: `take_output` (bytes for the
connection), `actions`, `completed` (calls to wake up), emptying the lists. It calls `tick` no later than `deadline()`.
What users want is in `wishes`, the transitions behind both are in `machine`.
"""

from __future__ import annotations

from zk_wire import (
    Connected,
    ConnectionState,
    ConnectRejected,
    EventType,
    NoNodeError,
    Notification,
    PingAnswered,
    RemoteProtocolError,
    SessionGone,
    error_for_code,
)

from ..calls import Call
from ..states import SessionState
from .actions import Disconnect, Probe
from .machine import CLOSING, CONNECTING, HANDSHAKE, IDLE, MOST_INTERRUPTIONS, PREPARING, READY, UNIMPLEMENTED, WAITING
from .steps import Step
from .watches import CHILD, DATA, EXIST
from .wishes import Wishes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..hosts import Host

NO_NODE = NoNodeError.code
EVENT_TYPES = {int(event_type): event_type for event_type in EventType}


class SessionCore(Wishes):
    """One ZooKeeper session over any number of connections; see the module's text."""

    __slots__ = ()

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
                self._auths += (call.auth,)
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

    def _happened(self, event: object, now: float) -> None:
        """Everything the server says that is not the reply to a user's request."""
        # Behind what is looked at here may be bytes that have ended the connection: then no step follows from it.
        broken = self.connection is not None and self.connection.pending_error is not None
        if isinstance(event, Step):
            if not broken:
                event.then(event, now)
        elif isinstance(event, Notification):
            event_type = EVENT_TYPES.get(event.type)
            if event_type is None:
                self._doomed = f"protocol error: watch event of the unknown type {event.type}"
                return
            for listener in self.watches.fire(event_type, event.path):
                self._tell(listener, event_type, event.path, event.zxid)
            self._leftovers.extend(self.watches.stale_paths())
        elif isinstance(event, PingAnswered):
            self._proven = True
            if self._pings:
                self.timers.answered(self._pings[0])
                self._pings = self._pings[1:]
        elif isinstance(event, Connected):
            if self.phase == CLOSING:
                self._close_granted(event.session_id)
            elif not broken:
                self._welcome(event, now)
        elif isinstance(event, SessionGone):
            if self._presented and self.phase != CLOSING:
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
        if (end := self._resolve_deadline) is not None and now >= end:
            self._lost.give_up()
        if phase < PREPARING and self.session_id and now >= self.timers.local_expiry:
            silent = now - self.timers.received
            self._expire(now, f"no server heard for {silent:.1f} s (session timeout {self.timers.timeout:.1f} s)")
        elif phase == WAITING and now >= self._due:
            self._begin_attempt()
        elif phase == HANDSHAKE and now >= self._due:
            self._drop(now, f"no answer to the connect request within {self.config.connect_timeout:.1f} s")
        elif phase == CLOSING and self._not_granted and now >= self._due:
            self.abort()
        elif phase >= PREPARING:
            if now >= self.timers.read_deadline():
                silent = now - self.timers.received
                self._drop(now, f"server silent for {silent:.1f} s (read timeout {self.timers.read_timeout:.1f} s)")
                return
            if now >= self.timers.ping_due() and phase != CLOSING:
                assert self.connection is not None
                self.output.append(self.connection.ping())
                self._pings += (now,)
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
    def _not_granted(self) -> bool:
        """Whether the connection's server still owes the answer to the connect request."""
        return self.connection is not None and self.connection.state is ConnectionState.CONNECTING

    @property
    def _resolve_deadline(self) -> float | None:
        """When what became of lost writes is not looked for any more; None while that may still be found out."""
        lost = self._lost
        if not lost.waited_for or lost.investigating:
            return None
        if self.config.resolve_timeout is not None:
            return lost.since + self.config.resolve_timeout
        # As long as the session may be resumed; but the answers may be what ends the connections.
        return lost.since + self.timers.timeout if lost.interruptions >= MOST_INTERRUPTIONS else None

    def deadline(self) -> float | None:
        """When `tick` must be called at the latest; None when nothing is due."""
        phase = self.phase
        if phase == IDLE:
            return None
        timers = self.timers
        times: list[float] = []
        if phase in (WAITING, HANDSHAKE) or (phase == CLOSING and self._not_granted):
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
        if (end := self._resolve_deadline) is not None:
            times.append(end)
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

    def lease_remaining(self, now: float) -> float:
        """Seconds for which no server can have given this session up; 0 when that is not certain."""
        # Once closeSession is on its way the server may end the session at any moment.
        return 0.0 if self.phase == CLOSING else self.timers.lease_remaining(now)
