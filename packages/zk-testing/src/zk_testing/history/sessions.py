"""What holds for every operation, whatever it does: a session never reads backwards, and everything ends in time.

Rule: these look at all kinds, by `version`, `session`, `timeout` and the times alone.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from .operation import Operation
from .verdict import Verdict, Violation, verdict_of, violation

SLACK = 0.05  # seconds that an operation may take beyond its timeout


def monotonic(operations: Iterable[Operation]) -> Verdict:
    """Check that within a session no operation saw an older version of a key than one that ended before it began.

    operations: all with a `version` (a version or zxid). Without a `session`, a process has one for all its life.
    """
    groups: dict[tuple[int | str, str], list[Operation]] = {}
    keys: set[str] = set()
    count = 0
    for operation in operations:
        if operation.ok and operation.version is not None:
            session = f"process {operation.process}" if operation.session is None else operation.session
            groups.setdefault((session, operation.key), []).append(operation)
            keys.add(operation.key)
            count += 1
    found: list[Violation] = []
    for (session, key), own in groups.items():
        found += _backwards(key, session, own)
    return verdict_of("monotonic", len(keys), count, found)


def in_time(operations: Iterable[Operation], *, patience: float | None = None, slack: float = SLACK) -> Verdict:
    """Check that every operation ended, and none took longer than its `timeout`.

    patience: seconds that those without a timeout may take; None: as long as they like, if they end.
    slack: seconds beyond that, for the operation to return.
    """
    found: list[Violation] = []
    keys: set[str] = set()
    count = 0
    for operation in operations:
        count += 1
        keys.add(operation.key)
        limit = patience if operation.timeout is None else operation.timeout
        if operation.end is None:
            sentence = f"{operation.kind} by {operation.process} never ended"
            found.append(violation(operation.key, sentence, operation))
        elif limit is not None and operation.end - operation.begin > limit + slack:
            took = operation.end - operation.begin
            sentence = f"{operation.kind} by {operation.process} took {took:.3f} s, and had {limit:g} s"
            found.append(violation(operation.key, sentence, operation))
    return verdict_of("in-time", len(keys), count, found)


def _backwards(key: str, session: int | str, operations: list[Operation]) -> Iterable[Violation]:
    ended: list[tuple[float, int, Operation]] = []
    newest: Operation | None = None
    for number, operation in enumerate(sorted(operations, key=lambda operation: operation.begin)):
        while ended and ended[0][0] < operation.begin:
            before = heapq.heappop(ended)[2]
            if newest is None or _version(before) > _version(newest):
                newest = before
        if newest is not None and _version(operation) < _version(newest):
            sentence = f"session {session} saw version {operation.version} after version {newest.version}"
            yield violation(key, sentence, newest, operation)
        heapq.heappush(ended, (operation.last, number, operation))


def _version(operation: Operation) -> int:
    assert operation.version is not None
    return operation.version
