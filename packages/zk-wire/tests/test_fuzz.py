"""Bad bytes end a connection, never the program.

Mutations of real frames, in both directions: 100,000 of them where CI is set.  Each run has a new
seed, which it prints; to replay one, set ZK_WIRE_FUZZ_SEED.
"""

from __future__ import annotations

import os
import random
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from captured import CONVERSATION, FRAMES

from zk_wire import (
    AdminCommand,
    AuthPacket,
    ClientConnection,
    Connected,
    ConnectReceived,
    ConnectRejected,
    ConnectRequest,
    Create2Request,
    CreateRequest,
    Exchange,
    ExistsRequest,
    GetChildren2Request,
    GetChildrenRequest,
    GetDataRequest,
    MalformedRequest,
    Notification,
    PingAnswered,
    PingRequest,
    RemoteProtocolError,
    RequestReceived,
    SaslRequest,
    SaslResponse,
    ServerConnection,
    SessionGone,
    SetDataRequest,
    UnknownRequest,
    decode_children,
    decode_children2,
    decode_create,
    decode_create2,
    decode_get_data,
    decode_stat,
    frame,
)

MUTATIONS = 50_000 if os.environ.get("CI") else 2_500  # in each direction
EVENTS = (Connected, ConnectRejected, SessionGone, Notification, PingAnswered, Exchange)
SERVER_EVENTS = (ConnectReceived, RequestReceived, MalformedRequest, UnknownRequest, AdminCommand)
QUICK: dict[type, Callable[[bytes, int, int], Any]] = {
    CreateRequest: decode_create,
    Create2Request: decode_create2,
    ExistsRequest: decode_stat,
    SetDataRequest: decode_stat,
    GetDataRequest: decode_get_data,
    GetChildrenRequest: decode_children,
    GetChildren2Request: decode_children2,
}
NUMBERS = (0, 1, -1, -2, 4, 16, 127, 128, 255, 65_535, 2**20, 2**30, 2**31 - 1, -(2**31))

# (payload, decoders, answers) of one exchange; answers are what the server wrote for it
SASL = SaslRequest(b"x")
NAMES = b"".join(struct.pack(">i", 5) + b"name%d" % number for number in range(10))
CHILDREN = GetChildrenRequest("/c", False)
TALK: list[tuple[int, bytes, list[Callable[[bytes, int, int], Any]], bytes]] = [
    (
        step.xid,
        step.request.payload(),
        [step.request.decode_response, QUICK.get(type(step.request), step.request.decode_response)],
        b"".join(step.received),
    )
    for step in CONVERSATION
    if step.xid != -8
]
TALK.append((1, SASL.payload(), [SASL.decode_response], ServerConnection().reply(1, 0, SaslResponse(b"token"))))
TALK.append(
    (
        1,
        CHILDREN.payload(),
        [CHILDREN.decode_response, decode_children],
        frame(1, struct.pack(">qii", 5, 0, 10) + NAMES),
    )
)
OPENED = FRAMES["connect"][1][1]
REFUSED = FRAMES["refused connect (unknown session)"][0][1]
REQUESTS = [step.sent for step in CONVERSATION]
CONNECT = FRAMES["connect"][0][1]


@pytest.fixture
def dice() -> random.Random:
    seed = int(os.environ.get("ZK_WIRE_FUZZ_SEED") or random.SystemRandom().getrandbits(32))
    print(f"ZK_WIRE_FUZZ_SEED={seed}")
    return random.Random(seed)


def mutated(dice: random.Random, stream: bytes, other: bytes) -> bytes:
    """`stream` with one to three changes; `other` is what pieces are taken from."""
    data = bytearray(stream)
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        at = int(dice.random() * (len(data) + 1))
        kind = int(dice.random() * 8)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << int(dice.random() * 8)
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            start = int(dice.random() * len(other))
            data[at : at + int(dice.random() * 20)] = other[start : start + int(dice.random() * 60)]
        elif kind == 3:
            data[at : at + 4] = struct.pack(">i", dice.choice(NUMBERS))
        elif kind == 4:
            data[at : at + 4] = struct.pack(">i", int(dice.random() * 100))
        elif kind == 5:
            data[at:at] = dice.randbytes(int(dice.random() * 30))
        elif kind == 6:
            del data[at : at + int(dice.random() * 12)]
        elif len(data) >= 4:
            length = struct.unpack_from(">i", data)[0]
            struct.pack_into(">i", data, 0, max(-(2**31), min(2**31 - 1, length + dice.choice((-4, -1, 1, 4, 68)))))
    return bytes(data)


def portions(dice: random.Random, data: bytes) -> Iterator[bytes]:
    if dice.random() < 0.7:
        yield data
        return
    start = 0
    while start < len(data):
        end = start + 1 + int(dice.random() * 40)
        yield data[start:end]
        start = end


