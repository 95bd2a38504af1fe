"""Requests that wait to be sent, in their order.

Rule: most clients have none most of the time, so nothing is kept for them then.
"""

from __future__ import annotations

from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from ..calls import Call


class Waiting:
    """A queue of requests."""

    __slots__ = ("_calls",)

    def __init__(self) -> None:
        self._calls: deque[Call[Any]] | None = None  # None while there is none

    def __len__(self) -> int:
        return len(self._calls) if self._calls is not None else 0

    def __iter__(self) -> Iterator[Call[Any]]:
        return iter(self._calls or ())

    def __contains__(self, call: object) -> bool:
        return self._calls is not None and call in self._calls

    def append(self, call: Call[Any]) -> None:
        """Put a request at the end."""
        if self._calls is None:
            self._calls = deque()
        self._calls.append(call)

    def extend(self, calls: Iterable[Call[Any]]) -> None:
        """Put requests at the end, in their order."""
        for call in calls:
            self.append(call)

    def prepend(self, calls: list[Call[Any]]) -> None:
        """Put requests before all others, in their order."""
        if calls:
            self._calls = deque((*calls, *self))

    def pop(self) -> Call[Any]:
        """Take the first one out; there must be one."""
        assert self._calls is not None
        call = self._calls.popleft()
        self._calls = self._calls or None
        return call

    def remove(self, call: Call[Any]) -> bool:
        """Take this one out; False when it does not wait."""
        if self._calls is None or call not in self._calls:
            return False
        self._calls.remove(call)
        self._calls = self._calls or None
        return True

    def take(self) -> list[Call[Any]]:
        """Take all of them out."""
        calls, self._calls = self._calls, None
        return list(calls or ())
