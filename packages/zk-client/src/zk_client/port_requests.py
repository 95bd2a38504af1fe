"""The requests of a port, the same in every world: each is one call, or a few in steps, that `_run` waits for.

Rule: one line per request; what a body may rely on stands in `port`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from zk_wire import UnimplementedError

from . import steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypeVar

    from zk_wire import ACL, Stat

    from .base import ClientBase
    from .calls import Call
    from .port import Event, Operation, OperationResult, Read
    from .states import SessionState
    from .subscription import Subscription
    from .transactions import ReadResult

    T = TypeVar("T")


class PortRequests(ABC):
    """What a port asks a server for, and what it knows of the session."""

    def __init__(self, client: ClientBase) -> None:
        self._base = client
        self._operations = client.operations

    @abstractmethod
    async def _run(self, call: Call[T]) -> T:
        """Send a request and wait for its result, not beyond the port's deadline."""

    @abstractmethod
    def guid(self) -> str:
        """Return 32 hex digits that nobody else has."""

    @abstractmethod
    async def _result(self, call: Call[T], since: float) -> T:
        """Wait for the result of a request that was sent, not beyond the port's deadline."""

    @abstractmethod
    def _submit(self, call: Call[Any]) -> None:
        """Send a request; `_result` waits for it."""

    @abstractmethod
    def _abandon(self, call: Call[Any]) -> None:
        """Nobody waits for a request any more."""

    @abstractmethod
    def event(self) -> Event:
        """Make an event, with its flag down."""

    @abstractmethod
    def now(self) -> float:
        """Seconds on the monotonic clock."""

    async def _run_all(self, calls: Sequence[Call[Any]]) -> list[Any]:
        """Send requests, so many at a time, and wait for all; errors of a node are values."""
        from . import reading

        since = self.now()
        window = self._base.window(reading.WINDOW)
        results: list[Any] = []
        sent = 0
        try:
            for number, call in enumerate(calls):
                while sent < len(calls) and sent < number + window:
                    self._submit(calls[sent])
                    sent += 1
                try:
                    results.append(await self._result(call, since))
                except reading.OF_A_NODE as error:
                    results.append(error)
        except BaseException:
            for call in calls[len(results) : sent]:
                self._abandon(call)
            raise
        return results

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

        async def create() -> str:
            return await self._run(self._operations.create(path, value, acl, ephemeral, sequence, unique=unique))

        return await (steps.create_with_parents(self, path, acl, create) if makepath else create())

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
        """Create a node and return its path and Stat."""

        async def create() -> tuple[str, Stat]:
            return await self._run(
                self._operations.create_with_stat(path, value, acl, ephemeral, sequence, unique=unique)
            )

        return await (steps.create_with_parents(self, path, acl, create) if makepath else create())

    async def delete(self, path: str, version: int = -1) -> None:
        """Delete a node without children."""
        await self._run(self._operations.delete(path, version))

    async def exists(self, path: str, watch: Any = None) -> Stat | None:
        """Return the node's Stat, or None."""
        return await self._run(self._operations.exists(path, watch))

    async def get(self, path: str, watch: Any = None) -> tuple[bytes | None, Stat]:
        """Return the node's data and Stat."""
        return await self._run(self._operations.get(path, watch))

    async def set(self, path: str, value: bytes | None, version: int = -1) -> Stat:
        """Replace the node's data and return its new Stat."""
        return await self._run(self._operations.set(path, value, version))

    async def get_children(self, path: str, watch: Any = None) -> list[str]:
        """Return the names of the node's children."""
        return await self._run(self._operations.get_children(path, watch))

    async def read_many(self, reads: Sequence[Read]) -> list[ReadResult]:
        """Read many nodes in few round trips."""
        from . import reading

        operations = self._operations
        results: list[Any] = [None] * len(reads)
        alone = list(range(len(reads)))
        packs = reading.packs(reads) if self._base.reads_in_packs else []
        if packs:
            calls = [reading.packed(operations, [reads[place] for place in pack]) for pack in packs]
            try:
                for pack, answer in zip(packs, await self._run_all(calls), strict=True):
                    for place, value in zip(pack, reading.values(answer), strict=True):
                        results[place] = value
                alone = [place for place in alone if reads[place].watch is not None]
            except UnimplementedError:
                # A server older than 3.6, which ends the connection; the next one may be newer, but any can do this.
                self._base.reads_in_packs = False
        for place, value in zip(
            alone, await self._run_all([reading.single(operations, reads[place]) for place in alone]), strict=True
        ):
            results[place] = value
        return results

    async def sync(self, path: str) -> str:
        """Bring the connected server up to date with the leader."""
        return await self._run(self._operations.sync(path))

    async def ensure_path(self, path: str, acl: Sequence[ACL] | None = None) -> None:
        """Create the node and its parents where they are missing."""
        await steps.ensure_path(self, path, acl)

    async def commit(self, operations: Sequence[Operation], *, marker: str | None = None) -> list[OperationResult]:
        """Apply all operations or none; a marker tells what became of them."""
        from .transactions import Draft

        guid = self.guid() if marker is not None else ""
        draft = Draft(self._operations, self._operations.default_acl, marker, guid)
        for operation in operations:
            draft.add(operation)
        return await self._run(draft.call())

    # Watches

    async def watch(self, path: str, *, recursive: bool = False, wake: Event | None = None) -> Subscription:
        """Watch a node until told otherwise."""
        from .subscription import Subscription

        watch = Subscription(path, self.event(), self._base.forget_watcher, wake)
        try:
            await self._run(self._base._watch_call(path, watch, recursive))
        except BaseException:
            await watch.close()
            raise
        return watch

    # The session

    @property
    def session_id(self) -> int | None:
        """The session's id; None before there is one."""
        return self._base.session_id

    @property
    def state(self) -> SessionState:
        """The session's state."""
        return self._base.core_state

    @property
    def lease_remaining(self) -> float:
        """Seconds for which the server cannot have expired the session."""
        return self._base.lease_remaining

    def add_listener(self, listener: Callable[[SessionState], None]) -> None:
        """Have a listener called with every new state."""
        self._base.add_listener(listener)

    def remove_listener(self, listener: Callable[[SessionState], None]) -> None:
        """Stop calling a listener."""
        self._base.remove_listener(listener)
