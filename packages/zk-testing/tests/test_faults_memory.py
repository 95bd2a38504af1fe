"""The language of faults in front of a server in memory: every word, in virtual time."""

from __future__ import annotations

import pytest
from embedded_client import Talker

import zk_testing
from zk_testing import MemoryServer, Settings
from zk_testing.embedded import MemoryEnsemble
from zk_testing.embedded.settings import EnsembleSettings
from zk_testing.errors import NotSeenError, TestingError
from zk_testing.faults import FaultLanguage, MemoryFaults
from zk_wire import (
    OPEN_ACL_UNSAFE,
    CreateMode,
    CreateRequest,
    Exchange,
    ExistsRequest,
    GetDataRequest,
    SetDataRequest,
)

ROOT = GetDataRequest("/", False)
CREATE = CreateRequest("/a", b"", OPEN_ACL_UNSAFE, 0)


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer(Settings(version="3.9"))


@pytest.fixture
def faults(server: MemoryServer) -> MemoryFaults:
    return MemoryFaults(server)


@pytest.fixture
def client(faults: MemoryFaults) -> Talker:
    return Talker(faults)  # type: ignore[arg-type]


@pytest.fixture
def witness(server: MemoryServer) -> Talker:
    """A client past the proxy."""
    return Talker(server)


def exists(witness: Talker, path: str = "/a") -> bool:
    return witness.code(ExistsRequest(path, False)) == 0


def answered(client: Talker, exchange: Exchange[object]) -> bool:
    assert client.closed or not client.closed  # reads what has come
    return exchange.reply is not None or exchange.error != 0


# Passing and losing


def test_without_faults_everything_is_answered_at_once(client: Talker, faults: MemoryFaults) -> None:
    assert client.create("/a") == "/a"
    assert [(p.direction, p.kind, p.path) for p in faults.record][2:] == [
        ("to_server", "create", "/a"),
        ("to_client", "create", "/a"),
    ]


def test_the_times_of_the_record_are_the_servers(client: Talker, faults: MemoryFaults, server: MemoryServer) -> None:
    faults.advance(1.5)
    client.ask(ROOT)
    assert faults.record[-1].time == pytest.approx(faults.record[0].time + 1.5)
    assert faults.record[-1].time == server.now_ms / 1000


@pytest.mark.parametrize("then", ["cut", "reset"])
def test_a_lost_reply_leaves_the_node_and_ends_the_connection(
    client: Talker, faults: MemoryFaults, witness: Talker, then: str
) -> None:
    fault = faults.lose_reply("create", then=then)  # type: ignore[arg-type]
    exchange = client.exchange(CREATE)
    assert client.closed and not answered(client, exchange)
    assert exists(witness)
    assert fault.wait().lost
    assert client.line.reset is (then == "reset")  # type: ignore[attr-defined]


def test_a_lost_request_leaves_nothing(client: Talker, faults: MemoryFaults, witness: Talker) -> None:
    faults.lose_request("create")
    client.exchange(CREATE)
    assert client.closed
    assert not exists(witness)


def test_a_frozen_loss_is_silent_for_good(client: Talker, faults: MemoryFaults, witness: Talker) -> None:
    faults.lose_reply("create", then="freeze")
    client.exchange(CREATE)
    later = client.exchange(ROOT)
    faults.advance(5.0)
    assert exists(witness)
    assert not client.closed and not answered(client, later)
    faults.heal()
    assert client.closed


@pytest.mark.parametrize(
    ("word", "of", "applied", "answers"),
    [
        ("cut_before", "request", False, False),
        ("cut_inside", "request", False, False),
        ("cut_after", "request", True, False),
        ("cut_before", "reply", True, False),
        ("cut_inside", "reply", True, False),
        ("cut_after", "reply", True, True),
    ],
)
def test_a_cut_is_exactly_where_it_was_asked_for(
    client: Talker, faults: MemoryFaults, witness: Talker, word: str, of: str, applied: bool, answers: bool
) -> None:
    getattr(faults, word)("create", 2, of=of)
    client.create("/first")
    exchange = client.exchange(CREATE)
    assert client.closed
    assert answered(client, exchange) is answers
    assert exists(witness) is applied
    assert exists(witness, "/first")
    assert faults.connections == 0


def test_a_lost_reply_was_struck_by_the_rule_that_lost_it_and_no_other(client: Talker, faults: MemoryFaults) -> None:
    late, lost = faults.delay(0.5, "create"), faults.lose_reply("create")
    client.exchange(CREATE)
    assert (late.struck, len(lost.struck)) == ((), 1)
    assert faults.record[-1].fault == lost.line


