"""Shares out a set among the members of a group, each item locked by whoever works on it.

Rule: a share is worked on only under the locks of its items. Members, seen by a watch on the group, decide who should
have what, each for itself and all by the same rule; the locks decide who has it. So members that see the group
differently for a moment wait for each other, and never work on one item together.

A partitioner goes from ALLOCATING to ACQUIRED; when members come or go to RELEASE, where it waits for its owner to stop
working; after `release_set` to ALLOCATING again. FAILURE is final: its session or its lease ended, or it was finished.

Layout (kazoo's): ``<path>/party/<GUID>-<identifier>``, ephemeral, a ShallowParty; ``<path>/locks/<item>`` with the
nodes of a Lock.
"""

from __future__ import annotations

import enum
import logging
import os
import platform
from typing import TYPE_CHECKING, TypeVar

from zk_client import Face, SessionClosedError, SessionState, attribute, blocking, direct
from zk_wire import NoNodeError, ZooKeeperError, check_path, join_path, split_path

from ._waiting import PASSING, Patience, check_timeout
from .errors import LockLostError, LockTimeout
from .lock import AsyncLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType
    from typing import Protocol, Self

    from zk_client import HasPort, PortWatcher
    from zk_wire import CheckVersionRequest

    class Flag(Protocol):
        """What is raised at every change of state: an event of any kind."""

        def set(self) -> object: ...


log = logging.getLogger(__name__)

T = TypeVar("T")

PARTY = "party"
LOCKS = "locks"
# Seconds for which a member that leaves waits for the server; after that it goes on in the background.
LEAVE_BOUND = 5.0


class PartitionState(enum.StrEnum):
    """Where a partitioner stands."""

    ALLOCATING = "ALLOCATING"
    ACQUIRED = "ACQUIRED"
    RELEASE = "RELEASE"
    FAILURE = "FAILURE"


class _Over(Exception):  # noqa: N818 - not an error: it ends the body
    """The partitioner is finished, or what it holds is lost."""


