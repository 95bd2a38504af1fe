"""The client's side of a connection, with a server's side behind it."""

from __future__ import annotations

import struct
import tracemalloc
from typing import Any

import pytest
from captured import CONVERSATION, FRAMES
from hypothesis import given
from hypothesis import strategies as st
from pairs import PASSWORD, Pair, connected_pair, portions

from zk_wire import (
    MAX_XID,
    AuthPacket,
    ClientConnection,
    Connected,
    ConnectionState,
    ConnectRejected,
    ConnectRequest,
    ConnectResponse,
    CreateRequest,
    EmptyResponse,
    Exchange,
    ExistsRequest,
    ExistsResponse,
    GetDataRequest,
    GetDataResponse,
    LocalProtocolError,
    MultiRequest,
    Notification,
    PingAnswered,
    RemoteProtocolError,
    Request,
    SaslRequest,
    SaslResponse,
    ServerConnection,
    SessionGone,
    SetDataRequest,
    Stat,
    SyncRequest,
    SyncResponse,
    WatcherEvent,
    decode_get_data,
    encode_ustring,
    get_data_payload,
)

STAT = Stat(*range(1, 12))
GET = GetDataRequest("/a", False)
GOT = GetDataResponse(b"data", STAT)


@pytest.fixture
def pair() -> Pair:
    return connected_pair()


def failure(client: ClientConnection) -> RemoteProtocolError:
    """The error the next call raises, which is the one that is pending."""
    assert client.state is ConnectionState.FAILED
    with pytest.raises(RemoteProtocolError) as caught:
        client.receive(b"")
    assert caught.value is client.pending_error is client.closed_by
    return caught.value


# Opening


def test_a_session_opens_from_both_sides() -> None:
    assert Pair().connect() == Connected(0x1234, PASSWORD, 10_000, False, 0, True)


def test_the_session_password_shows_in_no_repr() -> None:
    assert "redacted" in repr(Pair().connect())
    assert PASSWORD.decode() not in repr(Pair().connect())


@pytest.mark.parametrize("read_only", [None, False, True])
def test_both_forms_of_the_answer_are_understood(read_only: bool | None) -> None:
    client, server = ClientConnection(), ServerConnection()
    client.connect(ConnectRequest(timeout_ms=1))
    [connected] = client.receive(server.accept(ConnectResponse(4000, -7, PASSWORD, read_only)))
    assert connected == Connected(-7, PASSWORD, 4000, bool(read_only), 0, read_only is not None)


@pytest.mark.parametrize("timeout_ms", [0, -1])
def test_no_timeout_means_that_the_session_is_gone(timeout_ms: int) -> None:
    client, server = ClientConnection(), ServerConnection()
    client.connect(ConnectRequest(session_id=5))
    assert client.receive(server.accept(ConnectResponse(timeout_ms, 0, bytes(16), True))) == [SessionGone(True)]
    assert client.state is ConnectionState.REFUSED


@pytest.mark.parametrize("size", [0, 1, 15, 17, 35, 38, 50])
def test_an_answer_of_another_size_is_an_error(size: int) -> None:
    client = ClientConnection()
    client.connect(ConnectRequest())
    body = struct.pack(">iiqi16s?", 0, 1, 2, 16, PASSWORD, True)
    assert client.receive(struct.pack(">i", size) + body.ljust(size, b"\0")[:size]) == []
    failure(client)


def test_a_header_without_an_error_is_no_answer() -> None:
    client = ClientConnection()
    client.connect(ConnectRequest())
    assert client.receive(struct.pack(">iiqi", 16, 0, 1, 0)) == []
    assert "without an error" in str(failure(client))


