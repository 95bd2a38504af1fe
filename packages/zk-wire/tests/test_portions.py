"""A stream means the same in any portions, and what it announces takes no memory before it is there."""

from __future__ import annotations

import struct
import tracemalloc
from typing import Any

import pytest
from captured import CONVERSATION, FRAMES
from hypothesis import given
from hypothesis import strategies as st
from pairs import GET, GOT, STAT, Pair, connected_pair, failure, portions

from zk_wire import (
    ClientConnection,
    ConnectRequest,
    Exchange,
    GetDataResponse,
    MultiRequest,
    decode_get_data,
    encode_ustring,
    get_data_payload,
)


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