def deliver(connection: ClientConnection | ServerConnection, dice: random.Random, data: bytes) -> list[Any]:
    """Feed everything; afterwards the connection is well, or has one error of the right kind."""
    events: list[Any] = []
    for part in portions(dice, data):
        events += connection.receive(part)
        error = connection.pending_error
        if error is not None:
            assert type(error) is RemoteProtocolError
            assert error.__cause__ is None or type(error.__cause__) is RemoteProtocolError, error
            with pytest.raises(RemoteProtocolError):
                connection.receive(b"more")
            break
    return events


@pytest.mark.timeout(120)
def test_a_client_meets_events_or_the_one_error_whatever_a_server_sends(dice: random.Random) -> None:
    seen: Counter[str] = Counter()
    everything = OPENED + b"".join(talk[3] for talk in TALK)
    for number in range(MUTATIONS):
        client = ClientConnection(max_frame=1 << 16)
        client.connect(ConnectRequest())
        if number % 16 == 0:
            opening = mutated(dice, dice.choice((OPENED, REFUSED)), everything)
            events = deliver(client, dice, opening)
            assert all(isinstance(event, EVENTS) for event in events)
            continue
        client.receive(OPENED)
        sent: list[Exchange[object]] = []
        answers: list[bytes] = []
        for _ in range(dice.choice((1, 1, 2, 4))):
            xid, payload, decoders, answer = TALK[int(dice.random() * len(TALK))]
            if xid == -2:
                client.ping()
            else:
                exchange: Exchange[object] = Exchange(payload, dice.choice(decoders))
                sent.append(exchange)
                if xid == -4:
                    client.send_auth(exchange)
                else:  # the reply carries the xid of this conversation
                    client.send(exchange)
                    *before, last = split(answer)
                    answer = b"".join(before) + last[:4] + struct.pack(">i", exchange.xid) + last[8:]
            answers.append(answer)
        stream = b"".join(answers)
        events = deliver(client, dice, mutated(dice, stream, everything))
        for event in events:
            assert isinstance(event, EVENTS)
            seen[type(event).__name__] += 1
        completed = [event for event in events if isinstance(event, Exchange)]
        left = client.close()
        assert len(completed) + len(left) == len(sent)
        assert {id(exchange) for exchange in completed + left} == {id(exchange) for exchange in sent}
        seen["failed" if client.pending_error else "well"] += 1
    assert min(seen[kind] for kind in ("Exchange", "Notification", "PingAnswered", "failed", "well")) > MUTATIONS / 500


def split(stream: bytes) -> list[bytes]:
    """The frames of a stream, with their lengths."""
    frames = []
    while stream:
        end = 4 + struct.unpack_from(">i", stream)[0]
        frames.append(stream[:end])
        stream = stream[end:]
    return frames


@pytest.mark.timeout(120)
def test_a_server_meets_requests_or_the_one_error_whatever_a_client_sends(dice: random.Random) -> None:
    seen: Counter[str] = Counter()
    everything = CONNECT + b"".join(REQUESTS) + frame(-4, AuthPacket("digest", b"u:p").payload())
    for number in range(MUTATIONS):
        server = ServerConnection(max_frame=1 << 16)
        if number % 16 == 0:
            stream = CONNECT
        else:
            server.receive(CONNECT)
            stream = b"".join(dice.choices(REQUESTS, k=dice.choice((1, 1, 2, 4))))
        events = deliver(server, dice, mutated(dice, stream, everything))
        for event in events:
            assert isinstance(event, SERVER_EVENTS)
            seen[type(event).__name__] += 1
            if isinstance(event, RequestReceived):
                assert event.request.opcode == event.opcode  # type: ignore[attr-defined]
                event.request.payload()  # type: ignore[attr-defined]
        seen["failed" if server.pending_error else "well"] += 1
    wanted = ("RequestReceived", "MalformedRequest", "UnknownRequest", "ConnectReceived", "failed", "well")
    assert min(seen[kind] for kind in wanted) > MUTATIONS / 500, seen


def test_bytes_from_nowhere_are_survived_as_well(dice: random.Random) -> None:
    for _ in range(MUTATIONS // 10):
        client, server = ClientConnection(max_frame=1 << 16), ServerConnection()
        client.connect(ConnectRequest())
        noise = dice.randbytes(int(dice.random() * 100))
        if dice.random() < 0.5:
            noise = struct.pack(">i", len(noise)) + noise
        deliver(client, dice, noise)
        deliver(server, dice, noise)
        deliver(connected_server(), dice, noise)
        assert client.close() == []


def connected_server() -> ServerConnection:
    server = ServerConnection()
    server.receive(CONNECT)
    return server


def test_the_frames_that_are_mutated_are_good_ones(dice: random.Random) -> None:
    assert [type(event) for event in connected_server().receive(b"".join(REQUESTS))] == [RequestReceived] * len(
        REQUESTS
    )
    assert PingRequest().payload() in [talk[1] for talk in TALK]
    assert dice.random() < 1
