"""The background thread of embedded servers on real loopback sockets: one for a server, one for a whole ensemble.

Rule: all that servers know belongs to this thread; `call` has it do something and waits for the result. It decides
nothing: bytes and times go into the cores, and what comes out goes to the sockets.
"""

from __future__ import annotations

import logging
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from .client import Client
from .clock import Clock, VirtualClock
from .front import Endpoint, Output

__all__ = ["Sockets"]

T = TypeVar("T")

log = logging.getLogger(__name__)

_READ = selectors.EVENT_READ
_WRITE = selectors.EVENT_WRITE
_CHUNK = 1 << 18  # bytes taken from a socket at once
_PATIENCE = 10.0  # seconds a caller waits for the thread


class _Listener:
    """A port that is open."""

    __slots__ = ("endpoint", "socket")

    def __init__(self, sock: socket.socket, endpoint: Endpoint) -> None:
        self.socket = sock
        self.endpoint = endpoint


class _Peer:
    """A socket and what is still to be written to it."""

    __slots__ = ("client", "ending", "endpoint", "frozen", "rest", "socket")

    def __init__(self, sock: socket.socket, client: Client, endpoint: Endpoint) -> None:
        self.socket = sock
        self.client = client
        self.endpoint = endpoint
        self.rest = b""
        self.ending = False
        self.frozen = False


