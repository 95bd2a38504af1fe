"""From a request to a transaction: every check a write has to pass, in the server's order.

Rule: reads the tree, changes nothing. What earlier operations of the same multi will have done is kept beside the tree
until the multi ends; the usage of a quota is not, so a multi can exceed one, as on a real server.

Source: PrepRequestProcessor.java, ZooKeeperServer.checkQuota.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from zk_wire import (
    ACL,
    CheckVersionRequest,
    Create2Request,
    CreateContainerRequest,
    CreateMode,
    CreateRequest,
    CreateTTLRequest,
    DeleteContainerRequest,
    DeleteRequest,
    ErrorCode,
    Id,
    InvalidPathError,
    Op,
    Permission,
    ReconfigRequest,
    SetACLRequest,
    SetDataRequest,
    check_path,
)

from .permissions import check_permission, fix_acl
from .refusal import BrokenRequestError, RefusedError
from .transactions import Change, CreateNode, DeleteNode, Failed, Nothing, SetAcl, SetData
from .tree import SPECIAL_PATHS, NodeKind, Tree, split, wrap_int
from .versions import Profile

__all__ = ["Preparation", "Rules", "Write"]

Write = Op | SetACLRequest | DeleteContainerRequest | ReconfigRequest
_Create = CreateRequest | Create2Request | CreateContainerRequest | CreateTTLRequest

_LONGEST_TTL_MS = 0xFFFFFFFFFF
_NO_DATA = b""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a server was configured to allow.   profile: what its version does."""

    profile: Profile
    ttl_nodes: bool
    enforce_quotas: bool
    reconfig: bool
    skip_acl: bool


@dataclass(frozen=True, slots=True)
class _Record:
    """What the checks need to know of a node."""

    acl: tuple[ACL, ...]
    version: int
    aversion: int
    creations: int
    children: int
    ephemeral: bool
    data_length: int