def test_a_cut_inside_delivers_so_many_bytes(client: Talker, faults: MemoryFaults) -> None:
    faults.cut_inside("get_data", after_bytes=7)
    client.line.send(client.wire.send(Exchange.of(ROOT)))
    assert len(client.line.take()) == 7
    assert client.line.closed


def test_a_damaged_reply_is_as_long_as_the_whole_one(client: Talker, faults: MemoryFaults) -> None:
    client.create("/a", b"\x0f")
    faults.corrupt("get_data", at=24)
    assert client.ask(GetDataRequest("/a", False)).data == b"\xf0"
    assert client.ask(GetDataRequest("/a", False)).data == b"\x0f"


# Time


def test_a_delayed_reply_comes_at_its_time(client: Talker, faults: MemoryFaults) -> None:
    faults.delay(0.5, "get_data")
    exchange = client.exchange(ROOT)
    faults.advance(0.499)
    assert not answered(client, exchange)
    faults.advance(0.001)
    assert answered(client, exchange)


def test_a_delayed_request_arrives_at_its_time(client: Talker, faults: MemoryFaults, witness: Talker) -> None:
    faults.delay(0.5, "create", direction="to_server")
    client.exchange(CREATE)
    faults.advance(0.499)
    assert not exists(witness)
    faults.advance(0.001)
    assert exists(witness)


def test_what_is_behind_a_delayed_reply_waits_too(client: Talker, faults: MemoryFaults) -> None:
    faults.delay(0.5, "create", nth=1)
    client.exchange(CREATE)
    second = client.exchange(ROOT)
    assert not answered(client, second)
    faults.advance(0.5)
    assert answered(client, second)


def test_a_pause_holds_the_whole_connection_and_no_other(client: Talker, faults: MemoryFaults, witness: Talker) -> None:
    other = Talker(faults)  # type: ignore[arg-type]
    faults.pause(2.0, "create")
    exchange = client.exchange(CREATE)
    assert other.code(ROOT) == 0
    faults.advance(1.999)
    assert not exists(witness)
    faults.advance(0.001)
    assert answered(client, exchange)


def test_a_slow_line_passes_so_many_bytes_a_second(client: Talker, faults: MemoryFaults) -> None:
    client.create("/a", bytes(2000))
    faults.slow(1000, "get_data", direction="to_client")
    exchange = client.exchange(GetDataRequest("/a", False))
    faults.advance(1.9)
    assert not answered(client, exchange)
    faults.advance(0.2)
    assert answered(client, exchange)
    size = faults.record[-1].size
    assert faults.record[-1].time - faults.record[-2].time == pytest.approx(size / 1000, abs=0.01)


def test_a_chopped_frame_comes_in_pieces(client: Talker, faults: MemoryFaults) -> None:
    faults.chop(8, "get_data", pause=0.1, direction="to_client")
    client.line.send(client.wire.send(Exchange.of(ROOT)))
    pieces: list[int] = []
    while sum(pieces) < 92:  # 20 of the header, 4 of no data, 68 of the Stat
        pieces.append(len(client.line.take()))
        faults.advance(0.1)
    assert pieces == [8] * 11 + [4]


def test_frozen_nothing_passes_until_healed(client: Talker, faults: MemoryFaults, witness: Talker) -> None:
    faults.freeze()
    exchange = client.exchange(CREATE)
    faults.advance(5.0)
    assert not exists(witness)
    faults.heal()
    assert answered(client, exchange)


def test_frozen_to_the_client_requests_arrive(client: Talker, faults: MemoryFaults, witness: Talker) -> None:
    faults.freeze("to_client")
    exchange = client.exchange(CREATE)
    assert exists(witness)
    assert not answered(client, exchange)


def test_a_freeze_with_an_end_thaws_by_itself(client: Talker, faults: MemoryFaults, witness: Talker) -> None:
    faults.freeze(seconds=3.0)
    exchange = client.exchange(CREATE)
    faults.advance(2.999)
    assert not exists(witness)
    faults.advance(0.001)
    assert answered(client, exchange)


def test_healing_lets_what_is_late_pass_at_once(client: Talker, faults: MemoryFaults) -> None:
    faults.delay(60.0, "get_data")
    exchange = client.exchange(ROOT)
    faults.heal()
    assert answered(client, exchange)


# Connections


def test_cut_ends_every_connection_and_welcomes_new_ones(client: Talker, faults: MemoryFaults) -> None:
    faults.cut()
    assert client.closed
    assert Talker(faults, client.session).session == client.session  # type: ignore[arg-type]


