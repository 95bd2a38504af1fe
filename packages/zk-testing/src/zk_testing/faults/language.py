"""What can be done to the connections of a proxy: the same words in front of a socket and in memory.

Rule: one line per fault here; what a rule means is in `rules`, what it does in `core`. Each word is checked before it
has any effect.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Literal, TypeVar, get_args

from zk_wire import OpCode

from ..errors import NotSeenError, TestingError
from . import rules
from .chance import Chance, RandomFaults
from .core import ProxyCore, Refusal
from .corruption import Damage
from .effects import HALF, TO_CLIENT, Direction, How, Part, Side, Then, Way, check_choice, directions_of
from .fault import Fault
from .link import Link
from .record import Passed
from .sessions import SeenSession

__all__ = ["FaultLanguage"]

T = TypeVar("T")

_ENDING = 5.0  # seconds within which a server closes the connection of a session that has ended


class FaultLanguage(ABC):
    """The words; see `zk_testing.faults` for what they are for. `FaultProxy` and `MemoryFaults` speak them."""

    _core: ProxyCore

    # One frame, or each frame of a kind

    def lose_reply(self, kind: str | OpCode, nth: int = 1, *, then: Then = "cut") -> Fault:
        """Let the nth request of a kind reach the server, and swallow its reply.

        then: "cut" ends the connection, "reset" ends it with a TCP reset, "freeze" leaves it open and passes nothing
        more, either way.   For kind "notification" the nth watch event is swallowed.
        """
        return self._add(rules.lose_reply(kind, nth, then=then))

    def lose_request(self, kind: str | OpCode, nth: int = 1, *, then: Then = "cut") -> Fault:
        """Swallow the nth request of a kind before it reaches the server; `then` as for `lose_reply`."""
        return self._add(rules.lose_request(kind, nth, then=then))

    def cut_before(self, kind: str | OpCode, nth: int = 1, *, of: Part = "request", how: How = "fin") -> Fault:
        """End the connection in place of the nth request of a kind, or (of="reply") in place of its reply.

        Everything before it in the same direction is delivered.   how: "fin", the end of the stream on both sides;
        "reset", a TCP reset on both sides.
        """
        return self._add(rules.cut_before(kind, nth, of=of, how=how))

    def cut_after(self, kind: str | OpCode, nth: int = 1, *, of: Part = "request", how: How = "fin") -> Fault:
        """End the connection as soon as the nth request of a kind, or (of="reply") its reply, was delivered."""
        return self._add(rules.cut_after(kind, nth, of=of, how=how))

    def cut_inside(
        self, kind: str | OpCode, nth: int = 1, *, of: Part = "reply", after_bytes: int = HALF, how: How = "fin"
    ) -> Fault:
        """End the connection when only the first bytes of the nth reply (or request) of a kind were delivered.

        after_bytes: how many, the 4 bytes of length included; -1 is half of them. At least one byte is missing.
        """
        return self._add(rules.cut_inside(kind, nth, of=of, after_bytes=after_bytes, how=how))

    def corrupt(
        self,
        kind: str | OpCode,
        nth: int = 1,
        damage: Damage = "flip",
        *,
        of: Part = "reply",
        at: int = -1,
        length: int = -1,
    ) -> Fault:
        """Damage the nth reply (or request) of a kind; the connection goes on.

        damage: "flip" inverts the byte `at` (from the frame's start, or its end where negative); "truncate" leaves half
        of the body, under a length that fits; "length" writes `length` into the frame's length; "garbage" replaces the
        body. A damaged multi or TTL create is garbage in any case: half understood it could destroy a real server.
        """
        return self._add(rules.corrupt(kind, nth, damage, of=of, at=at, length=length))

    def delay(
        self, seconds: float, kind: str | OpCode = "any", nth: int | None = None, *, direction: Way = TO_CLIENT
    ) -> Fault:
        """Hold frames of a kind, and whatever is behind them in the same direction, for some seconds.

        nth: only the nth one; None holds each of them.   direction: "to_client" holds replies (and notifications),
        "to_server" requests, "both" both.   Set for "any" it is a line with that latency.
        """
        return self._add(rules.delay(seconds, kind, nth, direction=direction))

    def pause(self, seconds: float, kind: str | OpCode = "any", nth: int = 1) -> Fault:
        """When the nth request of a kind comes, pass nothing on its connection for some seconds, either way."""
        return self._add(rules.pause(seconds, kind, nth))

    def slow(
        self, bytes_per_second: float, kind: str | OpCode = "any", nth: int | None = None, *, direction: Way = "both"
    ) -> Fault:
        """Pass frames of a kind no faster than so; each connection and direction for itself. `nth` as for `delay`."""
        return self._add(rules.slow(bytes_per_second, kind, nth, direction=direction))

    def chop(
        self,
        size: int,
        kind: str | OpCode = "any",
        nth: int | None = None,
        *,
        pause: float = 0.001,
        direction: Way = "both",
    ) -> Fault:
        """Pass frames of a kind in pieces of `size` bytes, each sent by itself, with `pause` seconds between them."""
        return self._add(rules.chop(size, kind, nth, pause=pause, direction=direction))

    # Several at once

    def script(self, script: str | Iterable[str]) -> list[Fault]:
        """Set several rules at the same point in the order of the frames; see `zk_testing.faults.rules` for the lines.

        Raises ValueError, before anything is set, for a line that is none.
        """
        faults = rules.parse_script(script)
        self._do(lambda: self._core.rulebook.add(faults))
        return faults

    def random(
        self,
        seed: int,
        *,
        rates: Mapping[str, float] | None = None,
        kinds: str | Sequence[str | OpCode] = ("read", "write", "sync"),
        longest: float = 0.5,
    ) -> RandomFaults:
        """Draw faults for the requests of some kinds until `heal`; what is drawn before is drawn no more.

        rates: the chance of each fault by name, for each request; None is a little of everything.   longest: seconds of
        the longest delay or pause.   The same seed and the same traffic give the same faults; so does the `script` of
        what is returned, set on a new proxy.
        """
        report = RandomFaults(seed)
        chosen = (kinds,) if isinstance(kinds, str) else tuple(kinds)
        chance = Chance(seed, rates=rates, kinds=chosen, longest=longest, report=report)

        def begin() -> None:
            chance.begin_after(self._core.last_number)
            self._core.rulebook.leave_to_chance(chance)

        self._do(begin)
        return report

    # Everything at once

    def freeze(self, direction: Way = "both", *, seconds: float | None = None) -> None:
        """Stop passing bytes, on present and future connections, until `heal`; they stay open and nothing is lost.

        seconds: freeze for so long only.
        """
        directions = directions_of(direction)
        if seconds is not None and not 0 < seconds < math.inf:
            raise ValueError(f"a line is frozen for more than 0 seconds, or None, not {seconds}")
        line = f"freeze {direction}" + (f" seconds={seconds}" if seconds is not None else "")
        self._act(line, lambda: self._core.freeze(directions, math.inf if seconds is None else self._now() + seconds))

    def cut(self, how: How = "fin") -> None:
        """End every open connection now; new ones are welcome. how: "fin" or "reset", for both sides."""
        check_choice("how", how, get_args(How))
        self._act(f"cut {how}", lambda: self._core.cut(how))

    def refuse(self, how: Refusal = "close") -> None:
        """Take no new connections until `heal`; open ones go on.

        how: "close" accepts and closes at once, as a server without room does; "not_listening" has the system refuse.
        """
        check_choice("how", how, get_args(Refusal))

        def refuse() -> None:
            self._core.refusing = how

        self._act(f"refuse {how}", refuse)

    def half_open(self, *, keep: Side = "client") -> None:
        """Close one side of every open connection; the other side stays open, and silent until `heal` or `cut`.

        keep: "client": the server sees the client leave, the client sees a frozen server. "server": the reverse.
        """
        check_choice("keep", keep, get_args(Side))
        self._act(f"half_open keep={keep}", lambda: self._core.half_open(keep))

    def heal(self) -> None:
        """Take every fault back: what was held flows again at once, new connections are welcome.

        Connections that cannot go on (a frame was lost, one side is closed) are cut.
        """
        self._act("heal", self._core.heal)

    # Sessions

    def expire_session(
        self,
        session_id: int | None = None,
        *,
        how: Literal["now", "silence"] = "now",
        timeout: float | None = None,
    ) -> tuple[int, ...]:
        """Have the server end a session, with its ephemeral nodes; return the ids of those that ended.

        session_id: one that was opened through this proxy; None means each of them that lives.
        how: "now" ends it through another connection. "silence" lets the server hear nothing from it until the server
        itself expires it, at most `timeout` seconds long (None: twice the session's timeout, and 5 s).
        Meanwhile its connections and new ones wait. Then the client sees the end of its connection, and is told on the
        next one that its session expired, as after any expiry.
        Raises TestingError when there is no such session, it has ended already, or the server did not end it: then
        everything flows again.
        """
        check_choice("how", how, ("now", "silence"))
        sessions = self._do(lambda: self._core.sessions.choose(session_id))
        if how == "silence":
            ended = self._let_silence_end(sessions, timeout)
        else:
            ended = self._end_all(sessions)
        if not ended:
            raise TestingError(f"the server has no session {_names(sessions)} any more")
        for session in ended:
            self._act(f"expire_session {session.id} how={how}", partial(self._core.sessions.ended, session.id))
        return tuple(session.id for session in ended)

    # What passed

    @property
    def record(self) -> tuple[Passed, ...]:
        """Every frame seen so far, in the order in which they passed (the last 100,000)."""
        return self._core.record.frames

    @property
    def history(self) -> tuple[str, ...]:
        """What went wrong so far, in order: each rule when it first struck, and everything that was done at once."""
        return self._core.rulebook.history

    def mark(self) -> int:
        """The number of the last frame seen, to be given to `wait_for(since=...)` later."""
        return self._core.record.count

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return self._core.record.connections

    @property
    def sessions(self) -> tuple[int, ...]:
        """The ids of the sessions that were opened through it and, as far as it could see, have not ended."""
        return self._core.sessions.ids

    def wait_for(
        self,
        what: str | OpCode | Callable[[Passed], bool],
        count: int = 1,
        *,
        timeout: float = 10.0,
        direction: Direction | None = None,
        since: int = 0,
    ) -> list[Passed]:
        """Wait until `count` frames have passed, and return the first `count` of them.

        what: a kind or an OpCode (requests, unless `direction` is "to_client"; lost ones do not count), or a predicate
        on any frame, lost ones included.   since: only frames after that mark.
        Raises NotSeenError after `timeout` seconds, telling what did pass.
        """
        return self._core.record.wait_for(what, count, timeout=timeout, direction=direction, since=since)

    def wait_for_connections(self, count: int, *, timeout: float = 10.0) -> None:
        """Wait until exactly `count` connections are open. Raises NotSeenError after `timeout` seconds."""
        self._core.record.wait_for_connections(count, timeout)

    # What the two worlds do each in their way

    @abstractmethod
    def _do(self, action: Callable[[], T]) -> T:
        """Run an action between two frames, and carry out what it orders."""

    @abstractmethod
    def _now(self) -> float:
        """The time, as the core is told it."""

    @abstractmethod
    def _end_session(self, session: SeenSession) -> bool:
        """End a session past the proxy; whether it was there. Raises TestingError when the server does not do it."""

    @abstractmethod
    def _lives(self, session: SeenSession) -> bool:
        """Whether the server has a session; finding out may keep it alive."""

    # Details

    def _add(self, fault: Fault) -> Fault:
        # Between two frames, so that "from now on" is a point in their order.
        self._do(lambda: self._core.rulebook.add([fault]))
        return fault

    def _act(self, line: str, action: Callable[[], None]) -> None:
        def act() -> None:
            action()
            self._core.rulebook.note(line)

        self._do(act)

    @contextmanager
    def _held(self, sessions: list[SeenSession]) -> Generator[list[Link], None, None]:
        """Nothing passes to or from these sessions, and nobody new gets through."""
        held = self._do(lambda: self._core.hold({session.id for session in sessions}))
        try:
            yield held
        finally:
            self._do(lambda: self._core.let_go(held))

    def _end_all(self, sessions: list[SeenSession]) -> list[SeenSession]:
        with self._held(sessions) as links:
            ended = [session for session in sessions if self._end_session(session)]
            self._wait_for_ends(links, _ENDING)
        return ended

    def _let_silence_end(self, sessions: list[SeenSession], timeout: float | None) -> list[SeenSession]:
        if timeout is None:
            timeout = 2 * max(session.timeout for session in sessions) + _ENDING
        with self._held(sessions) as links:
            connected = {link.conversation.session_id for link in links}
            silent = [session for session in sessions if session.id in connected]
            if not silent:
                raise TestingError(
                    f"session {_names(sessions)} has no connection whose end would tell that the server expired it"
                )
            self._wait_for_ends(links, timeout)
            for session in silent:
                if self._lives(session):
                    raise TestingError(f"the server ended the connection of session {session.name}, not the session")
        return silent

    def _note_moved(self, sessions: list[SeenSession], moved: list[SeenSession]) -> tuple[int, ...]:
        if not moved:
            raise TestingError(f"the server has no session {_names(sessions)} any more")
        for session in moved:
            self._act(f"move_session {session.id}", lambda: None)
        return tuple(session.id for session in moved)

    def _wait_for_ends(self, links: list[Link], timeout: float) -> None:
        monitor = self._core.monitor
        with monitor:
            if not monitor.wait_for(lambda: not any(link.hears_server for link in links), timeout):
                waiting = sum(link.hears_server for link in links)
                raise NotSeenError(f"waited {timeout} s for the server to end {waiting} of {len(links)} connections")


def _names(sessions: list[SeenSession]) -> str:
    return ", ".join(session.name for session in sessions)
