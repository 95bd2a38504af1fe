"""What can be asked of an embedded ensemble and done to it without waiting, whatever carries its bytes.

Rule: one line for each method: the core (quorum.py) does it, and whoever inherits sees to it that this happens where
the ensemble's state is at home (`call`), and that what is to be sent then gets sent (`_do`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from ..errors import ClusterError
from .clock import Clock, VirtualClock
from .front import Mode, Output
from .member import Member, State
from .quorum import EnsembleCore
from .settings import EnsembleSettings, Settings

__all__ = ["EnsembleControls", "MemberControls", "Named"]

T = TypeVar("T")


class MemberControls:
    """One member of an ensemble, which makes it."""

    def __init__(self, controls: EnsembleControls[MemberControls], number: int) -> None:
        self._controls = controls
        self._number = number

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.number} {self.version} at {self.address}, {self.condition}>"

    # Who and where

    @property
    def number(self) -> int:
        """Its number in the ensemble (`myid`), from 1."""
        return self._number

    @property
    def version(self) -> str:
        """The exact release whose behaviour it has."""
        return self._controls.version

    @property
    def port(self) -> int:
        """The port it listens on; its own also while it is stopped."""
        return self._controls.core.member(self._number).port

    @property
    def address(self) -> str:
        """Host and port, as "127.0.0.1:40123"."""
        return f"{self._controls.host}:{self.port}"

    @property
    def hosts(self) -> str:
        """The same, under the name a cluster has for it."""
        return self.address

    def connection_string(self, chroot: str = "") -> str:
        """The address followed by a chroot ("" or "/path")."""
        return self.address + chroot

    @property
    def server_line(self) -> str:
        """Its line in the ensemble's configuration ("server.1=...")."""
        return self._controls.core.server_lines[self._number - 1]

    # In what condition

    @property
    def running(self) -> bool:
        """Whether it listens (a paused one does)."""
        return self._controls.running and self._look(lambda member: member.state is not State.STOPPED)

    @property
    def paused(self) -> bool:
        """Whether it was paused and not resumed since."""
        return self._look(lambda member: member.paused)

    @property
    def condition(self) -> str:
        """ "running", "paused" or "stopped"."""
        return "stopped" if not self.running else "paused" if self.paused else "running"

    @property
    def role(self) -> str | None:
        """ "leader", "follower", "observer", "read-only"; None while it serves nobody."""
        return self._look(lambda member: None if member.paused or member.mode is Mode.NOT_SERVING else member.role)

    @property
    def ready_role(self) -> str | None:
        """The same, under the name a real server has for it."""
        return self.role

    def lag(self, seconds: float) -> None:
        """Apply what was agreed on so much later, until told otherwise; no effect while it leads."""
        self._controls.lag(self, seconds)

    def hold(self) -> None:
        """Apply nothing until `let_go`; no effect while it leads."""
        self._controls.hold(self)

    def let_go(self) -> None:
        """Apply what it was kept from."""
        self._controls.let_go(self)

    def _look(self, question: Callable[[Member], T]) -> T:
        return self._controls.call(lambda core: question(core.member(self._number)))


Named = MemberControls | int
M = TypeVar("M", bound=MemberControls)


