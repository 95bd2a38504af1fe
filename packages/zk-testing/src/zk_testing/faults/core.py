"""All connections of a proxy and everything that goes wrong with them, without sockets, threads and clocks.

Rule: decides only. Two handlers carry the bytes: `relay` between sockets, `memory` between objects; each calls this
from one thread, with its time in seconds.
"""

from __future__ import annotations

import math
from typing import Literal

from .conversation import Conversation
from .effects import Direction, How, Side
from .link import Link
from .record import Monitor, Record
from .rulebook import Rulebook
from .sessions import Sessions

__all__ = ["ProxyCore", "Refusal"]

Refusal = Literal["close", "not_listening"]


class ProxyCore:
    """The decisions of one proxy.   monitor: held by the handler while it hands bytes on."""

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor
        self.record = Record(monitor)
        self.rulebook = Rulebook(monitor)
        self.sessions = Sessions()
        self.refusing: Refusal | None = None
        self.last_number = 0  # of the connection that came last
        self._links: list[Link] = []
        self._frozen: dict[Direction, float] = {}
        self._holders = 0

    # For the handler

    @property
    def holding(self) -> bool:
        """Whether new connections have to wait, neither welcomed nor refused."""
        return self._holders > 0

    @property
    def links(self) -> tuple[Link, ...]:
        """The open connections."""
        return tuple(self._links)

    def connect(self) -> Link | None:
        """A connection came: the link for it, None when it is to be closed at once."""
        if self.refusing is not None:
            return None
        self.last_number += 1
        conversation = Conversation(self.last_number, self.rulebook, self.record, self.sessions)
        link = Link(conversation, self._frozen, self._over)
        self._links.append(link)
        self.record.set_connections(len(self._links))
        return link

    def next_at(self, now: float) -> float:
        """When something is due, if nothing happens before; infinite for never."""
        thaws = (until for until in self._frozen.values() if until > now)
        return min((*thaws, *(link.next_at(now) for link in self._links)), default=math.inf)

    # What goes wrong

    def freeze(self, directions: tuple[Direction, ...], until: float) -> None:
        """Stop passing bytes until a time, or until healed (infinite)."""
        for direction in directions:
            self._frozen[direction] = max(until, self._frozen.get(direction, 0.0))

    def cut(self, how: How) -> None:
        """End every connection."""
        for link in self.links:
            link.cut(how)

    def half_open(self, keep: Side) -> None:
        """Close one side of every connection."""
        for link in self.links:
            link.half_open(keep)

    def heal(self) -> None:
        """Take every fault back."""
        self.rulebook.clear()
        self._frozen.clear()
        self.refusing = None
        for link in self.links:
            link.heal()

    def hold(self, session_ids: set[int]) -> list[Link]:
        """Have new connections wait, and hold back everything on those of some sessions, until `let_go`.

        Returns those that are held: the server has not ended them by now.
        """
        held = [link for link in self._links if link.conversation.session_id in session_ids and link.hears_server]
        for link in held:
            link.held = True
        self._holders += 1
        return held

    def let_go(self, held: list[Link]) -> None:
        """Take a `hold` back."""
        self._holders -= 1
        for link in held:
            link.held = False

    def _over(self, link: Link) -> None:
        self._links.remove(link)
        self.record.set_connections(len(self._links))
