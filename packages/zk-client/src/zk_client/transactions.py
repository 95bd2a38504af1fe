"""Transactions (multi) and batches of reads (multiRead).

Rule: a transaction is applied as a whole or not at all. When its reply is lost, one of its own creates can prove
what became of it: an ephemeral node, one with a unique name, or the marker node asked for by `marker`.
"""

from __future__ import annotations

from zk_wire import (
    OPEN_ACL_UNSAFE,
    CheckVersionRequest,
    ConnectionLostError,
    Create2Request,
    CreateContainerRequest,
    CreateMode,
    CreateRequest,
    CreateResult,
    CreateTTLRequest,
    DeleteRequest,
    ErrorResult,
    GetChildrenRequest,
    GetChildrenResult,
    GetDataRequest,
    GetDataResult,
    MultiReadRequest,
    MultiRequest,
    OpCode,
    Outcome,
    ServerError,
    SetDataRequest,
    error_for_code,
)

from ._session.recovery import DeleteRecovery
from ._session.transaction_recovery import TransactionRecovery
from .calls import Call, Inline
from .errors import TransactionFailedError
from .operations import check_value, check_version, create_kind, encode_acls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Any, Self

    from zk_wire import ACL, Stat

    from .calls import CallOwner
    from .operations import Operations
    from .port import Operation, OperationResult

ReadResult = tuple["bytes | None", "Stat"] | list[str] | ServerError


