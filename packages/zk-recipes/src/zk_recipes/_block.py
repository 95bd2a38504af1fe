"""The block of ``async with`` around something held: cut short before it is lost, and released at its end.

Rule: whatever ends the block, what was held is released exactly once, and an interruption of ours leaves it as
LockLostError. Where work cannot be interrupted (threads, greenlets), a block is no more than that release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import LockLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any, TypeAlias

    from zk_client import Port, Scope

    from ._holding import Holding

    Release: TypeAlias = Callable[[], Coroutine[Any, Any, object]]

# Why a block was left with LockLostError.
CUT_SHORT = "it was lost, or its lease about to end, so the block was cancelled"


class Block:
    """The block of one object, which may be in it again and again, but once at a time."""

    __slots__ = ("_held", "_port", "_scope")

    def __init__(self, port: Port) -> None:
        self._port = port
        self._scope: Scope | None = None
        self._held: Sequence[Holding] = ()

    async def begin(self, release: Release, *held: Callable[[], Holding]) -> None:
        """Have the calling worker interrupted, where that can be, before any of what it holds is lost.

        When that fails, what is held is released.
        """
        try:
            scope = self._port.scope()
            if scope.interrupts:
                self._held = [holding() for holding in held]
                for holding in self._held:
                    self._port.spawn(holding.cut_short(scope), f"{holding.what} {holding.path} scope")
                self._scope = scope
        except BaseException:
            await self._port.shielded(release())
            raise

    async def end(self, error: BaseException | None, release: Release) -> None:
        """Release, and raise LockLostError when *error*, which leaves the block, is our own interruption of it."""
        scope, self._scope = self._scope, None
        held, self._held = self._held, ()
        lost = next((holding for holding in held if not holding.is_valid), held[0] if held else None)
        cut_short = False
        try:
            cut_short = scope is not None and await scope.leave(error)
        finally:
            await release()
        if cut_short and lost is not None:
            raise LockLostError(lost.path, CUT_SHORT, lost.what) from error
