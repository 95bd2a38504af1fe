"""The records a client sends: one class per opcode, and the type of the reply in the brackets.

Rule: as the annotations say; see record.py.  A field is `| None` where a real server reads null
and answers otherwise than "cannot be decoded".

Source: zookeeper.jute; protocol behaviour of 3.4 to 3.10.
"""

from __future__ import annotations

from .acl import ACL
from .opcodes import OpCode
from .primitives import Boolean, Buffer, Int, Long, UString
from .record import R_co, Request
from .replies import (
    Create2Response,
    CreateResponse,
    EmptyResponse,
    ErrorResponse,
    ExistsResponse,
    GetACLResponse,
    GetAllChildrenNumberResponse,
    GetChildren2Response,
    GetChildrenResponse,
    GetDataResponse,
    GetEphemeralsResponse,
    SaslResponse,
    SetACLResponse,
    SetDataResponse,
    SyncResponse,
    WhoAmIResponse,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# Nodes


class _CreateRecord(Request[R_co]):
    """What the creating requests share.   flags: CreateMode.   data: None is null, not empty."""

    path: UString
    data: Buffer | None
    acl: Sequence[ACL] | None
    flags: Int


class CreateRequest(_CreateRecord[CreateResponse]):
    """Create a node; the reply is its path."""

    opcode = OpCode.CREATE


class Create2Request(_CreateRecord[Create2Response]):
    """Create a node; the reply is its path and Stat."""

    opcode = OpCode.CREATE2


class CreateContainerRequest(_CreateRecord[Create2Response]):
    """Create a container: outside a multi, the opcode makes it one, whatever the flags."""

    opcode = OpCode.CREATE_CONTAINER


class CreateTTLRequest(_CreateRecord[Create2Response]):
    """Create a node with a time to live.   flags: 5 or 6.   ttl_ms: 1 to 1099511627775.

    Never send other values to a real server: with flags 0 to 3 and a ttl of -1 it dies, and stays dead.
    """

    opcode = OpCode.CREATE_TTL

    ttl_ms: Long


class DeleteRequest(Request[EmptyResponse]):
    """Delete a node without children.   version: -1 for any."""

    opcode = OpCode.DELETE

    path: UString
    version: Int


class DeleteContainerRequest(Request[EmptyResponse]):
    """Delete an empty container.  Meant for the server itself: since 3.9 it checks no permission."""

    opcode = OpCode.DELETE_CONTAINER

    path: UString


class ExistsRequest(Request[ExistsResponse]):
    """Ask for a node's Stat.   watch: also set a data watch, even where the node is missing."""

    opcode = OpCode.EXISTS

    path: UString
    watch: Boolean


class GetDataRequest(Request[GetDataResponse]):
    """Ask for a node's data and Stat.   watch: also set a data watch."""

    opcode = OpCode.GET_DATA

    path: UString
    watch: Boolean


class SetDataRequest(Request[SetDataResponse]):
    """Replace a node's data.   version: -1 for any."""

    opcode = OpCode.SET_DATA

    path: UString | None
    data: Buffer | None
    version: Int


class GetACLRequest(Request[GetACLResponse]):
    """Ask for a node's access control list."""

    opcode = OpCode.GET_ACL

    path: UString


class SetACLRequest(Request[SetACLResponse]):
    """Replace a node's access control list.   version: compared with Stat.aversion; -1 for any."""

    opcode = OpCode.SET_ACL

    path: UString | None
    acl: Sequence[ACL] | None
    version: Int


class GetChildrenRequest(Request[GetChildrenResponse]):
    """Ask for the names of a node's children.   watch: also set a child watch."""

    opcode = OpCode.GET_CHILDREN

    path: UString
    watch: Boolean


class GetChildren2Request(Request[GetChildren2Response]):
    """Ask for the names of a node's children and its Stat.   watch: also set a child watch."""

    opcode = OpCode.GET_CHILDREN2

    path: UString
    watch: Boolean


class CheckVersionRequest(Request[EmptyResponse]):
    """Compare a node's version, inside a multi only: alone it poisons the log of servers before 3.9.3."""

    opcode = OpCode.CHECK

    path: UString
    version: Int


class SyncRequest(Request[SyncResponse]):
    """Go through the leader's queue and back."""

    opcode = OpCode.SYNC

    path: UString | None


class ReconfigRequest(Request[GetDataResponse]):
    """Change the ensemble; the reply is the new configuration.   cur_config_id: -1 for any."""

    opcode = OpCode.RECONFIG

    joining_servers: UString | None
    leaving_servers: UString | None
    new_members: UString | None
    cur_config_id: Long


class GetEphemeralsRequest(Request[GetEphemeralsResponse]):
    """Ask for this session's ephemeral nodes whose path starts with a string."""

    opcode = OpCode.GET_EPHEMERALS

    prefix_path: UString | None


class GetAllChildrenNumberRequest(Request[GetAllChildrenNumberResponse]):
    """Ask how many descendants a node has."""

    opcode = OpCode.GET_ALL_CHILDREN_NUMBER

    path: UString


# Watches


class SetWatches(Request[EmptyResponse]):
    """Set one-shot watches again on a new connection; what changed since relative_zxid comes as events."""

    opcode = OpCode.SET_WATCHES

    relative_zxid: Long
    data_watches: Sequence[UString]
    exist_watches: Sequence[UString]
    child_watches: Sequence[UString]


class SetWatches2(Request[EmptyResponse]):
    """SetWatches with persistent watches; servers before 3.6 do not know it, and close."""

    opcode = OpCode.SET_WATCHES2

    relative_zxid: Long
    data_watches: Sequence[UString]
    exist_watches: Sequence[UString]
    child_watches: Sequence[UString]
    persistent_watches: Sequence[UString]
    persistent_recursive_watches: Sequence[UString]


class AddWatchRequest(Request[ErrorResponse]):
    """Set a watch that is not used up.   mode: AddWatchMode."""

    opcode = OpCode.ADD_WATCH

    path: UString | None
    mode: Int


class CheckWatchesRequest(Request[EmptyResponse]):
    """Ask whether a watch is set.   type: WatcherType."""

    opcode = OpCode.CHECK_WATCHES

    path: UString | None
    type: Int


class RemoveWatchesRequest(Request[EmptyResponse]):
    """Remove watches.   type: WatcherType."""

    opcode = OpCode.REMOVE_WATCHES

    path: UString | None
    type: Int


# The session


class PingRequest(Request[EmptyResponse]):
    """Keep the session alive."""

    opcode = OpCode.PING


class CloseSessionRequest(Request[EmptyResponse]):
    """End the session: its ephemeral nodes go, and the server closes."""

    opcode = OpCode.CLOSE_SESSION


class AuthPacket(Request[EmptyResponse]):
    """Add an identity to the connection.   auth: for the scheme digest, b"user:password".

    scheme: None is read, since servers read it, and is a scheme that none knows.
    """

    opcode = OpCode.AUTH
    _secret = ("auth",)
    _wire_order = ("type", "scheme", "auth")

    scheme: UString | None
    auth: Buffer | None
    type: Int = 0


class SaslRequest(Request[SaslResponse]):
    """One step of a SASL exchange; its reply may overtake others."""

    opcode = OpCode.SASL
    _secret = ("token",)

    token: Buffer


class WhoAmIRequest(Request[WhoAmIResponse]):
    """Ask for the identities of this connection."""

    opcode = OpCode.WHO_AM_I
