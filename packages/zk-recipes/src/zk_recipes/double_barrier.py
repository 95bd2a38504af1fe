"""A barrier at both ends of a common piece of work: nobody begins before all are there, nobody goes before all left.

The specification. Below `path` lies a directory for each round, ``round-<number>``; the latest is the current one.

- *Join.* A member creates an ephemeral node under a GUID in the current round. A round with a ``ready`` is over for
  newcomers: the first of them creates the next.
- *Ready.* Whoever joins looks who is there. Are there enough, it picks as many as are needed, and creates ``ready``,
  which lists them, in one transaction that checks the node of each. So ``ready`` says: these were all there at that
  moment. It is never changed, and there is one in a round.
- *Enter.* A member whose name ``ready`` lists has entered, whenever it comes to see it, and whoever has left by then.
  One that is not listed takes its node back and joins the next round.
- *Give up.* A member takes its node back in one transaction that succeeds only while there is no ``ready`` (it creates
  one and deletes it). Refused, it has entered after all. So nobody counts on somebody who has given up.
- *Leave.* A member deletes its node, and waits until no node is left of those that ``ready`` lists.
- *Die.* The node of a member goes with its session. Before ``ready`` the others wait for another; after it, it has
  left.
- *Clean up.* Who has left deletes the rounds before the last one. The last stays, for members that have lost their
  session and want to know whether they were listed.

Waiting members watch ``ready``, which wakes each once; leaving members watch one of those still inside, by chance.

Layout: not kazoo's or Curator's, which keep members and ``ready`` of all rounds in one place, where nobody can tell
a member of this round from one of the next, or a round that is ready from one that is over: whoever leaves deletes
``ready``, and who had no connection then sees what it saw before. So there is no option for it. They take a round's
directory for a member: keep them on other paths.
"""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from zk_client import Face, SessionClosedError, TransactionFailedError, attribute, blocking, direct
from zk_wire import (
    CheckVersionRequest,
    CreateMode,
    CreateRequest,
    DeleteRequest,
    NodeExistsError,
    NoNodeError,
    Outcome,
    ServerError,
    check_path,
    join_path,
)

from ._deciding import ensure, patience_for
from ._holding import Holding, OwnNode
from ._queue import RELEASE_BOUND
from ._settling import catch_up
from ._waiting import PASSING, WAITING, Patience, check_timeout
from .errors import LockInUseError, LockLostError, RecipeTimeoutError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from zk_client import HasPort, Operation, Port
    from zk_wire import Stat

    class _Watch(Protocol):
        async def close(self) -> None: ...


log = logging.getLogger(__name__)

READY = "ready"
_ROUND = re.compile(r"round-(\d{10,})\Z", re.ASCII)


class _Place(NamedTuple):
    """Our node in a round. path: of the round.   name: of the node."""

    path: str
    name: str
    node: OwnNode


