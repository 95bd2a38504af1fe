"""The embedded server on sockets: in a thread, in an asyncio loop, and from the command line."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from embedded_client import OPEN, Talker, server_of

from zk_testing import AsyncEmbeddedServer, EmbeddedServer, Mode, VirtualClock
from zk_testing.__main__ import main
from zk_testing._maven import pins
from zk_testing.embedded.client import Client
from zk_testing.embedded.front import Output
from zk_testing.embedded.versions import LINES
from zk_testing.errors import ClusterError, ConversationError
from zk_testing.rawclient import RawClient
from zk_wire import (
    ADMIN_WORDS,
    ClientConnection,
    ConnectRequest,
    ConnectResponse,
    CreateRequest,
    Exchange,
    ExistsRequest,
    GetDataRequest,
    SetDataRequest,
    parse_conf,
    parse_cons,
    parse_isro,
    parse_mntr,
    parse_srvr,
    parse_stat,
)


def ask_word(address: str, word: str) -> str:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), 5) as sock:
        sock.sendall(word.encode())
        return b"".join(iter(lambda: sock.recv(65536), b"")).decode()


def test_a_client_works_with_it_over_a_socket() -> None:
    with EmbeddedServer() as server, RawClient(server.address) as raw:
        raw.request(CreateRequest("/a", b"1", OPEN, 0))
        raw.request(GetDataRequest("/a", True))
        raw.request(SetDataRequest("/a", b"2", -1))
        assert raw.wait_notification().path == "/a"
        assert raw.request(GetDataRequest("/a", False)).data == b"2"


def test_it_starts_in_under_ten_milliseconds() -> None:
    times: list[float] = []
    for _ in range(10):
        started = time.perf_counter()
        with EmbeddedServer():
            times.append(time.perf_counter() - started)
    assert min(times) < 0.010


def test_nothing_is_left_after_stop() -> None:
    threads = threading.active_count()
    server = EmbeddedServer()
    server.start()
    raw = RawClient(server.address)
    server.stop()
    server.stop()
    raw.wait_closed()
    raw.close()
    assert threading.active_count() == threads
    assert not server.running


def test_it_keeps_its_port_its_data_and_its_sessions_from_one_life_to_the_next() -> None:
    server = EmbeddedServer()
    with server:
        address = server.address
        raw = RawClient(address)
        raw.request(CreateRequest("/e", b"", OPEN, 1))
        raw.close()
    with server, RawClient(address, session=raw.session) as again:
        assert again.request(ExistsRequest("/e", False)).stat.ephemeral_owner == raw.session_id


def test_the_connection_string_takes_a_chroot() -> None:
    with EmbeddedServer() as server:
        assert server.connection_string("/app") == f"127.0.0.1:{server.port}/app" == server.hosts + "/app"


def test_a_session_can_be_expired_from_outside() -> None:
    with EmbeddedServer() as server:
        raw = RawClient(server.address)
        assert server.sessions() == [raw.session_id]
        server.expire_session(raw.session_id)
        raw.wait_closed()
        raw.close()
        with pytest.raises(ConversationError, match="SessionGone"):
            RawClient(server.address, session=raw.session)
        with pytest.raises(KeyError):
            server.expire_session(raw.session_id)


def test_connections_can_be_dropped_while_sessions_live() -> None:
    with EmbeddedServer() as server:
        raw = RawClient(server.address)
        server.drop_connections()
        raw.wait_closed()
        raw.close()
        with RawClient(server.address, session=raw.session):
            pass


def test_a_virtual_clock_moves_only_when_told() -> None:
    with EmbeddedServer(clock=VirtualClock()) as server:
        raw = RawClient(server.address, session_timeout=5)
        server.advance(4.9)
        raw.request(ExistsRequest("/", False))
        server.advance(5.3)
        raw.wait_closed()
        raw.close()


def test_real_time_cannot_be_advanced() -> None:
    with EmbeddedServer() as server, pytest.raises(ValueError, match="VirtualClock"):
        server.advance(1)


def test_a_silent_session_expires_in_real_time() -> None:
    with EmbeddedServer(tick_ms=20) as server:
        raw = RawClient(server.address, session_timeout=0.04)
        raw.wait_closed()
        raw.close()
        assert server.sessions() == []


def test_what_fails_inside_a_call_is_raised_by_it() -> None:
    with EmbeddedServer() as server, pytest.raises(ZeroDivisionError):
        server.call(lambda core: core.last_zxid // 0)


def test_a_client_that_does_not_read_does_not_stop_the_others() -> None:
    with EmbeddedServer() as server, RawClient(server.address) as lazy, RawClient(server.address) as other:
        other.request(CreateRequest("/big", bytes(500_000), OPEN, 0))
        exchanges = [lazy.send(GetDataRequest("/big", False)) for _ in range(100)]
        other.request(ExistsRequest("/big", False))
        assert len(lazy.wait(exchanges[-1]).data or b"") == 500_000


def test_pipelined_requests_are_answered_in_order() -> None:
    with EmbeddedServer() as server, RawClient(server.address) as raw:
        exchanges: list[Exchange[object]] = [raw.send(CreateRequest(f"/{n}", b"", OPEN, 0)) for n in range(500)]
        assert [raw.wait(exchange) and exchange.zxid for exchange in exchanges] == list(range(2, 502))


# As a real server, and as a cluster of one


def test_a_paused_server_is_silent_and_answers_everything_after_resume() -> None:
    with EmbeddedServer() as server, RawClient(server.address) as raw:
        server.pause()
        exchange = raw.send(CreateRequest("/a", b"", OPEN, 0))
        with pytest.raises(OSError, match="timed out"):
            server.send_command("ruok", timeout=0.05)
        assert (server.condition, server.role, server.running, server.paused) == ("paused", None, True, True)
        server.resume()
        assert raw.wait(exchange).path == "/a"
        assert (server.condition, server.role) == ("running", "standalone")


def test_sessions_that_ran_out_during_a_pause_end_when_it_does() -> None:
    with EmbeddedServer(clock=VirtualClock()) as server:
        raw = RawClient(server.address, session_timeout=5)
        server.pause()
        server.advance(60)
        assert server.sessions() == [raw.session_id]
        server.resume()
        assert server.sessions() == []
        raw.wait_closed()
        raw.close()


def test_a_stopped_server_can_be_neither_paused_nor_resumed() -> None:
    server = EmbeddedServer()
    for verb in (server.pause, server.resume):
        with pytest.raises(ClusterError, match="does not run"):
            verb()


@pytest.mark.parametrize("damage", ["kill", "stop", "pause", "mode"])
def test_healing_makes_it_serve_with_its_data(damage: str) -> None:
    with EmbeddedServer() as server:
        with RawClient(server.address) as raw:
            raw.request(CreateRequest("/kept", b"", OPEN, 0))
        assert not server.damaged
        if damage == "mode":
            server.set_mode(Mode.NOT_SERVING)
        else:
            getattr(server, damage)()
        assert server.damaged
        assert server.role is None
        with pytest.raises(ClusterError):
            server.wait_until_serving()
        with pytest.raises(ClusterError):
            server.leader()
        server.heal()
        assert not server.damaged
        assert server.wait_until_serving() == "standalone"
        with RawClient(server.address) as raw:
            assert raw.request(ExistsRequest("/kept", False)).stat.czxid == 2


def test_a_restart_keeps_the_data_and_a_replacement_does_not() -> None:
    with EmbeddedServer() as server:
        port = server.port
        with RawClient(server.address) as raw:
            raw.request(CreateRequest("/a", b"", OPEN, 0))
        server.restart()
        assert (server.port, server.status().node_count) == (port, 6)
        server.replace()
        assert (server.port, server.status().node_count) == (port, 5)


def test_it_is_a_cluster_of_one() -> None:
    with EmbeddedServer() as server:
        assert (len(server), list(server), server.members, server[0]) == (1, [server], (server,), server)
        assert (server.leader(), server.followers(), server.number) == (server, [], 1)
        assert server.status().mode == "standalone"
        with pytest.raises(ClusterError):
            server.leader(other_than=server)


@pytest.mark.parametrize("version", ["2.0", "3.5.10", "3.11", "newer", ""])
def test_versions_that_cannot_be_embedded_are_refused(version: str) -> None:
    with pytest.raises(ValueError, match="version"):
        EmbeddedServer(version=version)


@pytest.mark.parametrize(("line", "exact"), [("3.6", "3.6.4"), ("3.8", "3.8.7"), ("3.8.4", "3.8.4"), ("3.9", "3.9.6")])
def test_a_line_stands_for_a_release(line: str, exact: str) -> None:
    with EmbeddedServer(version=line) as server:
        assert server.version == exact


def test_a_name_stands_for_the_same_release_as_of_real_servers() -> None:
    assert {name: exact for name, exact in LINES.items() if name != "3.10"} == pins().names


# Four-letter words


def test_every_word_is_answered_as_zk_wire_reads_it() -> None:
    with EmbeddedServer(version="3.8") as server, RawClient(server.address) as raw:
        raw.request(CreateRequest("/a", b"", OPEN, 1))
        raw.request(GetDataRequest("/a", True))
        answers = {word: ask_word(server.address, word) for word in ADMIN_WORDS - {"stmk"}}
    assert answers["ruok"] == "imok"
    status = parse_srvr(answers["srvr"])
    assert (status.mode, status.zxid, status.node_count) == ("standalone", 2, 6)
    assert parse_stat(answers["stat"]).mode == "standalone"
    assert parse_isro(answers["isro"]) is not None
    measures = parse_mntr(answers["mntr"])
    assert (measures["zk_ephemerals_count"], measures["zk_watch_count"]) == (1, 1)
    assert parse_conf(answers["conf"])["tickTime"] == "200"
    assert any(client.details.get("sid") == f"0x{raw.session_id:x}" for client in parse_cons(answers["cons"]))
    assert answers["wchs"] == "1 connections watching 1 paths\nTotal watches:1\n"
    assert answers["wchp"] == f"/a\n\t0x{raw.session_id:x}\n\n"
    assert answers["wchc"] == f"0x{raw.session_id:x}\n\t/a\n\n"
    assert f"0x{raw.session_id:x}:\n\t/a\n" in answers["dump"]
    assert answers["crst"] == "Connection stats reset.\n"
    assert answers["srst"] == "Server stats reset.\n"
    assert answers["envi"].startswith("Environment:\n")


@pytest.mark.parametrize(("version", "built"), [("3.6", "01/01/1970 00:00 GMT"), ("3.8", "1970-01-01 00:00 UTC")])
def test_srvr_dates_the_server_as_its_version_does(version: str, built: str) -> None:
    line = server_of(version).connect()
    line.send(b"srvr")
    assert line.take().decode().partition("\n")[0].endswith(f"-embedded, built on {built}")


def test_dump_names_sessions_and_connections_under_the_dates_of_their_ends() -> None:
    server = server_of(tick_ms=1000)
    started = server.clock.now_ms()
    session = f"0x{Talker(server, timeout_ms=4000).session[0]:x}"
    line = server.connect()
    line.send(b"dump")
    dates = re.findall(r"expire at (.*):\n((?:\t.*\n)+)", line.take().decode())
    ends = [datetime.strptime(date, "%a %b %d %H:%M:%S UTC %Y").replace(tzinfo=UTC) for date, _who in dates]
    assert [who.split() for _date, who in dates][:1] == [[session]]
    assert ends[0].timestamp() * 1000 == ((started + 4000) // 1000 + 1) * 1000
    assert re.findall(r"\tip: /\S+ sessionId: (\S+)", "".join(who for _date, who in dates[1:])) == [session, "0x0"]


def test_cons_counts_what_a_connection_sent_and_names_its_last_operation() -> None:
    server = server_of()
    Talker(server).create("/a")
    line = server.connect()
    line.send(b"cons")
    mine, asking = line.take().decode().splitlines()[:2]
    assert "[1](queued=0,recved=2,sent=2," in mine and ",lop=CREA," in mine and f",est={server.clock.now_ms()}," in mine
    assert asking.endswith("[0](queued=0,recved=1,sent=0)")


def test_a_word_outside_of_the_whitelist_is_refused() -> None:
    server = server_of(admin_words=frozenset({"srvr"}))
    line = server.connect()
    line.send(b"mn")
    line.send(b"tr")
    assert line.take() == b"mntr is not executed because it is not in the whitelist.\n"
    assert line.closed


def test_an_unknown_word_is_an_absurd_length() -> None:
    line = server_of().connect()
    line.send(b"what")
    assert line.closed and line.take() == b""


# Other worlds


def test_it_serves_in_an_asyncio_loop() -> None:
    async def talk() -> None:
        async with AsyncEmbeddedServer(version="3.8") as server:

            def blocking() -> bytes | None:
                with RawClient(server.address) as raw:
                    raw.request(CreateRequest("/a", b"1", OPEN, 0))
                    return raw.request(GetDataRequest("/a", False)).data

            assert await asyncio.to_thread(blocking) == b"1"
            assert len(server.core.sessions) == 0

    asyncio.run(talk())


def test_sessions_expire_in_an_asyncio_loop() -> None:
    async def talk() -> None:
        async with AsyncEmbeddedServer() as server:
            raw = await asyncio.to_thread(RawClient, server.address)
            server.expire_session(raw.session_id)
            await asyncio.to_thread(raw.wait_closed)
            raw.close()
            server.set_mode(Mode.NOT_SERVING)
            with pytest.raises(ConversationError):
                await asyncio.to_thread(RawClient, server.address)

    asyncio.run(talk())


@pytest.mark.parametrize("drop", [False, True])
def test_a_client_that_does_not_read_keeps_no_server_in_a_loop_from_stopping(drop: bool) -> None:
    most = 60 * 900_000
    read = GetDataRequest("/a", False).payload()
    asked = b"".join(struct.pack(">ii", 4 + len(read), xid) + read for xid in range(60))

    async def talk() -> int:
        server = AsyncEmbeddedServer()
        await server.start()
        tree = server.core.tree
        tree.create("/a", bytes(900_000), tuple(OPEN), zxid=0, time_ms=0, creations=1)
        with socket.socket() as client:
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, ("127.0.0.1", int(server.address.rpartition(":")[2])))
            await loop.sock_sendall(client, ClientConnection().connect(ConnectRequest(timeout_ms=10_000)) + asked)
            await loop.sock_recv(client, 1)  # the rest waits behind it, in the system and in the loop
            if drop:
                server.drop_connections()
            await asyncio.wait_for(server.stop(), 5)
            got = 0
            with contextlib.suppress(ConnectionResetError):
                while data := await loop.sock_recv(client, 1 << 20):
                    got += len(data)
        return got

    assert asyncio.run(talk()) < most


@contextlib.contextmanager
def command(*arguments: str) -> Iterator[str]:
    """The address of a server of the command line, which ends well with the block."""
    ready, end = threading.Event(), threading.Event()
    codes: list[int] = []

    class Shown(io.StringIO):
        def flush(self) -> None:
            ready.set()

    def run() -> None:
        codes.append(main(["serve", *arguments], until=end))

    shown = Shown()
    with contextlib.redirect_stdout(shown):
        thread = threading.Thread(target=run)
        thread.start()
        try:
            assert ready.wait(10)
            yield shown.getvalue().strip()
        finally:
            end.set()
            thread.join(10)
    assert codes == [0]


def test_the_command_serves_until_it_is_stopped() -> None:
    with command("--version", "3.8") as address, RawClient(address) as raw:
        raw.request(ExistsRequest("/", False))


def test_a_command_that_is_started_again_tells_old_clients_that_their_session_is_gone() -> None:
    def connect(session: tuple[int, bytes], seen: int) -> tuple[int, int]:
        request = ConnectRequest(seen, 5000, session[0], session[1], False)
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port)), 5) as sock:
            sock.sendall(ClientConnection().connect(request))
            answer = ConnectResponse.decode(sock.recv(4096)[4:])
        return answer.timeout_ms, answer.session_id

    with command() as address, RawClient(address) as raw:
        seen = parse_srvr(ask_word(address, "srvr")).zxid
        session = raw.session
        assert connect(session, seen) == (5000, session[0])
    with command() as address:
        assert connect(session, seen) == (0, 0)


@pytest.mark.parametrize("zxid", [-1, 1 << 62])
def test_a_first_zxid_that_leaves_no_room_is_refused(zxid: int) -> None:
    with pytest.raises(ValueError, match="first_zxid is at least 0 and below"):
        server_of(first_zxid=zxid)


def test_the_command_says_why_it_cannot_serve(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--version", "2.0"]) == 2
    assert "version" in capsys.readouterr().err


def test_a_client_of_zk_client_works_with_it() -> None:
    zk_client = pytest.importorskip("zk_client")
    with EmbeddedServer() as server, zk_client.Client(server.hosts) as client:
        client.create("/a", b"1")
        data, _stat = client.get("/a")
        assert data == b"1"


def test_a_fault_of_the_server_itself_costs_one_connection_and_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with EmbeddedServer() as server, RawClient(server.address) as first, RawClient(server.address) as second:
        receive = server.core.receive

        def fail_on_paths(client: Client, data: bytes, now_ms: int) -> list[Output]:
            if b"/fails" in data:
                raise RuntimeError("a fault of its own")
            return receive(client, data, now_ms)

        monkeypatch.setattr(server.core, "receive", fail_on_paths)
        with pytest.raises(ConversationError):
            first.request(ExistsRequest("/fails", False))

        assert second.request(GetDataRequest("/", False)).data == b""
        assert "a fault of its own" in caplog.text
