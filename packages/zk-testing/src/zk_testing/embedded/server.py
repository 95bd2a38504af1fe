"""The embedded server on a real loopback socket, in one background thread.

    with EmbeddedServer(version="3.8") as server:
        server.hosts                        # "127.0.0.1:40123"
        server.expire_session(session_id)

Rule: all of the server's state belongs to its thread; every method here asks that thread to do something and waits
for it. It decides nothing: bytes and times go into the core, and what comes out goes to the sockets.

For tests: nothing is written to disk, and nothing is safe from a crash. `stop` keeps the data, and `start` after it
serves them again on the same port, each session with a full timeout.
"""

from __future__ import annotations

import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TypeVar

from .client import Client
from .clock import Clock, VirtualClock
from .core import Mode, Output, ServerCore
from .settings import Settings

__all__ = ["EmbeddedServer"]

T = TypeVar("T")

_READ = selectors.EVENT_READ
_WRITE = selectors.EVENT_WRITE
_CHUNK = 1 << 18  # bytes taken from a socket at once
_PATIENCE = 10.0  # seconds a caller waits for the server's thread


class _Peer:
    """A socket and what is still to be written to it."""

    __slots__ = ("client", "ending", "rest", "socket")

    def __init__(self, sock: socket.socket, client: Client) -> None:
        self.socket = sock
        self.client = client
        self.rest = b""
        self.ending = False


