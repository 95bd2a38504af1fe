"""How the members of an ensemble come to agree: from a request to history, and from history to every member.

Rule: what a leader proposes becomes history (log.py) when a quorum has it. A leader without one goes on proposing;
whoever wins the next election decides by what it has logged whether that becomes history after all.

Messages between members take no time; what takes time is applying, as long as a member lags.
Source: Leader.java, Follower.java, LearnerHandler.java.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace

from .configuration import Configuration, ServerLine
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
from .tree import CONFIG

__all__ = ["Agreement"]

_LONG_LOG = 20_000  # entries after which those that everybody has are forgotten


class Agreement:
    """The members, the network between them, and their history.   now_ms: when they began."""

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

    def member(self, number: int) -> Member:
        """The member with a number. Raises ValueError."""
        if not 1 <= number <= len(self.members):
            raise ValueError(f"members have the numbers 1 to {len(self.members)}, not {number!r}")
        return self.members[number - 1]

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

    def _update(self, now_ms: int) -> None:
        """Have every member notice what it can notice now."""
        raise NotImplementedError