class AsyncDoubleBarrier:
    """A barrier at both ends of a common piece of work (asyncio, and every other port that suspends).

    client: whatever has a port.   path: the node below which rounds are kept, created when missing.
    num_clients: how many members a round needs, and has.   identifier: who it is, for people; the node's data.

    What holds, each with the test that keeps it:

    - `enter` is True only when *num_clients* members were there at one moment, and then for all of them, however late
      they hear of it: ``test_members_enter_and_leave_together_whatever_goes_wrong``.
    - `leave` is True only when every member of the round has left, or its session has ended: same test.
    - Nobody waits for ever while members come and go, reconnect or expire: same test.
    - Nobody counts on a member that has given up: ``test_a_member_that_gave_up_is_not_counted``.
    - A member that is slow to hear enters although the others are leaving:
      ``test_a_slow_member_enters_although_the_others_are_leaving``.
    - Rounds do not mix, and one more member than needed waits for the next:
      ``test_one_too_many_waits_for_the_next_round``.
    - Time-outs are totals, and leave nothing: ``test_a_timeout_of_enter_is_a_total_and_leaves_nothing``.

    - Nobody is counted twice who gave up and comes again: ``test_a_member_that_gave_up_and_comes_again_counts_once``.

    What does not: a member that gives up without a connection may be counted until its session ends, or it comes again,
    and so may one that is cancelled in the moment of ``ready``. An object is one member, in one round at a time.
    """

    def __init__(self, client: HasPort, path: str, num_clients: int, identifier: str | None = None) -> None:
        check_path(path)
        if isinstance(num_clients, bool) or not isinstance(num_clients, int):
            message = f"num_clients must be an int, not {type(num_clients).__name__}"
            raise TypeError(message)
        if num_clients < 1:
            message = f"num_clients must be at least 1, not {num_clients}"
            raise ValueError(message)
        if identifier is not None and not isinstance(identifier, str):
            message = f"identifier must be a str or None, not {type(identifier).__name__}"
            raise TypeError(message)
        self._path = path
        self._port = client.port
        self._needed = num_clients
        self._identifier = identifier or ""
        self._inside: tuple[_Place, Holding, list[str]] | None = None
        self._leftovers: set[str] = set()  # nodes that were given up, and may be there yet
        # Whoever enters, is inside or leaves has taken the one element.
        self._permit = [None]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._path!r}{' inside' if self.participating else ''}>"

    @property
    def path(self) -> str:
        """The node below which rounds are kept."""
        return self._path

    @property
    def participating(self) -> bool:
        """Whether this member is inside, as far as can be known without asking; never true after its lease ended."""
        inside = self._inside
        return inside is not None and inside[1].is_valid

    @property
    def node_name(self) -> str | None:
        """The name of this member's node while it is inside."""
        inside = self._inside
        return None if inside is None else inside[0].name

    def guard(self) -> CheckVersionRequest:
        """Return an operation for a transaction that lets it succeed only while this member is inside.

        Raises LockLostError when it is not.
        """
        inside = self._inside
        if inside is None:
            raise LockLostError(self._path, "it was not entered, or left", "place in barrier")
        return inside[1].guard()

    async def enter(self, timeout: float | None = None) -> bool:
        """Join, and wait until all are there; False when time ran out first, and then nothing is left of us.

        timeout: seconds, a total; None waits without a bound. The answer may still be True a moment later, when all
        came at the last.
        Raises LockLostError when all were there and our session ended before we heard: the others have gone on, and
        take us for one who has left; LockInUseError when this object is inside or entering; the client's errors where
        waiting cannot help.
        """
        check_timeout(timeout)
        try:
            self._permit.pop()
        except IndexError:
            message = f'this object is already entering or inside barrier "{self._path}": leave first'
            raise LockInUseError(self._path, message) from None
        patience = patience_for(self._port, self._path, "entering barrier", timeout)
        entering = _Entering(self._port, self._path, self._needed, self._identifier, self._leftovers)
        entered: list[str] | None = None
        try:
            try:
                entered = await entering.enter(patience)
            except RecipeTimeoutError:
                entered = await self._port.shielded(entering.give_up())
            if entered is not None and entering.place is not None:
                holding = Holding(self._port, self._path, entering.place.node, "place in barrier")
                self._inside = (entering.place, holding, entered)
        finally:
            patience.end()
            if self._inside is None:
                entering.abandon()
                self._permit.append(None)
        return self._inside is not None

    async def leave(self, timeout: float | None = None) -> bool:
        """Leave, and wait until all have left; False when time ran out first: we have left then, others have not.

        timeout: seconds, a total; None waits without a bound. True at once for an object that is not inside.
        Raises the client's errors where waiting cannot help; we have left then, too.
        """
        check_timeout(timeout)
        inside = self._inside
        if inside is None or not inside[1].end():
            return True
        place, _, listed = inside
        patience = patience_for(self._port, self._path, "leaving barrier", timeout)
        gone = False
        try:
            gone = await self._go(patience, place)
            await self._outlast(patience, place, listed)
            if listed[0] == place.name:
                await self._clean_up(patience, place)
        except RecipeTimeoutError:
            return False
        finally:
            patience.end()
            if not gone:
                self._port.background_delete(place.path, place.name, place.node.session_id)
            self._inside = None
            self._permit.append(None)
        return True

    async def _go(self, patience: Patience, place: _Place) -> bool:
        while self._port.session_id in (None, place.node.session_id):
            patience.check()
            try:
                if patience.port.state not in WAITING:
                    await patience.port.delete(place.node.path)
                    break
                await patience.sleep()
            except NoNodeError:
                break
            except PASSING:
                await patience.pause()
        return True

    async def _outlast(self, patience: Patience, place: _Place, listed: Sequence[str]) -> None:
        """Wait until no node is left of those that were listed."""
        port = patience.port
        session_id: int | None = None
        while True:
            patience.check()
            watch = self._port.watcher(patience.wake)
            try:
                if port.state in WAITING:
                    await patience.sleep()
                    continue
                if port.session_id != session_id:
                    session_id = port.session_id
                    await catch_up(port)
                there = sorted(set(await port.get_children(place.path)).intersection(listed) - {place.name})
                if not there:
                    return
                await port.get(join_path(place.path, there[int(port.chance() * len(there))]), watch)
                while watch.event is None:
                    await patience.sleep()
                    patience.check()
            except NoNodeError:
                # The one we wanted to watch has left; or the round is cleaned up, because all have.
                if await self._is_gone(patience, place.path):
                    return
            except PASSING:
                session_id = None
                await patience.pause()
            finally:
                await self._port.shielded(watch.close())

    async def _is_gone(self, patience: Patience, path: str) -> bool:
        try:
            return await patience.port.exists(path) is None
        except PASSING:
            await patience.pause()
            return False

    async def _clean_up(self, patience: Patience, place: _Place) -> None:
        """Delete the rounds before ours. What is not done now is done after the next round."""
        port = patience.port
        try:
            for name in await port.get_children(self._path):
                path = join_path(self._path, name)
                if _ROUND.fullmatch(name) and number_of(name) < number_of(place.path):
                    try:
                        # Both or none: somebody may still be there who was not listed, and has to see it.
                        await port.commit([DeleteRequest(join_path(path, READY), -1), DeleteRequest(path, -1)])
                    except TransactionFailedError as refused:
                        log.debug("barrier %s: round %s is not deleted: %s", self._path, name, refused)
        except (ServerError, SessionClosedError) as error:
            log.debug("barrier %s: old rounds are not deleted: %r", self._path, error)


