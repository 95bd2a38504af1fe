"""Following the config node: which addresses it names, which of them are used, and when."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from conftest import MakeClient
from live import PATIENCE, States

from zk_client import Client, EventType, Host, SessionState, WatchedEvent
from zk_client.following import Follower, parse_config
from zk_testing import EmbeddedEnsemble
from zk_testing.cluster import Cluster

CONNECTED, SUSPENDED = SessionState.CONNECTED, SessionState.SUSPENDED


@pytest.mark.parametrize(
    ("line", "host"),
    [
        ("server.1=zk1.Example:2888:3888:participant;0.0.0.0:2181", Host("zk1.example", 2181)),
        ("server.1=10.0.0.1:2888:3888:participant;10.9.9.9:2182", Host("10.9.9.9", 2182)),
        ("server.1=10.0.0.1:2888:3888:observer;2181", Host("10.0.0.1", 2181)),
        ("server.1=10.0.0.1:2888:3888;2181", Host("10.0.0.1", 2181)),
        ("server.1=[2001:db8::1]:2888:3888:participant;[::]:2181", Host("2001:db8::1", 2181)),
        ("server.1=[2001:db8::1]:2888:3888:participant;[2001:db8::2]:2181", Host("2001:db8::2", 2181)),
        ("server.1=a:2888:3888|b:2888:3888:participant;0.0.0.0:2181", Host("a", 2181)),
        ("server.1=10.0.0.1:2888:3888:participant", None),  # its client port is in a file of its own
        ("server.1=10.0.0.1:2888:3888:participant;10.0.0.1:http", None),
        ("server.1=10.0.0.1:2888:3888:participant;10.0.0.1:99999", None),
        ("server.1", None),
        ("group.1=1:2:3", None),
    ],
)
def test_a_member_is_read_as_servers_write_it(line: str, host: Host | None) -> None:
    assert parse_config(line.encode() + b"\nversion=1a") == (26, () if host is None else (host,))


@pytest.mark.parametrize("data", [None, b"", b"\xff\xfe", b"version=nonsense"])
def test_what_is_no_configuration_names_nobody(data: bytes | None) -> None:
    assert parse_config(data) == (0, ())


# Alone


class _Call:
    """The read of the config node, answered when the test says so."""

    def __init__(self, client: FakeClient, watch: Callable[[object], object]) -> None:
        self.client = client
        self.watch = watch
        self.function: Callable[[Any], object] = print
        self._owner = client

    def add_done_callback(self, function: Callable[[Any], object]) -> None:
        self.function = function

    def exception(self) -> BaseException | None:
        return self.client.error

    def result(self) -> tuple[bytes, None]:
        return self.client.config, None


class FakeClient:
    """What a follower sees of a client."""

    def __init__(self) -> None:
        self.hosts = (Host("seed", 1),)
        self.operations: Any = self
        self.server_address: tuple[str, int] | None = ("10.0.0.1", 1)
        self.config = b""
        self.error: BaseException | None = None
        self.reads: list[_Call] = []
        self.asked: list[tuple[Host, ...]] = []
        self.answering: dict[Host, frozenset[str]] = {}
        self.used: list[tuple[tuple[Host, ...], tuple[Host, ...], frozenset[str]]] = []

    def get_config(self, watch: Callable[[object], object]) -> _Call:
        return _Call(self, watch)

    def submit(self, call: _Call) -> None:
        self.reads.append(call)

    def _check_servers(self, hosts: Sequence[Host], then: Callable[[Mapping[Host, frozenset[str]]], None]) -> None:
        self.asked.append(tuple(hosts))
        then({host: found for host, found in self.answering.items() if host in hosts})

    def _use_hosts(self, hosts: Sequence[Host], fallback: Sequence[Host], known_as: frozenset[str]) -> None:
        self.used.append((tuple(hosts), tuple(fallback), known_as))

    def says(self, *members: str, version: int) -> None:
        """The ensemble has this configuration, and the read under way is answered with it."""
        lines = [f"server.{n}={name}:2:3:participant;0.0.0.0:1" for n, name in enumerate(members)]
        self.config = "\n".join([*lines, f"version={version:x}"]).encode()
        call = self.reads.pop()
        call.function(call)
        self.last = call

    def change(self, kind: EventType = EventType.CHANGED) -> None:
        self.last.watch(WatchedEvent(kind, CONNECTED, "/zookeeper/config"))


A, B, C, SEED = Host("a", 1), Host("b", 1), Host("c", 1), Host("seed", 1)


@pytest.fixture
def client() -> FakeClient:
    client = FakeClient()
    client.answering = {A: frozenset({"10.0.0.1"}), B: frozenset({"10.0.0.2"})}
    return client


def test_only_members_that_answer_are_used_and_the_seeds_are_kept(client: FakeClient) -> None:
    Follower(client)(CONNECTED)
    client.says("a", "b", "c", version=1)
    assert client.used == [((A, B), (SEED,), frozenset({"a"}))]


def test_nothing_changes_when_no_member_answers(client: FakeClient) -> None:
    client.answering = {}
    Follower(client)(CONNECTED)
    client.says("a", "b", version=1)
    assert client.used == []


def test_a_member_that_did_not_answer_is_asked_again_with_the_next_connection_and_others_are_not(
    client: FakeClient,
) -> None:
    follower = Follower(client)
    follower(CONNECTED)
    client.says("a", "c", version=1)
    client.answering[C] = frozenset({"10.0.0.3"})
    follower(SUSPENDED)
    follower(CONNECTED)
    assert client.asked == [(A, C), (C,)]
    assert client.used[-1][0] == (A, C)
    follower(CONNECTED)
    assert len(client.asked) == 2


def test_a_change_is_read_and_used(client: FakeClient) -> None:
    Follower(client)(CONNECTED)
    client.says("a", version=1)
    client.change()
    client.says("b", version=2)
    assert [hosts for hosts, _, _ in client.used] == [(A,), (B,)]


def test_an_older_configuration_of_a_member_that_lags_behind_is_not_used(client: FakeClient) -> None:
    Follower(client)(CONNECTED)
    client.says("b", version=5)
    client.change()
    client.says("a", version=4)
    assert [hosts for hosts, _, _ in client.used] == [(B,)]


def test_each_session_is_read_for_and_each_reconnect_of_it_is_not(client: FakeClient) -> None:
    follower = Follower(client)
    follower(CONNECTED)
    client.says("a", version=1)
    follower(SUSPENDED)
    follower(CONNECTED)
    assert client.reads == []
    client.change(EventType.NONE)  # the session is over
    assert client.reads == []
    follower(CONNECTED)
    assert len(client.reads) == 1
    client.says("a", version=1)
    follower(SessionState.CONNECTING)  # as after a fork, which tells no watch
    follower(CONNECTED)
    assert len(client.reads) == 1


def test_a_node_that_cannot_be_read_is_read_with_the_next_connection(client: FakeClient) -> None:
    follower = Follower(client)
    follower(CONNECTED)
    client.error = OSError("no")
    client.says("a", version=1)
    assert client.used == []
    client.error = None
    follower(CONNECTED)
    client.says("a", version=1)
    assert len(client.used) == 1


# On ensembles


@pytest.fixture
def ensemble() -> Iterator[EmbeddedEnsemble]:
    with EmbeddedEnsemble(3) as ensemble:
        yield ensemble


def until(condition: Callable[[], bool], zk: Any) -> None:
    """Ask the server until something has happened that has no event of its own."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        zk.exists("/")


