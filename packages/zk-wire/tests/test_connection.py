"""The client's side of an open connection: replies, events and pings, up to its end."""

from __future__ import annotations

import struct

import pytest
from pairs import GET, GOT, STAT, Pair, connected_pair, failure

from zk_wire import (
    MAX_XID,
    AuthPacket,
    ClientConnection,
    CreateRequest,
    EmptyResponse,
    Exchange,
    ExistsRequest,
    ExistsResponse,
    GetDataRequest,
    GetDataResponse,
    MultiRequest,
    Notification,
    PingAnswered,
    Request,
    SaslRequest,
    SaslResponse,
    SetDataRequest,
    SyncRequest,
    SyncResponse,
    WatcherEvent,
)

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


def test_a_connection_that_has_sent_nothing_shares_its_empty_queue_and_keeps_what_it_sends_to_itself(
    pair: Pair,
) -> None:
    idle, busy = ClientConnection(), pair.client
    shared = idle.in_flight
    exchange = Exchange.of(GetDataRequest("/a", False))
    busy.send(exchange)
    assert list(busy.in_flight) == [exchange]
    assert idle.in_flight is shared and ClientConnection().in_flight is shared and not shared
