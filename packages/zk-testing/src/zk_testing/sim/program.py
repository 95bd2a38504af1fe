"""A program of a simulated world: what runs in a process, and begins again when the process has crashed."""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING, Any

from .process import Process

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from .world import Simulation

__all__ = ["Program", "whereabouts"]


class Program:
    """One of the programs of a run. Made by `Simulation.start`."""

    def __init__(
        self,
        world: Simulation,
        name: str,
        main: Callable[[], Coroutine[Any, Any, object]],
        may_raise: type[Exception] | tuple[type[Exception], ...],
    ) -> None:
        self.name = name
        self.process = Process(world.loop, name)
        self.ended = asyncio.Event()
        self.crashes = 0
        self._world = world
        self._main = main
        self.may_raise = may_raise if isinstance(may_raise, tuple) else (may_raise,)
        self._task: asyncio.Task[object] | None = None
        self._next: asyncio.TimerHandle | None = None  # when it begins again

    @property
    def done(self) -> bool:
        """Whether it has ended for good."""
        return self.ended.is_set()

    @property
    def whereabouts(self) -> str:
        """Where its code stands."""
        return "(crashed)" if self._task is None else whereabouts(self._task)

    def begin(self) -> None:
        """Run it from its start."""
        process = self.process
        self._task = process.spawn(self._main(), self.name)
        self._task.add_done_callback(lambda task: self._over(process, task), context=Context())

    def cancel(self) -> None:
        """Cancel its main task, as `asyncio` does."""
        if self._task is not None:
            self._task.cancel()

    def freeze(self, seconds: float) -> None:
        """Have nothing of it run for so long."""
        self.process.freeze(seconds)

    def crash(self, restart_after: float | None = None) -> None:
        """End it at once, without any clean-up.   restart_after: seconds until it begins anew; None is never.

        Of one that has crashed, and did not begin again yet, only this changes: when it does.
        """
        if self.done:
            return
        if self._next is not None:
            self._next.cancel()
        process, world = self.process, self._world
        self.crashes += 1
        process.kill()
        world.network.died(process)
        world.note(self.name, "crashes")
        for tell in world.crash_listeners:
            tell(self.name)
        self._task = None
        if restart_after is None:
            self.ended.set()
            return
        self._next = world.loop.call_later(restart_after, self._begin_again, context=Context())

    def _begin_again(self) -> None:
        self._next = None
        offset = self.process.clock_offset
        self.process = Process(self._world.loop, self.name)
        self.process.clock_offset = offset
        self._world.note(self.name, "begins again")
        self.begin()

    def _over(self, process: Process, task: asyncio.Task[object]) -> None:
        if process is not self.process or process.dead:
            return
        if not task.cancelled() and (error := task.exception()) is not None:
            if not isinstance(error, self.may_raise):
                self._world.fail(f"{self.name} raised {type(error).__name__}: {error}", error)
            else:
                self._world.note(self.name, f"ends with {type(error).__name__}: {error}")
        self.ended.set()


def whereabouts(task: asyncio.Task[Any], within: int = 0) -> str:
    """The places in the code where a task waits: the outermost and the innermost.   within: leave so many out."""
    places: list[str] = []
    awaited: Any = task.get_coro()
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is None:
            break
        code = frame.f_code
        places.append(f"{code.co_qualname} ({code.co_filename.rpartition('/')[2]}:{frame.f_lineno})")
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    places = places[within:]
    if not places:
        return "at its start"
    return f"in {places[0]}" + (f", at {places[-1]}" if len(places) > 1 else "")
