"""The requests of a port, the same in every world: each is one call, or a few in steps, that `_run` waits for.

Rule: one line per request; what a body may rely on stands in `port`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from . import steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypeVar

    from zk_wire import ACL, Stat

    from .base import ClientBase
    from .calls import Call
    from .port import Operation, OperationResult
    from .states import SessionState

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
