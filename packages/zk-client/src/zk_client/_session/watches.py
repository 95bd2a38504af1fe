"""Watches that are armed, whom they concern, and how they survive a new connection.

Rule: nothing here sends. `rearm` returns requests, `forget` says what the server may forget; the core sends.

A server forgets a client's watches with the connection, so they are set again with SetWatches2 (SetWatches where
no persistent watch exists, which older servers understand), in parts, because the server drops a connection that
sends a frame above `jute.maxbuffer` (1,048,575 bytes by default). All parts carry one zxid, captured before the
first is sent. Changes in between are reported by the server for one-shot watches; for persistent ones it reports
nothing, so their owners are told to read again.

Servers 3.6 to 3.8 keep one mode per path and connection: a one-shot registration cancels a persistent one on the
same path, and a recursive one replaces a plain one. The first is healed by setting the persistent watch again
(`must_renew`), the second is refused before it is sent (`conflict`).
Source: ClientCnxn.java (primeConnection, SET_WATCHES_MAX_LENGTH), ZKWatchManager.java; protocol notes 6.
"""

from __future__ import annotations

from zk_wire import EventType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NamedTuple, Protocol

    from zk_wire import EmptyResponse, Request

    from ..states import WatchedEvent
else:
    from .._typing import NamedTuple, Protocol

# As the Java client; but a part that would grow beyond this is closed before, not after it does.
PART_BYTES = 128 * 1024
# What a frame has beside its paths: its length, the header, the zxid, the lengths of five lists.
FRAME_BYTES = 4 + 8 + 8 + 5 * 4

DATA, EXIST, CHILD, PERSISTENT, RECURSIVE = range(5)
ONE_SHOT = (DATA, EXIST, CHILD)
_FIRED = {
    int(EventType.CREATED): (DATA, EXIST),
    int(EventType.CHANGED): (DATA, EXIST),
    int(EventType.DELETED): (DATA, EXIST, CHILD),
    int(EventType.CHILD): (CHILD,),
}


class Listener(Protocol):
    """Whoever is told of an event; compared by equality, so that one function is told once."""

    def __call__(self, event: WatchedEvent, /) -> object: ...


class WatchTarget(NamedTuple):
    """A watch to be registered when the reply arrives: the table, the server's path, and whom to tell."""

    table: int
    path: str
    listener: Listener


