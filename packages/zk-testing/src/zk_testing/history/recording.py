"""A history, written down while it happens: by threads, greenlets, tasks, or in a simulation.

Rule: no clock of its own. Times come from the clock that the user gives, or with each call. All that writers share is
appending to a list; each handle belongs to whoever began its operation.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TypedDict

from zk_wire import Outcome

from . import kinds
from .lines import read_operations, write_operations
from .operation import Ending, Operation, Value, value_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self, Unpack


class Facts(TypedDict, total=False):
    """What else may be said of an operation; see `Operation`."""

    token: int | None
    until: float | None
    session: int | str | None
    version: int | None
    place: int | None
    priority: int | None
    timeout: float | None


_HELD_FROM = frozenset({kinds.ACQUIRE, kinds.LEAD, kinds.ENTER})
_HELD_UNTIL = frozenset({kinds.RELEASE, kinds.RESIGN, kinds.LEAVE, kinds.LOST})
_ENDINGS = {Outcome.APPLIED: Ending.OK, Outcome.NOT_APPLIED: Ending.FAILED, Outcome.UNKNOWN: Ending.UNKNOWN}


class Pending:
    """An operation that was begun. It ends once: `ok`, `failed`, `unknown`, `raised`, or as a context manager.

    As a context manager it is ok when the block ends, and told by the exception when one leaves it (which goes on).
    """

    __slots__ = ("_argument", "_begin", "_clock", "_end", "_ending", "_facts", "_result", "_what")

    def __init__(
        self,
        what: tuple[str, str, str],
        argument: Value,
        begin: float,
        clock: Callable[[], float] | None,
        facts: Facts,
    ) -> None:
        self._what = what
        self._argument = argument
        self._begin = begin
        self._clock = clock
        self._facts = facts
        self._result: Value = None
        self._end: float | None = None
        self._ending: Ending | None = None

    def ok(self, result: object = None, *, at: float | None = None, **facts: Unpack[Facts]) -> None:
        """It happened, with this result.

        at: when it ended; now by the history's clock if not given.   facts: see `Operation`.
        Raises ValueError when it has ended already, or would end before it began.
        """
        self._finish(Ending.OK, at, value_of(result), facts)

    def failed(self, *, at: float | None = None, **facts: Unpack[Facts]) -> None:
        """It did not happen, for certain."""
        self._finish(Ending.FAILED, at, None, facts)

    def unknown(self, *, at: float | None = None, **facts: Unpack[Facts]) -> None:
        """It may have happened, and may happen yet: its caller stopped waiting."""
        self._finish(Ending.UNKNOWN, at, None, facts)

    def raised(self, error: BaseException, *, at: float | None = None, **facts: Unpack[Facts]) -> None:
        """It ended with an exception, whose `outcome` (a zk_wire.Outcome) tells; unknown where there is none."""
        outcome: object = getattr(error, "outcome", None)
        ending = _ENDINGS[outcome] if isinstance(outcome, Outcome) else Ending.UNKNOWN
        self._finish(ending, at, None, facts)

    @property
    def process(self) -> str:
        """Who does it."""
        return self._what[0]

    @property
    def ended(self) -> bool:
        """Whether its end is known."""
        return self._ending is not None

    def operation(self) -> Operation:
        """Return it as it stands: one that has not ended is unknown, without an end."""
        process, kind, key = self._what
        ending = self._ending or Ending.UNKNOWN
        end = None if self._ending is None else self._end
        return Operation(process, kind, key, self._argument, self._result, self._begin, end, ending)._replace(
            **self._facts
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._ending is not None:
            return
        if error is None:
            self.ok()
        else:
            self.raised(error)

    def _finish(self, ending: Ending, at: float | None, result: Value, facts: Facts) -> None:
        if self._ending is not None:
            message = f"{self.operation()}: has ended already"
            raise ValueError(message)
        end = _moment(at, self._clock)
        if end < self._begin:
            message = f"{self.operation()}: cannot end at {end}, before it began"
            raise ValueError(message)
        self._result = result
        if facts:
            self._facts = {**self._facts, **facts}
        self._end = end
        self._ending = ending  # last: it is what others look at


class History:
    """Operations, as they were begun.

    clock: a function that returns seconds (`time.monotonic`, a simulation's `now`); without one, each call says `at`.
    All operations of a history are by one clock: those of several processes may be put together where they share one.
    """

    def __init__(self, clock: Callable[[], float] | None = None, operations: Iterable[Operation] = ()) -> None:
        self._clock = clock
        self._operations = list(operations)
        self._pending: list[Pending] = []

    # Writing

    def begin(
        self,
        process: str,
        kind: str,
        key: str,
        argument: object = None,
        *,
        at: float | None = None,
        **facts: Unpack[Facts],
    ) -> Pending:
        """Begin an operation; the handle ends it, by its methods or as a context manager.

        process: who does it.   kind: what, as the checks name it.   key: to what.   argument: what goes in.
        at: when; now by the history's clock if not given.   facts: see `Operation`.
        Raises TypeError for an argument that JSON cannot say, ValueError without a time.
        """
        handle = Pending((process, kind, key), value_of(argument), _moment(at, self._clock), self._clock, facts)
        self._pending.append(handle)
        return handle

    def happened(
        self,
        process: str,
        kind: str,
        key: str,
        argument: object = None,
        *,
        result: object = None,
        at: float | None = None,
        **facts: Unpack[Facts],
    ) -> None:
        """Write down what happened in a moment: something was lost, a crash, a look at everything."""
        moment = _moment(at, self._clock)
        self.begin(process, kind, key, argument, at=moment, **facts).ok(result, at=moment)

    def crashed(self, process: str, *, at: float | None = None) -> None:
        """Write down that a process crashed: what it has begun is unknown, and what it held is "lost" from now on.

        A simulation does it by itself: `sim.on_crash(history.crashed)`.
        """
        moment = _moment(at, self._clock)
        held: Counter[str] = Counter()
        for handle in self._pending:
            if handle.process == process and not handle.ended:
                handle.unknown(at=moment)
        for operation in self.operations:
            if operation.process != process:
                continue
            if operation.kind in _HELD_FROM and operation.ok and operation.result is not False:
                held[operation.key] += 1
            elif operation.kind in _HELD_UNTIL and operation.ending is not Ending.FAILED and held[operation.key]:
                held[operation.key] -= 1
        for key in held.elements():
            self.happened(process, kinds.LOST, key, at=moment)

    def add(self, operation: Operation) -> None:
        """Add an operation that is known already."""
        self._operations.append(operation)

    # Reading

    @property
    def operations(self) -> list[Operation]:
        """All operations, in the order of their begin."""
        found = self._operations + [handle.operation() for handle in self._pending]
        found.sort(key=lambda operation: operation.begin)
        return found

    def __len__(self) -> int:
        return len(self._operations) + len(self._pending)

    def __iter__(self) -> Iterator[Operation]:
        return iter(self.operations)

    # Files

    def save(self, path: str | Path) -> None:
        """Write all operations into a file, one line of JSON each (`lines.py` says how)."""
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(write_operations(self.operations))

    @classmethod
    def load(cls, *paths: str | Path) -> History:
        """Read what was saved, of one file or several together.

        Raises OSError; HistoryFormatError, which names the file and the line, what stands there and what should.
        """
        found: list[Operation] = []
        for path in paths:
            with open(path, "rb") as file:
                found += read_operations(file, str(path))
        return cls(operations=found)


def _moment(at: float | None, clock: Callable[[], float] | None) -> float:
    if at is None:
        if clock is None:
            message = "this history has no clock: say when, with `at` in seconds"
            raise ValueError(message)
        at = clock()
    if not math.isfinite(at):
        message = f"a moment must be a finite number of seconds, not {at}"
        raise ValueError(message)
    return at
