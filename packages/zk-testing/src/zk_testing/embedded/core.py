"""A whole ZooKeeper server that only decides: bytes and times in, bytes for connections out.

    core = ServerCore(Settings(version="3.8"), now_ms=0)
    client = core.accept("127.0.0.1", 5000, now_ms=0)
    core.receive(client, frame, now_ms=1)     # [(client, b"..."), (another, b"..."), (client, None)]

Rule: no I/O, clock, thread or randomness. Each call returns what is to be sent, in order; None ends a connection. Time
is milliseconds since 1970 and never goes back. One call at a time.

What it does with its connections is in front.py; here are its sessions, its history, and its time. A change is decided
once (decisions.py) and then applied to the tree in one place (`_commit`).
Source: ZooKeeperServer.java.
"""

from __future__ import annotations

from zk_wire import ConnectRequest, MalformedRequest, MultiRequest, SyncRequest, SyncResponse

from .client import Client
from .decisions import Decision, answer_to, decide, decide_malformed
from .front import Front, Mode, Output
from .prepare import Write
from .sessions import Session, Sessions, password_of
from .settings import Settings
from .timed import Timed
from .transactions import Applied, Change, CloseSession, DeleteNode, Nothing, Transaction, apply

__all__ = ["Mode", "Output", "ServerCore"]


