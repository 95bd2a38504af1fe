"""What only the leader of an ensemble knows and does: it decides, gives zxids, and keeps the sessions.

Rule: lives from an election to the end of that leadership. It proposes; whether that becomes history is the quorum's
(quorum.py). What was proposed and not yet agreed on is taken into account by the next decision.

Source: PrepRequestProcessor.java, Leader.java, LeaderSessionTracker.java.
"""

from __future__ import annotations

from collections.abc import Sequence

from zk_wire import ErrorCode, Id, MalformedRequest, MultiRequest, Permission, ReconfigRequest

from .configuration import Configuration
from .decisions import Decision, decide, decide_malformed
from .member import Member
from .permissions import check_permission
from .prepare import Write
from .refusal import RefusedError
from .sessions import Session, Sessions
from .slots import Kind, Slot
from .transactions import Change, CloseSession, CreateSession, DeleteNode, Failed, SetConfig, Transaction, apply
from .tree import CONFIG, Tree

__all__ = ["Leadership"]


class Leadership:
    """One member's time as the leader.   epoch: the upper half of its zxids."""

    def __init__(self, member: Member, epoch: int, now_ms: int) -> None:
        settings = member.settings
        self.member = member
        self.epoch = epoch
        self.sessions = Sessions(tick_ms=settings.tick_ms, start_ms=now_ms)
        self.owners: dict[int, int] = {}  # the member that has the connection, by session
        self._proposed: Tree | None = None  # the tree as it will be when all proposals are agreed on
        self.unnoticed: set[int] = set()  # members that have given this leader up, which it cannot know
        self.grace_ms = 0  # until when it does not look at whether it is alone
        self._zxid = epoch << 32
        never = settings.never_used_ms
        self._never_used_ms = member.profile.never_used_ms if never is None else never
        self.next_check_ms = now_ms + settings.container_check_ms
        for session_id, timeout_ms in member.global_sessions.items():
            self.sessions.adopt(session_id, timeout_ms, now_ms)

    # Requests

    def decide(self, slot: Slot, now_ms: int, synced: frozenset[int]) -> tuple[Change, ...] | None:
        """Fill in what a request comes to; return the changes to propose, None for none.

        synced: the numbers of the members that have all that this leader has.
        """
        session_id = slot.session.id
        match slot.kind:
            case Kind.WRITE:
                slot.decision = self._decide_write(slot, synced)
                return slot.decision.changes
            case Kind.MALFORMED:
                event: MalformedRequest = slot.request  # type: ignore[assignment]
                slot.decision = decide_malformed(event, self.member.profile)
                return slot.decision.changes
            case Kind.CLOSE:
                self._forget(session_id)
                return (CloseSession(session_id),)
            case Kind.NEW_SESSION | Kind.UPGRADE:
                self.sessions.adopt(session_id, slot.timeout_ms, now_ms)
                self.owners[session_id] = slot.member.number
                return (CreateSession(session_id, slot.timeout_ms),)
            case Kind.RESUME:
                found = self.sessions.get(session_id)
                slot.valid = found is not None
                if found is not None:
                    self.touch(session_id, slot.timeout_ms, now_ms)
                    self.owners[session_id] = slot.member.number
            case _:
                pass
        return None

    def _decide_write(self, slot: Slot, synced: frozenset[int]) -> Decision:
        session = slot.session
        problem = self._problem_of(session, slot.member)
        if problem:
            slot.moved = problem == ErrorCode.SESSION_MOVED
            return Decision((Failed(problem),), problem)
        tree = self._proposed or self.member.tree
        if isinstance(slot.request, ReconfigRequest):
            return self._decide_reconfig(tree, slot.request, slot.identities, synced)
        request: Write | MultiRequest = slot.request  # type: ignore[assignment]  # that is what a write has
        decision = decide(tree, self.member._rules, session.id, slot.identities, request, ephemerals=not session.local)
        self._zxid += decision.skips_zxid
        return decision

    def _decide_reconfig(
        self, tree: Tree, request: ReconfigRequest, identities: Sequence[Id], synced: frozenset[int]
    ) -> Decision:
        node = tree.nodes[CONFIG]
        try:
            if not self.member.settings.reconfig:
                raise RefusedError(ErrorCode.RECONFIG_DISABLED)
            following = Configuration.parse(node.data or b"").changed(request, self._zxid + 1)
            if len(synced & following.voters) < following.quorum:
                raise RefusedError(ErrorCode.NEW_CONFIG_NO_QUORUM)
            if not self.member.settings.skip_acl:
                check_permission(node.acl, Permission.WRITE, identities)
        except RefusedError as refusal:
            return Decision((Failed(refusal.code),), refusal.code)
        return Decision((SetConfig(following.encode()),), body=None)

    def _problem_of(self, session: Session, member: Member) -> int:
        """Why a session may not write: it has ended, or another member has it; 0 when it may."""
        if session.local:
            return 0
        if self.sessions.get(session.id) is None:
            return ErrorCode.SESSION_EXPIRED
        owner = self.owners.setdefault(session.id, member.number)
        return 0 if owner == member.number else ErrorCode.SESSION_MOVED

    # Proposals

    def transaction(self, changes: tuple[Change, ...], now_ms: int) -> Transaction:
        """Give changes the next zxid."""
        self._zxid += 1
        return Transaction(self._zxid, now_ms, changes)

    def propose(self, transaction: Transaction) -> None:
        """A transaction that is not agreed on yet; what is decided from now on takes it for granted."""
        if self._proposed is None:
            self._proposed = self.member.tree.copy()
        apply(self._proposed, transaction)

    def all_agreed(self) -> None:
        """Nothing is only proposed any more."""
        self._proposed = None

    # Sessions

    def touch(self, session_id: int, timeout_ms: int, now_ms: int) -> None:
        """A session was heard of."""
        found = self.sessions.get(session_id)
        if found is not None:
            found.timeout_ms = timeout_ms
            self.sessions.touch(found, now_ms)

    def expire(self, session_id: int) -> Change | None:
        """End a session; None when there is none."""
        if self.sessions.get(session_id) is None:
            return None
        self._forget(session_id)
        return CloseSession(session_id)

    def overdue(self, now_ms: int) -> list[Change]:
        """What has to be proposed because of the time: sessions that were silent, containers and TTL nodes."""
        changes: list[Change] = []
        for session in self.sessions.overdue(now_ms):
            self._forget(session.id)
            changes.append(CloseSession(session.id))
        if now_ms >= self.next_check_ms:
            self.next_check_ms = now_ms + self.member.settings.container_check_ms
            if self._proposed is None:
                changes += [DeleteNode(path) for path in self.member.tree.overdue(now_ms, self._never_used_ms)]
        return changes

    def next_deadline_ms(self) -> int | None:
        """When `overdue` has something."""
        due = self.sessions.next_deadline_ms()
        tree = self.member.tree
        if tree.containers or tree.ttls:
            return self.next_check_ms if due is None else min(due, self.next_check_ms)
        return due

    def _forget(self, session_id: int) -> None:
        found = self.sessions.get(session_id)
        if found is not None:
            self.sessions.remove(found)
        self.owners.pop(session_id, None)
