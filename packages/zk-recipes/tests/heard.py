"""A function that remembers what it was told, for tests in a loop: each call lets whoever waits look again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

PATIENCE = 20.0  # seconds after which something that must happen counts as not happening


class Heard:
    """What is given as a listener, or as the function of a watch. calls: the first argument of each call."""

    def __init__(self) -> None:
        self.calls: list[object] = []
        self._called = asyncio.Event()

    def __call__(self, *arguments: object) -> None:
        self.calls.append(arguments[0])
        self._called.set()

    @property
    def last(self) -> object:
        """The last thing told; None so far."""
        return self.calls[-1] if self.calls else None

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds; it is looked at after each call."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._called.clear()
                await self._called.wait()
