"""A copy of a tree of nodes: what is in it, what changed with each reading, and how new it is.

Rule: nothing here reads or waits. It is given what was read, and answers with what that changes. Other threads may look
into it at any time, so every change is a single step of a dict or a set.

`known` says, for each node, up to which change of its children (the zxid a server calls pzxid) all its children are in
here. It is not the pzxid of the Stat: that may be newer than what has been read of the children.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from zk_wire import join_path, split_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zk_wire import Stat


class CachedNode(NamedTuple):
    """A node as a cache has it.

    stat: of the last reading; the fields that tell of children (cversion, num_children, pzxid) may be older than the
    children in the cache.
    """

    path: str
    data: bytes | None
    stat: Stat


class CacheEventKind(str, Enum):
    """What a listener of a cache is told."""

    ADDED = "added"
    UPDATED = "updated"
    REMOVED = "removed"
    RECREATED = "recreated"  # deleted and created again, unseen: another node than before
    INITIALIZED = "initialized"  # everything was read once
    SUSPENDED = "suspended"  # the connection is gone: from here on the cache may be old
    LOST = "lost"  # the session expired
    CONNECTED = "connected"  # the connection is back, and everything that was missed has been told

    def __str__(self) -> str:
        return self.value


class CacheEvent(NamedTuple):
    """What changed in a cache. node: as it is now; None when it is gone.   before: as it was; None when it is new."""

    kind: CacheEventKind
    path: str
    node: CachedNode | None = None
    before: CachedNode | None = None


class Mirror:
    """The nodes of one tree. as_of: the zxid of a change up to which everything is in here; -1 before there is one."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.nodes: dict[str, CachedNode] = {}
        self.known: dict[str, int] = {}
        self.as_of = -1
        self._newest = -1
        self._names: dict[str, set[str]] = {}

    def has_parent(self, path: str) -> bool:
        """Whether a node can be in here: its parent is, or it is the root."""
        return path == self.root or split_path(path)[0] in self.nodes

    def names(self, path: str) -> frozenset[str]:
        """The names of a node's children."""
        return frozenset(self._names.get(path, ()))

    def put(self, path: str, data: bytes | None, stat: Stat) -> CacheEvent | None:
        """A node was read; return what that changes, if anything."""
        before = self.nodes.get(path)
        node = CachedNode(path, data, stat)
        self.nodes[path] = node
        self.advance(max(stat.czxid, stat.mzxid))
        if before is None:
            if path != self.root:
                parent, name = split_path(path)
                self._names.setdefault(parent, set()).add(name)
            return CacheEvent(CacheEventKind.ADDED, path, node)
        if before.stat.czxid != stat.czxid:
            self.known.pop(path, None)
            return CacheEvent(CacheEventKind.RECREATED, path, node, before)
        if before.stat.mzxid != stat.mzxid or before.stat.aversion != stat.aversion:
            return CacheEvent(CacheEventKind.UPDATED, path, node, before)
        return None

    def remove(self, path: str) -> list[CacheEvent]:
        """A node is gone, with everything below; return what that changes, children first."""
        events: list[CacheEvent] = []
        for gone in [*self._below(path)]:
            self.known.pop(gone, None)
            self._names.pop(gone, None)
            before = self.nodes.pop(gone, None)
            if before is not None:
                events.append(CacheEvent(CacheEventKind.REMOVED, gone, None, before))
        if path != self.root:
            parent, name = split_path(path)
            names = self._names.get(parent)
            if names is not None:
                names.discard(name)
                if not names:
                    del self._names[parent]
        return events

    def advance(self, zxid: int) -> None:
        """A change is in here; older ones may be missing until `settle`."""
        self._newest = max(self._newest, zxid)

    def settle(self) -> bool:
        """Nothing that was told is missing: True when that makes the copy newer than it was said to be."""
        if self.as_of == self._newest:
            return False
        self.as_of = self._newest
        return True

    def child_changed(self, path: str, zxid: int) -> None:
        """A child was created or deleted by that change, the newest so far of its parent's children."""
        parent = split_path(path)[0]
        if parent in self.known:
            self.known[parent] = max(self.known[parent], zxid)

    def _below(self, path: str) -> Iterator[str]:
        for name in self._names.get(path, ()):
            yield from self._below(join_path(path, name))
        yield path