@pytest.mark.parametrize("answer", [SessionGone(False), ConnectRejected(-119)])
def test_nothing_may_follow_a_refusal(answer: SessionGone | ConnectRejected) -> None:
    client, server = ClientConnection(), ServerConnection()
    client.connect(ConnectRequest())
    refusal = server.refuse(False) if isinstance(answer, SessionGone) else server.reply(0, 1, err=-119)
    assert client.receive(refusal + b"x") == [answer]
    failure(client)


def test_replies_right_behind_the_session_are_read_with_it() -> None:
    pair = Pair()
    pair.client.connect(ConnectRequest())
    opened = pair.server.accept(ConnectResponse(1, 2, PASSWORD, None))
    event = pair.server.notify(WatcherEvent(1, 3, "/a"))
    assert [type(event) for event in pair.client.receive(opened + event)] == [Connected, Notification]


def test_connecting_twice_is_refused(pair: Pair) -> None:
    with pytest.raises(LocalProtocolError, match=r"connect\(\) on a connection that is open"):
        pair.client.connect(ConnectRequest())


@pytest.mark.parametrize("opened", ["new", "connecting", "refused", "closed"])
def test_a_request_can_be_sent_only_on_an_open_connection(opened: str) -> None:
    client, server = ClientConnection(), ServerConnection()
    if opened != "new":
        client.connect(ConnectRequest())
    if opened == "refused":
        client.receive(server.refuse())
    if opened == "closed":
        client.close()
    assert client.state is ConnectionState(opened)
    for send in (client.send, client.send_auth):
        with pytest.raises(LocalProtocolError, match=f"the connection is {opened}"):
            send(Exchange.of(GET))
    with pytest.raises(LocalProtocolError, match=f"the connection is {opened}"):
        client.ping()
    assert client.close() == []


def test_bytes_before_the_first_request_are_an_error() -> None:
    client = ClientConnection()
    client.receive(b"HTTP/1.1 400 Bad Request")
    assert "on a connection that is new" in str(failure(client))


# Requests and replies


def test_a_reply_completes_its_request(pair: Pair) -> None:
    assert pair.ask(GET, GOT, zxid=77) == GOT
    assert not pair.client.in_flight


def test_an_error_completes_its_request_and_its_body_is_not_read(pair: Pair) -> None:
    assert pair.ask(GET, SyncResponse("whatever"), zxid=7, err=-101) is None


def test_replies_come_back_in_order_and_in_one_piece(pair: Pair) -> None:
    exchanges = [pair.send(GetDataRequest(f"/{number}", False)) for number in range(100)]
    replies = [pair.server.reply(x.xid, x.xid, GetDataResponse(b"%d" % x.xid, STAT)) for x in exchanges]
    assert pair.client.receive(b"".join(replies)) == exchanges
    assert [exchange.reply.data for exchange in exchanges] == [b"%d" % xid for xid in range(1, 101)]


def test_a_reply_out_of_order_ends_the_connection(pair: Pair) -> None:
    first, second = pair.send(GET), pair.send(ExistsRequest("/b", False))
    assert pair.client.receive(pair.server.reply(second.xid, 1, ExistsResponse(STAT))) == []
    assert str(failure(pair.client)) == "reply for xid 2, but the oldest request in flight is xid 1 (GET_DATA '/a')"
    assert pair.client.close() == [first, second]


def test_a_reply_to_nothing_ends_the_connection(pair: Pair) -> None:
    pair.client.receive(pair.server.reply(1, 1))
    assert "no such request is in flight" in str(failure(pair.client))


@pytest.mark.parametrize("xid", [0, -3, -8, -(2**31)])
def test_a_reply_to_an_xid_nobody_uses_ends_the_connection(pair: Pair, xid: int) -> None:
    pair.send(GET)
    pair.client.receive(pair.server.reply(xid, 1, GOT))
    assert f"reply for xid {xid}," in str(failure(pair.client))


