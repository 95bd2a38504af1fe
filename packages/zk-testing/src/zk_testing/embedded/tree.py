"""The nodes of a server: what there is, and what each change does to the numbers in a Stat.

Rule: pure; zxid and time are arguments, and nothing is checked that a transaction has promised. A change is told in
the events it causes, in their order; who hears of them is in watches.py.

Three counters are kept apart: `creations` (children ever created, from which sequential names are made, and which
sticks at its largest value), the `cversion` on the wire (creations plus deletions), and the number of children.
Source: DataTree.java, DataNode.java.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from zk_wire import ACL, OPEN_ACL_UNSAFE, READ_ACL_UNSAFE, STAT, EventType, Stat

from .hashset import HashSet
from .quotas import LIMITS, QUOTA_ROOT, STATS, QuotaIndex, Usage

__all__ = [
    "CONFIG",
    "INT_MAX",
    "Node",
    "NodeKind",
    "SPECIAL_PATHS",
    "Tree",
    "TreeEvent",
    "split",
    "wrap_int",
]

CONFIG = "/zookeeper/config"
SPECIAL_PATHS = frozenset(("/", "/zookeeper", QUOTA_ROOT, CONFIG))
INT_MAX = 2**31 - 1
_CHILD_BUCKETS, _EPHEMERAL_BUCKETS = 8, 16  # of the sets a server begins with


class NodeKind(Enum):
    """What ends a node's life besides a delete."""

    PERSISTENT = "persistent"
    EPHEMERAL = "ephemeral"
    CONTAINER = "container"
    TTL = "ttl"


class TreeEvent(NamedTuple):
    """One thing that watches may be set for.   acl: of the node the event is about, as it was."""

    kind: EventType
    path: str
    acl: tuple[ACL, ...]


class Node:
    """One node.   creations: children ever created.   owner: the session of an ephemeral one, else 0."""

    __slots__ = (
        "acl",
        "aversion",
        "children",
        "creations",
        "ctime",
        "czxid",
        "data",
        "kind",
        "mtime",
        "mzxid",
        "owner",
        "pzxid",
        "ttl_ms",
        "version",
    )

    def __init__(
        self,
        data: bytes | None,
        acl: tuple[ACL, ...],
        zxid: int,
        time_ms: int,
        kind: NodeKind = NodeKind.PERSISTENT,
        owner: int = 0,
        ttl_ms: int = 0,
    ) -> None:
        self.data = data
        self.acl = acl
        self.kind = kind
        self.owner = owner
        self.ttl_ms = ttl_ms
        self.czxid = self.mzxid = self.pzxid = zxid
        self.ctime = self.mtime = time_ms
        self.version = self.creations = self.aversion = 0
        self.children = HashSet(_CHILD_BUCKETS)

    def stat(self) -> Stat:
        """The node's metadata as a client sees it."""
        return Stat._make(STAT.unpack(self.packed_stat()))

    def packed_stat(self) -> bytes:
        """The same as bytes, for the replies there are most of."""
        children = len(self.children)
        data = self.data
        return STAT.pack(
            self.czxid,
            self.mzxid,
            self.ctime,
            self.mtime,
            self.version,
            wrap_int(2 * self.creations - children),
            self.aversion,
            self.owner,
            len(data) if data else 0,
            children,
            self.pzxid,
        )


