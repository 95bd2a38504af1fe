"""A claim that outlives the session of its maker: a node that the server deletes when nobody renews it.

Rule: the lease is one node with a time to live. The server counts that from the last write; its holder counts from
before it sent that write, on its own monotonic clock, and a little faster. So the holder's time is over before the
server's, and no clocks are compared. (Servers compare their own clocks when another of them becomes the leader.)

Whoever waits queues for a lock first; only the one that has it waits for the node to go, and takes the lease in one
transaction with the lock's node. Each claim is a node of its own name, a GUID: so a lost reply is looked up and never
guessed, and a late request of an earlier holder cannot hit the node of a later one.

Layout: ``<path>/held/<GUID>``, with a ttl, data: the identifier; ``<path>/queue`` with the nodes of a lock.
Needs servers of 3.5.4 and newer with ``extendedTypesEnabled``.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from zk_client import (
    ConfigurationError,
    Face,
    SessionClosedError,
    TransactionFailedError,
    attribute,
    blocking,
    direct,
)
from zk_wire import (
    CheckVersionRequest,
    CreateMode,
    CreateTTLRequest,
    NoNodeError,
    Outcome,
    UnimplementedError,
    ZooKeeperError,
    check_path,
    join_path,
    split_path,
)

from ._holding import NOTICE
from ._settling import catch_up
from ._waiting import PASSING, Patience, check_timeout
from .errors import LockCancelledError, LockInUseError, LockLostError, LockTimeout
from .lease import check_duration
from .lock import CUT_SHORT, AsyncLock

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from zk_client import Event, HasPort, Port, Scope

log = logging.getLogger(__name__)

HELD = "held"
QUEUE = "queue"
# The holder's clock may be slower than the server's by one part in so many.
DRIFT = 100
# Seconds for which a renewal or a release waits for the server.
BOUND = 5.0
# The longest a server can be told: 2**40 - 1 milliseconds.
LONGEST = 0xFFFFFFFFFF / 1000


class _TooLate(Exception):  # noqa: N818 - not an error: it ends a wait
    """The time for a release is over."""


class _Claim:
    """The lease as we hold it. until: by the port's clock; a renewal moves it."""

    __slots__ = ("czxid", "node", "until")

    def __init__(self, node: str, czxid: int, until: float) -> None:
        self.node = node
        self.czxid = czxid
        self.until = until


