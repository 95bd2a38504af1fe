"""Something held through a node of ours: a lock, a leadership, a slot; and what its holder knows.

Rule: it is held while our node is there, our session is alive by the lease clock, and nobody has ended it: a release,
the keeper that tells of a loss, or the next acquire. Exactly one of them does (`end`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from zk_client import SessionClosedError, TransactionFailedError
from zk_wire import BadVersionError, CheckVersionRequest, NoNodeError, ServerError, SessionExpiredError

from ._waiting import DEAD, FIRST_PAUSE, PASSING
from .errors import LockLostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from zk_client import Port, Scope
    from zk_wire import Stat

log = logging.getLogger(__name__)

# The part of the lease that the work under it gets for stopping, when the server has not answered for so long.
NOTICE = 0.1

# Seconds. What remains of a time may round to less than the clock can tell from nothing: a wait is never shorter.
INSTANT = 1e-7


class OwnNode(NamedTuple):
    """A node that we have made. guid: what its name begins with, and no other's.   session_id: its owner.

    czxid: its creation, the token.
    """

    path: str
    guid: str
    session_id: int
    czxid: int
    version: int


class Holding:
    """One thing as one object holds it, until exactly one party ends it.

    path: of what is held.   what: the word for it in messages.   node: what makes us its holder.
    until: when it ends even if all is well, by the port's clock; None for never.
    on_read: called by the keeper with our node's Stat, at first and after each change; it must not wait.
    """

    __slots__ = ("_port", "_right_to_end", "lost", "node", "on_read", "path", "until", "wake", "what")

    def __init__(
        self,
        port: Port,
        path: str,
        node: OwnNode,
        what: str = "lock",
        *,
        until: float | None = None,
        on_read: Callable[[Stat], None] | None = None,
    ) -> None:
        self.path = path
        self.node = node
        self.what = what
        self.until = until
        self.on_read = on_read
        self.wake = port.event()
        self.lost = False
        self._port = port
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

    @property
    def is_valid(self) -> bool:
        """Whether it is held, as far as can be known without asking the server."""
        return not self.ended and self._is_ours()

    def _is_ours(self) -> bool:
        port = self._port
        return (
            not self.lost and port.session_id == self.node.session_id and port.state not in DEAD and self._lease() > 0
        )

    def _lease(self) -> float:
        """Seconds to the end of the session's lease, or to our own."""
        lease = self._port.lease_remaining
        return lease if self.until is None else min(lease, self.until - self._port.now())

    @property
    def lease_remaining(self) -> float:
        """Seconds for which nobody else can get it, even if the connection is gone; 0.0 when it is not held."""
        return max(self._lease(), 0.0) if self.is_valid else 0.0

    def guard(self) -> CheckVersionRequest:
        """Return an operation for a transaction that lets it succeed only while our node is there."""
        if not self.is_valid:
            raise LockLostError(self.path, "its lease ended, or its session did", self.what)
        return CheckVersionRequest(self.node.path, self.node.version)

    async def check(self) -> None:
        """Make sure, with the leader of the ensemble, that it is held; raise LockLostError when it is not."""
        guard = self.guard()
        try:
            await self._port.commit([guard])
        except TransactionFailedError as refused:
            if not isinstance(refused.error, (NoNodeError, BadVersionError)):
                raise
            self.lose()
            raise LockLostError(self.path, "its node is gone or was changed by a stranger", self.what) from refused
        except SessionExpiredError as expired:
            raise LockLostError(self.path, "its session expired", self.what) from expired
        if not self.is_valid:
            raise LockLostError(self.path, "its lease ended, or it was released meanwhile", self.what)

    def lose(self) -> None:
        """Know from the server that it is lost; whoever keeps watch tells."""
        self.lost = True
        self.wake.set()

    # Keeping watch

    async def cut_short(self, scope: Scope) -> None:
        """Cancel a scope when it is lost, or so near the end of its lease that its owner needs what is left to stop.

        Costs no request. It ends when the holding does.
        """
        notice = self.lease_remaining * NOTICE
        while self.is_valid and self.lease_remaining > notice:
            await self.wake.wait(max(self.lease_remaining - notice, INSTANT))
            self.wake.clear()
        if self.lost or not self.ended:
            scope.cancel()

    async def keep(self, on_lost: Callable[[], object], then: Callable[[], None]) -> None:
        """Watch until it is ended or lost; a loss is told by *on_lost*, whatever comes of which *then* is called."""
        while not self.ended and self._is_ours():
            if not await self._watch():
                break
        if not self.end():
            return
        self.lost = True
        self.wake.set()  # for whoever has work to cut short
        if self.until is not None and self._port.now() >= self.until:
            log.info("%s %s: its time is over", self.what, self.path)
        else:
            log.warning("%s %s was lost", self.what, self.path)
        try:
            on_lost()
        except Exception:
            log.exception("on_lost of %s %s raised", self.what, self.path)
        finally:
            then()

    async def _watch(self) -> bool:
        """Watch our node until something changes; False when it is gone."""
        port = self._port.until(self._port.now() + self._lease())
        watch = port.watcher(self.wake)
        try:
            _, stat = await port.get(self.node.path, watch)
            if self.on_read is not None:
                self.on_read(stat)
            while watch.event is None and not self.ended and self._is_ours():
                await self._rest()
        except NoNodeError:
            return False
        except PASSING:
            await self._rest(FIRST_PAUSE)
        except SessionClosedError:
            return False
        except ServerError as error:
            # Most likely an ACL that forbids us to read our own node: the lease is still watched.
            log.warning("%s %s: its node cannot be watched: %s", self.what, self.path, error)
            await self._rest()
        finally:
            if watch.event is None:
                await port.shielded(watch.close())
        return True

    async def _rest(self, longest: float | None = None) -> None:
        """Wait to be woken, at the latest by the end of the lease."""
        lease = self._lease()
        lease = max(lease, INSTANT) if lease > 0 else 0.0
        await self.wake.wait(lease if longest is None else min(lease, longest))
        self.wake.clear()
