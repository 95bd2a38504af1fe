"""A whole ensemble that only decides: calls and times in, bytes for connections out.

    core = EnsembleCore(EnsembleSettings(size=3), now_ms=0)
    client = core.members[1].accept("127.0.0.1", 5000, now_ms=0)
    core.members[1].receive(client, frame, now_ms=1)
    core.partition([1], [2, 3], now_ms=2)

Rule: no I/O, clock, thread or randomness: the same calls have the same output. A call or `tick` gives what is to be
sent, by whichever member. Messages between members take no time; what takes time is applying (`set_lag`), noticing that
somebody is silent, and electing.

How they agree is in agreement.py, what they notice and whom they elect in awareness.py; here is what can be asked of
them and done to them.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import ClusterError
from .awareness import Awareness
from .front import Mode, Output
from .member import Member, State
from .settings import EnsembleSettings
from .tree import CONFIG, Tree

__all__ = ["EnsembleCore"]


class EnsembleCore(Awareness):
    """All members, the network between them, and their history.   now_ms: when they began, under an elected leader."""

    def __init__(self, settings: EnsembleSettings | None = None, *, now_ms: int) -> None:
        super().__init__(settings, now_ms=now_ms)
        with self._work(now_ms):
            self._hold_election(now_ms)

    # Who is who

    @property
    def leader(self) -> Member | None:
        """The member that leads a quorum; None while there is none."""
        for number in self._terms:
            member = self.member(number)
            if not member.paused and self._has_quorum(member):
                return member
        return None

    def sessions(self) -> list[int]:
        """The numbers of the sessions that live, as the leader knows them, and of all local ones."""
        leader = self.leader
        known = [session.id for session in self._terms[leader.number].sessions.all()] if leader is not None else []
        return known + [session.id for member in self.members for session in member.local_sessions.all()]

    def member_of(self, session_id: int) -> Member | None:
        """The member that has the connection of a session; with several, the one to which it has moved."""
        found = [member for member in self.members if session_id in member._owners]
        leader = self.leader
        owner = self._terms[leader.number].owners.get(session_id) if leader is not None else None
        for member in found:
            if member.number == owner:
                return member
        return found[0] if found else None

    # Faults

    def partition(self, *groups: Iterable[int], now_ms: int) -> list[Output]:
        """Cut the network between groups of members (by number); those not named make a group of their own.

        Raises ValueError for a number there is not, or that is in two groups.
        """
        sides: dict[int, int] = {}
        for side, group in enumerate(groups, 1):
            for number in group:
                if self.member(number).number in sides:
                    raise ValueError(f"member {number} is in two groups")
                sides[number] = side
        with self._work(now_ms):
            self._network.part(sides, [member.number for member in self.members])
        return self.take_output()

    def isolate(self, number: int, now_ms: int) -> list[Output]:
        """Cut one member off from all others, besides what is cut already."""
        self.member(number)
        with self._work(now_ms):
            for other in self.members:
                self._network.cut(number, other.number)
        return self.take_output()

    def cut(self, one: int, other: int, now_ms: int) -> list[Output]:
        """Cut two members off from each other; both still reach the others."""
        self.member(one)
        self.member(other)
        with self._work(now_ms):
            self._network.cut(one, other)
        return self.take_output()

    def reconnect(self, now_ms: int) -> list[Output]:
        """Mend the network; what was sent meanwhile arrives, where nobody has given up yet."""
        with self._work(now_ms):
            self._network.mend()
        return self.take_output()

    @property
    def connected(self) -> bool:
        """Whether nothing is cut."""
        return self._network.whole

    def set_lag(self, number: int, lag_ms: int, now_ms: int) -> list[Output]:
        """Have a member apply what it hears so much later; no effect while it leads."""
        if lag_ms < 0:
            raise ValueError(f"a lag is at least 0 ms, not {lag_ms}")
        member = self.member(number)
        with self._work(now_ms):
            member.lag_ms = lag_ms
            self._apply_due(member, now_ms)
        return self.take_output()

    def hold(self, number: int) -> None:
        """Have a member apply nothing until `let_go`; no effect while it leads."""
        self.member(number).held = True

    def let_go(self, number: int, now_ms: int) -> list[Output]:
        """Have a member apply what it was kept from."""
        member = self.member(number)
        with self._work(now_ms):
            member.held = False
            self._apply_due(member, now_ms)
        return self.take_output()

    def stop(self, number: int, now_ms: int) -> list[Output]:
        """End a member; the others notice at once, unless they are cut off or paused. It keeps what it has logged."""
        member = self.member(number)
        with self._work(now_ms):
            if member.state is not State.STOPPED:
                member.paused = False
                self._leave(member, now_ms, State.STOPPED)
        return self.take_output()

    def start(self, number: int, now_ms: int) -> list[Output]:
        """Start a member that was stopped: it looks for a leader, and catches up with it."""
        member = self.member(number)
        with self._work(now_ms):
            if member.state is State.STOPPED:
                member.state = State.LOOKING
                member.looking_since_ms = member.started_ms = now_ms
                member.last_zxid = self.log.zxid_before(member.applied)
        return self.take_output()

    def pause(self, number: int, now_ms: int) -> list[Output]:
        """Have a member do nothing until `resume`, as SIGSTOP does. Raises ClusterError when it does not run."""
        member = self._running(number, "pause")
        with self._work(now_ms):
            member.paused = True
        return self.take_output()

    def resume(self, number: int, now_ms: int) -> list[Output]:
        """Have a member go on: it reads what has come, then notices that the others went on without it."""
        member = self._running(number, "resume")
        with self._work(now_ms):
            if member.paused:
                term = self._terms.get(number)
                if term is not None:
                    term.grace_ms = now_ms + self.settings.server.tick_ms // 2
                    member.paused = False
                    self._propose_overdue(term, now_ms)
                member.resume(now_ms)
        return self.take_output()

    def elect(self, number: int | None, now_ms: int) -> list[Output]:
        """Have everybody who is connected look for a leader anew.   number: who is to win; None is whoever does.

        Raises ClusterError when the one who is to win could not: it does not run, does not vote, has no quorum, or
        lacks what others have logged.
        """
        if number is not None:
            self._check_candidate(self._running(number, "elect"))
        with self._work(now_ms):
            self._preferred = number
            for member in self.members:
                if member.mode is Mode.SERVING and not member.paused:
                    self._leave(member, now_ms)
        return self.take_output()

    def expire_session(self, session_id: int, now_ms: int) -> list[Output]:
        """End a session as if it had been silent for too long.

        Raises KeyError when there is none, ClusterError while nobody leads, because only a leader ends sessions.
        """
        with self._work(now_ms):
            for member in self.members:
                local = member.local_sessions.get(session_id)
                if local is not None:
                    member.local_sessions.remove(local)
                    member.close_connections(session_id)
                    break
            else:
                leader = self.leader
                if leader is None:
                    raise ClusterError("nobody leads the ensemble, so nobody can end a session")
                term = self._terms[leader.number]
                change = term.expire(session_id)
                if change is None:
                    raise KeyError(f"there is no session 0x{session_id & (1 << 64) - 1:x}")
                self._propose(term, (change,), None, now_ms)
        return self.take_output()

    def drop_connections(self, session_id: int | None = None, number: int | None = None) -> list[Output]:
        """Close the connections of a session, or all, at one member or at all; the sessions go on."""
        for member in self.members if number is None else (self.member(number),):
            member.close_connections(session_id)
        return self.take_output()

    def wipe(self, number: int) -> None:
        """Take a stopped member's data away, as if its disk were new. Raises ClusterError while it runs."""
        member = self.member(number)
        if member.state is not State.STOPPED:
            raise ClusterError(f"cannot wipe member {number}: it runs")
        blank = Tree()
        config, fresh = member.tree.nodes[CONFIG], blank.nodes[CONFIG]
        fresh.data, fresh.version, fresh.mzxid, fresh.mtime = config.data, -1, config.mzxid, config.mtime
        member.restore(blank, {}, 0, 0)
        member.logged = member.epoch = 0
        member.tail = []

    # Checks

    def _running(self, number: int, verb: str) -> Member:
        member = self.member(number)
        if member.state is State.STOPPED:
            raise ClusterError(f"cannot {verb} member {number}: it does not run")
        return member

    def _check_candidate(self, member: Member) -> None:
        others = [other for other in self.members if other.voting and self._network.passes(member, other)]
        electors = [other for other in others if other is not member]
        if not member.voting or member.paused or 1 + len(electors) < self.configuration.quorum:
            raise ClusterError(f"member {member.number} cannot win an election: {member!r} reaches no quorum")
        poll = self._poll()
        for other in electors:
            if poll.vote(other)[:2] > poll.vote(member)[:2]:
                raise ClusterError(
                    f"member {member.number} cannot win an election: member {other.number} has logged more"
                )
