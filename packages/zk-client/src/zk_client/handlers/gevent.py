"""The world of greenlets, without monkey patching and with it.

Rule: only what differs from other worlds; the parts are in `hub`. A client costs no thread: one greenlet, and a
second one while callbacks are to be run. Whether a process may have this world is decided in `worlds`.
"""

from __future__ import annotations

import os
import socket
import time

from ..errors import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .base import Poller, RuntimeEvent, RuntimeLock, Worker
    from .link import Link


class GeventRuntime:
    """Greenlets, and waiting on the hub of the thread that made it; pass it to `Client` as `runtime`.

    Nothing needs to be patched. Names of hosts are looked up by the hub's resolver (a thread of the hub's pool,
    unless GEVENT_RESOLVER says otherwise); addresses need no look-up.
    Raises ConfigurationError when gevent is not installed.
    """

    name = "gevent"
    callers_read = True
    kills = True

    now = staticmethod(time.monotonic)

    def __init__(self) -> None:
        try:
            from . import hub
        except ImportError as error:
            raise ConfigurationError(
                f"the gevent runtime needs gevent, which cannot be imported ({error}): "
                "install it, for example as the extra zk-client[gevent]"
            ) from error
        self._hub = hub
        self._home = hub.get_ident()
        self._local: Any = hub.Local()

    def check(self) -> None:
        """Raise ConfigurationError when called on another thread than the one this was made on."""
        if self._hub.get_ident() != self._home:
            raise self._hub.wrong_thread()

    def may_block(self) -> None:
        """Greenlets may wait anywhere; what else runs in this thread goes on meanwhile."""

    def mutex(self) -> RuntimeLock:
        """A lock around short steps that never wait."""
        return self._hub.HubMutex()

    def lock(self) -> RuntimeLock:
        """A lock to wait for."""
        return self._hub.HubLock()

    def event(self) -> RuntimeEvent:
        """A flag to wait for."""
        made: RuntimeEvent = self._hub.Event()
        return made

    def poller(self) -> Poller:
        """A poller of its own for one client."""
        return self._hub.HubPoller()

    def link(self, sock: socket.socket) -> Link:
        """A connection made of a connected socket."""
        return self._hub.HubLink(sock)

    def spawn(self, name: str, function: Callable[[], None]) -> Worker:
        """Run a function in a greenlet."""
        return self._hub.HubWorker(name, function)

    def spawn_last(self, name: str, function: Callable[[], None]) -> None:
        """Run a function in a greenlet; nobody can wait for one that is to be run after the main one."""
        self._hub.HubWorker(name, function)

    def is_current(self, worker: Worker) -> bool:
        """Whether the caller runs in that worker."""
        return isinstance(worker, self._hub.HubWorker) and worker.is_current

    def chance(self) -> float:
        """A random number in [0, 1), of the system's making, so that forked processes differ."""
        return int.from_bytes(os.urandom(7), "big") / (1 << 56)

    def guid(self) -> str:
        """32 random hexadecimal digits."""
        return os.urandom(16).hex()

    def caller(self) -> object:
        """The greenlet that calls."""
        greenlet: object = self._hub.getcurrent()
        return greenlet

    def current_task(self) -> Any:
        """The task this greenlet runs."""
        return getattr(self._local, "task", None)

    def set_task(self, task: object) -> None:
        """Remember the task this greenlet runs."""
        self._local.task = task

    def resolve(self, name: str, port: int) -> list[tuple[int, tuple[object, ...]]]:
        """The addresses of a host, asked anew each time; only this greenlet waits for them."""
        found = self._hub.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        return [(family, address) for family, _, _, _, address in found]

    def socket(self, family: int) -> socket.socket:
        """A non-blocking TCP socket that is not inherited by child processes."""
        made: socket.socket = self._hub.original_socket(family, socket.SOCK_STREAM)
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made