class Tree:
    """All nodes by path; the root has two names, "/" and "", as in the server."""

    def __init__(self) -> None:
        root, system, quota, config = (Node(b"", OPEN_ACL_UNSAFE, 0, 0) for _ in range(4))
        root.children.add("zookeeper")
        system.children.add("quota")
        system.children.add("config")
        config.acl = READ_ACL_UNSAFE
        config.aversion = -1
        self.nodes: dict[str, Node] = {
            "": root,
            "/": root,
            "/zookeeper": system,
            QUOTA_ROOT: quota,
            CONFIG: config,
        }
        self.quotas = QuotaIndex()
        self.ephemerals: dict[int, HashSet] = {}  # paths by session
        self.containers: dict[str, None] = {}
        self.ttls: dict[str, None] = {}

    def copy(self) -> Tree:
        """Another tree with the same nodes."""
        other = Tree()
        other.nodes = {path: _copy_of(node) for path, node in self.nodes.items() if path}
        other.nodes[""] = other.nodes["/"]
        other.quotas = self.quotas.copy()
        other.ephemerals = {owner: paths.clone() for owner, paths in self.ephemerals.items()}
        other.containers = dict(self.containers)
        other.ttls = dict(self.ttls)
        return other

    # Changes

    def create(
        self,
        path: str,
        data: bytes | None,
        acl: tuple[ACL, ...],
        *,
        zxid: int,
        time_ms: int,
        creations: int,
        kind: NodeKind = NodeKind.PERSISTENT,
        owner: int = 0,
        ttl_ms: int = 0,
    ) -> tuple[Node, list[TreeEvent]]:
        """Add a node.   creations: what the parent's counter becomes, unless that is no more than it is."""
        parent_path, name = split(path)
        parent = self.nodes[parent_path]
        if creations > parent.creations:
            parent.creations = creations
            parent.pzxid = zxid
        node = self.nodes[path] = Node(data, acl, zxid, time_ms, kind, owner, ttl_ms)
        parent.children.add(name)
        if kind is NodeKind.EPHEMERAL:
            own = self.ephemerals.get(owner)
            if own is None:
                own = self.ephemerals[owner] = HashSet(_EPHEMERAL_BUCKETS)
            own.add(path)
        elif kind is NodeKind.CONTAINER:
            self.containers[path] = None
        elif kind is NodeKind.TTL:
            self.ttls[path] = None
        if parent_path.startswith(QUOTA_ROOT):
            if name == LIMITS:
                self.quotas.add(parent_path)
            elif name == STATS:
                self._measure(self.quotas.root_of(parent_path))
        self._count(path, len(data or b""), 1)
        return node, [
            TreeEvent(EventType.CREATED, path, node.acl),
            TreeEvent(EventType.CHILD, parent_path or "/", parent.acl),
        ]

    def delete(self, path: str, *, zxid: int) -> list[TreeEvent]:
        """Remove a node without children."""
        parent_path, name = split(path)
        parent = self.nodes[parent_path]
        node = self.nodes.pop(path)
        parent.children.discard(name)
        parent.pzxid = max(parent.pzxid, zxid)
        if node.kind is NodeKind.EPHEMERAL:
            # An empty set stays until the session ends: `dump` lists whoever had ephemeral nodes.
            self.ephemerals[node.owner].discard(path)
        self.containers.pop(path, None)
        self.ttls.pop(path, None)
        if name == LIMITS and parent_path.startswith("/zookeeper"):
            self.quotas.remove(parent_path)
        self._count(path, -len(node.data or b""), -1)
        return [
            TreeEvent(EventType.DELETED, path, node.acl),
            TreeEvent(EventType.CHILD, parent_path or "/", parent.acl),
        ]

    def set_data(
        self, path: str, data: bytes | None, *, version: int, zxid: int, time_ms: int
    ) -> tuple[Node, list[TreeEvent]]:
        """Replace a node's data.   version: the new one."""
        node = self.nodes[path]
        grown = len(data or b"") - len(node.data or b"")
        node.data = data
        node.version = version
        node.mzxid = zxid
        node.mtime = time_ms
        self._count(path, grown, 0)
        return node, [TreeEvent(EventType.CHANGED, path, node.acl)]

    def set_acl(self, path: str, acl: tuple[ACL, ...], *, version: int) -> Node:
        """Replace a node's access control list.   version: the new aversion."""
        node = self.nodes[path]
        node.acl = acl
        node.aversion = version
        return node

    # Questions

    def ephemerals_of(self, session_id: int) -> list[str]:
        """The ephemeral nodes of a session, in the order in which they will be deleted."""
        own = self.ephemerals.get(session_id)
        return [] if own is None else own.listed_by_copy()

    def descendants(self, path: str) -> int:
        """How many nodes a server counts below a path; the root's other name counts itself and the root, too."""
        if path == "/":
            return len(self.nodes) - 2
        prefix = path + "/"
        return sum(other.startswith(prefix) for other in self.nodes)

    def overdue(self, time_ms: int, never_used_ms: int) -> list[str]:
        """The containers and TTL nodes whose time has come."""
        found: list[str] = []
        for path in self.containers:
            node = self.nodes[path]
            unused = never_used_ms and node.creations == 0 and time_ms - node.mtime > never_used_ms
            if not node.children and (node.creations > 0 or unused):
                found.append(path)
        for path in self.ttls:
            node = self.nodes[path]
            if not node.children and time_ms - node.mtime > node.ttl_ms:
                found.append(path)
        return found

    def data_size(self) -> int:
        """The bytes of all paths and data."""
        return sum(len(path.encode()) + len(node.data or b"") for path, node in self.nodes.items() if path)

    # Quotas

    def usage_of(self, root: str) -> tuple[Usage, Usage] | None:
        """(limits, usage) of a path with a quota; None when one of its two nodes is missing."""
        limits = self.nodes.get(f"{QUOTA_ROOT}{root}/{LIMITS}")
        usage = self.nodes.get(f"{QUOTA_ROOT}{root}/{STATS}")
        if limits is None or usage is None:
            return None
        return Usage.parse(limits.data), Usage.parse(usage.data)

    def _count(self, path: str, data_bytes: int, nodes: int) -> None:
        root = self.quotas.covering(path)
        node = None if root is None else self.nodes.get(f"{QUOTA_ROOT}{root}/{STATS}")
        if node is not None:
            usage = Usage.parse(node.data)
            node.data = usage.grown(nodes, data_bytes).encode()

    def _measure(self, root: str) -> None:
        node = self.nodes.get(f"{QUOTA_ROOT}{root}/{STATS}")
        if node is None:
            return
        count = size = 0
        if root in self.nodes:
            for path, below in self.nodes.items():
                if path == root or path.startswith(root + "/"):
                    count += 1
                    size += len(below.data or b"")
        node.data = Usage(count, size).encode()


def split(path: str) -> tuple[str, str]:
    """(parent, name) as the server takes them apart: the parent of "/a" is the root's name ""."""
    parent, _slash, name = path.rpartition("/")
    return parent, name


def wrap_int(value: int) -> int:
    """The value as 32 signed bits hold it."""
    return (value + 2**31) % 2**32 - 2**31


def _copy_of(node: Node) -> Node:
    """Another node with the same contents."""
    other = Node(node.data, node.acl, node.czxid, node.ctime, node.kind, node.owner, node.ttl_ms)
    other.mzxid, other.mtime, other.pzxid = node.mzxid, node.mtime, node.pzxid
    other.version, other.creations, other.aversion = node.version, node.creations, node.aversion
    other.children = node.children.clone()
    return other
