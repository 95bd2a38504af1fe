"""Random faults and writes on an ensemble in memory: what an ensemble promises holds all the same."""

from __future__ import annotations

from typing import Any

from embedded_client import OPEN, Talker
from ensemble_talk import answered, ensemble_of, state_of, talk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zk_testing.embedded import MemoryEnsemble
from zk_testing.embedded.transactions import Transaction, apply
from zk_testing.embedded.tree import CONFIG, Tree
from zk_testing.errors import ClusterError
from zk_wire import CreateRequest, Exchange, GetChildrenRequest, SetDataRequest, SyncRequest

numbers = st.integers(1, 5)
steps = st.one_of(
    *[st.tuples(st.just("write"), numbers, st.integers(0, 2)) for _ in range(4)],
    *[st.tuples(st.just("advance"), st.sampled_from([0.01, 0.03, 0.5, 2.1, 2.5])) for _ in range(3)],
    st.tuples(st.just("read"), numbers, st.booleans()),
    st.tuples(st.just("partition"), st.sets(numbers, min_size=1, max_size=4)),
    st.tuples(st.just("isolate"), numbers),
    st.tuples(st.just("reconnect")),
    st.tuples(st.just("stop"), numbers),
    st.tuples(st.just("start"), numbers),
    st.tuples(st.just("pause"), numbers),
    st.tuples(st.just("resume"), numbers),
    st.tuples(st.just("lag"), numbers, st.sampled_from([0.0, 0.05, 0.5])),
    st.tuples(st.just("hold"), numbers),
    st.tuples(st.just("let_go"), numbers),
    st.tuples(st.just("elect"), st.none() | numbers),
    st.tuples(st.just("move"), numbers, numbers),
    st.tuples(st.just("expire"), numbers),
)

# What is told to fail most often, as one: random single steps seldom make it.
stories = st.one_of(
    st.builds(
        lambda n, m: [
            ("isolate", n),
            ("write", n, 0),
            ("advance", 2.5),
            ("write", m, 0),
            ("reconnect",),
            ("elect", None),
            ("advance", 0.03),
        ],
        numbers,
        numbers,
    ),
    st.builds(
        lambda n, m: [
            ("stop", n),
            ("advance", 0.03),
            ("write", m, 0),
            ("start", n),
            ("elect", None),
            ("advance", 0.03),
        ],
        numbers,
        numbers,
    ),
    st.builds(lambda n, m: [("hold", n), ("write", m, 0), ("move", m, n), ("read", n, False)], numbers, numbers),
    st.builds(
        lambda n, m: [("pause", n), ("write", n, 0), ("advance", 2.1), ("write", m, 0), ("resume", n)], numbers, numbers
    ),
)
plans = st.lists(st.one_of(steps.map(lambda step: [step]), stories), min_size=15, max_size=40).map(
    lambda parts: [step for part in parts for step in part]
)


