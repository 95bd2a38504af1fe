"""Moves bytes between clients and one upstream server, on one thread.

Rule: nothing is decided here. For each frame the relay asks its judge, who says: pass it, pass it after a time, or lose
it and then cut or freeze the connection. What passes keeps its order; nothing is sent twice; after a lost frame nothing
more passes in that direction, since TCP has no holes.

All state belongs to the loop's thread; other threads hand it calls (`call`) and wait for them.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, suppress
from typing import Final, Literal, NamedTuple, Protocol

from ._splitter import FrameSplitter
from .errors import TestingError

__all__ = ["BOTH", "TO_CLIENT", "TO_SERVER", "Direction", "Judge", "Link", "LinkJudge", "Relay", "Then", "Verdict"]

Direction = Literal["to_server", "to_client"]
Then = Literal["cut", "freeze"]

TO_SERVER: Final[Direction] = "to_server"
TO_CLIENT: Final[Direction] = "to_client"
BOTH: Final[tuple[Direction, ...]] = (TO_SERVER, TO_CLIENT)

_CHUNK = 1 << 18
_HIGH_WATER = 1 << 22  # bytes waiting in one direction above which its source is not read: back-pressure
_BACKLOG = 128


class Verdict(NamedTuple):
    """What becomes of a frame: lost, then the connection cut or frozen; or passed after `delay` seconds.

    done: called when the last byte is with the other side's kernel, or at once for a lost frame.
    """

    lose: Then | None
    delay: float
    done: Callable[[], None]


class LinkJudge(Protocol):
    """Who decides about one connection; called on the relay's thread only."""

    def judge(self, direction: Direction, frame: bytes, *, raw: bool) -> Verdict:
        """Say what becomes of a frame (length prefix included), or of a piece of a stream without frames (raw)."""
        ...


class Judge(Protocol):
    """Who decides; called on the relay's thread only."""

    def opened(self, number: int) -> LinkJudge:
        """A connection came, the number-th one."""
        ...

    @property
    def passing(self) -> AbstractContextManager[object]:
        """Held while bytes are handed on and, after the last one, `Verdict.done` is called."""
        ...

    def changed(self, connections: int) -> None:
        """A connection came or went; so many are open now."""
        ...


class _Item:
    """Something on its way in one direction: bytes, or (without bytes) the end of the stream, a cut or a freeze."""

    __slots__ = ("data", "done", "end", "release_at")

    def __init__(
        self, data: bytes, release_at: float, done: Callable[[], None] | None = None, end: Literal["eof"] | Then = "eof"
    ) -> None:
        self.data = memoryview(data)
        self.release_at = release_at
        self.done = done
        self.end: Literal["eof"] | Then = end


class _Lane:
    """One direction of a link."""

    def __init__(self, direction: Direction, source: socket.socket, target: socket.socket) -> None:
        self.direction: Direction = direction
        self.source = source
        self.target = target
        self.splitter = FrameSplitter()
        self.queue: deque[_Item] = deque()
        self.queued = 0
        self.ended = False  # the source has said its last: end of stream, or a frame was lost


class Link:
    """One client's connection and the one to the server that belongs to it."""

    def __init__(self, judge: LinkJudge, client: socket.socket, server: socket.socket) -> None:
        self.judge = judge
        self.client = client
        self.server = server
        self.connecting = True
        self.frozen = False  # for good: it can only be cut
        self.gone: set[socket.socket] = set()  # sides that were closed while the other one stays (half open)
        self.lanes = {
            TO_SERVER: _Lane(TO_SERVER, client, server),
            TO_CLIENT: _Lane(TO_CLIENT, server, client),
        }
        self.passed_ends = 0
        self.closed = False

    @property
    def raw(self) -> bool:
        """Whether the client does not speak frames."""
        return self.lanes[TO_SERVER].splitter.raw


class _Side(NamedTuple):
    """What the selector gives back: whose socket is ready, and which one."""

    link: Link
    socket: socket.socket


