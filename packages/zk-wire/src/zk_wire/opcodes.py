"""The numbers of the protocol that every program meets: operations, reserved xids, events, states, modes.

Rule: only names for numbers here; what a number means on the wire is in the records.  Those that
fewer programs need by name are in codes.py.

Source: ZooDefs.java, Watcher.java, CreateMode.java.
"""

from __future__ import annotations

from enum import IntEnum


class OpCode(IntEnum):
    """The operation a request asks for: the second number of its header."""

    NOTIFICATION = 0
    CREATE = 1
    DELETE = 2
    EXISTS = 3
    GET_DATA = 4
    SET_DATA = 5
    GET_ACL = 6
    SET_ACL = 7
    GET_CHILDREN = 8
    SYNC = 9
    PING = 11
    GET_CHILDREN2 = 12
    CHECK = 13
    MULTI = 14
    CREATE2 = 15
    RECONFIG = 16
    CHECK_WATCHES = 17
    REMOVE_WATCHES = 18
    CREATE_CONTAINER = 19
    DELETE_CONTAINER = 20
    CREATE_TTL = 21
    MULTI_READ = 22
    AUTH = 100
    SET_WATCHES = 101
    SASL = 102
    GET_EPHEMERALS = 103
    GET_ALL_CHILDREN_NUMBER = 104
    SET_WATCHES2 = 105
    ADD_WATCH = 106
    WHO_AM_I = 107
    CREATE_SESSION = -10
    CLOSE_SESSION = -11
    ERROR = -1


# Reserved xids; ordinary requests count from 1 to MAX_XID and start again at 1.
NOTIFICATION_XID = -1
PING_XID = -2
AUTH_XID = -4
SET_WATCHES_XID = -8
MAX_XID = 2**31 - 1


class EventType(IntEnum):
    """What happened to a watched node.  The three *_REMOVED are made by clients, never sent."""

    NONE = -1
    CREATED = 1
    DELETED = 2
    CHANGED = 3
    CHILD = 4
    DATA_WATCH_REMOVED = 5
    CHILD_WATCH_REMOVED = 6
    PERSISTENT_WATCH_REMOVED = 7


class KeeperState(IntEnum):
    """The state of a session inside an event; servers since 3.3 only ever send SYNC_CONNECTED."""

    DISCONNECTED = 0
    SYNC_CONNECTED = 3
    AUTH_FAILED = 4
    CONNECTED_READ_ONLY = 5
    SASL_AUTHENTICATED = 6
    CLOSED = 7
    EXPIRED = -112


class CreateMode(IntEnum):
    """The kind of node a create makes: the `flags` field of its request.

    Outside a multi the opcode must fit as well: containers need CREATE_CONTAINER, TTL nodes CREATE_TTL.
    """

    PERSISTENT = 0
    EPHEMERAL = 1
    PERSISTENT_SEQUENTIAL = 2
    EPHEMERAL_SEQUENTIAL = 3
    CONTAINER = 4
    PERSISTENT_WITH_TTL = 5
    PERSISTENT_SEQUENTIAL_WITH_TTL = 6

    @property
    def is_ephemeral(self) -> bool:
        """Whether the node goes with its session."""
        return self in (1, 3)

    @property
    def is_sequential(self) -> bool:
        """Whether the server appends a ten-digit number to the name."""
        return self in (2, 3, 6)

    @property
    def is_container(self) -> bool:
        """Whether the server deletes the node some time after its last child."""
        return self == 4

    @property
    def is_ttl(self) -> bool:
        """Whether the server deletes the node when it was empty and unmodified for a time."""
        return self in (5, 6)
