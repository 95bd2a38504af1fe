"""A group whose members have names and data, and who everybody in it is.

Rule: a member's own entry is a node kept in existence (``persistent_node``); everybody's are a cache of children
(``caches``). Nobody is listed whom the server does not show, oneself neither.

Layout (Curator's GroupMember): ``<path>/<member id>``, ephemeral; data: the member's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zk_client import Face, attribute, blocking, direct, run_blocking
from zk_wire import check_path, join_path

from ._waiting import check_timeout
from .caches import AsyncChildrenCache
from .persistent_node import AsyncPersistentNode

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from zk_client import HasPort

    from ._cache import Listening
    from ._mirror import CacheEvent


class AsyncGroupMembership:
    """A member of a group, and a view of all of it (asyncio, and every other port that suspends).

    client: whatever has a port.   path: the group's node, created when missing.
    member_id: the member's name, unique in the group; whoever else has it is waited for.   data: what the others see.

    Use it as a context manager, which waits until the member is there and the group was read once, or `start`, `wait`
    and `close` it. It costs two tasks (under threads: two threads, one of them shared by all nodes the client keeps).

    What holds, each with the test that keeps it:

    - What `PersistentNode` promises of the member and `ChildrenCache` of the view: their tests.
    - `wait` returns when the member's own node has been created, `joined` says whether it is there, and `members` shows
      it only when the server does: ``test_a_member_knows_when_it_has_landed``.
    - Two of one name take turns: ``test_two_members_of_one_name_take_turns``.
    """

    def __init__(self, client: HasPort, path: str, member_id: str, data: bytes = b"") -> None:
        check_path(path)
        if not isinstance(member_id, str) or not member_id or "/" in member_id:
            message = f'member_id must be a part of a path, not empty and without "/": not {member_id!r}'
            raise ValueError(message)
        self._port = client.port
        self._path = path
        self._member_id = member_id
        self._node = AsyncPersistentNode(client, join_path(path, member_id), data)
        self._cache = AsyncChildrenCache(client, path, single_watches=False)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._path!r} {self._member_id!r} {'joined' if self.joined else 'not joined'}>"

    @property
    def path(self) -> str:
        """The group's node."""
        return self._path

    @property
    def member_id(self) -> str:
        """The member's name."""
        return self._member_id

    @property
    def joined(self) -> bool:
        """Whether the member's own node is there; not true after the lease deadline, nor in another session."""
        return self._node.exists

    @property
    def members(self) -> dict[str, bytes]:
        """Everybody's data by name, as last read; see `connected` and `age`."""
        return {name: node.data or b"" for name, node in self._cache.snapshot().items()}

    @property
    def connected(self) -> bool:
        """Whether the view follows the server now."""
        return self._cache.connected

    @property
    def age(self) -> float:
        """Seconds for which changes of the group may have gone unnoticed."""
        return self._cache.age

    async def start(self) -> Self:
        """Begin to join and to follow the group, beside the caller. Once for each object."""
        await self._node.start()
        await self._cache.start()
        return self

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait until the member has been there and the group was read once; False when *timeout* seconds go by first.

        Raises what waiting cannot cure (closed client, no permission).
        """
        check_timeout(timeout)
        deadline = None if timeout is None else self._port.now() + timeout
        if not await self._node.wait(timeout):
            return False
        return await self._cache.wait(None if deadline is None else max(0.0, deadline - self._port.now()))

    async def close(self) -> bool:
        """Leave the group and follow it no longer; True when the member's node is gone.

        Waits at most five seconds for the server; without a connection it returns False at once.
        """
        await self._cache.close()
        return await self._node.close()

    def update(self, data: bytes) -> None:
        """Show the others other data, now and whenever the member comes back. Returns at once."""
        self._node.update(data)

    def listen(self, function: Callable[[CacheEvent], object]) -> Listening:
        """Have *function* called when members come, go, or change their data; see `ChildrenCache`."""
        return self._cache.listen(function)

    async def __aenter__(self) -> Self:
        """Start, and wait until the member is there and the group was read once."""
        await self.start()
        try:
            await self.wait()
        except BaseException:
            await self._port.shielded(self.close())
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()


class GroupMembership(Face[AsyncGroupMembership]):
    __doc__ = AsyncGroupMembership.__doc__

    def __init__(self, client: HasPort, path: str, member_id: str, data: bytes = b"") -> None:
        super().__init__(AsyncGroupMembership(client, path, member_id, data))
        self._body._cache._awaits = False

    wait = blocking(AsyncGroupMembership.wait)
    close = blocking(AsyncGroupMembership.close)
    update = direct(AsyncGroupMembership.update)
    listen = direct(AsyncGroupMembership.listen)
    path = attribute(AsyncGroupMembership, lambda group: group.path)
    member_id = attribute(AsyncGroupMembership, lambda group: group.member_id)
    joined = attribute(AsyncGroupMembership, lambda group: group.joined)
    members = attribute(AsyncGroupMembership, lambda group: group.members)
    connected = attribute(AsyncGroupMembership, lambda group: group.connected)
    age = attribute(AsyncGroupMembership, lambda group: group.age)

    def start(self) -> Self:
        """Begin to join and to follow the group, beside the caller. Once for each object."""
        run_blocking(self._body.start())
        return self

    def __enter__(self) -> Self:
        """Start, and wait until the member is there and the group was read once."""
        run_blocking(self._body.__aenter__())
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()
