"""Opening a TCP connection, address by address.

Rule: an attempt waits in short, wakeable steps, so that time goes on for the session while a host does not answer.
"""

from __future__ import annotations

import errno
import os
import socket

from .resolving import numeric

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._session.actions import Connect
    from .base import Poller, Runtime
    from .resolving import Lookup, Resolver

IN_PROGRESS = {errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY, getattr(errno, "WSAEWOULDBLOCK", -1)}


class Attempt:
    """One Connect action under way: the host's name, then its addresses one after the other, each for its time."""

    def __init__(self, action: Connect, resolver: Resolver) -> None:
        self.host = action.host
        self.timeout = action.timeout
        self.failed: str | None = None
        self._resolver = resolver
        self._lookup: Lookup | None = None
        self._addresses: list[tuple[int, tuple[object, ...]]] | None = None
        self._socket: socket.socket | None = None
        self._address: tuple[object, ...] = ()
        self._deadline = 0.0
        self._reasons: list[str] = []

    def advance(self, runtime: Runtime, poller: Poller, timeout: float | None) -> socket.socket | None:
        """Go on, waiting at most `timeout` seconds: the connected socket, or None (then see `failed`)."""
        if self._addresses is None:
            self._look_up(runtime, poller, timeout)
            return None
        if self._socket is None:
            return self._begin(runtime)
        remaining = self._deadline - runtime.now()
        if remaining <= 0:
            self._give_up_address(f"no answer within {self.timeout:.1f} s")
            return None
        wait = remaining if timeout is None else min(timeout, remaining)
        readable, writable = poller.wait(self._socket, True, wait)
        if not (readable or writable):
            return None
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._give_up_address(os.strerror(code))
            return None
        return self._done()

    def _look_up(self, runtime: Runtime, poller: Poller, timeout: float | None) -> None:
        if self._lookup is None:
            self._addresses = numeric(self.host)
            if self._addresses is None:
                self._deadline = runtime.now() + self.timeout
                self._lookup = self._resolver.ask(self.host)
            return
        remaining = self._deadline - runtime.now()
        if self._lookup.done:
            try:
                self._addresses = self._lookup.result()[::-1]
            except (OSError, UnicodeError) as error:
                self.failed = f"cannot resolve {self.host.name!r}: {error}"
        elif remaining <= 0:
            self.failed = f"cannot resolve {self.host.name!r}: no answer within {self.timeout:.1f} s"
        else:
            poller.wait(None, False, remaining if timeout is None else min(timeout, remaining))

    def _begin(self, runtime: Runtime) -> socket.socket | None:
        assert self._addresses is not None
        if not self._addresses:
            self.failed = "; ".join(self._reasons) or "no address"
            return None
        family, self._address = self._addresses.pop()
        self._deadline = runtime.now() + self.timeout
        try:
            self._socket = runtime.socket(family)
            code = self._socket.connect_ex(self._address)
        except OSError as error:
            self._give_up_address(str(error))
            return None
        if code == 0:
            return self._done()
        if code not in IN_PROGRESS:
            self._give_up_address(os.strerror(code))
        return None

    def _done(self) -> socket.socket:
        sock, self._socket = self._socket, None
        assert sock is not None
        return sock

    def _give_up_address(self, reason: str) -> None:
        self._reasons.append(f"{self._address[0]}: {reason}")
        self.abandon()

    def abandon(self) -> None:
        """Close what is open."""
        sock, self._socket = self._socket, None
        if sock is not None:
            sock.close()
