"""Who wins an election among the members of an ensemble.

Rule: pure; the members are looked at, not changed. The winner is whom a quorum can reach and who has logged most: by
epoch, then by zxid, then by number.

Source: FastLeaderElection.java (totalOrderPredicate).
"""

from __future__ import annotations

from collections.abc import Sequence

from .log import Log
from .member import Member, State
from .network import Network

__all__ = ["Poll"]


class Poll:
    """The members as they are now.   preferred: the number that wins among those that have logged as much."""

    def __init__(
        self, members: Sequence[Member], network: Network, log: Log, quorum: int, preferred: int | None
    ) -> None:
        self._members = members
        self._network = network
        self._log = log
        self._quorum = quorum
        self._preferred = preferred

    def vote(self, member: Member) -> tuple[int, int, bool, int, int]:
        """What a member offers: the largest wins. Who was the leader has seen the epoch's own zxid besides."""
        logged = member.tail[-1].zxid if member.tail else self._log.zxid_before(member.logged)
        return (member.epoch, logged, member.number == self._preferred, member.last_zxid, member.number)

    def electors(self, candidate: Member) -> list[Member]:
        """Who could vote for a candidate: itself, and those who look for a leader and can be reached."""
        return [
            member
            for member in self._members
            if member.voting
            and member.state is State.LOOKING
            and (member is candidate or self._network.passes(member, candidate))
        ]

    def winner(self) -> Member | None:
        """Who wins; None as long as nobody can."""
        winners: list[Member] = []
        for candidate in self._members:
            if candidate.voting and candidate.state is State.LOOKING and not candidate.paused:
                electors = self.electors(candidate)
                if len(electors) >= self._quorum and max(electors, key=self.vote) is candidate:
                    winners.append(candidate)
        return max(winners, key=self.vote, default=None)
