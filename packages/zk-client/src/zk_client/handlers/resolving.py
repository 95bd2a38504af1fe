"""Finding the addresses of a host while time goes on for everybody else.

Rule: nobody can end a question to the system's resolver, so it is asked on a worker of its own, and whoever wants the
answer waits as long as it likes. A question that was given up is joined by whoever asks for the same host next, so
that a resolver that hangs costs one worker a host, however often it is tried. An answer is used once: the next attempt
asks anew, which is how an address that changed is found. Addresses written as numbers need no resolver.
"""

from __future__ import annotations

import _socket
import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..hosts import Host
    from .base import Runtime

    Addresses = list[tuple[int, tuple[object, ...]]]


def numeric(host: Host) -> Addresses | None:
    """The address of a host that is given as one; None for a name. Asks nobody."""
    try:
        # Not `socket`'s: what may have been put there (by gevent, say) asks a resolver even so.
        found = _socket.getaddrinfo(host.name, host.port, 0, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None
    return [(family, address) for family, _, _, _, address in found]


class Lookup:
    """A question under way; `done` is set before `wake` is called."""

    def __init__(self, runtime: Runtime, host: Host, wake: Callable[[], object]) -> None:
        self.done = False
        self._addresses: Addresses = []
        self._failure: Exception | None = None
        self._runtime = runtime
        self._host = host
        self._wake = wake
        self._worker = runtime.spawn("zk-client resolve", self._run)

    def _run(self) -> None:
        try:
            self._addresses = self._runtime.resolve(self._host.name, self._host.port)
        except Exception as error:  # noqa: BLE001 - whoever wants the answer gets it
            self._failure = error
        self.done = True
        self._wake()

    def give_up(self) -> None:
        """Want no answer any more."""
        if not self.done:
            self._worker.give_up()

    def result(self) -> Addresses:
        """The addresses, or the resolver's error."""
        if self._failure is not None:
            raise self._failure
        return self._addresses


class Resolver:
    """The questions of one client that are under way."""

    def __init__(self, runtime: Runtime, wake: Callable[[], object]) -> None:
        self._runtime = runtime
        self._wake = wake
        self._open: dict[Host, Lookup] = {}

    def ask(self, host: Host) -> Lookup:
        """Ask for a host, or join the question that is under way."""
        for other in [other for other, lookup in self._open.items() if lookup.done]:
            del self._open[other]
        lookup = self._open.get(host)
        if lookup is None:
            lookup = self._open[host] = Lookup(self._runtime, host, self._wake)
        return lookup

    def give_up(self) -> None:
        """Want no answer any more; in a world that can end a question, none goes on."""
        for lookup in self._open.values():
            lookup.give_up()
        self._open.clear()
