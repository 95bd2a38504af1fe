"""Ensembles: a leader killed, a member frozen, all restarted in turn, reconfigured; read-only members."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from itertools import count

import pytest
from conftest import MakeClient
from live import PATIENCE, Background, Events, States, in_thread, servers
from worlds import Threads

from zk_client import (
    BadArgumentsError,
    BadVersionError,
    Client,
    EventType,
    NoAuthError,
    NotReadOnlyError,
    Outcome,
    ServerError,
    SessionExpiredError,
    SessionState,
)
from zk_testing import Choice
from zk_testing.cluster import Cluster
from zk_testing.faults import FaultProxy
from zk_testing.member import ZooKeeperServer
from zk_testing.stopwatch import Stopwatch
from zk_wire import NewConfigNoQuorumError

CONNECTED, READ_ONLY, SUSPENDED = SessionState.CONNECTED, SessionState.CONNECTED_READ_ONLY, SessionState.SUSPENDED


def member_of(client: Client, cluster: Cluster) -> ZooKeeperServer:
    """The member that serves a client."""
    assert client.server_address is not None
    return next(member for member in cluster if member.port == client.server_address[1])


@pytest.fixture
def top(zk_cluster: Cluster) -> str:
    """A fresh node of the ensemble."""
    with Client(zk_cluster.hosts, 10.0) as zk:
        return zk.create(f"/t-{uuid.uuid4().hex}")


def test_a_killed_leader_costs_no_acknowledged_write_and_hangs_nobody(
    world: Threads, zk_cluster: Cluster, make_client: MakeClient, top: str
) -> None:
    clients = [make_client(zk_cluster.hosts, 8.0) for _ in range(4)]
    stop = world.threading.Event()
    created: list[dict[str, Outcome]] = [{} for _ in range(8)]
    counters: list[list[Outcome]] = [[] for _ in range(8)]
    reads = [0] * 8
    background = Background()
    leader_is_gone = world.threading.Event()
    before, after = world.threading.Semaphore(0), world.threading.Semaphore(0)

    def attempt(action: Callable[[], object]) -> Outcome:
        try:
            action()
        except (ServerError, SessionExpiredError) as error:
            return error.outcome
        return Outcome.APPLIED

    def work(worker: int) -> None:
        zk = clients[worker % 4]
        node = f"{top}/counter-{worker}"
        for number in count():
            name = f"{top}/w{worker}-{number}"
            created[worker][name] = attempt(lambda name=name: zk.create(name))
            counters[worker].append(attempt(lambda: zk.set(node, b"")))
            if attempt(lambda: zk.get(node)) is Outcome.APPLIED:
                reads[worker] += 1
            (after if leader_is_gone.is_set() else before).release()
            if stop.is_set():
                return

    for worker in range(8):
        clients[0].create(f"{top}/counter-{worker}")
        background(lambda worker=worker: work(worker))
    for _ in range(24):
        assert before.acquire(timeout=60), "no progress before the leader was killed"
    leader = zk_cluster.leader()
    leader.kill()
    leader_is_gone.set()
    for _ in range(80):
        assert after.acquire(timeout=60), "no progress after the leader was killed"
    stop.set()
    background.join(60)

    checker = make_client(zk_cluster.hosts, 10.0)
    checker.sync(top)
    there = {f"{top}/{name}" for name in checker.get_children(top)}
    for worker in range(8):
        outcomes = created[worker]
        lost = {name for name, outcome in outcomes.items() if outcome is Outcome.APPLIED} - there
        phantoms = {name for name, outcome in outcomes.items() if outcome is Outcome.NOT_APPLIED} & there
        assert lost == set()
        assert phantoms == set()
        # A counter shows how many sets were applied; those told as applied must be in it, those not applied must not.
        version = checker.get(f"{top}/counter-{worker}")[1].version
        applied = counters[worker].count(Outcome.APPLIED)
        unknown = counters[worker].count(Outcome.UNKNOWN)
        assert applied <= version <= applied + unknown
        assert reads[worker] > 0


@pytest.mark.slow
def test_a_frozen_member_is_left_for_another_within_the_session(zk_cluster: Cluster, make_client: MakeClient) -> None:
    frozen = zk_cluster.followers()[0]
    hosts = [frozen.address, *(member.address for member in zk_cluster if member is not frozen)]
    zk = make_client(",".join(hosts), 3.0, randomize_hosts=False)
    mine = zk.create(f"/mine-{uuid.uuid4().hex}", ephemeral=True)
    session = zk.session_id
    states = States(zk)
    assert member_of(zk, zk_cluster) is frozen

    frozen.pause()

    begun = Stopwatch()
    calls = [zk.get_async("/") for _ in range(3)]
    assert begun.within(3.0, until=states.wait(SUSPENDED)), begun
    assert all(call.result(PATIENCE)[1].num_children > 0 for call in calls)
    states.wait(CONNECTED)  # listeners are told by the dispatcher, beside those who wait for replies
    assert states.seen == [SUSPENDED, CONNECTED]
    assert member_of(zk, zk_cluster) is not frozen
    stat = zk.exists(mine)
    assert stat is not None
    assert stat.owner_session_id == zk.session_id == session


def test_watches_survive_a_rolling_restart(
    world: Threads, zk_cluster: Cluster, make_client: MakeClient, top: str
) -> None:
    zk = make_client(zk_cluster.hosts, 20.0)
    other = make_client(zk_cluster.hosts, 20.0)
    zk.create(f"{top}/mine", ephemeral=True)
    session = zk.session_id
    data, missing, children = Events(), Events(), Events()
    tree = zk.watch(top, recursive=True)
    for turn, member in enumerate(zk_cluster):
        zk.get(top, watch=data)
        zk.exists(f"{top}/new-{turn}", watch=missing)
        zk.get_children(top, watch=children)
        world.outside(member.restart)
        other.set(top, b"%d" % turn)
        other.create(f"{top}/new-{turn}")
        assert data.wait(turn + 1)[-1].type is EventType.CHANGED
        assert missing.wait(turn + 1)[-1].type is EventType.CREATED
        assert children.wait(turn + 1)[-1].type is EventType.CHILD
    assert zk.session_id == session
    assert zk.exists(f"{top}/mine") is not None

    zk.sync(top)
    other.create(f"{top}/last")

    told = [tree.get(PATIENCE)]
    while told[-1] is not None and told[-1].path != f"{top}/last":
        told.append(tree.get(PATIENCE))
    assert told[-1] is not None
    assert told[-1].type is EventType.CREATED
    # The member it was connected to was restarted too, after which it was told to read again.
    assert any(event.type is EventType.NONE and event.state.is_connected for event in told if event is not None)


@pytest.mark.slow
def test_an_expiry_is_told_before_the_ensemble_gives_a_lock_away(
    world: Threads, zk_cluster: Cluster, make_client: MakeClient, top: str
) -> None:
    member = zk_cluster.followers()[0]
    with FaultProxy(member) as proxy:
        holder = make_client(proxy.hosts, 1.5)
        holder.create(f"{top}/lock", ephemeral=True)
        waiter = make_client(zk_cluster.leader().address, 10.0)
        gone = world.threading.Event()
        times: list[float] = []

        def deleted(event: object) -> None:
            times.append(time.monotonic())
            gone.set()

        waiter.sync(top)
        waiter.exists(f"{top}/lock", watch=deleted)
        states = States(holder)
        holder.sync(top)
        proxy.freeze()
        suspended = states.wait(SUSPENDED)
        pause = world.threading.Event()
        while (remaining := holder.lease_remaining) > 0:
            pause.wait(remaining)
        lease_over = time.monotonic()
        assert not gone.is_set()
        assert gone.wait(PATIENCE)
        print(
            f"session of {holder.session_timeout} s: suspended {times[0] - suspended:.3f} s and lease over "
            f"{times[0] - lease_over:.3f} s before the ensemble gave the lock away"
        )
        assert suspended < times[0]
        assert lease_over < times[0]
        states.wait(SessionState.EXPIRED)


def test_a_session_moves_between_members_with_its_nodes_and_watches(
    zk_cluster: Cluster, make_client: MakeClient, top: str
) -> None:
    zk = make_client(zk_cluster.hosts, 10.0)
    zk.create(f"{top}/mine", ephemeral=True)
    session = zk.session_id
    seen = Events()
    zk.get(top, watch=seen)
    visited = {zk.server_address}
    for _ in range(4):
        states = States(zk)
        zk.reconnect()
        states.wait(CONNECTED)
        visited.add(zk.server_address)
        assert zk.session_id == session
    assert len(visited) > 1
    assert seen.seen == []
    zk.set(top, b"")
    assert seen.wait()[0].type is EventType.CHANGED


@pytest.mark.worlds("threads")  # it is for the servers to keep
def test_sync_shows_what_another_client_wrote_on_another_member(
    zk_cluster: Cluster, make_client: MakeClient, top: str
) -> None:
    # A follower: a leader answers its own clients at once, perhaps before it has applied what a follower shows already.
    second = make_client((follower := zk_cluster.followers()[0]).address)
    first = make_client(next(member for member in zk_cluster if member is not follower).address)
    for number in range(50):
        first.create(f"{top}/{number}")
        second.sync(top)
        assert second.exists(f"{top}/{number}") is not None


@pytest.mark.worlds("threads")  # as in other worlds; and reconfiguring takes long
def test_the_configuration_names_every_member_and_refuses_what_it_cannot_do(
    zk_cluster: Cluster, make_client: MakeClient
) -> None:
    zk = make_client(f"{zk_cluster.hosts}/some/chroot")
    data, stat = zk.get_config()
    assert data is not None
    assert all(member.server_line.encode() in data for member in zk_cluster)
    version = int(data.rpartition(b"version=")[2], 16)

    with pytest.raises(BadVersionError):
        zk.reconfig(leaving="3", from_config=version + 5)
    with pytest.raises(BadArgumentsError):
        zk.reconfig(joining="server.9=nonsense")
    with pytest.raises((NoAuthError, NewConfigNoQuorumError)):
        zk.reconfig(leaving="3")
    zk.add_auth("digest", "super:test")
    changed = Events()
    zk.get_config(watch=changed)
    leaving = next(member for member in zk_cluster if member is not zk_cluster.leader())
    data, _ = zk.reconfig(leaving=str(leaving.number))
    assert data is not None
    assert leaving.server_line.encode() not in data
    assert changed.wait()[0].path == "/zookeeper/config"
    data, _ = zk.reconfig_async(joining=leaving.server_line).result(PATIENCE)
    assert data is not None
    assert leaving.server_line.encode() in data
    assert stat.aversion == -1


# Read-only members


# Above the world's scope: who changes worlds keeps the servers.
@pytest.fixture(scope="session", params=["3.6", "newest"])
def pair(zk_choice: Choice, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Two members. Those of 3.7 and later need local sessions to serve without a quorum."""
    with servers(zk_choice, request.param, 2, read_only_mode=True, local_sessions=request.param != "3.6") as cluster:
        yield cluster