def test_what_came_before_the_bad_bytes_is_not_lost(pair: Pair) -> None:
    first, second, third = (pair.send(GET) for _ in range(3))
    good = pair.server.reply(first.xid, 5, GOT)
    bad = pair.server.reply(second.xid, 6, ExistsResponse(STAT))
    rest = pair.server.reply(third.xid, 7, GOT)
    assert pair.client.receive(good + bad + rest) == [first]
    assert str(failure(pair.client)).startswith("reply for xid 2 (GET_DATA '/a'): ")
    assert pair.client.last_zxid == 5
    assert pair.client.close() == [second, third]
    assert (second.zxid, third.zxid) == (6, 0)  # the second was answered: its effect is known


@pytest.mark.parametrize(
    "request_",
    [
        GET,
        CreateRequest("/a", b"", (), 0),
        SyncRequest("/a"),
        MultiRequest([]),
        SetDataRequest("/a", b"", -1),
        SaslRequest(b""),
    ],
    ids=lambda r: type(r).__name__,
)
@pytest.mark.parametrize("body", [b"\0", b"\0\0\0\7", b"\x7f\xff\xff\xff" * 20, b"\xff" * 200])
def test_a_body_that_is_no_record_ends_the_connection(request_: Request[object], body: bytes) -> None:
    pair = connected_pair()
    exchange = pair.send(request_)
    assert pair.client.receive(struct.pack(">iiqi", 16 + len(body), exchange.xid, 1, 0) + body) == []
    failure(pair.client)
    assert pair.client.close() == [exchange]


def test_a_reply_without_a_record_must_have_none(pair: Pair) -> None:
    pair.send(AuthPacket("ip", None))  # sent as an ordinary request
    pair.client.receive(pair.server.reply(1, 0, SyncResponse("/a")))
    assert "AUTH): EmptyResponse: 6 trailing bytes" in str(failure(pair.client))


def test_a_decoder_that_fails_in_its_own_way_ends_the_connection(pair: Pair) -> None:
    def decode(buf: bytes, pos: int, end: int) -> None:
        raise ZeroDivisionError("of the caller's making")

    exchange = Exchange(GET.payload(), decode)
    pair.client.send(exchange)
    pair.client.receive(pair.server.reply(1, 1, GOT))
    error = failure(pair.client)
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert pair.client.close() == [exchange]


def test_the_xid_starts_again_at_one(pair: Pair) -> None:
    pair.client._xid = MAX_XID - 1
    assert [pair.send(GET).xid for _ in range(3)] == [MAX_XID, 1, 2]
    for xid in (MAX_XID, 1, 2):
        assert len(pair.client.receive(pair.server.reply(xid, 1, GOT))) == 1


def test_the_description_of_a_request_has_no_secret() -> None:
    assert "hunter2" not in repr(Exchange.of(AuthPacket("digest", b"user:hunter2")))
    assert "hunter2" not in repr(Exchange.of(SaslRequest(b"hunter2")))
    assert "hunter2" not in repr(Exchange.of(SetDataRequest("/a", b"hunter2", -1)))


# Replies that overtake


def test_an_answer_to_auth_overtakes(pair: Pair) -> None:
    waiting = pair.send(GET)
    auth = Exchange.of(AuthPacket("digest", b"u:p"))
    pair.server.receive(pair.client.send_auth(auth))
    assert auth.xid == -4
    assert pair.client.receive(pair.server.reply(-4, 0)) == [auth]
    assert pair.client.receive(pair.server.reply(waiting.xid, 3, GOT)) == [waiting]
    assert auth.reply == EmptyResponse()


def test_answers_to_auth_come_in_the_order_of_sending(pair: Pair) -> None:
    first, second = (Exchange.of(AuthPacket(scheme, b"")) for scheme in ("digest", "unknown"))
    pair.client.send_auth(first)
    pair.client.send_auth(second)
    assert pair.client.receive(pair.server.reply(-4, 0) + pair.server.reply(-4, 0, err=-115)) == [first, second]
    assert (first.error, second.error) == (0, -115)