class AsyncSetPartitioner:
    """A share of a set, agreed on with the others of a group (asyncio, and every other port that suspends).

    client: whatever has a port.   path: of the group.   set: what is shared out, the same for every member; each item's
    text becomes the name of a node.   partition_func: (identifier, members, items) -> the items of that member; by
    default the sorted items are dealt out in turn to the members, sorted by identifier.
    identifier: who we are, by default the host's name and the process id; members of one identifier are dealt to one
    after the other by default, but a partition_func cannot tell them apart.
    time_boundary: seconds for which the group must not have changed before it is allotted anew.
    max_reaction_time: seconds after which it notices at the latest, while it waits for an item that somebody still
    holds, that the group has changed.   state_change_event: raised (`set`) at every change of state.

    It begins at once, beside its maker: a task, under threads a thread. What holds, each with the test that keeps it:

    - Two members never work on one item at once, by the lease clock, whatever is lost, expires, freezes or is
      cancelled: ``test_no_item_is_worked_on_by_two``. Nothing stays behind: same test.
    - When the group is at rest every item is somebody's: ``test_every_item_is_somebodys_when_the_group_is_at_rest``.
    - It says that it has failed before anybody else can have its items:
      ``test_a_member_that_is_cut_off_fails_before_others_take_over``.
    - Nothing stays behind of one that was finished: ``test_a_finished_partitioner_leaves_nothing``.
    - An item held by somebody outside the group keeps nobody from noticing changes:
      ``test_an_item_held_elsewhere_does_not_stop_the_group``.
    """

    def __init__(
        self,
        client: HasPort,
        path: str,
        set: Iterable[T],  # noqa: A002 - kazoo's name for it
        partition_func: Callable[[str, Sequence[str], Sequence[T]], Iterable[T]] | None = None,
        identifier: str | None = None,
        time_boundary: float = 30,
        max_reaction_time: float = 1,
        state_change_event: Flag | None = None,
    ) -> None:
        check_path(path)
        check_timeout(time_boundary)
        check_timeout(max_reaction_time)
        if identifier is not None and not isinstance(identifier, str):
            message = f"identifier must be a str or None, not {type(identifier).__name__}"
            raise TypeError(message)
        self._identifier = identifier or f"{platform.node()}-{os.getpid()}"
        if "/" in self._identifier:
            message = f"identifier is part of a node's name and must not contain a slash: {self._identifier!r}"
            raise ValueError(message)
        self._items: dict[str, object] = {str(item): item for item in set}
        for name in self._items:
            if "/" in name:
                message = f"an item's text is the name of a node and must not contain a slash: {name!r}"
                raise ValueError(message)
            check_path(join_path(path, LOCKS, name))
        self._client = client
        self._port = client.port
        self._path = path
        self._party = join_path(path, PARTY)
        self._choose: Callable[[str, Sequence[str], Sequence[object]], Iterable[object]] | None
        self._choose = partition_func  # type: ignore[assignment]  # items come back to whoever gave them
        self._time_boundary = time_boundary
        self._reaction_time = max_reaction_time
        self.state_change_event = state_change_event
        self._state = PartitionState.ALLOCATING
        self._state_id = 0
        self._changes = self._port.event()
        self._patience = Patience(self._port, None, timed_out=_Over, cancelled=_Over)
        self._released = False
        self._node = ""
        self._guid = self._port.guid()
        self._session_id: int | None = None
        self._locks: dict[str, AsyncLock] = {}
        self._task = self._port.spawn(self._run(), f"partitioner {path}")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._path!r} {self.state.lower()}, {len(self._locks)} items>"

    def __iter__(self) -> Iterator[object]:
        """The items that are ours; none unless `acquired`."""
        return iter([self._items[name] for name in self._locks] if self.acquired else [])

    # What it knows

    @property
    def state(self) -> PartitionState:
        """Where it stands. Never ACQUIRED or RELEASE once the lease has ended."""
        if self._state in (PartitionState.ACQUIRED, PartitionState.RELEASE) and not self._is_held():
            self._patience.cancel()  # It stays so, even if the session turns out to be alive.
            return PartitionState.FAILURE
        return self._state

    @property
    def state_id(self) -> int:
        """How often the state has changed."""
        return self._state_id

    @property
    def identifier(self) -> str:
        """Who we are in the group."""
        return self._identifier

    @property
    def allocating(self) -> bool:
        """Whether the share is still being agreed on."""
        return self.state is PartitionState.ALLOCATING

    @property
    def acquired(self) -> bool:
        """Whether the items may be worked on."""
        return self.state is PartitionState.ACQUIRED

    @property
    def release(self) -> bool:
        """Whether the group has changed: stop working, then call `release_set`."""
        return self.state is PartitionState.RELEASE

    @property
    def failed(self) -> bool:
        """Whether it is over: stop working. Make another to join again."""
        return self.state is PartitionState.FAILURE

    def token(self, item: object) -> int:
        """The fencing token of one of our items, greater than any earlier one's; LockLostError when it is not ours."""
        token = self._lock(item).token
        if token is None:
            raise LockLostError(join_path(self._path, LOCKS, str(item)), "it was lost")
        return token

    def guard(self, item: object) -> CheckVersionRequest:
        """An operation that lets a transaction succeed only while the item is ours; LockLostError when it is not."""
        return self._lock(item).guard()

    def _lock(self, item: object) -> AsyncLock:
        lock = self._locks.get(str(item)) if self.acquired or self.release else None
        if lock is None:
            raise LockLostError(join_path(self._path, LOCKS, str(item)), "it is not in our share")
        return lock

    # What its owner does

    async def wait_for_acquire(self, timeout: float | None = 30) -> bool:
        """Wait while it is allocating, for `timeout` seconds at most; whether it has acquired."""
        check_timeout(timeout)
        deadline = None if timeout is None else self._port.now() + timeout
        while self.allocating:
            remaining = None if deadline is None else deadline - self._port.now()
            if remaining is not None and remaining <= 0:
                break
            await self._changes.wait(remaining)
            self._changes.clear()
        return self.acquired

    def release_set(self) -> None:
        """Say that work on the items has stopped. In the state RELEASE they are given up; otherwise nothing happens."""
        if self._state is PartitionState.RELEASE:
            self._released = True
            self._patience.wake.set()

    async def finish(self) -> None:
        """Give everything up and leave the group; the state is FAILURE then. Waits at most a few seconds."""
        self._patience.cancel()
        await self._task.join()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Finish."""
        await self.finish()

    # The body

    async def _run(self) -> None:
        try:
            await self._join()
            while True:
                members = await self._settled()
                watch = await self._take(members)
                if watch is not None:
                    await self._work(watch)
                await self._give_up()
                self._enter(PartitionState.ALLOCATING)
        except _Over:
            pass
        except SessionClosedError:
            log.info("partitioner %s: the client was stopped", self._path)
        except Exception:
            log.exception("partitioner %s failed", self._path)
        finally:
            self._enter(PartitionState.FAILURE)
            self._patience.end()
            await self._port.shielded(self._leave())

    async def _join(self) -> None:
        name = f"{self._guid}-{self._identifier}"
        while True:
            self._patience.check()
            self._session_id = self._port.session_id
            try:
                self._node, stat = await self._port.create_with_stat(
                    join_path(self._party, name),
                    self._identifier.encode(),
                    ephemeral=True,
                    makepath=True,
                    unique=True,
                )
            except PASSING as error:
                self._abandon()
                self._guid = self._port.guid()
                name = f"{self._guid}-{self._identifier}"
                log.debug("partitioner %s: joining again after %r", self._path, error)
                await self._patience.pause()
            else:
                self._session_id = stat.ephemeral_owner
                return

    async def _members(self) -> tuple[list[str], PortWatcher]:
        """The names of everybody in the group, ours among them, and the watch that tells of a change; or it is over."""
        while True:
            self._check()
            watch = self._port.watcher(self._patience.wake)
            names: list[str] = []
            is_there = False
            try:
                names = await self._port.get_children(self._party, watch)
                is_there = split_path(self._node)[1] in names
            except NoNodeError:
                pass
            except PASSING as error:
                log.debug("partitioner %s: looking again after %r", self._path, error)
                await self._patience.pause()
                continue
            finally:
                if not is_there:
                    await self._port.shielded(watch.close())
            if not is_there:
                raise _Over
            return sorted(names, key=lambda name: (name.partition("-")[2], name)), watch

    async def _settled(self) -> list[str]:
        """Wait until the group has not changed for a while, and return it."""
        while True:
            names, watch = await self._members()
            try:
                quiet = self._port.now() + self._time_boundary
                while watch.event is None and (left := quiet - self._port.now()) > 0:
                    await self._patience.sleep(left)
                    self._check()
                if watch.event is None:
                    return names
            finally:
                await self._port.shielded(watch.close())

    async def _take(self, members: list[str]) -> PortWatcher | None:
        """Lock what is ours in this group; the watch that tells of its change, or None if it has changed meanwhile."""
        names, watch = await self._members()
        taken = False
        try:
            if names != members:
                return None
            for name in self._share(members):
                lock = AsyncLock(self._client, join_path(self._path, LOCKS, name), self._identifier)
                while watch.event is None:
                    self._check()
                    try:
                        await lock.acquire(timeout=self._reaction_time)
                    except LockTimeout:
                        continue
                    self._locks[name] = lock
                    break
            self._check()
            taken = watch.event is None
            return watch if taken else None
        finally:
            if not taken:
                await self._port.shielded(watch.close())

    def _share(self, members: list[str]) -> list[str]:
        if self._choose is None:
            position = members.index(split_path(self._node)[1])
            return sorted(self._items)[position :: len(members)]
        identifiers = [name.partition("-")[2] for name in members]
        chosen = self._choose(self._identifier, identifiers, list(self._items.values()))
        names = list(dict.fromkeys(str(item) for item in chosen))
        if foreign := [name for name in names if name not in self._items]:
            message = f"partition_func chose {foreign}, which is not in the set"
            raise ValueError(message)
        return names

    async def _work(self, watch: PortWatcher) -> None:
        """Let the owner work until the group changes, then until it has stopped."""
        try:
            self._enter(PartitionState.ACQUIRED)
            while watch.event is None:
                await self._rest()
            self._released = False
            self._enter(PartitionState.RELEASE)
            while not self._released:
                await self._rest()
        finally:
            await self._port.shielded(watch.close())

    async def _rest(self) -> None:
        """Wait for a change, at the latest until the lease would end."""
        await self._patience.sleep(max(self._port.lease_remaining, 0.0))
        self._check()
        if not self._is_held():
            raise _Over

    async def _give_up(self) -> None:
        """Release every lock; whatever cannot be released now goes in the background."""
        while self._locks:
            _, lock = self._locks.popitem()
            try:
                await lock.release()
            except ZooKeeperError as error:
                log.warning("partitioner %s: cannot release %r: %s", self._path, lock, error)

    async def _leave(self) -> None:
        await self._give_up()
        port = self._port
        try:
            if self._node and port.state is SessionState.CONNECTED and port.session_id == self._session_id:
                await port.until(port.now() + LEAVE_BOUND).delete(self._node)
                return
        except NoNodeError:
            return
        except ZooKeeperError as error:
            log.debug("partitioner %s: leaving in the background after %r", self._path, error)
        self._abandon()

    def _abandon(self) -> None:
        """Have the client remove our node, of the session it was asked for in, or of the one that has come since."""
        for session in {self._session_id, self._port.session_id}:
            if session is not None:
                self._port.background_delete(self._party, self._guid, session)

    def _check(self) -> None:
        """End the body when it was finished, or our node's session is over."""
        self._patience.check()
        if self._session_id is not None and self._port.session_id != self._session_id:
            raise _Over

    def _is_held(self) -> bool:
        return self._port.lease_remaining > 0 and all(lock.is_acquired for lock in self._locks.values())

    def _enter(self, state: PartitionState) -> None:
        if state is not self._state:
            self._state = state
            self._state_id += 1
            self._changes.set()
            if self.state_change_event is not None:
                try:
                    self.state_change_event.set()
                except Exception:
                    log.exception("partitioner %s: state_change_event raised", self._path)