class AsyncDurableLease:
    """A claim for `duration` seconds that outlives its session (asyncio, and every other port that suspends).

    client: whatever has a port.   path: of the lease, made when missing.   duration: seconds, from 0.001.
    identifier: who holds it, for people and `holder`.

    What holds, each with the test that keeps it:

    - Nobody else has it while `lease_remaining` is more than 0, whatever is lost, expires, freezes or is cancelled:
      ``test_never_two_holders_of_a_durable_lease``.
    - It outlives its session, and ends by itself: ``test_a_durable_lease_outlives_its_session_and_ends_by_itself``.
    - A claim whose reply was lost is looked up: ``test_a_lost_reply_never_costs_a_durable_lease``.
    - `token` is greater than that of every earlier holder, and a transaction with `guard` in it is refused once
      somebody else has the lease: ``test_never_two_holders_of_a_durable_lease``.
    - A block of ``async with`` is cancelled before the lease ends, unless it is renewed:
      ``test_a_block_is_cancelled_when_its_durable_lease_is_nearly_over``.
    - Of those who wait, one watches the lease: ``test_only_one_of_those_who_wait_watches_a_durable_lease``.

    An object is one contender; a second acquire while it acquires or holds raises LockInUseError.
    """

    def __init__(self, client: HasPort, path: str, duration: float, identifier: str | None = None) -> None:
        check_path(path)
        if identifier is not None and not isinstance(identifier, str):
            message = f"identifier must be a str or None, not {type(identifier).__name__}"
            raise TypeError(message)
        self._duration = check_duration(duration)
        if not 0.001 <= self._duration <= LONGEST:
            message = f"duration must lie between 0.001 and {LONGEST} seconds, as servers keep it, not {duration!r}"
            raise ValueError(message)
        self._port = client.port
        self._path = path
        self._parent = join_path(path, HELD)
        self._identifier = identifier or ""
        self._queue = AsyncLock(client, join_path(path, QUEUE), identifier)
        self._patience: Patience | None = None
        self._claim: _Claim | None = None
        self._scope: Scope | None = None
        self._left = self._port.event()  # of the block: set when it was left
        # Whoever acquires has taken the one element. A list's pop is atomic, also between threads.
        self._permit = [None]

    def __repr__(self) -> str:
        state = "held" if self.is_acquired else "acquiring" if self._patience is not None else "not held"
        return f"<{type(self).__name__} {self._path!r} {state}>"

    @property
    def path(self) -> str:
        """The lease's path."""
        return self._path

    @property
    def identifier(self) -> str:
        """Who holds it, when we do."""
        return self._identifier

    @property
    def duration(self) -> float:
        """How many seconds it lasts unless it is renewed."""
        return self._duration

    # Acquire, renew, release

    async def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Wait until the lease is free, and take it; True when it is held.

        blocking: False tries once and returns False when somebody else has it, or is about to.
        timeout: seconds, a total over everything on the way; None waits without a bound.
        Raises LockTimeout; LockCancelledError; LockInUseError; ConfigurationError when the server knows no nodes with a
        ttl; the client's errors where waiting cannot help, with blocking=False those of the connection too. After any
        of them nothing is held, unless a write's fate could not be found out in time: such a claim ends by itself.
        """
        check_timeout(timeout, blocking=blocking)
        try:
            self._permit.pop()
        except IndexError:
            raise LockInUseError(self._path) from None
        try:
            if self.is_acquired:
                raise LockInUseError(self._path)
            patience = self._patience = Patience(
                self._port,
                timeout,
                timed_out=lambda: LockTimeout(self._path, timeout or 0.0),
                cancelled=lambda: LockCancelledError(self._path),
            )
            sent: dict[str, float] = {}  # When the claims were sent, by GUID: any of them may have been applied.
            acquired = False
            try:
                acquired = await self._compete(patience, blocking, sent)
                return acquired
            except LockTimeout as late:  # perhaps of the queue, which had only what was left of the time
                raise LockTimeout(self._path, timeout or 0.0) from late
            except LockCancelledError as cancelled:
                raise LockCancelledError(self._path) from cancelled
            finally:
                self._patience = None
                patience.end()
                if not acquired:
                    # Whoever was cancelled on the way out of the queue may have taken it already.
                    self._claim = None
                    if sent:
                        await self._port.shielded(self._take_back(sent))
        finally:
            self._permit.append(None)

    async def renew(self) -> None:
        """Have the lease last `duration` seconds from now: one write.

        Raises LockLostError when it is not held; the client's errors when the server could not be asked: it lasts as
        long as it did, then.
        """
        claim = self._held()
        port = self._port.until(self._port.now() + BOUND)
        begun = port.now()
        try:
            await port.set(claim.node, self._identifier.encode())
        except NoNodeError as error:
            self._forget(claim)
            raise LockLostError(self._path, "its node is gone", "lease") from error
        claim.until = self._end(begun)
        if self._claim is not claim:
            raise LockLostError(self._path, "it was released meanwhile", "lease")

    async def release(self) -> bool:
        """Give the lease up; True when it was held until now. Waits at most a few seconds for the server.

        When the server cannot be reached the client goes on trying in the background, for as long as its session lives;
        at the latest the lease ends by itself, `duration` after the last renewal.
        """
        claim, self._claim = self._claim, None
        if claim is None:
            return False
        held = self._port.now() < claim.until
        gone, may_be_ours = False, False
        patience = Patience(self._port, BOUND, timed_out=_TooLate, cancelled=_TooLate)
        try:
            while not gone:
                patience.check()
                try:
                    await patience.port.delete(claim.node)
                    gone = True
                except NoNodeError as error:
                    gone = True
                    return held and (may_be_ours or error.outcome is not Outcome.NOT_APPLIED)
                except PASSING as error:
                    may_be_ours = may_be_ours or error.outcome is not Outcome.NOT_APPLIED
                    await patience.pause()
        except (_TooLate, SessionClosedError) as late:
            log.debug("durable lease %s: giving it up in the background: %r", self._path, late)
        finally:
            patience.end()
            if not gone:
                self._delete_in_background(split_path(claim.node)[1])
        return held

    def cancel(self) -> None:
        """Have an acquire under way raise LockCancelledError; without one do nothing. Callable from anywhere."""
        patience = self._patience
        if patience is not None:
            patience.cancel()
            self._queue.cancel()

    async def __aenter__(self) -> Self:
        """Acquire, without a bound; raises when that fails."""
        await self.acquire()
        try:
            scope = self._port.scope()
            if scope.interrupts:
                self._left = self._port.event()
                self._port.spawn(self._cut_short(scope, self._left), f"durable lease {self._path} scope")
                self._scope = scope
        except BaseException:
            await self._port.shielded(self.release())
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Release."""
        scope, self._scope = self._scope, None
        cut_short = False
        try:
            if scope is not None:
                self._left.set()
                cut_short = await scope.leave(exc)
        finally:
            await self.release()
        if cut_short:
            raise LockLostError(self._path, CUT_SHORT, "lease") from exc

    async def _cut_short(self, scope: Scope, left: Event) -> None:
        """Cancel the block of ``async with`` when the lease is lost, or its time is nearly over."""
        notice = self._duration * NOTICE
        while not left.is_set() and self.lease_remaining > notice:
            await left.wait(self.lease_remaining - notice)
        if not left.is_set():
            scope.cancel()

    # What a holder knows

    @property
    def is_acquired(self) -> bool:
        """Whether it is held, as far as can be known without asking the server; never true after its end."""
        return self.lease_remaining > 0

    @property
    def lease_remaining(self) -> float:
        """Seconds for which nobody else can get it; 0.0 when it is not held."""
        claim = self._claim
        return 0.0 if claim is None else max(claim.until - self._port.now(), 0.0)

    @property
    def token(self) -> int | None:
        """The fencing token: the zxid of the node's creation, less than any later holder's. None when not held."""
        claim = self._claim
        return None if claim is None else claim.czxid

    def guard(self) -> CheckVersionRequest:
        """Return an operation that lets a transaction succeed only while our node is there.

        Raises LockLostError when it is not held.
        """
        return CheckVersionRequest(self._held().node, -1)

    async def check(self) -> None:
        """Make sure, with the leader of the ensemble, that it is held; LockLostError when it is not."""
        claim = self._held()
        try:
            await self._port.commit([self.guard()])
        except TransactionFailedError as refused:
            if not isinstance(refused.error, NoNodeError):
                raise
            self._forget(claim)
            raise LockLostError(self._path, "its node is gone", "lease") from refused
        self._held()

    async def holder(self) -> str | None:
        """The identifier of whoever has it; None when it is free."""
        for name in await self._claims(self._port):
            try:
                data, _ = await self._port.get(join_path(self._parent, name))
            except NoNodeError:
                continue
            return (data or b"").decode(errors="replace")
        return None

    def _held(self) -> _Claim:
        claim = self._claim
        if claim is None or self._port.now() >= claim.until:
            raise LockLostError(self._path, "it was not acquired, or released, or its time is over", "lease")
        return claim

    def _forget(self, claim: _Claim) -> None:
        """Know that a claim is lost, whoever may have taken another meanwhile."""
        claim.until = 0.0
        if self._claim is claim:
            self._claim = None

    # Taking it

    async def _compete(self, patience: Patience, blocking: bool, sent: dict[str, float]) -> bool:
        while True:
            patience.check()
            remaining = patience.remaining
            if not await self._queue.acquire(blocking, None if remaining is None else max(remaining, 0.0)):
                return False
            try:
                taken = await self._take(patience, blocking, sent)
            finally:
                await self._port.shielded(self._queue.release())
            if taken is not None:
                return taken

    async def _take(self, patience: Patience, blocking: bool, sent: dict[str, float]) -> bool | None:
        """Wait for the lease at the head of the queue, and take it; None when our place was lost."""
        while True:
            patience.check()
            try:
                names = await self._claims(patience.port)
                if not names:
                    if not await self._create(patience, sent):
                        return None
                    continue
                if (mine := sent.get(names[0])) is not None and self._end(mine) > self._port.now():
                    node = join_path(self._parent, names[0])
                    stat = await patience.port.exists(node)
                    if stat is not None:
                        self._claim = _Claim(node, stat.czxid, self._end(mine))
                        return True
                    continue
                if not blocking:
                    return False
                if not await self._see_the_end(patience, join_path(self._parent, names[0])):
                    return None
            except PASSING:
                if not blocking:
                    raise
                await patience.pause()

    async def _claims(self, port: Port) -> list[str]:
        """The names of the claims there are: one, or none."""
        try:
            return await port.get_children(self._parent)
        except NoNodeError:
            return []

    async def _see_the_end(self, patience: Patience, node: str) -> bool:
        """Wait until a claim is gone, or was renewed; False when our place in the queue was lost."""
        watch = patience.port.watcher(patience.wake)
        try:
            await patience.port.get(node, watch)
            while watch.event is None:
                await patience.sleep()
                if not self._queue.is_acquired:
                    return False
        except NoNodeError:
            pass
        finally:
            await self._port.shielded(watch.close())
        return True

    async def _create(self, patience: Patience, sent: dict[str, float]) -> bool:
        """Claim, if our place in the queue is still ours; False when it is not."""
        guid = patience.port.guid()
        ttl_ms = round(self._duration * 1000)
        data, mode = self._identifier.encode(), CreateMode.PERSISTENT_WITH_TTL
        create = CreateTTLRequest(join_path(self._parent, guid), data, (), mode, ttl_ms)
        sent[guid] = self._port.now()
        try:
            await patience.port.commit([self._queue.guard(), create])
        except LockLostError:
            return False
        except TransactionFailedError as refused:
            if isinstance(refused.error, UnimplementedError):
                message = (
                    f'a durable lease ("{self._path}") needs nodes with a ttl: a server of 3.5.4 or newer that was '
                    "started with -Dzookeeper.extendedTypesEnabled=true"
                )
                raise ConfigurationError(message) from refused
            if not isinstance(refused.error, NoNodeError):
                raise
            if refused.index == 0:
                return False
            await patience.port.ensure_path(self._parent)
        except PASSING as error:
            if error.outcome is Outcome.NOT_APPLIED:
                del sent[guid]
            raise
        return True

    async def _take_back(self, sent: dict[str, float]) -> None:
        """Delete what somebody who gives up may have claimed. What cannot be done at once goes on in the background."""
        port = self._port.until(self._port.now() + BOUND)
        try:
            await catch_up(port)
            for name in await self._claims(port):
                if name in sent:
                    await port.delete(join_path(self._parent, name))
        except ZooKeeperError as error:
            log.debug("durable lease %s: taking back in the background what was claimed: %r", self._path, error)
            for name in sent:
                self._delete_in_background(name)

    def _delete_in_background(self, name: str) -> None:
        session_id = self._port.session_id
        if session_id is not None:
            self._port.background_delete(self._parent, name, session_id)

    def _end(self, begun: float) -> float:
        return begun + self._duration * (1 - 1 / DRIFT)


