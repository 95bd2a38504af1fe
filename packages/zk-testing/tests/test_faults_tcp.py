"""What only sockets show: resets, pieces, streams without frames, servers in an event loop, and waiting connections."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Iterator

import pytest
from toy import ToyServer

from zk_testing import AsyncEmbeddedServer, EmbeddedServer
from zk_testing.errors import ConversationError, NotSeenError, SessionRefusedError, TestingError
from zk_testing.faults import FaultProxy, Passed
from zk_testing.rawclient import RawClient
from zk_wire import (
    OPEN_ACL_UNSAFE,
    CreateMode,
    CreateRequest,
    DeleteRequest,
    ExistsRequest,
    NoNodeError,
    OpCode,
    SetDataRequest,
)

DELETE = DeleteRequest("/a", -1)
CONNECT = bytes.fromhex("0000002d" + 12 * "00" + "00002710" + 8 * "00" + "00000010" + 17 * "00")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5.0)
        yield listener


def connected(listener: socket.socket, proxy: FaultProxy) -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection through the proxy: the client's, and the server's."""
    client = socket.create_connection(("127.0.0.1", proxy.port), 5)
    server, _ = listener.accept()
    server.settimeout(5.0)
    return client, server


# Ends


@pytest.mark.parametrize(("how", "error"), [("fin", None), ("reset", ConnectionResetError)])
def test_both_sides_see_a_cut_as_it_was_asked_for(
    listener: socket.socket, how: str, error: type[Exception] | None
) -> None:
    with FaultProxy(listener.getsockname()) as proxy:
        client, server = connected(listener, proxy)
        with client, server:
            proxy.cut(how)  # type: ignore[arg-type]
            for side in (client, server):
                if error is None:
                    assert side.recv(1) == b""
                else:
                    with pytest.raises(error):
                        side.recv(1)


def test_what_came_before_a_reset_is_delivered(proxy: FaultProxy, raw: RawClient) -> None:
    proxy.cut_after("delete", of="reply", how="reset")
    raw.request(DELETE)
    with pytest.raises(ConversationError, match="reset by peer"):
        raw.request(DELETE)


@pytest.mark.parametrize("after_bytes", [1, 7, 19, 20, 1000])
def test_a_cut_inside_delivers_so_many_bytes_and_never_all(proxy: FaultProxy, raw: RawClient, after_bytes: int) -> None:
    fault = proxy.cut_inside("delete", after_bytes=after_bytes)
    raw.send(DELETE)
    received = b""
    while data := raw._socket.recv(100):
        received += data
    assert len(received) == min(after_bytes, 19)  # the frame has 20
    assert fault.wait().lost


def test_a_request_cut_inside_never_arrives_whole(upstream: ToyServer, proxy: FaultProxy, raw: RawClient) -> None:
    raw.request(DELETE)
    proxy.cut_inside("set_data", of="request")
    with pytest.raises(ConversationError):
        raw.request(SetDataRequest("/a", b"", -1))
    proxy.wait_for_connections(0)
    assert upstream.received == [(OpCode.DELETE, 1)]


def test_of_two_cuts_the_first_one_set_strikes(proxy: FaultProxy, raw: RawClient) -> None:
    first, second = proxy.cut_before("delete"), proxy.cut_before("delete")
    for client in (raw, RawClient(proxy.address)):
        with pytest.raises(ConversationError):
            client.request(DELETE)
        client.close()
    assert [fault.struck[0].connection for fault in (first, second)] == [1, 2]


# Pieces


def test_a_chopped_frame_is_sent_in_pieces(proxy: FaultProxy, raw: RawClient) -> None:
    proxy.chop(4, "delete", pause=0.05, direction="to_client")
    raw.send(DELETE)
    pieces = []
    while sum(pieces) < 20:
        pieces.append(len(raw._socket.recv(100)))
    assert pieces == [4] * 5


def test_a_slow_line_is_slow_for_each_frame_behind_another(proxy: FaultProxy, raw: RawClient) -> None:
    proxy.slow(2000, direction="to_client")
    for exchange in [raw.send(DELETE) for _ in range(20)]:
        raw.wait(exchange)
    times = [passed.time for passed in proxy.record if passed.kind == "delete"]
    assert 0.19 <= max(times) - min(times) < 2.0  # 400 bytes at 2000 a second


def test_a_pause_ends_by_itself(proxy: FaultProxy, raw: RawClient) -> None:
    fault = proxy.pause(0.1, "delete")
    sent = proxy.mark()
    raw.request(DELETE)
    raw.request(DELETE)
    assert len(fault.struck) == 1
    assert [passed.kind for passed in proxy.record[sent:]] == ["delete"] * 4


def test_a_freeze_with_an_end_thaws_by_itself(proxy: FaultProxy, raw: RawClient) -> None:
    proxy.freeze(seconds=0.1)
    raw.request(DELETE)
    assert proxy.history == ("freeze both seconds=0.1",)


def test_whoever_has_received_a_late_reply_finds_that_it_was_struck(proxy: FaultProxy, raw: RawClient) -> None:
    fault = proxy.delay(0.0, "delete")
    for number in range(1, 200):
        raw.request(DELETE)
        assert len(fault.struck) == number


# Streams without frames