class Draft:
    """The operations of a transaction, before it is committed."""

    def __init__(
        self,
        operations: Operations,
        default_acl: Sequence[ACL] | None,
        marker: str | None = None,
        guid: str = "",
    ) -> None:
        self._operations = operations
        self._default_acl = tuple(default_acl) if default_acl is not None else OPEN_ACL_UNSAFE
        self._unique: set[int] = set()
        self._marker = f"{marker.rstrip('/')}/{guid}" if marker is not None else None
        if self._marker is not None:
            operations.full(self._marker)
        self.operations: list[Operation] = []
        self.committed = False
        self._marker_removed = False

    def create(
        self,
        path: str,
        value: bytes | None = b"",
        acl: Sequence[ACL] | None = None,
        ephemeral: bool = False,
        sequence: bool = False,
        *,
        container: bool = False,
        ttl: float | None = None,
        include_data: bool = False,
        unique: bool = False,
    ) -> Self:
        """Create a node; its result is the path, and with `include_data` the Stat where the server gives it.

        Parameters as in `Client.create`.
        """
        opcode, mode, ttl_ms = create_kind(ephemeral, sequence, container, ttl)
        full = self._operations.sequential(path) if mode.is_sequential else self._operations.full(path)
        acls = self._default_acl if acl is None else tuple(acl)
        encode_acls(acls)
        data = check_value(path, value)
        if unique:
            self._unique.add(len(self.operations))
        if ttl_ms is not None:
            return self._add(CreateTTLRequest(full, data, acls, mode, ttl_ms))
        if opcode is OpCode.CREATE_CONTAINER:
            return self._add(CreateContainerRequest(full, data, acls, mode))
        if include_data:
            return self._add(Create2Request(full, data, acls, mode))
        return self._add(CreateRequest(full, data, acls, mode))

    def delete(self, path: str, version: int = -1) -> Self:
        """Delete a node; its result is True."""
        return self._add(DeleteRequest(self._operations.full(path), check_version(path, version)))

    def set_data(self, path: str, value: bytes | None, version: int = -1) -> Self:
        """Replace a node's data; its result is the new Stat."""
        data = check_value(path, value)
        return self._add(SetDataRequest(self._operations.full(path), data, check_version(path, version)))

    def check(self, path: str, version: int = -1) -> Self:
        """Require that a node exists, with that data version unless it is -1; its result is True."""
        return self._add(CheckVersionRequest(self._operations.full(path), check_version(path, version)))

    def add(self, operation: Operation) -> Self:
        """Add a ready-made operation, such as a lock's `guard()`; its path is below the chroot like any other.

        A create whose ACL is empty, which no server takes, gets the client's default.
        """
        path = operation.path
        if isinstance(operation, (CreateRequest, Create2Request, CreateTTLRequest, CreateContainerRequest)):
            full = self._operations.sequential(path or "") if CreateMode(operation.flags).is_sequential else None
            full = full if full is not None else self._operations.full(path or "")
            acl = operation.acl or self._default_acl
            if isinstance(operation, CreateTTLRequest):
                ttl = operation.ttl_ms
                return self._add(CreateTTLRequest(full, operation.data, acl, operation.flags, ttl))
            return self._add(type(operation)(full, operation.data, acl, operation.flags))
        full = self._operations.full(path or "")
        if isinstance(operation, SetDataRequest):
            return self._add(SetDataRequest(full, operation.data, operation.version))
        if isinstance(operation, (DeleteRequest, CheckVersionRequest)):
            return self._add(type(operation)(full, operation.version))
        raise TypeError(f"a transaction takes create, delete, set and check, not {type(operation).__name__}")

    def _add(self, operation: Operation) -> Self:
        if self.committed:
            raise ValueError("this transaction is already committed; begin another")
        self.operations.append(operation)
        return self

    def call(self) -> Call[list[OperationResult]]:
        """Commit: the call, ready to be submitted; raises ValueError the second time."""
        if self.committed:
            raise ValueError("this transaction is already committed; begin another")
        self.committed = True
        operations = list(self.operations)
        unique = set(self._unique)
        if self._marker is not None:
            # An ephemeral marker of a secret name, last in the transaction, witnesses for all of it.
            full = self._operations.full(self._marker)
            unique.add(len(operations))
            operations.append(CreateRequest(full, b"", OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL))
        request = MultiRequest(operations)

        def decode(buf: bytes, pos: int, end: int) -> Any:
            return request.decode_response(buf, pos, end).results

        payload = request.payload()
        self._operations.check_size("transaction", payload)
        call: Call[Any] = Call(self._operations.owner, payload, decode, None)
        call.recovery = TransactionRecovery(operations, unique, self._marker)
        call.convert = self._results
        if self._marker is not None:
            call.callbacks = [_Unmark(self._operations.owner)]
        return call

    def _results(self, results: Sequence[Any]) -> list[OperationResult]:
        paths = [operation.path for operation in self.operations]
        failed = next((i for i, r in enumerate(results) if isinstance(r, ErrorResult) and r.code not in (0, -2)), None)
        if failed is None and any(isinstance(r, ErrorResult) for r in results):
            failed = next(i for i, r in enumerate(results) if isinstance(r, ErrorResult))
        if failed is not None:
            shown = [self._operations.shown(path or "") for path in paths] + [self._marker or ""]
            errors = [
                error_for_code(r.code if isinstance(r, ErrorResult) else 0, shown[i]) for i, r in enumerate(results)
            ]
            raise TransactionFailedError(failed, errors)
        given: list[OperationResult] = []
        for result in results[: len(paths)]:
            if isinstance(result, CreateResult):
                given.append(CreateResult(self._operations.shown(result.path), result.stat))
            else:
                given.append(result)
        if self._marker is not None and not self._marker_removed:
            # Nobody waits for this; should it be lost, it is tried again for as long as the session lives.
            self._marker_removed = True
            removal = self._operations.delete(self._marker)
            removal.recovery = _MarkerRecovery(self._operations.full(self._marker), self._marker)
            removal.callbacks = [_RemoveAgain(self._operations.owner)]
            self._operations.owner.submit(removal)
        return given

    def commit_async(self) -> Call[list[OperationResult]]:
        """As `commit`, at once, with a future."""
        call = self.call()
        self._operations.owner.submit(call)
        return call


class _Unmark(Inline):
    """Sees to the marker of a transaction that has lost its reply, and perhaps was applied."""

    __slots__ = ("_owner",)

    def __init__(self, owner: CallOwner) -> None:
        self._owner = owner

    def __call__(self, call: Call[Any]) -> None:
        if call.failure is not None and not call.to_undo:
            self._owner.undo(call)


