"""What became of a transaction whose reply was lost.

Rule: as in `recovery`. One create of the transaction is its witness: when that node is there, everything was
applied, because a transaction is applied as a whole; when it provably is not, nothing was.

The results of an applied transaction are put together again from what the server shows. Where that cannot be done
(a node was changed again since), the outcome is reported as applied, without results.
"""

from __future__ import annotations

from zk_wire import (
    CheckResult,
    CheckVersionRequest,
    CreateMode,
    CreateResult,
    DeleteRequest,
    DeleteResult,
    ErrorResult,
    ExistsRequest,
    OpCode,
    Outcome,
    SetDataRequest,
    SetDataResult,
)

from .recovery import UNKNOWN, CreateRecovery, Recovery, Verdict, names_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from typing import Any

    from zk_wire import Request, Stat

    from .recovery import Answer, Investigation, Situation

    Results = Generator[Sequence[Request[Any]], Sequence[Answer], list[Any] | None]

_CREATES = frozenset((OpCode.CREATE, OpCode.CREATE2, OpCode.CREATE_CONTAINER, OpCode.CREATE_TTL))


class TransactionRecovery(Recovery):
    """A multi, by one of its creates.

    operations: with the server's paths.   unique: positions of creates whose names are the caller's alone.
    marker: the user's path of the marker node among them.
    """

    __slots__ = ("_marker", "_operations", "_unique", "_witness")

    def __init__(self, operations: Sequence[Any], unique: set[int], marker: str | None = None) -> None:
        self._operations = operations
        self._unique = unique
        self._marker = marker
        self._witness = self._choose_witness()

    def _choose_witness(self) -> int | None:
        """The create that proves most: a unique name before an ephemeral node."""
        touched = [operation.path for operation in self._operations]
        best: int | None = None
        for index, operation in enumerate(self._operations):
            if operation.opcode not in _CREATES or touched.count(operation.path) > 1:
                continue
            if index in self._unique:
                return index
            if CreateMode(operation.flags).is_ephemeral and best is None:
                best = index
        return best

    @property
    def leaves(self) -> bool:
        # Only the marker is the client's own. What else it has done may be undone by nobody: it is one with the rest.
        return self._marker is not None

    def left_behind(self, reply: Any) -> str | None:
        return None if reply and isinstance(reply[-1], ErrorResult) else self._marker

    def rivals(self) -> frozenset[str]:
        names: frozenset[str] = frozenset()
        for operation in self._operations:
            if operation.opcode in _CREATES:
                names |= names_of(operation.path, sequential=CreateMode(operation.flags).is_sequential)
            elif isinstance(operation, DeleteRequest):
                names |= names_of(operation.path, sequential=False)
        return names

    def proofs(self) -> frozenset[str]:
        if self._witness is None:
            return frozenset()
        operation = self._operations[self._witness]
        return names_of(operation.path, sequential=CreateMode(operation.flags).is_sequential)

    def investigate(self, situation: Situation) -> Investigation:
        if self._witness is None:
            return UNKNOWN
        operation = self._operations[self._witness]
        unique = self._witness in self._unique
        question = CreateRecovery(operation.path, operation.flags, unique=unique, with_stat=True)
        verdict = yield from question.investigate(situation)
        if verdict.outcome is Outcome.NOT_APPLIED:
            # The witness's own error (it existed before) is the transaction's only by its outcome.
            return Verdict(Outcome.NOT_APPLIED)
        if verdict.outcome is Outcome.UNKNOWN:
            return UNKNOWN
        path, stat = verdict.reply
        results = yield from self._results(path, stat)
        return Verdict(Outcome.APPLIED, results) if results is not None else Verdict(Outcome.APPLIED, None)

    def _results(self, witness_path: str, witness: Stat) -> Results:
        """Every result, or None when one of them cannot be known any more."""
        touched = [operation.path for operation in self._operations if not isinstance(operation, CheckVersionRequest)]
        if any(isinstance(o, SetDataRequest) and touched.count(o.path) > 1 for o in self._operations):
            return None  # the Stat after that step is not the Stat after the last one
        asked: list[tuple[int, str]] = [
            (index, operation.path or "")
            for index, operation in enumerate(self._operations)
            if isinstance(operation, SetDataRequest)
            or (operation.opcode in _CREATES and operation.opcode is not OpCode.CREATE and index != self._witness)
        ]
        answers: dict[int, Answer] = {}
        if asked:
            replies = yield [ExistsRequest(path, False) for _, path in asked]
            answers = {index: reply for (index, _), reply in zip(asked, replies, strict=True)}
        results: list[Any] = []
        for index, operation in enumerate(self._operations):
            if index == self._witness:
                results.append(CreateResult(witness_path, witness if operation.opcode is not OpCode.CREATE else None))
            elif isinstance(operation, CheckVersionRequest):
                results.append(CheckResult())
            elif isinstance(operation, DeleteRequest):
                results.append(DeleteResult())
            elif operation.opcode in _CREATES and CreateMode(operation.flags).is_sequential:
                return None
            elif index not in answers:
                results.append(CreateResult(operation.path, None))
            else:
                answer = answers[index]
                # All operations of a transaction share one zxid, so that of the witness names this one.
                if answer.error or answer.reply.stat.mzxid != witness.czxid:
                    return None
                stat = answer.reply.stat
                created = operation.opcode in _CREATES
                results.append(CreateResult(operation.path, stat) if created else SetDataResult(stat))
        return results
