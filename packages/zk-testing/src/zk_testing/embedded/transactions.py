"""What a server writes into its log, and how a replica of the tree follows it.

Rule: a transaction is decided once (prepare.py), has one zxid and one time, and applying it to equal trees gives equal
trees, results and events. So several replicas can follow one history, each at its own pace.

Source: DataTree.processTxn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from zk_wire import ACL

from .tree import CONFIG, Node, NodeKind, Tree, TreeEvent

__all__ = [
    "Applied",
    "Change",
    "CloseSession",
    "CreateNode",
    "CreateSession",
    "DeleteNode",
    "Failed",
    "Nothing",
    "SetAcl",
    "SetConfig",
    "SetData",
    "Transaction",
    "apply",
]


@dataclass(frozen=True, slots=True)
class CreateNode:
    """creations: what the parent's counter becomes.   with_stat: whether the result of a multi has a Stat."""

    path: str
    data: bytes | None
    acl: tuple[ACL, ...]
    kind: NodeKind
    owner: int
    ttl_ms: int
    creations: int
    with_stat: bool


@dataclass(frozen=True, slots=True)
class DeleteNode:
    path: str


@dataclass(frozen=True, slots=True)
class SetData:
    """version: the new one."""

    path: str
    data: bytes | None
    version: int


@dataclass(frozen=True, slots=True)
class SetAcl:
    """version: the new aversion."""

    path: str
    acl: tuple[ACL, ...]
    version: int


@dataclass(frozen=True, slots=True)
class SetConfig:
    """Other members of the ensemble: the data of its configuration's node."""

    data: bytes


@dataclass(frozen=True, slots=True)
class CloseSession:
    """The ephemeral nodes of the session go; which ones they are is known when it is applied."""

    session_id: int


@dataclass(frozen=True, slots=True)
class CreateSession:
    """A session that every member of an ensemble has to know; the tree stays as it is."""

    session_id: int
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Nothing:
    """A check that held, a new session of a lone server: the tree stays as it is."""


@dataclass(frozen=True, slots=True)
class Failed:
    """An operation that was refused; it has a zxid all the same."""

    code: int


Change: TypeAlias = (
    CreateNode | DeleteNode | SetData | SetAcl | SetConfig | CreateSession | CloseSession | Nothing | Failed
)


@dataclass(frozen=True, slots=True)
class Transaction:
    """Changes that belong together.   time_ms: the server's wall clock, since 1970."""

    zxid: int
    time_ms: int
    changes: tuple[Change, ...]


class Applied(NamedTuple):
    """What one change came to.   node: the one it was about, to be asked for its Stat at once."""

    change: Change
    stat: bytes
    events: list[TreeEvent]


_NO_STAT = b""


def apply(tree: Tree, transaction: Transaction) -> list[Applied]:
    """Change a tree; return one result for each change, with its Stat as of that step."""
    zxid, time_ms = transaction.zxid, transaction.time_ms
    results: list[Applied] = []
    for change in transaction.changes:
        events: list[TreeEvent] = []
        node: Node | None = None
        match change:
            case CreateNode():
                node, events = tree.create(
                    change.path,
                    change.data,
                    change.acl,
                    zxid=zxid,
                    time_ms=time_ms,
                    creations=change.creations,
                    kind=change.kind,
                    owner=change.owner,
                    ttl_ms=change.ttl_ms,
                )
            case SetData():
                node, events = tree.set_data(
                    change.path, change.data, version=change.version, zxid=zxid, time_ms=time_ms
                )
            case SetConfig():
                node, events = tree.set_data(CONFIG, change.data, version=-1, zxid=zxid, time_ms=time_ms)
            case DeleteNode():
                events = tree.delete(change.path, zxid=zxid)
            case SetAcl():
                node = tree.set_acl(change.path, change.acl, version=change.version)
            case CloseSession():
                for path in tree.ephemerals_of(change.session_id):
                    events += tree.delete(path, zxid=zxid)
                tree.ephemerals.pop(change.session_id, None)
            case CreateSession() | Nothing() | Failed():
                pass
        results.append(Applied(change, node.packed_stat() if node is not None else _NO_STAT, events))
    return results
