"""How a durable lease is taken: one of those who queue for it waits for the last claim to go, and makes the next.

Rule: a claim is made in one transaction with the maker's place in the queue, under a name of its own, a GUID. So who
has lost its place claims nothing, a lost reply is looked up and never guessed, and a late request of an earlier holder
cannot hit the node of a later one. What may have been made by somebody who gives up is taken back.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from zk_client import ConfigurationError, TransactionFailedError
from zk_wire import CreateMode, CreateTTLRequest, NoNodeError, Outcome, UnimplementedError, ZooKeeperError, join_path

from ._holding import Holding, OwnNode
from ._settling import catch_up
from ._waiting import PASSING, Patience
from .errors import LockLostError
from .lock import AsyncLock

if TYPE_CHECKING:
    from collections.abc import Callable

    from zk_client import HasPort, Port

log = logging.getLogger(__name__)

HELD = "held"
QUEUE = "queue"
# Seconds for which a renewal or a release waits for the server.
BOUND = 5.0


class _PlaceLostError(Exception):
    """Our place in the queue is gone: queue again."""


class DurableClaim(Holding):
    """A lease as its holder has it: by its time alone, whatever becomes of the session. A renewal moves `until`."""

    __slots__ = ()

    def _is_ours(self) -> bool:
        return not self.lost and self._lease() > 0

    def _lease(self) -> float:
        return 0.0 if self.until is None else self.until - self._port.now()


class DurableClaims:
    """The claims below one path, as one contender makes them. end: until when one holds, by when it was sent."""

    def __init__(
        self, client: HasPort, path: str, duration: float, identifier: str, end: Callable[[float], float]
    ) -> None:
        self.parent = join_path(path, HELD)
        self.queue = AsyncLock(client, join_path(path, QUEUE), identifier)
        self._port = client.port
        self._path = path
        self._duration = duration
        self._identifier = identifier
        self._end = end

    async def compete(self, patience: Patience, blocking: bool, sent: dict[str, float]) -> DurableClaim | None:
        """Queue for the lease, and take it; None when somebody has it and we do not wait.

        sent: when claims were sent, by GUID: any of them may have been applied, whatever comes of this call.
        """
        while True:
            patience.check()
            remaining = patience.remaining
            if not await self.queue.acquire(blocking, None if remaining is None else max(remaining, 0.0)):
                return None
            try:
                return await self._take(patience, blocking, sent)
            except _PlaceLostError:
                continue
            finally:
                await self._port.shielded(self.queue.release())

    async def _take(self, patience: Patience, blocking: bool, sent: dict[str, float]) -> DurableClaim | None:
        """Wait for the lease at the head of the queue, and take it."""
        while True:
            patience.check()
            try:
                names = await self.names(patience.port)
                if not names:
                    await self._create(patience, sent)
                    continue
                if (mine := sent.get(names[0])) is not None:
                    node = join_path(self.parent, names[0])
                    stat = await patience.port.exists(node)
                    if stat is None:
                        continue
                    own = OwnNode(node, names[0], 0, stat.czxid, -1)
                    claim = DurableClaim(self._port, self._path, own, "lease", until=self._end(mine))
                    if claim.is_valid:  # the answer may have come later than its end
                        return claim
                if not blocking:
                    return None
                await self._see_the_end(patience, join_path(self.parent, names[0]))
            except PASSING:
                if not blocking:
                    raise
                await patience.pause()

    async def names(self, port: Port) -> list[str]:
        """The names of the claims there are: one, or none."""
        try:
            return await port.get_children(self.parent)
        except NoNodeError:
            return []

    async def _see_the_end(self, patience: Patience, node: str) -> None:
        """Wait until a claim is gone, or was renewed."""
        watch = patience.port.watcher(patience.wake)
        try:
            await patience.port.get(node, watch)
            while watch.event is None:
                await patience.sleep()
                if not self.queue.is_acquired:
                    raise _PlaceLostError
        except NoNodeError:
            pass
        finally:
            await self._port.shielded(watch.close())

    async def _create(self, patience: Patience, sent: dict[str, float]) -> None:
        """Claim, if our place in the queue is still ours."""
        guid = patience.port.guid()
        ttl_ms = round(self._duration * 1000)
        data, mode = self._identifier.encode(), CreateMode.PERSISTENT_WITH_TTL
        create = CreateTTLRequest(join_path(self.parent, guid), data, (), mode, ttl_ms)
        sent[guid] = self._port.now()
        try:
            await patience.port.commit([self.queue.guard(), create])
        except LockLostError:
            raise _PlaceLostError from None
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
                raise _PlaceLostError from refused
            await patience.port.ensure_path(self.parent)
        except PASSING as error:
            if error.outcome is Outcome.NOT_APPLIED:
                del sent[guid]
            raise

    async def take_back(self, sent: dict[str, float]) -> None:
        """Delete what somebody who gives up may have claimed. What cannot be done at once goes on in the background."""
        port = self._port.until(self._port.now() + BOUND)
        try:
            await catch_up(port)
            for name in await self.names(port):
                if name in sent:
                    await port.delete(join_path(self.parent, name))
        except ZooKeeperError as error:
            log.debug("durable lease %s: taking back in the background what was claimed: %r", self._path, error)
            for name in sent:
                self.delete_in_background(name)

    def delete_in_background(self, name: str) -> None:
        """Have the client delete a claim, for as long as its session lives; at the latest it ends by itself."""
        session_id = self._port.session_id
        if session_id is not None:
            self._port.background_delete(self.parent, name, session_id)
