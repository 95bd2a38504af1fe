"""The port of a simulated client: what bodies await in a simulation.

Rule: structurally the same as the port of the real client, which is not imported here. Where the real port may do
one thing or another (refuse or queue while disconnected, resolve a lost write or report it as unknown), the seed
chooses, so that bodies are tried with all of them.
"""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING, Generic, TypeVar

from zk_wire import (
    OPEN_ACL_UNSAFE,
    ConnectionLostError,
    CreateMode,
    CreateRequest,
    NoNodeError,
    OperationTimeoutError,
    Outcome,
    SessionExpiredError,
    ZooKeeperError,
    join_path,
    split_path,
)

from .sim import TaskCancelled
from .simserver import RefusedTransaction
from .simwatch import SimulatedSubscription, SimulatedWatcher

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Protocol

    from zk_wire import ACL, Stat

    from .sim import SimulatedEvent, SimulatedTask, Simulation
    from .simclient import SimulatedClient
    from .simserver import SimulatedOperation, SimulatedReadResult, SimulatedResult

T = TypeVar("T")
State = TypeVar("State", bound=str)
WatchEvent = TypeVar("WatchEvent")

if TYPE_CHECKING:

    class SimulatedRead(Protocol[State, WatchEvent]):
        """One of many reads, as the real client's port has it."""

        @property
        def path(self) -> str: ...
        @property
        def children(self) -> bool: ...
        @property
        def watch(self) -> SimulatedWatcher[State, WatchEvent] | None: ...


# How often a port that could resolve a lost write says "unknown" instead.
_UNRESOLVED = 0.25


class SimulatedScope:
    """A stretch of a task's work that is cut short by cancelling the task, as under asyncio."""

    interrupts = True

    def __init__(self, simulation: Simulation) -> None:
        self._task = simulation.current
        self.cancelled = False

    def cancel(self) -> None:
        """Cancel the task that began the scope, unless it has left it."""
        if self._task is not None and not self.cancelled:
            self.cancelled = True
            self._task.cancel()

    async def leave(self, error: BaseException | None) -> bool:
        """End the scope, and take its own cancellation back."""
        task, self._task = self._task, None
        if task is None or not self.cancelled:
            return False
        if isinstance(error, TaskCancelled):
            # Of several cancellations that were asked for, the others are still to come.
            return True
        task.take_back()
        return False