class SetPartitioner(Face[AsyncSetPartitioner]):
    """A share of a set, agreed on with the others of a group (threads and gevent).

    The blocking face of AsyncSetPartitioner, which says what the parameters mean and what holds::

        partitioner = SetPartitioner(client, "/app/queues", ["a", "b", "c"])
        while not partitioner.failed:
            if partitioner.release:
                partitioner.release_set()
            elif partitioner.acquired:
                for queue in partitioner:
                    work_on(queue)
            else:
                partitioner.wait_for_acquire()
    """

    def __init__(
        self,
        client: HasPort,
        path: str,
        set: Iterable[T],  # noqa: A002 - kazoo's name for it
        partition_func: Callable[[str, Sequence[str], Sequence[T]], Iterable[T]] | None = None,
        identifier: str | None = None,
        time_boundary: float = 30,
        max_reaction_time: float = 1,
        state_change_event: Flag | None = None,
    ) -> None:
        super().__init__(
            AsyncSetPartitioner(
                client, path, set, partition_func, identifier, time_boundary, max_reaction_time, state_change_event
            )
        )

    def __iter__(self) -> Iterator[object]:
        """The items that are ours; none unless `acquired`."""
        return iter(self._body)

    state = attribute(AsyncSetPartitioner, lambda partitioner: partitioner.state)
    state_id = attribute(AsyncSetPartitioner, lambda partitioner: partitioner.state_id)
    identifier = attribute(AsyncSetPartitioner, lambda partitioner: partitioner.identifier)
    allocating = attribute(AsyncSetPartitioner, lambda partitioner: partitioner.allocating)
    acquired = attribute(AsyncSetPartitioner, lambda partitioner: partitioner.acquired)
    release = attribute(AsyncSetPartitioner, lambda partitioner: partitioner.release)
    failed = attribute(AsyncSetPartitioner, lambda partitioner: partitioner.failed)
    token = direct(AsyncSetPartitioner.token)
    guard = direct(AsyncSetPartitioner.guard)
    wait_for_acquire = blocking(AsyncSetPartitioner.wait_for_acquire)
    release_set = direct(AsyncSetPartitioner.release_set)
    finish = blocking(AsyncSetPartitioner.finish)

    @property
    def state_change_event(self) -> Flag | None:
        """What is raised at every change of state."""
        return self._body.state_change_event

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Finish."""
        self.finish()
