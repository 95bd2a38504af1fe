"""Which record belongs to which opcode, for whoever reads requests.

Rule: every opcode a client may send is here; what is not here is unknown to the server's side.
"""

from __future__ import annotations

from . import messages as m
from .multi import MultiReadRequest, MultiRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .record import Request

_ALL: tuple[type[Request[object]], ...] = (
    m.CreateRequest,
    m.DeleteRequest,
    m.ExistsRequest,
    m.GetDataRequest,
    m.SetDataRequest,
    m.GetACLRequest,
    m.SetACLRequest,
    m.GetChildrenRequest,
    m.SyncRequest,
    m.PingRequest,
    m.GetChildren2Request,
    m.CheckVersionRequest,
    MultiRequest,
    m.Create2Request,
    m.ReconfigRequest,
    m.CheckWatchesRequest,
    m.RemoveWatchesRequest,
    m.CreateContainerRequest,
    m.DeleteContainerRequest,
    m.CreateTTLRequest,
    MultiReadRequest,
    m.AuthPacket,
    m.SetWatches,
    m.SaslRequest,
    m.GetEphemeralsRequest,
    m.GetAllChildrenNumberRequest,
    m.SetWatches2,
    m.AddWatchRequest,
    m.WhoAmIRequest,
    m.CloseSessionRequest,
)

REQUEST_TYPES: dict[int, type[Request[object]]] = {int(request.opcode): request for request in _ALL}
