"""States: the table of allowed changes is closed, leads everywhere, and is kept whatever happens."""

from __future__ import annotations

import itertools
from random import Random

import pytest
from corepair import DATA, PASSWORD, CorePair, Sink, stat

from zk_client import OPEN_ACL_UNSAFE, RetryPolicy
from zk_client._session.machine import CONNECTING, HANDSHAKE
from zk_client.hosts import Host
from zk_client.states import ALLOWED, SessionState
from zk_client.transactions import Transaction
from zk_wire import (
    CreateResponse,
    CreateResult,
    EmptyResponse,
    ErrorResponse,
    ExistsResponse,
    GetChildren2Response,
    GetChildrenResponse,
    MultiResponse,
    OpCode,
    RequestReceived,
    SetACLResponse,
    SetDataResponse,
    SyncResponse,
    WhoAmIResponse,
)


def test_every_state_has_a_row_and_no_row_leads_to_itself() -> None:
    assert set(ALLOWED) == set(SessionState)
    assert all(state not in following for state, following in ALLOWED.items())


def test_every_state_can_be_reached_from_closed_and_can_reach_closed() -> None:
    for start, goal in [(SessionState.CLOSED, state) for state in SessionState] + [
        (state, SessionState.CLOSED) for state in SessionState
    ]:
        reached = {start}
        while not reached >= (more := reached.union(*(ALLOWED[state] for state in reached))):
            reached = more
        assert goal in reached


def test_only_the_two_connected_states_are_connected() -> None:
    assert {state for state in SessionState if state.is_connected} == {
        SessionState.CONNECTED,
        SessionState.CONNECTED_READ_ONLY,
    }


def test_a_state_prints_and_compares_as_its_text() -> None:
    assert f"{SessionState.SUSPENDED}" == str(SessionState.SUSPENDED) == "suspended"
    assert SessionState("connected read-only") is SessionState.CONNECTED_READ_ONLY


# Whatever happens

HOST = Host("h1", 2181)
FRAMES = [
    b"",
    b"\xff\xff\xff\xff",
    b"\0\0\0\x10" + bytes(16),
    b"HTTP/1.1 200 OK\r\n\r\n",
    bytes(41),
    b"\0\0\0\x14\xff\xff\xff\xff" + bytes(16),
]


