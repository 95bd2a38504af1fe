"""Scenes for servers that are set up otherwise: authentication required, no permissions, no quorum.

Rule: see conformance_stage.py.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from conformance_stage import Caller, Scene, Stage, compare_records

from zk_testing.cluster import start_cluster
from zk_testing.embedded import EmbeddedServer, Mode, Settings
from zk_testing.rawclient import RawClient
from zk_wire import (
    ACL,
    ADMIN_WORDS,
    OPEN_ACL_UNSAFE,
    AddWatchRequest,
    AuthPacket,
    CheckVersionRequest,
    CloseSessionRequest,
    CreateContainerRequest,
    CreateRequest,
    CreateTTLRequest,
    DeleteRequest,
    ExistsRequest,
    GetACLRequest,
    GetAllChildrenNumberRequest,
    GetChildren2Request,
    GetChildrenRequest,
    GetDataRequest,
    GetEphemeralsRequest,
    Id,
    MultiReadRequest,
    MultiRequest,
    PingRequest,
    ReconfigRequest,
    RemoveWatchesRequest,
    Request,
    SaslRequest,
    SetACLRequest,
    SetDataRequest,
    SetWatches2,
    SyncRequest,
    make_digest_acl,
)

__all__ = ["BARE", "GUARDED", "play_read_only"]

OPEN = list(OPEN_ACL_UNSAFE)
_QUIET = 0.02  # seconds between two questions to a server that is losing its quorum


def every_request_waits_for_authentication(stage: Stage) -> None:
    requests: list[Request[object]] = [
        *(PingRequest(), SyncRequest("/"), GetDataRequest("/", True), CreateRequest("/a", b"", OPEN, 0)),
        *(MultiRequest([]), SetWatches2(0, [], [], [], [], []), AddWatchRequest("/", 0), CloseSessionRequest()),
    ]
    for request in requests:
        caller = stage.meet(type(request).__name__, timeout_ms=60_000)
        caller.ask(request)
        caller.hear_end()
    for opcode in (0, 99, 3, 20):
        caller = stage.meet(f"opcode {opcode}", timeout_ms=60_000)
        caller.ask_bytes(opcode, b"")
        caller.hear_end()
    caller = stage.meet("the wrong scheme", timeout_ms=60_000)
    caller.ask(AuthPacket("ip", b""))
    caller.ask(SyncRequest("/"))
    caller.hear_end()
    caller = stage.meet("authenticated", timeout_ms=60_000)
    caller.ask(AuthPacket("digest", b"u:p"))
    caller.ask(SyncRequest("/"))
    if not caller.ended:
        caller.ask(CreateRequest("/a", b"", OPEN, 1), CloseSessionRequest())
        caller.hear_end()
        again = stage.call("again").resume(caller)
        stage.note(again.ended)


def words_are_allowed_one_by_one(stage: Stage) -> None:
    for word in sorted(ADMIN_WORDS - {"srvr", "stmk"}):
        stage.note(word, stage.word(word))


def nobody_asks_for_permission(stage: Stage) -> None:
    caller, other = stage.meet("caller"), stage.meet("other")
    secret = [make_digest_acl("somebody", "else", all=True)]
    others = [[ACL(1, Id("ip", "10.0.0.1"))], [ACL(0, Id("world", "anyone"))], [], None, [ACL(31, Id("x", "y"))]]
    for acl in (secret, *others):
        caller.ask(CreateRequest("/s", b"x", acl, 0), GetACLRequest("/s"), AddWatchRequest("/s", 1))
        other.ask(GetDataRequest("/s", True), ExistsRequest("/s", True), GetChildrenRequest("/s", True))
        caller.ask(SetDataRequest("/s", b"y", -1), SetACLRequest("/s", acl, -1), GetACLRequest("/s"))
        caller.ask(CreateRequest("/s/c", b"", acl, 1), MultiRequest([CheckVersionRequest("/s", -1)]))
        caller.ask(DeleteRequest("/s/c", -1), DeleteRequest("/s", -1))
        other.ping()
    caller.ask(SetDataRequest("/zookeeper/config", b"x", -1), SetDataRequest("/zookeeper/config", None, 0))
    caller.ask(ReconfigRequest(None, None, None, -1), CreateTTLRequest("/t", b"", OPEN, 5, 1000))
    caller.ask(CreateTTLRequest("/t", b"", OPEN, 5, 2**62), CreateTTLRequest("/t", b"", OPEN, 6, 1))


GUARDED: tuple[Scene, ...] = (every_request_waits_for_authentication, words_are_allowed_one_by_one)
BARE: tuple[Scene, ...] = (nobody_asks_for_permission,)


# Without a quorum


def play_read_only(version: str, local_sessions: bool) -> int:
    """Let a member of an ensemble lose its quorum, and compare it with an embedded server in read-only mode."""
    config = {"localSessionsEnabled": str(local_sessions).lower()}
    with start_cluster(2, version, read_only_mode=True, config=config) as cluster:
        kept, lost = cluster.members
        settings = Settings(version=cluster.version, local_sessions=local_sessions)
        with EmbeddedServer(settings=settings) as server:
            for address in () if local_sessions else (kept.address, server.address):
                RawClient(address).close_session()  # the first zxid of an ensemble's new leader is not 1
            stages = [Stage(kept.address), Stage(server.address)]
            try:
                for stage in stages:
                    _while_it_serves(stage, sessions=not local_sessions)
                lost.stop()
                while kept.role != "read-only":
                    threading.Event().wait(_QUIET)
                server.set_mode(Mode.READ_ONLY)
                for stage in stages:
                    _without_a_quorum(stage)
            finally:
                for stage in stages:
                    stage.hang_up()
            return compare_records("read-only", *(stage.record for stage in stages))


def _while_it_serves(stage: Stage, *, sessions: bool) -> None:
    if sessions:
        caller = stage.meet("before", timeout_ms=30_000)
        caller.ask(CreateRequest("/ro", b"x", OPEN, 0), CreateRequest("/ro/e", b"", OPEN, 1))
        stage.before = caller


def _without_a_quorum(stage: Stage) -> None:
    stage.note(stage.word("isro"))
    stage.note([line for line in stage.word("srvr").splitlines() if line.startswith(("READ", "Mode", "Node"))])
    if stage.before is not None:
        stage.before.hear_end()
        for read_only in (False, True, None):
            old = stage.call(f"old session, read_only={read_only}").resume(stage.before, read_only=read_only)
            if not old.ended:
                _ask_everything(old)
                old.ask(CloseSessionRequest())
    for read_only in (False, None):
        stage.call(f"new session, read_only={read_only}").connect(read_only=read_only)
    stage.call("unknown session").connect(read_only=True, session_id=5, password=bytes(16))
    stage.call("from the future").connect(read_only=True, last_zxid_seen=2**62)
    for timeout_ms in (1, 10_000, 10**6):
        caller = stage.call(f"new session, {timeout_ms} ms").connect(read_only=True, timeout_ms=timeout_ms)
        if caller.session[0]:
            _ask_everything(caller)
            again = stage.call("again").resume(caller, read_only=True)
            caller.hear_end()
            again.ask(PingRequest(), CloseSessionRequest())
            again.hear_end()
            stage.call("too late").resume(caller, read_only=True)


def _ask_everything(caller: Caller) -> None:
    everything: Iterable[Request[object]] = [
        *(ExistsRequest("/ro", True), GetDataRequest("/", True), GetChildrenRequest("/ro", True), GetACLRequest("/ro")),
        *(GetChildren2Request("/ro", True), GetAllChildrenNumberRequest("/ro"), GetEphemeralsRequest("/")),
        *(CreateRequest("/x", b"", OPEN, 0), CreateContainerRequest("/x", b"", OPEN, 4), DeleteRequest("/ro", -1)),
        *(SetDataRequest("/ro", b"", -1), SetACLRequest("/ro", OPEN, -1), MultiRequest([CheckVersionRequest("/", -1)])),
        *(MultiRequest([]), MultiReadRequest([GetDataRequest("/nope", True)]), SyncRequest("/"), PingRequest()),
        *(ReconfigRequest("", "", "", -1), AddWatchRequest("/ro", 1), RemoveWatchesRequest("/ro", 3)),
        *(SetWatches2(0, [], ["/ro"], [], [], []), AuthPacket("digest", b"u:p"), SaslRequest(b"")),
        CreateTTLRequest("/x", b"", OPEN, 5, 1000),
    ]
    for request in everything:
        caller.ask(request)
