"""What the client needs of the wire only now and then, loaded when it is first asked for.

Rule: names of `zk_wire` and nothing else. Most requests a program makes need none of the message classes, and loading
them takes a quarter of what importing this package may take.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from zk_wire import (
        AddWatchMode,
        AddWatchRequest,
        AuthPacket,
        CheckVersionRequest,
        CloseSessionRequest,
        ExistsRequest,
        GetACLRequest,
        GetAllChildrenNumberRequest,
        GetChildren2Request,
        GetDataRequest,
        GetEphemeralsRequest,
        MultiRequest,
        ReconfigRequest,
        RemoveWatchesRequest,
        SetACLRequest,
        SyncRequest,
        WatcherType,
        WhoAmIRequest,
        encode_command,
        parse_isro,
        parse_srvr,
    )
else:
    from zk_wire import __getattr__  # noqa: F401 - this module's own

__all__ = [
    "AddWatchMode",
    "AddWatchRequest",
    "AuthPacket",
    "CheckVersionRequest",
    "CloseSessionRequest",
    "ExistsRequest",
    "GetACLRequest",
    "GetAllChildrenNumberRequest",
    "GetChildren2Request",
    "GetDataRequest",
    "GetEphemeralsRequest",
    "MultiRequest",
    "ReconfigRequest",
    "RemoveWatchesRequest",
    "SetACLRequest",
    "SyncRequest",
    "WatcherType",
    "WhoAmIRequest",
    "encode_command",
    "parse_isro",
    "parse_srvr",
]
