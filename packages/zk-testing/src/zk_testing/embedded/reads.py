"""What a server answers from its tree, without a transaction.

Rule: each function returns the bytes behind the reply's header, or refuses; a watch is set by the call that may set
one, and at the moment the server would.

Source: FinalRequestProcessor.java.
"""

from __future__ import annotations

from collections.abc import Callable

from zk_wire import (
    AddWatchRequest,
    CheckWatchesRequest,
    ClientInfo,
    ErrorCode,
    ErrorResponse,
    ErrorResult,
    ExistsRequest,
    GetACLRequest,
    GetACLResponse,
    GetAllChildrenNumberRequest,
    GetAllChildrenNumberResponse,
    GetChildren2Request,
    GetChildrenRequest,
    GetChildrenResult,
    GetDataRequest,
    GetDataResult,
    GetEphemeralsRequest,
    GetEphemeralsResponse,
    MultiReadRequest,
    MultiReadResponse,
    Permission,
    RemoveWatchesRequest,
    Request,
    WhoAmIResponse,
)

from .client import Client
from .permissions import allows, masked
from .refusal import BrokenRequestError, RefusedError
from .tree import Node, Tree
from .versions import Profile
from .watches import Watches

__all__ = ["Reads"]

_READ = int(Permission.READ)
_READ_OR_ADMIN = int(Permission.READ | Permission.ADMIN)
_ADMIN = int(Permission.ADMIN)
_TRIMMED = "".join(map(chr, range(33)))  # what Java's trim takes away