class SimulatedPort(Generic[State, WatchEvent]):
    """What bodies await, with an optional deadline for every request."""

    def __init__(self, client: SimulatedClient[State, WatchEvent], deadline: float | None) -> None:
        self._client = client
        self._simulation = client.simulation
        self._server = client.server
        self._deadline = deadline

    # Requests

    async def create(
        self,
        path: str,
        value: bytes | None = b"",
        acl: Sequence[ACL] | None = None,
        *,
        ephemeral: bool = False,
        sequence: bool = False,
        makepath: bool = False,
        unique: bool = False,
    ) -> str:
        """Create a node and return its path."""
        created, _ = await self.create_with_stat(
            path, value, acl, ephemeral=ephemeral, sequence=sequence, makepath=makepath, unique=unique
        )
        return created

    async def create_with_stat(
        self,
        path: str,
        value: bytes | None = b"",
        acl: Sequence[ACL] | None = None,
        *,
        ephemeral: bool = False,
        sequence: bool = False,
        makepath: bool = False,
        unique: bool = False,
    ) -> tuple[str, Stat]:
        """Create a node and return its path and Stat; *unique* has a lost reply resolved."""

        def apply(session_id: int) -> tuple[str, Stat]:
            return self._server.create(
                session_id, path, value, ephemeral=ephemeral, sequence=sequence, makepath=makepath
            )

        while True:
            session_id = self._client.session_id
            try:
                return await self._request(f"create {path}", path, apply, write=True)
            except ConnectionLostError as lost:
                if not unique or lost.outcome is not Outcome.UNKNOWN or self._simulation.random() < _UNRESOLVED:
                    raise
            found = await self._find(path, session_id)
            if found is not None:
                return found
            if self._simulation.random() < _UNRESOLVED:
                raise ConnectionLostError(path, outcome=Outcome.NOT_APPLIED)

    async def _find(self, path: str, session_id: int | None) -> tuple[str, Stat] | None:
        parent, prefix = split_path(path)

        def look(at: int) -> tuple[str, Stat] | None:
            if at != session_id:
                raise SessionExpiredError(path, outcome=Outcome.UNKNOWN)
            try:
                names = self._server.children(parent)
            except NoNodeError:
                return None
            for name in names:
                stat = self._server.stat(join_path(parent, name))
                if name.startswith(prefix) and stat is not None and stat.ephemeral_owner in (0, session_id):
                    return join_path(parent, name), stat
            return None

        while True:
            try:
                return await self._request(f"find {path}", path, look, write=False)
            except ConnectionLostError:
                await self._pause_until_connected()
            except (SessionExpiredError, OperationTimeoutError) as error:
                # The search was not made, so what is known of the create is still nothing.
                raise type(error)(path, outcome=Outcome.UNKNOWN) from error

    async def delete(self, path: str, version: int = -1) -> None:
        """Delete a node; a lost reply is resolved or said to be unknown, as the seed wants."""
        was_sent = False
        while True:
            try:
                return await self._request(
                    f"delete {path}", path, lambda session: self._server.delete(session, path, version), write=True
                )
            except NoNodeError as error:
                raise NoNodeError(path, outcome=Outcome.UNKNOWN if was_sent else Outcome.NOT_APPLIED) from error
            except (ConnectionLostError, SessionExpiredError, OperationTimeoutError) as lost:
                was_sent = was_sent or lost.outcome is Outcome.UNKNOWN
                if not was_sent or not isinstance(lost, ConnectionLostError) or self._simulation.random() < 0.5:
                    raise type(lost)(path, outcome=Outcome.UNKNOWN if was_sent else lost.outcome) from lost
            await self._pause_until_connected()

    async def exists(self, path: str, watch: SimulatedWatcher[State, WatchEvent] | None = None) -> Stat | None:
        """Return the node's Stat, or None; the watch is left in both cases."""

        def apply(session_id: int) -> Stat | None:
            if watch is not None and watch.may_arm():
                self._server.watch_data(session_id, path, watch)
            return self._server.stat(path)

        return await self._read(f"exists {path}", path, apply, watch)

    async def get(
        self, path: str, watch: SimulatedWatcher[State, WatchEvent] | None = None
    ) -> tuple[bytes | None, Stat]:
        """Return the node's data and Stat."""

        def apply(session_id: int) -> tuple[bytes | None, Stat]:
            result = self._server.get(path)
            if watch is not None and watch.may_arm():
                self._server.watch_data(session_id, path, watch)
            return result

        return await self._read(f"get {path}", path, apply, watch)

    async def set(self, path: str, value: bytes | None, version: int = -1) -> Stat:
        """Replace the node's data."""
        return await self._request(
            f"set {path}", path, lambda session: self._server.set(session, path, value, version), write=True
        )

    async def get_children(self, path: str, watch: SimulatedWatcher[State, WatchEvent] | None = None) -> list[str]:
        """Return the names of the node's children."""

        def apply(session_id: int) -> list[str]:
            result = self._server.children(path)
            if watch is not None and watch.may_arm():
                self._server.watch_children(session_id, path, watch)
            return result

        return await self._read(f"get_children {path}", path, apply, watch)

    async def sync(self, path: str) -> str:
        """A round trip: there is one server."""
        return await self._request(f"sync {path}", path, lambda _: path, write=False)

    async def ensure_path(self, path: str, acl: Sequence[ACL] | None = None) -> None:
        """Create the node and its parents where they are missing."""
        await self._request(f"ensure {path}", path, lambda _: self._server.ensure_path(path), write=True)

    async def commit(
        self, operations: Sequence[SimulatedOperation], *, marker: str | None = None
    ) -> list[SimulatedResult]:
        """Apply all operations or none; with a marker a lost reply is resolved while the session lives."""
        witness = None if marker is None else f"{marker}/{self.guid()}"
        sent = list(operations)
        if witness is not None:
            sent.append(CreateRequest(witness, b"", OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL))

        def apply(session_id: int) -> list[SimulatedResult]:
            try:
                return self._server.commit(session_id, sent)
            except RefusedTransaction as refused:
                raise self._client.vocabulary.refused(refused.index, refused.results) from refused

        session_id = self._client.session_id
        try:
            return (await self._request("commit", None, apply, write=True))[: len(operations)]
        except ConnectionLostError as lost:
            if witness is None or lost.outcome is not Outcome.UNKNOWN:
                raise
            session_id = self._client.session_id if session_id is None else session_id
            if await self._find(witness, session_id) is None:
                raise ConnectionLostError(outcome=Outcome.NOT_APPLIED) from lost
            # What the operations have given is gone with the reply.
            raise ConnectionLostError(outcome=Outcome.APPLIED) from lost
        finally:
            if marker is not None and witness is not None:
                for session in {session_id, self._client.session_id}:
                    if session is not None:
                        self.background_delete(marker, split_path(witness)[1], session)

    async def read_many(self, reads: Sequence[SimulatedRead[State, WatchEvent]]) -> list[SimulatedReadResult]:
        """Read many nodes: some at a time, as the seed wants, and each that leaves a watch by itself."""
        results: list[SimulatedReadResult] = []
        while len(results) < len(reads):
            read = reads[len(results)]
            if read.watch is not None:
                ask = self.get_children if read.children else self.get
                try:
                    results.append(await ask(read.path, read.watch))
                except NoNodeError as error:
                    results.append(error)
                continue
            here = len(results)
            some = reads[here : here + 1 + int(self._simulation.random() * 4)]
            pack = list(itertools.takewhile(lambda read: read.watch is None, some))

            def apply(_: int, pack: list[SimulatedRead[State, WatchEvent]] = pack) -> list[SimulatedReadResult]:
                return [self._server.read(read.path, children=read.children) for read in pack]

            results += await self._request(f"read {len(pack)} from {read.path}", read.path, apply, write=False)
        return results

    # Watches

    async def watch(
        self, path: str, *, recursive: bool = False, wake: SimulatedEvent | None = None
    ) -> SimulatedSubscription[State, WatchEvent]:
        """Watch a node until told otherwise."""
        watch = SimulatedSubscription(self._client, path, wake)

        def apply(session_id: int) -> None:
            self._server.subscribe(session_id, path, watch, recursive)

        try:
            await self._request(f"watch {path}", path, apply, write=False)
        except BaseException:
            watch.forget()
            raise
        return watch

    # Waiting, time, tasks

    def watcher(self, wake: SimulatedEvent | None = None) -> SimulatedWatcher[State, WatchEvent]:
        """Make a watcher."""
        return SimulatedWatcher(self._client, wake)

    def event(self) -> SimulatedEvent:
        """Make an event."""
        return self._simulation.event()

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass, at most until the deadline."""
        if self._deadline is not None:
            seconds = min(seconds, self._deadline - self.now())
        await self._simulation.sleep(seconds)

    def now(self) -> float:
        """Virtual seconds."""
        return self._simulation.now()

    def chance(self) -> float:
        """A number of the seed's in [0, 1)."""
        return self._simulation.random()

    def until(self, deadline: float | None) -> SimulatedPort[State, WatchEvent]:
        """Return this port with a deadline for every request."""
        return SimulatedPort(self._client, deadline)

    def spawn(self, body: Coroutine[object, None, T], name: str) -> SimulatedTask[T]:
        """Run a body beside this one, in the same client."""
        return self._simulation.spawn(body, f"{self._client.name}: {name}", home=self._client)

    def scope(self) -> SimulatedScope:
        """Begin a scope of the running task."""
        return SimulatedScope(self._simulation)

    async def shielded(self, body: Coroutine[object, None, T]) -> T:
        """Run a body to its end even when the caller is cancelled."""
        return await self.spawn(body, "shielded").join()

    # Clean-up and identity

    def background_delete(self, parent: str, name_prefix: str, session_id: int) -> None:
        """Keep deleting children of *parent* that begin with *name_prefix* until none is left or the session ended."""
        port = self.until(None)
        if self._server.is_alive(session_id):
            port.spawn(port._delete_all(parent, name_prefix, session_id), f"background delete {name_prefix}")

    async def _delete_all(self, parent: str, name_prefix: str, session_id: int) -> None:
        while self._client.session_id == session_id:
            try:
                for name in await self.get_children(parent):
                    if name.startswith(name_prefix) and self._client.session_id == session_id:
                        with contextlib.suppress(NoNodeError):
                            await self.delete(join_path(parent, name))
                break
            except NoNodeError:
                break
            except ZooKeeperError:
                await self._pause_until_connected()

    def guid(self) -> str:
        """Return 32 hex digits of the seed."""
        return self._simulation.guid()

    def caller(self) -> object | None:
        """Return the running task."""
        return self._simulation.current

    # The session

    @property
    def session_id(self) -> int | None:
        """The session's id."""
        return self._client.session_id

    @property
    def state(self) -> State:
        """The session's state."""
        return self._client.state

    @property
    def lease_remaining(self) -> float:
        """Virtual seconds for which the server cannot have expired the session."""
        return self._client.lease_remaining

    def add_listener(self, listener: Callable[[State], None]) -> None:
        """Have *listener* called with every new state."""
        self._client.listeners.append(listener)

    def remove_listener(self, listener: Callable[[State], None]) -> None:
        """Stop calling *listener*."""
        if listener in self._client.listeners:
            self._client.listeners.remove(listener)

    # Inside

    async def _request(self, what: str, path: str | None, apply: Callable[[int], T], *, write: bool) -> T:
        return await self._client.request(what, path, apply, self._deadline, write=write)

    async def _read(
        self, what: str, path: str, apply: Callable[[int], T], watch: SimulatedWatcher[State, WatchEvent] | None
    ) -> T:
        if watch is not None:
            watch.use(path)
        try:
            return await self._request(what, path, apply, write=False)
        except ZooKeeperError:
            # A read that failed leaves no watch. (One whose caller went away does: its caller closes it.)
            if watch is not None:
                watch.forget()
            raise

    async def _pause_until_connected(self) -> None:
        if self._client.is_connected:
            await self._simulation.pause()
        else:
            remaining = None if self._deadline is None else self._deadline - self.now()
            await self._client.reconnected.wait(remaining)
