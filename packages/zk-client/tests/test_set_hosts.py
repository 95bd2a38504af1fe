"""Another list of hosts while connected: who leaves its server, for which one, and what becomes of the session."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from conftest import MakeClient
from corepair import DATA, CorePair
from live import States

from zk_client import Client, ConfigurationError, Host, SessionState
from zk_client._session.machine import CONNECTING, HANDSHAKE
from zk_client._session.rebalance import decide
from zk_client.hosts import HostList
from zk_testing import EmbeddedServer
from zk_testing.faults import FaultProxy
from zk_wire import GetDataRequest

CONNECTED, SUSPENDED = SessionState.CONNECTED, SessionState.SUSPENDED


def listed(names: str) -> list[Host]:
    return [Host(name, 1) for name in names]


def decided(before: str, after: str, mine: str, chance: float) -> tuple[str, str, float] | None:
    move = decide(listed(before), listed(after), lambda host: host.name == mine, chance)
    if move is None:
        return None
    return "".join(h.name for h in move.new), "".join(h.name for h in move.old), round(move.chance_of_new, 6)


@pytest.mark.parametrize(
    ("before", "after", "mine", "chance", "expected"),
    [
        # The list grew, my server is in it: move with probability 1 - 3/5, to a new one.
        ("abc", "abcde", "a", 0.39, ("de", "abc", 1.0)),
        ("abc", "abcde", "a", 0.41, None),
        # ... my server is gone.
        ("abc", "bcdef", "a", 0.99, ("def", "bc", 1.0)),
        # As long as before, or shorter, my server is in it.
        ("abc", "abc", "a", 0.0, None),
        ("abc", "abd", "a", 0.0, None),
        ("abcde", "abc", "a", 0.0, None),
        # ... my server is gone: old * (before - after) / (after * (before - old)).
        ("abcde", "bcd", "a", 0.5, ("", "bcd", 0.0)),
        ("abcde", "bcx", "a", 0.5, ("x", "bc", round(1 - 2 * 2 / (3 * 3), 6))),
        ("abc", "bcx", "a", 0.5, ("x", "bc", 1.0)),
        ("abc", "xyz", "a", 0.5, ("xyz", "", 1.0)),
        # My server was not in the old list either (a second change before the first move was made).
        ("abc", "abc", "z", 0.5, ("", "abc", 0.0)),
    ],
)
def test_the_decision_follows_the_table(
    before: str, after: str, mine: str, chance: float, expected: tuple[str, str, float] | None
) -> None:
    assert decided(before, after, mine, chance) == expected


@pytest.mark.parametrize(
    ("before", "after"), [("abc", "abcde"), ("abcde", "abc"), ("abc", "abd"), ("abcd", "abxyz"), ("abcde", "bcx")]
)
def test_clients_that_were_spread_evenly_are_again_and_no_more_move_than_must(before: str, after: str) -> None:
    clients = 3000
    load: Counter[str] = Counter()
    moved = 0
    for number in range(clients):
        mine = before[number % len(before)]
        chance = (number // len(before) * 0.6180339887) % 1.0
        move = decide(listed(before), listed(after), lambda host, mine=mine: host.name == mine, chance)
        if move is None:
            load[mine] += 1
            continue
        moved += 1
        hosts = HostList(listed(after))
        turn = number // len(before)
        # Each client has its lists in an order of its own.
        new, old = (rotated(part, turn) for part in (move.new, move.old))
        hosts.move(new, old, lambda n=number, m=move: (n * 0.7548776662) % 1.0 < m.chance_of_new)
        load[hosts.next().name] += 1
    assert set(load) == set(after)
    fair = clients / len(after)
    assert all(abs(count - fair) < 0.1 * fair for count in load.values()), load
    staying = len(set(before) & set(after))
    least = clients - staying * min(fair, clients / len(before))
    assert moved <= least * 1.05 + 1


def rotated(hosts: tuple[Host, ...], by: int) -> list[Host]:
    return [*hosts[by % len(hosts) :], *hosts[: by % len(hosts)]] if hosts else []


def names(hosts: HostList, count: int) -> str:
    return "".join(hosts.next().name for _ in range(count))


def test_a_move_tries_every_server_once_and_then_goes_round_as_ever() -> None:
    hosts = HostList(listed("abcd"))
    turns = iter([True, False, True])
    hosts.move(listed("cd"), listed("ab"), lambda: next(turns))
    assert names(hosts, 4) == "cadb"
    assert hosts.round_ended
    assert names(hosts, 4) == "abcd"


def test_a_move_ends_with_a_connection_that_worked() -> None:
    hosts = HostList(listed("abcd"))
    hosts.move(listed("cd"), listed("ab"), lambda: True)
    assert names(hosts, 1) == "c"
    hosts.restart(Host("c", 1))
    assert names(hosts, 4) == "abdc"


def test_hosts_to_fall_back_to_end_every_round_and_are_tried_once() -> None:
    hosts = HostList(listed("ab"), fallback=listed("bxy"))
    assert names(hosts, 8) == "abxyabxy"
    assert "".join(host.name for host in hosts.everyone) == "abxy"


def test_a_list_without_hosts_is_refused_and_the_old_one_stays() -> None:
    hosts = HostList(listed("ab"))
    with pytest.raises(ConfigurationError, match="at least one"):
        hosts.replace([])
    assert names(hosts, 2) == "ab"


# The core


def test_a_client_whose_server_is_gone_moves_at_once_and_its_requests_go_along() -> None:
    pair = CorePair("a:1,b:1")
    pair.open()
    call = pair.submit(pair.operations.get("/under-way"))
    pair.core.set_hosts(pair.now, listed("bc"), connect_timeout=1.0)
    pair.settle()
    assert pair.states[-1] is SUSPENDED
    assert "leaving a:1" in pair.reasons[-1]
    pair.reopen()
    assert pair.connects[-1].host == Host("c", 1)
    assert pair.connects[-1].timeout == 1.0
    pair.reply(pair.next(GetDataRequest), DATA)
    assert call.result()[0] == b"data"


def test_a_client_whose_server_is_known_by_another_name_stays() -> None:
    pair = CorePair("name:1,b:1")
    pair.open()
    pair.core.set_hosts(
        pair.now, [Host("10.0.0.7", 1), Host("b", 1)], connect_timeout=1.0, known_as=frozenset({"10.0.0.7"})
    )
    pair.settle()
    assert pair.states[-1] is CONNECTED
    pair.core.set_hosts(
        pair.now, [Host("10.0.0.7", 2), Host("b", 1)], connect_timeout=1.0, known_as=frozenset({"10.0.0.7"})
    )
    pair.settle()
    assert pair.states[-1] is SUSPENDED


def test_an_attempt_at_a_host_that_is_gone_is_given_up() -> None:
    for phase in (CONNECTING, HANDSHAKE):
        pair = CorePair("a:1")
        pair.start()
        if phase == HANDSHAKE:
            pair.connect()
        assert pair.core.phase == phase
        pair.core.set_hosts(pair.now, listed("b"), connect_timeout=1.0)
        pair.settle()
        pair.wait_for(0)
        assert pair.connects[-1].host == Host("b", 1)
        pair.open()
        assert pair.states[-1] is CONNECTED


def test_a_pause_between_rounds_ends_when_there_are_new_hosts() -> None:
    pair = CorePair("a:1")
    pair.start()
    for _ in range(6):
        pair.refuse()
        due = pair.core.deadline()
        assert due is not None
        pair.wait_for(due - pair.now)
    pair.refuse()
    pair.core.set_hosts(pair.now, listed("b"), connect_timeout=1.0)
    pair.wait_for(0)
    assert pair.connects[-1].host == Host("b", 1)


# On sockets, in every world


@pytest.fixture
def proxies() -> Iterator[list[FaultProxy]]:
    with EmbeddedServer() as server, FaultProxy(server) as a, FaultProxy(server) as b, FaultProxy(server) as c:
        yield [a, b, c]


def test_the_session_moves_to_the_new_servers_with_all_it_has(
    make_client: MakeClient, proxies: list[FaultProxy]
) -> None:
    a, b, c = proxies
    zk = make_client(a.hosts)
    zk.create("/mine", b"", ephemeral=True)
    session = zk.session_id
    states = States(zk)
    zk.set_hosts(f"{b.hosts},{c.hosts}")
    states.wait(SUSPENDED)
    states.wait(CONNECTED)
    assert zk.server_address[1] in (b.port, c.port)
    assert zk.session_id == session
    assert zk.exists("/mine") is not None
    a.wait_for_connections(0)


def test_a_client_whose_server_stays_stays_and_finds_the_new_ones_when_it_is_lost(
    make_client: MakeClient, proxies: list[FaultProxy]
) -> None:
    a, b, c = proxies
    zk = make_client(f"{a.hosts},{c.hosts}", randomize_hosts=False)
    states = States(zk)
    zk.set_hosts(f"{a.hosts},{b.hosts}")
    assert zk.exists("/") is not None
    assert zk.server_address[1] == a.port
    a.refuse()
    a.cut()
    states.wait(SUSPENDED)
    states.wait(CONNECTED)
    assert zk.server_address[1] == b.port


def test_hosts_may_be_set_before_the_start(make_client: MakeClient, proxies: list[FaultProxy]) -> None:
    zk = make_client("127.0.0.1:1", start=False)
    zk.set_hosts(proxies[0].hosts)
    zk.start()
    assert zk.server_address[1] == proxies[0].port
    assert proxies[0].hosts in repr(zk)


def test_the_chroot_cannot_change() -> None:
    zk = Client("a:1/app")
    zk.set_hosts("b:1/app")
    zk.set_hosts("c:1")
    with pytest.raises(ConfigurationError, match="chroot of a client cannot change"):
        zk.set_hosts("d:1/other")
    assert zk.hosts == (Host("c", 1),)