def hosts_of(zk: Any) -> set[int]:
    return {host.port for host in zk.handler.core.hosts.hosts}


def follow(make_client: MakeClient, ensemble: Any) -> None:
    """A client that was told of one member finds the others, and gets over the end of the one that serves it."""
    zk = make_client(ensemble[0].hosts, 10.0, follow_config=True)
    session = zk.session_id
    until(lambda: len(hosts_of(zk)) == 3, zk)
    zk.exists("/")  # it may have moved, to make room
    states = States(zk)
    serving = next(member for member in ensemble if member.port == zk.server_address[1])
    serving.stop()
    try:
        states.wait(SUSPENDED)
        states.wait(CONNECTED)
        assert zk.server_address[1] != serving.port
        assert zk.session_id == session
    finally:
        serving.start()


def test_one_member_is_enough_to_find_the_others(make_client: MakeClient, ensemble: EmbeddedEnsemble) -> None:
    follow(make_client, ensemble)


@pytest.mark.cluster
@pytest.mark.zk_leaks_allowed("sessions")  # its client is stopped behind it
def test_one_member_of_a_real_ensemble_is_enough_to_find_the_others(
    make_client: MakeClient, zk_cluster: Cluster
) -> None:
    follow(make_client, zk_cluster)


def test_a_client_leaves_a_member_that_has_left_the_ensemble(
    make_client: MakeClient, ensemble: EmbeddedEnsemble
) -> None:
    leaving = next(member for member in ensemble if member is not ensemble.leader())
    others = [member for member in ensemble if member is not leaving]
    seeds = ",".join(member.hosts for member in [leaving, *others[::-1]])  # in another order than the node's
    zk = make_client(seeds, 10.0, follow_config=True, randomize_hosts=False)
    states = States(zk)
    until(lambda: bool(zk.handler.core.hosts.hosts != zk.hosts), zk)
    assert zk.server_address[1] == leaving.port
    assert states.seen == []
    with Client(ensemble.hosts) as admin:
        admin.add_auth("digest", "super:test")
        admin.reconfig(leaving=str(leaving.number))
    states.wait(SUSPENDED)
    states.wait(CONNECTED)
    assert zk.server_address[1] != leaving.port
    assert hosts_of(zk) == {member.port for member in others}
    assert {host.port for host in zk.handler.core.hosts.fallback} == {leaving.port}
