"""What the world of greenlets is made of: a worker, a mutex, a lock, a poller and a connection that wait on the hub.

Rule: it patches nothing and needs nothing patched: sockets are the system's own, and all waiting is done on the hub
of the calling thread. An exception that another greenlet throws in (`kill`, `gevent.Timeout`) can arrive only where
something here waits. A wait on a connection that ends so says so in `spared`, and has lost no byte.

gevent comes without type information, therefore everything of it is `Any` here.
"""

from __future__ import annotations

import errno
from importlib import import_module
from time import monotonic

from ..errors import ConfigurationError
from .link import PIECE, Link

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any

_gevent: Any = import_module("gevent")
_hub: Any = import_module("gevent.hub")
_get_original: Any = import_module("gevent.monkey").get_original

BoundedSemaphore: Any = import_module("gevent.lock").BoundedSemaphore
Event: Any = import_module("gevent.event").Event
Local: Any = import_module("gevent.local").local
getaddrinfo: Any = import_module("gevent.socket").getaddrinfo
original_socket: Any = _get_original("socket", "socket")
get_ident: Callable[[], int] = _get_original("_thread", "get_ident")

_get_hub: Any = _hub.get_hub
_Waiter: Any = _hub.Waiter
getcurrent: Any = _gevent.getcurrent

READ, WRITE = 1, 2
# Seconds for which a greenlet may send without ever having to wait before it lets the others run.
TURN = 0.01


class HubWorker:
    """A greenlet."""

    def __init__(self, name: str, function: Callable[[], None]) -> None:
        self.greenlet: Any = _gevent.Greenlet(function)
        self.greenlet.name = name
        self.greenlet.start()

    @property
    def is_current(self) -> bool:
        """Whether the caller runs in it."""
        return self.greenlet is getcurrent()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for its end; False when `timeout` seconds pass first, or when called from within."""
        if self.is_current:
            return False
        self.greenlet.join(timeout)
        return bool(self.greenlet.dead)

    def give_up(self) -> None:
        """End it wherever it waits."""
        self.greenlet.kill(block=False)


class HubMutex:
    """Guards a client's state; whoever holds it does not switch, so that nobody ever waits for it.

    It is also the door at which callers from other threads are turned away, before they have any effect.
    """

    __slots__ = ("_enter", "_home", "_leave")

    def __init__(self) -> None:
        semaphore = BoundedSemaphore()
        self._enter: Any = semaphore.acquire
        self._leave: Any = semaphore.release
        self._home = get_ident()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it, from whatever thread: who forks holds it meanwhile. False after `timeout` seconds."""
        return bool(self._enter(blocking, None if timeout < 0 else timeout))

    def release(self) -> None:
        """Give it back."""
        self._leave()

    def __enter__(self) -> bool:
        if get_ident() != self._home:
            raise wrong_thread()
        return bool(self._enter())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._leave()


class HubLock:
    """A plain lock that greenlets wait for; releasing a free one raises RuntimeError, as for any lock."""

    __slots__ = ("_leave", "_take")

    def __init__(self) -> None:
        semaphore = BoundedSemaphore()
        self._take: Any = semaphore.acquire
        self._leave: Any = semaphore.release

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it; False when somebody has it, and still after `timeout` seconds."""
        if not blocking:
            return bool(self._take(False))
        return bool(self._take(True, None if timeout < 0 else timeout))

    def release(self) -> None:
        """Give it back."""
        try:
            self._leave()
        except ValueError as error:
            raise RuntimeError("release unlocked lock") from error

    def __enter__(self) -> bool:
        return bool(self._take())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._leave()


class HubPoller:
    """Waits on the hub; nothing is kept between two waits."""

    def __init__(self) -> None:
        self._woken = False
        self._waiter: Any = None

    def wait(self, sock: socket.socket | None, write: bool, timeout: float | None) -> tuple[bool, bool]:
        """(readable, writable), both False when the time is over or `wake` was called."""
        if self._woken:
            self._woken = False
            return False, False
        hub = _get_hub()
        waiter = self._waiter = _Waiter(hub)
        watcher: Any = None
        timer: Any = None
        try:
            fd = sock.fileno() if sock is not None else -1
            if fd >= 0:
                watcher = hub.loop.io(fd, READ | WRITE if write else READ)
                watcher.start(waiter.switch, pass_events=True)
            if timeout is not None:
                timer = hub.loop.timer(max(0.0, timeout))
                timer.start(waiter.switch, 0)
            ready: int = waiter.get()
        finally:
            self._waiter = None
            for used in (watcher, timer):
                if used is not None:
                    used.stop()
                    used.close()
        if not ready:
            self._woken = False
        return bool(ready & READ), bool(ready & WRITE)

    def wake(self) -> None:
        """End a `wait`, or the next one."""
        self._woken = True
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.hub.loop.run_callback(waiter.switch, 0)

    def close(self) -> None:
        """Nothing to free."""

    def forked(self) -> None:
        """In a forked child, which has copies of its parent's greenlets: end the wait."""
        self.wake()


