"""What all caches share: a copy of a tree that is kept up to date, its listeners, and how new it is.

Rule: nodes are read again, never guessed: an event says where to look, and what is told is the difference between two
readings. So nothing is told twice, changes in quick succession are told as one, and a node that was deleted and created
again unseen is told as another one (by its creation zxid). One task does all of it, listeners included.

After a reconnect the recursive watch has missed something: all known nodes are read, 60 in a request; of the nodes
whose children changed meanwhile (pzxid) the children are listed; what is new is loaded. With single watches the server
says what changed, and only that is read.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

from zk_client import SessionClosedError, SessionState, TooManyRequestsError
from zk_wire import NoNodeError, ServerError, UnimplementedError, check_path, join_path, strip_chroot

from ._freshness import Freshness
from ._mirror import CachedNode, CacheEvent, CacheEventKind, Mirror
from ._telling import refuse_async, tell
from ._tree_watching import RecursiveWay, SingleWay
from ._waiting import FIRST_PAUSE, LONGEST_PAUSE, PASSING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Self

    from zk_client import Event, HasPort, Task

    from ._tree_watching import Heard, Way

log = logging.getLogger(__name__)

# Nodes read before what was found is told.
_PART = 6000


class Listening:
    """A function that is told of a cache's events, until it is stopped."""

    def __init__(self, listeners: list[Listening], function: Callable[[CacheEvent], object]) -> None:
        self.function = function
        self._listeners = listeners

    def stop(self) -> None:
        """Tell it nothing more. Callable from anywhere, also from the function, and more than once."""
        if self in self._listeners:
            self._listeners.remove(self)