def test_refused_connections_end_at_once_and_open_ones_go_on(client: Talker, faults: MemoryFaults) -> None:
    faults.refuse()
    assert faults.connect().closed
    assert client.code(ROOT) == 0


def test_not_listening_is_refused(faults: MemoryFaults) -> None:
    faults.refuse("not_listening")
    with pytest.raises(ConnectionRefusedError):
        faults.connect()
    faults.heal()
    assert not faults.connect().closed


def test_half_open_for_the_client_the_server_sees_it_leave(
    client: Talker, faults: MemoryFaults, server: MemoryServer
) -> None:
    faults.half_open(keep="client")
    exchange = client.exchange(ROOT)
    assert not client.closed and not answered(client, exchange)
    assert not server._connections


def test_half_open_for_the_server_the_client_sees_the_end(
    client: Talker, faults: MemoryFaults, server: MemoryServer
) -> None:
    faults.half_open(keep="server")
    assert client.closed
    assert len(server._connections) == 1
    faults.cut()
    assert not server._connections


def test_the_clients_end_is_passed_to_the_server(client: Talker, faults: MemoryFaults, server: MemoryServer) -> None:
    client.lose()
    assert faults.connections == 0
    assert not server._connections


def test_the_servers_end_is_passed_to_the_client(client: Talker, faults: MemoryFaults, server: MemoryServer) -> None:
    server.drop_connections()
    assert client.closed
    assert faults.connections == 0


# Sessions


@pytest.mark.parametrize("how", ["now", "silence"])
def test_an_expired_session_ends_with_its_nodes_and_its_connection(
    client: Talker, faults: MemoryFaults, server: MemoryServer, how: str
) -> None:
    client.create("/e", flags=CreateMode.EPHEMERAL)
    witness = Talker(server, timeout_ms=40_000)  # outlives the silence
    assert faults.expire_session(client.session[0], how=how) == (client.session[0],)  # type: ignore[arg-type]
    assert not exists(witness, "/e")
    assert client.closed
    assert not Talker(faults, client.session).connected  # type: ignore[arg-type]


def test_silence_takes_as_long_as_the_session_lives(client: Talker, faults: MemoryFaults, server: MemoryServer) -> None:
    before = server.now_ms
    faults.expire_session(how="silence")
    assert client.timeout_ms <= server.now_ms - before <= client.timeout_ms + 200  # a tick


def test_a_silence_that_is_too_short_expires_nothing(client: Talker, faults: MemoryFaults) -> None:
    with pytest.raises(NotSeenError, match=r"waited 1\.0 s for the server to end 1 of 1"):
        faults.expire_session(how="silence", timeout=1.0)
    assert client.code(ROOT) == 0


def test_a_session_without_a_connection_cannot_be_silent(client: Talker, faults: MemoryFaults) -> None:
    client.lose()
    with pytest.raises(TestingError, match="has no connection whose end would tell"):
        faults.expire_session(how="silence")


def test_a_moved_session_lives_on_and_its_connection_is_closed(client: Talker, faults: MemoryFaults) -> None:
    client.create("/e", flags=CreateMode.EPHEMERAL)
    faults.move_session()
    assert client.closed
    again = Talker(faults, client.session)  # type: ignore[arg-type]
    assert again.connected
    assert exists(again, "/e")


def test_a_refusal_for_a_wrong_password_is_no_end_of_the_session(client: Talker, faults: MemoryFaults) -> None:
    number, _password = client.session
    stranger = Talker(faults, (number, b"not the password"))  # type: ignore[arg-type]
    assert not stranger.connected and client.closed
    assert Talker(faults, client.session).connected  # type: ignore[arg-type]
    assert not Talker(faults, (number, b"not the password")).connected  # type: ignore[arg-type]
    assert faults.expire_session(number) == (number,)


def test_without_sessions_none_can_expire_or_move(faults: MemoryFaults) -> None:
    for act in (faults.expire_session, faults.move_session):
        with pytest.raises(TestingError, match="no session was opened through this proxy"):
            act()


def test_a_session_of_others_is_refused_with_the_known_ones(client: Talker, faults: MemoryFaults) -> None:
    with pytest.raises(TestingError, match=f"session 0x7 was not opened .* open are: 0x{client.session[0]:x}"):
        faults.expire_session(7)


def test_a_closed_session_is_forgotten(client: Talker, faults: MemoryFaults) -> None:
    assert faults.sessions == (client.session[0],)
    client.close_session()
    assert faults.sessions == ()


