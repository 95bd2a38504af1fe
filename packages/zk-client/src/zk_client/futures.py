"""Every operation begun at once, with a future of its result: the same in every world.

Rule: one line per method. What an operation is, and raises, stands in `requests`, under the name without `_async`. A
future is the request itself, with no task or thread of its own, so that a thousand of them cost little more than what
they send. It is waited for by `result()` under threads and gevent, and awaited under asyncio, any number of times. The
client's `call_timeout` does not bound it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from . import steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any, Literal, TypeAlias, TypeVar, overload

    from zk_wire import ACL, ClientInfo, Stat

    from .async_port import AsyncWatcher
    from .calls import Call
    from .operations import Operations
    from .port import Port
    from .states import WatchedEvent
    from .watching import Watcher

    Watch: TypeAlias = Callable[[WatchedEvent], object] | Watcher | AsyncWatcher
    T = TypeVar("T")
else:
    from ._typing import overload


class Futures(ABC):
    """The operations whose results are waited for later."""

    operations: Operations

    @property
    @abstractmethod
    def _steps_port(self) -> Port:
        """What bodies await here."""

    @abstractmethod
    def _submit(self, call: Call[T]) -> Call[T]:
        """Send a request, and return it as the future it is."""

    @abstractmethod
    def _body_async(self, path: str, body: Coroutine[object, None, T]) -> Call[T]:
        """Take steps beside the caller, and return the future of what they come to."""

    @abstractmethod
    async def _reply(self, call: Call[T]) -> T:
        """In a body: wait for the result of a request that was begun."""

    # Reading

    def get_async(self, path: str, watch: Watch | None = None) -> Call[tuple[bytes | None, Stat]]:
        """As `get`, returning a future at once."""
        return self._submit(self.operations.get(path, watch))

    def exists_async(self, path: str, watch: Watch | None = None) -> Call[Stat | None]:
        """As `exists`, returning a future at once."""
        return self._submit(self.operations.exists(path, watch))

    @overload
    def get_children_async(
        self, path: str, watch: Watch | None = None, include_data: Literal[False] = False
    ) -> Call[list[str]]: ...

    @overload
    def get_children_async(
        self, path: str, watch: Watch | None = None, *, include_data: Literal[True]
    ) -> Call[tuple[list[str], Stat]]: ...

    def get_children_async(self, path: str, watch: Watch | None = None, include_data: bool = False) -> Call[Any]:
        """As `get_children`, returning a future at once."""
        return self._submit(self._children(path, watch, include_data))

    def get_acls_async(self, path: str) -> Call[tuple[list[ACL], Stat]]:
        """As `get_acls`, returning a future at once."""
        return self._submit(self.operations.get_acls(path))

    def get_all_children_number_async(self, path: str) -> Call[int]:
        """As `get_all_children_number`, returning a future at once."""
        return self._submit(self.operations.get_all_children_number(path))

    def get_ephemerals_async(self, prefix: str = "/") -> Call[list[str]]:
        """As `get_ephemerals`, returning a future at once."""
        return self._submit(self.operations.get_ephemerals(prefix))

    def whoami_async(self) -> Call[list[ClientInfo]]:
        """As `whoami`, returning a future at once."""
        return self._submit(self.operations.whoami())

    def sync_async(self, path: str) -> Call[str]:
        """As `sync`, returning a future at once."""
        return self._submit(self.operations.sync(path))

    def get_config_async(self, watch: Watch | None = None) -> Call[tuple[bytes | None, Stat]]:
        """As `get_config`, returning a future at once."""
        return self._submit(self.operations.get_config(watch))

    # Writing

    @overload
    def create_async(
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
    ) -> Call[str]: ...

    @overload
    def create_async(
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
    ) -> Call[tuple[str, Stat]]: ...

    def create_async(
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
    ) -> Call[Any]:
        """As `create`, returning a future at once."""
        call = self._create(path, value, acl, ephemeral, sequence, include_data, container, ttl, unique)
        self._submit(call)
        if not makepath:
            return call
        first = [call]

        async def again() -> str | tuple[str, Stat]:
            if first:
                return await self._reply(first.pop())
            return await self._reply(
                self._submit(self._create(path, value, acl, ephemeral, sequence, include_data, container, ttl, unique))
            )

        body = steps.create_with_parents(self._steps_port, path, acl, again)
        return self._body_async(path, body)

    def set_async(self, path: str, value: bytes | None, version: int = -1) -> Call[Stat]:
        """As `set`, returning a future at once."""
        return self._submit(self.operations.set(path, value, version))

    def delete_async(self, path: str, version: int = -1, recursive: bool = False) -> Call[None]:
        """As `delete`, returning a future at once."""
        if recursive:
            self.operations.check_recursive(path, version)
            return self._body_async(path, steps.delete_recursive(self._steps_port, path))
        return self._submit(self.operations.delete(path, version))

    def set_acls_async(self, path: str, acls: Sequence[ACL], version: int = -1) -> Call[Stat]:
        """As `set_acls`, returning a future at once."""
        return self._submit(self.operations.set_acls(path, acls, version))

    def ensure_path_async(self, path: str, acl: Sequence[ACL] | None = None) -> Call[str]:
        """As `ensure_path`, returning a future at once."""
        self.operations.full(path)
        return self._body_async(path, steps.ensure_path(self._steps_port, path, acl))

    def reconfig_async(
        self,
        joining: str | None = None,
        leaving: str | None = None,
        new_members: str | None = None,
        from_config: int = -1,
    ) -> Call[tuple[bytes | None, Stat]]:
        """As `reconfig`, returning a future at once."""
        return self._submit(self.operations.reconfig(joining, leaving, new_members, from_config))

    # Identity

    def add_auth_async(self, scheme: str, credential: str | bytes) -> Call[None]:
        """As `add_auth`, returning a future at once."""
        return self._submit(self.operations.add_auth(scheme, credential))

    # What is asked for

    def _children(self, path: str, watch: Watch | None, include_data: bool) -> Call[list[str] | tuple[list[str], Stat]]:
        operations = self.operations
        read: Any = operations.get_children_with_stat if include_data else operations.get_children
        call: Call[list[str] | tuple[list[str], Stat]] = read(path, watch)
        return call

    def _create(
        self,
        path: str,
        value: bytes | None,
        acl: Sequence[ACL] | None,
        ephemeral: bool,
        sequence: bool,
        include_data: bool,
        container: bool,
        ttl: float | None,
        unique: bool,
    ) -> Call[str | tuple[str, Stat]]:
        make: Any = self.operations.create_with_stat if include_data else self.operations.create
        call: Call[str | tuple[str, Stat]] = make(
            path, value, acl, ephemeral, sequence, container=container, ttl=ttl, unique=unique
        )
        return call