class Sockets:
    """Ports, connections and the thread that serves them.

    next_deadline_ms, tick: of the core that keeps the time; not asked for it with a VirtualClock.
    """

    def __init__(
        self, clock: Clock, next_deadline_ms: Callable[[], int | None], tick: Callable[[int], list[Output]]
    ) -> None:
        self._clock = clock
        self._next_deadline_ms = next_deadline_ms
        self._tick = tick
        self._thread: threading.Thread | None = None
        self._orders: deque[Callable[[], None]] = deque()
        self._listeners: dict[Endpoint, _Listener] = {}
        self._peers: dict[Client, _Peer] = {}
        self._selector = selectors.DefaultSelector()
        self._waker, self._woken = socket.socketpair()
        for end in (self._waker, self._woken):
            end.setblocking(False)
        self._selector.register(self._woken, _READ, None)
        self._stopping = False

    # Life

    def start(self, name: str) -> None:
        """Serve in a background thread, once."""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close every connection and port, and end the thread; this object is used up by it."""
        thread = self._thread
        self._stopping = True
        if thread is None:
            self._close_all()
        else:
            self._wake()
            if thread is not threading.current_thread():
                thread.join(_PATIENCE)

    def call(self, function: Callable[[], T]) -> T:
        """Run a function in the thread, between two requests; return what it returns or raises."""
        thread = self._thread
        if thread is None or self._stopping or thread is threading.current_thread():
            return function()
        done = threading.Event()
        results: list[T] = []
        errors: list[BaseException] = []

        def order() -> None:
            try:
                results.append(function())
            except BaseException as error:  # noqa: BLE001  # it is the caller's
                errors.append(error)
            done.set()

        self._orders.append(order)
        self._wake()
        if not done.wait(_PATIENCE):
            raise TimeoutError(f"the thread of an embedded server did not answer within {_PATIENCE} s")
        if errors:
            raise errors[0]
        return results[0]

    # Before the start, or inside the thread

    def listen(self, endpoint: Endpoint, host: str, port: int) -> int:
        """Open a port (0 for any free one) and return it. Raises OSError when it is taken."""
        sock = socket.create_server((host, port), backlog=1024)
        sock.setblocking(False)
        listener = self._listeners[endpoint] = _Listener(sock, endpoint)
        self._selector.register(sock, _READ, listener)
        actual: int = sock.getsockname()[1]
        return actual

    def close(self, endpoint: Endpoint) -> None:
        """Close a port and all connections that were made to it."""
        for peer in [peer for peer in self._peers.values() if peer.endpoint is endpoint]:
            peer.endpoint.disconnected(peer.client)
            self._end(peer)
        listener = self._listeners.pop(endpoint, None)
        if listener is not None:
            with suppress(KeyError):  # a frozen one is not registered
                self._selector.unregister(listener.socket)
            listener.socket.close()

    def freeze(self, endpoint: Endpoint) -> None:
        """Neither accept, nor read, nor write: the system's buffers take what they can, as for a stopped process."""
        listener = self._listeners.get(endpoint)
        if listener is not None:
            self._selector.unregister(listener.socket)
        for peer in self._peers.values():
            if peer.endpoint is endpoint and not peer.frozen:
                peer.frozen = True
                self._selector.unregister(peer.socket)

    def thaw(self, endpoint: Endpoint) -> None:
        """Go on after `freeze`."""
        listener = self._listeners.get(endpoint)
        if listener is not None:
            self._selector.register(listener.socket, _READ, listener)
        for peer in self._peers.values():
            if peer.endpoint is endpoint and peer.frozen:
                peer.frozen = False
                self._selector.register(peer.socket, _WRITE if peer.rest else _READ, peer)

    def deliver(self, output: list[Output]) -> None:
        """Send what a core has to say."""
        if len(output) == 1:
            client, data = output[0]
            peer = self._peers.get(client)
            if peer is not None and data is not None:
                self._flush(peer, data)
                return
        parts: dict[Client, list[bytes]] = {}
        ended: dict[Client, None] = {}
        for client, data in output:
            if data is None:
                ended[client] = None
            else:
                parts.setdefault(client, []).append(data)
        for client, pieces in parts.items():
            peer = self._peers.get(client)
            if peer is not None:
                self._flush(peer, b"".join(pieces))
        for client in ended:
            peer = self._peers.get(client)
            if peer is not None:
                peer.ending = True
                if not peer.rest:
                    self._end(peer)

    # The thread

    def _run(self) -> None:
        selector = self._selector
        virtual = isinstance(self._clock, VirtualClock)
        try:
            while not self._stopping:
                deadline = None if virtual else self._next_deadline_ms()
                timeout = None if deadline is None else max(0.0, (deadline - self._clock.now_ms()) / 1000)
                for key, mask in selector.select(timeout):
                    source: object = key.data
                    if isinstance(source, _Peer):
                        if mask & _WRITE:
                            self._flush(source, b"")
                        if mask & _READ:
                            self._receive(source)
                    elif isinstance(source, _Listener):
                        self._accept(source)
                    else:
                        with suppress(OSError):
                            while self._woken.recv(4096):
                                pass
                while self._orders:
                    self._orders.popleft()()
                if deadline is not None and self._clock.now_ms() >= deadline:
                    self.deliver(self._tick(self._clock.now_ms()))
        finally:
            self._close_all()

    def _accept(self, listener: _Listener) -> None:
        while True:
            try:
                sock, address = listener.socket.accept()
            except OSError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client = listener.endpoint.accept(address[0], address[1], self._clock.now_ms())
            if client.closed:
                sock.close()
                continue
            peer = self._peers[client] = _Peer(sock, client, listener.endpoint)
            self._selector.register(sock, _READ, peer)

    def _receive(self, peer: _Peer) -> None:
        if peer.ending or peer.client not in self._peers:
            return
        try:
            data = peer.socket.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if data:
            try:
                output = peer.endpoint.receive(peer.client, data, self._clock.now_ms())
            except Exception:
                # A fault of the server costs one connection, as it does in a real one; the others are served.
                log.exception("the embedded server failed on %d bytes from a client, whose connection ends", len(data))
                data = b""
            else:
                self.deliver(output)
        if not data:
            output = peer.endpoint.disconnected(peer.client)
            self._end(peer)
            self.deliver(output)

    def _flush(self, peer: _Peer, data: bytes) -> None:
        if peer.client not in self._peers:
            return
        waiting = bool(peer.rest)
        data = peer.rest + data
        try:
            sent = peer.socket.send(data) if data and not peer.frozen else 0
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            output = peer.endpoint.disconnected(peer.client)
            self._end(peer)
            self.deliver(output)
            return
        peer.rest = data[sent:]
        if peer.frozen:
            return
        if peer.rest and not waiting:
            # Back pressure: a client that does not read its answers is not listened to either.
            self._selector.modify(peer.socket, _WRITE, peer)
        elif waiting and not peer.rest:
            if peer.ending:
                self._end(peer)
            else:
                self._selector.modify(peer.socket, _READ, peer)

    def _end(self, peer: _Peer) -> None:
        if self._peers.pop(peer.client, None) is None:
            return
        if not peer.frozen:
            self._selector.unregister(peer.socket)
        with suppress(OSError):
            # What was not read would turn the end of the stream into a reset, and the last answer could be lost.
            while peer.socket.recv(_CHUNK):
                pass
        peer.socket.close()

    def _close_all(self) -> None:
        for endpoint in tuple(self._listeners):
            self.close(endpoint)
        self._selector.close()
        self._waker.close()
        self._woken.close()
        while self._orders:
            self._orders.popleft()()

    def _wake(self) -> None:
        with suppress(OSError):
            self._waker.send(b"\0")