class Watches:
    """Every watch of a session."""

    __slots__ = ("_lingering", "_made", "_stale")

    def __init__(self) -> None:
        self._made: tuple[dict[str, list[Listener]], ...] = ()  # empty until there is a watch
        # Paths the server may still watch persistently although nobody here listens in that mode any more.
        self._lingering: dict[str, None] = {}
        self._stale: tuple[str, ...] = ()

    @property
    def tables(self) -> tuple[dict[str, list[Listener]], ...]:
        """Who listens, by path: one table for each kind of watch."""
        if not self._made:
            self._made = ({}, {}, {}, {}, {})
        return self._made

    def __len__(self) -> int:
        return sum(len(listeners) for table in self._made for listeners in table.values())

    @property
    def has_persistent(self) -> bool:
        """Whether any persistent or recursive watch is armed."""
        return any(self._made[PERSISTENT:])

    def add(self, table: int, path: str, listener: Listener) -> bool:
        """Arm a watch and return True; the same listener on the same path and table counts once."""
        listeners = self.tables[table].setdefault(path, [])
        if listener in listeners:
            return False
        listeners.append(listener)
        return True

    def must_renew(self, table: int, path: str) -> int | None:
        """The mode to set again after a one-shot registration that may have cancelled it (servers 3.6 to 3.8)."""
        if table in ONE_SHOT:
            for mode in (PERSISTENT, RECURSIVE):
                if path in self.tables[mode]:
                    return mode
        return None

    def conflict(self, table: int, path: str) -> bool:
        """Whether the path already has a persistent watch of the other mode."""
        other = {PERSISTENT: RECURSIVE, RECURSIVE: PERSISTENT}.get(table)
        return other is not None and path in self.tables[other]

    def fire(self, event_type: int, path: str) -> list[Listener]:
        """Whom an event concerns, each once; one-shot watches it uses up are gone afterwards."""
        told: list[Listener] = []
        used = False
        tables = self._made
        if not tables:
            return told
        for table in _FIRED.get(event_type, ()):
            listeners = tables[table].pop(path, None)
            if listeners is None:
                continue
            used = True
            if not told:
                told = listeners  # nobody else has it any more
            else:
                told += [listener for listener in listeners if listener not in told]
        if tables[PERSISTENT]:
            for listener in tables[PERSISTENT].get(path, ()):
                if listener not in told:
                    told.append(listener)
        if tables[RECURSIVE] and event_type != EventType.CHILD:
            for ancestor in ancestors(path):
                for listener in tables[RECURSIVE].get(ancestor, ()):
                    if listener not in told:
                        told.append(listener)
        if used and self._lingering and path in self._lingering and not self.watched(path):
            # The caller sees this through `stale_paths`.
            self._stale += (path,)
        return told

    def watched(self, path: str) -> bool:
        """Whether anybody listens on exactly this path."""
        return any(path in table for table in self._made)

    def forget(self, path: str, listener: Listener, tables: tuple[int, ...] = (0, 1, 2, 3, 4)) -> bool:
        """Drop a listener from a path; True when the server need not watch the path for us any more."""
        dropped = False
        for table in tables:
            listeners = self.tables[table].get(path)
            if listeners is not None and listener in listeners:
                dropped = True
                listeners.remove(listener)
                if not listeners:
                    del self.tables[table][path]
                    if table in (PERSISTENT, RECURSIVE):
                        self._lingering[path] = None
        if dropped and not self.watched(path):
            self._lingering.pop(path, None)
            return True
        return False

    def linger(self, path: str) -> None:
        """Remember that the server watches a path for nobody until the watch that is on its way has come and gone."""
        self._lingering[path] = None

    def lingers(self, path: str) -> bool:
        """Whether the server may still watch a path that nobody listens on."""
        return path in self._lingering and not self.watched(path)

    def stale_paths(self) -> tuple[str, ...]:
        """Paths the server still watches persistently for nobody; each is returned once."""
        stale, self._stale = self._stale, ()
        for path in stale:
            self._lingering.pop(path, None)
        return stale

    def drop_all(self) -> list[tuple[str, Listener]]:
        """Forget every watch (the session is gone) and return whom to tell."""
        told: dict[str, list[Listener]] = {}
        for table in self._made:
            for path, listeners in table.items():
                known = told.setdefault(path, [])
                known.extend(listener for listener in listeners if listener not in known)
            table.clear()
        self._lingering.clear()
        self._stale = ()
        return [(path, listener) for path, listeners in told.items() for listener in listeners]

    def drop_persistent(self) -> list[tuple[str, Listener]]:
        """Forget the persistent watches (this server has none) and return whom to tell."""
        told = self.persistent_listeners()
        for table in self._made[PERSISTENT:]:
            table.clear()
        return told

    def persistent_listeners(self) -> list[tuple[str, Listener]]:
        """Everyone who holds a persistent or recursive watch."""
        return [(p, f) for table in self._made[PERSISTENT:] for p, fs in table.items() for f in fs]

    def rearm(self, relative_zxid: int) -> list[Request[EmptyResponse]]:
        """The requests that set every watch again, in parts of about 128 KiB."""
        from zk_wire import SetWatches, SetWatches2

        # What the server watched for nobody ended with the connection.
        self._lingering.clear()
        self._stale = ()
        requests: list[Request[EmptyResponse]] = []
        for part in self._parts():
            if part[PERSISTENT] or part[RECURSIVE]:
                requests.append(SetWatches2(relative_zxid, *part))
            else:
                requests.append(SetWatches(relative_zxid, *part[:3]))
        return requests

    def _parts(self) -> Iterator[tuple[list[str], ...]]:
        part: tuple[list[str], ...] = tuple([] for _ in self._made)
        size = 0
        for table, paths in enumerate(self._made):
            for path in paths:
                needed = 4 + len(path.encode())
                if size and size + needed > PART_BYTES - FRAME_BYTES:
                    yield part
                    part, size = tuple([] for _ in self._made), 0
                part[table].append(path)
                size += needed
        if size:
            yield part


def ancestors(path: str) -> Iterator[str]:
    """A path, its parent, and so on to the root."""
    while True:
        yield path
        if path == "/":
            return
        path = path[: path.rfind("/")] or "/"
