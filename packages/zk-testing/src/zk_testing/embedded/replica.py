"""A member's copy of the history, and its place among the others: what it has logged and applied, whom it follows.

Rule: nothing here reads or answers a request. What was agreed on comes through `apply`, at this member's own pace; the
requests that waited for it are handed on to whoever answers connections (member.py).

Source: QuorumPeer.java, CommitProcessor.java, LearnerSessionTracker.java.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING

from .client import Client
from .decisions import answer_to
from .front import Front, Mode
from .sessions import Sessions
from .settings import Settings
from .slots import Slot
from .transactions import Applied, CloseSession, CreateSession, Transaction, apply
from .tree import Tree

if TYPE_CHECKING:
    from .member import Member

__all__ = ["Replica", "State"]


class State(Enum):
    """What a member does; the value is what `srvr` calls it while it serves."""

    STOPPED = "stopped"
    LOOKING = "looking"
    FOLLOWING = "follower"
    LEADING = "leader"
    OBSERVING = "observer"


class Replica(Front):
    """One member, but for its connections.   number: from 1.   voting: False for an observer.   now_ms: when it began.

    Its connections are closed by `leave` and by nothing else it does of itself.
    """

    def __init__(self, number: int, settings: Settings, *, voting: bool, now_ms: int) -> None:
        super().__init__(settings, now_ms)
        self.number = number
        self.voting = voting
        self.state = State.STOPPED
        self.paused = False
        self.mode = Mode.NOT_SERVING
        self.leader: Member | None = None
        self.epoch = 0  # of the latest leader it has accepted
        # What it has written to its disk: so much of the common log, and behind that what was only proposed.
        self.logged = 0
        self.tail: list[Transaction] = []
        self.applied = 0  # how much of the log its tree has
        self.incoming: deque[tuple[int, int]] = deque()  # (index in the log, when it was told), not applied yet
        self.lag_ms = 0
        self.held = False  # applies nothing until it is let go
        self.outbox: deque[Slot] = deque()  # asked, but the network does not pass it on
        self.touched: dict[int, int] = {}  # sessions heard of since the leader was, with their time-outs
        self.silent_since_ms: int | None = None  # since when it has not heard of its leader
        self.alone_since_ms: int | None = None  # since when the leader has not heard of a quorum
        self.looking_since_ms = now_ms
        self.ready_ms: int | None = None  # when it will have found a leader
        self.global_sessions: dict[int, int] = {}  # time-outs by id, as applied
        self.local_sessions = Sessions(tick_ms=settings.tick_ms, start_ms=now_ms, server_id=number)
        self._by_zxid: dict[int, Slot] = {}
        self._syncs: deque[Slot] = deque()

    def __repr__(self) -> str:
        return f"<member {self.number}, {self.state.value}{', paused' if self.paused else ''}>"

    @property
    def role(self) -> str:
        """What `srvr` calls it."""
        return self.state.value if self.mode is Mode.SERVING else self.mode.value

    def session_count(self) -> int:
        """How many sessions of the whole ensemble it knows."""
        return len(self.global_sessions)

    # Its life, as the ensemble tells it

    def serve(self, state: State, leader: Member | None, epoch: int) -> None:
        """Begin to lead, follow or observe; its tree is what the leader's is."""
        self.leave(self.looking_since_ms)
        self.state = state
        self.leader = leader
        self.epoch = epoch
        self.mode = Mode.SERVING

    def leave(self, now_ms: int, state: State = State.LOOKING) -> None:
        """Close all connections and look for a leader, or stop; what it has logged stays, local sessions do not."""
        self.close_connections()
        self._forget_waiting()
        self._by_zxid.clear()
        self._syncs.clear()
        self.outbox.clear()
        self.touched.clear()
        self.incoming.clear()
        for session in self.local_sessions.all():
            self.local_sessions.remove(session)
        self.state = state
        self.mode = Mode.NOT_SERVING
        self.leader = None
        self.silent_since_ms = self.alone_since_ms = self.ready_ms = None
        self.looking_since_ms = now_ms

    def serve_read_only(self) -> None:
        """Serve those who do not mind that there is no quorum."""
        self.close_connections()
        self.mode = Mode.READ_ONLY

    def close_connections(self, session_id: int | None = None) -> None:
        """Close the connection of a session, or all."""
        for client in tuple(self.clients):
            if session_id is None or (client.session is not None and client.session.id == session_id):
                self._close(client)

    def sweep(self, now_ms: int) -> None:
        """End what has no session for too long, and the local sessions that were silent."""
        for session in self.local_sessions.overdue(now_ms):
            self.local_sessions.remove(session)
            owner = self._owners.get(session.id)
            if owner is not None:
                self._close(owner)
        self._sweep_sessionless(now_ms)

    def next_sweep_ms(self) -> int | None:
        """When `sweep` has something to do."""
        first, second = self._next_sessionless_ms(), self.local_sessions.next_deadline_ms()
        if first is None or second is None:
            return second if first is None else first
        return min(first, second)

    # The history

    def apply(self, transaction: Transaction, now_ms: int) -> None:
        """Apply the next entry of the log, tell whoever watches, and answer who asked for it and who waited."""
        results = apply(self.tree, transaction)
        self.applied += 1
        self.last_zxid = transaction.zxid
        slot = self._by_zxid.pop(transaction.zxid, None)
        for result in results:
            if result.events:
                self._tell(result.events, transaction.zxid)
            self._note_session(result.change, slot)
        if slot is not None:
            self._settle(slot, results)
            self._drain(slot.client, now_ms)
        while self._syncs and self._syncs[0].after <= self.applied:
            waited = self._syncs.popleft()
            waited.done = True
            self._drain(waited.client, now_ms)

    def catch_up(self, transactions: Sequence[Transaction]) -> None:
        """Apply entries of the log while nobody is connected."""
        for transaction in transactions:
            for result in apply(self.tree, transaction):
                self._note_session(result.change, None)
            self.applied += 1
            self.last_zxid = max(self.last_zxid, transaction.zxid)

    def restore(self, tree: Tree, sessions: dict[int, int], applied: int, zxid: int) -> None:
        """Take over another member's state, when the log does not reach back far enough."""
        self.tree = tree
        self.global_sessions = sessions
        self.applied = applied
        self.last_zxid = zxid
        self._read_tree()

    def _settle(self, slot: Slot, results: list[Applied]) -> None:
        slot.done = True
        decision = slot.decision
        if decision is None:
            return
        if decision.body is None:
            request = slot.request
            slot.body = answer_to(request, results)  # type: ignore[arg-type]  # only a write has such a decision
        else:
            slot.body = decision.body

    def _note_session(self, change: object, slot: Slot | None) -> None:
        if isinstance(change, CreateSession):
            self.global_sessions[change.session_id] = change.timeout_ms
        elif isinstance(change, CloseSession):
            self.global_sessions.pop(change.session_id, None)
            owner = self._owners.get(change.session_id)
            if owner is not None and (slot is None or slot.client is not owner):
                self._close(owner)

    # What is left to the member

    def _drain(self, client: Client | None, now_ms: int) -> None:
        """Answer what a connection need not wait for any more."""
        raise NotImplementedError

    def _forget_waiting(self) -> None:
        """All connections are closed: nobody waits."""
        raise NotImplementedError