class Preparation:
    """The checks of one request, or of all operations of one multi.

    session_id: whose ephemerals they will be.   identities: of the connection that asks.
    ephemerals: False for a session that only one member of an ensemble knows.
    """

    def __init__(
        self, tree: Tree, rules: Rules, session_id: int, identities: Sequence[Id], *, ephemerals: bool = True
    ) -> None:
        self._tree = tree
        self._rules = rules
        self._session_id = session_id
        self._identities = identities
        self._ephemerals = ephemerals
        self._pending: dict[str, _Record | None] = {}

    def single(self, request: Write) -> Change:
        """Return the change a request comes to; `Failed` when it is refused."""
        try:
            return self._prepare(request, in_multi=False)
        except RefusedError as refusal:
            return Failed(refusal.code)

    def multi(self, ops: Sequence[Op]) -> tuple[Change, ...]:
        """Return the changes of all operations; when one is refused, each of them is `Failed`.

        Raises BrokenRequestError when a real server would stumble over one.
        """
        changes: list[Change] = []
        for index, request in enumerate(ops):
            try:
                changes.append(self._prepare(request, in_multi=True))
            except RefusedError as refusal:
                after = len(ops) - index - 1
                return (
                    *(Failed(0) for _ in range(index)),
                    Failed(refusal.code),
                    *(Failed(ErrorCode.RUNTIME_INCONSISTENCY) for _ in range(after)),
                )
        return tuple(changes)

    def _prepare(self, request: Write, *, in_multi: bool) -> Change:
        match request:
            case CreateRequest() | Create2Request() | CreateContainerRequest() | CreateTTLRequest():
                return self._create(request, in_multi)
            case DeleteRequest():
                return self._delete(request.path, request.version)
            case SetDataRequest():
                return self._set_data(request)
            case SetACLRequest():
                return self._set_acl(request)
            case CheckVersionRequest():
                _check_full_path(request.path)
                record = self._record(request.path)
                self._permit(record, Permission.READ)
                self._next_version(record.version, request.version)
                return Nothing()
            case DeleteContainerRequest():
                return self._delete_container(request.path)
            case ReconfigRequest():
                raise RefusedError(ErrorCode.UNIMPLEMENTED if self._rules.reconfig else ErrorCode.RECONFIG_DISABLED)

    # One operation each

    def _create(self, request: _Create, in_multi: bool) -> CreateNode:
        mode, with_stat = self._mode(request, in_multi)
        if in_multi and mode.is_ttl and not isinstance(request, CreateTTLRequest):
            raise BrokenRequestError
        ttl_ms = request.ttl_ms if isinstance(request, CreateTTLRequest) and (mode.is_ttl or not in_multi) else -1
        if mode.is_ttl and not self._rules.ttl_nodes:
            raise RefusedError(ErrorCode.UNIMPLEMENTED)
        if not (1 <= ttl_ms <= _LONGEST_TTL_MS if mode.is_ttl else ttl_ms < 0):
            raise RefusedError(ErrorCode.BAD_ARGUMENTS)
        if isinstance(request, CreateTTLRequest) and not mode.is_ttl and not in_multi:
            raise RefusedError(ErrorCode.BAD_ARGUMENTS)  # with a ttl of -1 a real server dies of it
        if mode.is_ephemeral and not self._ephemerals:
            raise RefusedError(ErrorCode.SESSION_EXPIRED if in_multi else ErrorCode.EPHEMERAL_ON_LOCAL_SESSION)
        path = request.path
        if "/" not in path or "\0" in path:
            raise RefusedError(ErrorCode.BAD_ARGUMENTS)
        parent_path = split(path)[0]
        acl = self._fixed(request.acl)
        parent = self._record(parent_path)
        self._permit(parent, Permission.CREATE)
        if mode.is_sequential:
            path += f"{parent.creations:010d}"
        _check_full_path(path)
        if self._find(path) is not None:
            raise RefusedError(ErrorCode.NODE_EXISTS)
        if parent.ephemeral:
            raise RefusedError(ErrorCode.NO_CHILDREN_FOR_EPHEMERALS)
        data = request.data
        size = len(data or _NO_DATA)
        self._check_quota(path, 1, size)
        if self._is_container(request, mode, in_multi):
            kind = NodeKind.CONTAINER
        elif mode.is_ttl:
            kind = NodeKind.TTL
        elif mode.is_ephemeral:
            kind = NodeKind.EPHEMERAL
        else:
            kind = NodeKind.PERSISTENT
        creations = wrap_int(parent.creations + 1)
        self._pending[parent_path] = replace(parent, creations=creations, children=parent.children + 1)
        self._pending[path] = _Record(acl, 0, 0, 0, 0, mode.is_ephemeral, size)
        return CreateNode(
            path,
            data,
            acl,
            kind,
            self._session_id if kind is NodeKind.EPHEMERAL else 0,
            ttl_ms if kind is NodeKind.TTL else 0,
            creations,
            with_stat,
        )

    def _mode(self, request: _Create, in_multi: bool) -> tuple[CreateMode, bool]:
        """The mode, and whether a multi's result has a Stat. The opcode decides outside a multi, the flags inside."""
        try:
            mode = CreateMode(request.flags)
        except ValueError:
            raise RefusedError(ErrorCode.BAD_ARGUMENTS) from None
        new = self._rules.profile.create2_in_multi
        with_stat = (
            mode.is_container
            or (isinstance(request, CreateTTLRequest) and mode.is_ttl)
            or (new and isinstance(request, Create2Request | CreateContainerRequest))
        )
        return mode, with_stat if in_multi else True

    def _is_container(self, request: _Create, mode: CreateMode, in_multi: bool) -> bool:
        by_opcode = isinstance(request, CreateContainerRequest)
        if not in_multi:
            return by_opcode
        return mode.is_container or (by_opcode and self._rules.profile.create2_in_multi)

    def _delete(self, path: str, version: int) -> DeleteNode:
        parent_path, parent = self._deletable(path)
        self._permit(parent, Permission.DELETE)
        record = self._record(path)
        self._next_version(record.version, version)
        return self._deleted(path, record, parent_path, parent)

    def _delete_container(self, path: str) -> DeleteNode:
        if not self._rules.profile.delete_container:
            raise RefusedError(ErrorCode.BAD_ARGUMENTS)
        if "/" not in path or "\0" in path or path in SPECIAL_PATHS:
            raise RefusedError(ErrorCode.BAD_ARGUMENTS)
        record = self._record(path)
        if record.children:
            raise RefusedError(ErrorCode.NOT_EMPTY)
        if record.ephemeral:
            raise RefusedError(ErrorCode.BAD_VERSION)
        parent_path = split(path)[0]
        return self._deleted(path, record, parent_path, self._record(parent_path))

    def _deletable(self, path: str) -> tuple[str, _Record]:
        if "/" not in path or "\0" in path or path in SPECIAL_PATHS:
            raise RefusedError(ErrorCode.BAD_ARGUMENTS)
        parent_path = split(path)[0]
        return parent_path, self._record(parent_path)

    def _deleted(self, path: str, record: _Record, parent_path: str, parent: _Record) -> DeleteNode:
        if record.children:
            raise RefusedError(ErrorCode.NOT_EMPTY)
        self._pending[parent_path] = replace(parent, children=parent.children - 1)
        self._pending[path] = None
        return DeleteNode(path)

    def _set_data(self, request: SetDataRequest) -> SetData:
        path = _check_full_path(request.path)
        record = self._record(path)
        self._permit(record, Permission.WRITE)
        size = len(request.data or _NO_DATA)
        self._check_quota(path, 0, size - record.data_length)
        version = self._next_version(record.version, request.version)
        self._pending[path] = replace(record, version=version, data_length=size)
        return SetData(path, request.data, version)

    def _set_acl(self, request: SetACLRequest) -> SetAcl:
        path = _check_full_path(request.path)
        acl = self._fixed(request.acl)
        record = self._record(path)
        self._permit(record, Permission.ADMIN)
        return SetAcl(path, acl, self._next_version(record.aversion, request.version))

    # Checks

    def _find(self, path: str) -> _Record | None:
        if path in self._pending:
            return self._pending[path]
        node = self._tree.nodes.get(path)
        if node is None:
            return None
        return _Record(
            node.acl,
            node.version,
            node.aversion,
            node.creations,
            len(node.children),
            node.kind is NodeKind.EPHEMERAL,
            len(node.data or _NO_DATA),
        )

    def _record(self, path: str) -> _Record:
        record = self._find(path)
        if record is None:
            raise RefusedError(ErrorCode.NO_NODE)
        return record

    def _fixed(self, acl: Sequence[ACL] | None) -> tuple[ACL, ...]:
        return fix_acl(acl, self._identities, ipv6=self._rules.profile.ipv6_acls)

    def _permit(self, record: _Record, permission: Permission) -> None:
        if not self._rules.skip_acl:
            check_permission(record.acl, permission, self._identities)

    def _next_version(self, current: int, expected: int) -> int:
        if expected not in (-1, current):
            raise RefusedError(ErrorCode.BAD_VERSION)
        following = wrap_int(current + 1)
        if following == -1 and self._rules.profile.version_skips_minus_one:
            return 0
        return following

    def _check_quota(self, path: str, count: int, size: int) -> None:
        if not (self._rules.enforce_quotas and self._rules.profile.hard_quotas):
            return
        root = self._tree.quotas.covering(path)
        known = None if root is None else self._tree.usage_of(root)
        if known is not None and known[0].exceeded_by(known[1], count, size):
            raise RefusedError(ErrorCode.QUOTA_EXCEEDED)


def _check_full_path(path: str | None) -> str:
    if path is None:
        raise RefusedError(ErrorCode.BAD_ARGUMENTS)
    try:
        check_path(path)
    except InvalidPathError:
        raise RefusedError(ErrorCode.BAD_ARGUMENTS) from None
    return path
