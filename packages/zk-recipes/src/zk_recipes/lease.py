"""A lock held for a time at most: whoever stops, hangs or forgets does not keep the others waiting.

Rule: a lease is a lock (`lock`) with an end of its own, by the holder's monotonic clock. It ends with the session, or
when its time is over, whichever is first; the keeper then deletes the node, and only then can somebody else have it.
No clocks of different machines are compared. For a claim that outlives its process see `non_blocking_lease`.

Layout: that of the lock, so a lease and a lock on one path exclude each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zk_client import Face, attribute, blocking, direct

from ._holding import Holding
from .lock import AsyncLock

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from zk_client import HasPort

    from ._holding import OwnNode


class AsyncLease(AsyncLock):
    """A lock held for `duration` seconds at most, unless it is renewed (asyncio, and every other port that suspends).

    client: whatever has a port.   path: the node under which contenders queue.   duration: seconds.
    identifier: who waits, for people and `contenders`.
    on_lost: called once when the lease ends without `release`, when its time is over too.

    What AsyncLock promises holds, and beside it, each with the test that keeps it:

    - Nobody else has it while `lease_remaining` is more than 0, and it is given up when its time is over, whatever its
      holder does: ``test_a_lease_ends_when_its_time_is_over``.
    - `renew` makes it last `duration` from then, without a request: ``test_a_renewed_lease_goes_on``.
    - Two never hold it at once, whatever is lost, expires, freezes or is cancelled:
      ``test_never_two_holders_of_a_lease_whatever_goes_wrong``.

    While it is held it costs a task (under threads: a thread) and a watch.
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
        super().__init__(client, path, identifier, on_lost=on_lost)
        self._duration = check_duration(duration)

    @property
    def duration(self) -> float:
        """How many seconds it lasts at most, unless it is renewed."""
        return self._duration

    def renew(self) -> None:
        """Have the lease last `duration` seconds from now. Raises LockLostError when it is not held."""
        holding = self._held()
        holding.guard()  # Refuses what is over already.
        holding.until = self._port.now() + self._duration
        holding.guard()  # The keeper may just have ended it.

    def _hold(self, node: OwnNode) -> None:
        until = self._port.now() + self._duration
        holding = self._holding = Holding(self._port, self.path, node, "lease", until=until)
        self._keep(holding, self._on_lost or _nobody_to_tell)


class Lease(Face[AsyncLease]):
    """A lock held for `duration` seconds at most, unless it is renewed (threads and gevent).

    The blocking face of AsyncLease, which says what the parameters mean and what holds.
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
        super().__init__(AsyncLease(client, path, duration, identifier, on_lost=on_lost))

    acquire = blocking(AsyncLease.acquire)
    release = blocking(AsyncLease.release)
    renew = direct(AsyncLease.renew)
    cancel = direct(AsyncLease.cancel)
    is_acquired = attribute(AsyncLease, lambda lease: lease.is_acquired)
    token = attribute(AsyncLease, lambda lease: lease.token)
    lease_remaining = attribute(AsyncLease, lambda lease: lease.lease_remaining)
    duration = attribute(AsyncLease, lambda lease: lease.duration)
    guard = direct(AsyncLease.guard)
    check = blocking(AsyncLease.check)
    contenders = blocking(AsyncLease.contenders)
    path = attribute(AsyncLease, lambda lease: lease.path)
    identifier = attribute(AsyncLease, lambda lease: lease.identifier)

    def __enter__(self) -> Self:
        """Acquire, without a bound; raises when that fails."""
        self.acquire()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Release."""
        self.release()


def check_duration(duration: float) -> float:
    """A number of seconds that something lasts."""
    if isinstance(duration, bool) or not isinstance(duration, (int, float)):
        message = f"duration must be a number of seconds, not {type(duration).__name__}"
        raise TypeError(message)
    if not 0 < duration < float("inf"):
        message = f"duration must be a positive number of seconds, not {duration!r}"
        raise ValueError(message)
    return float(duration)


def _nobody_to_tell() -> None:
    """The keeper gives the lease up; nobody asked to be told."""
