"""A flag that tasks of one loop wait for, and that costs next to nothing while nobody does.

Rule: it belongs to its loop's thread. `asyncio.Event` would do the same; but it keeps a deque from the beginning, which
is a tenth of all that an idle client needs.
"""

from __future__ import annotations

from asyncio import get_running_loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import Future


class Flag:
    """As `asyncio.Event`, of which it has what the handler uses."""

    __slots__ = ("_set", "_waiters")

    def __init__(self, *, is_set: bool = False) -> None:
        self._set = is_set
        self._waiters: list[Future[None]] | None = None

    def is_set(self) -> bool:
        """Whether the flag is up."""
        return self._set

    def set(self) -> None:
        """Raise the flag and wake everybody who waits."""
        self._set = True
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    def clear(self) -> None:
        """Lower the flag."""
        self._set = False

    async def wait(self) -> None:
        """Wait until the flag is raised."""
        if self._set:
            return
        waiter: Future[None] = get_running_loop().create_future()
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if self._waiters is not None and waiter in self._waiters:
                self._waiters.remove(waiter)
