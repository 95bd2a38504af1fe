"""The short way for a lone reply is taken where it is safe, and nowhere else."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from pairs import GET, GOT, Pair

from zk_wire import (
    ClientConnection,
)


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