def test_an_answer_to_no_auth_ends_the_connection(pair: Pair) -> None:
    pair.client.receive(pair.server.reply(-4, 0))
    failure(pair.client)


@pytest.mark.parametrize(("zxid", "err"), [(-1, -6), (0, -124)])
def test_a_refusal_of_the_network_layer_overtakes(pair: Pair, zxid: int, err: int) -> None:
    first, second, third = (pair.send(GET) for _ in range(3))
    assert pair.client.receive(pair.server.reply(second.xid, zxid, err=err)) == [second]
    assert second.error == err
    replies = pair.server.reply(first.xid, 9, GOT) + pair.server.reply(third.xid, 9, GOT)
    assert pair.client.receive(replies) == [first, third]


def test_a_switched_off_feature_does_not_overtake(pair: Pair) -> None:
    pair.send(GET)
    pair.client.receive(pair.server.reply(pair.send(GET).xid, 12, err=-6))
    failure(pair.client)


def test_a_refusal_for_no_request_in_flight_ends_the_connection(pair: Pair) -> None:
    pair.send(GET)
    pair.client.receive(pair.server.reply(9, -1, err=-6))
    failure(pair.client)


def test_an_answer_to_sasl_overtakes(pair: Pair) -> None:
    waiting, sasl = pair.send(GET), pair.send(SaslRequest(b""))
    assert pair.client.receive(pair.server.reply(sasl.xid, 0, SaslResponse(b"challenge"))) == [sasl]
    assert pair.client.receive(pair.server.reply(waiting.xid, 3, GOT)) == [waiting]


def test_a_failed_sasl_step_has_a_body_that_is_not_read(pair: Pair) -> None:
    assert pair.ask(SaslRequest(b""), SaslResponse(None), zxid=0, err=-115) is None


# Pings and events


def test_several_pings_may_be_on_their_way(pair: Pair) -> None:
    assert pair.client.ping() == pair.client.ping() == bytes.fromhex("00000008fffffffe0000000b")
    assert pair.client.receive(pair.server.reply(-2, 5) * 2) == [PingAnswered(5)] * 2


def test_an_answer_to_no_ping_ends_the_connection(pair: Pair) -> None:
    pair.client.ping()
    assert pair.client.receive(pair.server.reply(-2, 5) * 2) == [PingAnswered(5)]
    failure(pair.client)


def test_a_ping_may_be_answered_with_an_error(pair: Pair) -> None:
    pair.client.ping()
    assert pair.client.receive(pair.server.reply(-2, 0, err=-124)) == [PingAnswered(0, -124)]


def test_events_and_replies_keep_the_order_of_the_wire(pair: Pair) -> None:
    exchange = pair.send(SetDataRequest("/a", b"", -1))
    event = pair.server.notify(WatcherEvent(3, 3, "/a"), zxid=8)
    reply = pair.server.reply(exchange.xid, 8, ExistsResponse(STAT))
    assert pair.client.receive(event + reply + event) == [
        Notification(3, 3, "/a", 8),
        exchange,
        Notification(3, 3, "/a", 8),
    ]


@pytest.mark.parametrize(("kind", "state"), [(-1, 0), (-1, -112), (99, 99), (4, 5)])
def test_an_unknown_event_is_passed_on_as_it_is(pair: Pair, kind: int, state: int) -> None:
    assert pair.client.receive(pair.server.notify(WatcherEvent(kind, state, "/x"))) == [
        Notification(kind, state, "/x", -1)
    ]


def test_an_event_without_a_path_has_an_empty_one(pair: Pair) -> None:
    assert pair.client.receive(pair.server.notify(WatcherEvent(-1, 0, None))) == [Notification(-1, 0, "", -1)]


