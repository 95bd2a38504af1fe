"""kazoo's lease: a claim until a time of day, which outlives the process that made it.

Rule: whoever takes the lease does so in one transaction that also checks its place in the guard lock, and marks what it
writes with a GUID, so that a lost reply is looked up and never guessed.

The end is a time of day, compared with the reader's own clock, because that is what kazoo writes and reads. So clocks
that differ let two claims overlap by as much as they differ; `Lease` compares no clocks.

Layout (kazoo's): ``<path>/lease_holder``, persistent, JSON: version 1, holder, end (UTC, whole seconds, no zone), and
ours beside them: guid. The guard is a lock on ``<path>`` itself.
"""

from __future__ import annotations

import json
import logging
import platform
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from zk_client import Face, TransactionFailedError, attribute, run_blocking
from zk_wire import (
    BadVersionError,
    CreateMode,
    CreateRequest,
    NodeExistsError,
    NoNodeError,
    Outcome,
    SetDataRequest,
    ZooKeeperError,
    check_path,
    join_path,
)

from ._settling import catch_up
from ._waiting import PASSING, Patience
from .errors import LockLostError
from .lock import AsyncLock

if TYPE_CHECKING:
    from collections.abc import Callable

    from zk_client import HasPort

log = logging.getLogger(__name__)

HOLDER = "lease_holder"
VERSION = 1
FORMAT = "%Y-%m-%dT%H:%M:%S"
# Seconds for which a claim whose reply was lost is looked up before its fate is called unknown.
LOOK_UP_BOUND = 5.0
# How often one claim queues anew because its guard was lost.
GUARD_TRIES = 3


class _Claim(NamedTuple):
    """What stands in the holder's node. guid: None for one that kazoo has written."""

    holder: str
    end: datetime
    guid: str | None


