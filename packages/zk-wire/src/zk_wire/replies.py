"""The records a server sends: one response per kind of request, and the watch event.

Rule: as the annotations say; see record.py.  Vectors come back as lists, in the order of the wire.

Source: zookeeper.jute.
"""

from __future__ import annotations

from .acl import ACL
from .primitives import REPLY_CODECS, Buffer, Codec, Int, UString
from .record import Record, Response
from .stat import Stat


class EmptyResponse(Response):
    """No record at all: the header says everything."""


class CreateResponse(Response):
    """The path of the new node, with the number of a sequential one."""

    path: UString


class Create2Response(Response):
    """The path of the new node, and its Stat."""

    path: UString
    stat: Stat


class ExistsResponse(Response):
    """The node's Stat."""

    stat: Stat


class SetDataResponse(Response):
    """The node's Stat after the write."""

    stat: Stat


class SetACLResponse(Response):
    """The node's Stat after the change."""

    stat: Stat


class GetDataResponse(Response):
    """The node's data, None where it is null, and its Stat."""

    data: Buffer | None
    stat: Stat


class GetChildrenResponse(Response):
    """The names of the children, in no order."""

    children: list[UString]


class GetChildren2Response(Response):
    """The names of the children, in no order, and the parent's Stat."""

    children: list[UString]
    stat: Stat


class GetACLResponse(Response):
    """The node's access control list, and its Stat."""

    acl: list[ACL]
    stat: Stat


class SyncResponse(Response):
    """The path that was asked for, whatever it was."""

    path: UString | None


class GetEphemeralsResponse(Response):
    """The paths of this session's ephemeral nodes."""

    ephemerals: list[UString]


class GetAllChildrenNumberResponse(Response):
    """How many descendants the node has."""

    total_number: Int


class ClientInfo(Record):
    """One identity of the connection that asked."""

    auth_scheme: UString
    user: UString


REPLY_CODECS["ClientInfo"] = Codec(ClientInfo.encode, ClientInfo.read, 8)


class WhoAmIResponse(Response):
    """The identities of the connection that asked."""

    client_info: list[ClientInfo]


class SaslResponse(Response):
    """The server's SASL token; None before the end says that the server has no SASL."""

    _secret = ("token",)

    token: Buffer | None


class ErrorResponse(Response):
    """An error code as a record: the reply to AddWatch, and a result inside a multi."""

    err: Int


class WatcherEvent(Response):
    """A change a watch was set for.   type: EventType.   state: KeeperState, 3 in all servers since 3.3."""

    type: Int
    state: Int
    path: UString | None