class EnsembleControls(Generic[M]):
    """All members and what they share.   See EmbeddedEnsemble for the parameters."""

    def __init__(
        self,
        size: int = 3,
        *,
        version: str = "3.9",
        observers: int = 0,
        tick_ms: int = 200,
        read_only_mode: bool = False,
        min_session_timeout: float | None = None,
        max_session_timeout: float | None = None,
        sync_limit: int = 10,
        election_time: float = 0.02,
        host: str = "127.0.0.1",
        ports: Sequence[int] = (),
        settings: EnsembleSettings | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings or EnsembleSettings(
            size=size,
            observers=observers,
            server=Settings(
                reconfig=True,
                version=version,
                tick_ms=tick_ms,
                min_session_timeout_ms=_to_ms(min_session_timeout),
                max_session_timeout_ms=_to_ms(max_session_timeout),
            ),
            sync_limit=sync_limit,
            election_ms=round(election_time * 1000),
            read_only=read_only_mode,
        )
        self._host = host
        self._clock = clock or Clock()
        self._core: EnsembleCore | None = None
        if len(ports) not in (0, self._settings.size):
            raise ValueError(f"ports has one for each of {self._settings.size} members, or none, not {list(ports)!r}")
        self._ports = list(ports) or [0] * self._settings.size
        self._members = tuple(self._make_member(number) for number in range(1, self._settings.size + 1))

    def __repr__(self) -> str:
        where = f" at {self.hosts}" if self.running else ", stopped"
        return f"<{type(self).__name__} of {len(self)} x ZooKeeper {self._settings.server.version}{where}>"

    def __len__(self) -> int:
        return len(self._members)

    def __getitem__(self, index: int) -> M:
        return self._members[index]

    def __iter__(self) -> Iterator[M]:
        return iter(self._members)

    # Who and where

    @property
    def running(self) -> bool:
        """Whether it was started, and not stopped since."""
        raise NotImplementedError

    @property
    def version(self) -> str:
        """The exact release whose behaviour the members have."""
        return self.core.members[0].profile.version

    @property
    def members(self) -> tuple[M, ...]:
        """All members, in the order of their numbers."""
        return self._members

    @property
    def host(self) -> str:
        """Where all of them listen."""
        return self._host

    @property
    def hosts(self) -> str:
        """The addresses of all members, as a client takes them."""
        return ",".join(f"{self._host}:{port}" for port in self._ports)

    def connection_string(self, chroot: str = "") -> str:
        """The addresses followed by a chroot ("" or "/path")."""
        return self.hosts + chroot

    @property
    def core(self) -> EnsembleCore:
        """All of its state, to be looked at; ask through `call` while it runs. Raises ValueError before the start."""
        if self._core is None:
            raise ValueError("the embedded ensemble was not started yet")
        return self._core

    # Who leads

    def followers(self) -> list[M]:
        """The members that follow (observers do not count) at this moment."""
        return [member for member in self._members if not member.paused and member.role == "follower"]

    # What to do to it

    @property
    def damaged(self) -> bool:
        """Whether a member is paused, does not run, lags or is held, or the network is cut."""
        if not self.running or any(member.condition != "running" for member in self._members):
            return True
        return self.call(
            lambda core: not core.connected or any(member.held or member.lag_ms for member in core.members)
        )

    def partition(self, *groups: Iterable[Named]) -> None:
        """Cut the network between groups of members; those not named make a group of their own.

        Raises ValueError for a member that there is not, or that is in two groups.
        """
        numbers = [[self._number(member) for member in group] for group in groups]
        self._do(lambda core, now_ms: core.partition(*numbers, now_ms=now_ms))

    def isolate(self, member: Named) -> None:
        """Cut one member off from all others; its clients still reach it."""
        number = self._number(member)
        self._do(lambda core, now_ms: core.isolate(number, now_ms))

    def cut(self, one: Named, other: Named) -> None:
        """Cut two members off from each other; both still reach the others."""
        first, second = self._number(one), self._number(other)
        self._do(lambda core, now_ms: core.cut(first, second, now_ms))

    def reconnect(self) -> None:
        """Mend the network; what was sent meanwhile arrives, where nobody has given up yet."""
        self._do(lambda core, now_ms: core.reconnect(now_ms))

    def lag(self, member: Named, seconds: float) -> None:
        """Have a member apply what was agreed on so much later; no effect while it leads."""
        number = self._number(member)
        self._do(lambda core, now_ms: core.set_lag(number, _lag_ms(seconds), now_ms))

    def hold(self, member: Named) -> None:
        """Have a member apply nothing until `let_go`; no effect while it leads."""
        number = self._number(member)
        self.call(lambda core: core.hold(number))

    def let_go(self, member: Named) -> None:
        """Have a member apply what it was kept from."""
        number = self._number(member)
        self._do(lambda core, now_ms: core.let_go(number, now_ms))

    # Sessions

    def sessions(self) -> list[int]:
        """The numbers of the sessions that live, as the leader knows them."""
        return self.call(lambda core: core.sessions())

    def member_of(self, session_id: int) -> M | None:
        """The member that has the connection of a session; None while it has none."""
        found = self.call(lambda core: core.member_of(session_id))
        return None if found is None else self._members[found.number - 1]

    def expire_session(self, session_id: int) -> None:
        """End a session as if it had been silent for too long: its nodes go, its connection closes without a word.

        Raises KeyError when there is no such session, ClusterError while nobody leads.
        """
        self._do(lambda core, now_ms: core.expire_session(session_id, now_ms))

    def drop_connections(self, session_id: int | None = None, *, member: Named | None = None) -> None:
        """Close the connections of one session, or all of them, at one member or at all; the sessions live on."""
        number = None if member is None else self._number(member)
        self._do(lambda core, now_ms: core.drop_connections(session_id, number))

    # Time and state

    def advance(self, seconds: float) -> None:
        """Let the time of a VirtualClock pass.

        Raises ValueError for less than 0 seconds, and for an ensemble that lives in real time.
        """
        clock = self._clock
        if not isinstance(clock, VirtualClock):
            raise ValueError("only an ensemble with a VirtualClock can be told the time")
        self._do(lambda core, now_ms: self._advanced(core, clock, clock.after(seconds)))

    def call(self, function: Callable[[EnsembleCore], T]) -> T:
        """Run a function over the ensemble's state, between two requests; return what it returns or raises."""
        raise NotImplementedError

    # For those who inherit

    def _make_member(self, number: int) -> M:
        """A member with this number; the ensemble has its settings by then, and was not started."""
        raise NotImplementedError

    def _do(self, step: Callable[[EnsembleCore, int], list[Output]]) -> None:
        """Have the core do something, and send what it has to say."""
        raise NotImplementedError

    def _advanced(self, core: EnsembleCore, clock: VirtualClock, until_ms: int) -> list[Output]:
        output = core.advance(clock.now_ms(), until_ms)
        clock.move_to(until_ms)
        return output

    def _leader(self, excluded: int) -> M | None:
        leader = self.call(lambda core: core.leader)
        return None if leader is None or leader.number == excluded else self._members[leader.number - 1]

    def _serves(self) -> bool:
        """Whether every member that runs (and is not paused) serves, and one of them leads."""
        roles = [member.role for member in self._members if member.condition == "running"]
        return None not in roles and roles.count("leader") == 1

    def _wait_in_virtual_time(
        self, clock: VirtualClock, condition: Callable[[], T | None], timeout: float, problem: str
    ) -> T:
        """Let the time of the clock pass until a condition holds, and return what it said."""
        end_ms = clock.now_ms() + round(timeout * 1000)
        while not (found := condition()):
            due = self.call(lambda core: core.next_deadline_ms())
            if due is None or due > end_ms:
                raise self._error(problem, timeout)
            self._pass_time(clock, due)
        return found

    def _pass_time(self, clock: VirtualClock, until_ms: int) -> None:
        self._do(lambda core, now_ms: self._advanced(core, clock, max(until_ms, now_ms)))

    def _error(self, problem: str, timeout: float) -> ClusterError:
        states = self.call(lambda core: ", ".join(map(repr, core.members)))
        return ClusterError(f"{self!r}: {problem} after {timeout:.1f} s; {states}")

    def _number(self, member: Named) -> int:
        number = member.number if isinstance(member, MemberControls) else member
        return self.core.member(number).number


def _lag_ms(seconds: float) -> int:
    if not 0 <= seconds < math.inf:
        raise ValueError(f"a lag is 0 seconds or more, not {seconds}")
    return round(seconds * 1000)


def _to_ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)
