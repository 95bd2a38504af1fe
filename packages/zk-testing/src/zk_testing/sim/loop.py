"""An asyncio event loop in virtual time, whose sockets are lines of a simulated network.

Rule: nothing but the order of what was scheduled decides what runs next. When nothing is left to run now, time jumps
to the next timer; when there is no timer either, everybody who still waits waits for ever, and that is an error.

asyncio code runs on it unmodified, as long as it talks through streams, transports, protocols, `sock_connect` and
`getaddrinfo`, and needs no thread, process, signal or file.
"""

from __future__ import annotations

import asyncio
import heapq
import socket
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from .process import CURRENT, DueHandle

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from contextvars import Context

    from .network import Listener, Network
    from .process import Process

__all__ = ["BusyError", "IdleError", "SimulatedLoop"]

T = TypeVar("T")

# Steps at one moment of virtual time after which somebody is said to be busy for ever.
STEPS_PER_MOMENT = 20_000


class DueTimer(DueHandle, Protocol):
    """A timer, as asyncio's own loops see it."""

    _when: float
    _scheduled: bool

    def __lt__(self, other: DueTimer) -> bool: ...


class IdleError(Exception):
    """Nothing will ever happen again, and the loop was still to run."""


class BusyError(Exception):
    """Somebody runs and runs, and no time passes."""


class SimulatedTask(asyncio.Task[T]):
    """A task with a hash that is the same in every run, so that sets of tasks have the same order."""

    _number = 0

    def __hash__(self) -> int:
        if not self._number:
            loop = self.get_loop()
            assert isinstance(loop, SimulatedLoop)
            loop.tasks += 1
            self._number = loop.tasks
        return self._number


class SimulatedLoop(asyncio.BaseEventLoop):
    """A loop whose time only passes when everybody waits. Virtual time begins at 0."""

    network: Network
    # What asyncio keeps what is due in.
    _ready: deque[DueHandle]
    _scheduled: list[DueTimer]
    _stopping: bool

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0
        self.tasks = 0
        self.halted: set[Process] = set()
        self.after_step: Callable[[], None] | None = None
        self._virtual_now: float = 0.0
        self._moment = 0

    def __del__(self, _warn: object = None) -> None:
        """Nothing of the system is held, so one that never ran need not be closed."""

    # Time and what is due

    def time(self) -> float:
        """Virtual seconds since the beginning."""
        return self._virtual_now

    def resume(self, handles: Iterable[DueHandle]) -> None:
        """Run what was held back."""
        self._ready.extend(handles)

    def _run_once(self) -> None:
        ready = self._ready
        scheduled = self._scheduled
        if not ready:
            while scheduled and scheduled[0]._cancelled:
                heapq.heappop(scheduled)._scheduled = False
            if not scheduled:
                if self._stopping:
                    return
                raise IdleError
            when = scheduled[0]._when
            if when > self._virtual_now:
                self._virtual_now = when
                self._moment = self.steps
        now = self._virtual_now
        while scheduled and scheduled[0]._when <= now:
            timer = heapq.heappop(scheduled)
            timer._scheduled = False
            ready.append(timer)
        halted, after_step = self.halted, self.after_step
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            if halted and (process := handle._context.get(CURRENT)) is not None and process in halted:
                process.hold(handle)
                continue
            self.steps += 1
            handle._run()
            if after_step is not None:
                after_step()
        if self.steps - self._moment > STEPS_PER_MOMENT:
            self._moment = self.steps
            raise BusyError

    # What asyncio asks of a loop

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[T]:
        """Run a coroutine; it belongs to the process of its context."""
        task: asyncio.Task[T] = SimulatedTask(coro, loop=self, name=name, context=context)
        process = CURRENT.get() if context is None else context.get(CURRENT)
        if process is not None:
            process.tasks.append(task)
        return task

    def _process_events(self, event_list: list[Any]) -> None:
        """There are no descriptors to ask."""

    def _write_to_self(self) -> None:
        """Nobody waits in a system call, so there is nobody to wake."""

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Any, *args: Any
    ) -> Any:
        """There are no threads: refused."""
        raise RuntimeError("a simulation has one thread: nothing can run in an executor")

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> list[tuple[Any, ...]]:
        """Ask the simulated network for an address."""
        address = await self.network.resolve(str(host))
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, int(port)))]

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Connect a socket to what listens at an address of the simulated network."""
        await self.network.connect(sock, (address[0], address[1]))

    async def create_connection(
        self, protocol_factory: Callable[[], Any], host: Any = None, port: Any = None, *, sock: Any = None, **_: Any
    ) -> tuple[asyncio.Transport, Any]:
        """Open a connection, or take one that `sock_connect` has made."""
        if sock is None:
            address = await self.network.resolve(str(host))
            sock = object()
            await self.network.connect(sock, (address, int(port)))
        protocol = protocol_factory()
        return self.network.open(sock, protocol), protocol

    async def create_server(  # type: ignore[override]
        self, protocol_factory: Callable[[], Any], host: Any = None, port: Any = None, **_: Any
    ) -> Listener:
        """Listen at an address of the simulated network; port 0 is any that is free."""
        return self.network.listen(protocol_factory, str(host or "127.0.0.1"), int(port or 0))
