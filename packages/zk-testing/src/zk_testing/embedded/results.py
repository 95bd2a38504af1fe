"""The results of a multi, as the reply lists them, and the multis that have none.

Rule: one result for each operation; which kind it is follows from what was done, not from what was asked.

Source: MultiResponse.java, FinalRequestProcessor.java; the faults: conversations with servers of each line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from zk_wire import (
    STAT,
    CheckResult,
    Create2Request,
    CreateContainerRequest,
    CreateRequest,
    CreateResult,
    CreateTTLRequest,
    DeleteResult,
    ErrorResult,
    Op,
    OpResult,
    SetDataRequest,
    SetDataResult,
    Stat,
)

from .transactions import Applied, CreateNode, DeleteNode, Failed, SetData
from .versions import Profile

__all__ = ["Fault", "fault_of", "multi_results"]


class Fault(NamedTuple):
    """How a server stumbles over a multi that it could decode, or should have been able to: always with -5.

    with_body: a list of no results follows.   skips_zxid: the next transaction has the number after the next.
    """

    applies_zxid: bool = False
    with_body: bool = False
    skips_zxid: bool = False


def fault_of(ops: Sequence[Op], profile: Profile) -> Fault | None:
    """Return what is wrong with a multi as a whole, before any of its operations is looked at."""
    if profile.create2_in_multi:
        # These releases look at flags and list while they decode, operation by operation; the first fault is told.
        for op in ops:
            if isinstance(op, CreateRequest | Create2Request | CreateContainerRequest):
                if 0 <= op.flags <= 6 and op.acl is None:
                    return Fault(with_body=profile.garbage_takes_zxid)
                if not 0 <= op.flags <= 4:
                    return Fault(applies_zxid=True)
            elif isinstance(op, CreateTTLRequest) and not 0 <= op.flags <= 6:
                return Fault(applies_zxid=True)
    if any(isinstance(op, SetDataRequest) and op.path is None for op in ops):
        early = profile.garbage_takes_zxid
        return Fault(with_body=True, skips_zxid=True) if early else Fault(applies_zxid=True)
    return None


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