@pytest.mark.parametrize(
    "body",
    [b"", b"\0" * 11, b"\0" * 13, b"\0" * 8 + b"\0\0\0\2/", b"\0" * 8 + b"\xff\xff\xff\xfe", b"\0" * 11 + b"\1\xff"],
)
def test_an_event_that_is_no_record_ends_the_connection(pair: Pair, body: bytes) -> None:
    pair.client.receive(struct.pack(">iiqi", 16 + len(body), -1, -1, 0) + body)
    failure(pair.client)


# The last zxid


def test_only_ordinary_replies_move_the_last_zxid_and_only_forward(pair: Pair) -> None:
    seen = []

    def receive(data: bytes) -> None:
        pair.client.receive(data)
        seen.append(pair.client.last_zxid)

    pair.client.ping()
    pair.client.send_auth(Exchange.of(AuthPacket("ip", b"")))
    receive(pair.server.reply(pair.send(GET).xid, 5, GOT))
    receive(pair.server.reply(-2, 90))
    receive(pair.server.reply(-4, 91))
    receive(pair.server.notify(WatcherEvent(1, 3, "/a"), 92))
    receive(pair.server.reply(pair.send(GET).xid, 7, err=-101))
    receive(pair.server.reply(pair.send(GET).xid, 6, GOT))
    receive(pair.server.reply(pair.send(GET).xid, -1, err=-6))
    assert seen == [5, 5, 5, 5, 7, 7, 7]


def test_the_last_zxid_can_be_taken_over_from_the_connection_before(pair: Pair) -> None:
    pair.client.last_zxid = 100
    pair.ask(GET, GOT, zxid=99)
    assert pair.client.last_zxid == 100


# Closing


def test_closing_returns_what_has_no_answer_in_the_order_of_sending(pair: Pair) -> None:
    first, second = pair.send(GET), pair.send(GET)
    auth = Exchange.of(AuthPacket("ip", b""))
    pair.client.send_auth(auth)
    assert pair.client.close() == [auth, first, second]
    assert pair.client.close() == []


def test_bytes_after_closing_are_ignored(pair: Pair) -> None:
    exchange = pair.send(GET)
    pair.client.close()
    assert pair.client.receive(pair.server.reply(exchange.xid, 1, GOT)) == []
    assert pair.client.receive(b"\xff" * 100) == []
    assert pair.client.pending_error is None


# Portions, large frames, memory


def whole_capture() -> tuple[ClientConnection, bytes, list[Exchange[Any]]]:
    """A client that has sent everything of the capture, and the answer to it in one piece."""
    client = ClientConnection()
    client.connect(ConnectRequest(timeout_ms=10_000, read_only=False))
    client.receive(FRAMES["connect"][1][1])
    exchanges = []
    answers = []
    for step in CONVERSATION:
        if step.xid == -8:
            continue
        if step.xid == -2:
            client.ping()
        else:
            exchanges.append(Exchange.of(step.request))
            (client.send_auth if step.xid == -4 else client.send)(exchanges[-1])
        answers += step.received
    return client, b"".join(answers), exchanges


@given(st.lists(st.integers(0, 2000), max_size=20))
def test_any_split_of_the_stream_gives_the_same_events(cuts: list[int]) -> None:
    client, stream, exchanges = whole_capture()
    expected_client, _, expected_exchanges = whole_capture()
    expected = expected_client.receive(stream)
    events = [event for part in portions(stream, cuts) for event in client.receive(part)]
    assert len(events) == len(expected) > len(exchanges)
    assert [type(event) for event in events] == [type(event) for event in expected]
    assert [x.reply for x in exchanges] == [x.reply for x in expected_exchanges]
    assert client.pending_error is None


def test_one_byte_at_a_time_gives_the_same_events() -> None:
    client, stream, exchanges = whole_capture()
    events = [event for at in range(len(stream)) for event in client.receive(stream[at : at + 1])]
    assert [event for event in events if isinstance(event, Exchange)] == exchanges


