"""Watches that a client brings along to a new connection.

Rule: each path is either told at once, when its node has changed since the client last heard, or watched; never both.

Source: DataTree.setWatches.
"""

from __future__ import annotations

from collections.abc import Callable

from zk_wire import EventType, SetWatches, SetWatches2

from .client import Client
from .tree import Node, Tree
from .watches import Watches

__all__ = ["rearm"]


def rearm(
    tree: Tree,
    watches: Watches[Client],
    client: Client,
    request: SetWatches | SetWatches2,
    tell: Callable[[EventType, str, Node | None], None],
) -> None:
    """Set the watches of a request, and tell what was missed.   tell: is given the node, if there is one."""
    nodes, since = tree.nodes, request.relative_zxid
    for path in request.data_watches:
        node = nodes.get(path)
        if node is None:
            tell(EventType.DELETED, path, None)
        elif node.mzxid > since:
            tell(EventType.CHANGED, path, node)
        else:
            watches.data.add(path, client)
    for path in request.exist_watches:
        node = nodes.get(path)
        if node is not None:
            tell(EventType.CREATED, path, node)
        else:
            watches.data.add(path, client)
    for path in request.child_watches:
        node = nodes.get(path)
        if node is None:
            tell(EventType.DELETED, path, None)
        elif node.pzxid > since:
            tell(EventType.CHILD, path, node)
        else:
            watches.child.add(path, client)
    if isinstance(request, SetWatches2):
        for path in request.persistent_watches:
            watches.add_lasting(path, client, recursive=False)
        for path in request.persistent_recursive_watches:
            watches.add_lasting(path, client, recursive=True)
