"""Asking servers with a four-letter word, on connections of their own, and searching for one that serves writes.

Rule: a question waits only in its own poller, so that `give_up` ends it at once from anywhere, in every world.
"""

from __future__ import annotations

import errno
import os
import socket

from .. import _wire
from .connecting import IN_PROGRESS
from .log import logger
from .resolving import Lookup, numeric

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._session.actions import Probe
    from ..hosts import Host
    from .base import Runtime
    from .resolving import Addresses

LONGEST_ANSWER = 16 * 1024 * 1024


class Asking:
    """Asks servers one after the other, until it is given up."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._poller = runtime.poller()
        self._given_up = False

    def ask(self, host: Host, command: str, timeout: float) -> str:
        """Send a four-letter word to a server and return its whole answer; raises OSError.

        timeout: seconds for each of resolving, connecting, sending and every part of the answer.
        """
        failure: OSError | None = None
        for family, address in self._look_up(host, timeout):
            try:
                with self._runtime.socket(family) as sock:
                    return self._converse(sock, address, command, timeout)
            except OSError as error:
                failure = error
        raise failure or OSError(f"{host} has no address")

    def search_read_write(self, probe: Probe) -> Host | None:
        """The first host that says it serves writes; None when none does."""
        for host in probe.hosts:
            if self._given_up:
                break
            try:
                if _wire.parse_isro(self.ask(host, "isro", probe.timeout)) is False:
                    return host
            except Exception as error:  # noqa: BLE001 - the search goes on
                logger().debug("search for a read-write server: %s: %s", host, error)
        return None

    def check(self, hosts: Sequence[Host], timeout: float) -> dict[Host, frozenset[str]]:
        """Which of these hosts are servers, and the addresses of each that is."""
        found: dict[Host, frozenset[str]] = {}
        for host in hosts:
            try:
                addresses = self._look_up(host, timeout)
                if self.ask(host, "srvr", timeout):
                    found[host] = frozenset(str(address[0]) for _, address in addresses)
            except Exception as error:  # noqa: BLE001 - it is not used, and the others are asked
                logger().info("%s is named by the ensemble, but does not answer: %s", host, error)
        return found

    def give_up(self) -> None:
        """End what is being asked: it raises OSError, or finds nothing."""
        self._given_up = True
        self._poller.wake()

    def close(self) -> None:
        """Free what waiting needs; not while anything is being asked."""
        self._poller.close()

    def _look_up(self, host: Host, timeout: float) -> Addresses:
        addresses = numeric(host)
        if addresses is not None:
            return addresses
        lookup = Lookup(self._runtime, host, self._poller.wake)
        try:
            self._wait(None, False, timeout, lookup)
        finally:
            lookup.give_up()
        return lookup.result()

    def _converse(self, sock: socket.socket, address: tuple[object, ...], command: str, timeout: float) -> str:
        code = sock.connect_ex(address)
        if code in IN_PROGRESS:
            self._wait(sock, True, timeout)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        # Five bytes: the empty buffer of a new connection takes them at once.
        sock.sendall(_wire.encode_command(command))
        parts: list[bytes] = []
        size = 0
        while True:
            self._wait(sock, False, timeout)
            try:
                part = sock.recv(65536)
            except BlockingIOError:
                continue
            if not part:
                return b"".join(parts).decode("utf-8", "replace")
            parts.append(part)
            size += len(part)
            if size > LONGEST_ANSWER:
                raise OSError(f"answer to {command!r} from {address[0]} is longer than {LONGEST_ANSWER} bytes")

    def _wait(self, sock: socket.socket | None, write: bool, timeout: float, lookup: Lookup | None = None) -> None:
        deadline = self._runtime.now() + timeout
        while not self._given_up:
            if lookup is not None and lookup.done:
                return
            remaining = deadline - self._runtime.now()
            if remaining <= 0:
                raise TimeoutError(errno.ETIMEDOUT, f"no answer within {timeout:.1f} s")
            if any(self._poller.wait(sock, write, remaining)):
                return
        raise OSError(errno.ECANCELED, "given up")


def ask(runtime: Runtime, host: Host, command: str, timeout: float) -> str:
    """Ask one question; see `Asking.ask`."""
    asking = Asking(runtime)
    try:
        return asking.ask(host, command, timeout)
    finally:
        asking.close()
