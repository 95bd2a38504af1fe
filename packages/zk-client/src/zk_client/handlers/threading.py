"""The world of threads.

Rule: only what differs from other worlds. A client costs one daemon thread; a second one exists while callbacks
are to be run.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time

from .link import Link
from .running_loop import refuse_running_loop
from .worlds import check_threads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .base import Poller, Worker


class ThreadWorker:
    """A daemon thread."""

    def __init__(self, name: str, function: Callable[[], None]) -> None:
        self.thread = threading.Thread(target=function, name=name, daemon=True)
        self.thread.start()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for its end; False when `timeout` seconds pass first, or when called from within."""
        if self.thread is threading.current_thread():
            return False
        self.thread.join(timeout)
        return not self.thread.is_alive()

    def give_up(self) -> None:
        """Nothing: nobody can end a thread."""


class ThreadPoller:
    """`poll` on one socket and on a descriptor that `wake` makes readable, kept from the first `wait` to `close`."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._woken = False
        self._read = self._write = -1
        self._pair: tuple[socket.socket, socket.socket] | None = None
        self._poll = select.poll()

    def _open(self) -> None:
        with self._mutex:
            if hasattr(os, "eventfd"):
                self._read = self._write = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            else:
                self._pair = socket.socketpair()
                for end in self._pair:
                    end.setblocking(False)
                self._read, self._write = (end.fileno() for end in self._pair)
            self._poll = select.poll()
            self._poll.register(self._read, select.POLLIN)
            if self._woken:
                self._signal()

    def wait(self, sock: socket.socket | None, write: bool, timeout: float | None) -> tuple[bool, bool]:
        """(readable, writable), both False when the time is over or `wake` was called."""
        if self._read < 0:
            self._open()
        mask = select.POLLIN | (select.POLLOUT if write else 0)
        fd = sock.fileno() if sock is not None else -1
        if fd >= 0:
            self._poll.register(fd, mask)
        try:
            ready = self._poll.poll(None if timeout is None else max(0, int(timeout * 1000 + 0.999)))
        finally:
            if fd >= 0:
                self._poll.unregister(fd)
        readable = writable = False
        for ready_fd, events in ready:
            if ready_fd == self._read:
                self._drain()
            else:
                readable = bool(events & ~select.POLLOUT)
                writable = bool(events & (select.POLLOUT | select.POLLERR | select.POLLHUP))
        return readable, writable

    def wake(self) -> None:
        """End a `wait`, or the next one."""
        if not self._woken:
            with self._mutex:
                if self._write >= 0:
                    self._signal()
                self._woken = True

    def _signal(self) -> None:
        try:
            os.write(self._write, (1).to_bytes(8, "little"))
        except BlockingIOError:
            # Full, so it wakes all the same.
            pass

    def _drain(self) -> None:
        # Under the mutex: a `wake` between the two would be drained and yet count as pending, as would all later ones.
        with self._mutex:
            try:
                os.read(self._read, 64)
            except BlockingIOError:
                pass
            self._woken = False

    def close(self) -> None:
        """Free the descriptors; a later `wait` gets new ones."""
        with self._mutex:
            self.forked()

    def forked(self) -> None:
        """Free the descriptors, touching neither what they share with a parent process nor any lock."""
        if self._pair is not None:
            for end in self._pair:
                end.close()
        elif self._read >= 0:
            os.close(self._read)
        self._read = self._write = -1
        self._pair = None


class ThreadRuntime:
    """Threads, real locks, blocking sockets."""

    name = "threading"
    callers_read = True
    kills = False

    check = staticmethod(check_threads)
    may_block = staticmethod(refuse_running_loop)
    mutex = staticmethod(threading.Lock)
    lock = staticmethod(threading.Lock)
    event = staticmethod(threading.Event)
    now = staticmethod(time.monotonic)

    def __init__(self) -> None:
        self._local = threading.local()

    def poller(self) -> Poller:
        """A poller of its own for one client."""
        return ThreadPoller()

    def spawn(self, name: str, function: Callable[[], None]) -> Worker:
        """Run a function in a daemon thread."""
        return ThreadWorker(name, function)

    def spawn_last(self, name: str, function: Callable[[], None]) -> None:
        """Run a function in a thread that the interpreter waits for before it ends."""
        threading.Thread(target=function, name=name, daemon=False).start()

    def is_current(self, worker: Worker) -> bool:
        """Whether the caller runs in that worker."""
        return isinstance(worker, ThreadWorker) and worker.thread is threading.current_thread()

    def chance(self) -> float:
        """A random number in [0, 1), of the system's making, so that forked processes differ."""
        return int.from_bytes(os.urandom(7), "big") / (1 << 56)

    def guid(self) -> str:
        """32 random hexadecimal digits."""
        return os.urandom(16).hex()

    def caller(self) -> object:
        """The thread that calls."""
        return threading.current_thread()

    def current_task(self) -> Any:
        """The task this thread runs."""
        return getattr(self._local, "task", None)

    def set_task(self, task: object) -> None:
        """Remember the task this thread runs."""
        self._local.task = task

    def resolve(self, name: str, port: int) -> list[tuple[int, tuple[object, ...]]]:
        """The addresses of a host, asked anew each time."""
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        return [(family, address) for family, _, _, _, address in found]

    def link(self, sock: socket.socket) -> Link:
        """A connection made of a connected socket."""
        sock.setblocking(True)
        return Link(sock, threading.Lock())

    def socket(self, family: int) -> socket.socket:
        """A non-blocking TCP socket that is not inherited by child processes."""
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made
