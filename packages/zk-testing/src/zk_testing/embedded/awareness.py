"""What the members of an ensemble notice of each other, what time does to them, and how they find a leader.

Rule: nobody knows more than what can have reached him: a cut line and a paused peer are silence, which takes its time
to mean something; a closed connection is known at once.

Source: QuorumPeer.java, Leader.lead, Follower.followLeader, FastLeaderElection.java.
"""

from __future__ import annotations

from .agreement import Agreement
from .elections import Poll
from .front import Mode, Output
from .leadership import Leadership
from .member import Member, State
from .timed import Timed

__all__ = ["Awareness"]


class Awareness(Agreement, Timed):
    """An ensemble in time."""

    # Time

    def tick(self, now_ms: int) -> list[Output]:
        """Do everything that is due."""
        with self._work(now_ms):
            self._do_what_is_due(now_ms)
        return self.take_output()

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