class HubLink(Link):
    """A connection whose waits are the hub's; the socket stays non-blocking."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock, HubLock())
        sock.setblocking(False)
        self.recv = self._receive
        self.send = self._send_all
        loop = _get_hub().loop
        self._readable: Any = loop.io(sock.fileno(), READ)
        self._writable: Any = loop.io(sock.fileno(), WRITE)
        self._arrived = False  # `readable` has seen something that was not received yet
        self._turned = monotonic()  # when a greenlet that used this connection last let others run

    def receive_into(self, room: memoryview, *, wait: bool) -> int:
        """Receive more of a large frame into the memory where it belongs; 0 at the end of the connection."""
        if wait:
            self._await_arrival()
        return self.socket.recv_into(room, min(len(room), PIECE))

    def readable(self, timeout: float) -> bool:
        """Wait until something can be received, at most `timeout` seconds."""
        self._arrived = self._await(self._readable, timeout)
        return self._arrived

    def _receive(self, size: int, flags: int = 0) -> bytes:
        """As `socket.recv`: with flags it does not wait."""
        if not flags:
            self._await_arrival()
        return self.socket.recv(size)

    def _await_arrival(self) -> None:
        # Nothing has come when a reply is first waited for; so waiting first saves a system call, and is fair.
        if self._arrived:
            self._arrived = False
        else:
            self._await(self._readable, None)

    def _send_all(self, data: bytes) -> None:
        """Send everything, waiting while the server does not take it; what an exception cut off is in `unsent`."""
        sent = 0
        while True:
            try:
                sent += self.socket.send(data[sent:] if sent else data)
            except BlockingIOError:
                pass
            if sent == len(data):
                break
            try:
                self._await(self._writable, None)
            except BaseException:
                self.unsent = data[sent:]
                raise
        if monotonic() - self._turned > TURN:
            self._await(None, 0.0)

    def _await(self, watcher: Any, timeout: float | None) -> bool:
        hub = _get_hub()
        try:
            if timeout is None:
                hub.wait(watcher)
                return True
            if watcher is None:
                _gevent.sleep(timeout)
                return True
            waiter = _Waiter(hub)
            timer = hub.loop.timer(max(0.0, timeout))
            try:
                watcher.start(waiter.switch, True)
                timer.start(waiter.switch, False)
                return bool(waiter.get())
            finally:
                watcher.stop()
                timer.stop()
                timer.close()
        except BaseException as error:
            self.spared = error
            raise
        finally:
            self._turned = monotonic()

    def close(self) -> bool:
        """Close the descriptor unless it is in use; whether it is closed now."""
        if self.sending or not self.lead.acquire(False):
            return False
        self._readable.close()
        self._writable.close()
        self.socket.close()
        # Bound methods of its own: without them nothing but its users keeps it alive.
        del self.recv, self.send
        return True

    def forked(self) -> None:
        """In a forked child, which has copies of its parent's greenlets: end those that wait here."""
        gone = OSError(errno.ECANCELED, "the process has forked, and the connection is the parent's")
        for watcher in (self._readable, self._writable):
            _get_hub().cancel_wait(watcher, gone, True)
        super().forked()


def wrong_thread() -> ConfigurationError:
    """The error for a caller on another thread than the client's."""
    return ConfigurationError(
        "this client runs on the gevent hub of another thread, and a hub serves its own thread only: make a client "
        "in the thread that uses it, or hand the work over to the client's thread (for example with "
        "gevent.hub.get_hub().threadpool on its side)"
    )
