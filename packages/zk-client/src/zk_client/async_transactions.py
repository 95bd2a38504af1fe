"""Transactions and batches of reads, committed by awaiting; what they consist of stands in `transactions`."""

from __future__ import annotations

from .transactions import Draft, ReadDraft

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from types import TracebackType

    from zk_wire import ACL

    from .calls import Call
    from .operations import Operations
    from .port import OperationResult
    from .transactions import ReadResult


class AsyncTransaction(Draft):
    """Operations that are applied together or not at all.

    Add operations, then `commit`; as a context manager it commits when the block ends without an exception.
    A transaction is committed once; adding to it afterwards raises ValueError.
    """

    def __init__(
        self,
        operations: Operations,
        run: Callable[[Call[list[OperationResult]]], Awaitable[list[OperationResult]]],
        default_acl: Sequence[ACL] | None,
        marker: str | None = None,
        guid: str = "",
    ) -> None:
        super().__init__(operations, default_acl, marker, guid)
        self._run = run

    async def commit(self) -> list[OperationResult]:
        """Apply everything or nothing; one result per operation, in order.

        Raises TransactionFailedError (`.index`, `.error`, `.results`), after which nothing was applied; or
        ConnectionLostError, whose `.outcome` says what is known.
        """
        return await self._run(self.call())

    async def __aenter__(self) -> AsyncTransaction:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and not self.committed:
            await self.commit()


class AsyncReadBatch(ReadDraft):
    """Reads that travel together; each succeeds or fails on its own (servers of 3.6 and newer)."""

    def __init__(
        self, operations: Operations, run: Callable[[Call[list[ReadResult]]], Awaitable[list[ReadResult]]]
    ) -> None:
        super().__init__(operations)
        self._run = run

    async def commit(self) -> list[ReadResult]:
        """One result per read, in order: (data, Stat), a list of names, or the error of that read as a value."""
        return await self._run(self.call())
