"""Entries of queues: how their nodes are named and put in order, and a listing that is not made twice for nothing.

Rule: entries are named as kazoo names them, ``entry-<priority, 3 digits>-<number>``, so there is no room for a GUID;
what became of a lost write is told by a marker elsewhere (``_deciding``). The order is by priority, the lower one
first, then by the server's number, by serial-number arithmetic.

A listing is good for as long as nobody has created a child since, which the Stat of the parent tells: its cversion on
the wire is twice the children ever created, less those there are. Reading that costs nothing in a queue of any size.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from zk_client import Read
from zk_wire import NoNodeError, ServerError, join_path

from ._sequence import serial_distance

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from zk_client import Port
    from zk_wire import Stat

LEAST_URGENT = 999
_PATTERN = re.compile(r"entry-(\d{3})-(\d{10}|-\d{9,10})\Z", re.ASCII)
_HALF = 2**31


class Found(NamedTuple):
    """An entry that was read.   czxid: of its creation, which tells it from a later one of the same name."""

    name: str
    data: bytes
    version: int
    czxid: int


def prefix(priority: int) -> str:
    """The child name before its number, for a create."""
    return f"entry-{priority:03d}-"


def in_order(children: Iterable[str]) -> list[str]:
    """The entries among children, the most urgent first, and the oldest first among equals."""
    return order({name: (match[1], match[2]) for name in children if (match := _PATTERN.fullmatch(name))})


def order(names: Mapping[str, tuple[str, str]]) -> list[str]:
    """Names in the order of their (priority, number)."""
    keys: dict[str, tuple[int, int]] = {}
    anchor: int | None = None
    for name, (priority, digits) in names.items():
        number = int(digits)
        anchor = number if anchor is None else anchor
        # Entries of one queue lie within half the ring, so any of them can stand in the middle.
        distance = serial_distance(anchor, number)
        keys[name] = (int(priority), distance if distance < _HALF else distance - 2 * _HALF)
    return sorted(keys, key=keys.__getitem__)


def check_value(path: str, value: bytes) -> None:
    """Refuse what is not bytes, before anything is sent."""
    if not isinstance(value, bytes):
        message = f"an entry of queue {path!r} must be bytes, not {type(value).__name__}"
        raise TypeError(message)


def check_priority(path: str, priority: int) -> None:
    """Refuse what is not a priority, before anything is sent."""
    if isinstance(priority, bool) or not isinstance(priority, int):
        message = f"the priority of an entry of queue {path!r} must be an int, not {type(priority).__name__}"
        raise TypeError(message)
    if not 0 <= priority <= LEAST_URGENT:
        message = f"the priority of an entry of queue {path!r} must lie between 0 and {LEAST_URGENT}, not {priority}"
        raise ValueError(message)


class _Listing:
    """What was there, less what is known to be gone. created: how many children there had ever been, before."""

    __slots__ = ("created", "names")

    def __init__(self, stat: Stat | None, names: Iterable[str]) -> None:
        self.created = None if stat is None else ever_created(stat)
        self.names = deque(names)

    def first(self) -> str | None:
        try:
            return self.names[0]
        except IndexError:
            return None


class Entries:
    """The entries below one node. Objects are shared by threads: a listing is replaced, and names only leave it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._listing: _Listing | None = None

    async def first(self, port: Port) -> Found | None:
        """Read the entry that is next; None when there is none. Two round trips, or one where the listing is good."""
        listing, is_fresh = self._listing, False
        while True:
            name = listing.first() if listing is not None else None
            if listing is None or name is None:
                listing = self._listing = await self._list(port)
                is_fresh = True
                if listing.first() is None:
                    return None
                continue
            above, found = await port.read_many([Read(self.path), Read(join_path(self.path, name))])
            if isinstance(above, NoNodeError):
                self._listing = None
                return None
            if isinstance(above, ServerError):
                raise above
            if not is_fresh and (isinstance(above, list) or ever_created(above[1]) != listing.created):
                listing = None
                continue
            if isinstance(found, NoNodeError):
                self.discard(name)
                continue
            if isinstance(found, ServerError):
                raise found
            if not isinstance(found, list):
                return Found(name, found[0] or b"", found[1].version, found[1].czxid)

    async def _list(self, port: Port) -> _Listing:
        """List all entries, in order; none where the node is missing."""
        above, children = await port.read_many([Read(self.path), Read(self.path, children=True)])
        for result in (above, children):
            if isinstance(result, ServerError) and not isinstance(result, NoNodeError):
                raise result
        if not isinstance(above, tuple) or not isinstance(children, list):
            return _Listing(None, ())
        return _Listing(above[1], in_order(children))

    def discard(self, name: str) -> None:
        """Forget an entry that is gone."""
        listing = self._listing
        if listing is not None:
            try:
                listing.names.remove(name)
            except ValueError:
                pass


def ever_created(stat: Stat) -> tuple[int, int]:
    """What changes with every child that is created, and with no other: (parent's czxid, children ever created)."""
    return stat.czxid, (stat.cversion + stat.num_children) % 2**32


def numbers_are_exhausted(stat: Stat) -> bool:
    """Whether the server has no number left for the children of this node."""
    return ever_created(stat)[1] == 2 * (_HALF - 1)