class AsyncNonBlockingLease:
    """A claim to something for some time, held whatever becomes of the process (asyncio; see the module's text).

    client: whatever has a port.   path: of the lease, made when missing.   duration: how long the claim holds.
    identifier: who claims, the host's name by default. Whoever has the same may claim again before the end: it counts
    as the same holder.   utcnow: the clock, for tests; returns a datetime of UTC without a zone.

    What holds, each with the test that keeps it:

    - Of those who share a clock nobody gets it before the end of another's claim, whatever is lost, expires, freezes or
      is cancelled:
      ``test_nobody_gets_a_lease_that_another_has``.
    - A claim whose reply was lost is looked up: ``test_a_lost_reply_never_costs_the_lease``.
    - Claiming never waits for anybody else: ``test_claiming_does_not_wait_for_others``.
    - kazoo's processes and ours respect each other: ``test_kazoo_and_ours_respect_each_other``.
    """

    def __init__(
        self,
        client: HasPort,
        path: str,
        duration: timedelta,
        identifier: str | None = None,
        utcnow: Callable[[], datetime] | None = None,
    ) -> None:
        check_path(path)
        if not isinstance(duration, timedelta):
            message = f"duration must be a timedelta, not {type(duration).__name__}"
            raise TypeError(message)
        if duration <= timedelta(0):
            message = f"duration must be longer than nothing, not {duration}"
            raise ValueError(message)
        if identifier is not None and not isinstance(identifier, str):
            message = f"identifier must be a str or None, not {type(identifier).__name__}"
            raise TypeError(message)
        self._client = client
        self._port = client.port
        self._path = path
        self._duration = duration
        self._identifier = identifier or platform.node()
        self._utcnow = utcnow or _utcnow
        self._obtained = False
        self._end: datetime | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._path!r} {'obtained' if self._obtained else 'not obtained'}>"

    def __bool__(self) -> bool:
        return self._obtained

    @property
    def obtained(self) -> bool:
        """Whether the last claim of this object succeeded; it says nothing of the time since."""
        return self._obtained

    @property
    def end(self) -> datetime | None:
        """Until when the claim holds, in UTC without a zone; None when it was not obtained."""
        return self._end if self._obtained else None

    @property
    def path(self) -> str:
        """The lease's node."""
        return self._path

    @property
    def identifier(self) -> str:
        """Who claims."""
        return self._identifier

    async def obtain(self) -> bool:
        """Claim the lease for `duration` from now; False when somebody else has it, or is about to.

        Never waits for others. Raises the client's errors when the server cannot be asked. Of an error with the outcome
        UNKNOWN, and of a call that was cancelled, nobody can say whether the claim stands; to claim again finds out.
        LockLostError when the guard was lost again and again: a stranger deletes its nodes.
        """
        self._obtained = False
        lost = 0
        end: datetime | None = None
        while True:
            guard = AsyncLock(self._client, self._path, self._identifier)
            if not await guard.acquire(blocking=False):
                return False
            try:
                end = await self._claim(guard)
                break
            except LockLostError:
                # Our session ended before the claim, or somebody deletes what is ours. Nobody has said no.
                lost += 1
                if lost == GUARD_TRIES:
                    raise
            finally:
                await self._port.shielded(guard.release())
        # The answer may have taken longer than the claim holds.
        self._obtained = end is not None and self._utcnow() < end
        self._end = end
        return self._obtained

    async def _claim(self, guard: AsyncLock) -> datetime | None:
        """Write our claim, and return its end; None when somebody else has it."""
        port = self._port
        node = join_path(self._path, HOLDER)
        while True:
            now = self._utcnow()
            guid = port.guid()
            end = _whole_seconds(now + self._duration)
            text = _encode(self._identifier, end, guid)
            operation: CreateRequest | SetDataRequest
            try:
                data, stat = await port.get(node)
            except NoNodeError:
                operation = CreateRequest(node, text, (), CreateMode.PERSISTENT)
            else:
                claim = _decode(node, data)
                if claim is None or (claim.holder != self._identifier and now < claim.end):
                    return None
                operation = SetDataRequest(node, text, stat.version)
            try:
                await port.commit([guard.guard(), operation])
            except TransactionFailedError as refused:
                if not isinstance(refused.error, (NoNodeError, BadVersionError, NodeExistsError)):
                    raise
                if refused.index == 0:
                    raise LockLostError(self._path, "the node of its guard is gone") from refused
                return None  # Somebody was faster.
            except PASSING as error:
                if error.outcome is Outcome.NOT_APPLIED:
                    raise
                if not await self._look_up(node, guid, error):
                    continue  # It was not made, so nobody has said no.
            return end

    async def _look_up(self, node: str, guid: str, error: ZooKeeperError) -> bool:
        """Whether a claim stands whose reply was lost."""
        patience = Patience(self._port, LOOK_UP_BOUND, timed_out=lambda: error, cancelled=lambda: error)
        try:
            while True:
                try:
                    await catch_up(patience.port)
                    data, _ = await patience.port.get(node)
                except NoNodeError:
                    return False
                except PASSING:
                    await patience.pause()
                else:
                    claim = _decode(node, data)
                    return claim is not None and claim.guid == guid
        finally:
            patience.end()


class NonBlockingLease(Face[AsyncNonBlockingLease]):
    """A claim to something for some time, held whatever becomes of the process (threads and gevent).

    Claims when it is made, and is true when it was obtained; see AsyncNonBlockingLease for the parameters, what
    holds, and the errors.
    """

    def __init__(
        self,
        client: HasPort,
        path: str,
        duration: timedelta,
        identifier: str | None = None,
        utcnow: Callable[[], datetime] | None = None,
    ) -> None:
        super().__init__(AsyncNonBlockingLease(client, path, duration, identifier, utcnow))
        run_blocking(self._body.obtain())

    def __bool__(self) -> bool:
        return bool(self._body)

    obtained = attribute(AsyncNonBlockingLease, lambda lease: lease.obtained)
    end = attribute(AsyncNonBlockingLease, lambda lease: lease.end)
    path = attribute(AsyncNonBlockingLease, lambda lease: lease.path)
    identifier = attribute(AsyncNonBlockingLease, lambda lease: lease.identifier)


