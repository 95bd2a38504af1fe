"""The numbers of the protocol that few programs need by name: loaded when first asked for.

Rule: only names for numbers here, each written once; making an enumeration takes a while, and
importing this package must not.

Source: KeeperException.java, ZooDefs.java, AddWatchMode.java, Watcher.java.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag


class Xid(IntEnum):
    """The reserved transaction ids; ordinary requests count from 1 to 2**31 - 1 and start again at 1."""

    NOTIFICATION_XID = -1
    PING_XID = -2
    AUTH_XID = -4
    SET_WATCHES_XID = -8


class AddWatchMode(IntEnum):
    """The mode of a watch that is not used up by its event."""

    PERSISTENT = 0
    PERSISTENT_RECURSIVE = 1


class WatcherType(IntEnum):
    """Which watches to check or remove; the last two need servers of 3.9 or newer."""

    CHILDREN = 1
    DATA = 2
    ANY = 3
    PERSISTENT = 4
    PERSISTENT_RECURSIVE = 5


class Permission(IntFlag):
    """The bits of `ACL.perms`; servers keep other bits and ignore them."""

    READ = 1
    WRITE = 2
    CREATE = 4
    DELETE = 8
    ADMIN = 16
    ALL = 31


class ErrorCode(IntEnum):
    """The error codes of the protocol; a server may send others."""

    OK = 0
    ROLLED_BACK = 0
    SYSTEM_ERROR = -1
    RUNTIME_INCONSISTENCY = -2
    DATA_INCONSISTENCY = -3
    CONNECTION_LOST = -4
    MARSHALLING_ERROR = -5
    UNIMPLEMENTED = -6
    OPERATION_TIMEOUT = -7
    BAD_ARGUMENTS = -8
    INVALID_STATE = -9
    UNKNOWN_SESSION = -12
    NEW_CONFIG_NO_QUORUM = -13
    RECONFIG_IN_PROGRESS = -14
    SSL_CONNECTION_ERROR = -15
    API_ERROR = -100
    NO_NODE = -101
    NO_AUTH = -102
    BAD_VERSION = -103
    NO_CHILDREN_FOR_EPHEMERALS = -108
    NODE_EXISTS = -110
    NOT_EMPTY = -111
    SESSION_EXPIRED = -112
    INVALID_CALLBACK = -113
    INVALID_ACL = -114
    AUTH_FAILED = -115
    CLOSING = -116
    NOTHING = -117
    SESSION_MOVED = -118
    NOT_READ_ONLY = -119
    EPHEMERAL_ON_LOCAL_SESSION = -120
    NO_WATCHER = -121
    REQUEST_TIMEOUT = -122
    RECONFIG_DISABLED = -123
    SESSION_CLOSED_REQUIRE_AUTH = -124
    QUOTA_EXCEEDED = -125
    THROTTLED_OP = -127
