"""One contender's way through a queue of ephemeral sequential nodes: join, wait for its turn, leave.

Rule: the queue on the server is the only truth. Whatever goes wrong, a contender looks at the queue again; it never
trusts what it remembers of it. Its node is named with a GUID of one attempt and owned by one session: a node whose
fate is unknown is handed to the port's background clean-up and never adopted, and the next try joins under a new
GUID. Each waiter watches its immediate predecessor, with a get, which leaves no watch on a missing node.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from zk_client import Read, SessionClosedError, SessionState
from zk_wire import ConnectionLostError, NoNodeError, Outcome, ServerError, ZooKeeperError, join_path, split_path

from ._holding import OwnNode
from ._sequence import Contender, before, in_order, is_at_the_end
from ._waiting import PASSING, WAITING, Patience
from .errors import LockCancelledError, LockTimeout

if TYPE_CHECKING:
    from collections.abc import Iterable

    from zk_client import Port

    from .naming import Naming

log = logging.getLogger(__name__)

# Seconds for which a contender that leaves waits for the server; after that it goes on in the background.
RELEASE_BOUND = 5.0

# How often a join creates the parents anew that somebody deletes at the same time.
PARENT_TRIES = 3


class Place(NamedTuple):
    """Our node in the queue, and how it is numbered there."""

    node: OwnNode
    contender: Contender


class Attempt(Patience):
    """One try to get to the front. guid: that of the node it may have in the queue."""

    __slots__ = ("guid",)

    def __init__(self, port: Port, path: str, timeout: float | None) -> None:
        super().__init__(
            port,
            timeout,
            timed_out=lambda: LockTimeout(path, timeout or 0.0),
            cancelled=lambda: LockCancelledError(path),
        )
        self.guid: str | None = None


class Queue:
    """The queue under one path, as one contender uses it. data: the content of its nodes.

    naming: of its own node, and of everybody in the queue.   rivals: of those it waits for, everybody if not set.
    """

    def __init__(self, port: Port, path: str, naming: Naming, data: bytes) -> None:
        self.path = path
        self.rivals = naming
        self._port = port
        self._naming = naming
        self._data = data
        self._warned = False

    async def compete(self, attempt: Attempt, blocking: bool) -> Place | None:
        """Queue until it is our turn; None when somebody is ahead and we do not wait."""
        port = attempt.port
        place: Place | None = None
        parents_lost = 0
        while True:
            try:
                attempt.check()
                if await self.waits_for_session(attempt, blocking):
                    continue
                if place is None or place.node.session_id != port.session_id:
                    place = await self._join(attempt)
                turn = await self._wait_for_turn(attempt, place, blocking)
                if turn is None:
                    self.abandon(place.node.guid, place.node.session_id)
                    place = attempt.guid = None
                elif turn:
                    attempt.check()
                    return place
                else:
                    # Gone when the caller hears "no", so that it does not see itself among the contenders.
                    await port.shielded(self.leave(place.node, was_held=False))
                    attempt.guid = None
                    return None
            except PASSING as error:
                if not blocking:
                    raise
                log.debug("%s: trying again after %r", self.path, error)
                await attempt.pause()
            except NoNodeError:
                # Somebody deletes the parents while they are created. (A missing chroot looks the same, for ever.)
                parents_lost += 1
                if parents_lost == PARENT_TRIES:
                    raise

    async def waits_for_session(self, attempt: Attempt, blocking: bool) -> bool:
        """Wait while no connection serves us; False when one does. Who does not wait gets a ConnectionLostError."""
        state = attempt.port.state
        if state not in WAITING:
            return False
        if not blocking:
            message = f'"{self.path}" not tried: the session is {state}'
            raise ConnectionLostError(self.path, message=message, outcome=Outcome.NOT_APPLIED)
        await attempt.sleep()
        return True

    async def leave(self, node: OwnNode, was_held: bool) -> bool:
        """Delete our node; True when it was there until now. Bounded; the rest is done in the background."""
        port = self._port
        if port.session_id != node.session_id:
            return False
        gone = False
        try:
            if port.state is SessionState.CONNECTED:
                await port.until(port.now() + RELEASE_BOUND).delete(node.path)
                gone = True
                return True
        except NoNodeError as error:
            gone = True
            return was_held and error.outcome is not Outcome.NOT_APPLIED
        except (*PASSING, SessionClosedError) as error:
            log.debug("%s: leaving in the background after %r", self.path, error)
        except ServerError:
            gone = True  # Not gone, but nothing that trying again would change.
            raise
        finally:
            if not gone:
                self.abandon(node.guid, node.session_id)
        return was_held

    def abandon(self, guid: str, session_id: int | None) -> None:
        """Have the client remove what exists under this GUID, of the session given and of the present one."""
        for session in {session_id, self._port.session_id}:
            if session is not None:
                self._port.background_delete(self.path, guid, session)

    async def identifiers(self) -> list[str]:
        """Return the data of everybody in the queue as text, the oldest first."""
        port = self._port
        try:
            children = await port.get_children(self.path)
        except NoNodeError:
            return []
        found: list[tuple[Contender, int]] = []
        texts: dict[str, str] = {}
        for contender in self._naming.contenders(children):
            try:
                data, stat = await port.get(join_path(self.path, contender.name))
            except NoNodeError:
                continue
            found.append((contender, stat.czxid))
            texts[contender.name] = (data or b"").decode(errors="replace")
        return [texts[contender.name] for contender in in_order(found)]

    def number_of(self, node: OwnNode) -> int:
        """The number of a node of ours in this queue."""
        contender = self._naming.parse(split_path(node.path)[1])
        assert contender is not None
        return contender.number

    async def _join(self, attempt: Attempt) -> Place:
        """Create our node, under a GUID of its own."""
        port = attempt.port
        secret = port.guid()
        guid = attempt.guid = self._naming.head(secret)
        session_id = port.session_id
        settled = False
        try:
            path, stat = await port.create_with_stat(
                join_path(self.path, self._naming.prefix(secret)),
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
                self.abandon(guid, session_id)
                attempt.guid = None
        contender = self._naming.parse(split_path(path)[1])
        if contender is None:
            message = f'the server named our sequential node "{path}", which does not end in its number'
            raise ZooKeeperError(message)
        if is_at_the_end(contender.number) and not self._warned:
            self._warned = True
            log.warning(
                '"%s" has had all the numbers a server gives: who waits there is put in order by the time of creation, '
                "at the cost of a read of each, and kazoo's, Curator's and others' processes cannot. "
                "When nobody uses it, delete it and create it again",
                self.path,
            )
        return Place(OwnNode(path, guid, stat.ephemeral_owner, stat.czxid, stat.version), contender)

    async def _wait_for_turn(self, attempt: Attempt, place: Place, blocking: bool) -> bool | None:
        """True when it is our turn, None when our node is gone; False when somebody is ahead and we do not wait."""
        port = attempt.port
        ages: dict[str, int] = {}  # Creation zxids of those of whom the numbers do not tell whether they are ahead.
        while True:
            try:
                names = await port.get_children(self.path)
            except NoNodeError:
                return None
            if place.contender.name not in names or port.session_id != place.node.session_id:
                return None
            ahead = await self._predecessor(port, place, names, ages)
            if ahead is None:
                if port.lease_remaining > 0:
                    return True
                # The answer lay here while we did not run, and tells of the past. Ask again.
                await attempt.pause()
                continue
            if not blocking:
                return False
            watch = port.watcher(attempt.wake)
            try:
                await port.get(join_path(self.path, ahead), watch)
                while watch.event is None and port.session_id == place.node.session_id:
                    await attempt.sleep()
            except NoNodeError:
                continue
            finally:
                if watch.event is None:
                    await port.shielded(watch.close())

    async def _predecessor(self, port: Port, place: Place, names: list[str], ages: dict[str, int]) -> str | None:
        """Whose turn comes just before ours; None when nobody's does."""
        nearest, unclear = before(place.contender, self.rivals.contenders(names))
        if not unclear:
            return None if nearest is None else nearest.name
        await self.ages(port, unclear, ages)
        older = [(ages[other.name], other.name) for other in unclear if other.name in ages]
        older = [pair for pair in older if pair[0] < place.node.czxid]
        if older:
            return max(older)[1]
        return None if nearest is None else nearest.name

    async def ages(self, port: Port, contenders: Iterable[Contender], known: dict[str, int]) -> None:
        """Make the creation zxids of contenders *known*, by name, where they are not yet; of those still there."""
        unread = [contender.name for contender in contenders if contender.name not in known]
        if unread:
            results = await port.read_many([Read(join_path(self.path, name)) for name in unread])
            for name, result in zip(unread, results, strict=True):
                if isinstance(result, ServerError):
                    if not isinstance(result, NoNodeError):
                        raise result
                elif not isinstance(result, list):
                    known[name] = result[1].czxid
