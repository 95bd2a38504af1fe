"""Moves bytes between clients and one upstream server, on one thread.

Rule: nothing is decided here. What arrives is told to the core; what the core says is ready is handed on; what it
orders is done to the sockets.

All state belongs to the loop's thread; other threads hand it calls (`call`) and wait for them.
"""

from __future__ import annotations

import math
import selectors
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Final, NamedTuple, TypeVar

from ..errors import TestingError
from .core import ProxyCore, Refusal
from .effects import BOTH, TO_CLIENT, TO_SERVER, Direction, Side
from .link import Link

__all__ = ["Relay"]

T = TypeVar("T")

_CHUNK = 1 << 18
_BACKLOG = 128
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # linger: on, for 0 seconds

_INCOMING: Final[dict[Side, Direction]] = {"client": TO_SERVER, "server": TO_CLIENT}
_TARGET: Final[dict[Direction, Side]] = {TO_SERVER: "server", TO_CLIENT: "client"}


class _Ends:
    """The two sockets of a link."""

    def __init__(self, link: Link, client: socket.socket, server: socket.socket) -> None:
        self.link = link
        self.sockets: dict[Side, socket.socket] = {"client": client, "server": server}
        self.connecting = True


class _Ready(NamedTuple):
    """What the selector gives back: whose socket is ready, and which one."""

    ends: _Ends
    side: Side


