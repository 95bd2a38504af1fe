"""Every operation of the blocking client; the twins that return a future are in `futures`.

Rule: one line per method. What an operation sends stands in `operations`, what it does in steps in `steps`.

Common to all of them. Paths are absolute, below the client's chroot. Bad arguments raise TypeError or ValueError
(InvalidPathError) before anything is sent. A server's refusal raises the error of its code (NoNodeError, ...), and
nothing was changed. While there is no connection, requests wait for one (`when_disconnected="queue"`) or raise
ConnectionLostError at once ("fail"). When a connection is lost under way, a read is sent again on the next one; a
write is looked up there, and ends as if its reply had come, or raises an error whose `.outcome` says whether it was
applied, not applied, or that this cannot be known. SessionExpiredError: the session ended first.
SessionClosedError: the client is not started, or stopped. CallTimeoutError: `call_timeout` passed.

Safe to call from any thread, and from callbacks of the client.
"""

from __future__ import annotations

from abc import abstractmethod

from . import steps
from .futures import Futures

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from zk_wire import ACL, ClientInfo, Stat

    from .blocking_port import BlockingPort
    from .calls import Call
    from .handlers.blocking import BlockingHandler
    from .port import Port
    from .states import WatchedEvent
    from .transactions import ReadBatch, Transaction
    from .watching import Watcher

    Watch = Callable[[WatchedEvent], object] | Watcher
    from typing import Literal, TypeVar, overload

    T = TypeVar("T")
else:
    from ._typing import overload


