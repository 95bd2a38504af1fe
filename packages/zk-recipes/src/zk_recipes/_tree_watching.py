"""Two ways to hear of changes in a tree: one recursive watch, or a one-shot watch or two on every node.

Rule: a way says which nodes may have changed and how to read a node so that the next change is heard. What is done
about it is the cache's.

`RecursiveWay` costs the server one watch and misses what changes while the connection is away, so that everything has
to be looked at afterwards. `SingleWay` costs a data watch and a child watch for each node, hears after a reconnect of
exactly what changed meanwhile, and is the only way on servers older than 3.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from zk_client import Read
from zk_wire import EventType, NoNodeError, ServerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from zk_client import Event, Port, PortWatcher, Subscription
    from zk_wire import Stat

    Found = tuple[bytes | None, Stat] | ServerError
    FoundNames = list[str] | ServerError


class Heard(NamedTuple):
    """What was heard since the last time.

    gone: nodes deleted, with the zxid if it was told (else -1).   dirty: nodes to be read.
    lists: nodes whose children are to be listed.   missed: anything may have changed.
    over: nothing more will be heard; begin anew.
    """

    gone: dict[str, int]
    dirty: set[str]
    lists: set[str]
    missed: bool = False
    over: bool = False

    @property
    def anything(self) -> bool:
        """Whether anything was heard."""
        return bool(self.missed or self.over or self.dirty or self.gone or self.lists)


class Way(Protocol):
    """How a cache hears of changes."""

    async def begin(self) -> None:
        """Begin to hear; call it before anything is read."""
        ...

    async def end(self) -> None:
        """Take every watch back."""
        ...

    def take(self) -> Heard:
        """Return what was heard since the last time; never waits."""
        ...

    async def read(self, paths: Sequence[str]) -> list[Found]:
        """Read nodes, so that their next change is heard."""
        ...

    async def list(self, paths: Sequence[str]) -> list[FoundNames]:
        """Read the names of children, so that the next change of them is heard."""
        ...

    def must_list(self, path: str, stat: Stat, known: int | None, *, looking: bool) -> bool:
        """Whether the children of a node that was read have to be listed.

        known: up to which change they are known.   looking: nobody has said that only the node itself has changed.
        """
        ...

    def forget(self, paths: Iterable[str]) -> None:
        """Nodes are not followed any more."""
        ...

    async def settle(self) -> None:
        """After a reconnect, return when everything that happened meanwhile has been heard."""
        ...


class RecursiveWay:
    """One persistent recursive watch for the whole tree."""

    def __init__(self, port: Port, root: str, wake: Event) -> None:
        self._port = port
        self._root = root
        self._wake = wake
        self._watch: Subscription | None = None

    async def begin(self) -> None:
        """Set the watch. Raises UnimplementedError on a server older than 3.6."""
        self._watch = await self._port.watch(self._root, recursive=True, wake=self._wake)

    async def end(self) -> None:
        """Take the watch back."""
        if self._watch is not None:
            await self._watch.close()

    def take(self) -> Heard:
        """Return what was heard since the last time."""
        gone: dict[str, int] = {}
        dirty: set[str] = set()
        missed = over = False
        watch = self._watch
        while watch is not None and (event := watch.take()) is not None:
            if event.type is EventType.PERSISTENT_WATCH_REMOVED:
                over = True
            elif event.type is EventType.NONE:
                missed = True
                over = over or not event.state.is_connected
            elif event.type is EventType.DELETED:
                # The last word counts: a node deleted and created again is read, and seen to be another one.
                dirty.discard(event.path)
                gone[event.path] = event.zxid
            else:
                gone.pop(event.path, None)
                dirty.add(event.path)
        return Heard(gone, dirty, set(), missed, over)

    async def read(self, paths: Sequence[str]) -> list[Found]:
        """Read nodes, many in a request."""
        return await self._port.read_many([Read(path) for path in paths])  # type: ignore[return-value]

    async def list(self, paths: Sequence[str]) -> list[FoundNames]:
        """Read the names of children, of many nodes in a request."""
        return await self._port.read_many([Read(path, children=True) for path in paths])  # type: ignore[return-value]

    def must_list(self, path: str, stat: Stat, known: int | None, *, looking: bool) -> bool:
        """Only where children may have been created unheard: those that are gone are read, and missed."""
        return looking and stat.num_children > 0 and stat.pzxid != known

    def forget(self, paths: Iterable[str]) -> None:
        """Nothing is kept for single nodes."""

    async def settle(self) -> None:
        """What was missed is not told at all, only that it was."""


class SingleWay:
    """A data watch on every node, and a child watch on every node whose children are followed."""

    def __init__(self, port: Port, root: str, wake: Event) -> None:
        self._port = port
        self._root = root
        self._wake = wake
        self._data: dict[str, PortWatcher] = {}
        self._lists: dict[str, PortWatcher] = {}
        self._discarded: list[PortWatcher] = []

    async def begin(self) -> None:
        """Nothing is heard but of what was read."""

    async def end(self) -> None:
        """Take every watch back."""
        await self._close([*self._data.values(), *self._lists.values()])
        await self._close_discarded()

    def take(self) -> Heard:
        """Return what was heard since the last time."""
        dirty: set[str] = set()
        lists: set[str] = set()
        over = False
        for watchers, changed in ((self._data, dirty), (self._lists, lists)):
            for path, watcher in list(watchers.items()):
                event = watcher.event
                if event is None:
                    continue
                del watchers[path]
                if event.type is EventType.NONE:
                    over = True
                elif event.type is EventType.DELETED:
                    dirty.add(path)
                else:
                    changed.add(path)
        return Heard({}, dirty, lists - dirty, over, over)

    async def read(self, paths: Sequence[str]) -> list[Found]:
        """Read nodes, leaving a watch on each; on the root also if it is missing."""
        found: list[Found] = await self._watched(paths, self._data, children=False)  # type: ignore[assignment]
        for place, path in enumerate(paths):
            while path == self._root and isinstance(found[place], NoNodeError) and not await self._is_awaited():
                found[place : place + 1] = await self._watched([path], self._data, children=False)  # type: ignore[assignment]
        return found

    async def _is_awaited(self) -> bool:
        """Watch for the creation of the missing root; False when it exists by now."""
        watcher = self._port.watcher(self._wake)
        kept = False
        try:
            kept = await self._port.exists(self._root, watcher) is None
            if kept:
                self._data[self._root] = watcher
        finally:
            if not kept:
                await self._close([watcher])
        return kept

    async def list(self, paths: Sequence[str]) -> list[FoundNames]:
        """Read the names of children, leaving a watch on each."""
        return await self._watched(paths, self._lists, children=True)  # type: ignore[return-value]

    async def _watched(
        self, paths: Sequence[str], kept: dict[str, PortWatcher], *, children: bool
    ) -> Sequence[Found | FoundNames]:
        await self._close_discarded()
        await self._close([watcher for path in paths if (watcher := kept.pop(path, None)) is not None])
        watchers = [self._port.watcher(self._wake) for _ in paths]
        is_read = False
        try:
            found = await self._port.read_many(
                [Read(path, children, watcher) for path, watcher in zip(paths, watchers, strict=True)]
            )
            is_read = True
        finally:
            if not is_read:
                await self._close(watchers)
        for path, watcher, result in zip(paths, watchers, found, strict=True):
            if not isinstance(result, ServerError):
                kept[path] = watcher
        return found

    def must_list(self, path: str, stat: Stat, known: int | None, *, looking: bool) -> bool:
        """Where no watch tells of the next change."""
        return path not in self._lists

    def forget(self, paths: Iterable[str]) -> None:
        """Take the watches of nodes back, with the next reading."""
        for path in paths:
            for watchers in (self._data, self._lists):
                watcher = watchers.pop(path, None)
                if watcher is not None and watcher.event is None:
                    self._discarded.append(watcher)

    async def settle(self) -> None:
        """What is told of a change comes before the reply of any later request."""
        await self._port.exists(self._root)

    async def _close_discarded(self) -> None:
        discarded, self._discarded = self._discarded, []
        await self._close(discarded)

    async def _close(self, watchers: Iterable[PortWatcher]) -> None:
        async def close() -> None:
            for watcher in watchers:
                await watcher.close()

        await self._port.shielded(close())