class Relay:
    """The loop. The core is asked and changed on its thread only (see `call`)."""

    def __init__(self, core: ProxyCore, upstream: tuple[str, int], host: str, port: int) -> None:
        self._core = core
        self._upstream = upstream
        self._address = (host, port)
        self._selector = selectors.DefaultSelector()
        self._calls: deque[tuple[Callable[[], None], Callable[[BaseException], None]]] = deque()
        self._wake_out, self._wake_in = socket.socketpair()
        self._listener: socket.socket | None = None
        self._ends: dict[Link, _Ends] = {}
        self._draining: set[socket.socket] = set()
        self._refusing: Refusal | None = None  # as far as the listener has been told
        self._stopping = False
        self._failure: BaseException | None = None
        try:
            self._listen()
        except BaseException:
            self._wake_in.close()
            self._wake_out.close()
            self._selector.close()
            raise
        self._wake_out.setblocking(False)
        self._wake_in.setblocking(False)
        self._selector.register(self._wake_out, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name=f"zk-testing-proxy-{self.port}", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._address[1]

    def call(self, action: Callable[[], T]) -> T:
        """Run an action on the relay's thread, wait until its orders are carried out, and return what it returns."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                result = action()
                self._obey()
            except Exception as error:  # noqa: BLE001 - raised in the thread that called
                future.set_exception(error)
            else:
                future.set_result(result)

        self._calls.append((run, future.set_exception))
        with suppress(OSError):
            self._wake_in.send(b"x")
        while True:
            try:
                return future.result(timeout=1.0)
            except TimeoutError:
                if not self._thread.is_alive() and not future.done():
                    raise TestingError(f"the proxy on port {self.port} has stopped") from self._failure

    def stop(self) -> None:
        """Close everything and end the thread."""

        def end() -> None:
            self._stopping = True

        if self._thread.is_alive():
            with suppress(TestingError):
                self.call(end)
        self._thread.join()
        if self._failure is not None:
            raise TestingError(f"the proxy on port {self.port} failed: {self._failure!r}") from self._failure

    # The loop

    def _run(self) -> None:
        try:
            while not self._stopping:
                # One time for all: what is not ready now is what is waited for.
                now = time.monotonic()
                for ends in tuple(self._ends.values()):
                    for direction in BOTH:
                        self._flush(ends, direction, now)
                self._obey()
                self._update_interest(now)
                for key, mask in self._selector.select(self._until_next(now)):
                    self._on_event(key, mask)
                while self._calls:
                    self._calls.popleft()[0]()
        except BaseException as error:  # noqa: BLE001 - told by stop() and by every later call
            self._failure = error
        finally:
            self._close_everything()
            while self._calls:
                self._calls.popleft()[1](TestingError(f"the proxy on port {self.port} has stopped"))

    def _on_event(self, key: selectors.SelectorKey, mask: int) -> None:
        if key.fileobj is self._wake_out:
            with suppress(BlockingIOError):
                self._wake_out.recv(4096)
        elif key.fileobj is self._listener:
            self._accept()
        elif isinstance(key.data, _Ready):
            self._on_ready(key.data.ends, key.data.side, mask)
        elif key.data in self._draining:
            self._drain(key.data)

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            client, _ = self._listener.accept()
        except OSError:
            return  # the client has gone already
        link = self._core.connect()
        if link is None:
            client.close()
            return
        server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        for side in (client, server):
            side.setblocking(False)
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ends[link] = _Ends(link, client, server)
        try:
            server.connect(self._upstream)
        except BlockingIOError:
            pass
        except OSError:
            link.broken("server", time.monotonic())

    def _on_ready(self, ends: _Ends, side: Side, mask: int) -> None:
        link, sock = ends.link, ends.sockets.get(side)
        if link.closed or sock is None:
            return
        if side == "server" and ends.connecting:
            if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                link.broken(side, time.monotonic())
                return
            ends.connecting = False
        if mask & selectors.EVENT_READ and link.wants(_INCOMING[side], time.monotonic()):
            self._read(link, side, sock)

    def _read(self, link: Link, side: Side, sock: socket.socket) -> None:
        try:
            data = sock.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            link.broken(side, time.monotonic())
        else:
            if data:
                link.received(_INCOMING[side], data, time.monotonic())
            else:
                link.ended(_INCOMING[side], time.monotonic())
        with self._core.monitor:
            self._core.monitor.notify_all()  # somebody may wait for an end

    def _flush(self, ends: _Ends, direction: Direction, now: float) -> None:
        link, side = ends.link, _TARGET[direction]
        if side == "server" and ends.connecting:
            return
        while (data := link.ready(direction, now)) is not None:
            try:
                with self._core.monitor:
                    sent = ends.sockets[side].send(data)
                    link.sent(direction, sent, now)
            except BlockingIOError:
                return
            except OSError:
                link.broken(side, now)
                return

    # What the core orders

    def _obey(self) -> None:
        for ends in tuple(self._ends.values()):
            for what, side in ends.link.take_orders():
                if what == "end":
                    with suppress(OSError):
                        ends.sockets[side].shutdown(socket.SHUT_WR)
                elif (sock := ends.sockets.pop(side, None)) is not None:
                    self._close(sock, side, reset=what == "reset")
            if ends.link.closed:
                del self._ends[ends.link]
        if self._core.refusing != self._refusing:
            self._refusing = self._core.refusing
            if self._refusing == "not_listening":
                self._stop_listening()
            else:
                self._listen()

    def _close(self, sock: socket.socket, side: Side, *, reset: bool) -> None:
        self._forget(sock)
        if reset:
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        elif side == "server":
            # Closing with unread bytes would send a reset, which takes requests out of the server's buffer that had
            # already arrived. So: our end first, then read until the server's.
            with suppress(OSError):
                sock.shutdown(socket.SHUT_WR)
                self._draining.add(sock)
                self._selector.register(sock, selectors.EVENT_READ, sock)
                return
        sock.close()

    def _drain(self, sock: socket.socket) -> None:
        try:
            if sock.recv(_CHUNK):
                return
        except BlockingIOError:
            return
        except OSError:
            pass  # reset: as good as its end
        self._forget(sock)
        self._draining.discard(sock)
        sock.close()

    def _listen(self) -> None:
        if self._listener is not None:
            return
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(self._address)
            listener.listen(_BACKLOG)
            listener.setblocking(False)
        except BaseException:
            listener.close()
            raise
        self._address = (self._address[0], listener.getsockname()[1])
        self._listener = listener

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._forget(self._listener)
            self._listener.close()
            self._listener = None

    # What to wait for

    def _until_next(self, now: float) -> float | None:
        at = self._core.next_at(now)
        return None if at == math.inf else max(0.0, at - time.monotonic())

    def _update_interest(self, now: float) -> None:
        if self._listener is not None:
            self._register(self._listener, 0 if self._core.holding else selectors.EVENT_READ, None)
        for ends in self._ends.values():
            link = ends.link
            for side, sock in ends.sockets.items():
                mask = 0
                if side == "server" and ends.connecting:
                    mask = selectors.EVENT_WRITE
                else:
                    if link.wants(_INCOMING[side], now):
                        mask |= selectors.EVENT_READ
                    if link.is_ready(TO_CLIENT if side == "client" else TO_SERVER, now):
                        mask |= selectors.EVENT_WRITE
                self._register(sock, mask, _Ready(ends, side))

    def _register(self, sock: socket.socket, mask: int, data: object) -> None:
        known = self._selector.get_map().get(sock)
        if known is None:
            if mask:
                self._selector.register(sock, mask, data)
        elif not mask:
            self._selector.unregister(sock)
        elif known.events != mask:
            self._selector.modify(sock, mask, data)

    def _forget(self, sock: socket.socket) -> None:
        with suppress(KeyError, ValueError):
            self._selector.unregister(sock)

    def _close_everything(self) -> None:
        self._stop_listening()
        self._core.cut("fin")
        for ends in self._ends.values():
            for sock in ends.sockets.values():
                sock.close()
        self._ends.clear()
        for sock in self._draining:
            sock.close()
        self._draining.clear()
        self._wake_in.close()
        self._wake_out.close()
        self._selector.close()
