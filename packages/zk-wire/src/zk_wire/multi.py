"""Transactions (multi) and bundled reads (multiRead): many operations in one frame.

Rule: a result is read by the type in its own header, never by what was sent.  Servers before
3.8.2 answer a create2 inside a multi as a create, and any operation may become an ErrorResult.

Each operation is a MultiHeader(type, done=0, err=-1) and its record; MultiHeader(-1, done=1, -1)
ends the list.  A failed multi has a reply header without an error: the results say what happened,
with code 0 before the operation that failed and -2 after it.
Source: MultiOperationRecord.java, MultiResponse.java.
"""

from __future__ import annotations

from .errors import LocalProtocolError, RemoteProtocolError
from .messages import (
    CheckVersionRequest,
    Create2Request,
    CreateContainerRequest,
    CreateRequest,
    CreateTTLRequest,
    DeleteRequest,
    GetChildrenRequest,
    GetDataRequest,
    SetDataRequest,
)
from .opcodes import OpCode
from .primitives import Buffer, Int, UString
from .record import Record, Request, Response
from .replies import Create2Response, CreateResponse
from .session import MultiHeader
from .stat import Stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self, TypeAlias, TypeVar

    _O = TypeVar("_O", bound=Record)

_END = MultiHeader(-1, True, -1)


# Results


class CreateResult(Record):
    """A node was created; the Stat is missing where the server answered as to a plain create."""

    path: UString
    stat: Stat | None

    def encode(self) -> bytes:
        """Return the result without its header."""
        if self.stat is None:
            return CreateResponse(self.path).encode()
        return Create2Response(self.path, self.stat).encode()


class DeleteResult(Record):
    """A node was deleted."""


class SetDataResult(Record):
    """Data was replaced; the Stat is the one after this step."""

    stat: Stat


class CheckResult(Record):
    """A version was as expected."""


class ErrorResult(Record):
    """An operation failed, or (code 0 and -2) stood before or after one that did."""

    code: Int


class GetDataResult(Record):
    """A node's data and Stat, in a multiRead."""

    data: Buffer | None
    stat: Stat


class GetChildrenResult(Record):
    """The names of a node's children, in a multiRead."""

    children: list[UString]


OpResult: TypeAlias = (
    CreateResult | DeleteResult | SetDataResult | CheckResult | ErrorResult | GetDataResult | GetChildrenResult
)


def _encode_result(result: OpResult) -> bytes:
    kind, err = -1, 0
    match result:
        case CreateResult():
            kind = OpCode.CREATE if result.stat is None else OpCode.CREATE2
        case DeleteResult():
            kind = OpCode.DELETE
        case SetDataResult():
            kind = OpCode.SET_DATA
        case CheckResult():
            kind = OpCode.CHECK
        case GetDataResult():
            kind = OpCode.GET_DATA
        case GetChildrenResult():
            kind = OpCode.GET_CHILDREN
        case ErrorResult():
            err = result.code
    return MultiHeader(kind, False, err).encode() + result.encode()


_RESULTS: dict[
    int, type[DeleteResult | SetDataResult | CheckResult | ErrorResult | GetDataResult | GetChildrenResult]
] = {
    OpCode.DELETE: DeleteResult,
    OpCode.SET_DATA: SetDataResult,
    OpCode.CHECK: CheckResult,
    OpCode.ERROR: ErrorResult,
    OpCode.GET_DATA: GetDataResult,
    OpCode.GET_CHILDREN: GetChildrenResult,
}


def _read_result(kind: int, buf: bytes, pos: int, end: int) -> tuple[OpResult, int]:
    if kind == OpCode.CREATE:
        created, pos = CreateResponse.read(buf, pos, end)
        return CreateResult(created.path, None), pos
    if kind == OpCode.CREATE2:
        created2, pos = Create2Response.read(buf, pos, end)
        return CreateResult(created2.path, created2.stat), pos
    if kind not in _RESULTS:
        raise RemoteProtocolError(f"a multi result of the unknown type {kind} at offset {pos}")
    return _RESULTS[kind].read(buf, pos, end)