class Storm:
    """Everything that can happen to a core, in any order."""

    def __init__(self, seed: int) -> None:
        self.dice = Random(seed)
        self.pair = CorePair(
            self.dice.choice(["h1:2181", "h1,h2,h3", "h1/app"]),
            timeout=3.0,
            connect_timeout=1.0,
            read_only=self.dice.random() < 0.5,
            queue_when_disconnected=self.dice.random() < 0.7,
            renew_after_expiry=self.dice.random() < 0.7,
            resolve_timeout=self.dice.choice([None, 0.5]),
            reconnect=RetryPolicy(delay=0.1, jitter=0.5, max_tries=self.dice.choice([None, 3])),
            resume=self.dice.choice([None, (5, PASSWORD)]),
        )
        self.watching: list[Sink] = []

    def run(self) -> None:
        """Some hundred events; then the end, after which nothing may be left."""
        happenings = [getattr(self, name) for name in dir(self) if name.startswith("on_")]
        pair = self.pair
        pair.start()
        for _ in range(self.dice.randint(20, 120)):
            self.dice.choice(happenings)()
            pair.settle()
            assert pair.core.state is pair.states[-1]
        pair.stop()
        pair.core.abort()
        pair.settle()
        assert pair.core.state is SessionState.CLOSED
        assert len(pair.core.watches) == 0
        assert pair.core.lease_remaining(pair.now) == 0
        assert pair.core.deadline() is None
        for call in pair.submitted:
            assert call.done, f"{call!r} never ended"
            call.exception()
        changes = [SessionState.CLOSED, *pair.states]
        assert all(after in ALLOWED[before] for before, after in itertools.pairwise(changes))

    # What users do

    def on_request(self) -> None:
        """Any request."""
        operations, sink = self.pair.operations, Sink()
        self.watching.append(sink)
        make = self.dice.choice(
            [
                lambda: operations.get("/a"),
                lambda: operations.get("/a", sink),
                lambda: operations.exists("/a", sink),
                lambda: operations.get_children("/b", sink),
                lambda: operations.set("/a", b"x"),
                lambda: operations.create("/e", ephemeral=True),
                lambda: operations.create("/q-", ephemeral=True, sequence=True, unique=True),
                lambda: operations.delete("/a"),
                lambda: operations.whoami(),
                lambda: operations.add_auth("digest", b"u:p"),
                lambda: operations.add_watch("/a", sink, recursive=self.dice.random() < 0.5),
                lambda: operations.set_acls("/a", OPEN_ACL_UNSAFE),
                lambda: Transaction(operations, None).create("/t", ephemeral=True).call(),
            ]
        )
        if self.dice.random() < 0.8:
            self.pair.submit(make())
        else:
            self.pair.submit_unsent(make())

    on_another_request = on_request

    def on_cancel(self) -> None:
        """Take back something that has not ended."""
        waiting = [call for call in self.pair.submitted if not call.done]
        if waiting:
            self.dice.choice(waiting).cancel()

    def on_forget(self) -> None:
        """Forget a watch."""
        if self.watching:
            sink = self.dice.choice(self.watching)
            for path in ("/a", "/b", "/app/a", "/app/b"):
                self.pair.core.forget_watch(path, sink)

    def on_restart(self) -> None:
        """Stop, in one of the ways, and often start again."""
        pair = self.pair
        if self.dice.random() < 0.3:
            pair.stop(close_session=self.dice.random() < 0.5)
        if self.dice.random() < 0.1:
            pair.core.abort()
        if self.dice.random() < 0.1:
            pair.core.fail("internal error")
        pair.start()

    def on_reconnect(self) -> None:
        """Reconnect on purpose."""
        self.pair.core.reconnect(self.pair.now, "asked for")

    # What the world does

    def on_time(self) -> None:
        """Time passes."""
        self.pair.wait_for(self.dice.choice([0.0, 0.01, 0.2, 1.0, 5.0]))

    def on_connected(self) -> None:
        """The connection asked for is there, and mostly a session is granted."""
        pair = self.pair
        if pair.core.phase == CONNECTING:
            pair.connect()
            if self.dice.random() < 0.8:
                self.on_answer()

    on_connected_again = on_connected

    def on_refused(self) -> None:
        """The connection asked for cannot be had, or nobody waits for it any more."""
        self.pair.refuse()

    def on_stray_connection(self) -> None:
        """A connection nobody asked for."""
        if self.pair.core.phase != CONNECTING:
            self.pair.core.connected(self.pair.now)
            self.pair.server = None
            self.pair.core.closed(self.pair.now, "not wanted")

    def on_closed(self) -> None:
        """The connection ends."""
        if self.dice.random() < 0.3:
            self.pair.close()

    def on_answer(self) -> None:
        """The server's answer to the connect request."""
        pair = self.pair
        if pair.core.phase == HANDSHAKE and pair.server is not None and pair.hello is not None:
            same = pair.hello.session_id or self.dice.randint(1, 9)
            answer = self.dice.random()
            if answer < 0.7:
                pair.grant(same, read_only=pair.core.config.read_only and self.dice.random() < 0.4)
            elif answer < 0.8:
                pair.grant(same + 1)
            elif answer < 0.9:
                pair.gone()
            else:
                pair.reject()

    def on_reply(self) -> None:
        """Replies, several in one piece, right and wrong, with events among them."""
        pair = self.pair
        frames = []
        for request in pair.requests[: self.dice.randint(1, 6)] if pair.server is not None else ():
            pair.requests.remove(request)
            frames.append(self.reply_to(request))
            if self.dice.random() < 0.2:
                kind = self.dice.choice([1, 2, 3, 4, -1, 99])
                frames.append(pair.event(kind, self.dice.choice(["/a", "/b", "/a/b", "/app/a", ""])))
        if self.dice.random() < 0.05:
            frames.append(self.dice.choice(FRAMES))
        pair.send(*frames)

    on_more_replies = on_reply

    def reply_to(self, request: RequestReceived) -> bytes:
        """Something a server may say, or a broken one."""
        pair = self.pair
        if request.opcode in (OpCode.PING, OpCode.AUTH):
            refused = request.opcode == OpCode.AUTH and self.dice.random() < 0.1
            return pair.frame(request, err=-115 if refused else 0, zxid=0)
        error = self.dice.choice([0, 0, 0, 0, -101, -102, -110, -119, -127, -6])
        if error == -6:
            return pair.frame(request, err=error, zxid=-1)
        good = {
            OpCode.GET_DATA: DATA,
            OpCode.EXISTS: ExistsResponse(stat(czxid=pair.zxid, ephemeral_owner=pair.core.session_id)),
            OpCode.GET_CHILDREN: GetChildrenResponse(["x"]),
            OpCode.GET_CHILDREN2: GetChildren2Response(["q-0000000001"], stat(pzxid=pair.zxid)),
            OpCode.SET_DATA: SetDataResponse(stat()),
            OpCode.CREATE: CreateResponse("/e"),
            OpCode.SYNC: SyncResponse("/"),
            OpCode.ADD_WATCH: ErrorResponse(0),
            OpCode.SET_ACL: SetACLResponse(stat()),
            OpCode.MULTI: MultiResponse([CreateResult("/t", None)]),
            OpCode.WHO_AM_I: WhoAmIResponse([]),
        }.get(OpCode(request.opcode), EmptyResponse())
        if self.dice.random() < 0.03:
            return pair.frame(request, EmptyResponse())
        return pair.frame(request, None if error else good, err=error)

    def on_probed(self) -> None:
        """A search for a read-write server ends."""
        self.pair.core.probed(self.pair.now, self.dice.choice([None, HOST]))


@pytest.mark.parametrize("block", range(8))
def test_whatever_happens_the_table_is_kept_nothing_is_raised_and_every_call_ends_once(block: int) -> None:
    for seed in range(block * 40, (block + 1) * 40):
        try:
            Storm(seed).run()
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