class _MarkerRecovery(DeleteRecovery):
    """The delete of a marker, which nobody waits for. marker: by the user's path."""

    __slots__ = ("_marker",)

    def __init__(self, path: str, marker: str) -> None:
        super().__init__(path)
        self._marker = marker

    def left_behind(self, reply: Any) -> str | None:
        return self._marker


class _RemoveAgain(Inline):
    """Sees to a marker that may still be there, because its delete was lost."""

    __slots__ = ("_owner",)

    def __init__(self, owner: CallOwner) -> None:
        self._owner = owner

    def __call__(self, call: Call[Any]) -> None:
        if isinstance(call.failure, ConnectionLostError):
            # Nobody else has this call: whether it was sent makes no difference to what is left.
            call.failure = ConnectionLostError(call.path, outcome=Outcome.UNKNOWN)
            self._owner.undo(call)


class Transaction(Draft):
    """Operations that are applied together or not at all.

    Add operations, then `commit`; as a context manager it commits when the block ends without an exception.
    A transaction is committed once; adding to it afterwards raises ValueError.
    """

    def __init__(
        self,
        operations: Operations,
        default_acl: Sequence[ACL] | None,
        marker: str | None = None,
        guid: str = "",
        run: Callable[[Call[list[OperationResult]]], list[OperationResult]] | None = None,
    ) -> None:
        super().__init__(operations, default_acl, marker, guid)
        self._run = run

    def commit(self) -> list[OperationResult]:
        """Apply everything or nothing; one result per operation, in order.

        Raises TransactionFailedError (`.index`, `.error`, `.results`), after which nothing was applied; or
        ConnectionLostError, whose `.outcome` says what is known.
        """
        return self.commit_async().result() if self._run is None else self._run(self.call())

    def __enter__(self) -> Transaction:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and not self.committed:
            self.commit()


class ReadDraft:
    """The reads of a batch, before they are sent."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._requests: list[GetDataRequest | GetChildrenRequest] = []
        self._paths: list[str] = []

    def get(self, path: str) -> Self:
        """Read a node's data and Stat."""
        self._requests.append(GetDataRequest(self._operations.full(path), False))
        self._paths.append(path)
        return self

    def get_children(self, path: str) -> Self:
        """Read the names of a node's children."""
        self._requests.append(GetChildrenRequest(self._operations.full(path), False))
        self._paths.append(path)
        return self

    def call(self) -> Call[list[ReadResult]]:
        """The call, ready to be submitted."""
        request = MultiReadRequest(list(self._requests))

        def decode(buf: bytes, pos: int, end: int) -> list[ReadResult]:
            return [self._value(i, r) for i, r in enumerate(request.decode_response(buf, pos, end).results)]

        payload = request.payload()
        self._operations.check_size("batch of reads", payload)
        call: Call[list[ReadResult]] = Call(self._operations.owner, payload, decode, None)
        return call

    def _value(self, index: int, result: object) -> ReadResult:
        if isinstance(result, GetDataResult):
            return result.data, result.stat
        if isinstance(result, GetChildrenResult):
            return list(result.children)
        assert isinstance(result, ErrorResult)
        return error_for_code(result.code, self._paths[index])

    def commit_async(self) -> Call[list[ReadResult]]:
        """As `commit`, at once, with a future."""
        call = self.call()
        self._operations.owner.submit(call)
        return call


class ReadBatch(ReadDraft):
    """Reads that travel together; each succeeds or fails on its own (servers of 3.6 and newer)."""

    def __init__(
        self, operations: Operations, run: Callable[[Call[list[ReadResult]]], list[ReadResult]] | None = None
    ) -> None:
        super().__init__(operations)
        self._run = run

    def commit(self) -> list[ReadResult]:
        """One result per read, in order: (data, Stat), a list of names, or the error of that read as a value."""
        return self.commit_async().result() if self._run is None else self._run(self.call())
