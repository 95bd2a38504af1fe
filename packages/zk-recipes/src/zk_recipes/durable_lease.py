"""A claim that outlives the session of its maker: a node that the server deletes when nobody renews it.

Rule: the lease is one node with a time to live. The server counts that from the last write; its holder counts from
before it sent that write, on its own monotonic clock, and a little faster. So the holder's time is over before the
server's, and no clocks are compared. (Servers compare their own clocks when another of them becomes the leader.)

How it is taken is told in ``_durable_claims``.

Layout: ``<path>/held/<GUID>``, with a ttl, data: the identifier; ``<path>/queue`` with the nodes of a lock.
Needs servers of 3.5.4 and newer with ``extendedTypesEnabled``.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from zk_client import (
    Face,
    SessionClosedError,
    TransactionFailedError,
    attribute,
    blocking,
    direct,
)
from zk_wire import (
    CheckVersionRequest,
    NoNodeError,
    Outcome,
    check_path,
    join_path,
)

from ._block import Block
from ._durable_claims import BOUND, DurableClaim, DurableClaims
from ._waiting import PASSING, Patience, check_timeout
from .errors import LockCancelledError, LockInUseError, LockLostError, LockTimeout
from .lease import check_duration

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from zk_client import HasPort

log = logging.getLogger(__name__)

# The holder's clock may be slower than the server's by one part in so many.
DRIFT = 100
# The longest a server can be told: 2**40 - 1 milliseconds.
LONGEST = 0xFFFFFFFFFF / 1000


class _TooLate(Exception):  # noqa: N818 - not an error: it ends a wait
    """The time for a release is over."""


class AsyncDurableLease:
    """A claim for `duration` seconds that outlives its session (asyncio, and every other port that suspends).

    client: whatever has a port.   path: of the lease, made when missing.   duration: seconds, from 0.001.
    identifier: who holds it, for people and `holder`.
    on_lost: called once when the lease ends without `release`: its time is over, its node was deleted, or the client
    was stopped. It costs a task (under threads: a thread) and a watch while the lease is held, and runs there.

    What holds, each with the test that keeps it:

    - Nobody else has it while `lease_remaining` is more than 0, whatever is lost, expires, freezes or is cancelled:
      ``test_never_two_holders_of_a_durable_lease``.
    - It outlives its session, and ends by itself: ``test_a_durable_lease_outlives_its_session_and_ends_by_itself``.
    - A claim whose reply was lost is looked up: ``test_a_lost_reply_never_costs_a_durable_lease``.
    - `token` is greater than that of every earlier holder, and a transaction with `guard` in it is refused once
      somebody else has the lease: ``test_never_two_holders_of_a_durable_lease``.
    - A block of ``async with`` is cancelled before the lease ends, unless it is renewed:
      ``test_a_block_is_cancelled_when_its_durable_lease_is_nearly_over``. `on_lost` has been called when it ends:
      ``test_a_holder_is_told_once_when_its_durable_lease_ends``.
    - Of those who wait, one watches the lease: ``test_only_one_of_those_who_wait_watches_a_durable_lease``.

    An object is one contender; a second acquire while it acquires or holds raises LockInUseError.
    """

    def __init__(
        self,
        client: HasPort,
        path: str,
        duration: float,
        identifier: str | None = None,
        *,
        on_lost: Callable[[], object] | None = None,
    ) -> None:
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
        self._identifier = identifier or ""
        self._claims = DurableClaims(client, path, self._duration, self._identifier, self._end)
        self._patience: Patience | None = None
        self._on_lost = on_lost
        self._claim: DurableClaim | None = None
        self._block = Block(client.port)
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
                claim = await self._claims.compete(patience, blocking, sent)
                if claim is not None:
                    self._hold(claim)
                    acquired = True
                return acquired
            except LockTimeout as late:  # perhaps of the queue, which had only what was left of the time
                raise LockTimeout(self._path, timeout or 0.0) from late
            except LockCancelledError as cancelled:
                raise LockCancelledError(self._path) from cancelled
            finally:
                self._patience = None
                patience.end()
                if sent and not acquired:
                    await self._port.shielded(self._claims.take_back(sent))
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
            await port.set(claim.node.path, self._identifier.encode())
        except NoNodeError as error:
            self._forget(claim)
            raise LockLostError(self._path, "its node is gone", "lease") from error
        claim.until = self._end(begun)
        if claim.ended:
            self._claims.delete_in_background(claim.node.guid)
            raise LockLostError(self._path, "it was released meanwhile, or its loss was told", "lease")

    async def release(self) -> bool:
        """Give the lease up; True when it was held until now. Waits at most a few seconds for the server.

        When the server cannot be reached the client goes on trying in the background, for as long as its session lives;
        at the latest the lease ends by itself, `duration` after the last renewal.
        """
        claim = self._claim
        if claim is None:
            return False
        held = claim.is_valid
        if not self._let_go():
            return False
        gone, may_be_ours = False, False
        patience = Patience(self._port, BOUND, timed_out=_TooLate, cancelled=_TooLate)
        try:
            while not gone:
                patience.check()
                try:
                    await patience.port.delete(claim.node.path)
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
                self._claims.delete_in_background(claim.node.guid)
        return held

    def cancel(self) -> None:
        """Have an acquire under way raise LockCancelledError; without one do nothing. Callable from anywhere."""
        patience = self._patience
        if patience is not None:
            patience.cancel()
            self._claims.queue.cancel()

    async def __aenter__(self) -> Self:
        """Acquire, without a bound; raises when that fails."""
        await self.acquire()
        await self._block.begin(self.release, self._held)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Release."""
        await self._block.end(exc, self.release)

    # What a holder knows

    @property
    def is_acquired(self) -> bool:
        """Whether it is held, as far as can be known without asking the server; never true after its end."""
        return self.lease_remaining > 0

    @property
    def lease_remaining(self) -> float:
        """Seconds for which nobody else can get it; 0.0 when it is not held."""
        claim = self._claim
        return 0.0 if claim is None else claim.lease_remaining

    @property
    def token(self) -> int | None:
        """The fencing token: the zxid of the node's creation, less than any later holder's. None when not held."""
        claim = self._claim
        return None if claim is None else claim.node.czxid

    def guard(self) -> CheckVersionRequest:
        """Return an operation that lets a transaction succeed only while our node is there.

        Raises LockLostError when it is not held.
        """
        return CheckVersionRequest(self._held().node.path, -1)

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
        for name in await self._claims.names(self._port):
            try:
                data, _ = await self._port.get(join_path(self._claims.parent, name))
            except NoNodeError:
                continue
            return (data or b"").decode(errors="replace")
        return None

    def _held(self) -> DurableClaim:
        claim = self._claim
        if claim is None or not claim.is_valid:
            raise LockLostError(self._path, "it was not acquired, or released, or its time is over", "lease")
        return claim

    def _forget(self, claim: DurableClaim) -> None:
        """Know that a claim is lost, whoever may have taken another meanwhile."""
        claim.lose()
        self._lost(claim)
        if self._on_lost is None:
            claim.end()

    def _lost(self, claim: DurableClaim) -> None:
        if self._claim is claim:
            self._claim = None

    def _let_go(self) -> bool:
        """Hold nothing any more; False when nothing was held, or somebody else has ended it."""
        claim, self._claim = self._claim, None
        if claim is None or not claim.end():
            return False
        claim.wake.set()
        return True

    def _hold(self, claim: DurableClaim) -> None:
        """Have a claim, and somebody watch it who tells of its loss."""
        self._claim = claim
        if self._on_lost is not None:
            keeper = claim.keep(self._on_lost, lambda: self._lost(claim))
            try:
                self._port.spawn(keeper, f"durable lease {self._path}")
            except BaseException:
                keeper.close()
                self._let_go()
                raise

    def _end(self, begun: float) -> float:
        return begun + self._duration * (1 - 1 / DRIFT)


class DurableLease(Face[AsyncDurableLease]):
    """A claim for `duration` seconds that outlives its session (threads and gevent).

    The blocking face of AsyncDurableLease, which says what the parameters mean and what holds.
    """

    def __init__(
        self,
        client: HasPort,
        path: str,
        duration: float,
        identifier: str | None = None,
        *,
        on_lost: Callable[[], object] | None = None,
    ) -> None:
        super().__init__(AsyncDurableLease(client, path, duration, identifier, on_lost=on_lost))

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