def test_tls_passes_and_can_be_damaged(listener: socket.socket) -> None:
    with FaultProxy(listener.getsockname()) as proxy:
        proxy.corrupt("raw", of="request", at=0)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        with pytest.raises(ssl.SSLWantReadError):
            context.wrap_bio(incoming, outgoing, server_hostname="zk").do_handshake()
        hello = outgoing.read()
        client, server = connected(listener, proxy)
        with client, server:
            client.sendall(hello)
            assert server.recv(1, socket.MSG_WAITALL) == bytes([hello[0] ^ 0xFF])
            server.sendall(b"\xff" * 10)
            assert client.recv(10, socket.MSG_WAITALL) == b"\xff" * 10
        assert {passed.kind for passed in proxy.record} == {"raw"}
        with pytest.raises(TestingError, match="no session was opened through this proxy"):
            proxy.expire_session()


# Sessions


@pytest.fixture
def embedded() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as server:
        yield server


def test_who_comes_while_a_session_expires_waits_and_is_told(embedded: EmbeddedServer) -> None:
    with FaultProxy(embedded) as proxy:
        raw = RawClient(proxy.address, session_timeout=0.4)
        outcome: list[Exception] = []

        def come_back() -> None:
            raw.wait_closed()
            try:
                RawClient(proxy.address, session=raw.session)
            except SessionRefusedError as error:
                outcome.append(error)

        eager = threading.Thread(target=come_back)
        eager.start()
        proxy.expire_session(how="silence")
        eager.join(5)
        raw.close()
        assert len(outcome) == 1


@pytest.mark.parametrize("how", ["fin", "reset"])
def test_a_client_that_leaves_during_the_silence_does_not_disturb_it(embedded: EmbeddedServer, how: str) -> None:
    with FaultProxy(embedded) as proxy, RawClient(embedded.address) as witness:
        raw = RawClient(proxy.address, session_timeout=0.4)
        raw.request(CreateRequest("/e", b"", OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL))
        proxy.freeze()  # so that the silence begins before the proxy hears of the end
        if how == "reset":
            raw._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.close()
        assert proxy.expire_session(how="silence") == (raw.session_id,)
        with pytest.raises(NoNodeError):
            witness.request(ExistsRequest("/e", False))
        proxy.heal()
        proxy.wait_for_connections(0)


def test_while_a_session_is_held_who_comes_waits(proxy: FaultProxy) -> None:
    held = proxy._do(lambda: proxy._core.hold(set()))
    with socket.create_connection(("127.0.0.1", proxy.port), 5):
        for _ in range(5):
            proxy._do(lambda: None)  # a turn of the loop, in which it could have been let in
        assert proxy.connections == 0
        proxy._do(lambda: proxy._core.let_go(held))
        proxy.wait_for_connections(1)


def test_a_connection_that_ends_without_its_session_is_no_expiry(embedded: EmbeddedServer) -> None:
    with FaultProxy(embedded) as proxy:
        raw = RawClient(proxy.address)
        proxy.freeze()
        embedded.drop_connections(raw.session_id)
        with pytest.raises(TestingError, match=f"the connection of session 0x{raw.session_id:x}, not the session"):
            proxy.expire_session(how="silence")
        raw.close()


def test_a_server_that_is_gone_cannot_expire_a_session(embedded: EmbeddedServer) -> None:
    with FaultProxy(embedded) as proxy:
        raw = RawClient(proxy.address)
        embedded.stop()
        with pytest.raises(TestingError, match="did not take session 0x"):
            proxy.expire_session()
        raw.wait_closed()  # what was held back flows again
        raw.close()


def test_a_silence_without_end_is_given_up_and_everything_flows_again(embedded: EmbeddedServer) -> None:
    with FaultProxy(embedded) as proxy, RawClient(proxy.address, session_timeout=30.0) as raw:
        with pytest.raises(NotSeenError, match=r"waited 0\.05 s for the server to end 1 of 1"):
            proxy.expire_session(how="silence", timeout=0.05)
        raw.ping()


# Servers in an event loop


def test_a_server_in_the_same_process_loop_is_served_through_a_proxy() -> None:
    def talk(proxy: FaultProxy) -> list[Passed]:
        proxy.lose_reply("create")
        raw = RawClient(proxy.address, reply_timeout=5.0)
        with pytest.raises(ConversationError):
            raw.request(CreateRequest("/a", b"", OPEN_ACL_UNSAFE, 0))
        raw.close()
        with RawClient(proxy.address, session=raw.session, reply_timeout=5.0) as again:
            again.request(ExistsRequest("/a", False))
            assert proxy.expire_session() == (again.session_id,)
        return proxy.wait_for("create")

    async def main() -> None:
        async with AsyncEmbeddedServer() as server:
            with FaultProxy(server) as proxy:
                assert len(await asyncio.to_thread(talk, proxy)) == 1
                with pytest.raises(TestingError, match="no session was opened"):
                    proxy.move_session()

    asyncio.run(main())


def test_words_that_do_not_wait_for_the_server_may_be_said_in_its_loop() -> None:
    async def main() -> None:
        async with AsyncEmbeddedServer() as server:
            with FaultProxy(server) as proxy:
                reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
                proxy.freeze()
                writer.write(CONNECT)
                proxy.heal()
                assert len(await reader.readexactly(41)) == 41
                with pytest.raises(TestingError, match="in an event loop, `await asyncio"):
                    proxy.expire_session()
                proxy.cut()
                assert await reader.read() == b""
                writer.close()
                await writer.wait_closed()

    asyncio.run(main())
