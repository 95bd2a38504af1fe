"""Which connection is to hear of which path.

Rule: a watch is a connection, a path and a mode, in one of two tables: `data` and `child`. Asking twice is one watch,
and one change is one event, however many watches of a connection it meets. Nothing here sends.

Until 3.8 a path has one mode for each connection and table, and the latest wins; since 3.9 the modes live side by side.
Source: WatchManager.java of both kinds, DataTree.java (addWatch, setWatches).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from zk_wire import EventType, WatcherType

from .refusal import BrokenRequestError

__all__ = ["PERSISTENT", "RECURSIVE", "STANDARD", "Watches", "WatchTable"]

# The modes, as bits.
STANDARD = 1
PERSISTENT = 2
RECURSIVE = 4

W = TypeVar("W")


class WatchTable(Generic[W]):
    """Watches of one kind.   separate: whether several modes of one connection and path live side by side."""

    def __init__(self, separate: bool) -> None:
        self._separate = separate
        self._by_path: dict[str, dict[W, int]] = {}
        self._by_watcher: dict[W, dict[str, None]] = {}
        self._recursive = 0

    def add(self, path: str, watcher: W, mode: int = STANDARD) -> None:
        """Set a watch."""
        watchers = self._by_path.setdefault(path, {})
        before = watchers.get(watcher, 0)
        after = before | mode if self._separate else mode
        watchers[watcher] = after
        self._recursive += bool(after & RECURSIVE) - bool(before & RECURSIVE)
        self._by_watcher.setdefault(watcher, {})[path] = None

    def remove(self, path: str, watcher: W, modes: int = STANDARD | PERSISTENT | RECURSIVE) -> bool:
        """Remove some modes of a watch; tell whether there were any."""
        before = self._by_path.get(path, {}).get(watcher, 0)
        if not before & modes:
            return False
        self._keep(path, watcher, before, before & ~modes)
        return True

    def forget(self, watcher: W) -> None:
        """Remove all watches of a connection."""
        for path in tuple(self._by_watcher.get(watcher, ())):
            self.remove(path, watcher)
        self._by_watcher.pop(watcher, None)

    def modes(self, path: str, watcher: W) -> int:
        """The modes of a connection's watch on a path; 0 is none."""
        return self._by_path.get(path, {}).get(watcher, 0)

    def is_watched(self, path: str) -> bool:
        """Whether anybody watches a path."""
        return path in self._by_path

    def trigger(self, path: str, kind: EventType) -> list[W]:
        """Who is to hear of an event; one-shot watches are used up by it."""
        found: dict[W, None] = {}
        leaf = True
        for place in _upwards(path) if self._recursive else (path,):
            watchers = self._by_path.get(place)
            for watcher, modes in tuple(watchers.items()) if watchers else ():
                if modes & RECURSIVE and not (self._separate and leaf):
                    if kind is not EventType.CHILD:
                        found[watcher] = None
                elif leaf:
                    found[watcher] = None
                    if modes & STANDARD:
                        self._keep(place, watcher, modes, modes & ~STANDARD)
            leaf = False
        return list(found)

    def _keep(self, path: str, watcher: W, before: int, after: int) -> None:
        self._recursive += bool(after & RECURSIVE) - bool(before & RECURSIVE)
        watchers = self._by_path[path]
        if after:
            watchers[watcher] = after
            return
        del watchers[watcher]
        if not watchers:
            del self._by_path[path]
        del self._by_watcher[watcher][path]  # an empty list stays: the server counts and lists whoever had a watch

    # For the admin words

    def by_watcher(self) -> dict[W, list[str]]:
        """The watched paths of each connection, also of one that has had watches and has none now."""
        return {watcher: list(paths) for watcher, paths in self._by_watcher.items()}

    def by_path(self) -> dict[str, list[W]]:
        """The connections that watch each path."""
        return {path: list(watchers) for path, watchers in self._by_path.items()}

    def counts(self) -> tuple[int, int, int]:
        """(connections, paths, watches)."""
        return len(self._by_watcher), len(self._by_path), sum(map(len, self._by_path.values()))


class Watches(Generic[W]):
    """Both tables, and what the operations on watches do to them."""

    def __init__(self, separate: bool) -> None:
        self._separate = separate
        self.data: WatchTable[W] = WatchTable(separate)
        self.child: WatchTable[W] = WatchTable(separate)

    def add_lasting(self, path: str, watcher: W, *, recursive: bool) -> None:
        """Set a watch that is not used up."""
        mode = RECURSIVE if recursive else PERSISTENT
        self.data.add(path, watcher, mode)
        if not (recursive and self._separate):
            self.child.add(path, watcher, mode)

    def is_set(self, path: str, watcher: W, kind: int) -> bool:
        """Answer to checkWatches; before 3.9 anybody's watch counts, and a path without a slash is too much."""
        if not self._separate:
            if path and "/" not in path:
                raise BrokenRequestError
            if not path:
                return False
            return any(table.is_watched(path) for table, _modes in self._meant(kind))
        return any(table.modes(path, watcher) & modes for table, modes in self._meant(kind))

    def remove(self, path: str, watcher: W, kind: int) -> bool:
        """Do removeWatches; tell whether anything was removed."""
        removed = [table.remove(path, watcher, modes) for table, modes in self._meant(kind)]
        return any(removed)

    def _meant(self, kind: int) -> list[tuple[WatchTable[W], int]]:
        one_shot = STANDARD if self._separate else STANDARD | PERSISTENT | RECURSIVE
        match kind:
            case WatcherType.CHILDREN:
                return [(self.child, one_shot)]
            case WatcherType.DATA:
                return [(self.data, one_shot)]
            case WatcherType.PERSISTENT:
                return [(self.child, PERSISTENT), (self.data, PERSISTENT)]
            case WatcherType.PERSISTENT_RECURSIVE:
                return [(self.data, RECURSIVE)]
            case _:
                every = STANDARD | PERSISTENT | RECURSIVE
                return [(self.child, every), (self.data, every)]

    def knows_kind(self, kind: int) -> bool:
        """Whether a type of watch, in a request, is one that this server knows."""
        return 1 <= kind <= (5 if self._separate else 3)

    def trigger(self, kind: EventType, path: str) -> Iterable[W]:
        """Who is to hear of an event: each connection once."""
        if kind is EventType.CHILD:
            return self.child.trigger(path, kind)
        watchers = self.data.trigger(path, kind)
        if kind is EventType.DELETED:
            others = self.child.trigger(path, kind)
            if others:
                return dict.fromkeys([*watchers, *others])
        return watchers

    def forget(self, watcher: W) -> None:
        """A connection has ended."""
        self.data.forget(watcher)
        self.child.forget(watcher)


def _upwards(path: str) -> Iterator[str]:
    """A path and its ancestors, up to the root."""
    yield path
    while len(path) > 1:
        path = path.rpartition("/")[0] or "/"
        yield path
