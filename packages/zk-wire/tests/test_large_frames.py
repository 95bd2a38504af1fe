"""Large frames taken through `room` and `filled` mean what they mean through `receive`."""

from __future__ import annotations

import random
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pairs import GET, GOT, STAT, Pair, connected_pair, failure, through_room

from zk_wire import (
    ClientConnection,
    ConnectRequest,
    Exchange,
    GetChildrenRequest,
    GetDataRequest,
    GetDataResponse,
    Notification,
    RemoteProtocolError,
    Stat,
    WatcherEvent,
    decode_get_data,
    get_data_payload,
)
from zk_wire.primitives import encode_ustring

DATA = random.Random(1).randbytes(300_000)


def hot_get(path: str) -> Exchange[tuple[bytes | None, Stat]]:
    return Exchange(get_data_payload(encode_ustring(path), False), decode_get_data)


@pytest.mark.parametrize("piece", [1, 777, 65536, 1 << 20])
def test_large_data_arrives_whole_in_pieces_of_any_size(pair: Pair, piece: int) -> None:
    data = DATA[:70_000] if piece == 1 else DATA
    client, server = pair.client, pair.server
    first, second = hot_get("/a"), hot_get("/b")
    server.receive(client.send(first) + client.send(second))
    stream = b"".join(server.reply(xid, 7, GetDataResponse(data, STAT)) for xid in (1, 2))

    assert through_room(client, stream, piece) == [first, second]

    for exchange in (first, second):
        assert exchange.reply == (data, STAT)
        assert type(exchange.reply[0]) is bytes


def test_data_of_an_earlier_reply_is_not_touched_by_the_next_one(pair: Pair) -> None:
    client, server = pair.client, pair.server
    first, second = hot_get("/a"), hot_get("/b")
    server.receive(client.send(first) + client.send(second))

    through_room(client, server.reply(1, 7, GetDataResponse(DATA, STAT)), 65536)
    through_room(client, server.reply(2, 8, GetDataResponse(bytes(300_000), STAT)), 65536)

    assert first.reply is not None and first.reply[0] == DATA


def test_other_large_replies_and_notifications_are_read_too(pair: Pair) -> None:
    client, server = pair.client, pair.server
    children = Exchange.of(GetChildrenRequest("/a", False))
    plain = Exchange.of(GetDataRequest("/b", False))
    hot = hot_get("/c")
    for exchange in (children, plain, hot):
        server.receive(client.send(exchange))
    names = tuple(f"child-{i:010d}" for i in range(10_000))
    vector = struct.pack(">i", len(names)) + b"".join(struct.pack(">i", 16) + name.encode() for name in names)
    head = struct.pack(">iqi", 1, 5, 0)
    stream = struct.pack(">i", len(head) + len(vector)) + head + vector
    stream += server.reply(2, 6, GetDataResponse(DATA, STAT))
    long_path = "/" + "x" * 100_000
    stream += server.notify(WatcherEvent(3, 3, long_path))
    stream += server.reply(3, 7, GetDataResponse(DATA, STAT))

    events = through_room(client, stream, 40_000)

    assert events == [children, plain, Notification(3, 3, long_path, -1), hot]
    assert children.reply is not None and tuple(children.reply.children) == names
    assert plain.reply == GetDataResponse(DATA, STAT)
    assert hot.reply == (DATA, STAT)


def test_a_large_frame_may_change_hands_between_room_and_receive(pair: Pair) -> None:
    client, server = pair.client, pair.server
    exchange = hot_get("/a")
    server.receive(client.send(exchange))
    stream = server.reply(1, 7, GetDataResponse(DATA, STAT))
    client.receive(stream[:1000])
    room = client.room()
    room[:5000] = stream[1000:6000]
    room.release()
    client.filled(5000)

    client.receive(stream[6000:100_000])

    assert client.receive(stream[100_000:]) == [exchange]
    assert exchange.reply == (DATA, STAT)


def test_a_large_reply_that_lies_about_its_size_ends_the_connection(pair: Pair) -> None:
    client, server = pair.client, pair.server
    exchange = hot_get("/a")
    server.receive(client.send(exchange))
    stream = bytearray(server.reply(1, 7, GetDataResponse(DATA, STAT)))
    stream[20:24] = struct.pack(">i", 299_999)

    assert through_room(client, bytes(stream), 65536) == []

    assert client.pending_error is not None
    with pytest.raises(RemoteProtocolError):
        client.filled(0)


def test_no_more_than_a_usual_buffer_is_kept_between_frames(pair: Pair) -> None:
    client, server = pair.client, pair.server
    exchange = hot_get("/a")
    server.receive(client.send(exchange))

    through_room(client, server.reply(1, 7, GetDataResponse(bytes(3_000_000), STAT)), 1 << 20)

    assert len(client._partial._buffer) <= 1 << 20


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