class _Entering:
    """One member's way in. place: its node, if it has one.   leftovers: its nodes of before, kept up to date."""

    def __init__(self, port: Port, path: str, needed: int, identifier: str, leftovers: set[str]) -> None:
        self.place: _Place | None = None
        self._port = port
        self._path = path
        self._needed = needed
        self._data = identifier.encode()
        self._leftovers = leftovers
        self._in_doubt = False  # whether our node is there at all

    async def enter(self, patience: Patience) -> list[str]:
        """Join rounds until one that lists us is ready; return its list."""
        port = patience.port
        while True:
            patience.check()
            watches = [self._port.watcher(patience.wake) for _ in range(2)]
            try:
                if port.state in WAITING:
                    await patience.sleep()
                    continue
                place = self.place
                if place is None:
                    place = await self._join(port)
                lost = port.session_id != place.node.session_id
                if lost:
                    await self._bury(port, place)
                elif self._in_doubt:
                    await self._find(port, place)
                    continue
                listed = await self._listed(port, place.path)
                if listed is not None and place.name in listed and not lost:
                    return listed
                if lost and await self._went_on(port, place, listed):
                    self.place = None
                    raise LockLostError(self._path, "all were there, and then our session ended", "place in barrier")
                if listed is not None or lost:
                    self.abandon()
                    continue
                there = await port.get_children(place.path)
                if place.name not in there:
                    if READY not in there:
                        self.abandon()  # a stranger has deleted it
                elif len(there) - (READY in there) >= self._needed and READY not in there:
                    await self._declare(port, place, there)
                elif await port.exists(join_path(place.path, READY), watches[0]) is None:
                    await port.get(place.node.path, watches[1])
                    while all(watch.event is None for watch in watches) and port.session_id == place.node.session_id:
                        await patience.sleep()
                        patience.check()
            except NoNodeError:
                self.abandon()  # the round was cleaned up
            except PASSING:
                await patience.pause()
            finally:
                await self._port.shielded(_close(watches))

    async def give_up(self) -> list[str] | None:
        """Take our node back unless the round is ready; return the list of a round that is, with us in it."""
        place = self.place
        if place is None:
            return None
        port = self._port.until(self._port.now() + RELEASE_BOUND)
        ready = join_path(place.path, READY)
        withdraw: list[Operation] = [
            CreateRequest(ready, b"", (), CreateMode.PERSISTENT),
            DeleteRequest(ready, -1),
            DeleteRequest(place.node.path, -1),
        ]
        while port.state not in WAITING and port.session_id == place.node.session_id:
            try:
                await port.commit(withdraw)
            except TransactionFailedError as refused:
                if not isinstance(refused.error, NodeExistsError):
                    return None
                try:
                    listed = await self._listed(port, place.path)
                except (*PASSING, NoNodeError):
                    return None
                return listed if listed is not None and place.name in listed else None
            except PASSING as error:
                # Refused the second time if it was done the first time: there is no node of ours to delete.
                if error.outcome is Outcome.UNKNOWN and port.state not in WAITING:
                    continue
                return None
            else:
                self.place = None
                return None
        return None

    def abandon(self) -> None:
        """Have the client delete whatever node we may have."""
        place, self.place = self.place, None
        if place is not None:
            self._leftovers.add(place.node.path)
            for session in {place.node.session_id, self._port.session_id}:
                if session:
                    self._port.background_delete(place.path, place.name, session)

    async def _join(self, port: Port) -> _Place:
        """Create our node in the current round, when no other of ours can be counted beside it."""
        for leftover in sorted(self._leftovers):
            with suppress(NoNodeError):
                await port.delete(leftover)
            self._leftovers.discard(leftover)
        path = await self._current(port)
        name = port.guid()
        # Ours from now on, whatever we hear of it: others may count on a node whose reply was lost.
        node = OwnNode(join_path(path, name), name, port.session_id or 0, 0, 0)
        self.place = _Place(path, name, node)
        self._in_doubt = True
        try:
            _, stat = await port.create_with_stat(node.path, self._data, ephemeral=True, unique=True)
        except ServerError as error:
            if error.outcome is Outcome.NOT_APPLIED:
                self.place = None
            raise
        return self._found(self.place, stat)

    async def _find(self, port: Port, place: _Place) -> None:
        """See whether a node is there whose reply was lost, in the same session."""
        await catch_up(port)
        stat = await port.exists(place.node.path)
        if stat is None:
            self.place = None
        else:
            self._found(place, stat)

    def _found(self, place: _Place, stat: Stat) -> _Place:
        self._in_doubt = False
        node = OwnNode(place.node.path, place.name, stat.ephemeral_owner, stat.czxid, 0)
        self.place = found = _Place(place.path, place.name, node)
        return found

    async def _current(self, port: Port) -> str:
        """The round to join, created when it is not there."""
        try:
            rounds = [name for name in await port.get_children(self._path) if _ROUND.fullmatch(name)]
        except NoNodeError:
            rounds = []
        latest = max(map(number_of, rounds), default=0)
        path = join_path(self._path, f"round-{latest:010d}")
        if not rounds:
            await ensure(port, path)
        elif await port.exists(join_path(path, READY)) is not None:
            path = join_path(self._path, f"round-{latest + 1:010d}")
            await ensure(port, path)
        return path

    async def _listed(self, port: Port, path: str) -> list[str] | None:
        """Whom the round lists; None while it is not ready, or when it is not there any more."""
        try:
            data, _ = await port.get(join_path(path, READY))
        except NoNodeError:
            return None
        return (data or b"").decode("ascii", "replace").split()

    async def _bury(self, port: Port, place: _Place) -> None:
        """Delete our node of a session that has ended: it may be there for a moment yet, and must not be counted."""
        await catch_up(port)
        try:
            await port.delete(place.node.path)
        except NoNodeError:
            pass

    async def _went_on(self, port: Port, place: _Place, listed: Sequence[str] | None) -> bool:
        """Whether a round was ready with our node in it, which is gone. One that is cleaned up was ready."""
        if listed is not None:
            return place.name in listed
        return await port.exists(place.path) is None

    async def _declare(self, port: Port, place: _Place, there: Sequence[str]) -> None:
        """Declare the round ready, if all that are there still are. Whatever comes of it, one looks again."""
        others = sorted(set(there) - {READY, place.name})
        listed = sorted([place.name, *others[: self._needed - 1]])
        checks = [CheckVersionRequest(join_path(place.path, name), -1) for name in listed]
        ready = CreateRequest(join_path(place.path, READY), " ".join(listed).encode(), (), CreateMode.PERSISTENT)
        try:
            await port.commit([*checks, ready])
        except TransactionFailedError as refused:
            if not isinstance(refused.error, (NoNodeError, NodeExistsError)):
                raise refused.error from refused
            # Somebody has gone, or was faster, and this server may not know yet.
            await catch_up(port)


class DoubleBarrier(Face[AsyncDoubleBarrier]):
    """A barrier at both ends of a common piece of work (threads and gevent).

    client: whatever has a port, for example a Client.   path: the node below which rounds are kept.
    num_clients: how many members a round needs, and has.   identifier: who it is, for people; the node's data.

    The blocking face of AsyncDoubleBarrier, whose docstring lists what holds. An object is one member.
    """

    def __init__(self, client: HasPort, path: str, num_clients: int, identifier: str | None = None) -> None:
        super().__init__(AsyncDoubleBarrier(client, path, num_clients, identifier))

    enter = blocking(AsyncDoubleBarrier.enter)
    leave = blocking(AsyncDoubleBarrier.leave)
    guard = direct(AsyncDoubleBarrier.guard)
    participating = attribute(AsyncDoubleBarrier, lambda barrier: barrier.participating)
    node_name = attribute(AsyncDoubleBarrier, lambda barrier: barrier.node_name)
    path = attribute(AsyncDoubleBarrier, lambda barrier: barrier.path)


def number_of(name: str) -> int:
    """The number of a round, from its name or path."""
    return int(name.rpartition("-")[2])


async def _close(watches: Sequence[_Watch]) -> None:
    for watch in watches:
        await watch.close()
