"""One connection through a proxy, as its two directions; decides what is handed on, and what becomes of both ends.

Rule: told what has happened (bytes came, a side ended) and what goes wrong, it answers what may be handed on now, and
what is to be done to the two sockets. Nothing is duplicated, reordered or invented; after a frame that did not pass
whole nothing more passes in that direction, since TCP has no holes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from .conversation import Conversation
from .effects import BOTH, TO_CLIENT, TO_SERVER, Direction, How, Side
from .lane import End, Item, Lane

__all__ = ["Link", "Order"]

_SOURCE: Final[dict[Direction, Side]] = {TO_SERVER: "client", TO_CLIENT: "server"}
_TARGET: Final[dict[Direction, Side]] = {TO_SERVER: "server", TO_CLIENT: "client"}


class Order(NamedTuple):
    """What is to be done to the socket on one side.

    "end": tell it that nothing more comes.   "close": close it in peace.   "reset": close it with a reset.
    """

    what: Literal["end", "close", "reset"]
    side: Side


class Link:
    """One connection.   frozen: until when each direction of the proxy is frozen.   over: called when it has ended."""

    def __init__(
        self, conversation: Conversation, frozen: dict[Direction, float], over: Callable[[Link], None]
    ) -> None:
        self.conversation = conversation
        self.closed = False
        self.held = False  # nothing is handed on for now, but both sides are listened to
        self.stuck = False  # silent for good: it can only be cut
        self.ends_heard: set[Direction] = set()  # directions whose source has ended
        self._frozen = frozen
        self._over = over
        self._lanes: dict[Direction, Lane] = {direction: Lane(direction) for direction in BOTH}
        self._gone: set[Side] = set()  # sides without a socket
        self._still_until = 0.0
        self._ends_passed = 0
        self._orders: list[Order] = []

    # What has happened

    def received(self, direction: Direction, data: bytes, now: float) -> None:
        """Bytes came from the source of a direction."""
        lane = self._lanes[direction]
        if direction == TO_CLIENT and self._is_raw:
            lane.splitter.raw = True
        for frame in lane.splitter.feed(data):
            if lane.ended or self.closed:
                return
            verdict = self.conversation.judge(direction, frame, now, raw=self._is_raw)
            if verdict.still:
                self._still_until = max(self._still_until, now + verdict.still)
            if verdict.data:
                lane.add(Item(verdict.data, now + verdict.delay, pace=verdict.pace, done=verdict.done))
            if verdict.end is not None:
                lane.add(Item(b"", now, end=verdict.end))

    def ended(self, direction: Direction, now: float) -> None:
        """The source of a direction has said its last."""
        self.ends_heard.add(direction)
        lane = self._lanes[direction]
        if lane.ended:
            return
        if rest := lane.splitter.rest():
            lane.add(Item(rest, now))
        lane.add(Item(b"", now, end="eof"))

    def broken(self, side: Side, now: float) -> None:
        """The socket of a side is dead."""
        direction: Direction = TO_SERVER if side == "client" else TO_CLIENT
        self.ends_heard.add(direction)
        if not self.held:
            self.cut("fin")
        elif side not in self._gone:
            self._gone.add(side)
            self._lanes[direction].add(Item(b"", now, end="cut"))

    # What to do

    def wants(self, direction: Direction, now: float) -> bool:
        """Whether the source of a direction should be read."""
        if self.closed or direction in self.ends_heard or _SOURCE[direction] in self._gone:
            return False
        lane = self._lanes[direction]
        if self.held:
            return not lane.is_full  # to hear of its end
        return not (self.stuck or lane.ended or lane.is_full or self._frozen.get(direction, 0.0) > now)

    def ready(self, direction: Direction, now: float) -> memoryview | None:
        """The bytes to be handed on now in a direction, None for none; ends whose turn has come take effect here."""
        lane = self._lanes[direction]
        while (item := lane.head) is not None and not self._is_blocked(direction, now):
            if item.end is None:
                return lane.ready(now)
            if item.release_at > now:
                return None
            lane.pop()
            self._end(direction, item.end)
        return None

    def is_ready(self, direction: Direction, now: float) -> bool:
        """Whether bytes may be handed on now; changes nothing."""
        return not self._is_blocked(direction, now) and self._lanes[direction].ready(now) is not None

    def sent(self, direction: Direction, count: int, now: float) -> None:
        """So many of the bytes that were ready were handed on."""
        self._lanes[direction].sent(count, now)

    def next_at(self, now: float) -> float:
        """When something waiting will be ready that is not ready now; infinite for never."""
        earliest = math.inf
        if self.closed or self.stuck or self.held:
            return earliest
        for direction, lane in self._lanes.items():
            at = lane.next_at()
            if at is not None and _TARGET[direction] not in self._gone:
                at = max(at, self._frozen.get(direction, 0.0), self._still_until)
                if at > now:
                    earliest = min(earliest, at)
        return earliest

    @property
    def hears_server(self) -> bool:
        """Whether the server's end of the connection is open, as far as is known."""
        return not (self.closed or TO_CLIENT in self.ends_heard or "server" in self._gone)

    def take_orders(self) -> list[Order]:
        """What is to be done to the sockets, once."""
        orders, self._orders = self._orders, []
        return orders

    # What goes wrong

    def cut(self, how: How) -> None:
        """Close both sides."""
        if self.closed:
            return
        self.closed = True
        sides: tuple[Side, ...] = ("client", "server")
        self._orders += [Order("close" if how == "fin" else "reset", side) for side in sides]
        self._over(self)

    def half_open(self, keep: Side) -> None:
        """Close one side and leave the other one open and silent."""
        lost: Side = "server" if keep == "client" else "client"
        if lost not in self._gone:
            self.stuck = True
            self._gone.add(lost)
            self._orders.append(Order("close", lost))

    def heal(self) -> None:
        """Let what waits pass at once; a connection that cannot go on is cut."""
        self._still_until = 0.0
        for lane in self._lanes.values():
            lane.hurry()
        if self.stuck:
            self.cut("fin")

    # Details

    @property
    def _is_raw(self) -> bool:
        return self._lanes[TO_SERVER].splitter.raw

    def _is_blocked(self, direction: Direction, now: float) -> bool:
        return (
            self.closed
            or self.stuck
            or self.held
            or _TARGET[direction] in self._gone
            or self._frozen.get(direction, 0.0) > now
            or self._still_until > now
        )

    def _end(self, direction: Direction, end: End) -> None:
        if end == "freeze":
            self.stuck = True
        elif end == "cut":
            self.cut("fin")
        elif end == "reset":
            self.cut("reset")
        else:
            self._ends_passed += 1
            if self._ends_passed == len(BOTH):
                self.cut("fin")
            else:
                self._orders.append(Order("end", _TARGET[direction]))
