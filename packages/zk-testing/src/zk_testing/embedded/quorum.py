"""A whole ensemble that only decides: calls and times in, bytes for connections out.

    core = EnsembleCore(EnsembleSettings(size=3), now_ms=0)
    client = core.members[1].accept("127.0.0.1", 5000, now_ms=0)
    core.members[1].receive(client, frame, now_ms=1)
    core.partition([1], [2, 3], now_ms=2)

Rule: no I/O, clock, thread or randomness: the same calls have the same output. A call or `tick` gives what is to be
sent, by whichever member. Messages between members take no time; what takes time is applying (`set_lag`), noticing that
somebody is silent, and electing.

What a leader proposes becomes history (log.py) when a quorum has it. A leader without one goes on proposing until it
notices; whoever wins the next election decides by what it has logged whether that becomes history after all.
Source: Leader.java, Follower.java, FastLeaderElection.java, QuorumPeer.java.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import replace

from ..errors import ClusterError
from .configuration import Configuration, ServerLine
from .elections import Poll
from .front import Mode, Output
from .leadership import Leadership
from .log import Log
from .member import Member, State
from .network import Network
from .portrait import portrait
from .sessions import Session
from .settings import EnsembleSettings
from .slots import Kind, Slot
from .transactions import Change, SetConfig, Transaction
from .tree import CONFIG, Tree

__all__ = ["EnsembleCore"]

_LONG_LOG = 20_000  # entries after which those that everybody has are forgotten


class EnsembleCore:
    """All members, the network between them, and their history.   now_ms: when they began, under an elected leader."""

    def __init__(self, settings: EnsembleSettings | None = None, *, now_ms: int) -> None:
        self.settings = settings or EnsembleSettings()
        voting = self.settings.size - self.settings.observers
        self.members = tuple(
            Member(
                self,
                number,
                replace(self.settings.server, server_id=number),
                voting=number <= voting,
                now_ms=now_ms,
            )
            for number in range(1, self.settings.size + 1)
        )
        self.log = Log()
        self._out: list[Output] = []
        self._network = Network()
        self._terms: dict[int, Leadership] = {}
        self._inbox: deque[Slot] = deque()
        self._reborn: list[Member] = []
        self._working = False
        self._preferred: int | None = None
        for member in self.members:
            member._out = self._out
        self.configure([("127.0.0.1", 2180 + member.number) for member in self.members], now_ms)
        for member in self.members:
            member.state = State.LOOKING
        with self._work(now_ms):
            self._hold_election(now_ms)

    def configure(self, addresses: list[tuple[str, int]], now_ms: int) -> None:
        """Tell the members where they listen; to be done before anybody connects."""
        servers: dict[int, ServerLine] = {}
        for member, (host, port) in zip(self.members, addresses, strict=True):
            member.port = port
            number = member.number
            servers[number] = ServerLine(host, 2887 + number, 3887 + number, member.voting, f"{host}:{port}")
        self.configuration = Configuration(servers, 1 << 32)
        self.server_lines = tuple(self.configuration.server_line(member.number) for member in self.members)
        for member in self.members:
            node = member.tree.nodes[CONFIG]
            node.data = self.configuration.encode()
            node.version, node.mzxid, node.mtime = -1, 1 << 32, now_ms

    # Who is who

    def member(self, number: int) -> Member:
        """The member with a number. Raises ValueError."""
        if not 1 <= number <= len(self.members):
            raise ValueError(f"members have the numbers 1 to {len(self.members)}, not {number!r}")
        return self.members[number - 1]

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

    # Time

    def tick(self, now_ms: int) -> list[Output]:
        """Do everything that is due."""
        with self._work(now_ms):
            self._do_what_is_due(now_ms)
        return self.take_output()

    def advance(self, now_ms: int, until_ms: int) -> list[Output]:
        """Let time pass, with everything that is due on the way happening at its own moment."""
        out: list[Output] = []
        while True:
            due = self.next_deadline_ms()
            if due is None or due > until_ms:
                return out + self.tick(until_ms)
            now_ms = max(now_ms, due)
            out += self.tick(now_ms)

    def next_deadline_ms(self) -> int | None:
        """When `tick` has something to do next; None while there is nothing to wait for."""
        deadlines: list[int | None] = []
        for member in self.members:
            if member.paused or member.state is State.STOPPED:
                continue
            deadlines.append(member.next_sweep_ms())
            if member.incoming and not member.held:
                deadlines.append(member.incoming[0][1] + member.lag_ms)
            if member.silent_since_ms is not None:
                deadlines.append(member.silent_since_ms + self.settings.silence_ms)
            if member.state is State.LOOKING:
                deadlines.append(member.ready_ms)
                if self.settings.read_only and member.mode is Mode.NOT_SERVING:
                    deadlines.append(member.looking_since_ms + self.settings.read_only_ms)
            term = self._terms.get(member.number)
            if term is not None:
                deadlines.append(term.next_deadline_ms())
                deadlines.append(self._end_of_term_ms(term))
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

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

    # For the members

    def take_output(self) -> list[Output]:
        """What is to be sent since the last call."""
        out = self._out[:]
        self._out.clear()
        return out

    def ask(self, slot: Slot, now_ms: int) -> None:
        """A member sends a request to its leader."""
        self._inbox.append(slot)
        if not self._working:
            self._working = True
            try:
                self._read_inbox(now_ms)
                if self._reborn:
                    self._update(now_ms)
            finally:
                self._working = False

    def touch(self, member: Member, session: Session, now_ms: int) -> None:
        """A member tells its leader that a session was heard of; cut off, it keeps that for later."""
        leader = member if member.state is State.LEADING else member.leader
        if leader is None:
            return
        if leader is member or self._linked(member):
            self._terms[leader.number].touch(session.id, session.timeout_ms, now_ms)
        else:
            member.touched[session.id] = session.timeout_ms

    def owner_of(self, leader: Member, session_id: int) -> int | None:
        """The member (by number) that has a session, as a leader knows it."""
        return self._terms[leader.number].owners.get(session_id)

    def global_deadlines(self, member: Member) -> dict[int, list[int]]:
        """The ids of the sessions by deadline, which only a leader has."""
        term = self._terms.get(member.number)
        return {} if term is None else term.sessions.buckets()

    def describe(self, member: Member) -> dict[str, list[str]]:
        """Further lines of a member's answers, by word."""
        return portrait(
            member,
            self._terms.get(member.number),
            self._learners(member),
            voters=len(self.configuration.voters),
            sync_limit=self.settings.sync_limit,
        )

    # Requests and proposals

    @contextmanager
    def _work(self, now_ms: int) -> Generator[None]:
        """Do something to the whole; afterwards everybody finds out what that means for him."""
        self._working = True
        try:
            yield
            self._update(now_ms)
            self._read_inbox(now_ms)
        finally:
            self._working = False

    def _read_inbox(self, now_ms: int) -> None:
        while self._inbox:
            slot = self._inbox.popleft()
            member = slot.member
            leader = member if member.state is State.LEADING else member.leader
            if leader is None:
                continue  # its connections are closed by now
            if leader is not member and not self._linked(member):
                member.outbox.append(slot)
                continue
            term = self._terms[leader.number]
            changes = term.decide(slot, now_ms, self._synced(leader))
            if changes is not None:
                self._propose(term, changes, slot, now_ms)
                continue
            if slot.kind is Kind.SYNC:
                slot.after = leader.applied + len(leader.tail)
            member.decided(slot, now_ms)

    def _propose(self, term: Leadership, changes: tuple[Change, ...], slot: Slot | None, now_ms: int) -> None:
        transaction = term.transaction(changes, now_ms)
        if slot is not None:
            slot.zxid = transaction.zxid
            slot.member.decided(slot, now_ms)
        leader = term.member
        if not leader.tail and self._has_quorum(leader):
            self._commit(leader, transaction, now_ms)
            return
        term.propose(transaction)
        leader.tail.append(transaction)
        for other in self._learners(leader):
            if other.voting and self._linked(other):
                other.tail = list(leader.tail)
        self._commit_agreed(term, now_ms)

    def _commit_agreed(self, term: Leadership, now_ms: int) -> None:
        """Make history of the proposals that a quorum has."""
        leader = term.member
        while leader.tail:
            first = leader.tail[0]
            learners = self._learners(leader)
            having = [other for other in learners if other.voting and other.tail and other.tail[-1].zxid >= first.zxid]
            if 1 + len(having) < self.configuration.quorum:
                return
            del leader.tail[0]
            for other in having:
                if self._linked(other):
                    del other.tail[0]
            self._commit(leader, first, now_ms)
        term.all_agreed()

    def _commit(self, leader: Member, transaction: Transaction, now_ms: int) -> None:
        index = len(self.log)
        if leader.applied != index:
            raise AssertionError(f"{leader!r} leads with {leader.applied} entries, but {index} are agreed on")
        self.log.append(transaction)
        leader.logged = index + 1
        leader.apply(transaction, now_ms)
        for other in self._learners(leader):
            if self._linked(other):
                other.logged = index + 1
                other.incoming.append((index, now_ms))
                self._apply_due(other, now_ms)
        for change in transaction.changes:
            if isinstance(change, SetConfig):
                self._reconfigure(Configuration.parse(change.data), now_ms)
        if index - self.log.base > _LONG_LOG:
            self.log.forget(min(member.applied for member in self.members if member.mode is Mode.SERVING))

    def _reconfigure(self, configuration: Configuration, now_ms: int) -> None:
        """Change who votes; a member that has to do something else than before begins anew."""
        before, self.configuration = self.configuration, configuration
        for member in self.members:
            member.voting = member.number in configuration.voters
            leads_on = member.voting or member.number not in self._terms
            if before.observes(member.number) != configuration.observes(member.number) or not leads_on:
                self._reborn.append(member)

    def _apply_due(self, member: Member, now_ms: int) -> None:
        while member.incoming and not member.held and not member.paused:
            index, told_ms = member.incoming[0]
            if told_ms + member.lag_ms > now_ms:
                return
            member.incoming.popleft()
            member.apply(self.log[index], now_ms)

    def _propose_overdue(self, term: Leadership, now_ms: int) -> None:
        for change in term.overdue(now_ms):
            self._propose(term, (change,), None, now_ms)

    # The network

    def _learners(self, leader: Member) -> list[Member]:
        """Who follows or observes a leader, also those it cannot reach now."""
        epoch = leader.epoch
        return [member for member in self.members if member.leader is leader and member.epoch == epoch]

    def _linked(self, member: Member) -> bool:
        """Whether a member that has a leader can talk to it."""
        leader = member.leader
        return leader is not None and self._network.passes(member, leader) and self._is_led(member, leader)

    def _is_led(self, member: Member, leader: Member) -> bool:
        term = self._terms.get(leader.number)
        return term is not None and term.epoch == member.epoch

    def _synced(self, leader: Member) -> frozenset[int]:
        """The numbers of those who have all that the leader has: itself, and the followers it reaches."""
        reached = [other for other in self._learners(leader) if other.role == "follower" and self._linked(other)]
        return frozenset(member.number for member in (leader, *reached))

    def _has_quorum(self, leader: Member) -> bool:
        reached = [other for other in self._learners(leader) if other.voting and self._linked(other)]
        return leader.voting + len(reached) >= self.configuration.quorum

    # Finding out

    def _update(self, now_ms: int) -> None:
        """Have every member notice what it can notice now."""
        while self._reborn:
            member = self._reborn.pop()
            if member.mode is Mode.SERVING and not member.paused:
                self._leave(member, now_ms)
        settled = False
        while not settled:
            settled = True
            for member in self.members:
                leader = member.leader
                if leader is not None and self._notice_leader(member, leader, now_ms):
                    settled = False
            for term in tuple(self._terms.values()):
                leader = term.member
                if self._has_quorum(leader):
                    leader.alone_since_ms = None
                    self._commit_agreed(term, now_ms)
                elif leader.alone_since_ms is None:
                    leader.alone_since_ms = now_ms
                due = self._end_of_term_ms(term)
                if due is not None and due <= now_ms:
                    self._leave(leader, now_ms)
                    settled = False
        for member in self.members:
            if member.state is State.LOOKING and not member.paused and self._could_find_a_leader(member):
                if member.ready_ms is None:
                    member.ready_ms = now_ms + self.settings.election_ms
            else:
                member.ready_ms = None

    def _notice_leader(self, member: Member, leader: Member, now_ms: int) -> bool:
        """What a member knows of its leader now; returns whether it has left it."""
        if member.paused or leader.paused or self._network.is_cut(member.number, leader.number):
            if member.silent_since_ms is None:
                member.silent_since_ms = now_ms
            return False
        since = member.silent_since_ms
        given_up = since is not None and now_ms - since >= self.settings.silence_ms
        if given_up or not self._is_led(member, leader):
            self._leave(member, now_ms)  # the connection between them is closed
            return True
        if since is not None:
            member.silent_since_ms = None
            self._flush(member, leader, now_ms)
        return False

    def _flush(self, member: Member, leader: Member, now_ms: int) -> None:
        """What two members had to say to each other while they could not talk."""
        for index in range(member.logged, len(self.log)):
            member.incoming.append((index, now_ms))
        member.logged = len(self.log)
        if member.voting:
            member.tail = list(leader.tail)
        term = self._terms[leader.number]
        for session_id, timeout_ms in member.touched.items():
            term.touch(session_id, timeout_ms, now_ms)
        member.touched.clear()
        self._inbox.extend(member.outbox)
        member.outbox.clear()
        self._apply_due(member, now_ms)

    def _end_of_term_ms(self, term: Leadership) -> int | None:
        """When a leader steps down; None as long as it need not."""
        leader = term.member
        if leader.paused:
            return None
        followers = leader.voting + sum(other.voting for other in self._learners(leader))
        followers += sum(self._network.is_cut(number, leader.number) for number in term.unnoticed)
        if followers < self.configuration.quorum:
            return term.grace_ms  # too many connections were closed
        if leader.alone_since_ms is None:
            return None
        return max(term.grace_ms, leader.alone_since_ms + self.settings.silence_ms + self.settings.server.tick_ms)

    def _leave(self, member: Member, now_ms: int, state: State = State.LOOKING) -> None:
        self._terms.pop(member.number, None)
        leader = member.leader
        if leader is not None and self._is_led(member, leader) and member.voting:
            self._terms[leader.number].unnoticed.add(member.number)
        member.leave(now_ms, state)
        member.catch_up(self.log.since(member.applied)[: member.logged - member.applied])

    def _do_what_is_due(self, now_ms: int) -> None:
        while True:
            for member in self.members:
                if member.paused or member.state is State.STOPPED:
                    continue
                self._apply_due(member, now_ms)
                since = member.silent_since_ms
                if since is not None and now_ms - since >= self.settings.silence_ms:
                    self._leave(member, now_ms)
                term = self._terms.get(member.number)
                if term is not None:
                    self._propose_overdue(term, now_ms)
                member.sweep(now_ms)
            self._update(now_ms)
            self._read_inbox(now_ms)
            if any(member.ready_ms is not None and member.ready_ms <= now_ms for member in self.members):
                self._hold_election(now_ms)
                self._update(now_ms)
            for member in self.members:
                if (
                    self.settings.read_only
                    and member.state is State.LOOKING
                    and member.mode is Mode.NOT_SERVING
                    and not member.paused
                    and now_ms - member.looking_since_ms >= self.settings.read_only_ms
                ):
                    member.serve_read_only()
            due = self.next_deadline_ms()
            if due is None or due > now_ms:
                return

    # Elections

    def _poll(self) -> Poll:
        return Poll(self.members, self._network, self.log, self.configuration.quorum, self._preferred)

    def _could_find_a_leader(self, member: Member) -> bool:
        if self._joinable(member) is not None:
            return True
        winner = self._poll().winner()
        return winner is not None and (member is winner or self._network.passes(member, winner))

    def _joinable(self, member: Member) -> Member | None:
        """A leader with a quorum that a member can reach, and need not fear to be older than what it knows."""
        for term in self._terms.values():
            leader = term.member
            if self._network.passes(member, leader) and self._has_quorum(leader) and term.epoch >= member.epoch:
                return leader
        return None

    def _hold_election(self, now_ms: int) -> None:
        winner = self._poll().winner()
        if winner is not None:
            self._lead(winner, now_ms)
        for member in self.members:
            if member.state is State.LOOKING and not member.paused:
                leader = self._joinable(member)
                if leader is not None:
                    self._join(member, leader, now_ms)

    def _lead(self, winner: Member, now_ms: int) -> None:
        """Begin a term: what the winner has logged becomes history, and the others take it over."""
        electors = self._poll().electors(winner)
        missing = len(self.log) - winner.logged
        if len(winner.tail) < missing:
            raise AssertionError(f"{winner!r} won, but lacks what a quorum has agreed on")
        for transaction in winner.tail[missing:]:
            self.log.append(transaction)
        winner.tail = []
        winner.logged = len(self.log)
        winner.catch_up(self.log.since(winner.applied))
        epoch = max(member.epoch for member in electors) + 1
        winner.serve(State.LEADING, None, epoch)
        winner.last_zxid = epoch << 32
        self._preferred = None
        self._terms[winner.number] = Leadership(winner, epoch, now_ms)
        for member in self.members:
            if member.state is State.LOOKING and self._network.passes(member, winner):
                self._join(member, winner, now_ms)

    def _join(self, member: Member, leader: Member, now_ms: int) -> None:
        member.tail = []
        if member.applied < self.log.base:
            sessions = dict(leader.global_sessions)
            member.restore(leader.tree.copy(), sessions, leader.applied, self.log.zxid_before(leader.applied))
        member.catch_up(self.log.since(member.applied))
        member.logged = len(self.log)
        member.looking_since_ms = now_ms
        self._terms[leader.number].unnoticed.discard(member.number)
        observes = self.configuration.observes(member.number)
        member.serve(State.OBSERVING if observes else State.FOLLOWING, leader, leader.epoch)
        if member.voting:
            member.tail = list(leader.tail)

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