class Run:
    """One ensemble, a client for each member, and what was promised to them."""

    def __init__(self, size: int) -> None:
        self.ensemble: MemoryEnsemble = ensemble_of(size)
        self.size = size
        self.clients: dict[int, Talker] = {}
        self.writes: list[tuple[Talker, Exchange[Any], CreateRequest]] = []
        self.zxids: dict[Talker, int] = {}
        self.history: list[Transaction] = []
        self.names = 0

    def client(self, number: int) -> Talker | None:
        """A client at a member, a new one when it has lost its connection; None while it gets none."""
        client = self.clients.get(number)
        if client is not None and not client.closed and client.connected:
            return client
        state = self.ensemble.core.member(number)
        if client is not None and not client.closed and (state.paused or client.timeout_ms == 0):
            return None  # still waiting for its session
        client = talk(self.ensemble, number, timeout_ms=20_000)
        self.clients[number] = client
        return client if client.connected else None

    def do(self, step: tuple[Any, ...]) -> None:
        ensemble = self.ensemble
        kind, *arguments = step
        if arguments and isinstance(arguments[0], int) and not isinstance(arguments[0], bool):
            arguments[0] = (arguments[0] - 1) % self.size + 1
        match kind, *arguments:
            case "write", number, flags:
                client = self.client(number)
                if client is not None:
                    self.names += 1
                    request = CreateRequest(f"/n{self.names}-", str(self.names).encode(), OPEN, flags)
                    self.writes.append((client, client.exchange(request), request))
            case "read", number, sync:
                client = self.client(number)
                if client is not None:
                    client.exchange(SyncRequest("/") if sync else GetChildrenRequest("/", True))
            case "advance", seconds:
                ensemble.advance(seconds)
            case "partition", group:
                ensemble.partition({(number - 1) % self.size + 1 for number in group})
            case "reconnect":
                ensemble.reconnect()
            case "lag", number, seconds:
                ensemble.lag(number, seconds)
            case "pause" | "resume", number:
                if ensemble.core.member(number).state.name != "STOPPED":
                    getattr(ensemble, kind)(number)
            case "elect", number:
                try:
                    ensemble.elect(number)
                except ClusterError:
                    pass
            case "move", number, other:
                client = self.clients.get(number)
                if client is not None and client.connected:
                    other = (other - 1) % self.size + 1
                    last = self.zxids.get(client, 0)
                    moved = talk(ensemble, other, session=client.session, last_zxid=last, timeout_ms=20_000)
                    self.zxids[moved] = last
                    self.clients[other] = moved
            case "expire", number:
                client = self.clients.get(number)
                try:
                    if client is not None:
                        ensemble.expire_session(client.session[0])
                except (ClusterError, KeyError):
                    pass
            case kind, number:
                getattr(ensemble, kind)(number)

    def check(self) -> None:
        """What holds at every moment."""
        log = self.ensemble.core.log
        entries = log.since(0)
        assert entries[: len(self.history)] == self.history, "history was changed"
        self.history = list(entries)
        assert [entry.zxid for entry in entries] == sorted({entry.zxid for entry in entries})
        for member in self.ensemble.members:
            replayed = Tree()
            replayed.nodes[CONFIG] = member.tree.nodes[CONFIG]
            for entry in entries[: member.applied]:
                apply(replayed, entry)
            assert state_of(replayed) == state_of(member.tree), f"{member!r} has another history"
        leaders = [m for m in self.ensemble.members if m.role == "leader" and self.ensemble.core._has_quorum(m)]
        assert len(leaders) <= 1
        for client in {*self.clients.values(), *(write[0] for write in self.writes)}:
            self.read_zxids(client)

    def read_zxids(self, client: Talker) -> None:
        client._pump()
        for event in client.events:
            if isinstance(event, Exchange) and event.zxid > 0:
                assert event.zxid >= self.zxids.get(client, 0), "a zxid went backwards"
                self.zxids[client] = event.zxid
        client.events = [event for event in client.events if not isinstance(event, Exchange)]

    def heal(self) -> None:
        ensemble = self.ensemble
        for member in ensemble.members:
            if member.paused:
                ensemble.resume(member.number)
            ensemble.start(member.number)
            ensemble.lag(member.number, 0)
            ensemble.let_go(member.number)
        ensemble.reconnect()
        ensemble.advance(5)

    def check_end(self) -> None:
        """What holds when everything is well again."""
        assert self.ensemble.leader() is not None
        trees = [state_of(member.tree) for member in self.ensemble.members]
        assert all(tree == trees[0] for tree in trees)
        assert all(member.applied == len(self.ensemble.core.log) for member in self.ensemble.members)
        sessions = set(self.ensemble.core.sessions())
        assert set(self.ensemble.members[0].tree.ephemerals) <= sessions
        nodes = self.ensemble.members[0].tree.nodes
        for client, exchange, request in self.writes:
            if not answered(client, exchange) or exchange.error or exchange.reply is None:
                continue
            made = exchange.reply.path
            if request.flags != 1 or client.session[0] in sessions:
                assert made in nodes, "an acknowledged write is lost"
                assert nodes[made].data == request.data


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([2, 3, 5]), plans)
def test_faults_cost_no_promise(size: int, plan: list[tuple[Any, ...]]) -> None:
    run = Run(size)
    for number in range(1, size + 1):
        run.client(number)
    for step in plan:
        run.do(step)
        run.check()
    run.heal()
    run.check()
    run.check_end()
    talker = talk(run.ensemble, 1)
    talker.create("/still-alive")
    talker.ask(SetDataRequest("/still-alive", b"", -1))
