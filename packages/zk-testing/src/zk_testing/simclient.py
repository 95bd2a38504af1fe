"""A client of the simulated server: one session after another over a connection that the seed breaks.

Rule: a request is a flight with two moments of its own, the arrival at the server and the arrival of the reply.
Both happen whether or not the caller still waits, and both keep the order of the calls. What can go wrong, at any
request: the request is lost, the reply is lost, the connection is away for a while (perhaps longer than the session
lives) or open but silent until the client's read deadline, the whole client stands still (a stopped process: its
tasks do not run, the clock does).

The lease follows the client's rule: it ends `timeout` after the last answered request was sent, less a margin; the
server gives a session up `timeout` after it last heard of it, so never earlier.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar, cast

from zk_wire import (
    ConnectionLostError,
    EventType,
    OperationTimeoutError,
    Outcome,
    ServerError,
    SessionExpiredError,
)

from .simport import SimulatedPort

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .sim import Simulation
    from .simserver import SimulatedServer
    from .simwatch import SimulatedSubscription, SimulatedWatcher

T = TypeVar("T")
State = TypeVar("State", bound=str)
WatchEvent = TypeVar("WatchEvent")

CLOSED, CONNECTING, CONNECTED, SUSPENDED, EXPIRED = "closed", "connecting", "connected", "suspended", "expired"

# Parts of the session timeout: how old the last answered request may be, and the margin taken off the lease.
_CONTACT_AGE = 0.1
_LEASE_MARGIN = 0.05
# Seconds between two messages of one connection: at equal times the seed would choose the order.
_GAP = 1e-6
# And how long a connection may be silent before the client gives it up.
_READ_DEADLINE = 2 / 3


class Faults(NamedTuple):
    """What may go wrong. rate: chance at each request.   limit: after so many nothing goes wrong any more.

    kinds: any of "lose request", "lose reply", "cut", "hang", "freeze".
    """

    rate: float = 0.08
    limit: int = 6
    kinds: tuple[str, ...] = ("lose request", "lose reply", "cut", "hang", "freeze")


NO_FAULTS = Faults(rate=0.0, limit=0)


class Vocabulary(NamedTuple, Generic[State, WatchEvent]):
    """The values and errors of the client that is simulated; the plain ones serve where no client is at hand.

    state: makes a session state of its text.   watched: makes a watched event of (type, state, path, zxid).
    refused: makes the error of a transaction of (index of the failed operation, one error per operation).
    """

    state: Callable[[str], State]
    watched: Callable[[EventType, State, str, int], WatchEvent]
    refused: Callable[[int, Sequence[ServerError]], Exception]


class PlainWatchedEvent(NamedTuple):
    """A watched event where no client is at hand."""

    type: EventType
    state: str
    path: str
    zxid: int = -1


def _plain_refusal(index: int, results: Sequence[ServerError]) -> Exception:
    return results[index]


PLAIN: Vocabulary[str, PlainWatchedEvent] = Vocabulary(str, PlainWatchedEvent, _plain_refusal)


class _Flight:
    __slots__ = ("done", "epoch", "error", "lost", "result", "sent_at", "what", "write")

    def __init__(self, client: SimulatedClient[State, WatchEvent], what: str, write: bool) -> None:
        self.done = client.simulation.event()
        self.epoch = client.epoch
        self.sent_at = client.simulation.now()
        self.what = what
        self.write = write
        self.lost = False
        self.error: Exception | None = None
        self.result: object = None


class SimulatedClient(Generic[State, WatchEvent]):
    """A client whose connection obeys the seed. `port` is what bodies are given; the client starts connected.

    timeout: the session timeout in virtual seconds.   faults: what may go wrong.
    vocabulary: the states, events and errors it uses, so that bodies meet the types of the real client.
    """

    def __init__(
        self,
        simulation: Simulation,
        server: SimulatedServer,
        name: str,
        vocabulary: Vocabulary[State, WatchEvent],
        *,
        timeout: float = 10.0,
        faults: Faults = NO_FAULTS,
    ) -> None:
        self.simulation = simulation
        self.server = server
        self.name = name
        self.vocabulary = vocabulary
        self.timeout = timeout
        self.faults = faults
        self.faults_left = faults.limit
        self.frozen_until = 0.0
        self.epoch = 0
        self.watchers: list[SimulatedWatcher[State, WatchEvent]] = []
        self.subscriptions: list[SimulatedSubscription[State, WatchEvent]] = []
        self.listeners: list[Callable[[State], None]] = []
        self.reconnected = simulation.event()
        self.state: State = vocabulary.state(CLOSED)
        self.session_id: int | None = None
        self._silent_since: float | None = None
        self._contacts = 0
        self._flights: list[_Flight] = []
        self._is_hanging = False
        self._undelivered: list[
            tuple[SimulatedWatcher[State, WatchEvent] | SimulatedSubscription[State, WatchEvent], WatchEvent]
        ] = []
        self._unread: list[Callable[[], None]] = []
        self._last_arrival = 0.0
        self._last_delivery = 0.0
        self._change(CONNECTING)
        self._new_session()

    @property
    def port(self) -> SimulatedPort[State, WatchEvent]:
        """The port of this client."""
        return SimulatedPort(self, None)

    @property
    def lease_remaining(self) -> float:
        """Virtual seconds for which the server cannot have expired the session."""
        if self.session_id is None:
            return 0.0
        heard = self.simulation.now() if self._silent_since is None else self._silent_since
        return heard + self.timeout * (1 - _CONTACT_AGE - _LEASE_MARGIN) - self.simulation.now()

    @property
    def is_connected(self) -> bool:
        """Whether a connection serves the session."""
        return self.state == CONNECTED

    def leaks(self) -> list[str]:
        """Say what bodies have left behind: watchers, subscriptions and listeners."""
        paths = [watcher.path for watcher in self.watchers] + [watch.path for watch in self.subscriptions]
        return [f"{self.name}: a watcher on {path}" for path in paths] + [
            f"{self.name}: the listener {listener!r}" for listener in self.listeners
        ]

    # What goes wrong

    def cut(self, duration: float) -> None:
        """End the connection; the next one is made after *duration* virtual seconds."""
        simulation = self.simulation
        if self.frozen_until > simulation.now():
            simulation.call_at(self.frozen_until, lambda: self.cut(duration))
            return
        if not self.is_connected:
            return
        self.epoch += 1
        self._is_hanging = False
        self.reconnected.clear()
        self._fall_silent()
        # No server reports to a persistent watch what it missed.
        self._undelivered = [told for told in self._undelivered if told[0] not in self.subscriptions]
        self._change(SUSPENDED)
        flights, self._flights = self._flights, []
        for flight in flights:
            # A request on its way may still reach the old server, but only until the session is served elsewhere.
            flight.error = ConnectionLostError(outcome=Outcome.UNKNOWN if flight.write else Outcome.NOT_APPLIED)
            flight.done.set()
        simulation.call_at(simulation.now() + duration, self._reconnect)

    def hang(self) -> None:
        """Let the connection fall silent both ways; the client gives it up at its read deadline."""
        if self.is_connected and not self._is_hanging:
            self._note("has a connection that hangs")
            self._is_hanging = True
            self._fall_silent()
            epoch = self.epoch

            def give_up() -> None:
                if self.epoch == epoch:
                    self.cut(self._absence())

            self.simulation.call_at(self.simulation.now() + _READ_DEADLINE * self.timeout, give_up)

    def freeze(self, duration: float) -> None:
        """Let the whole client stand still: nothing of it runs, and no ping is sent."""
        now = self.simulation.now()
        self._note(f"freezes for {duration:.3f} s")
        self.frozen_until = max(self.frozen_until, now + duration)
        if self.is_connected:
            self._fall_silent()
        self.simulation.call_at(self.frozen_until, self._thaw)

    # Requests (called by the port)

    async def request(
        self, what: str, path: str | None, apply: Callable[[int], T], deadline: float | None, *, write: bool
    ) -> T:
        """Send one request and wait for its reply. *apply* is what the server does, given the session's id."""
        session_id = await self._wait_for_connection(what, path, deadline, write=write)
        simulation = self.simulation
        flight = _Flight(self, what, write)
        self._flights.append(flight)
        self._last_arrival = max(simulation.now() + self._latency(), self._last_arrival + _GAP)
        fault = self._draw_fault()
        if fault == "lose request":
            flight.lost = True
        if fault in ("lose request", "lose reply"):
            # At the very moment of the arrival: after it (the reply is lost) or instead of it (the request is).
            self._note(f"will {fault} of {what}")
        if fault == "hang":
            self.hang()
        if not self._is_hanging:
            simulation.call_at(self._last_arrival, lambda: self._arrive(flight, session_id, apply, fault))
        if not await flight.done.wait(None if deadline is None else deadline - simulation.now()):
            outcome = Outcome.UNKNOWN if write else Outcome.NOT_APPLIED
            raise OperationTimeoutError(path, message=f"{what} had no answer in time", outcome=outcome)
        if flight.error is not None:
            raise flight.error
        return cast("T", flight.result)

    async def _wait_for_connection(self, what: str, path: str | None, deadline: float | None, *, write: bool) -> int:
        # Disconnected, a real client queues or refuses, as configured: the seed tries both. A read that is queued may
        # also outlive the session it was asked in.
        session_id = None if not write and self.simulation.random() < 0.5 else self.session_id
        refuse = self.simulation.random() < 0.5
        while not self.is_connected:
            if session_id is not None and self.session_id != session_id:
                raise SessionExpiredError(path, outcome=Outcome.NOT_APPLIED)
            if refuse:
                await self.simulation.pause()
                raise ConnectionLostError(path, outcome=Outcome.NOT_APPLIED)
            remaining = None if deadline is None else deadline - self.simulation.now()
            if not await self.reconnected.wait(remaining):
                message = f"{what} could not be sent in time"
                raise OperationTimeoutError(path, message=message, outcome=Outcome.NOT_APPLIED)
        if deadline is not None and deadline <= self.simulation.now():
            message = f"{what} was begun too late"
            raise OperationTimeoutError(path, message=message, outcome=Outcome.NOT_APPLIED)
        if self.session_id is None or session_id not in (None, self.session_id):
            raise SessionExpiredError(path, outcome=Outcome.NOT_APPLIED)
        return self.session_id

    def _arrive(self, flight: _Flight, session_id: int, apply: Callable[[int], object], fault: str | None) -> None:
        # A request of an earlier connection counts only until the session is served by the next one.
        is_current = flight.epoch == self.epoch
        result: object = None
        error: Exception | None = None
        if not flight.lost and (is_current or not self.is_connected) and self.server.is_alive(session_id):
            try:
                result = apply(session_id)
            except Exception as refusal:  # noqa: BLE001 - a server's error, or the client's own for a transaction
                error = refusal
        if not is_current:
            return
        flight.result, flight.error = result, error
        if fault in ("lose request", "lose reply") or not self.server.is_alive(session_id):
            self.cut(self._absence())
            return
        self._last_delivery = max(self.simulation.now() + self._latency(), self._last_delivery + _GAP)
        self.simulation.call_at(self._last_delivery, lambda: self._reply(flight))
        if fault == "cut":
            self.simulation.call_at(self.simulation.now() + self._latency(), lambda: self.cut(self._absence()))
        elif fault == "freeze":
            self.simulation.call_at(self.simulation.now() + self._latency(), lambda: self.freeze(self._absence()))

    def _reply(self, flight: _Flight) -> None:
        if flight.epoch != self.epoch or self._is_hanging:
            return
        if self.frozen_until > self.simulation.now():
            # It lies in the socket until the client runs again.
            self._unread.append(lambda: self._reply(flight))
            return
        self._flights.remove(flight)
        flight.done.set()

    # Watches (called by the server and the port)

    def deliver(
        self, watcher: SimulatedWatcher[State, WatchEvent], event_type: EventType, path: str, zxid: int
    ) -> None:
        """Bring a watch's event to the client: now, or after the next reconnect of the same session."""
        event = self.vocabulary.watched(event_type, self.vocabulary.state(CONNECTED), path, zxid)
        self._undelivered.append((watcher, event))
        self._last_delivery = max(self.simulation.now() + self._latency(), self._last_delivery + _GAP)
        self.simulation.call_at(self._last_delivery, self._deliver)

    def deliver_to_subscription(
        self, watch: SimulatedSubscription[State, WatchEvent], event_type: EventType, path: str, zxid: int
    ) -> None:
        """Bring a persistent watch's event to the client, unless the connection is away or ends before."""
        if self.is_connected:
            event = self.vocabulary.watched(event_type, self.vocabulary.state(CONNECTED), path, zxid)
            self._undelivered.append((watch, event))
            self._last_delivery = max(self.simulation.now() + self._latency(), self._last_delivery + _GAP)
            self.simulation.call_at(self._last_delivery, self._deliver)

    def _deliver(self) -> None:
        if not self.is_connected or self._is_hanging:
            return
        if self.frozen_until > self.simulation.now():
            self._unread.append(self._deliver)
            return
        undelivered, self._undelivered = self._undelivered, []
        for watcher, event in undelivered:
            watcher.resolve(event)

    # The session's life

    def _new_session(self) -> None:
        self.session_id = self.server.open_session()
        self._contact()
        self._change(CONNECTED)
        self.reconnected.set()

    def _contact(self) -> None:
        self._contacts += 1
        self._silent_since = None

    def _fall_silent(self) -> None:
        if self._silent_since is None and self.session_id is not None:
            self._silent_since = self.simulation.now()
            contacts, session_id = self._contacts, self.session_id

            def expire() -> None:
                if self._contacts == contacts:
                    self.server.expire(session_id)

            self.simulation.call_at(self.simulation.now() + self.timeout, expire)

    def _reconnect(self) -> None:
        simulation = self.simulation
        if self.frozen_until > simulation.now():
            simulation.call_at(self.frozen_until, self._reconnect)
            return
        if self.state != SUSPENDED or self.session_id is None:
            return
        if self.server.is_alive(self.session_id):
            self._contact()
            connected = self.vocabulary.state(CONNECTED)
            for watch in [watch for watch in self.subscriptions if watch.is_armed]:
                watch.resolve(self.vocabulary.watched(EventType.NONE, connected, watch.path, -1))
            self._change(CONNECTED)
            self.reconnected.set()
            self._deliver()
            return
        self._end_session(EXPIRED)
        self._change(CONNECTING)

        def connect() -> None:
            if self.state == CONNECTING:
                self._new_session()

        simulation.call_at(simulation.now() + simulation.between(0.0, 0.5), connect)

    def _end_session(self, state: str) -> None:
        self._undelivered.clear()
        self.session_id = None
        self._change(state)
        # One whose read still waits for a connection was never a watch of this session.
        for watcher in [watcher for watcher in self.watchers if watcher.is_armed]:
            watcher.resolve(self.vocabulary.watched(EventType.NONE, self.vocabulary.state(state), watcher.path, -1))
        for watch in [watch for watch in self.subscriptions if watch.is_armed]:
            event = self.vocabulary.watched(EventType.NONE, self.vocabulary.state(state), watch.path, -1)
            watch.resolve(event, is_last=True)

    def _thaw(self) -> None:
        if self.frozen_until > self.simulation.now():
            return
        unread, self._unread = self._unread, []
        for read in unread:
            read()
        if not self.is_connected:
            return
        epoch = self.epoch  # a cut since then has a reconnect of its own

        def answered() -> None:
            if self.epoch != epoch or self._is_hanging or self.frozen_until > self.simulation.now():
                return
            if self.session_id is None:
                return
            if self.server.is_alive(self.session_id):
                self._contact()
            else:
                self.cut(self._latency())

        self.simulation.call_at(self.simulation.now() + self._latency(), answered)

    def _change(self, state: str) -> None:
        self.state = self.vocabulary.state(state)
        self._note(f"is {state}")
        for listener in list(self.listeners):
            listener(self.state)

    # What the seed decides

    def _draw_fault(self) -> str | None:
        if self.faults_left > 0 and self.simulation.random() < self.faults.rate:
            self.faults_left -= 1
            return self.simulation.choose(self.faults.kinds)
        return None

    def _absence(self) -> float:
        if self.simulation.random() < 0.5:
            return self.simulation.between(0.01, 0.6) * self.timeout
        return self.simulation.between(0.8, 2.5) * self.timeout

    def _latency(self) -> float:
        return self.simulation.between(0.0005, 0.01)

    def _note(self, what: str) -> None:
        self.simulation.note(self.name, what)