class DurableLease(Face[AsyncDurableLease]):
    """A claim for `duration` seconds that outlives its session (threads and gevent).

    The blocking face of AsyncDurableLease, which says what the parameters mean and what holds.
    """

    def __init__(self, client: HasPort, path: str, duration: float, identifier: str | None = None) -> None:
        super().__init__(AsyncDurableLease(client, path, duration, identifier))

    acquire = blocking(AsyncDurableLease.acquire)
    renew = blocking(AsyncDurableLease.renew)
    release = blocking(AsyncDurableLease.release)
    cancel = direct(AsyncDurableLease.cancel)
    is_acquired = attribute(AsyncDurableLease, lambda lease: lease.is_acquired)
    lease_remaining = attribute(AsyncDurableLease, lambda lease: lease.lease_remaining)
    token = attribute(AsyncDurableLease, lambda lease: lease.token)
    duration = attribute(AsyncDurableLease, lambda lease: lease.duration)
    path = attribute(AsyncDurableLease, lambda lease: lease.path)
    identifier = attribute(AsyncDurableLease, lambda lease: lease.identifier)
    guard = direct(AsyncDurableLease.guard)
    check = blocking(AsyncDurableLease.check)
    holder = blocking(AsyncDurableLease.holder)

    def __enter__(self) -> Self:
        """Acquire, without a bound; raises when that fails."""
        self.acquire()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Release."""
        self.release()