class ServerCore(Front, Timed):
    """One standalone server.   now_ms: the time of its start, from which session numbers are made."""

    def __init__(self, settings: Settings | None = None, *, now_ms: int) -> None:
        super().__init__(settings or Settings(), now_ms)
        self.last_zxid = self.settings.first_zxid
        self.sessions = Sessions(tick_ms=self.settings.tick_ms, start_ms=now_ms, server_id=self.settings.server_id)
        self._read_only_zxids = 0  # how many were given since it has had no quorum
        self._read_only_history = False  # whether there was any transaction before
        self._reads_at_once = not self.settings.auth_required
        self._zxids_skipped = 0  # how many were given since the last one that was applied
        never = self.settings.never_used_ms
        self._never_used_ms = self.profile.never_used_ms if never is None else never
        self._next_check_ms = now_ms + self.settings.container_check_ms
        self.asleep = False  # while it is, its time passes without anything happening

    def session_deadlines(self) -> dict[int, list[int]]:
        """The ids of the living sessions by the time at which they end, in ms."""
        return self.sessions.buckets()

    def session_count(self) -> int:
        """How many sessions live."""
        return len(self.sessions)

    # Time

    def tick(self, now_ms: int) -> list[Output]:
        """Do what is due: sessions, containers, TTL nodes, connections that never became sessions."""
        if self.asleep:
            return []
        for session in self.sessions.overdue(now_ms):
            self._end_session(session, now_ms)
        if now_ms >= self._next_check_ms:
            self._next_check_ms = now_ms + self.settings.container_check_ms
            for path in self.tree.overdue(now_ms, self._never_used_ms):
                self._commit((DeleteNode(path),), now_ms)
        self._sweep_sessionless(now_ms)
        return self._take_output()

    def next_deadline_ms(self) -> int | None:
        """When `tick` has something to do next; None while there is nothing to wait for."""
        if self.asleep:
            return None
        deadlines = [self._next_sessionless_ms(), self.sessions.next_deadline_ms()]
        if self.tree.containers or self.tree.ttls:
            deadlines.append(self._next_check_ms)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    # Control

    def expire_session(self, session_id: int, now_ms: int) -> list[Output]:
        """End a session as if it had been silent for too long; raises KeyError when there is none."""
        session = self.sessions.get(session_id)
        if session is None:
            raise KeyError(f"there is no session 0x{session_id & (1 << 64) - 1:x}")
        self._end_session(session, now_ms)
        return self._take_output()

    def set_mode(self, mode: Mode, now_ms: int) -> list[Output]:
        """Serve otherwise than before; all connections are closed, and read-only sessions are forgotten."""
        if mode is self.mode:
            return []
        self.mode = mode
        self._read_only_zxids, self._read_only_history = 0, self.last_zxid > 0
        for session in self.sessions.all():
            if session.local:
                self.sessions.remove(session)
            else:
                self.sessions.touch(session, now_ms)
        return self.drop_connections()

    # Sessions

    def _connect(self, client: Client, request: ConnectRequest, now_ms: int) -> None:
        read_only = self.mode is Mode.READ_ONLY
        if (
            self.mode is Mode.NOT_SERVING
            or (read_only and not request.read_only)
            or request.last_zxid_seen > self.last_zxid
        ):
            self._close(client)
            return
        timeout_ms = self._negotiated_ms(request)
        local_only = read_only and self.profile.read_only_needs_local_sessions
        if request.session_id == 0:
            if local_only and not self.settings.local_sessions:
                self._mute(client)
                return
            session = self.sessions.create(timeout_ms, now_ms, local=read_only)
            if not session.local or not local_only:
                self._commit((Nothing(),), now_ms)
        else:
            previous = self._owners.get(request.session_id)
            if previous is not None:
                self._close(previous)
            found = self.sessions.get(request.session_id)
            if found is None or request.password != password_of(found.id):
                self._refuse(client, request)
                return
            if local_only and not found.local:
                self._close(client)
                return
            session = found
            session.timeout_ms = timeout_ms
            self.sessions.touch(session, now_ms)
        self._grant(client, session, request)

    def _touch(self, session: Session, now_ms: int) -> None:
        self.sessions.touch(session, now_ms)

    def _end_of_session(self, client: Client, xid: int, session: Session, now_ms: int) -> None:
        self._end_session(session, now_ms, client)
        self._reply(client, xid)
        self._close(client)

    def _end_session(self, session: Session, now_ms: int, closing: Client | None = None) -> None:
        """closing: the connection that asked for it, which is still to be answered."""
        if not session.local or not self.profile.read_only_needs_local_sessions:
            self._commit((CloseSession(session.id),), now_ms)
        self.sessions.remove(session)
        owner = self._owners.get(session.id)
        if owner is not None and owner is not closing:
            self._close(owner)

    # The history

    def _write(self, client: Client, xid: int, request: Write | MultiRequest, session: Session, now_ms: int) -> None:
        decision = decide(self.tree, self._rules, session.id, client.identities, request)
        applied = self._carry_out(decision, now_ms)
        body = answer_to(request, applied) if decision.body is None else decision.body
        if body is not None:
            self._reply(client, xid, body, err=decision.error)

    def _sync(self, client: Client, xid: int, request: SyncRequest, session: Session, now_ms: int) -> None:
        self._reply(client, xid, SyncResponse(request.path).encode())

    def _refuse_malformed(self, client: Client, event: MalformedRequest, now_ms: int) -> None:
        decision = decide_malformed(event, self.profile)
        self._carry_out(decision, now_ms)
        self._reply(client, event.xid, decision.body or b"", err=decision.error)

    def _carry_out(self, decision: Decision, now_ms: int) -> list[Applied]:
        self._zxids_skipped += decision.skips_zxid
        return [] if decision.changes is None else self._commit(decision.changes, now_ms)

    def _commit(self, changes: tuple[Change, ...], now_ms: int) -> list[Applied]:
        """Give changes the next zxid, apply them, and tell whoever watches."""
        if self.mode is Mode.READ_ONLY:
            # Only servers until 3.6 get here, with a session that begins or ends. They count these from 1, which is
            # less than any zxid of an ensemble's history, if it has one.
            self._read_only_zxids += 1
            zxid = self._read_only_zxids
            if not self._read_only_history:
                self.last_zxid = zxid
        else:
            zxid = self.last_zxid = self.last_zxid + 1 + self._zxids_skipped
            self._zxids_skipped = 0
        applied = apply(self.tree, Transaction(zxid, now_ms, changes))
        for result in applied:
            if result.events:
                self._tell(result.events, zxid)
        return applied
