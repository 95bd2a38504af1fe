"""An ensemble without sockets and without time: what is sent to a member is answered before the call returns.

    ensemble = MemoryEnsemble(EnsembleSettings(size=3))
    connection = ensemble.connect(2)
    ensemble.partition([1], [2, 3])
    ensemble.advance(5.0)       # the members notice, elect, apply what they lag behind with

Rule: everything happens inside the calls, in one thread, and depends on nothing but them.
"""

from __future__ import annotations

from collections.abc import Iterable

from .clock import VirtualClock
from .member import Member
from .memory import Carrier, MemoryConnection
from .quorum import EnsembleCore
from .settings import EnsembleSettings

__all__ = ["MemoryEnsemble"]


class MemoryEnsemble(Carrier[EnsembleCore]):
    """Members in memory, by number from 1.   settings: see EnsembleSettings.   clock: where their time begins."""

    def __init__(self, settings: EnsembleSettings | None = None, clock: VirtualClock | None = None) -> None:
        super().__init__(lambda now_ms: EnsembleCore(settings, now_ms=now_ms), clock)

    @property
    def members(self) -> tuple[Member, ...]:
        """The members, to be looked at."""
        return self.core.members

    def connect(self, number: int, host: str = "127.0.0.1") -> MemoryConnection:
        """Open a connection to a member; it is closed at once when the member does not run."""
        return self._open(self.core.member(number), host)

    # Who does what

    def leader(self) -> int | None:
        """The number of the member that leads a quorum, if there is one."""
        found = self.core.leader
        return None if found is None else found.number

    def followers(self) -> list[int]:
        """The numbers of those that follow."""
        return [member.number for member in self.members if member.role == "follower"]

    # Faults, as EnsembleCore has them; durations in seconds

    def partition(self, *groups: Iterable[int]) -> None:
        """Cut the network between groups; members that are not named make a group of their own."""
        self.deliver(self.core.partition(*groups, now_ms=self.now_ms))

    def isolate(self, number: int) -> None:
        """Cut one member off from all others."""
        self.deliver(self.core.isolate(number, self.now_ms))

    def cut(self, one: int, other: int) -> None:
        """Cut two members off from each other."""
        self.deliver(self.core.cut(one, other, self.now_ms))

    def reconnect(self) -> None:
        """Mend the network."""
        self.deliver(self.core.reconnect(self.now_ms))

    def lag(self, number: int, seconds: float) -> None:
        """Have a member apply what it hears so much later."""
        self.deliver(self.core.set_lag(number, round(seconds * 1000), self.now_ms))

    def hold(self, number: int) -> None:
        """Have a member apply nothing until `let_go`."""
        self.core.hold(number)

    def let_go(self, number: int) -> None:
        """Have a member apply what it was kept from."""
        self.deliver(self.core.let_go(number, self.now_ms))

    def stop(self, number: int) -> None:
        """End a member; it keeps its data."""
        self.deliver(self.core.stop(number, self.now_ms))

    def start(self, number: int) -> None:
        """Start a member that was stopped."""
        self.deliver(self.core.start(number, self.now_ms))

    def pause(self, number: int) -> None:
        """Have a member do nothing until `resume`."""
        self.deliver(self.core.pause(number, self.now_ms))

    def resume(self, number: int) -> None:
        """Have a paused member go on."""
        self.deliver(self.core.resume(number, self.now_ms))

    def elect(self, number: int | None = None) -> None:
        """Have everybody look for a leader anew.   number: who is to win."""
        self.deliver(self.core.elect(number, self.now_ms))

    def expire_session(self, session_id: int) -> None:
        """End a session as if it had been silent for too long. Raises KeyError when there is none."""
        self.deliver(self.core.expire_session(session_id, self.now_ms))

    def drop_connections(self, session_id: int | None = None, number: int | None = None) -> None:
        """Close connections; the sessions live on."""
        self.deliver(self.core.drop_connections(session_id, number))