class Relay:
    """The loop. `frozen` and `refusing` are changed by calls only (see `call`)."""

    def __init__(self, judge: Judge, upstream: tuple[str, int], host: str, port: int) -> None:
        self._judge = judge
        self._upstream = upstream
        self._address = (host, port)
        self._selector = selectors.DefaultSelector()
        self._calls: deque[tuple[Callable[[], None], Future[None]]] = deque()
        self._wake_out, self._wake_in = socket.socketpair()
        self._listener: socket.socket | None = None
        self._links: list[Link] = []
        self._draining: set[socket.socket] = set()
        self._numbers = 0
        self._stopping = False
        self._failure: BaseException | None = None
        self.frozen: set[Direction] = set()
        self.refusing = False
        try:
            self.listen()
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

    @property
    def links(self) -> list[Link]:
        """The open connections; for calls and the judge only."""
        return self._links

    def call(self, action: Callable[[], None]) -> None:
        """Run an action on the relay's thread and wait until it is done."""
        future: Future[None] = Future()
        self._calls.append((action, future))
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

    # Actions, on the relay's thread

    def listen(self) -> None:
        """Listen (again)."""
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
        self._selector.register(listener, selectors.EVENT_READ)

    def stop_listening(self) -> None:
        """Close the listening socket: new connections are refused by the system."""
        if self._listener is not None:
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None

    def cut(self, link: Link) -> None:
        """Close a connection. The server still reads what was sent to it before; the client gets nothing more."""
        if link.closed:
            return
        link.closed = True
        self._links.remove(link)
        self._forget(link.client)
        link.client.close()
        self._forget(link.server)
        # Closing with unread bytes would send a reset, which takes requests out of the server's buffer that had already
        # arrived. So: our end first, then read until the server's.
        try:
            link.server.shutdown(socket.SHUT_WR)
        except OSError:
            link.server.close()
        else:
            self._draining.add(link.server)
            self._selector.register(link.server, selectors.EVENT_READ, link.server)
        self._judge.changed(len(self._links))

    def half_open(self, link: Link, keep: Literal["client", "server"]) -> None:
        """Close one side of a connection and leave the other one open and silent."""
        lost = link.server if keep == "client" else link.client
        link.frozen = True
        self._forget(lost)
        link.gone.add(lost)
        lost.close()

    # The loop

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._update_interest()
                for key, mask in self._selector.select(self._until_next_release()):
                    self._on_event(key, mask)
                while self._calls:
                    self._run_call(*self._calls.popleft())
                now = time.monotonic()
                for link in tuple(self._links):
                    self._flush(link, now)
        except BaseException as error:  # noqa: BLE001 - told by stop() and by every later call
            self._failure = error
        finally:
            self._close_everything()
            while self._calls:
                self._calls.popleft()[1].set_exception(TestingError(f"the proxy on port {self.port} has stopped"))

    @staticmethod
    def _run_call(action: Callable[[], None], future: Future[None]) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - raised in the thread that called
            future.set_exception(error)
        else:
            future.set_result(None)

    def _on_event(self, key: selectors.SelectorKey, mask: int) -> None:
        if key.fileobj is self._wake_out:
            with suppress(BlockingIOError):
                self._wake_out.recv(4096)
        elif key.fileobj is self._listener:
            self._accept()
        elif isinstance(key.data, _Side):
            if not key.data.link.closed:
                self._on_ready(key.data.link, key.data.socket, mask)
        elif key.data in self._draining:
            self._drain(key.data)

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            client, _ = self._listener.accept()
        except OSError:
            return  # the client has gone already
        if self.refusing:
            client.close()
            return
        server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        for side in (client, server):
            side.setblocking(False)
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._numbers += 1
        link = Link(self._judge.opened(self._numbers), client, server)
        self._links.append(link)
        self._judge.changed(len(self._links))
        try:
            server.connect(self._upstream)
        except BlockingIOError:
            pass
        except OSError:
            self.cut(link)

    def _on_ready(self, link: Link, side: socket.socket, mask: int) -> None:
        if side is link.server and link.connecting:
            if side.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self.cut(link)
                return
            link.connecting = False
        if mask & selectors.EVENT_READ:
            lane = link.lanes[TO_SERVER if side is link.client else TO_CLIENT]
            if self._wants_to_read(link, lane):
                self._read(link, lane)

    def _read(self, link: Link, lane: _Lane) -> None:
        try:
            data = lane.source.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self.cut(link)
            return
        now = time.monotonic()
        if lane.direction == TO_CLIENT and link.raw:
            lane.splitter.raw = True
        for frame in lane.splitter.feed(data):
            if lane.ended:
                return
            self._offer(link, lane, frame, now)
        if not data and not lane.ended:
            if rest := lane.splitter.rest():
                lane.queue.append(_Item(rest, now))
                lane.queued += len(rest)
            lane.ended = True
            lane.queue.append(_Item(b"", now))

    def _offer(self, link: Link, lane: _Lane, frame: bytes, now: float) -> None:
        verdict = link.judge.judge(lane.direction, frame, raw=link.raw)
        if verdict.lose is not None:
            verdict.done()
            lane.ended = True
            lane.queue.append(_Item(b"", now, end=verdict.lose))
            return
        lane.queue.append(_Item(frame, now + verdict.delay, verdict.done))
        lane.queued += len(frame)

    def _flush(self, link: Link, now: float) -> None:
        for lane in link.lanes.values():
            while self._may_write(link, lane, now):
                item = lane.queue[0]
                if not item.data:
                    lane.queue.popleft()
                    self._end(link, lane, item)
                    continue
                try:
                    with self._judge.passing:
                        sent = lane.target.send(item.data)
                        if sent == len(item.data) and item.done is not None:
                            item.done()
                except BlockingIOError:
                    break
                except OSError:
                    self.cut(link)
                    return
                lane.queued -= sent
                item.data = item.data[sent:]
                if not item.data:
                    lane.queue.popleft()

    def _end(self, link: Link, lane: _Lane, item: _Item) -> None:
        if item.end == "cut":
            self.cut(link)
        elif item.end == "freeze":
            link.frozen = True
        else:
            link.passed_ends += 1
            with suppress(OSError):
                lane.target.shutdown(socket.SHUT_WR)
            if link.passed_ends == len(link.lanes):
                self.cut(link)

    def _drain(self, side: socket.socket) -> None:
        try:
            if side.recv(_CHUNK):
                return
        except BlockingIOError:
            return
        except OSError:
            pass  # reset: as good as its end
        self._forget(side)
        self._draining.discard(side)
        side.close()

    # What to wait for

    def _wants_to_read(self, link: Link, lane: _Lane) -> bool:
        return not (
            link.closed
            or link.frozen
            or lane.ended
            or lane.direction in self.frozen
            or lane.queued >= _HIGH_WATER
            or (lane.direction == TO_CLIENT and link.connecting)
        )

    def _may_write(self, link: Link, lane: _Lane, now: float) -> bool:
        return bool(lane.queue) and lane.queue[0].release_at <= now and not self._is_blocked(link, lane)

    def _is_blocked(self, link: Link, lane: _Lane) -> bool:
        return link.closed or link.frozen or link.connecting or lane.direction in self.frozen

    def _until_next_release(self) -> float | None:
        now = time.monotonic()
        times = [
            lane.queue[0].release_at
            for link in self._links
            for lane in link.lanes.values()
            if lane.queue and not self._is_blocked(link, lane) and lane.queue[0].release_at > now
        ]
        return max(0.0, min(times) - now) if times else None

    def _update_interest(self) -> None:
        now = time.monotonic()
        for link in tuple(self._links):
            masks = {link.client: 0, link.server: 0}
            for lane in link.lanes.values():
                if self._wants_to_read(link, lane):
                    masks[lane.source] |= selectors.EVENT_READ
                if self._may_write(link, lane, now):
                    masks[lane.target] |= selectors.EVENT_WRITE
            if link.connecting and not link.frozen:
                masks[link.server] |= selectors.EVENT_WRITE
            for side, mask in masks.items():
                if side not in link.gone:
                    self._register(link, side, mask)

    def _register(self, link: Link, side: socket.socket, mask: int) -> None:
        known = self._selector.get_map().get(side)
        if known is None:
            if mask:
                self._selector.register(side, mask, _Side(link, side))
        elif not mask:
            self._selector.unregister(side)
        elif known.events != mask:
            self._selector.modify(side, mask, _Side(link, side))

    def _forget(self, side: socket.socket) -> None:
        with suppress(KeyError, ValueError):
            self._selector.unregister(side)

    def _close_everything(self) -> None:
        for link in self._links:
            link.closed = True
            link.client.close()
            link.server.close()
        self._links.clear()
        for side in self._draining:
            side.close()
        self._draining.clear()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self._wake_in.close()
        self._wake_out.close()
        self._selector.close()
        self._judge.changed(len(self._links))