class AsyncMultiNonBlockingLease:
    """One of several like claims, whichever is free first (asyncio).

    count: how many there are.   path: above them; they are ``<path>/0`` and so on, each a lease of its own.
    The rest as for AsyncNonBlockingLease. What holds of each, holds of them together, with no more claims at once than
    there are: ``test_nobody_gets_one_of_several_leases_that_another_has``.
    """

    def __init__(
        self,
        client: HasPort,
        count: int,
        path: str,
        duration: timedelta,
        identifier: str | None = None,
        utcnow: Callable[[], datetime] | None = None,
    ) -> None:
        check_path(path)
        if isinstance(count, bool) or not isinstance(count, int):
            message = f"count must be an int, not {type(count).__name__}"
            raise TypeError(message)
        if count < 1:
            message = f"count must be 1 or more, not {count}"
            raise ValueError(message)
        self._leases = [
            AsyncNonBlockingLease(client, join_path(path, str(number)), duration, identifier, utcnow)
            for number in range(count)
        ]
        self._obtained: AsyncNonBlockingLease | None = None

    def __bool__(self) -> bool:
        return self._obtained is not None

    @property
    def obtained(self) -> bool:
        """Whether the last claim succeeded."""
        return self._obtained is not None

    @property
    def path(self) -> str | None:
        """The node of the lease that was obtained; None without one."""
        return None if self._obtained is None else self._obtained.path

    @property
    def end(self) -> datetime | None:
        """Until when the claim holds, in UTC without a zone; None when none was obtained."""
        return None if self._obtained is None else self._obtained.end

    async def obtain(self) -> bool:
        """Claim the first that can be had; False when all are taken. Errors as of AsyncNonBlockingLease."""
        self._obtained = None
        for lease in self._leases:
            if await lease.obtain():
                self._obtained = lease
                return True
        return False


class MultiNonBlockingLease(Face[AsyncMultiNonBlockingLease]):
    """One of several like claims, whichever is free first (threads and gevent); true when one was obtained.

    Claims when it is made; see AsyncMultiNonBlockingLease.
    """

    def __init__(
        self,
        client: HasPort,
        count: int,
        path: str,
        duration: timedelta,
        identifier: str | None = None,
        utcnow: Callable[[], datetime] | None = None,
    ) -> None:
        super().__init__(AsyncMultiNonBlockingLease(client, count, path, duration, identifier, utcnow))
        run_blocking(self._body.obtain())

    def __bool__(self) -> bool:
        return bool(self._body)

    obtained = attribute(AsyncMultiNonBlockingLease, lambda lease: lease.obtained)
    path = attribute(AsyncMultiNonBlockingLease, lambda lease: lease.path)
    end = attribute(AsyncMultiNonBlockingLease, lambda lease: lease.end)


def _utcnow() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def _whole_seconds(end: datetime) -> datetime:
    """Rounded, so that not a second less is claimed than was promised."""
    return end.replace(microsecond=0) + timedelta(seconds=1) if end.microsecond else end


def _encode(holder: str, end: datetime, guid: str) -> bytes:
    return json.dumps({"version": VERSION, "holder": holder, "end": end.strftime(FORMAT), "guid": guid}).encode()


def _decode(node: str, data: bytes | None) -> _Claim | None:
    """What stands in a holder's node; None for what is not of this version, which others may understand."""
    try:
        fields = json.loads(data or b"")
        if fields["version"] != VERSION:
            return None
        return _Claim(str(fields["holder"]), datetime.strptime(fields["end"], FORMAT), fields.get("guid"))  # noqa: DTZ007
    except (ValueError, KeyError, TypeError) as error:
        log.warning("%s is not the holder of a lease: %s", node, error)
        return None
