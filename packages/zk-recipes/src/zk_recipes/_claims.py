"""Entries that are claimed before they are consumed, so that one whose consumer dies is free again.

Rule: whoever claims an entry creates two ephemeral nodes in one transaction: one under the entry's name, so that
nobody else can, and one under a GUID of the claim, which is what makes it ours: every later step deletes or checks it
in its own transaction. So a step of a claim that has ended (another session, a stranger) is refused as a whole, and
what became of a lost claim need not be found out: it is taken back, if it was there, and the next one is tried.

Consumers that wait stand in line (a lock); only the first watches. So a new entry wakes one, however many wait.

Layout: ``<path>/entries/<entry>``; ``<path>/taken/<entry>``, data: the GUID; ``<path>/claims/<GUID>``; the line below
``<path>/waiting``; markers below ``<path>/writes``.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from zk_client import Read, SessionClosedError, TransactionFailedError
from zk_wire import (
    BadVersionError,
    CheckVersionRequest,
    Create2Request,
    CreateMode,
    CreateRequest,
    CreateResult,
    DeleteRequest,
    NodeExistsError,
    NoNodeError,
    Outcome,
    ServerError,
    SetDataRequest,
    ZooKeeperError,
    join_path,
)

from ._deciding import commit, ensure, is_undecided, may_be_proved, patience_for
from ._holding import OwnNode
from ._settling import catch_up
from ._waiting import PASSING, WAITING, Patience
from .errors import LockTimeout, RecipeTimeoutError, UndecidedError
from .lock import AsyncLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Protocol

    from zk_client import HasPort, Operation, Port

    class _Watch(Protocol):
        async def close(self) -> None: ...


log = logging.getLogger(__name__)

# How many free entries one listing is good for: those who list at the same time want the same ones.
_CANDIDATES = 4


class Claim(NamedTuple):
    """An entry that is ours to consume. node: what makes it so.   tries: how often it was claimed, with this time."""

    name: str
    data: bytes
    node: OwnNode
    tries: int


class Claims:
    """The entries of one queue, as one consumer claims them.

    in_order: makes the entries among the names of children, the next one first.
    counts: whether every claim is counted, in the version of the entry's data.
    """

    def __init__(
        self, client: HasPort, path: str, in_order: Callable[[Iterable[str]], list[str]], *, counts: bool
    ) -> None:
        self.entries = f"{path}/entries"
        self.taken = f"{path}/taken"
        self.claims = f"{path}/claims"
        self.markers = f"{path}/writes"
        self._path = path
        self._client = client
        self._port = client.port
        self._in_order = in_order
        self._counts = counts

    # Claiming

    async def claim(self, patience: Patience) -> Claim | None:
        """Claim the next free entry, waiting for one; None when time runs out."""
        claim: Claim | None = None
        given = False
        try:
            claim = await self._patiently(patience)
            given = True
        except (RecipeTimeoutError, LockTimeout):
            given = True
        finally:
            if claim is not None and not given:
                self.abandon(claim.name, claim.node.guid, claim.node.session_id)
        return claim

    async def _patiently(self, patience: Patience) -> Claim | None:
        claim = await self._first(patience)
        if claim is not None:
            return claim
        line = AsyncLock(self._client, f"{self._path}/waiting")
        try:
            while claim is None:
                patience.check()
                if not line.is_acquired:
                    await line.release()
                    left = patience.remaining
                    await line.acquire(timeout=None if left is None else max(left, 0.0))
                claim = await self._watch(patience, line)
        finally:
            try:
                await line.release()
            except BaseException:
                if claim is not None:
                    self.abandon(claim.name, claim.node.guid, claim.node.session_id)
                raise
        return claim

    async def _first(self, patience: Patience) -> Claim | None:
        """Claim an entry that is free now. Trouble with the connection is waited out."""
        while True:
            try:
                if patience.port.state not in WAITING:
                    return await self.claim_now(patience.port)
                patience.check()
                await patience.sleep()
            except PASSING:
                await patience.pause()

    async def _watch(self, patience: Patience, line: AsyncLock) -> Claim | None:
        """Wait as the first in line, and claim; None when we are not the first any more."""
        port = patience.port
        claim: Claim | None = None
        watches = [self._port.watcher(patience.wake) for _ in range(2)]
        try:
            if port.state in WAITING:
                await patience.sleep()
                return None
            for path, watch in zip((self.entries, self.taken), watches, strict=True):
                try:
                    await port.get_children(path, watch)
                except NoNodeError:
                    await ensure(port, path)
                    return None
            claim = await self.claim_now(port)
            while claim is None and line.is_acquired and all(watch.event is None for watch in watches):
                await patience.sleep()
            return claim
        except PASSING:
            await patience.pause()
            return None
        finally:
            try:
                await self._port.shielded(_close(watches))
            except BaseException:
                if claim is not None:
                    self.abandon(claim.name, claim.node.guid, claim.node.session_id)
                raise

    async def claim_now(self, port: Port) -> Claim | None:
        """Claim the first free entry; None when none is free."""
        while True:
            entries, taken = await port.read_many([Read(self.entries, children=True), Read(self.taken, children=True)])
            for result in (entries, taken):
                if isinstance(result, ServerError) and not isinstance(result, NoNodeError):
                    raise result
            if not isinstance(entries, list):
                return None
            busy = set(taken) if isinstance(taken, list) else set[str]()
            free = [name for name in self._in_order(entries) if name not in busy]
            if not free:
                return None
            for name in free[:_CANDIDATES]:
                claim = await self._take(port, name)
                if claim is not None:
                    return claim

    async def _take(self, port: Port, name: str) -> Claim | None:
        """Claim one entry; None when it is gone, or somebody else's."""
        path = join_path(self.entries, name)
        try:
            data, stat = await port.get(path)
        except NoNodeError:
            return None
        guid, session_id = port.guid(), port.session_id
        ours = join_path(self.claims, guid)
        seen: Operation = CheckVersionRequest(path, stat.version)
        if self._counts:
            seen = SetDataRequest(path, data, stat.version)
        settled = False
        try:
            results = await port.commit(
                [
                    seen,
                    CreateRequest(join_path(self.taken, name), guid.encode(), (), CreateMode.EPHEMERAL),
                    Create2Request(ours, name.encode(), (), CreateMode.EPHEMERAL),
                ]
            )
            made = results[-1]
            if not isinstance(made, CreateResult) or made.stat is None or made.stat.ephemeral_owner != port.session_id:
                return None
            settled = True
        except TransactionFailedError as refused:
            settled = True
            if isinstance(refused.error, NoNodeError) and refused.index > 0:
                await ensure(port, self.taken)
                await ensure(port, self.claims)
                return await self._take(port, name)
            if not isinstance(refused.error, (NoNodeError, BadVersionError, NodeExistsError)):
                raise refused.error from refused
            return None
        except PASSING as error:
            settled = error.outcome is Outcome.NOT_APPLIED
            raise
        finally:
            if not settled:
                self.abandon(name, guid, session_id)
        node = OwnNode(ours, guid, made.stat.ephemeral_owner, made.stat.czxid, 0)
        return Claim(name, data or b"", node, stat.version + 1)

    # Ending a claim

    async def consume(self, patience: Patience, claim: Claim, effects: Sequence[Operation] = ()) -> bool:
        """Delete the entry with its claim, in one transaction with *effects*; False when it is not ours any more.

        Raises TransactionFailedError when an effect is refused, and nothing was done; UndecidedError.
        """
        path = join_path(self.entries, claim.name)
        steps = self._unclaim(claim.name, claim.node.guid)
        while True:
            patience.check()
            try:
                if patience.port.state in WAITING:
                    await patience.sleep()
                    continue
                if patience.port.session_id != claim.node.session_id:
                    return False
                await commit(patience.port, [*steps, DeleteRequest(path, -1), *effects], self.markers)
            except TransactionFailedError as refused:
                if refused.index > len(steps):
                    first = len(steps) + 1
                    raise TransactionFailedError(refused.index - first, refused.results[first:]) from refused
                if not isinstance(refused.error, NoNodeError):
                    raise refused.error from refused
                if refused.index > 0:
                    # A stranger has deleted the entry, or our hold on it: there is nothing left to consume.
                    self.abandon(claim.name, claim.node.guid, claim.node.session_id)
                return False
            except PASSING as error:
                if is_undecided(error):
                    if may_be_proved(patience.port, claim.node.session_id) and await self.is_there(patience, path):
                        return False
                    raise UndecidedError(self._path, "consuming an entry", claim.data) from error
                await patience.pause()
            else:
                return True

    async def is_there(self, patience: Patience, path: str) -> bool:
        """Whether the entry is still there, after the session that may have consumed it has ended."""
        while True:
            try:
                patience.check()
                if patience.port.state not in WAITING:
                    await catch_up(patience.port)
                    return await patience.port.exists(path) is not None
                await patience.sleep()
            except PASSING:
                await patience.pause()
            except ZooKeeperError:
                return False

    def _unclaim(self, name: str, guid: str) -> list[Operation]:
        return [DeleteRequest(join_path(self.claims, guid), 0), DeleteRequest(join_path(self.taken, name), -1)]

    async def give_back(self, claim: Claim, bound: float) -> bool:
        """Make the entry free again; True when it was ours until now. What takes longer than *bound* goes on behind."""
        port = self._port
        if port.session_id != claim.node.session_id:
            return False
        done = False
        try:
            if port.state not in WAITING:
                await port.until(port.now() + bound).commit(self._unclaim(claim.name, claim.node.guid))
                done = True
        except TransactionFailedError as refused:
            done = True
            if not isinstance(refused.error, NoNodeError):
                raise refused.error from refused
            return False
        except (*PASSING, SessionClosedError) as error:
            log.debug("%s: giving back in the background after %r", self._path, error)
        finally:
            if not done:
                self.abandon(claim.name, claim.node.guid, claim.node.session_id)
        return True

    def abandon(self, name: str, guid: str, session_id: int | None) -> None:
        """Take a claim back, if it is there, in the background, for as long as its session lives. Returns at once."""
        if session_id is None:
            session_id = self._port.session_id
        if session_id is not None and session_id == self._port.session_id:
            body = self._take_back(name, guid, session_id)
            try:
                self._port.spawn(body, f"clean-up of queue {self._path}")
            except BaseException:
                body.close()
                raise

    async def _take_back(self, name: str, guid: str, session_id: int) -> None:
        port = self._port
        patience = patience_for(port, self._path, "giving back", None)
        try:
            while port.session_id == session_id:
                try:
                    if port.state not in WAITING:
                        await port.commit(self._unclaim(name, guid))
                        return
                    await patience.sleep()
                except PASSING:
                    await patience.pause()
        except (ServerError, SessionClosedError) as error:
            # Refused: it was never there, or has gone. Closed: it goes with the session.
            log.debug("%s: %s is not given back: %r", self._path, name, error)
        finally:
            patience.end()


async def _close(watches: Sequence[_Watch]) -> None:
    for watch in watches:
        await watch.close()
