"""Copies of a node, of a node's children, or of a whole tree, kept up to date by watches.

Rule: these classes only say how deep to look and how to be asked; everything else is ``_cache``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from zk_client import Face, attribute, blocking, direct, run_blocking
from zk_wire import check_path, join_path, strip_chroot

from ._cache import AsyncCache

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from zk_client import HasPort
    from zk_wire import Stat

    from ._mirror import CachedNode

C = TypeVar("C", bound=AsyncCache)


class AsyncTreeCache(AsyncCache):
    """A copy of a node and everything below it, kept up to date while it is open.

    client: whatever has a port.   path: the node at the top, which need not exist.
    max_depth: how many levels below it are copied; 0 is the node alone, None all of them.
    select: ``select(path)``; where it is False, the node and everything below it are left out.
    single_watches: True watches node by node (two watches each) instead of the whole tree at once (one watch): more
    for the server to keep, but after a reconnect it says itself what changed. Servers older than 3.6 know nothing else.

    Use it as a context manager, which waits until everything was read once, or `start` and `close` it. Reading it
    never waits, never asks the server, and may be done from any thread.

    What holds, each with the test that keeps it:

    - After the last change everything in here is as on the server, whatever is lost, expires, freezes or is cancelled,
      and the events told lead from nothing to exactly that: ``test_the_cache_becomes_what_the_server_has``.
    - A node deleted and created again is told as such, even if that happened unseen and its data are the same:
      ``test_a_node_recreated_unseen_is_told_as_recreated``.
    - While the connection is away, `connected` is False, `age` grows, and what was read stays:
      ``test_without_a_connection_the_cache_says_that_it_ages``.
    - The first load, and the look after a reconnect, send a request for each 60 nodes, and one for each 60 directories
      that changed: ``test_the_requests_of_a_load_and_of_a_resync_are_counted``. With single watches the first load
      sends two requests a node, all on their way at once, and a reconnect only what changed: same test.
    - Closed, failed, or ended with its client, it leaves no watch, listener or task: first test, and
      ``test_a_closed_cache_leaves_nothing``.
    - `wait_for` returns when ones own write is in here: ``test_a_write_is_waited_for_by_its_zxid``.

    What does not hold: the copy is not one moment of the server; each node is, and so is each child list with
    `connected`. Changes in quick succession are told as one. Nodes that may not be read are left out, with a warning.
    """

    def get(self, path: str | None = None) -> CachedNode | None:
        """Return a node as it was last read, the top by default; None when it is not in here.

        Raises ValueError for a path outside the tree.
        """
        return self._node(self._path if path is None else self._inside(path))

    def children(self, path: str | None = None) -> frozenset[str]:
        """Return the names of a node's children, of the top by default; empty also when the node is not in here.

        Raises ValueError for a path outside the tree.
        """
        return self._mirror.names(self._path if path is None else self._inside(path))

    def snapshot(self) -> dict[str, CachedNode]:
        """Return everything that is in here, by path."""
        return dict(self._mirror.nodes)

    def __len__(self) -> int:
        return len(self._mirror.nodes)

    def __contains__(self, path: object) -> bool:
        return path in self._mirror.nodes

    def _inside(self, path: str) -> str:
        check_path(path)
        if self._path != "/" and strip_chroot(self._path, path) is None:
            message = f'"{path}" is not in the tree of "{self._path}"'
            raise ValueError(message)
        return path


class AsyncNodeCache(AsyncCache):
    """A copy of one node, kept up to date while it is open.

    client: whatever has a port.   path: the node, which need not exist.
    It costs the server one watch, and one request for each change. Everything that `TreeCache` promises holds.
    """

    def __init__(self, client: HasPort, path: str) -> None:
        super().__init__(client, path, max_depth=0, single_watches=True)

    @property
    def node(self) -> CachedNode | None:
        """The node as it was last read; None when it does not exist."""
        return self._node(self._path)

    @property
    def data(self) -> bytes | None:
        """The node's data; None also when it does not exist."""
        node = self.node
        return None if node is None else node.data

    @property
    def stat(self) -> Stat | None:
        """The node's Stat; None when it does not exist."""
        node = self.node
        return None if node is None else node.stat


class AsyncChildrenCache(AsyncCache):
    """A copy of a node's children with their data, kept up to date while it is open.

    client: whatever has a port.   path: the node, which need not exist; it is not among the children.
    select: ``select(path)``; children for which it is False are left out.   single_watches: see `TreeCache`; better
    where there is much below the children, because the one watch tells of all of that too.
    Everything that `TreeCache` promises holds.
    """

    def __init__(
        self,
        client: HasPort,
        path: str,
        *,
        select: Callable[[str], bool] | None = None,
        single_watches: bool = False,
    ) -> None:
        super().__init__(client, path, max_depth=1, select=select, single_watches=single_watches)

    def get(self, name: str) -> CachedNode | None:
        """Return a child as it was last read; None when there is none of that name."""
        return self._node(join_path(self._path, name))

    @property
    def names(self) -> frozenset[str]:
        """The names of the children."""
        return self._mirror.names(self._path)

    def snapshot(self) -> dict[str, CachedNode]:
        """Return all children, by name."""
        found = ((name, self.get(name)) for name in self.names)
        return {name: node for name, node in found if node is not None}

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names


