"""Whether there is an order, by trying all: slow, and too simple to be wrong."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from zk_testing.history import Operation

Replay = Callable[[Sequence[Operation]], bool]


def has_order(operations: Sequence[Operation], replay: Replay) -> bool:
    """Try every order that keeps to the times, of those that happened with any of those that may have."""
    sure = [one for one in operations if one.ok]
    maybe = [one for one in operations if one.ending.value == "unknown" and one.kind not in ("read", "get")]
    chosen = (picked for count in range(len(maybe) + 1) for picked in itertools.combinations(maybe, count))
    return any(_extend([], [*sure, *picked], replay) for picked in chosen)


def _extend(placed: list[Operation], left: list[Operation], replay: Replay) -> bool:
    if not replay(placed):
        return False
    if not left:
        return True
    first_end = min(one.last for one in left)
    return any(
        one.begin <= first_end and _extend([*placed, one], [other for other in left if other is not one], replay)
        for one in left
    )


def is_register(operations: Sequence[Operation]) -> bool:
    """Whether a register that holds 0 answers like this, one after the other."""
    value: object = 0
    for one in operations:
        if one.kind == "read":
            if one.result != value:
                return False
        elif one.kind == "write":
            value = one.argument
        else:
            assert isinstance(one.argument, tuple)
            expected, new = one.argument
            if one.ok and one.result is not (value == expected):
                return False
            value = new if value == expected else value
    return True


def is_counter(operations: Sequence[Operation]) -> bool:
    """Whether a counter that begins with 0 answers like this, one after the other."""
    total = 0
    for one in operations:
        if one.kind == "add":
            assert isinstance(one.argument, int)
            total += one.argument
        if one.ok and one.result is not None and one.result != total:
            return False
    return True
