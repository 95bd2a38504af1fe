"""A fair lock that at most one session holds, and whose holder knows when it does not any more.

Rule: the queue on the server is the only truth. Every contender is one ephemeral sequential node, named with a
GUID of one attempt and owned by one session; a contender holds the lock while its node is the oldest. Whatever goes
wrong, a contender looks at the queue again; it never trusts what it remembers of it. A node whose fate is unknown is
handed to the port's background clean-up and never adopted; the next try joins under a new GUID.

Layout (kazoo's): ``<path>/<GUID>__lock__<number>``, ephemeral; data: the identifier in UTF-8.
Each waiter watches its immediate predecessor, with a get, which leaves no watch on a missing node.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from zk_client import Face, SessionClosedError, SessionState, TransactionFailedError, attribute, blocking, direct
from zk_wire import (
    BadVersionError,
    CheckVersionRequest,
    ConnectionLostError,
    NoNodeError,
    NotReadOnlyError,
    OperationTimeoutError,
    Outcome,
    RequestTimeoutError,
    ServerError,
    SessionExpiredError,
    SessionMovedError,
    ThrottledOpError,
    ZooKeeperError,
    check_path,
    join_path,
    split_path,
)

from ._sequence import KAZOO_LOCK, Contender, Naming, ahead_of, in_order, is_certain
from .errors import LockCancelledError, LockInUseError, LockLostError, LockTimeout

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from zk_client import Event, HasPort, Port

log = logging.getLogger(__name__)

# Seconds for which `release` waits for the server; after that it goes on in the background.
RELEASE_BOUND = 5.0

# Seconds between two tries while the port refuses although it says it is connected: the first, and the longest.
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0

# Errors of the connection or of the moment: a waiting acquire outlives them, within its time-out.
_PASSING = (
    ConnectionLostError,
    OperationTimeoutError,
    RequestTimeoutError,
    SessionExpiredError,
    SessionMovedError,
    NotReadOnlyError,
    ThrottledOpError,
)
# States that end by themselves: an acquire waits. In the others the request itself says what is wrong.
_WAITING = frozenset(
    {SessionState.CONNECTING, SessionState.SUSPENDED, SessionState.EXPIRED, SessionState.CONNECTED_READ_ONLY}
)
_DEAD = frozenset({SessionState.EXPIRED, SessionState.CLOSED, SessionState.AUTH_FAILED})


class _Place(NamedTuple):
    """Our node in the queue. session_id: its owner.   czxid: of its creation, the fencing token."""

    path: str
    contender: Contender
    guid: str
    session_id: int
    czxid: int
    version: int


class _Attempt:
    """One acquire on its way. wake: set for everything it may have to look at again."""

    __slots__ = ("cancelled", "deadline", "guid", "pause", "path", "timeout", "wake")

    def __init__(self, path: str, wake: Event, timeout: float | None, deadline: float | None) -> None:
        self.path = path
        self.wake = wake
        self.timeout = timeout
        self.deadline = deadline
        self.cancelled = False
        self.guid: str | None = None
        self.pause = _FIRST_PAUSE

    def check(self, now: float) -> None:
        """Raise if it was cancelled, or its time is up."""
        if self.cancelled:
            raise LockCancelledError(self.path)
        if self.deadline is not None and self.timeout is not None and now >= self.deadline:
            raise LockTimeout(self.path, self.timeout)

    async def sleep(self, port: Port, longest: float | None = None) -> None:
        """Wait to be woken, not longer than *longest* seconds. Look at everything again afterwards."""
        self.check(port.now())
        remaining = None if self.deadline is None else self.deadline - port.now()
        if longest is not None:
            remaining = longest if remaining is None else min(longest, remaining)
        await self.wake.wait(remaining)
        # What a setter wants seen was there before it set the flag, so nothing is missed by lowering it here.
        self.wake.clear()


class _Holding:
    """The lock as this object holds it, until exactly one party ends it."""

    __slots__ = ("_right_to_end", "lost", "place", "wake")

    def __init__(self, place: _Place, wake: Event) -> None:
        self.place = place
        self.wake = wake
        self.lost = False
        self._right_to_end = [None]

    def end(self) -> bool:
        """Claim the end; True for the first caller only, from whatever thread (a list's pop is atomic)."""
        try:
            self._right_to_end.pop()
        except IndexError:
            return False
        return True

    @property
    def ended(self) -> bool:
        """Whether it was released, or found lost."""
        return not self._right_to_end


class AsyncLock:
    """A fair lock held by at most one session (asyncio, and every other port that suspends).

    client: whatever has a port.   path: the node under which contenders queue, created when missing.
    identifier: who waits, for people and `contenders`; kept in the contender's node.
    extra_lock_patterns: markers of other implementations whose nodes compete as well, as literal text ("-lock-").
    on_lost: called once when the lock is lost without `release`, at the latest when the lease ends. It costs a
    task (under threads: a thread) and a watch while the lock is held, and runs there.

    What holds, each with the test that keeps it:

    - Two objects never hold the same lock by the lease clock, whatever is lost, expires, freezes or is cancelled:
      ``test_never_two_holders_whatever_goes_wrong``. `token` grows with each holder: same test.
    - Nobody waits for ever, and neither a node nor a watch stays behind: same test.
    - A waiter survives lost replies, expired sessions and a deleted node or parent, and joins again within its
      time-out: ``test_a_waiter_joins_again_after_its_session_expired``, ``..._after_a_stranger_deleted_its_node``,
      ``..._after_the_parent_was_deleted``.
    - A time-out is a total: ``test_a_timeout_is_a_total_over_changing_predecessors``, ``..._over_connection_loss``.
    - The queue's order holds across the overflow of its numbers: ``test_order_holds_across_the_overflow``.
    - `is_acquired` is not true after the lease deadline, and `on_lost` has been called by then:
      ``test_a_frozen_holder_does_not_believe_it_holds``, ``test_on_lost_is_called_once_at_the_latest_when_the_lease_ends``.
    - A transaction with `guard` in it is refused once the lock is lost: ``test_a_guarded_transaction_is_refused_after_loss``.
    - Uncontended, an acquire and a release cost three round trips: ``test_uncontended_costs_three_round_trips``.

    The lock is not re-entrant, and an object is one contender: a second acquire while it acquires or holds raises
    LockInUseError at once (kazoo blocks there, for ever in a single thread). An object whose lock was lost can acquire again.
    """

    def __init__(
        self,
        client: HasPort,
        path: str,
        identifier: str | None = None,
        extra_lock_patterns: Sequence[str] = (),
        *,
        on_lost: Callable[[], object] | None = None,
    ) -> None:
        check_path(path)
        if identifier is not None and not isinstance(identifier, str):
            message = f"identifier must be a str or None, not {type(identifier).__name__}"
            raise TypeError(message)
        self._path = path
        self._identifier = identifier or ""
        self._data = self._identifier.encode()
        self._port = client.port
        self._naming = Naming(KAZOO_LOCK, extra_lock_patterns)
        self._on_lost = on_lost
        self._attempt: _Attempt | None = None
        self._holding: _Holding | None = None
        # Whoever acquires or holds has taken the one element. A list's pop is atomic, also between threads.
        self._permit = [None]

    def __repr__(self) -> str:
        state = "held" if self.is_acquired else "acquiring" if self._attempt is not None else "not held"
        return f"<{type(self).__name__} {self._path!r} {state}>"

    @property
    def path(self) -> str:
        """The node under which contenders queue."""
        return self._path

    @property
    def identifier(self) -> str:
        """What `contenders` shows for this one."""
        return self._identifier

    # Acquire and release

    async def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Join the queue and wait for our turn; True when the lock is held.

        blocking: False tries once and returns False when somebody is ahead; it does not wait for a connection either.
        timeout: seconds, a total over everything that may happen on the way; None waits without a bound (`cancel` ends it).
        Raises LockTimeout; LockCancelledError; LockInUseError; ValueError for a negative timeout, or one with
        blocking=False; the client's errors where waiting cannot help (closed client, no permission), and with
        blocking=False those of the connection too. After any of them nothing is held, and the node is gone or will
        be removed by the client in the background.
        """
        port = self._port
        if timeout is not None:
            if not blocking:
                message = "acquire(blocking=False) does not wait: it takes no timeout"
                raise ValueError(message)
            if not timeout >= 0:
                message = f"timeout must be a number of seconds, not negative, or None: not {timeout!r}"
                raise ValueError(message)
        self._take_permit()
        attempt = _Attempt(self._path, port.event(), timeout, None if timeout is None else port.now() + timeout)
        acquired = False

        def changed(_: SessionState) -> None:
            attempt.wake.set()

        try:
            self._attempt = attempt
            port.add_listener(changed)
            place = await self._compete(attempt, blocking)
            if place is not None:
                self._hold(place)
                acquired = True
        finally:
            self._attempt = None
            port.remove_listener(changed)
            if not acquired:
                if attempt.guid is not None:
                    self._abandon(attempt.guid, port.session_id)
                self._permit.append(None)
        return acquired

    async def release(self) -> bool:
        """Give up the lock, if this object holds it.

        Returns True when it was held until now, False when there was nothing to release or the lock had been lost
        before. Waits at most a few seconds for the server; without a connection it returns at once. What could not
        be done is finished by the client in the background. Raises only what no retry can cure (no permission).
        """
        holding = self._holding
        if holding is None:
            return False
        was_held = self._is_valid(holding)
        if not holding.end():
            return False
        self._holding = None
        try:
            return await self._leave(holding.place, was_held)
        finally:
            holding.wake.set()
            self._permit.append(None)

    def cancel(self) -> None:
        """Have an acquire that is under way raise LockCancelledError. Without one it does nothing. Callable from anywhere."""
        attempt = self._attempt
        if attempt is not None:
            attempt.cancelled = True
            attempt.wake.set()

    async def __aenter__(self) -> Self:
        """Acquire, without a bound; raises when that fails."""
        await self.acquire()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Release."""
        await self.release()

    # What a holder knows

    @property
    def is_acquired(self) -> bool:
        """Whether this object holds the lock, as far as can be known without asking the server.

        Never true after the lease deadline or in another session. (It may become true again when the same session
        turns out to be alive after all, unless the loss has been told.) A node deleted by a stranger is noticed by
        the watch that on_lost brings, or by `check`.
        """
        holding = self._holding
        return holding is not None and self._is_valid(holding)

    @property
    def token(self) -> int | None:
        """The fencing token: the zxid at which our node was created. Later holders have greater ones. None when not held.

        Hand it to whatever the lock protects and have it refuse smaller ones. (Restoring an ensemble from a backup
        turns zxids back: an outside resource has to be told.)
        """
        holding = self._holding
        return None if holding is None else holding.place.czxid

    @property
    def lease_remaining(self) -> float:
        """Seconds for which nobody else can get the lock, even if the connection is gone; 0.0 when it is not held."""
        return max(self._port.lease_remaining, 0.0) if self.is_acquired else 0.0

    def guard(self) -> CheckVersionRequest:
        """Return an operation for a transaction that lets it succeed only while our node is there.

        Raises LockLostError when the lock is not held.
        """
        holding = self._holding
        if holding is None:
            raise LockLostError(self._path, "it was not acquired, or released, or its loss was told")
        if not self._is_valid(holding):
            raise LockLostError(self._path, "its lease ended, or its session did")
        return CheckVersionRequest(holding.place.path, holding.place.version)

    async def check(self) -> None:
        """Make sure, with the leader of the ensemble, that the lock is held; one round trip.

        Raises LockLostError when it is not. Raises the client's errors when the server could not be asked:
        nothing is known then.
        """
        guard = self.guard()
        holding = self._holding
        try:
            await self._port.commit([guard])
        except TransactionFailedError as refused:
            if not isinstance(refused.error, (NoNodeError, BadVersionError)):
                raise
            if holding is not None:
                holding.lost = True
                holding.wake.set()
            raise LockLostError(self._path, "its node is gone or was changed by a stranger") from refused
        except SessionExpiredError as expired:
            raise LockLostError(self._path, "its session expired") from expired
        if not self.is_acquired:
            raise LockLostError(self._path, "its lease ended, or it was released meanwhile")

    async def contenders(self) -> list[str]:
        """Return the identifiers of everybody in the queue, the holder first; two round trips and one more for each."""
        port = self._port
        try:
            children = await port.get_children(self._path)
        except NoNodeError:
            return []
        found: list[tuple[Contender, int]] = []
        identifiers: dict[str, str] = {}
        for contender in self._naming.contenders(children):
            try:
                data, stat = await port.get(join_path(self._path, contender.name))
            except NoNodeError:
                continue
            found.append((contender, stat.czxid))
            identifiers[contender.name] = (data or b"").decode(errors="replace")
        return [identifiers[contender.name] for contender in in_order(found)]

    # Competing

    async def _compete(self, attempt: _Attempt, blocking: bool) -> _Place | None:
        """Queue until it is our turn; None when somebody is ahead and we do not wait."""
        port = self._port.until(attempt.deadline)
        place: _Place | None = None
        while True:
            try:
                attempt.check(port.now())
                if port.state in _WAITING:
                    if not blocking:
                        message = f'lock "{self._path}" not tried: the session is {port.state}'
                        raise ConnectionLostError(self._path, message=message, outcome=Outcome.NOT_APPLIED)
                    await attempt.sleep(port)
                    continue
                if place is None or place.session_id != port.session_id:
                    place = await self._join(port, attempt)
                turn = await self._wait_for_turn(port, attempt, place, blocking)
                if turn is None:
                    place = None
                elif turn:
                    attempt.check(port.now())
                    return place
                elif not blocking:
                    # Gone when the caller hears "no", so that it does not see itself among the contenders.
                    await port.shielded(self._leave(place, was_held=False))
                    attempt.guid = None
                    return None
            except _PASSING as error:
                if not blocking:
                    raise
                attempt.check(port.now())
                log.debug("lock %s: trying again after %r", self._path, error)
                pause, attempt.pause = attempt.pause, min(attempt.pause * 2, _LONGEST_PAUSE)
                await attempt.sleep(port, pause)

    async def _join(self, port: Port, attempt: _Attempt) -> _Place:
        """Create our node, under a GUID of its own."""
        guid = attempt.guid = port.guid()
        session_id = port.session_id
        settled = False
        try:
            path, stat = await port.create_with_stat(
                join_path(self._path, self._naming.prefix(guid)),
                self._data,
                ephemeral=True,
                sequence=True,
                makepath=True,
                unique=True,
            )
            settled = True
        except ServerError as error:
            settled = error.outcome is Outcome.NOT_APPLIED
            raise
        finally:
            if not settled:
                self._abandon(guid, session_id)
        contender = self._naming.parse(split_path(path)[1])
        if contender is None:
            message = f'the server named our sequential node "{path}", which does not end in its number'
            raise ZooKeeperError(message)
        return _Place(path, contender, guid, stat.ephemeral_owner, stat.czxid, stat.version)

    async def _wait_for_turn(self, port: Port, attempt: _Attempt, place: _Place, blocking: bool) -> bool | None:
        """True when it is our turn, None when our node is gone; False when somebody is ahead and we do not wait."""
        behind: set[str] = set()  # Whom the creation zxid puts behind us, whatever their numbers say.
        while True:
            try:
                queue = self._naming.contenders(await port.get_children(self._path))
            except NoNodeError:
                return None
            if place.contender not in queue or port.session_id != place.session_id:
                return None
            ahead = [contender for contender in ahead_of(place.contender, queue) if contender.name not in behind]
            if not ahead:
                if port.lease_remaining > 0:
                    return True
                # The answer lay here while we did not run, and tells of the past. Ask again.
                await attempt.sleep(port, _FIRST_PAUSE)
                continue
            if not blocking and is_certain(place.contender, ahead[0]):
                return False
            watch = port.watcher(attempt.wake) if blocking else None
            try:
                _, stat = await port.get(join_path(self._path, ahead[0].name), watch)
                if stat.czxid > place.czxid:
                    behind.add(ahead[0].name)
                    continue
                if watch is None:
                    return False
                while watch.event is None and port.session_id == place.session_id:
                    await attempt.sleep(port)
            except NoNodeError:
                continue
            finally:
                if watch is not None and watch.event is None:
                    await port.shielded(watch.close())

    # Holding and leaving

    def _hold(self, place: _Place) -> None:
        port = self._port
        holding = self._holding = _Holding(place, port.event())
        if self._on_lost is not None:
            keeper = self._keep(holding, self._on_lost)
            try:
                port.spawn(keeper, f"lock {self._path}")
            except BaseException:
                self._holding = None
                keeper.close()
                raise

    async def _keep(self, holding: _Holding, on_lost: Callable[[], object]) -> None:
        """Watch over a held lock; end it and tell when it is lost."""
        while not holding.ended and self._is_valid_place(holding):
            if not await self._watch(holding):
                break
        if not holding.end():
            return
        holding.lost = True
        if self._holding is holding:
            self._holding = None
        # The session may live on, and with it our node: the others must not wait for somebody who has given up.
        self._abandon(holding.place.guid, holding.place.session_id)
        self._permit.append(None)
        log.warning("lock %s was lost", self._path)
        try:
            on_lost()
        except Exception:
            log.exception("on_lost of lock %s raised", self._path)

    async def _watch(self, holding: _Holding) -> bool:
        """Watch our node until something changes; False when it is gone."""
        lease = self._port.lease_remaining
        port = self._port.until(self._port.now() + lease)
        watch = port.watcher(holding.wake)
        try:
            await port.get(holding.place.path, watch)
            while watch.event is None and not holding.ended and self._is_valid_place(holding):
                await holding.wake.wait(max(port.lease_remaining, 0.0))
                holding.wake.clear()
        except NoNodeError:
            return False
        except _PASSING:
            await holding.wake.wait(min(max(port.lease_remaining, 0.0), _FIRST_PAUSE))
            holding.wake.clear()
        except SessionClosedError:
            return False
        except ServerError as error:
            # Most likely an ACL that forbids us to read our own node: the lease is still watched.
            log.warning("lock %s: its node cannot be watched: %s", self._path, error)
            await holding.wake.wait(max(port.lease_remaining, 0.0))
            holding.wake.clear()
        finally:
            if watch.event is None:
                await port.shielded(watch.close())
        return True

    def _is_valid(self, holding: _Holding) -> bool:
        return not holding.ended and self._is_valid_place(holding)

    def _is_valid_place(self, holding: _Holding) -> bool:
        port = self._port
        return (
            not holding.lost
            and port.session_id == holding.place.session_id
            and port.state not in _DEAD
            and port.lease_remaining > 0
        )

    async def _leave(self, place: _Place, was_held: bool) -> bool:
        """Delete our node; True when it was there until now. Bounded; the rest is done in the background."""
        port = self._port
        if port.session_id != place.session_id:
            return False
        gone = False
        try:
            if port.state is SessionState.CONNECTED:
                await port.until(port.now() + RELEASE_BOUND).delete(place.path)
                gone = True
                return True
        except NoNodeError as error:
            gone = True
            return was_held and error.outcome is not Outcome.NOT_APPLIED
        except (*_PASSING, SessionClosedError) as error:
            log.debug("lock %s: releasing in the background after %r", self._path, error)
        except ServerError:
            gone = True  # Not gone, but nothing that trying again would change.
            raise
        finally:
            if not gone:
                self._abandon(place.guid, place.session_id)
        return was_held

    def _abandon(self, guid: str, session_id: int | None) -> None:
        """Have the client remove what exists under this GUID, in the session it may have been sent in, and in the present one."""
        for session in {session_id, self._port.session_id} - {None}:
            if session is not None:
                self._port.background_delete(self._path, guid, session)

    def _take_permit(self) -> None:
        try:
            self._permit.pop()
        except IndexError:
            holding = self._holding
            if holding is None or self._is_valid(holding) or not holding.end():
                raise LockInUseError(self._path) from None
            # Held, but lost, and nobody has noticed: the permit passes on to us.
            self._holding = None
            holding.wake.set()
            self._abandon(holding.place.guid, holding.place.session_id)


class Lock(Face[AsyncLock]):
    """A fair lock held by at most one session (threads and gevent).

    client: whatever has a port, for example a Client.   path: the node under which contenders queue, created when missing.
    identifier: who waits, for people and `contenders`; kept in the contender's node.
    extra_lock_patterns: markers of other implementations whose nodes compete as well, as literal text ("-lock-").
    on_lost: called once when the lock is lost without `release`, at the latest when the lease ends. It costs a
    thread (or greenlet) and a watch while the lock is held, and runs there.

    The blocking face of AsyncLock, whose docstring lists what holds. An object is one contender: threads that
    compete with each other need an object each.
    """

    def __init__(
        self,
        client: HasPort,
        path: str,
        identifier: str | None = None,
        extra_lock_patterns: Sequence[str] = (),
        *,
        on_lost: Callable[[], object] | None = None,
    ) -> None:
        super().__init__(AsyncLock(client, path, identifier, extra_lock_patterns, on_lost=on_lost))

    acquire = blocking(AsyncLock.acquire)
    release = blocking(AsyncLock.release)
    cancel = direct(AsyncLock.cancel)
    is_acquired = attribute(AsyncLock, lambda lock: lock.is_acquired)
    token = attribute(AsyncLock, lambda lock: lock.token)
    lease_remaining = attribute(AsyncLock, lambda lock: lock.lease_remaining)
    guard = direct(AsyncLock.guard)
    check = blocking(AsyncLock.check)
    contenders = blocking(AsyncLock.contenders)
    path = attribute(AsyncLock, lambda lock: lock.path)
    identifier = attribute(AsyncLock, lambda lock: lock.identifier)

    def __enter__(self) -> Self:
        """Acquire, without a bound; raises when that fails."""
        self.acquire()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Release."""
        self.release()
