"""The results of a multi, as the reply lists them.

Rule: one result for each operation; which kind it is follows from what was done, not from what was asked.

Source: MultiResponse.java, FinalRequestProcessor.java.
"""

from __future__ import annotations

from collections.abc import Sequence

from zk_wire import STAT, CheckResult, CreateResult, DeleteResult, ErrorResult, Op, OpResult, SetDataResult, Stat

from .transactions import Applied, CreateNode, DeleteNode, Failed, SetData

__all__ = ["multi_results"]


def multi_results(ops: Sequence[Op], applied: Sequence[Applied]) -> list[OpResult]:
    """Return the results of the operations, in their order."""
    return [_result(outcome) for _operation, outcome in zip(ops, applied, strict=True)]


def _result(outcome: Applied) -> OpResult:
    match outcome.change:
        case CreateNode(path=path, with_stat=with_stat):
            return CreateResult(path, Stat(*STAT.unpack(outcome.stat)) if with_stat else None)
        case DeleteNode():
            return DeleteResult()
        case SetData():
            return SetDataResult(Stat(*STAT.unpack(outcome.stat)))
        case Failed(code=code):
            return ErrorResult(code)
        case _:
            return CheckResult()
