"""A node's metadata, as the server keeps it.

Rule: eleven numbers in wire order, 68 bytes, nothing else; what they mean is said here once.

Source: zookeeper.jute, Stat; DataNode.copyStat for cversion and ephemeralOwner.
"""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from ._typing import NamedTuple

STAT = Struct(">qqqqiiiqiiq")
STAT_SIZE = STAT.size  # 68 bytes


class Stat(NamedTuple):
    """A node's metadata at one moment.

    ctime, mtime: ms since 1970 by the server's clock.   version, cversion, aversion: int32, they wrap.
    cversion: creates plus deletes of children; not the counter of sequential names.
    ephemeral_owner: the session id, signed 64 bits; 0 for every node that is not a session's,
    containers and TTL nodes among them.   data_length: bytes, 0 also for null data.
    """

    czxid: int
    mzxid: int
    ctime: int
    mtime: int
    version: int
    cversion: int
    aversion: int
    ephemeral_owner: int
    data_length: int
    num_children: int
    pzxid: int

    @property
    def created(self) -> float:
        """When the node was created, in seconds since 1970."""
        return self.ctime / 1000.0

    @property
    def last_modified(self) -> float:
        """When the data was last set, in seconds since 1970."""
        return self.mtime / 1000.0

    @property
    def owner_session_id(self) -> int | None:
        """The session an ephemeral node belongs to; None for a node that is not ephemeral."""
        return self.ephemeral_owner or None