class Requests(Futures):
    """The operations; `Client` adds the session."""

    handler: BlockingHandler
    call_timeout: float | None
    port: BlockingPort
    _default_acl: Sequence[ACL] | None

    @abstractmethod
    def _run(self, call: Call[T]) -> T:
        """Send a request and wait for its result."""

    @abstractmethod
    def _body(self, body: Coroutine[object, None, T]) -> T:
        """Take steps one after the other, and return what they come to."""

    @property
    def _steps_port(self) -> Port:
        return self.port

    async def _reply(self, call: Call[T]) -> T:
        return call.result()

    # Reading

    def get(self, path: str, watch: Watch | None = None) -> tuple[bytes | None, Stat]:
        """Return a node's data and Stat.

        watch: called once with the first WatchedEvent that concerns the node's data, or a `watcher()`.
        Raises NoNodeError (and leaves no watch), NoAuthError.
        """
        return self.handler.call(self.operations.get(path, watch), self.call_timeout)

    def exists(self, path: str, watch: Watch | None = None) -> Stat | None:
        """Return a node's Stat, or None when there is none; a watch is left in both cases."""
        return self._run(self.operations.exists(path, watch))

    @overload
    def get_children(
        self, path: str, watch: Watch | None = None, include_data: Literal[False] = False
    ) -> list[str]: ...
    @overload
    def get_children(
        self, path: str, watch: Watch | None = None, *, include_data: Literal[True]
    ) -> tuple[list[str], Stat]: ...
    def get_children(
        self, path: str, watch: Watch | None = None, include_data: bool = False
    ) -> list[str] | tuple[list[str], Stat]:
        """Return the names of a node's children, in no order; with `include_data` also the node's own Stat.

        watch: called once when a child is created or deleted, or the node itself is deleted.
        Raises NoNodeError (and leaves no watch), NoAuthError.
        """
        return self._run(self._children(path, watch, include_data))

    def get_acls(self, path: str) -> tuple[list[ACL], Stat]:
        """Return a node's access control list and Stat; without ADMIN permission digests read "user:x"."""
        return self._run(self.operations.get_acls(path))

    def get_all_children_number(self, path: str) -> int:
        """Return how many nodes lie below a node, at any depth (servers of 3.6 and newer)."""
        return self._run(self.operations.get_all_children_number(path))

    def get_ephemerals(self, prefix: str = "/") -> list[str]:
        """Return the paths of this session's ephemeral nodes at or below a path (servers of 3.6 and newer)."""
        return self._run(self.operations.get_ephemerals(prefix))

    def whoami(self) -> list[ClientInfo]:
        """Return the identities the server knows this connection by (servers of 3.7 and newer)."""
        return self._run(self.operations.whoami())

    def sync(self, path: str) -> str:
        """Bring the connected server up to date with the leader, then return the path; later reads see it all.

        The leader answers by itself: perhaps before it has applied what a follower already shows, and one that was
        deposed and has not noticed answers from the past. Where that matters, commit a transaction with nothing but a
        `check` of "/" instead: it takes the quorum.
        """
        return self._run(self.operations.sync(path))

    def get_config(self, watch: Watch | None = None) -> tuple[bytes | None, Stat]:
        """Return the ensemble's configuration (the node /zookeeper/config, whatever the chroot) and its Stat."""
        return self._run(self.operations.get_config(watch))

    def multi_read(self) -> ReadBatch:
        """Begin a batch of reads that travel together (servers of 3.6 and newer)."""
        from .transactions import ReadBatch

        return ReadBatch(self.operations, self._run)

    # Writing

    @overload
    def create(
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
    def create(
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
    def create(
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
        """Create a node and return its path; with `include_data` also its Stat.

        value: bytes, or None for null data.   acl: None for the client's default.
        ephemeral: ends with the session.   sequence: the server appends ten digits.   container: the server
        deletes it once its last child is gone.   ttl: seconds after which the server deletes it when it is unchanged
        and without children; needs extended types enabled on the server.
        makepath: make missing parents first.   unique: you promise that the last component contains a random part of
        your own, so that a lost reply can be resolved for any kind of node, and that nobody else deletes the node
        while this session lives if it is ephemeral.
        Raises NodeExistsError, NoNodeError (the parent is missing), NoChildrenForEphemeralsError, InvalidACLError.
        When a caller leaves before it has learned the name of a sequential node (its time is up, or it was cancelled),
        the client deletes the node again should it be made all the same. A node without a number stays.
        """
        call = self._create(path, value, acl, ephemeral, sequence, include_data, container, ttl, unique)
        if not makepath:
            return self._run(call)

        async def again() -> str | tuple[str, Stat]:
            return self._run(self._create(path, value, acl, ephemeral, sequence, include_data, container, ttl, unique))

        return self._body(steps.create_with_parents(self.port, path, acl, again))

    def set(self, path: str, value: bytes | None, version: int = -1) -> Stat:
        """Replace a node's data and return its new Stat.

        version: the data version the node must have; -1 skips the check.
        Raises NoNodeError, BadVersionError, NoAuthError.
        """
        return self._run(self.operations.set(path, value, version))

    def delete(self, path: str, version: int = -1, recursive: bool = False) -> None:
        """Delete a node.

        version: the data version it must have; -1 skips the check.   recursive: with everything below it, one
        node at a time, not atomically; then `version` must be -1, and what is missing already counts as deleted.
        Raises NoNodeError (its outcome UNKNOWN means: gone, perhaps by this very call, whose reply was lost),
        NotEmptyError, BadVersionError.
        """
        if recursive:
            self.operations.check_recursive(path, version)
            self._body(steps.delete_recursive(self.port, path))
        else:
            self._run(self.operations.delete(path, version))

    def set_acls(self, path: str, acls: Sequence[ACL], version: int = -1) -> Stat:
        """Replace a node's access control list and return its new Stat.

        version: the ACL's own version (`Stat.aversion`); -1 skips the check.
        Raises NoNodeError, BadVersionError, InvalidACLError, NoAuthError.
        """
        return self._run(self.operations.set_acls(path, acls, version))

    def ensure_path(self, path: str, acl: Sequence[ACL] | None = None) -> str:
        """Create a node and its parents where they are missing, and return its path."""
        self.operations.full(path)
        return self._body(steps.ensure_path(self.port, path, acl))

    def transaction(self, *, marker: str | None = None) -> Transaction:
        """Begin a transaction: operations that are applied together or not at all.

        marker: an existing node under which the transaction leaves an ephemeral node for a moment, whose presence
        proves that it was applied when its reply is lost; costs one more request, which nobody waits for.
        When a caller leaves before the reply (its time is up, or it was cancelled), the transaction may be applied all
        the same, and then stays, with any sequential node it has made: to undo a part of it would be a change that
        nobody has asked for. A marker goes.
        """
        from .transactions import Transaction

        guid = self.port.guid() if marker is not None else ""
        return Transaction(self.operations, self._default_acl, marker, guid, self._run)

    def reconfig(
        self,
        joining: str | None = None,
        leaving: str | None = None,
        new_members: str | None = None,
        from_config: int = -1,
    ) -> tuple[bytes | None, Stat]:
        """Change the ensemble's members and return the new configuration and the config node's Stat.

        joining: "server.N=host:port:port;port" lines, comma-separated.   leaving: server numbers, comma-separated.
        new_members: the whole new list instead of both.   from_config: the version to start from; -1 for any.
        Raises ReconfigDisabledError, NewConfigNoQuorumError, ReconfigInProgressError, BadVersionError, NoAuthError.
        """
        return self._run(self.operations.reconfig(joining, leaving, new_members, from_config))

    # Identity

    def add_auth(self, scheme: str, credential: str | bytes) -> None:
        """Add an identity, for example ("digest", "user:password"); it is presented again after each reconnect.

        Raises AuthFailedError, after which the session is over (state AUTH_FAILED).
        """
        self._run(self.operations.add_auth(scheme, credential))
