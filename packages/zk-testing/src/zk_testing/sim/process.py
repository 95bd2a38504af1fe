"""A process of a simulated world: what runs together, stops together, and has one wall clock.

Rule: a process is known by the context its code runs in, so everything it starts (tasks, timers, connections) belongs
to it without being told.
"""

from __future__ import annotations

import asyncio
from contextvars import Context, ContextVar, copy_context
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from .due import Due
    from .loop import SimulatedLoop

__all__ = ["Process", "current_process"]

T = TypeVar("T")

CURRENT: ContextVar[Process | None] = ContextVar("zk_testing_process", default=None)


class Process:
    """Something that can be frozen, or killed, as a whole. Made by `Simulation.process`."""

    def __init__(self, loop: SimulatedLoop, name: str) -> None:
        self.name = name
        self.frozen_until = 0.0
        self.dead = False
        self.clock_offset = 0.0  # what its wall clock is wrong by, in seconds
        self.tasks: list[asyncio.Task[Any]] = []  # all it ever had: those of a dead process must not end later
        self.held: list[Due] = []  # what became due while it was frozen
        self._loop = loop
        self.context: Context = copy_context()
        self.context.run(CURRENT.set, self)

    def __repr__(self) -> str:
        return f"<Process {self.name}>"

    def spawn(self, body: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run something in this process."""
        return self._loop.create_task(body, name=name, context=self.context.copy())

    def freeze(self, seconds: float) -> None:
        """Run nothing of it for so long; the network and everybody else go on."""
        loop = self._loop
        until = loop.time() + seconds
        if self.dead or until <= self.frozen_until:
            return
        self.frozen_until = until
        loop.network.note(self.name, f"stands still for {seconds:.3f} s")
        loop.halted.add(self)
        loop.call_at(until, self._thaw, context=Context())

    def kill(self) -> None:
        """Run nothing of it ever again, not even what it would do at its end."""
        self.dead = True
        self._loop.halted.add(self)
        self.held.clear()

    def hold(self, handle: Due) -> None:
        """Keep what would run now until it may."""
        if not self.dead:
            self.held.append(handle)

    def _thaw(self) -> None:
        loop = self._loop
        if self.dead or self.frozen_until > loop.time():
            return
        loop.network.note(self.name, "goes on")
        loop.halted.discard(self)
        held, self.held = self.held, []
        loop.resume(held)


def current_process() -> Process | None:
    """The process whose code runs now."""
    return CURRENT.get()
