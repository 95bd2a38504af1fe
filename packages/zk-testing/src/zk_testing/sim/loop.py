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
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

from .due import Due, named
from .process import CURRENT

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from contextvars import Context

    from .network import Listener, Network
    from .process import Process

__all__ = ["BusyError", "IdleError", "SimulatedLoop"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# Steps at one moment of virtual time after which somebody is said to be busy for ever.
STEPS_PER_MOMENT = 20_000

CLOSED = "the simulated loop is closed: nothing runs on it any more"


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


class SimulatedFuture(asyncio.Future[T]):
    """A future with a hash that is the same in every run, for the same reason."""

    _number = 0

    def __hash__(self) -> int:
        if not self._number:
            loop = self.get_loop()
            assert isinstance(loop, SimulatedLoop)
            loop.futures += 1
            self._number = loop.futures
        return self._number


class SimulatedLoop(asyncio.BaseEventLoop):
    """A loop whose time only passes when everybody waits. Virtual time begins at 0."""

    network: Network
    # What asyncio keeps: what is due now, and whether it was stopped or closed.
    _ready: deque[Due]
    _stopping: bool
    _closed: bool

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0
        self.tasks = 0  # and futures: how many were counted
        self.futures = 0
        self.strays: list[asyncio.Task[Any]] = []  # the tasks of no process
        self.halted: set[Process] = set()
        self.after_step: Callable[[], None] | None = None
        self._virtual_now: float = 0.0
        self._moment = 0
        # What is due later. Of two at one moment neither comes before the other: the heap decides, always the same way.
        self._timers: list[tuple[float, Due]] = []

    def __del__(self, _warn: object = None) -> None:
        """Nothing of the system is held, so one that never ran need not be closed."""

    # Time and what is due

    def time(self) -> float:
        """Virtual seconds since the beginning."""
        return self._virtual_now

    def resume(self, handles: Iterable[Due]) -> None:
        """Run what was held back."""
        self._ready.extend(handles)

    def _run_once(self) -> None:
        ready = self._ready
        timers = self._timers
        if not ready:
            while timers and timers[0][1]._cancelled:
                heapq.heappop(timers)
            if not timers:
                if self._stopping:
                    return
                raise IdleError
            when = timers[0][0]
            if when > self._virtual_now:
                self._virtual_now = when
                self._moment = self.steps
        now = self._virtual_now
        while timers and timers[0][0] <= now:
            ready.append(heapq.heappop(timers)[1])
        halted, after_step = self.halted, self.after_step
        for _ in range(len(ready)):
            handle = ready.popleft()
            callback = handle._callback
            if callback is None:  # cancelled
                continue
            if halted and (process := handle._context.get(CURRENT)) is not None and process in halted:
                process.hold(handle)
                continue
            self.steps += 1
            try:
                handle._context.run(callback, *handle._args)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:  # noqa: BLE001 - as asyncio's own loops do
                self.call_exception_handler({"message": f"Exception in {named(callback)}", "exception": error})
            if after_step is not None:
                after_step()
        if self.steps - self._moment > STEPS_PER_MOMENT:
            self._moment = self.steps
            raise BusyError

    def call_soon(self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None) -> Due:
        """Run a function next. Raises RuntimeError when the loop is closed."""
        if self._closed:
            raise RuntimeError(CLOSED)
        handle = Due(self._virtual_now, callback, args, context)
        self._ready.append(handle)
        return handle

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> Due:
        """Run a function at a moment of virtual time. Raises RuntimeError when the loop is closed."""
        if self._closed:
            raise RuntimeError(CLOSED)
        handle = Due(when, callback, args, context)
        heapq.heappush(self._timers, (when, handle))
        return handle

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> Due:
        """Run a function so many virtual seconds from now."""
        return self.call_at(self._virtual_now + delay, callback, *args, context=context)

    # What asyncio asks of a loop

    def create_future(self) -> asyncio.Future[Any]:
        """Make a future."""
        return SimulatedFuture(loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[T]:
        """Run a coroutine; it belongs to the process of its context."""
        task: asyncio.Task[T] = SimulatedTask(coro, loop=self, name=name, context=context)
        process = CURRENT.get() if context is None else context.get(CURRENT)
        (self.strays if process is None else process.tasks).append(task)
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


def _refused(what: str) -> Callable[..., Any]:
    def refuse(*_: object, **__: object) -> Any:
        raise NotImplementedError(f"a simulation has no {what}")  # the kind that asyncio's own loops raise

    return refuse


for _names, _what in (
    ("subprocess_exec subprocess_shell", "processes of the system"),
    ("add_signal_handler remove_signal_handler", "signals"),
    ("connect_read_pipe connect_write_pipe sendfile sock_sendfile", "files or pipes"),
    ("create_datagram_endpoint sock_recvfrom sock_recvfrom_into sock_sendto", "datagrams"),
    ("create_unix_connection create_unix_server", "Unix sockets"),
    ("add_reader remove_reader add_writer remove_writer", "descriptors: use streams, or a protocol"),
    ("sock_recv sock_recv_into sock_sendall sock_accept", "reading of sockets: use streams, or a protocol"),
    ("start_tls", "TLS"),
):
    for _name in _names.split():
        setattr(SimulatedLoop, _name, _refused(_what))
