"""The fault proxy, in front of a toy server that only speaks frames; with a real server see test_faults_real.py."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from toy import ToyServer

from zk_testing.errors import ConversationError, NotSeenError, TestingError
from zk_testing.faults import FaultProxy
from zk_testing.rawclient import RawClient
from zk_testing.stopwatch import Stopwatch
from zk_wire import (
    OPEN_ACL_UNSAFE,
    AuthPacket,
    CreateRequest,
    DeleteRequest,
    Exchange,
    ExistsRequest,
    NodeExistsError,
    OpCode,
    SetDataRequest,
)

CREATE = CreateRequest("/a", b"", OPEN_ACL_UNSAFE, 0)
DELETE = DeleteRequest("/a", -1)
SET = SetDataRequest("/a", b"", -1)


def silent(raw: RawClient) -> None:
    """Assert that nothing arrives on an open connection: the proxy was told to pass nothing."""
    raw._socket.settimeout(0.05)
    with pytest.raises(TimeoutError):
        raw._socket.recv(1)


# Passing


def test_without_faults_every_frame_passes_in_order(upstream: ToyServer, proxy: FaultProxy, raw: RawClient) -> None:
    exchanges = [raw.send(DELETE) for _ in range(50)]
    for exchange in exchanges:
        raw.wait(exchange)
    assert upstream.received == [(OpCode.DELETE, xid) for xid in range(1, 51)]
    requests = [passed.xid for passed in proxy.record if passed.kind == "delete" and passed.direction == "to_server"]
    replies = [passed.xid for passed in proxy.record if passed.kind == "delete" and passed.direction == "to_client"]
    assert requests == replies == list(range(1, 51))


def test_the_record_tells_kind_opcode_xid_error_and_size(proxy: FaultProxy, raw: RawClient) -> None:
    raw.request(DELETE)
    with pytest.raises(NodeExistsError):
        raw.request(CREATE)
    seen = [(p.direction, p.kind, p.opcode, p.xid, p.error, p.lost) for p in proxy.record]
    assert seen == [
        ("to_server", "connect", None, None, None, False),
        ("to_client", "connect", None, None, None, False),
        ("to_server", "delete", 2, 1, None, False),
        ("to_client", "delete", 2, 1, 0, False),
        ("to_server", "create", 1, 2, None, False),
        ("to_client", "create", 1, 2, -110, False),
    ]
    assert [p.size for p in proxy.record][:4] == [49, 41, 22, 20]
    assert [p.number for p in proxy.record] == [1, 2, 3, 4, 5, 6]


def test_bytes_in_any_portions_come_out_whole(upstream: ToyServer, proxy: FaultProxy) -> None:
    connect = bytes.fromhex("0000002d" + 12 * "00" + "00002710" + 8 * "00" + "00000010" + 17 * "00")
    ping = bytes.fromhex("00000008fffffffe0000000b")
    with socket.create_connection(("127.0.0.1", proxy.port), 5) as connection:
        for byte in connect + ping:
            connection.sendall(bytes([byte]))
        answer = b""
        while len(answer) < 41 + 20:
            more = connection.recv(100)
            assert more
            answer += more
    assert answer[41:49] == bytes.fromhex("00000010fffffffe")
    assert upstream.received == [(OpCode.PING, -2)]


def test_four_letter_words_pass(proxy: FaultProxy) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), 5) as connection:
        connection.sendall(b"srvr")
        assert connection.recv(100) == b"srvr!"
        assert connection.recv(100) == b""
    assert proxy.record[0].kind == "admin"


def test_an_unfinished_frame_before_the_end_of_the_stream_passes() -> None:
    received: list[bytes] = []
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        FaultProxy(listener.getsockname()[:2]) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), 5) as connection,
    ):
        connection.sendall(b"\0\0\0\x10abc")
        connection.shutdown(socket.SHUT_WR)
        accepted, _ = listener.accept()
        with accepted:
            while data := accepted.recv(100):
                received.append(data)
    assert b"".join(received) == b"\0\0\0\x10abc"


def test_a_large_frame_passes_whole(upstream: ToyServer, proxy: FaultProxy, raw: RawClient) -> None:
    with pytest.raises(NodeExistsError):
        raw.request(SetDataRequest("/a", bytes(1_000_000), -1))
    assert next(p.size for p in proxy.record if p.kind == "set_data") > 1_000_000


def test_the_end_of_one_side_is_passed_to_the_other(proxy: FaultProxy, raw: RawClient) -> None:
    raw.request(DELETE)
    raw.close()
    proxy.wait_for_connections(0)


# Losing


def test_a_lost_reply_means_that_the_request_arrived_and_the_connection_ended(
    upstream: ToyServer, proxy: FaultProxy, raw: RawClient
) -> None:
    fault = proxy.lose_reply("create")
    with pytest.raises(ConversationError):
        raw.request(CREATE)
    lost = fault.wait()
    assert (lost.kind, lost.direction, lost.lost) == ("create", "to_client", True)
    assert upstream.received == [(OpCode.CREATE, 1)]


def test_replies_before_the_lost_one_are_delivered(proxy: FaultProxy, raw: RawClient) -> None:
    proxy.lose_reply("delete", nth=3)
    exchanges = [raw.send(DELETE) for _ in range(4)]
    raw.wait(exchanges[0])
    raw.wait(exchanges[1])
    with pytest.raises(ConversationError):
        raw.wait(exchanges[2])


def test_a_lost_request_never_arrives_and_earlier_ones_do(
    upstream: ToyServer, proxy: FaultProxy, raw: RawClient
) -> None:
    fault = proxy.lose_request("set_data", nth=2)
    raw.request(DELETE)
    with pytest.raises(NodeExistsError):
        raw.request(SET)
    with pytest.raises(ConversationError):
        raw.request(SET)
    assert fault.wait().direction == "to_server"
    assert upstream.received == [(OpCode.DELETE, 1), (OpCode.SET_DATA, 2)]


def test_a_frozen_loss_leaves_the_connection_open_and_silent(
    upstream: ToyServer, proxy: FaultProxy, raw: RawClient
) -> None:
    fault = proxy.lose_reply("create", then="freeze")
    raw.send(CREATE)
    fault.wait()
    raw.send(DELETE)
    silent(raw)
    assert proxy.connections == 1
    proxy.heal()
    with pytest.raises(ConversationError):
        raw.request(DELETE)
    assert upstream.received == [(OpCode.CREATE, 1)]


def test_the_connect_reply_can_be_lost(upstream: ToyServer, proxy: FaultProxy) -> None:
    fault = proxy.lose_reply("connect")
    with pytest.raises(ConversationError):
        RawClient(proxy.address)
    assert fault.wait().kind == "connect"
    RawClient(proxy.address).close()


def test_a_fault_strikes_once_and_only_its_kind(proxy: FaultProxy, raw: RawClient) -> None:
    fault = proxy.lose_reply("create")
    raw.request(DELETE)
    raw.ping()
    with pytest.raises(ConversationError):
        raw.request(CREATE)
    with RawClient(proxy.address) as second, pytest.raises(NodeExistsError):
        second.request(CREATE)
    assert len(fault.struck) == 1


def test_an_opcode_is_exactly_that_opcode(proxy: FaultProxy, raw: RawClient) -> None:
    fault = proxy.lose_reply(OpCode.CREATE2)
    with pytest.raises(NodeExistsError):
        raw.request(CREATE)
    assert fault.struck == ()


def test_replies_to_auth_that_overtake_are_told_apart(proxy: FaultProxy, raw: RawClient) -> None:
    exists = raw.send(ExistsRequest("/a", False))
    auth = Exchange.of(AuthPacket("digest", b"u:p"))
    raw._write(raw._connection.send_auth(auth))
    for exchange in (auth, exists):
        with pytest.raises(NodeExistsError):
            raw.wait(exchange)
    assert [p.kind for p in proxy.record if p.direction == "to_client"] == ["connect", "auth", "exists"]


def test_a_cancelled_fault_does_not_strike(proxy: FaultProxy, raw: RawClient) -> None:
    fault = proxy.lose_reply("delete")
    fault.cancel()
    raw.request(DELETE)
    assert fault.struck == ()


def test_waiting_for_a_fault_that_does_not_strike_tells_which(proxy: FaultProxy) -> None:
    with pytest.raises(NotSeenError, match="lose_reply create nth=1 then=cut"):
        proxy.lose_reply("create").wait(timeout=0.01)


# Cutting, freezing, delaying


def test_cut_ends_every_connection_and_welcomes_new_ones(proxy: FaultProxy, raw: RawClient) -> None:
    with RawClient(proxy.address) as second:
        proxy.cut()
        assert proxy.connections == 0
        for client in (raw, second):
            with pytest.raises(ConversationError):
                client.request(DELETE)
    with RawClient(proxy.address) as third:
        third.request(DELETE)


def test_a_frozen_line_holds_everything_and_loses_nothing(
    upstream: ToyServer, proxy: FaultProxy, raw: RawClient
) -> None:
    proxy.freeze()
    exchange = raw.send(DELETE)
    silent(raw)
    assert upstream.received == []
    proxy.heal()
    raw.wait(exchange)
    assert upstream.received == [(OpCode.DELETE, 1)]


def test_frozen_to_the_client_requests_still_arrive(proxy: FaultProxy, raw: RawClient) -> None:
    proxy.freeze("to_client")
    exchange = raw.send(DELETE)
    proxy.wait_for("delete")
    silent(raw)
    proxy.heal()
    raw.wait(exchange)


def test_frozen_to_the_server_replies_still_arrive(upstream: ToyServer, proxy: FaultProxy, raw: RawClient) -> None:
    fault = proxy.delay(0.1, "delete")
    exchange = raw.send(DELETE)
    proxy.wait_for("delete")
    proxy.freeze("to_server")
    raw.wait(exchange)
    raw.send(DELETE)
    silent(raw)
    assert upstream.received == [(OpCode.DELETE, 1)]
    assert len(fault.struck) == 1


def test_a_connection_made_while_frozen_gets_its_answer_after_healing(proxy: FaultProxy) -> None:
    proxy.freeze()
    done = threading.Event()

    def connect() -> None:
        RawClient(proxy.address, reply_timeout=5.0).close()
        done.set()

    thread = threading.Thread(target=connect)
    thread.start()
    proxy.wait_for_connections(1)
    assert not done.is_set()
    proxy.heal()
    thread.join(5)
    assert done.is_set()


def test_a_delayed_reply_comes_late_and_in_order(proxy: FaultProxy, raw: RawClient) -> None:
    fault = proxy.delay(0.1, "create", nth=1)
    first, second = raw.send(CREATE), raw.send(DELETE)
    raw.wait(second)
    with pytest.raises(NodeExistsError):
        raw.wait(first)
    sent, create, delete = (
        proxy.wait_for("create")[0].time,
        fault.wait().time,
        proxy.wait_for("delete", direction="to_client")[0].time,
    )
    assert 0.1 <= create - sent < 2.0
    assert delete >= create


def test_a_delayed_request_arrives_late(proxy: FaultProxy, raw: RawClient) -> None:
    proxy.delay(0.1, "delete", direction="to_server")
    before = time.monotonic()
    raw.request(DELETE)
    assert time.monotonic() - before >= 0.1


def test_a_slow_line_delays_without_slowing_what_is_pipelined(proxy: FaultProxy, raw: RawClient) -> None:
    proxy.delay(0.1)
    before = Stopwatch()
    for exchange in [raw.send(DELETE) for _ in range(20)]:
        raw.wait(exchange)
    assert before.seconds >= 0.1 and before.within(1.5), before  # twenty one after the other would be 2 s


# Refusing, half open


def test_refused_connections_end_at_once(proxy: FaultProxy, raw: RawClient) -> None:
    proxy.refuse()
    with pytest.raises(ConversationError):
        RawClient(proxy.address)
    raw.request(DELETE)  # those that are open go on
    proxy.heal()
    RawClient(proxy.address).close()


def test_not_listening_is_refused_by_the_system(proxy: FaultProxy, raw: RawClient) -> None:
    address = proxy.address
    proxy.refuse("not_listening")
    with pytest.raises(ConnectionRefusedError):
        RawClient(address)
    raw.request(DELETE)
    proxy.heal()
    assert proxy.address == address
    RawClient(address).close()


def test_half_open_for_the_client_the_server_sees_it_leave(
    upstream: ToyServer, proxy: FaultProxy, raw: RawClient
) -> None:
    raw.request(DELETE)
    proxy.half_open(keep="client")
    raw.send(DELETE)
    silent(raw)
    proxy.heal()
    with pytest.raises(ConversationError):
        raw.request(DELETE)
    assert upstream.received == [(OpCode.DELETE, 1)]


def test_half_open_for_the_server_the_client_sees_the_end(proxy: FaultProxy, raw: RawClient) -> None:
    raw.request(DELETE)
    proxy.half_open(keep="server")
    with pytest.raises(ConversationError):
        raw.request(DELETE)
    assert proxy.connections == 1
    proxy.cut()
    assert proxy.connections == 0


# Waiting


def test_waiting_returns_what_passed_before_and_after(proxy: FaultProxy, raw: RawClient) -> None:
    raw.request(DELETE)
    mark = proxy.mark()
    assert len(proxy.wait_for("delete")) == 1
    with pytest.raises(NotSeenError, match=r"waited 0\.01 s for 1 x delete to_server, saw 0"):
        proxy.wait_for("delete", since=mark, timeout=0.01)
    raw.request(DELETE)
    assert proxy.wait_for("delete", since=mark)[0].xid == 2
    assert [p.xid for p in proxy.wait_for("delete", count=2)] == [1, 2]


def test_a_predicate_sees_every_frame(proxy: FaultProxy, raw: RawClient) -> None:
    with pytest.raises(NodeExistsError):
        raw.request(CREATE)
    assert proxy.wait_for(lambda passed: passed.error == -110)[0].kind == "create"


# Bad input, the end


@pytest.mark.parametrize("upstream", ["localhost", "a:1,b:2", ":2181", "a:1/chroot", "a:b"])
def test_an_upstream_that_is_no_single_address_is_refused(upstream: str) -> None:
    with pytest.raises(ValueError, match="an upstream is one"):
        FaultProxy(upstream)


def test_an_unknown_kind_is_refused_with_the_known_ones(proxy: FaultProxy) -> None:
    with pytest.raises(ValueError, match=r"no kind of message 'creat': known are add_watch, admin"):
        proxy.lose_reply("creat")


@pytest.mark.parametrize(("nth", "then"), [(0, "cut"), (-1, "cut"), (1, "explode")])
def test_bad_rules_are_refused(proxy: FaultProxy, nth: int, then: str) -> None:
    with pytest.raises(ValueError, match=r"counted from 1|then is"):
        proxy.lose_reply("create", nth, then=then)  # type: ignore[arg-type]


def test_a_negative_delay_is_refused(proxy: FaultProxy) -> None:
    with pytest.raises(ValueError, match="0 seconds or more"):
        proxy.delay(-1.0)


def test_an_upstream_that_refuses_ends_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    with FaultProxy(address) as proxy, pytest.raises(ConversationError):
        RawClient(proxy.address)


def test_after_stop_nothing_is_left(upstream: ToyServer) -> None:
    threads = set(threading.enumerate())
    proxy = FaultProxy(upstream)
    with pytest.raises(TestingError, match="is not running"):
        proxy.lose_reply("create")
    proxy.start()
    port = proxy.port
    client = RawClient(proxy.address)
    assert set(threading.enumerate()) > threads
    proxy.stop()
    proxy.stop()
    assert not [t for t in threading.enumerate() if t.name.startswith("zk-testing-proxy")]
    with pytest.raises(ConversationError):
        client.request(DELETE)
    client.close()
    with socket.create_server(("127.0.0.1", port)):
        pass
    assert proxy.record[0].kind == "connect"  # the record outlives the proxy