@pytest.fixture
def half(pair: Cluster) -> Iterator[Cluster]:
    """Two members of which one is stopped, so that the other can only be read."""
    with Client(pair.hosts, 10.0) as zk:
        zk.create("/kept", b"data")
    pair[1].stop()
    yield pair
    pair[1].start()
    with Client(pair.hosts, 10.0) as zk:
        zk.delete("/kept")


@pytest.mark.slow
@pytest.mark.worlds("threads")  # it is for the servers to refuse
def test_a_member_without_a_quorum_can_be_read_and_not_written(half: Cluster, make_client: MakeClient) -> None:
    zk = make_client(half.hosts, 10.0, start=False, read_only=True)
    zk.start(timeout=30)
    assert zk.state is READ_ONLY
    assert zk.connected
    assert zk.server_address == ("127.0.0.1", half[0].port)
    assert zk.get("/kept")[0] == b"data"
    for write in (
        lambda: zk.set("/kept", b"lost"),
        lambda: zk.create("/never"),
        lambda: zk.delete("/kept"),
        lambda: zk.transaction().delete("/kept").commit(),
    ):
        with pytest.raises(NotReadOnlyError) as refused:
            write()
        assert refused.value.outcome is Outcome.NOT_APPLIED


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["newest"], indirect=True)
def test_a_read_only_client_moves_to_a_quorum_and_others_wait_for_it(half: Cluster, make_client: MakeClient) -> None:
    reader = make_client(half.hosts, 10.0, start=False, read_only=True)
    states = States(reader)
    reader.start(timeout=30)
    assert reader.state is READ_ONLY
    writer = make_client(half.hosts, 10.0, start=False)
    writer.start_async()
    created = in_thread(lambda: writer.create("/new", ephemeral=True))
    assert not writer.wait_connected(0.5)

    half[1].start(wait=False)

    states.wait(CONNECTED, timeout=30)
    assert reader.set("/kept", b"new").version == 1
    assert created() == "/new"
    assert writer.state is CONNECTED
