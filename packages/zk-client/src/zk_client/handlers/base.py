"""What the blocking handler needs of a world: locks, a poller, a clock, threads or greenlets.

Rule: the handler is written once against these protocols; a runtime says only how its world does each thing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, Protocol

    from .link import Link
else:
    from .._typing import Protocol


class RuntimeLock(Protocol):
    """A plain lock, as `threading.Lock`."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...

    def release(self) -> None: ...

    def __enter__(self) -> bool: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class RuntimeEvent(Protocol):
    """A flag that can be waited for, as `threading.Event`."""

    def set(self) -> None: ...

    def clear(self) -> None: ...

    def is_set(self) -> bool: ...

    def wait(self, timeout: float | None = None) -> bool: ...


class Worker(Protocol):
    """A running thread or greenlet."""

    def join(self, timeout: float | None = None) -> bool:
        """Wait for its end; False when `timeout` seconds pass first, or when called from within."""
        ...

    def give_up(self) -> None:
        """End it wherever it waits, in a world that can do so; without effect in others."""
        ...


class Poller(Protocol):
    """Waits for one socket, a time, or a call of `wake` from anywhere."""

    def wait(self, sock: socket.socket | None, write: bool, timeout: float | None) -> tuple[bool, bool]:
        """(readable, writable), both False when the time is over or `wake` was called."""
        ...

    def wake(self) -> None: ...

    def close(self) -> None: ...

    def forked(self) -> None:
        """In a forked child: free the descriptors, touching neither what they share with the parent nor any lock."""
        ...


class Runtime(Protocol):
    """One world."""

    name: str
    # Whether a caller that waits for a reply may read the socket itself, for everybody.
    callers_read: bool
    # Whether another worker can end any wait with an exception of its choice, again and again (`greenlet.kill`).
    kills: bool

    def may_block(self) -> None:
        """Raise ConfigurationError when what would wait here must not."""
        ...

    def check(self) -> None:
        """Raise ConfigurationError when a client cannot be used in this process, or by this caller."""
        ...

    def mutex(self) -> RuntimeLock:
        """A lock around short steps that never wait, or raise ConfigurationError for the wrong caller."""
        ...

    def lock(self) -> RuntimeLock: ...

    def event(self) -> RuntimeEvent: ...

    def poller(self) -> Poller: ...

    def spawn(self, name: str, function: Callable[[], None]) -> Worker: ...

    def spawn_last(self, name: str, function: Callable[[], None]) -> None:
        """Run a function that the end of the process waits for, in a world where it can."""
        ...

    def is_current(self, worker: Worker) -> bool: ...

    def now(self) -> float:
        """Monotonic seconds."""
        ...

    def chance(self) -> float:
        """A random number in [0, 1)."""
        ...

    def guid(self) -> str:
        """32 random hexadecimal digits."""
        ...

    def caller(self) -> object:
        """The thread or greenlet that calls, the same object for as long as it lives."""
        ...

    def current_task(self) -> Any:
        """The task this worker runs, as last given to `set_task`; None in others."""
        ...

    def set_task(self, task: object) -> None: ...

    def resolve(self, name: str, port: int) -> list[tuple[int, tuple[object, ...]]]:
        """The addresses of a host: (family, socket address), raising OSError when there is none."""
        ...

    def link(self, sock: socket.socket) -> Link:
        """A connection made of a connected socket, whose waits are this world's."""
        ...

    def socket(self, family: int) -> socket.socket:
        """A non-blocking TCP socket that is not inherited by child processes."""
        ...
