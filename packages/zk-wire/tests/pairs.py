"""A client and a server connection back to back, so that each test looks at both sides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from zk_wire import (
    ClientConnection,
    Connected,
    ConnectionState,
    ConnectReceived,
    ConnectRequest,
    ConnectResponse,
    Event,
    Exchange,
    GetDataRequest,
    GetDataResponse,
    RemoteProtocolError,
    Request,
    RequestReceived,
    Response,
    ServerConnection,
    Stat,
)

PASSWORD = b"sixteen bytes ok"
STAT = Stat(*range(1, 12))
GET = GetDataRequest("/a", False)
GOT = GetDataResponse(b"data", STAT)


@dataclass
class Pair:
    """Two ends of one conversation; `connect` opens it."""

    client: ClientConnection = field(default_factory=ClientConnection)
    server: ServerConnection = field(default_factory=ServerConnection)

    def connect(self, request: ConnectRequest | None = None) -> Connected:
        """Open the session from both sides."""
        request = request or ConnectRequest(timeout_ms=10_000, read_only=False)
        assert self.server.receive(self.client.connect(request)) == [ConnectReceived(request)]
        answer = self.server.accept(ConnectResponse(request.timeout_ms, 0x1234, PASSWORD, False))
        [connected] = self.client.receive(answer)
        assert isinstance(connected, Connected)
        return connected

    def send(self, request: Request[Any]) -> Exchange[Any]:
        """Send a request, and see it arrive as it was."""
        exchange = Exchange.of(request)
        [received] = self.server.receive(self.client.send(exchange))
        assert received == RequestReceived(exchange.xid, request.opcode, request)
        return exchange

    def ask(self, request: Request[Any], response: Response | None = None, *, zxid: int = 1, err: int = 0) -> Any:
        """Send a request, answer it, and return what the client made of the answer."""
        exchange = self.send(request)
        assert self.client.receive(self.server.reply(exchange.xid, zxid, response, err)) == [exchange]
        assert (exchange.zxid, exchange.error) == (zxid, err)
        return exchange.reply


def connected_pair() -> Pair:
    """A pair whose session is open."""
    pair = Pair()
    pair.connect()
    return pair


def portions(data: bytes, cuts: Sequence[int]) -> Iterator[bytes]:
    """`data` in the portions that these positions cut it into; some may be empty."""
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in pairwise(edges):
        yield data[start:end]


def failure(client: ClientConnection) -> RemoteProtocolError:
    """The error the next call raises, which is the one that is pending."""
    assert client.state is ConnectionState.FAILED
    with pytest.raises(RemoteProtocolError) as caught:
        client.receive(b"")
    assert caught.value is client.pending_error is client.closed_by
    return caught.value


def through_room(client: ClientConnection, stream: bytes, piece: int = 70_000) -> list[Event]:
    """Feed a stream as a handler does: large frames through `room`, everything else through `receive`."""
    events: list[Event] = []
    while stream and client.pending_error is None:
        count = min(client.missing or 1000, piece, len(stream))
        if client.missing:
            with client.room() as room:
                room[:count] = stream[:count]
            events += client.filled(count)
        else:
            events += client.receive(stream[:count])
        stream = stream[count:]
    return events
