"""One operation of a history: who did what to what, from when to when, and how it ended.

Rule: values only; nothing here reads a clock or a file. A value of an operation is what JSON can say, and bytes; lists
become tuples, so that every value can be compared and looked up.

What the kinds mean stands in `kinds.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple, TypeAlias, TypeGuard, cast

Value: TypeAlias = "bool | int | float | str | bytes | tuple[Value, ...] | None"

SHOWN = 60  # characters of a value that a line shows


class Ending(str, Enum):
    """How an operation ended, as far as is known."""

    OK = "ok"  # it happened, between its begin and its end
    FAILED = "failed"  # it did not happen
    UNKNOWN = "unknown"  # it may have happened, at any time after its begin, perhaps never


class Operation(NamedTuple):
    """One operation. Times are seconds of one clock, the same for the whole history.

    process: who did it; one after the other, unless the kinds say that it may hold several things.
    kind: what was done.   key: to what; a path, or any name.
    argument, result: what went in and came out (of "cas": the pair of what was expected and what is to be).
    end: None of an operation that never returned.
    token: the fencing token that it got, or did its work under.   until: when the lease ends, of what is held.
    session: in which it was done.   version: what was read or written there, as a number that grows (zxid, version).
    place: its place in the order of queueing.   priority: of an entry; the smaller comes first.
    timeout: seconds after which it had to return.
    """

    process: str
    kind: str
    key: str
    argument: Value
    result: Value
    begin: float
    end: float | None
    ending: Ending
    token: int | None = None
    until: float | None = None
    session: int | str | None = None
    version: int | None = None
    place: int | None = None
    priority: int | None = None
    timeout: float | None = None

    @property
    def ok(self) -> bool:
        """Whether it happened."""
        return self.ending is Ending.OK

    @property
    def last(self) -> float:
        """The last moment at which it may have happened: infinity, unless it is known to have."""
        return self.end if self.ending is Ending.OK and self.end is not None else math.inf

    def __str__(self) -> str:
        """Return one line for people: times, who, what, and how it ended."""
        given = "" if self.argument is None else _short(self.argument)
        line = f"{self.kind}({given})"
        if self.ok and self.result is not None:
            line += f" -> {_short(self.result)}"
        facts = "".join(f" {name}={value}" for name in _FACTS if (value := getattr(self, name)) is not None)
        end = "never ended" if self.end is None else f"{self.end:.6f}"
        how = "" if self.ok else f"  {self.ending.value}"
        return f"{self.begin:14.6f} .. {end:<14}  {self.process:<12} {self.key}  {line}{facts}{how}"


_FACTS = ("token", "until", "session", "version", "place", "priority", "timeout")


class UnfitOperationError(ValueError):
    """A check cannot read an operation of a kind that it knows. operation: which.   rule: what it should be."""

    def __init__(self, operation: Operation, rule: str) -> None:
        super().__init__(f"{rule}:\n{operation}")
        self.operation = operation
        self.rule = rule


def is_whole(value: object) -> TypeGuard[int]:
    """Whether a value is a whole number; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def value_of(given: object) -> Value:
    """Return what is given as a value of an operation.

    Raises TypeError for what JSON cannot say (and is not bytes), ValueError for a number that it cannot.
    """
    if given is None or isinstance(given, (bool, int, str, bytes)):
        return given
    if isinstance(given, float):
        if not math.isfinite(given):
            message = f"a value of a history must be a finite number, not {given}"
            raise ValueError(message)
        return given
    if isinstance(given, bytearray):
        return bytes(given)
    if isinstance(given, (list, tuple)):
        return tuple(value_of(item) for item in cast("Iterable[object]", given))
    message = f"a value of a history is None, a number, text, bytes or a list of these, not {type(given).__name__}"
    raise TypeError(message)


def _short(value: Value) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."
