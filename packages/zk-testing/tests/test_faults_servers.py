"""The fault proxy in front of an embedded and a real server: what the server did is there to be read past the proxy."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from zk_testing.errors import ConversationError, SessionRefusedError, TestingError
from zk_testing.faults import FaultProxy
from zk_testing.member import ZooKeeperServer
from zk_testing.rawclient import RawClient
from zk_wire import (
    OPEN_ACL_UNSAFE,
    Create2Request,
    CreateMode,
    CreateRequest,
    ExistsRequest,
    GetChildrenRequest,
    GetDataRequest,
    MarshallingError,
    NodeExistsError,
    NoNodeError,
    RemoteProtocolError,
    SetDataRequest,
)

pytestmark = pytest.mark.zk("embedded", "real")


@pytest.fixture
def witness(zk_server: ZooKeeperServer) -> Iterator[RawClient]:
    """A client that sees the server without the proxy."""
    with RawClient(zk_server.address) as raw:
        yield raw


def test_a_create_whose_reply_was_lost_is_applied(zk_faults: FaultProxy, zk_chroot: str, witness: RawClient) -> None:
    zk_faults.lose_reply("create")
    raw = RawClient(zk_faults.address)
    with pytest.raises(ConversationError):
        raw.request(Create2Request(f"{zk_chroot}/a", b"x", OPEN_ACL_UNSAFE, 0))
    raw.close()
    assert witness.request(GetDataRequest(f"{zk_chroot}/a", False)).data == b"x"


def test_a_create_whose_request_was_lost_is_not_applied(
    zk_faults: FaultProxy, zk_chroot: str, witness: RawClient
) -> None:
    zk_faults.lose_request("create", nth=2)
    raw = RawClient(zk_faults.address)
    # The server need not read what comes right before a cut, so the first one's reply is waited for.
    raw.wait(raw.send(CreateRequest(f"{zk_chroot}/a", b"", OPEN_ACL_UNSAFE, 0)))
    second = raw.send(CreateRequest(f"{zk_chroot}/b", b"", OPEN_ACL_UNSAFE, 0))
    with pytest.raises(ConversationError):
        raw.wait(second)
    raw.close()
    with RawClient(zk_faults.address, session=raw.session) as again:
        with pytest.raises(NodeExistsError):
            again.request(CreateRequest(f"{zk_chroot}/a", b"", OPEN_ACL_UNSAFE, 0))
        with pytest.raises(NoNodeError):
            again.request(ExistsRequest(f"{zk_chroot}/b", False))


def test_frozen_to_the_client_a_write_is_applied_and_answered_after_healing(
    zk_faults: FaultProxy, zk_chroot: str, witness: RawClient
) -> None:
    with RawClient(zk_faults.address) as raw:
        witness.request(GetDataRequest(zk_chroot, True))
        zk_faults.freeze("to_client")
        exchange = raw.send(SetDataRequest(zk_chroot, b"new", -1))
        witness.wait_notification()
        zk_faults.heal()
        assert raw.wait(exchange).stat.version == 1


def test_a_frozen_client_loses_its_session_and_its_ephemeral_node(
    zk_faults: FaultProxy, zk_chroot: str, witness: RawClient
) -> None:
    raw = RawClient(zk_faults.address, session_timeout=0.4)
    raw.request(CreateRequest(f"{zk_chroot}/e", b"", OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL))
    witness.request(GetChildrenRequest(zk_chroot, True))
    zk_faults.freeze()
    witness.wait_notification()
    zk_faults.heal()
    raw.wait_closed()
    raw.close()


def test_a_lost_notification_is_the_end_of_the_connection(
    zk_faults: FaultProxy, zk_chroot: str, witness: RawClient
) -> None:
    fault = zk_faults.lose_reply("notification")
    with RawClient(zk_faults.address) as raw:
        raw.request(GetDataRequest(zk_chroot, True))
        witness.request(SetDataRequest(zk_chroot, b"", -1))
        with pytest.raises(ConversationError):
            raw.wait_notification()
    assert fault.wait().kind == "notification"


def test_the_four_letter_words_of_a_server_pass(zk_faults: FaultProxy) -> None:
    with socket.create_connection(("127.0.0.1", zk_faults.port), 5) as connection:
        connection.sendall(b"isro")
        assert connection.recv(100) == b"rw"


# Cuts: where exactly


@pytest.mark.parametrize("how", ["fin", "reset"])
@pytest.mark.parametrize(
    ("word", "of", "applied", "answered"),
    [
        ("cut_before", "request", False, False),
        ("cut_after", "request", True, False),
        ("cut_inside", "request", False, False),
        ("cut_before", "reply", True, False),
        ("cut_inside", "reply", True, False),
        ("cut_after", "reply", True, True),
    ],
)
def test_a_cut_is_exactly_where_it_was_asked_for(
    zk_faults: FaultProxy,
    zk_chroot: str,
    witness: RawClient,
    word: str,
    of: str,
    applied: bool,
    answered: bool,
    how: str,
) -> None:
    witness.request(GetChildrenRequest(zk_chroot, True))
    raw = RawClient(zk_faults.address)
    fault = getattr(zk_faults, word)("create", of=of, how=how)
    exchange = raw.send(CreateRequest(f"{zk_chroot}/a", b"", OPEN_ACL_UNSAFE, 0))
    if answered:
        raw.wait(exchange)
    with pytest.raises(ConversationError):
        raw.wait(raw.send(ExistsRequest(zk_chroot, False)))
    raw.close()
    assert fault.wait().lost is (not applied or (of == "reply" and not answered))
    if applied:
        witness.wait_notification()  # a server may do it after the end of the connection
    # A server answers a session's later requests after its earlier ones, on whatever connection they came.
    with RawClient(zk_faults.address, session=raw.session) as again:
        children = again.request(GetChildrenRequest(zk_chroot, False)).children
    assert children == (["a"] if applied else [])


# Bad bytes


@pytest.mark.parametrize("damage", ["length", "truncate", "garbage"])
def test_a_damaged_reply_is_an_error_and_the_write_is_applied(
    zk_faults: FaultProxy, zk_chroot: str, witness: RawClient, damage: str
) -> None:
    zk_faults.corrupt("create", damage=damage)  # type: ignore[arg-type]
    raw = RawClient(zk_faults.address)
    with pytest.raises(RemoteProtocolError):
        raw.request(Create2Request(f"{zk_chroot}/a", b"", OPEN_ACL_UNSAFE, 0))
    raw.close()
    witness.request(ExistsRequest(f"{zk_chroot}/a", False))


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        ("length", ConversationError),  # no frame: the server ends the connection
        ("truncate", MarshallingError),
        ("garbage", RemoteProtocolError),  # an answer to a request that nobody has sent
    ],
)
def test_a_damaged_request_is_not_applied(
    zk_faults: FaultProxy, zk_chroot: str, witness: RawClient, damage: str, error: type[Exception]
) -> None:
    zk_faults.corrupt("create", damage=damage, of="request")  # type: ignore[arg-type]
    raw = RawClient(zk_faults.address)
    with pytest.raises(error):
        raw.request(Create2Request(f"{zk_chroot}/a", b"", OPEN_ACL_UNSAFE, 0))
    raw.close()
    with pytest.raises(NoNodeError):
        witness.request(ExistsRequest(f"{zk_chroot}/a", False))


def test_a_flipped_byte_of_data_arrives_flipped(zk_faults: FaultProxy, zk_chroot: str, witness: RawClient) -> None:
    witness.request(SetDataRequest(zk_chroot, b"\x0f", -1))
    zk_faults.corrupt("get_data", at=24)  # behind length, xid, zxid, error, and the length of the data
    with RawClient(zk_faults.address) as raw:
        assert raw.request(GetDataRequest(zk_chroot, False)).data == b"\xf0"


# Slow lines


def test_a_server_understands_what_comes_byte_by_byte(zk_faults: FaultProxy, zk_chroot: str) -> None:
    zk_faults.chop(1, pause=0.0001)
    with RawClient(zk_faults.address) as raw:
        raw.request(Create2Request(f"{zk_chroot}/a", b"x", OPEN_ACL_UNSAFE, 0))
        assert raw.request(GetDataRequest(f"{zk_chroot}/a", False)).data == b"x"


def test_a_slow_line_takes_its_time(zk_faults: FaultProxy, zk_chroot: str, witness: RawClient) -> None:
    witness.request(SetDataRequest(zk_chroot, bytes(2_000), -1))
    with RawClient(zk_faults.address) as raw:
        zk_faults.slow(20_000, direction="to_client")
        assert raw.request(GetDataRequest(zk_chroot, False)).data == bytes(2_000)
    asked, answered = zk_faults.wait_for(lambda passed: passed.kind == "get_data", 2)
    assert 0.1 <= answered.time - asked.time < 2.0


def test_a_delayed_reply_comes_late_and_what_is_behind_it_too(zk_faults: FaultProxy, zk_chroot: str) -> None:
    with RawClient(zk_faults.address) as raw:
        fault = zk_faults.delay(0.1, "exists", nth=1)
        first, second = raw.send(ExistsRequest(zk_chroot, False)), raw.send(GetDataRequest(zk_chroot, False))
        raw.wait(first)
        raw.wait(second)
    asked = zk_faults.wait_for("exists")[0]
    late, behind = fault.wait(), zk_faults.wait_for("get_data", direction="to_client")[0]
    assert 0.1 <= late.time - asked.time < 2.0
    assert late.number < behind.number


def test_a_pause_shorter_than_the_session_loses_nothing(zk_faults: FaultProxy, zk_chroot: str) -> None:
    with RawClient(zk_faults.address) as raw:
        zk_faults.pause(0.1, "create")
        raw.request(Create2Request(f"{zk_chroot}/a", b"", OPEN_ACL_UNSAFE, 0))
    assert zk_faults.history == ("pause 0.1 create nth=1",)


# Connections


@pytest.mark.parametrize("how", ["fin", "reset"])
def test_a_cut_connection_leaves_the_session(zk_faults: FaultProxy, zk_chroot: str, how: str) -> None:
    raw = RawClient(zk_faults.address)
    ephemeral(raw, f"{zk_chroot}/e")
    zk_faults.cut(how)  # type: ignore[arg-type]
    raw.wait_closed()
    raw.close()
    with RawClient(zk_faults.address, session=raw.session) as again:
        assert again.request(ExistsRequest(f"{zk_chroot}/e", False)).stat.ephemeral_owner == raw.session_id


@pytest.mark.parametrize("how", ["close", "not_listening"])
def test_while_refusing_open_connections_go_on(zk_faults: FaultProxy, zk_chroot: str, how: str) -> None:
    address = zk_faults.address
    with RawClient(address) as raw:
        zk_faults.refuse(how)  # type: ignore[arg-type]
        with pytest.raises((ConversationError, ConnectionRefusedError)):
            RawClient(address)
        raw.request(ExistsRequest(zk_chroot, False))
        zk_faults.heal()
        RawClient(address, session=raw.session).close()


def test_half_open_for_the_client_the_server_lets_its_session_expire(
    zk_faults: FaultProxy, zk_chroot: str, witness: RawClient
) -> None:
    raw = RawClient(zk_faults.address, session_timeout=0.4)
    ephemeral(raw, f"{zk_chroot}/e")
    witness.request(ExistsRequest(f"{zk_chroot}/e", True))
    zk_faults.half_open(keep="client")
    witness.wait_notification()
    assert zk_faults.connections == 1  # the client has heard nothing
    zk_faults.heal()
    raw.wait_closed()
    raw.close()


def test_half_open_for_the_server_the_client_sees_the_end(zk_faults: FaultProxy) -> None:
    raw = RawClient(zk_faults.address)
    zk_faults.half_open(keep="server")
    raw.wait_closed()
    raw.close()
    assert zk_faults.connections == 1


# Sessions


def ephemeral(raw: RawClient, path: str) -> None:
    raw.request(CreateRequest(path, b"", OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL))


@pytest.mark.parametrize("how", ["now", "silence"])
def test_an_expired_session_ends_with_its_nodes_and_its_connection(
    zk_faults: FaultProxy, zk_chroot: str, witness: RawClient, how: str
) -> None:
    raw = RawClient(zk_faults.address, session_timeout=0.4)
    ephemeral(raw, f"{zk_chroot}/e")
    assert zk_faults.expire_session(how=how) == (raw.session_id,)  # type: ignore[arg-type]
    with pytest.raises(NoNodeError):
        witness.request(ExistsRequest(f"{zk_chroot}/e", False))
    raw.wait_closed()
    raw.close()
    with pytest.raises(SessionRefusedError):
        RawClient(zk_faults.address, session=raw.session)


def test_only_the_chosen_session_expires(zk_faults: FaultProxy, zk_chroot: str) -> None:
    with RawClient(zk_faults.address) as first, RawClient(zk_faults.address) as second:
        ephemeral(first, f"{zk_chroot}/first")
        ephemeral(second, f"{zk_chroot}/second")
        zk_faults.expire_session(first.session_id)
        assert second.request(GetChildrenRequest(zk_chroot, False)).children == ["second"]


def test_a_session_expires_while_its_client_is_cut_off(
    zk_faults: FaultProxy, zk_chroot: str, witness: RawClient
) -> None:
    raw = RawClient(zk_faults.address)
    ephemeral(raw, f"{zk_chroot}/e")
    zk_faults.refuse()
    zk_faults.cut()
    zk_faults.expire_session()
    with pytest.raises(NoNodeError):
        witness.request(ExistsRequest(f"{zk_chroot}/e", False))
    raw.close()


def test_a_session_that_ended_meanwhile_cannot_expire(zk_faults: FaultProxy, zk_server: ZooKeeperServer) -> None:
    raw = RawClient(zk_faults.address)
    raw.close()
    with RawClient(zk_server.address, session=raw.session):
        pass  # closes the session, past the proxy
    with pytest.raises(TestingError, match=f"has no session 0x{raw.session_id:x} any more"):
        zk_faults.expire_session(raw.session_id)


def test_a_moved_session_lives_on_and_its_connection_is_closed(
    zk_faults: FaultProxy, zk_chroot: str, witness: RawClient
) -> None:
    raw = RawClient(zk_faults.address)
    ephemeral(raw, f"{zk_chroot}/e")
    assert zk_faults.move_session() == (raw.session_id,)
    raw.wait_closed()
    raw.close()
    with RawClient(zk_faults.address, session=raw.session) as again:
        assert again.session_id == raw.session_id
        assert witness.request(ExistsRequest(f"{zk_chroot}/e", False)).stat.ephemeral_owner == raw.session_id


# Chance


def test_a_random_run_and_its_script_do_the_same(zk_server: ZooKeeperServer, zk_chroot: str) -> None:
    scripts: list[str] = []
    outcomes: list[list[bool]] = []
    rates = {"lose_reply": 0.05, "lose_request": 0.05, "cut_after": 0.05, "delay": 0.1, "pause": 0.05, "chop": 0.1}
    for step in ("by chance", "by chance", "by script"):
        with FaultProxy(zk_server) as proxy:
            if step == "by script":
                proxy.script(scripts[0])
            else:
                run = proxy.random(11, rates=rates, longest=0.01)
            outcomes.append([_answered(proxy, ExistsRequest(f"{zk_chroot}/{number}", False)) for number in range(60)])
            scripts.append(run.script)
            assert "; ".join(proxy.history) == scripts[0]
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert 3 < outcomes[0].count(False) < 30


def _answered(proxy: FaultProxy, request: ExistsRequest) -> bool:
    """Whether a request is answered, on a session and connection of its own."""
    with RawClient(proxy.address) as raw:
        try:
            raw.request(request)
        except NoNodeError:
            return True
        except ConversationError:
            RawClient(proxy.address, session=raw.session).close_session()
            return False
    raise AssertionError("there is no such node")
