"""One member of an ensemble: its connections, and the requests that wait for the others.

Rule: a member decides nothing that others have to know. Writes, sync and global sessions are asked of the leader
(`Colleagues.ask`); what was decided comes back through `apply`, at this member's own pace. The answers of a connection
go out in the order of its requests: what stands behind a write waits for it.

Source: FollowerRequestProcessor.java, CommitProcessor.java, FinalRequestProcessor.java, LearnerSessionTracker.java,
ReadOnlyZooKeeperServer.java.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from zk_wire import (
    ConnectReceived,
    ConnectRequest,
    Create2Request,
    CreateRequest,
    MalformedRequest,
    MultiRequest,
    OpCode,
    Request,
    ServerEvent,
    SyncRequest,
    SyncResponse,
)

from .client import Client
from .decisions import decide_malformed
from .front import Mode, Output
from .prepare import Write
from .replica import Replica, State
from .sessions import Session, password_of
from .settings import Settings
from .slots import Kind, Slot

__all__ = ["Colleagues", "Member", "State"]


class Colleagues(Protocol):
    """What a member needs of the ensemble."""

    def ask(self, slot: Slot, now_ms: int) -> None:
        """Send a request to the leader; it is answered now, later, or never."""
        ...

    def touch(self, member: Member, session: Session, now_ms: int) -> None:
        """A session of all members was heard of."""
        ...

    def owner_of(self, leader: Member, session_id: int) -> int | None:
        """The member (by number) that has the session, as a leader knows it."""
        ...

    def take_output(self) -> list[Output]:
        """What is to be sent, by whomever."""
        ...

    def global_deadlines(self, member: Member) -> dict[int, list[int]]:
        """The ids of the sessions by deadline, if the member is the one to keep them."""
        ...

    def describe(self, member: Member) -> dict[str, list[str]]:
        """Further lines of the member's answers to the words that have some."""
        ...