def test_a_refused_session_is_forgotten(client: Talker, faults: MemoryFaults, server: MemoryServer) -> None:
    server.expire_session(client.session[0])
    Talker(faults, client.session)  # type: ignore[arg-type]
    assert faults.sessions == ()


def test_no_password_shows(client: Talker, faults: MemoryFaults) -> None:
    client.auth("digest", b"user:secret")
    client.create("/a")
    (session,) = faults._core.sessions.choose(None)
    assert session.password == client.session[1]
    shown = f"{faults.record} {faults.history} {faults!r} {session!r} {faults._core.rulebook!r}"
    assert str(client.session[1]) not in shown
    assert client.session[1].hex() not in shown
    assert "secret" not in shown


# Where it is


def test_the_package_hands_out_both_proxies_by_name() -> None:
    assert zk_testing.MemoryFaults is MemoryFaults
    assert issubclass(zk_testing.FaultProxy, FaultLanguage)
    assert issubclass(MemoryFaults, FaultLanguage)


# Waiting


def test_waiting_lets_time_pass_until_it_has_happened(
    client: Talker, faults: MemoryFaults, server: MemoryServer
) -> None:
    fault = faults.delay(0.5, "get_data")
    before = server.now_ms
    client.exchange(ROOT)
    assert fault.wait().kind == "get_data"
    assert server.now_ms - before == 500


def test_waiting_in_vain_ends_after_its_virtual_time(faults: MemoryFaults, server: MemoryServer) -> None:
    before = server.now_ms
    with pytest.raises(NotSeenError, match=r"waited 3\.0 s for 1 x ping to_server"):
        faults.wait_for("ping", timeout=3.0)
    assert server.now_ms - before == 3000


def test_events_of_others_pass_with_their_delay(client: Talker, faults: MemoryFaults, witness: Talker) -> None:
    client.ask(GetDataRequest("/", True))
    faults.delay(0.5, "notification")
    witness.ask(SetDataRequest("/", b"", -1))
    assert client.heard() == []
    faults.advance(0.5)
    assert [path for _, path in client.heard()] == ["/"]


def test_an_event_due_on_the_way_is_delayed_from_its_own_time(
    client: Talker, faults: MemoryFaults, server: MemoryServer
) -> None:
    dying = Talker(server, timeout_ms=1000)
    dying.create("/e", flags=CreateMode.EPHEMERAL)
    client.ask(ExistsRequest("/e", True))
    faults.delay(0.1, "notification")
    faults.advance(3.0)
    assert [path for _, path in client.heard()] == ["/e"]
    at = faults.record[-1].time - faults.record[0].time
    assert 1.1 <= at <= 1.3  # expiry after 1.0 to 1.2 s, and the delay


# An ensemble


@pytest.fixture
def ensemble() -> MemoryEnsemble:
    ensemble = MemoryEnsemble(EnsembleSettings(size=3))
    ensemble.elect(1)
    ensemble.advance(1.0)
    return ensemble


class At:
    """One member behind a proxy, as a Talker connects to it."""

    def __init__(self, faults: MemoryFaults, number: int) -> None:
        self.faults = faults
        self.number = number

    def connect(self, host: str) -> object:
        return self.faults.connect(self.number, host)


def test_in_front_of_an_ensemble_it_is_the_network_to_every_member(ensemble: MemoryEnsemble) -> None:
    faults = MemoryFaults(ensemble)
    first, second = (Talker(At(faults, number)) for number in (1, 2))  # type: ignore[arg-type]
    faults.delay(0.5, "exists")
    exchange = second.exchange(ExistsRequest("/", False))
    assert first.create("/a") == "/a"
    assert not answered(second, exchange)
    faults.advance(0.5)
    assert answered(second, exchange)


def test_a_session_moved_to_another_member_leaves_a_stale_connection(ensemble: MemoryEnsemble) -> None:
    faults = MemoryFaults(ensemble)
    client = Talker(At(faults, 2))  # type: ignore[arg-type]
    faults.move_session(to=3)
    assert client.code(ROOT) == 0  # reads are answered
    exchange = client.exchange(CREATE)
    assert client.closed and not answered(client, exchange)
    assert Talker(At(faults, 2), client.session).code(ExistsRequest("/a", False)) == -101  # type: ignore[arg-type]


def test_a_session_of_an_ensemble_can_expire(ensemble: MemoryEnsemble) -> None:
    faults = MemoryFaults(ensemble)
    client = Talker(At(faults, 2))  # type: ignore[arg-type]
    assert faults.expire_session() == (client.session[0],)
    assert client.closed
    assert not Talker(At(faults, 3), client.session).connected  # type: ignore[arg-type]
