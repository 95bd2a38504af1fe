"""What a check says: it holds, it does not and here is why, or nobody can tell.

Rule: an explanation is the fewest operations that show the fault, in the order of their begin.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from .lines import write_operations
from .operation import Operation

MOST = 10  # violations that a verdict shows


class HistoryViolatedError(AssertionError):
    """A history breaks a rule. verdict: which, and where."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(str(verdict))
        self.verdict = verdict


class Violation(NamedTuple):
    """One broken rule. sentence: what is wrong.   operations: that show it, in the order of their begin."""

    key: str
    sentence: str
    operations: tuple[Operation, ...]

    def __str__(self) -> str:
        return "\n".join([f"{self.key}: {self.sentence}", *(f"  {operation}" for operation in self.operations)])


class Verdict(NamedTuple):
    """What one check found in one history.

    check: its name.   holds: None when it could not be decided, as `undecided` says.
    keys, operations: how many it looked at.   violations: the first, by key; `found` is how many there were.
    """

    check: str
    holds: bool | None
    keys: int
    operations: int
    violations: tuple[Violation, ...] = ()
    found: int = 0
    undecided: tuple[str, ...] = ()

    def assert_holds(self) -> None:
        """Raise HistoryViolatedError (an AssertionError) unless it holds."""
        if not self.holds:
            raise HistoryViolatedError(self)

    def __str__(self) -> str:
        what = f"{self.operations} operations on {self.keys} {'key' if self.keys == 1 else 'keys'}"
        if self.holds:
            return f"{self.check}: holds, {what}"
        said = "violated" if self.holds is False else "could not be decided"
        lines = [f"{self.check}: {said}, {what}", *map(str, self.violations), *self.undecided]
        if self.found > len(self.violations):
            lines.append(f"and {self.found - len(self.violations)} more")
        return "\n".join(lines)

    def as_json(self) -> dict[str, object]:
        """Return it as what `json.dumps` takes."""
        return {
            "check": self.check,
            "holds": self.holds,
            "keys": self.keys,
            "operations": self.operations,
            "found": self.found,
            "violations": [
                {
                    "key": violation.key,
                    "sentence": violation.sentence,
                    "operations": [json.loads(line) for line in write_operations(violation.operations)],
                }
                for violation in self.violations
            ],
            "undecided": list(self.undecided),
        }


def verdict_of(
    check: str, keys: int, operations: int, found: Sequence[Violation], undecided: Sequence[str] = ()
) -> Verdict:
    """Sum a check up."""
    holds = False if found else None if undecided else True
    return Verdict(check, holds, keys, operations, tuple(found[:MOST]), len(found), tuple(undecided))


def violation(key: str, sentence: str, *operations: Operation) -> Violation:
    """Make a violation, with its operations in order, each once."""
    unique = dict.fromkeys(operations)
    return Violation(key, sentence, tuple(sorted(unique, key=lambda operation: operation.begin)))