class Member(Replica):
    """One member, with its connections.   See Replica for the parameters."""

    def __init__(self, colleagues: Colleagues, number: int, settings: Settings, *, voting: bool, now_ms: int) -> None:
        super().__init__(number, settings, voting=voting, now_ms=now_ms)
        self._colleagues = colleagues
        self._queues: dict[Client, deque[Slot]] = {}
        self._unread: dict[Client, list[bytes | None]] = {}  # came while nothing could be read; None is the end

    def session_deadlines(self) -> dict[int, list[int]]:
        """The ids of the sessions that this member ends itself, by deadline."""
        return {**self._colleagues.global_deadlines(self), **self.local_sessions.buckets()}

    def describe(self) -> dict[str, list[str]]:
        """Further lines of its answers, by word."""
        return self._colleagues.describe(self)

    # As the ensemble tells it

    def resume(self, now_ms: int) -> None:
        """Read what came during the pause."""
        self.paused = False
        for client in list(self._unread):
            self._catch_up(client, now_ms)

    def decided(self, slot: Slot, now_ms: int) -> None:
        """The leader has answered; what has a zxid goes on when that is applied here."""
        if slot.zxid:
            self._by_zxid[slot.zxid] = slot
            return
        if slot.kind is Kind.SYNC and slot.after > self.applied:
            self._syncs.append(slot)
            return
        if slot.decision is not None:
            slot.body = slot.decision.body
        slot.done = True
        self._drain(slot.client, now_ms)

    # What came in

    def accept(self, host: str, port: int, now_ms: int) -> Client:
        """A connection was opened; nobody listens at a member that is stopped."""
        client = super().accept(host, port, now_ms)
        if self.state is State.STOPPED:
            self._close(client)
            self._out.pop()
        return client

    def receive(self, client: Client, data: bytes, now_ms: int) -> list[Output]:
        """Bytes came; answer what can be answered now."""
        if client.closed or client.muted:
            return self._take_output()
        if self.paused or client in self._unread or self._is_connecting(client):
            self._unread.setdefault(client, []).append(data)
        else:
            self._read(client, data, now_ms)
        return self._take_output()

    def disconnected(self, client: Client) -> list[Output]:
        """The peer has closed; a paused member learns of it when it goes on."""
        if self.paused and not client.closed:
            self._unread.setdefault(client, []).append(None)
            return self._take_output()
        return super().disconnected(client)

    def _read(self, client: Client, data: bytes, now_ms: int) -> None:
        client.heard_ms = now_ms
        self._take_all(client, client.wire.receive(data), now_ms)
        self._check_wire(client)

    def _take_all(self, client: Client, events: Sequence[ServerEvent], now_ms: int) -> None:
        if events and isinstance(events[0], ConnectReceived):
            self._take(client, events[0], now_ms)
            events = events[1:]
            if self._is_connecting(client):
                self._queues[client][0].held = list(events)
                return
        if not client.closed and not client.muted:
            super()._take_all(client, events, now_ms)

    def _check_wire(self, client: Client) -> None:
        """End a connection of bad bytes, once what came before them is answered."""
        if client.wire.pending_error is not None and not client.closed and not self._is_connecting(client):
            self._close(client)

    def _catch_up(self, client: Client, now_ms: int) -> None:
        """Read what came from a connection while it could not be read."""
        pieces = self._unread.get(client, [])
        while pieces and not client.closed and not client.muted and not self._is_connecting(client):
            piece = pieces.pop(0)
            if piece is None:
                self._close(client)
            else:
                self._read(client, piece, now_ms)
        if not pieces or client.closed:
            self._unread.pop(client, None)

    def _is_connecting(self, client: Client) -> bool:
        queue = self._queues.get(client)
        return queue is not None and queue[0].kind in (Kind.NEW_SESSION, Kind.RESUME)

    def _serve(
        self, client: Client, xid: int, opcode: int, request: Request[object], session: Session, now_ms: int
    ) -> None:
        unchecked = opcode in _ASKED and opcode != OpCode.SYNC
        if self.state is State.LEADING and not session.local and not unchecked and self._has_moved(session):
            self._close(client)  # followers have the owner looked at for writes only, by the leader
        elif client not in self._queues or opcode in _ASKED:
            super()._serve(client, xid, opcode, request, session, now_ms)
        else:
            slot = Slot(Kind.LOCAL, self, client, session, xid=xid, opcode=opcode, request=request)
            slot.done = True
            self._queues[client].append(slot)

    def _has_moved(self, session: Session) -> bool:
        owner = self._colleagues.owner_of(self, session.id)
        return owner is not None and owner != self.number

    def _take_output(self) -> list[Output]:
        return self._colleagues.take_output()

    # Requests that wait

    def _ask(self, slot: Slot, now_ms: int) -> None:
        client = slot.client
        if client is not None and not client.closed:
            self._queues.setdefault(client, deque()).append(slot)
        self._colleagues.ask(slot, now_ms)

    def _write(self, client: Client, xid: int, request: Write | MultiRequest, session: Session, now_ms: int) -> None:
        if session.local and self.settings.local_session_upgrading and _makes_ephemerals(request):
            self.local_sessions.remove(session)
            session.local = False
            self._colleagues.ask(Slot(Kind.UPGRADE, self, None, session), now_ms)
        self._ask(self._slot(Kind.WRITE, client, xid, session, request), now_ms)

    def _refuse_malformed(self, client: Client, event: MalformedRequest, now_ms: int) -> None:
        session = client.session
        if session is None:
            raise AssertionError("a request before the session: the wire does not let it through")
        decision = decide_malformed(event, self.profile)
        slot = self._slot(Kind.MALFORMED, client, event.xid, session, event)
        if decision.changes is not None and self.mode is Mode.SERVING:
            self._ask(slot, now_ms)
            return
        slot.decision = decision
        self._queues.setdefault(client, deque()).append(slot)
        self.decided(slot, now_ms)

    def _end_of_session(self, client: Client, xid: int, session: Session, now_ms: int) -> None:
        slot = self._slot(Kind.CLOSE, client, xid, session, None)
        if not session.local:
            self._ask(slot, now_ms)
            return
        self.local_sessions.remove(session)
        self._queues.setdefault(client, deque()).append(slot)
        self.decided(slot, now_ms)

    def _sync(self, client: Client, xid: int, request: SyncRequest, session: Session, now_ms: int) -> None:
        self._ask(self._slot(Kind.SYNC, client, xid, session, request), now_ms)

    def _slot(
        self,
        kind: Kind,
        client: Client,
        xid: int,
        session: Session,
        request: Request[object] | MalformedRequest | ConnectRequest | None,
    ) -> Slot:
        identities = tuple(client.identities)
        return Slot(kind, self, client, session, xid=xid, request=request, identities=identities)

    def _drain(self, client: Client | None, now_ms: int) -> None:
        """Answer what is at the head of a connection's queue and need not wait any more."""
        queue = self._queues.get(client) if client is not None else None
        if client is None or queue is None:
            return
        while queue and queue[0].done and not client.closed:
            slot = queue[0]
            connecting = slot.kind in (Kind.NEW_SESSION, Kind.RESUME)
            if slot.kind is not Kind.LOCAL:
                queue.popleft()
                self._finish(client, slot)
            else:
                queue.popleft()
                request: Request[object] = slot.request  # type: ignore[assignment]
                super()._serve(client, slot.xid, slot.opcode, request, slot.session, now_ms)
            if connecting:
                self._queues.pop(client, None)
                if not client.closed and not client.muted:
                    self._take_all(client, slot.held, now_ms)
                    self._check_wire(client)
                    self._catch_up(client, now_ms)
                return
        if not queue:
            self._queues.pop(client, None)

    def _finish(self, client: Client, slot: Slot) -> None:
        match slot.kind:
            case Kind.NEW_SESSION | Kind.RESUME:
                request: ConnectRequest = slot.request  # type: ignore[assignment]
                if slot.kind is Kind.RESUME and not slot.valid:
                    self._refuse(client, request)
                else:
                    self._grant(client, slot.session, request)
            case Kind.CLOSE:
                self._reply(client, slot.xid)
                self._close(client)
            case Kind.SYNC:
                sync: SyncRequest = slot.request  # type: ignore[assignment]
                self._reply(client, slot.xid, SyncResponse(sync.path).encode())
            case _:
                if slot.moved:
                    self._close(client)
                elif slot.body is not None:
                    self._reply(client, slot.xid, slot.body, err=slot.decision.error if slot.decision else 0)

    def _close(self, client: Client) -> None:
        super()._close(client)
        self._queues.pop(client, None)
        self._unread.pop(client, None)

    def _forget_waiting(self) -> None:
        self._queues.clear()
        self._unread.clear()

    # Sessions

    def _touch(self, session: Session, now_ms: int) -> None:
        if not session.local:
            self._colleagues.touch(self, session, now_ms)
        elif self.local_sessions.get(session.id) is session:
            self.local_sessions.touch(session, now_ms)

    def _connect(self, client: Client, request: ConnectRequest, now_ms: int) -> None:
        if (
            self.mode is Mode.NOT_SERVING
            or (self.mode is Mode.READ_ONLY and not request.read_only)
            or request.last_zxid_seen > self.last_zxid
        ):
            self._close(client)
            return
        timeout_ms = self._negotiated_ms(request)
        if request.session_id == 0:
            self._begin_session(client, request, timeout_ms, now_ms)
            return
        previous = self._owners.get(request.session_id)
        if previous is not None:
            self._close(previous)
        if request.password != password_of(request.session_id):
            self._refuse(client, request)
            return
        local = self.local_sessions.get(request.session_id)
        if local is not None:
            local.timeout_ms = timeout_ms
            self.local_sessions.touch(local, now_ms)
            self._grant(client, local, request)
            return
        session = Session(request.session_id, timeout_ms, local=False)
        if self.mode is Mode.READ_ONLY:
            if request.session_id not in self.global_sessions:
                self._refuse(client, request)
            elif self.profile.read_only_needs_local_sessions:
                self._close(client)
            else:
                self._grant(client, session, request)
            return
        self._ask(self._slot(Kind.RESUME, client, 0, session, request), now_ms)

    def _begin_session(self, client: Client, request: ConnectRequest, timeout_ms: int, now_ms: int) -> None:
        if self.mode is Mode.READ_ONLY:
            if self.profile.read_only_needs_local_sessions and not self.settings.local_sessions:
                self._mute(client)
                return
        elif not self.settings.local_sessions:
            session = Session(self.local_sessions.next_id(), timeout_ms, local=False)
            self._ask(self._slot(Kind.NEW_SESSION, client, 0, session, request), now_ms)
            return
        self._grant(client, self.local_sessions.create(timeout_ms, now_ms, local=True), request)


# What is sent on to the leader although something in front of it waits.
_ASKED = frozenset((-11, 1, 2, 5, 7, 9, 13, 14, 15, 16, 19, 20, 21))


def _makes_ephemerals(request: Write | MultiRequest) -> bool:
    if isinstance(request, MultiRequest):
        return any(_makes_ephemerals(operation) for operation in request.ops)
    return isinstance(request, CreateRequest | Create2Request) and request.flags in (1, 3)
