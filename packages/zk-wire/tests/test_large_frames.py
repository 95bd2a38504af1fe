"""Large frames taken through `room` and `filled` mean what they mean through `receive`."""

from __future__ import annotations

import random
import struct

import pytest

from zk_wire import (
    ClientConnection,
    Connected,
    ConnectRequest,
    ConnectResponse,
    Exchange,
    GetChildrenRequest,
    GetDataRequest,
    GetDataResponse,
    Notification,
    RemoteProtocolError,
    ServerConnection,
    Stat,
    WatcherEvent,
    decode_get_data,
    get_data_payload,
)
from zk_wire.primitives import encode_ustring

STAT = Stat(1, 2, 3, 4, 5, 6, 7, 8, 300_000, 0, 9)
DATA = random.Random(1).randbytes(300_000)


def open_connection() -> tuple[ClientConnection, ServerConnection]:
    client, server = ClientConnection(), ServerConnection()
    server.receive(client.connect(ConnectRequest()))
    (event,) = client.receive(server.accept(ConnectResponse(1000, 1, bytes(16), None)))
    assert isinstance(event, Connected)
    return client, server


def take(client: ClientConnection, stream: bytes, piece: int) -> list[object]:
    """Feed a stream as a handler does: large frames through `room`, everything else through `receive`."""
    events: list[object] = []
    while stream:
        if client.missing:
            room = client.room()
            count = min(len(room), piece, len(stream))
            room[:count] = stream[:count]
            room.release()
            events += client.filled(count)
        else:
            count = min(1000, len(stream))
            events += client.receive(stream[:count])
        stream = stream[count:]
    return events


def hot_get(path: str) -> Exchange[tuple[bytes | None, Stat]]:
    return Exchange(get_data_payload(encode_ustring(path), False), decode_get_data)


@pytest.mark.parametrize("piece", [1, 777, 65536, 1 << 20])
def test_large_data_arrives_whole_in_pieces_of_any_size(piece: int) -> None:
    if piece == 1:
        data = DATA[:70_000]
    else:
        data = DATA
    client, server = open_connection()
    first, second = hot_get("/a"), hot_get("/b")
    server.receive(client.send(first) + client.send(second))
    stream = b"".join(server.reply(xid, 7, GetDataResponse(data, STAT)) for xid in (1, 2))

    assert take(client, stream, piece) == [first, second]

    for exchange in (first, second):
        assert exchange.reply == (data, STAT)
        assert type(exchange.reply[0]) is bytes


def test_data_of_an_earlier_reply_is_not_touched_by_the_next_one() -> None:
    client, server = open_connection()
    first, second = hot_get("/a"), hot_get("/b")
    server.receive(client.send(first) + client.send(second))

    take(client, server.reply(1, 7, GetDataResponse(DATA, STAT)), 65536)
    take(client, server.reply(2, 8, GetDataResponse(bytes(300_000), STAT)), 65536)

    assert first.reply is not None and first.reply[0] == DATA


def test_other_large_replies_and_notifications_are_read_too() -> None:
    client, server = open_connection()
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

    events = take(client, stream, 40_000)

    assert events == [children, plain, Notification(3, 3, long_path, -1), hot]
    assert children.reply is not None and tuple(children.reply.children) == names
    assert plain.reply == GetDataResponse(DATA, STAT)
    assert hot.reply == (DATA, STAT)


def test_a_large_frame_may_change_hands_between_room_and_receive() -> None:
    client, server = open_connection()
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


def test_a_large_reply_that_lies_about_its_size_ends_the_connection() -> None:
    client, server = open_connection()
    exchange = hot_get("/a")
    server.receive(client.send(exchange))
    stream = bytearray(server.reply(1, 7, GetDataResponse(DATA, STAT)))
    stream[20:24] = struct.pack(">i", 299_999)

    assert take(client, bytes(stream), 65536) == []

    assert client.pending_error is not None
    with pytest.raises(RemoteProtocolError):
        client.filled(0)


def test_no_more_than_a_usual_buffer_is_kept_between_frames() -> None:
    client, server = open_connection()
    exchange = hot_get("/a")
    server.receive(client.send(exchange))

    take(client, server.reply(1, 7, GetDataResponse(bytes(3_000_000), STAT)), 1 << 20)

    assert len(client._partial._buffer) <= 1 << 20
