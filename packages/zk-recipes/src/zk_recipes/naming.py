"""How contenders name their nodes: kazoo's way, Curator's, Go's, Java's, or one's own.

Rule: what we create decides whether others respect us, what we recognise decides whether we respect them. A node is
``<before><GUID><marker><number>``: the GUID finds it again after a lost reply, the marker says who competes, the
number is the server's. Whatever the naming, numbers are compared by `_sequence`, never as text.

The server prints numbers with ``%010d``, so there are ten digits, or a minus sign and nine or ten.
Source: PrepRequestProcessor.java, pRequest2TxnCreate. The names of the others are those seen on servers:
``<32 hex>__lock__`` (kazoo), ``_c_<GUID with dashes>-lock-`` (Curator), ``_c_<32 hex>-lock-`` (Go), ``x-...-`` (Java).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ._sequence import Contender

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import TypeVar

    T = TypeVar("T")


class Naming:
    """How nodes of one kind are named, and which nodes compete with them.

    marker: between the GUID and the number, for example "__lock__".
    others: markers of other implementations that compete as well, as literal text, for example "-lock-".
    before: in front of the GUID, for example "_c_".   dashed: whether the GUID is written with dashes, as a UUID is.
    Raises TypeError for what is not text, ValueError for what no node can be named.
    """

    def __init__(self, marker: str, others: Sequence[str] = (), *, before: str = "", dashed: bool = False) -> None:
        if isinstance(others, str):
            # A single string is a sequence of one-letter markers, which would recognise nearly everything.
            message = f"extra_lock_patterns must be a sequence of strings, not the string {others!r}"
            raise TypeError(message)
        for other in others:
            if not isinstance(other, str) or not other:
                message = f"extra_lock_patterns must hold non-empty strings, not {other!r}"
                raise TypeError(message)
        for what, text in (("marker", marker), ("before", before)):
            if not isinstance(text, str):
                message = f"{what} must be a str, not {type(text).__name__}"
                raise TypeError(message)
            if "/" in text or "\0" in text:
                message = f"{what} must be a part of a node's name, without a slash: {text!r}"
                raise ValueError(message)
        if not marker:
            message = "marker must not be empty: nothing would tell a contender from any other sequential node"
            raise ValueError(message)
        self.marker = marker
        self.others = tuple(others)
        self.before = before
        self.dashed = dashed
        markers = "|".join(re.escape(text) for text in (marker, *others))
        self._pattern = re.compile(rf"(?:{markers})(\d{{10}}|-\d{{9,10}})\Z", re.ASCII)

    def __repr__(self) -> str:
        return f"Naming({self.marker!r}, {self.others!r}, before={self.before!r}, dashed={self.dashed!r})"

    def also(self, others: Sequence[str]) -> Naming:
        """Return this naming with more markers that compete."""
        if not others:
            return self
        if isinstance(others, str):
            return Naming(self.marker, others)  # which says what is wrong with it
        return Naming(self.marker, (*self.others, *others), before=self.before, dashed=self.dashed)

    def head(self, guid: str) -> str:
        """What the name of a node begins with, and no other's. guid: 32 hexadecimal digits."""
        if self.dashed:
            guid = "-".join((guid[:8], guid[8:12], guid[12:16], guid[16:20], guid[20:]))
        return self.before + guid

    def prefix(self, guid: str) -> str:
        """The child name before its number, for a create."""
        return self.head(guid) + self.marker

    def parse(self, name: str) -> Contender | None:
        """Recognise a child; None when it does not compete."""
        match = self._pattern.search(name)
        return None if match is None else Contender(name, int(match[1]))

    def contenders(self, children: Iterable[str]) -> list[Contender]:
        """Recognise all children that compete, in no order."""
        return [found for name in children if (found := self.parse(name)) is not None]


class ReadWriteNaming(NamedTuple):
    """How the nodes of readers and those of writers are named."""

    read: Naming
    write: Naming

    def also(self, others: Sequence[str]) -> ReadWriteNaming:
        """Return this naming with more markers that compete, as writers do."""
        return ReadWriteNaming(self.read, self.write.also(others))


# Curator orders by the text after the last "lock-", Go by the number after "lock-" or else after "__".
_LOCK = "-lock-"
_LOCK_OTHERS = ("lock-", "__lock__")

LOCKS: Mapping[str, Naming] = {
    "kazoo": Naming("__lock__"),
    "curator": Naming(_LOCK, _LOCK_OTHERS, before="_c_", dashed=True),
    "go": Naming(_LOCK, _LOCK_OTHERS, before="_c_"),
    # Java orders by the number after the last dash. Where it has its session id, which cannot tell two locks of one
    # session apart, we have our GUID.
    "java": Naming("-", before="x-"),
}

# An election is a lock (in Curator LeaderSelector's), or Curator's LeaderLatch.
ELECTIONS: Mapping[str, Naming] = {
    **LOCKS,
    "curator-latch": Naming("-latch-", ("latch-",), before="_c_", dashed=True),
}

READ_WRITE_LOCKS: Mapping[str, ReadWriteNaming] = {
    "kazoo": ReadWriteNaming(Naming("__rlock__"), Naming("__lock__")),
    "curator": ReadWriteNaming(
        Naming("-__READ__", before="_c_", dashed=True), Naming("-__WRIT__", before="_c_", dashed=True)
    ),
}


def chosen(naming: str | T, known: Mapping[str, T], kind: type[T]) -> T:
    """Return the naming that is meant. Raises ValueError for a name that is not known, TypeError for other things."""
    if isinstance(naming, kind):
        return naming
    if not isinstance(naming, str):
        message = f"naming must be a str or a {kind.__name__}, not {type(naming).__name__}"
        raise TypeError(message)
    try:
        return known[naming]
    except KeyError:
        message = f"naming must be one of {', '.join(known)}, or a {kind.__name__}: not {naming!r}"
        raise ValueError(message) from None