class Reads:
    """The reading operations over one tree and its watches."""

    def __init__(self, tree: Tree, watches: Watches[Client], profile: Profile, skip_acl: bool) -> None:
        self._tree = tree
        self._watches = watches
        self._profile = profile
        self._skip_acl = skip_acl

    def table(self) -> dict[int, Callable[[Client, Request[object]], bytes]]:
        """Which method answers which opcode."""
        methods: dict[int, object] = {
            3: self.exists,
            4: self.get_data,
            6: self.get_acl,
            8: self.get_children,
            12: self.get_children2,
            17: self.check_watches,
            18: self.remove_watches,
            22: self.multi_read,
            103: self.get_ephemerals,
            104: self.get_all_children_number,
            106: self.add_watch,
            107: self.who_am_i,
        }
        return methods  # type: ignore[return-value]  # each method takes the request that zk_wire decodes for its opcode

    # Nodes

    def get_data(self, client: Client, request: GetDataRequest) -> bytes:
        """Data and Stat; sets a data watch."""
        node = self._readable(client, request.path)
        if request.watch:
            self._watches.data.add(request.path, client)
        data = node.data
        if data is None:
            return b"\xff\xff\xff\xff" + node.packed_stat()
        return len(data).to_bytes(4, "big") + data + node.packed_stat()

    def exists(self, client: Client, request: ExistsRequest) -> bytes:
        """The Stat; sets a data watch also where there is no node."""
        path = request.path
        if "\0" in path:
            raise RefusedError(ErrorCode.BAD_ARGUMENTS)
        node = self._tree.nodes.get(path)
        if node is not None and self._profile.filters_events:
            self._permit(client, node)
        if request.watch:
            self._watches.data.add(path, client)
        if node is None:
            raise RefusedError(ErrorCode.NO_NODE)
        return node.packed_stat()

    def get_children(self, client: Client, request: GetChildrenRequest) -> bytes:
        """The names of the children; sets a child watch."""
        return self._listed(client, request.path, request.watch).children.encoded()

    def get_children2(self, client: Client, request: GetChildren2Request) -> bytes:
        """The names of the children and the Stat; sets a child watch."""
        node = self._listed(client, request.path, request.watch)
        return node.children.encoded() + node.packed_stat()

    def get_acl(self, client: Client, request: GetACLRequest) -> bytes:
        """The access control list, with digests masked for those who may not administer the node."""
        node = self._node(request.path)
        if not self._allowed(client, node, _READ_OR_ADMIN):
            raise RefusedError(ErrorCode.NO_AUTH)
        acl = list(node.acl) if self._allowed(client, node, _ADMIN) else masked(node.acl)
        return GetACLResponse(acl, node.stat()).encode()

    def get_all_children_number(self, client: Client, request: GetAllChildrenNumberRequest) -> bytes:
        """The number of descendants."""
        self._readable(client, request.path)
        return GetAllChildrenNumberResponse(self._tree.descendants(request.path)).encode()

    def get_ephemerals(self, client: Client, request: GetEphemeralsRequest) -> bytes:
        """This session's ephemeral nodes."""
        session = client.session
        own = self._tree.ephemerals_of(session.id) if session is not None else []
        prefix = request.prefix_path
        if prefix is None or prefix.strip(_TRIMMED) in ("", "/"):
            prefix = ""
        return GetEphemeralsResponse([path for path in own if path.startswith(prefix)]).encode()

    def multi_read(self, client: Client, request: MultiReadRequest) -> bytes:
        """Several reads, each of which fails or succeeds on its own; their watch flags are ignored."""
        results: list[GetDataResult | GetChildrenResult | ErrorResult] = []
        for operation in request.ops:
            try:
                node = self._readable(client, operation.path)
            except RefusedError as refusal:
                results.append(ErrorResult(refusal.code))
                continue
            if isinstance(operation, GetDataRequest):
                results.append(GetDataResult(node.data, node.stat()))
            else:
                results.append(GetChildrenResult(node.children.listed()))
        return MultiReadResponse([*results]).encode()

    # Watches

    def add_watch(self, client: Client, request: AddWatchRequest) -> bytes:
        """Set a watch that is not used up."""
        if request.mode not in (0, 1):
            raise RefusedError(ErrorCode.MARSHALLING_ERROR)
        self._watches.add_lasting(_named(request.path), client, recursive=request.mode == 1)
        return ErrorResponse(0).encode()

    def check_watches(self, client: Client, request: CheckWatchesRequest) -> bytes:
        """Tell whether a watch is set."""
        self._check_kind(request.type)
        try:
            is_set = self._watches.is_set(_named(request.path), client, request.type)
        except BrokenRequestError:
            raise RefusedError(ErrorCode.MARSHALLING_ERROR) from None
        if not is_set:
            raise RefusedError(ErrorCode.NO_WATCHER)
        return b""

    def remove_watches(self, client: Client, request: RemoveWatchesRequest) -> bytes:
        """Remove watches."""
        self._check_kind(request.type)
        if not self._watches.remove(_named(request.path), client, request.type):
            raise RefusedError(ErrorCode.NO_WATCHER)
        return b""

    # The connection

    def who_am_i(self, client: Client, request: object) -> bytes:
        """The identities of the connection; of a digest only the user."""
        shown = [
            ClientInfo(scheme, name.partition(":")[0] if scheme == "digest" else name)
            for scheme, name in client.identities
        ]
        return WhoAmIResponse(shown).encode()

    # Helpers

    def _node(self, path: str) -> Node:
        node = self._tree.nodes.get(path)
        if node is None:
            raise RefusedError(ErrorCode.NO_NODE)
        return node

    def _allowed(self, client: Client, node: Node, permission: int) -> bool:
        return self._skip_acl or allows(node.acl, permission, client.identities)

    def _permit(self, client: Client, node: Node) -> None:
        if not self._allowed(client, node, _READ):
            raise RefusedError(ErrorCode.NO_AUTH)

    def _readable(self, client: Client, path: str) -> Node:
        node = self._node(path)
        self._permit(client, node)
        return node

    def _listed(self, client: Client, path: str, watch: bool) -> Node:
        node = self._readable(client, path)
        if watch:
            self._watches.child.add(path, client)
        return node

    def _check_kind(self, kind: int) -> None:
        if not self._watches.knows_kind(kind):
            raise RefusedError(ErrorCode.MARSHALLING_ERROR)


def _named(path: str | None) -> str:
    """Null is a path to watch like any other without a slash, where nothing will ever happen."""
    return "null" if path is None else path