class _Results(Response):
    """What the two responses share: they differ only in which results make sense."""

    results: list[OpResult]

    def encode(self) -> bytes:
        """Return the results and the end mark as bytes."""
        return b"".join([_encode_result(result) for result in self.results]) + _END.encode()

    @classmethod
    def read(cls, buf: bytes, pos: int, end: int) -> tuple[Self, int]:
        """Read results up to the end mark."""
        results: list[OpResult] = []
        while True:
            header, pos = MultiHeader.read(buf, pos, end)
            if header.done:
                return cls(results), pos
            result, pos = _read_result(header.type, buf, pos, end)
            results.append(result)


class MultiResponse(_Results):
    """The results of a multi, one per operation, in their order."""


class MultiReadResponse(_Results):
    """The results of a multiRead, one per operation; each fails or succeeds on its own."""


# Operations

Op: TypeAlias = (
    CreateRequest
    | Create2Request
    | CreateContainerRequest
    | CreateTTLRequest
    | DeleteRequest
    | SetDataRequest
    | CheckVersionRequest
)
ReadOp: TypeAlias = GetDataRequest | GetChildrenRequest

_OPS: dict[int, type[Op]] = {
    operation.opcode: operation
    for operation in (
        CreateRequest,
        Create2Request,
        CreateContainerRequest,
        CreateTTLRequest,
        DeleteRequest,
        SetDataRequest,
        CheckVersionRequest,
    )
}
_READ_OPS: dict[int, type[ReadOp]] = {4: GetDataRequest, 8: GetChildrenRequest}


def _encode_ops(
    name: str, ops: Sequence[Request[object]], allowed: dict[int, type[Op]] | dict[int, type[ReadOp]]
) -> bytes:
    parts: list[bytes] = []
    for index, operation in enumerate(ops):
        if allowed.get(operation.opcode) is not type(operation):
            raise LocalProtocolError(f"{name}.ops[{index}]: {type(operation).__name__} is not allowed there")
        parts.append(MultiHeader(operation.opcode, False, -1).encode())
        parts.append(operation.encode())
    parts.append(_END.encode())
    return b"".join(parts)


def _read_ops(name: str, allowed: dict[int, type[_O]], buf: bytes, pos: int, end: int) -> tuple[list[_O], int]:
    ops: list[_O] = []
    while True:
        header, pos = MultiHeader.read(buf, pos, end)
        if header.done:
            return ops, pos
        kind = allowed.get(header.type)
        if kind is None:
            raise RemoteProtocolError(f"{name}.ops[{len(ops)}]: type {header.type} is not allowed there")
        operation, pos = kind.read(buf, pos, end)
        ops.append(operation)


class MultiRequest(Request[MultiResponse]):
    """Do all of some writes and checks, or none of them."""

    opcode = OpCode.MULTI

    ops: Sequence[Op]

    def encode(self) -> bytes:
        """Return the operations and the end mark as bytes.

        Raises LocalProtocolError, which names the index, for an operation not allowed in a multi.
        """
        return _encode_ops("MultiRequest", self.ops, _OPS)

    @classmethod
    def read(cls, buf: bytes, pos: int, end: int) -> tuple[Self, int]:
        """Read operations up to the end mark; any kind a server refuses here cannot be decoded."""
        ops, pos = _read_ops("MultiRequest", _OPS, buf, pos, end)
        return cls(ops), pos


class MultiReadRequest(Request[MultiReadResponse]):
    """Several reads in one frame, each of which fails or succeeds on its own."""

    opcode = OpCode.MULTI_READ

    ops: Sequence[ReadOp]

    def encode(self) -> bytes:
        """Return the operations and the end mark as bytes.

        Raises LocalProtocolError, which names the index, for an operation that is not a read.
        """
        return _encode_ops("MultiReadRequest", self.ops, _READ_OPS)

    @classmethod
    def read(cls, buf: bytes, pos: int, end: int) -> tuple[Self, int]:
        """Read operations up to the end mark; any kind a server refuses here cannot be decoded."""
        ops, pos = _read_ops("MultiReadRequest", _READ_OPS, buf, pos, end)
        return cls(ops), pos
