"""Every operation of the asyncio client: what `requests` offers, awaited.

Rule: one line per method, with the signature and the text of its blocking twin. What an operation sends stands in
`operations`, what it does in steps in `steps`.

Common to all of them, beside what `requests` says: an operation begins when it is awaited, or run as a task; its twin
in `futures` begins at once, and needs no task. Requests reach the server in the order in which they began. A cancelled
one leaves the session as it was: it is not sent any more if it was not yet; otherwise its reply is consumed, and a
sequential node that it has made is deleted again.
"""

from __future__ import annotations

from abc import abstractmethod

from . import steps
from .futures import Futures
from .requests import Requests

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import Any, Literal, TypeAlias, TypeVar, overload

    from zk_wire import ACL, ClientInfo, Stat

    from .async_port import AsyncPort, AsyncWatcher
    from .async_transactions import AsyncReadBatch, AsyncTransaction
    from .calls import Call
    from .port import Port
    from .states import WatchedEvent

    Watch: TypeAlias = Callable[[WatchedEvent], object] | AsyncWatcher
    T = TypeVar("T")
    F = TypeVar("F", bound=Callable[..., object])
else:
    from ._typing import overload


def like(twin: Callable[..., object]) -> Callable[[F], F]:
    """Give a method the text of its twin in the blocking client."""

    def describe(method: F) -> F:
        method.__doc__ = twin.__doc__
        return method

    return describe


class AsyncRequests(Futures):
    """The operations; `AsyncClient` adds the session."""

    port: AsyncPort
    _default_acl: Sequence[ACL] | None

    @abstractmethod
    def _run(self, call: Call[T]) -> Awaitable[T]:
        """Send a request; its result is awaited."""

    @property
    def _steps_port(self) -> Port:
        return self.port

    async def _reply(self, call: Call[T]) -> T:
        return await call

    # Reading

    @like(Requests.get)
    async def get(self, path: str, watch: Watch | None = None) -> tuple[bytes | None, Stat]:
        return await self._run(self.operations.get(path, watch))

    @like(Requests.exists)
    async def exists(self, path: str, watch: Watch | None = None) -> Stat | None:
        return await self._run(self.operations.exists(path, watch))

    @overload
    async def get_children(
        self, path: str, watch: Watch | None = None, include_data: Literal[False] = False
    ) -> list[str]: ...
    @overload
    async def get_children(
        self, path: str, watch: Watch | None = None, *, include_data: Literal[True]
    ) -> tuple[list[str], Stat]: ...
    @like(Requests.get_children)
    async def get_children(
        self, path: str, watch: Watch | None = None, include_data: bool = False
    ) -> list[str] | tuple[list[str], Stat]:
        read: Any = self.operations.get_children_with_stat if include_data else self.operations.get_children
        return await self._run(read(path, watch))

    @like(Requests.get_acls)
    async def get_acls(self, path: str) -> tuple[list[ACL], Stat]:
        return await self._run(self.operations.get_acls(path))

    @like(Requests.get_all_children_number)
    async def get_all_children_number(self, path: str) -> int:
        return await self._run(self.operations.get_all_children_number(path))

    @like(Requests.get_ephemerals)
    async def get_ephemerals(self, prefix: str = "/") -> list[str]:
        return await self._run(self.operations.get_ephemerals(prefix))

    @like(Requests.whoami)
    async def whoami(self) -> list[ClientInfo]:
        return await self._run(self.operations.whoami())

    @like(Requests.sync)
    async def sync(self, path: str) -> str:
        return await self._run(self.operations.sync(path))

    @like(Requests.get_config)
    async def get_config(self, watch: Watch | None = None) -> tuple[bytes | None, Stat]:
        return await self._run(self.operations.get_config(watch))

    @like(Requests.multi_read)
    def multi_read(self) -> AsyncReadBatch:
        from .async_transactions import AsyncReadBatch

        return AsyncReadBatch(self.operations, self._run)

    # Writing

    @overload
    async def create(
        self,
        path: str,
        value: bytes | None = b"",
        acl: Sequence[ACL] | None = None,
        ephemeral: bool = False,
        sequence: bool = False,
        makepath: bool = False,
        include_data: Literal[False] = False,
        *,
        container: bool = False,
        ttl: float | None = None,
        unique: bool = False,
    ) -> str: ...
    @overload
    async def create(
        self,
        path: str,
        value: bytes | None = b"",
        acl: Sequence[ACL] | None = None,
        ephemeral: bool = False,
        sequence: bool = False,
        makepath: bool = False,
        *,
        include_data: Literal[True],
        container: bool = False,
        ttl: float | None = None,
        unique: bool = False,
    ) -> tuple[str, Stat]: ...
    @like(Requests.create)
    async def create(
        self,
        path: str,
        value: bytes | None = b"",
        acl: Sequence[ACL] | None = None,
        ephemeral: bool = False,
        sequence: bool = False,
        makepath: bool = False,
        include_data: bool = False,
        *,
        container: bool = False,
        ttl: float | None = None,
        unique: bool = False,
    ) -> str | tuple[str, Stat]:
        make: Any = self.operations.create_with_stat if include_data else self.operations.create

        async def create() -> Any:
            return await self._run(
                make(path, value, acl, ephemeral, sequence, container=container, ttl=ttl, unique=unique)
            )

        return await (steps.create_with_parents(self.port, path, acl, create) if makepath else create())

    @like(Requests.set)
    async def set(self, path: str, value: bytes | None, version: int = -1) -> Stat:
        return await self._run(self.operations.set(path, value, version))

    @like(Requests.delete)
    async def delete(self, path: str, version: int = -1, recursive: bool = False) -> None:
        if recursive:
            self.operations.check_recursive(path, version)
            await steps.delete_recursive(self.port, path)
        else:
            await self._run(self.operations.delete(path, version))

    @like(Requests.set_acls)
    async def set_acls(self, path: str, acls: Sequence[ACL], version: int = -1) -> Stat:
        return await self._run(self.operations.set_acls(path, acls, version))

    @like(Requests.ensure_path)
    async def ensure_path(self, path: str, acl: Sequence[ACL] | None = None) -> str:
        self.operations.full(path)
        return await steps.ensure_path(self.port, path, acl)

    @like(Requests.transaction)
    def transaction(self, *, marker: str | None = None) -> AsyncTransaction:
        from .async_transactions import AsyncTransaction

        guid = self.port.guid() if marker is not None else ""
        return AsyncTransaction(self.operations, self._run, self._default_acl, marker, guid)

    @like(Requests.reconfig)
    async def reconfig(
        self,
        joining: str | None = None,
        leaving: str | None = None,
        new_members: str | None = None,
        from_config: int = -1,
    ) -> tuple[bytes | None, Stat]:
        return await self._run(self.operations.reconfig(joining, leaving, new_members, from_config))

    # Identity

    @like(Requests.add_auth)
    async def add_auth(self, scheme: str, credential: str | bytes) -> None:
        await self._run(self.operations.add_auth(scheme, credential))