class EmbeddedServer:
    """A ZooKeeper server inside this process.

    version: whose behaviour it has: a line ("3.9"), a release ("3.8.4") or "newest".   port: 0 for any free one.
    tick_ms: the unit of session time-outs; a silent session ends up to one tick late.
    min/max_session_timeout: seconds; None is 2 ticks, and 60 s or 20 ticks.
    settings: everything else, and then all of it: the parameters before are not looked at.
    clock: a VirtualClock stands still until `advance` moves it.
    Raises ValueError for a version that cannot be embedded.
    """

    def __init__(
        self,
        *,
        version: str = "3.9",
        port: int = 0,
        host: str = "127.0.0.1",
        tick_ms: int = 200,
        min_session_timeout: float | None = None,
        max_session_timeout: float | None = None,
        settings: Settings | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings or Settings(
            version=version,
            tick_ms=tick_ms,
            min_session_timeout_ms=_to_ms(min_session_timeout),
            max_session_timeout_ms=_to_ms(max_session_timeout),
        )
        self._host = host
        self._port = port
        self._clock = clock or Clock()
        self._core: ServerCore | None = None
        self._thread: threading.Thread | None = None
        self._orders: deque[Callable[[], None]] = deque()
        self._peers: dict[Client, _Peer] = {}
        self._selector: selectors.BaseSelector | None = None
        self._listener: socket.socket | None = None
        self._waker: socket.socket | None = None
        self._stopping = False

    def __enter__(self) -> EmbeddedServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = f"at {self.address}" if self.running else "stopped"
        return f"<EmbeddedServer {self._settings.version}, {state}>"

    # Life

    @property
    def running(self) -> bool:
        """Whether it listens."""
        return self._thread is not None

    def start(self) -> None:
        """Listen, and serve in a background thread; what an earlier life has left is still there.

        Raises OSError when the port is taken. A server that runs stays as it is.
        """
        if self._thread is not None:
            return
        listener = socket.create_server((self._host, self._port), backlog=1024)
        listener.setblocking(False)
        waker, woken = socket.socketpair()
        for end in (waker, woken):
            end.setblocking(False)
        selector = selectors.DefaultSelector()
        selector.register(listener, _READ, None)
        selector.register(woken, _READ, woken)
        self._listener, self._waker, self._selector = listener, waker, selector
        self._port = listener.getsockname()[1]
        now_ms = self._clock.now_ms()
        if self._core is None:
            self._core = ServerCore(self._settings, now_ms=now_ms)
        for session in self._core.sessions.all():
            self._core.sessions.touch(session, now_ms)
        self._core.port = self._port
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"zk-embedded-{self._port}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close every connection and end the thread; the data stay for another `start`. Twice is once."""
        thread = self._thread
        if thread is None:
            return
        self._stopping = True
        self._wake()
        thread.join(_PATIENCE)
        self._thread = None

    # Where it is

    @property
    def port(self) -> int:
        """The port it listens on; 0 before the first start, unless one was asked for."""
        return self._port

    @property
    def address(self) -> str:
        """Host and port, as "127.0.0.1:40123"."""
        return f"{self._host}:{self._port}"

    @property
    def hosts(self) -> str:
        """The address, as a client takes it."""
        return self.address

    def connection_string(self, chroot: str = "") -> str:
        """The address followed by a chroot ("" or "/path")."""
        return self.hosts + chroot

    @property
    def version(self) -> str:
        """The exact release whose behaviour it has."""
        return self.core.profile.version

    @property
    def core(self) -> ServerCore:
        """The server itself, to be looked at; ask through `call` while it runs. Raises ValueError before the start."""
        if self._core is None:
            raise ValueError("the embedded server was not started yet")
        return self._core

    # What can be done to it

    def expire_session(self, session_id: int) -> None:
        """End a session as if it had been silent for too long: its nodes go, its connection closes without a word.

        Raises KeyError when there is no such session.
        """
        self._do(lambda: self.core.expire_session(session_id, self._clock.now_ms()))

    def drop_connections(self, session_id: int | None = None) -> None:
        """Close the connection of one session, or all of them; the sessions live on."""
        self._do(lambda: self.core.drop_connections(session_id))

    def set_mode(self, mode: Mode) -> None:
        """Serve everybody, only read-only clients, or nobody; all connections are closed."""
        self._do(lambda: self.core.set_mode(mode, self._clock.now_ms()))

    def sessions(self) -> list[int]:
        """The numbers of the sessions that live."""
        return self.call(lambda core: [session.id for session in core.sessions.all()])

    def advance(self, seconds: float) -> None:
        """Let the time of a VirtualClock pass. Raises ValueError for a server that lives in real time."""
        clock = self._clock
        if not isinstance(clock, VirtualClock):
            raise ValueError("only a server with a VirtualClock can be told the time")

        def step() -> list[Output]:
            until_ms = clock.now_ms() + round(seconds * 1000)
            output = self.core.advance(clock.now_ms(), until_ms)
            clock.move_to(until_ms)
            return output

        self._do(step)

    def call(self, function: Callable[[ServerCore], T]) -> T:
        """Run a function over the server's state, between two requests, and return what it returns or raises."""
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return function(self.core)
        done = threading.Event()
        results: list[T] = []
        errors: list[BaseException] = []

        def order() -> None:
            try:
                results.append(function(self.core))
            except BaseException as error:  # noqa: BLE001  # it is the caller's
                errors.append(error)
            done.set()

        self._orders.append(order)
        self._wake()
        if not done.wait(_PATIENCE):
            raise TimeoutError(f"{self!r} did not answer within {_PATIENCE} s")
        if errors:
            raise errors[0]
        return results[0]

    def _do(self, step: Callable[[], list[Output]]) -> None:
        self.call(lambda _core: self._deliver(step()))

    def _wake(self) -> None:
        if self._waker is not None:
            with suppress(OSError):
                self._waker.send(b"\0")

    # The thread

    def _run(self) -> None:
        selector, listener, core = self._selector, self._listener, self.core
        if selector is None or listener is None:
            raise AssertionError("start() makes them before the thread")
        virtual = isinstance(self._clock, VirtualClock)
        try:
            while not self._stopping:
                deadline = None if virtual else core.next_deadline_ms()
                timeout = None if deadline is None else max(0.0, (deadline - self._clock.now_ms()) / 1000)
                for key, mask in selector.select(timeout):
                    peer: object = key.data
                    if peer is None:
                        self._accept(listener, selector)
                    elif isinstance(peer, _Peer):
                        if mask & _WRITE:
                            self._flush(peer, b"")
                        if mask & _READ:
                            self._receive(peer)
                    else:
                        with suppress(OSError):
                            while key.fileobj.recv(4096):  # type: ignore[union-attr]  # our own socket
                                pass
                while self._orders:
                    self._orders.popleft()()
                if deadline is not None and self._clock.now_ms() >= deadline:
                    self._deliver(core.tick(self._clock.now_ms()))
        finally:
            self._close_all(selector)

    def _accept(self, listener: socket.socket, selector: selectors.BaseSelector) -> None:
        while True:
            try:
                sock, address = listener.accept()
            except OSError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client = self.core.accept(address[0], address[1], self._clock.now_ms())
            if client.closed:
                sock.close()
                continue
            peer = self._peers[client] = _Peer(sock, client)
            selector.register(sock, _READ, peer)

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
            self._deliver(self.core.receive(peer.client, data, self._clock.now_ms()))
        else:
            output = self.core.disconnected(peer.client)
            self._end(peer)
            self._deliver(output)

    def _deliver(self, output: list[Output]) -> None:
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

    def _flush(self, peer: _Peer, data: bytes) -> None:
        selector = self._selector
        if selector is None or peer.client not in self._peers:
            return
        waiting = bool(peer.rest)
        data = peer.rest + data
        try:
            sent = peer.socket.send(data) if data else 0
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self._deliver(self.core.disconnected(peer.client))
            self._end(peer)
            return
        peer.rest = data[sent:]
        if peer.rest and not waiting:
            # Back pressure: a client that does not read its answers is not listened to either.
            selector.modify(peer.socket, _WRITE, peer)
        elif waiting and not peer.rest:
            if peer.ending:
                self._end(peer)
            else:
                selector.modify(peer.socket, _READ, peer)

    def _end(self, peer: _Peer) -> None:
        if self._peers.pop(peer.client, None) is None:
            return
        if self._selector is not None:
            self._selector.unregister(peer.socket)
        with suppress(OSError):
            # What was not read would turn the end of the stream into a reset, and the last answer could be lost.
            while peer.socket.recv(_CHUNK):
                pass
        peer.socket.close()

    def _close_all(self, selector: selectors.BaseSelector) -> None:
        for peer in tuple(self._peers.values()):
            self.core.disconnected(peer.client)
            self._end(peer)
        for key in tuple(selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]  # the listener and our end of the waker
        selector.close()
        if self._waker is not None:
            self._waker.close()
        self._selector = self._listener = self._waker = None
        while self._orders:
            self._orders.popleft()()


def _to_ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)
