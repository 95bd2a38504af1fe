"""A tree of nodes that answers requests as a ZooKeeper server does: the truth that tests of recovery compare with.

Rule: small enough to be believed. It knows what the client's recovery asks and what writes do, and nothing else; it
remembers of each request of the client whether it was applied.
Source: protocol notes 7.1, 7.2 and 8.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from zk_wire import (
    CheckResult,
    CheckVersionRequest,
    Create2Response,
    CreateMode,
    CreateResponse,
    CreateResult,
    DeleteRequest,
    DeleteResult,
    ErrorResult,
    ExistsRequest,
    ExistsResponse,
    GetChildren2Request,
    GetChildren2Response,
    GetDataRequest,
    GetDataResponse,
    MultiRequest,
    MultiResponse,
    OpCode,
    SetDataRequest,
    SetDataResponse,
    SetDataResult,
    Stat,
    SyncRequest,
    SyncResponse,
    parent_path,
    split_path,
)

OK, NO_NODE, BAD_VERSION, NODE_EXISTS, NOT_EMPTY = 0, -101, -103, -110, -111
CREATES = (OpCode.CREATE, OpCode.CREATE2, OpCode.CREATE_CONTAINER, OpCode.CREATE_TTL)


@dataclass
class Node:
    """What the server keeps of a node."""

    data: bytes | None
    czxid: int
    mzxid: int
    pzxid: int
    version: int = 0
    cversion: int = 0
    counter: int = 0
    owner: int = 0


class RefusedError(Exception):
    """The error code of a request."""

    def __init__(self, code: int) -> None:
        self.code = code


@dataclass
class ModelServer:
    """The tree, the last zxid, and what became of each request."""

    zxid: int = 10
    nodes: dict[str, Node] = field(default_factory=lambda: {"/": Node(b"", 0, 0, 0)})

    def children(self, path: str) -> list[str]:
        """The names below a node."""
        return [split_path(other)[1] for other in self.nodes if other != "/" and parent_path(other) == path]

    def stat(self, path: str) -> Stat:
        """A node's Stat."""
        node = self.nodes[path]
        size = len(node.data or b"")
        count = len(self.children(path))
        return Stat(node.czxid, node.mzxid, 0, 0, node.version, node.cversion, 0, node.owner, size, count, node.pzxid)

    def execute(self, request: Any, session: int) -> tuple[int, Any]:
        """Do what a request asks for: (error code, response)."""
        if isinstance(request, MultiRequest):
            return OK, self._multi(request, session)
        try:
            if isinstance(request, ExistsRequest):
                return OK, ExistsResponse(self._found(request.path))
            if isinstance(request, GetDataRequest):
                return OK, GetDataResponse(
                    self.nodes[request.path].data if self._found(request.path) else None, self.stat(request.path)
                )
            if isinstance(request, GetChildren2Request):
                return OK, GetChildren2Response(self.children(request.path), self._found(request.path))
            if isinstance(request, SyncRequest):
                return OK, SyncResponse(request.path)
            self.zxid += 1
            return OK, self._write(request, session)
        except RefusedError as refused:
            return refused.code, None

    def _found(self, path: str) -> Stat:
        if path not in self.nodes:
            raise RefusedError(NO_NODE)
        return self.stat(path)

    def _write(self, request: Any, session: int) -> Any:
        if request.opcode in CREATES:
            path = self._create(request.path, request.data, CreateMode(request.flags), session)
            plain = request.opcode is OpCode.CREATE
            return CreateResponse(path) if plain else Create2Response(path, self.stat(path))
        if isinstance(request, DeleteRequest):
            return self._delete(request.path, request.version)
        assert isinstance(request, SetDataRequest)
        assert request.path is not None
        return SetDataResponse(self._set(request.path, request.data, request.version))

    def _create(self, path: str, data: bytes | None, mode: CreateMode, session: int) -> str:
        parent = self.nodes.get(split_path(path)[0])
        if parent is None:
            raise RefusedError(NO_NODE)
        if mode.is_sequential:
            path = f"{path}{parent.counter:010d}"
        if path in self.nodes:
            raise RefusedError(NODE_EXISTS)
        parent.counter += 1
        parent.cversion += 1
        parent.pzxid = self.zxid
        self.nodes[path] = Node(data, self.zxid, self.zxid, self.zxid, owner=session if mode.is_ephemeral else 0)
        return path

    def _delete(self, path: str, version: int) -> None:
        self._match(path, version)
        if self.children(path):
            raise RefusedError(NOT_EMPTY)
        del self.nodes[path]
        parent = self.nodes[parent_path(path)]
        parent.cversion += 1
        parent.pzxid = self.zxid

    def _set(self, path: str, data: bytes | None, version: int) -> Stat:
        node = self._match(path, version)
        node.data, node.mzxid, node.version = data, self.zxid, node.version + 1
        return self.stat(path)

    def _match(self, path: str, version: int) -> Node:
        node = self.nodes.get(path)
        if node is None:
            raise RefusedError(NO_NODE)
        if version not in (-1, node.version):
            raise RefusedError(BAD_VERSION)
        return node

    def _multi(self, request: MultiRequest, session: int) -> MultiResponse:
        before = {path: Node(**vars(node)) for path, node in self.nodes.items()}
        self.zxid += 1
        results: list[Any] = []
        try:
            for operation in request.ops:
                if isinstance(operation, CheckVersionRequest):
                    self._match(operation.path, operation.version)
                    results.append(CheckResult())
                    continue
                done = self._write(operation, session)
                if isinstance(done, (CreateResponse, Create2Response)):
                    results.append(CreateResult(done.path, getattr(done, "stat", None)))
                else:
                    results.append(DeleteResult() if done is None else SetDataResult(done.stat))
        except RefusedError as refused:
            self.nodes = before
            position = len(results)
            behind = [ErrorResult(-2)] * (len(request.ops) - position - 1)
            return MultiResponse([*[ErrorResult(0)] * position, ErrorResult(refused.code), *behind])
        return MultiResponse(results)


def applied(error: int, response: Any) -> bool:
    """Whether a write with this answer has changed anything."""
    if error:
        return False
    return not (isinstance(response, MultiResponse) and any(isinstance(r, ErrorResult) for r in response.results))