def test_a_large_reply_tells_how_much_of_it_is_missing(pair: Pair) -> None:
    exchange = pair.send(GET)
    reply = pair.server.reply(exchange.xid, 1, GetDataResponse(bytes(900_000), STAT))
    assert pair.client.receive(reply[:65_536]) == []
    assert pair.client.missing == len(reply) - 65_536
    assert pair.client.receive(reply[65_536:100_000]) == []
    assert pair.client.missing == len(reply) - 100_000
    assert pair.client.receive(reply[100_000:]) == [exchange]
    assert pair.client.missing == 0
    assert exchange.reply.data == bytes(900_000)


@pytest.mark.parametrize("length", [2**31 - 1, 1001, 15, 0, -1])
def test_a_bad_length_is_judged_before_the_frame_is_there(length: int) -> None:
    pair = Pair(client=ClientConnection(max_frame=1000))
    pair.connect()
    exchange = pair.send(GET)
    head = struct.pack(">i", length)
    assert pair.client.receive(pair.server.reply(exchange.xid, 1, GOT) + head[:2]) == [exchange]
    assert pair.client.receive(head[2:]) == []
    assert f"a frame of {length} bytes" in str(failure(pair.client))


@pytest.mark.parametrize("length", [-1, 0, 1, 15])
def test_a_frame_too_short_for_a_header_is_an_error_whatever_follows(pair: Pair, length: int) -> None:
    exchange = pair.send(GET)
    reply = pair.server.reply(exchange.xid, 1, GOT)
    assert pair.client.receive(struct.pack(">i", length) + reply[4:] + reply) == []
    assert f"a frame of {length} bytes, but 16 is the least" in str(failure(pair.client))


def test_a_whole_frame_beyond_the_limit_is_an_error_too() -> None:
    pair = Pair(client=ClientConnection(max_frame=1000))
    pair.connect()
    exchange = pair.send(GET)
    pair.client.receive(pair.server.reply(exchange.xid, 1, GetDataResponse(bytes(1000), STAT)))
    failure(pair.client)


@pytest.mark.parametrize("count", [2**31 - 1, 2**26])
def test_a_count_nobody_sent_the_items_of_takes_no_memory(pair: Pair, count: int) -> None:
    exchange = pair.send(MultiRequest([]))
    del exchange
    body = struct.pack(">i?ii", 8, False, 0, count) + bytes(1000)
    tracemalloc.start()
    try:
        pair.client.receive(struct.pack(">iiqi", 16 + len(body), 1, 1, 0) + body)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 200_000
    failure(pair.client)


def test_the_quick_path_takes_the_same_replies() -> None:
    pair = connected_pair()
    exchange = Exchange(get_data_payload(encode_ustring("/a"), False), decode_get_data)
    pair.client.send(exchange)
    assert pair.client.receive(pair.server.reply(1, 1, GOT)) == [exchange]
    assert exchange.reply == (b"data", STAT)


# Large frames in memory that stays


def through_room(client: ClientConnection, stream: bytes) -> list[Any]:
    """Feed a stream as a handler does that fills `room` where it can."""
    events: list[Any] = client.receive(stream[:1000])
    stream = stream[1000:]
    while stream and client.pending_error is None:
        count = min(client.missing or 1000, len(stream), 70_000)
        if client.missing:
            with client.room() as room:
                room[:count] = stream[:count]
            events += client.filled(count)
        else:
            events += client.receive(stream[:count])
        stream = stream[count:]
    return events


def test_a_large_frame_before_the_session_is_an_error_in_either_way() -> None:
    stream = struct.pack(">iiqi", 100_000, -1, -1, 0) + struct.pack(">iii", 1, 3, 100_000 - 28) + b"/" * (100_000 - 28)
    for feed in (ClientConnection.receive, through_room):
        client = ClientConnection()
        client.connect(ConnectRequest())
        assert feed(client, stream) == []
        assert "ConnectResponse" in str(failure(client))