class _CacheFace(Face[C], Generic[C]):
    """What the blocking faces of all caches share."""

    def __init__(self, body: C) -> None:
        super().__init__(body)
        body._awaits = False

    def start(self) -> Self:
        """Begin to load and to follow, beside the caller; `wait` returns when everything was read once.

        Costs a thread (or greenlet) until it is closed. Once for each cache: a second call raises ValueError.
        """
        run_blocking(self._body.start())
        return self

    def __enter__(self) -> Self:
        """Start, and wait until everything was read once."""
        run_blocking(self._body.__aenter__())
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        run_blocking(self._body.close())


class TreeCache(_CacheFace[AsyncTreeCache]):
    __doc__ = AsyncTreeCache.__doc__

    def __init__(
        self,
        client: HasPort,
        path: str,
        *,
        max_depth: int | None = None,
        select: Callable[[str], bool] | None = None,
        single_watches: bool = False,
    ) -> None:
        super().__init__(
            AsyncTreeCache(client, path, max_depth=max_depth, select=select, single_watches=single_watches)
        )

    get = direct(AsyncTreeCache.get)
    children = direct(AsyncTreeCache.children)
    snapshot = direct(AsyncTreeCache.snapshot)
    __len__ = direct(AsyncTreeCache.__len__)
    __contains__ = direct(AsyncTreeCache.__contains__)
    wait = blocking(AsyncTreeCache.wait)
    wait_for = blocking(AsyncTreeCache.wait_for)
    close = blocking(AsyncTreeCache.close)
    listen = direct(AsyncTreeCache.listen)
    path = attribute(AsyncTreeCache, lambda cache: cache.path)
    initialized = attribute(AsyncTreeCache, lambda cache: cache.initialized)
    connected = attribute(AsyncTreeCache, lambda cache: cache.connected)
    as_of = attribute(AsyncTreeCache, lambda cache: cache.as_of)
    age = attribute(AsyncTreeCache, lambda cache: cache.age)


class NodeCache(_CacheFace[AsyncNodeCache]):
    __doc__ = AsyncNodeCache.__doc__

    def __init__(self, client: HasPort, path: str) -> None:
        super().__init__(AsyncNodeCache(client, path))

    node = attribute(AsyncNodeCache, lambda cache: cache.node)
    data = attribute(AsyncNodeCache, lambda cache: cache.data)
    stat = attribute(AsyncNodeCache, lambda cache: cache.stat)
    wait = blocking(AsyncNodeCache.wait)
    wait_for = blocking(AsyncNodeCache.wait_for)
    close = blocking(AsyncNodeCache.close)
    listen = direct(AsyncNodeCache.listen)
    path = attribute(AsyncNodeCache, lambda cache: cache.path)
    initialized = attribute(AsyncNodeCache, lambda cache: cache.initialized)
    connected = attribute(AsyncNodeCache, lambda cache: cache.connected)
    as_of = attribute(AsyncNodeCache, lambda cache: cache.as_of)
    age = attribute(AsyncNodeCache, lambda cache: cache.age)


class ChildrenCache(_CacheFace[AsyncChildrenCache]):
    __doc__ = AsyncChildrenCache.__doc__

    def __init__(
        self,
        client: HasPort,
        path: str,
        *,
        select: Callable[[str], bool] | None = None,
        single_watches: bool = False,
    ) -> None:
        super().__init__(AsyncChildrenCache(client, path, select=select, single_watches=single_watches))

    get = direct(AsyncChildrenCache.get)
    names = attribute(AsyncChildrenCache, lambda cache: cache.names)
    snapshot = direct(AsyncChildrenCache.snapshot)
    __len__ = direct(AsyncChildrenCache.__len__)
    __contains__ = direct(AsyncChildrenCache.__contains__)
    wait = blocking(AsyncChildrenCache.wait)
    wait_for = blocking(AsyncChildrenCache.wait_for)
    close = blocking(AsyncChildrenCache.close)
    listen = direct(AsyncChildrenCache.listen)
    path = attribute(AsyncChildrenCache, lambda cache: cache.path)
    initialized = attribute(AsyncChildrenCache, lambda cache: cache.initialized)
    connected = attribute(AsyncChildrenCache, lambda cache: cache.connected)
    as_of = attribute(AsyncChildrenCache, lambda cache: cache.as_of)
    age = attribute(AsyncChildrenCache, lambda cache: cache.age)
