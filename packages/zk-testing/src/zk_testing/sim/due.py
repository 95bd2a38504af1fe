"""What is due to run in a simulated loop: asyncio's handle, made in as few steps as can be.

Most of what a run does is making these, so they skip what a handle keeps for debugging.
"""

from __future__ import annotations

import asyncio
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Due"]


class Due(asyncio.TimerHandle):
    """A call that is due now, or at a moment: see `asyncio.TimerHandle`."""

    __slots__ = ()
    # What the base has, and tells nobody of.
    _callback: Callable[..., object] | None
    _args: Sequence[Any]
    _cancelled: bool
    _context: Context
    _when: float

    def __init__(
        self, when: float, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None
    ) -> None:
        self._when = when
        self._callback = callback
        self._args = args
        self._context = copy_context() if context is None else context
        self._cancelled = False

    def __repr__(self) -> str:
        return f"<Due at {self._when} {'cancelled' if self._cancelled else named(self._callback)}>"

    def cancel(self) -> None:
        """Have it not run."""
        self._cancelled = True
        self._callback = None
        self._args = ()


def named(callback: object) -> str:
    """What people call a function; the same in every run."""
    return str(getattr(callback, "__qualname__", None) or type(callback).__qualname__)