@given(
    st.lists(st.tuples(st.integers(0, 80_119) | st.integers(0, 40), st.integers(1, 255)), max_size=3),
    st.sampled_from([decode_get_data, GET.decode_response]),
)
def test_a_large_frame_is_read_alike_in_either_way(changes: list[tuple[int, int]], decode: Any) -> None:
    seen = []
    for feed in (ClientConnection.receive, through_room):
        pair = connected_pair()
        exchanges = [Exchange(GET.payload(), decode) for _ in range(2)]
        for exchange in exchanges:
            pair.client.send(exchange)
        stream = bytearray(pair.server.reply(1, 5, GetDataResponse(bytes(80_000), STAT)) + pair.server.reply(2, 6, GOT))
        for position, change in changes:
            stream[position] ^= change
        events = feed(pair.client, bytes(stream))
        told = None if pair.client.pending_error is None else str(pair.client.pending_error)
        seen.append((len(events), told, [(x.xid, x.zxid, x.error, x.reply) for x in exchanges], pair.client.last_zxid))
        assert all(x.reply is None or type(x.reply) is GetDataResponse or type(x.reply[0]) is bytes for x in exchanges)
    assert seen[0] == seen[1]


# The short way for a lone reply


def test_a_lone_reply_to_the_oldest_request_is_taken_the_short_way(pair: Pair) -> None:
    first, second = pair.send(GET), pair.send(GET)
    assert pair.client.receive_lone(pair.server.reply(first.xid, 7, GOT)) is first
    assert (first.reply, first.zxid, pair.client.last_zxid) == (GOT, 7, 7)
    assert list(pair.client.in_flight) == [second]


@pytest.mark.parametrize(
    "make",
    [
        lambda whole: whole[:-1],
        lambda whole: whole[:12],
        lambda whole: whole + whole,
        lambda whole: b"",
        lambda whole: whole[:4] + struct.pack(">i", 2) + whole[8:],  # another xid
        lambda whole: whole[:16] + struct.pack(">i", -101) + whole[20:],  # an error
        lambda whole: struct.pack(">i", len(whole) - 3) + whole[4:] + b"!",  # trailing bytes
    ],
)
def test_what_is_not_a_lone_good_reply_is_left_to_receive(pair: Pair, make: Any) -> None:
    exchange = pair.send(GET)
    data = make(pair.server.reply(exchange.xid, 7, GOT))
    assert pair.client.receive_lone(data) is None
    assert list(pair.client.in_flight) == [exchange]
    assert (exchange.reply, exchange.zxid, pair.client.last_zxid) == (None, 0, 0)


def test_nothing_goes_the_short_way_while_a_frame_is_not_whole(pair: Pair) -> None:
    first, second = pair.send(GET), pair.send(GET)
    whole = pair.server.reply(first.xid, 7, GOT)
    pair.client.receive(whole[:30])
    assert pair.client.receive_lone(pair.server.reply(first.xid, 7, GOT)) is None
    assert pair.client.receive(whole[30:]) == [first]
    assert pair.client.receive_lone(pair.server.reply(second.xid, 8, GOT)) is second


@pytest.mark.parametrize("ended", ["closed", "failed", "new"])
def test_nothing_goes_the_short_way_on_a_connection_that_is_not_open(pair: Pair, ended: str) -> None:
    whole = pair.server.reply(pair.send(GET).xid, 7, GOT)
    client = pair.client
    if ended == "closed":
        client.close()
    elif ended == "failed":
        client.receive(b"\xff" * 4)
    else:
        client = ClientConnection()
    assert client.receive_lone(whole) is None


def test_a_lone_reply_beyond_the_longest_frame_is_left_to_receive() -> None:
    pair = Pair(client=ClientConnection(max_frame=60))
    pair.connect()
    exchange = pair.send(GET)
    assert pair.client.receive_lone(pair.server.reply(exchange.xid, 7, GOT)) is None