class AsyncCache:
    """A copy of a tree, kept up to date while it is open. The caches that are used are made of it."""

    _awaits = True  # whether listeners may be asynchronous

    def __init__(
        self,
        client: HasPort,
        path: str,
        *,
        max_depth: int | None = None,
        select: Callable[[str], bool] | None = None,
        single_watches: bool = False,
    ) -> None:
        check_path(path)
        if max_depth is not None and (isinstance(max_depth, bool) or not isinstance(max_depth, int) or max_depth < 0):
            message = f"max_depth must be a number of levels, 0 for the node alone, or None: not {max_depth!r}"
            raise ValueError(message)
        self._path = path
        self._port = client.port
        self._max_depth = max_depth
        self._select = select
        self._is_single = single_watches
        self._mirror = Mirror(path)
        self._listeners: list[Listening] = []
        self._wake: Event = client.port.event()
        self._news: list[Event] = []  # of those who wait for anything to change
        self._states: deque[SessionState] = deque()
        self._dirty: set[str] = set()
        self._gone: dict[str, int] = {}
        self._lists: set[str] = set()
        self._initialized = False
        self._started = False
        self._closed = False
        self._error: Exception | None = None
        self._task: Task[None] | None = None
        self._freshness = Freshness(client.port)

    def __repr__(self) -> str:
        state = (
            "closed" if self._closed else "failed" if self._error else "initialized" if self._initialized else "loading"
        )
        return f"<{type(self).__name__} {self._path!r} {state if self._started else 'not started'}>"

    # Life

    async def start(self) -> Self:
        """Begin to load and to follow, beside the caller; `wait` returns when everything was read once.

        Costs a task (under threads: a thread) until it is closed. Once for each cache: a second call raises ValueError.
        """
        if self._started:
            message = f'the cache of "{self._path}" was started before: make another one'
            raise ValueError(message)
        self._started = True
        body = self._live()
        try:
            self._task = self._port.spawn(body, f"cache {self._path}")
        except BaseException:
            body.close()
            self._closed = True
            raise
        return self

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait until everything was read once; False when *timeout* seconds go by first.

        Raises what keeps the cache from being loaded: SessionClosedError when it or its client was closed, the error
        of a server that refuses to be asked.
        """
        return await self._until(lambda: self._initialized, timeout)

    async def wait_for(self, zxid: int, timeout: float | None = None) -> bool:
        """Wait until a change is in here, given its zxid (a Stat's mzxid or czxid); False when time runs out first.

        For those who read in the cache what they have written themselves. Never so for a node the cache leaves out.
        """
        return await self._until(lambda: self._initialized and self._mirror.as_of >= zxid, timeout)

    async def close(self) -> None:
        """Follow no longer and take the watches back from the server; what is in the cache stays.

        Returns at once, and may be called from a listener. Nothing is told any more.
        """
        self._closed = True
        self._listeners.clear()
        self._wake.set()
        self._tell_waiters()
        if self._task is not None:
            self._task.cancel()

    async def __aenter__(self) -> Self:
        """Start, and wait until everything was read once."""
        await self.start()
        try:
            await self.wait()
        except BaseException:
            await self._port.shielded(self.close())
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    # What is told

    def listen(self, function: Callable[[CacheEvent], object]) -> Listening:
        """Have *function* called with every CacheEvent from now on; stop it with the handle returned.

        Functions run on the cache's own task (thread), in order, one after the other; under asyncio they may be
        ``async``. An exception is logged and harms nothing. One that blocks keeps the cache from going on.
        """
        if not callable(function):
            message = f"function must be callable, not {type(function).__name__}"
            raise TypeError(message)
        if not self._awaits:
            refuse_async(function)
        listening = Listening(self._listeners, function)
        self._listeners.append(listening)
        return listening

    # How new it is

    @property
    def path(self) -> str:
        """The node at the top."""
        return self._path

    @property
    def initialized(self) -> bool:
        """Whether everything was read once."""
        return self._initialized

    @property
    def connected(self) -> bool:
        """Whether the connection is there and everything that is known to have changed has been read."""
        return self._freshness.current and not self._closed

    @property
    def as_of(self) -> int:
        """A zxid: every change up to it is in here, as far as the cache looks; -1 before there is one."""
        return self._mirror.as_of

    @property
    def age(self) -> float:
        """Seconds for which changes may have gone unnoticed: since a request was sent whose answer showed that
        everything told before was in here. An idle connection is asked every third of the session timeout, so it goes
        up and down below that; without a connection it grows. (A server may itself lag behind its leader.)
        """
        return self._freshness.age

    # The task

    async def _live(self) -> None:
        pause = FIRST_PAUSE
        self._port.add_listener(self._hear_state)
        try:
            while not self._closed:
                try:
                    await self._follow()
                    pause = FIRST_PAUSE
                    continue
                except (*PASSING, TooManyRequestsError) as error:
                    log.debug("%r: beginning anew after %r", self, error)
                except UnimplementedError:
                    if self._is_single:
                        raise
                    log.info("%r: a server older than 3.6 knows no recursive watches; watching node by node", self)
                    self._is_single = True
                    continue
                self._freshness.outdate()
                await self._tell_states()
                await self._wake.wait(pause)
                self._wake.clear()
                pause = min(pause * 2, LONGEST_PAUSE)
        except SessionClosedError as error:
            self._error = error
        except Exception as error:
            log.exception("%r has failed and follows no longer", self)
            self._error = error
        finally:
            self._port.remove_listener(self._hear_state)
            self._freshness.outdate()
            self._tell_waiters()

    async def _follow(self) -> None:
        """Follow the tree until the watches have to be set anew."""
        way: Way
        if self._is_single:
            way = SingleWay(self._port, self._path, self._wake)
        else:
            way = RecursiveWay(self._port, self._path, self._wake)
        try:
            await way.begin()
            await self._resync(way)
            while not self._closed:
                await self._tell_states()
                heard = way.take()
                is_back = not self._freshness.current and self._port.state.is_connected
                if is_back and not heard.anything:
                    await way.settle()
                    heard = way.take()
                if heard.anything:
                    self._freshness.work()
                self._collect(heard)
                if heard.over:
                    self._freshness.outdate()
                    return
                if heard.missed:
                    self._freshness.outdate()
                    await self._resync(way)
                elif self._dirty or self._gone or self._lists:
                    await self._refresh(way)
                else:
                    self._freshness.working = False
                    if self._mirror.settle():
                        self._tell_waiters()
                    if is_back:
                        await self._say_current()
                    else:
                        await self._wake.wait()
                        self._wake.clear()
        except BaseException:
            # What the watches had still to tell is lost: no list of children can be relied on.
            self._mirror.known.clear()
            raise
        finally:
            await self._port.shielded(way.end())

    def _collect(self, heard: Heard) -> None:
        for path in heard.dirty:
            if self._wants(path):
                self._gone.pop(path, None)
                self._dirty.add(path)
        for path, zxid in heard.gone.items():
            if self._wants(path):
                self._dirty.discard(path)
                self._gone[path] = zxid
        self._lists |= heard.lists

    async def _refresh(self, way: Way) -> None:
        """Look where something was heard of."""
        gone, self._gone = self._gone, {}
        for path in sorted(gone, key=len, reverse=True):
            await self._remove(way, path)
            self._mirror.child_changed(path, gone[path])
            self._mirror.advance(gone[path])
        # What is in these two is taken out only once it has been looked at: an error in between loses nothing.
        await self._read(way, sorted(self._dirty), looking=False)
        lists = sorted(self._lists & self._mirror.nodes.keys())
        await self._read(way, await self._unknown(way, lists), looking=True)
        self._lists.difference_update(lists)
        self._lists &= self._mirror.nodes.keys()

    async def _resync(self, way: Way) -> None:
        """Look everywhere."""
        for path in list(self._gone):
            self._dirty.add(path)
        self._gone.clear()
        self._lists.clear()
        known = self._mirror.nodes.keys() | self._dirty | {self._path}
        await self._read(way, sorted(known), looking=True)

    async def _say_current(self) -> None:
        """Nothing is left to look at, and nothing can have been missed."""
        if not self._port.state.is_connected:
            return
        self._freshness.renew()
        kind = CacheEventKind.CONNECTED if self._initialized else CacheEventKind.INITIALIZED
        self._initialized = True
        self._tell_waiters()
        await self._tell([CacheEvent(kind, self._path)])

    async def _read(self, way: Way, paths: list[str], *, looking: bool) -> None:
        """Read nodes, parents before children, and what turns out to be new below them."""
        while paths:
            part, paths = paths[:_PART], paths[_PART:]
            lists: list[str] = []
            for path, found in zip(part, await way.read(part), strict=True):
                if isinstance(found, ServerError):
                    if not isinstance(found, NoNodeError):
                        log.warning("%r leaves out what it may not read: %s", self, found)
                    await self._remove(way, path, is_read=True)
                elif not self._mirror.has_parent(path):
                    # Its parent was gone when it was read, and has been created again since: that is told apart.
                    way.forget([path])
                else:
                    data, stat = found
                    event = self._mirror.put(path, data, stat)
                    is_new = event is not None and event.kind in (CacheEventKind.ADDED, CacheEventKind.RECREATED)
                    if is_new:
                        if not looking:
                            # Its creation was heard, and so is that of every child, also in the same transaction.
                            self._mirror.known[path] = stat.czxid
                        self._mirror.child_changed(path, stat.czxid)
                    if event is not None:
                        await self._tell([event])
                    known = self._mirror.known.get(path)
                    if self._looks_below(path) and way.must_list(path, stat, known, looking=looking):
                        lists.append(path)
                self._dirty.discard(path)
            paths = await self._unknown(way, lists) + paths

    async def _unknown(self, way: Way, paths: list[str]) -> list[str]:
        """List children; drop those that are gone, and return those that are not in here yet."""
        unknown: list[str] = []
        if not paths:
            return unknown
        pzxids = {path: self._mirror.nodes[path].stat.pzxid for path in paths}
        for path, names in zip(paths, await way.list(paths), strict=True):
            if isinstance(names, ServerError):
                continue  # gone, which is heard of, or not to be listed
            for gone in self._mirror.names(path).difference(names):
                await self._remove(way, join_path(path, gone))
            # The list is not older than the Stat that was read before it.
            self._mirror.known[path] = max(self._mirror.known.get(path, -1), pzxids[path])
            have = self._mirror.names(path)
            unknown += [child for name in names if name not in have and self._wants(child := join_path(path, name))]
        # Kept until they are read, so that an error in between does not lose them.
        self._dirty.update(unknown)
        return sorted(unknown)

    async def _remove(self, way: Way, path: str, *, is_read: bool = False) -> None:
        """A node is gone. is_read: that was read just now, so that its way back is watched."""
        events = self._mirror.remove(path)
        way.forget([event.path for event in events if not (is_read and event.path == path)])
        await self._tell(events)

    # Which nodes

    def _wants(self, path: str) -> bool:
        """Whether a node belongs in here."""
        if path == self._path:
            return True
        below = strip_chroot("" if self._path == "/" else self._path, path)
        if below is None:
            return False
        parts = below.strip("/").split("/")
        if self._max_depth is not None and len(parts) > self._max_depth:
            return False
        if self._select is not None:
            at = self._path
            for part in parts:
                at = join_path(at, part)
                if not self._is_selected(at):
                    return False
        return True

    def _is_selected(self, path: str) -> bool:
        assert self._select is not None
        try:
            return bool(self._select(path))
        except Exception:
            log.exception("select of %r raised for %r, which is left out", self, path)
            return False

    def _looks_below(self, path: str) -> bool:
        if self._max_depth is None:
            return True
        depth = 0 if path == self._path else path[len(self._path.rstrip("/")) :].count("/")
        return depth < self._max_depth

    # States, listeners, waiters

    def _hear_state(self, state: SessionState) -> None:
        self._states.append(state)
        if not state.is_connected:
            self._freshness.outdate()
        self._wake.set()

    async def _tell_states(self) -> None:
        while self._states:
            state = self._states.popleft()
            if not state.is_connected:
                self._freshness.outdate()
            if state is SessionState.SUSPENDED:
                await self._tell([CacheEvent(CacheEventKind.SUSPENDED, self._path)])
            elif state is SessionState.EXPIRED:
                await self._tell([CacheEvent(CacheEventKind.LOST, self._path)])
            elif state in (SessionState.CLOSED, SessionState.AUTH_FAILED):
                message = f'the cache of "{self._path}" has ended: the session is {state}'
                raise SessionClosedError(message)

    async def _tell(self, events: Iterable[CacheEvent]) -> None:
        for event in events:
            for listening in list(self._listeners):
                if listening in self._listeners:
                    await tell(listening.function, event, what=f"a listener of {self!r}", awaits=self._awaits)

    async def _until(self, is_so: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until something is so; nothing that is told meanwhile is missed."""
        port = self._port
        deadline = None if timeout is None else port.now() + timeout
        news = port.event()
        self._news.append(news)
        try:
            while not is_so():
                if self._error is not None:
                    raise self._error
                if self._closed or not self._started:
                    message = f'the cache of "{self._path}" is {"closed" if self._closed else "not started"}'
                    raise SessionClosedError(message)
                remaining = None if deadline is None else deadline - port.now()
                if not await news.wait(None if remaining is None else max(0.0, remaining)):
                    return is_so()
                news.clear()
            return True
        finally:
            self._news.remove(news)

    def _tell_waiters(self) -> None:
        for news in list(self._news):
            news.set()

    # What the kinds of caches show

    def _node(self, path: str) -> CachedNode | None:
        return self._mirror.nodes.get(path)
