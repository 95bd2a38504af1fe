"""Promises about connections and sessions of the embedded server (protocol: connection establishment, sessions)."""

from __future__ import annotations

import pytest
from embedded_client import ALL_VERSIONS, OPEN, RefusedError, Talker, connect_raw, server_of

from zk_testing.embedded import Mode
from zk_testing.embedded.sessions import Sessions, password_of
from zk_wire import (
    CloseSessionRequest,
    ConnectRequest,
    CreateRequest,
    EventType,
    ExistsRequest,
    GetDataRequest,
    GetEphemeralsRequest,
    SaslRequest,
    SessionGone,
    SyncRequest,
    WhoAmIRequest,
)


@pytest.mark.parametrize(
    ("asked", "granted"), [(-5, 1000), (0, 1000), (999, 1000), (1001, 1001), (10_001, 10_000), (2**31 - 1, 10_000)]
)
def test_the_timeout_is_clamped(asked: int, granted: int) -> None:
    server = server_of(tick_ms=500, max_session_timeout_ms=10_000)
    assert Talker(server, timeout_ms=asked).timeout_ms == granted


def test_the_password_of_a_session_follows_from_its_number() -> None:
    assert password_of(0x100000B5C05001E).hex() == "5e582384ca50c225d8ce3c65edddd307"


def test_a_new_session_takes_one_zxid() -> None:
    server = server_of()
    Talker(server)
    assert server.core.last_zxid == 1


def test_session_numbers_carry_the_server_id_and_differ() -> None:
    sessions = Sessions(tick_ms=100, start_ms=1_700_000_000_000, server_id=3)
    first, second = sessions.create(1000, 0), sessions.create(1000, 0)
    assert first.id >> 56 == 3
    assert second.id == first.id + 1


def test_session_numbers_of_high_servers_are_negative() -> None:
    assert Sessions(tick_ms=100, start_ms=1, server_id=200).create(1000, 0).id < 0


def test_the_answer_has_the_read_only_byte_only_for_those_who_sent_it() -> None:
    server = server_of()
    without = ConnectRequest(timeout_ms=5000, read_only=None).encode()
    assert connect_raw(server, without)[1] == 4 + 36
    assert connect_raw(server, without + b"\0")[1] == 4 + 37


@pytest.mark.parametrize("password", [None, b"", b"x", bytes(40)])
def test_a_new_session_accepts_any_password(password: bytes | None) -> None:
    answer, _length, closed = connect_raw(server_of(), ConnectRequest(timeout_ms=5000, password=password).encode())
    assert answer is not None and answer.timeout_ms == 5000 and not closed


def test_a_session_is_resumed_on_a_new_connection() -> None:
    server = server_of()
    first = Talker(server)
    first.create("/e", flags=1)
    first.lose()
    again = Talker(server, first.session)
    assert again.session == first.session
    assert again.ask(GetEphemeralsRequest(None)).ephemerals == ["/e"]


def test_the_timeout_is_negotiated_again_at_each_connect() -> None:
    server = server_of()
    first = Talker(server, timeout_ms=4000)
    assert Talker(server, first.session, timeout_ms=2500).timeout_ms == 2500


def test_resuming_closes_the_previous_connection() -> None:
    server = server_of()
    first = Talker(server)
    Talker(server, first.session)
    assert first.closed


def test_a_wrong_password_is_refused_but_knocks_out_the_live_connection() -> None:
    server = server_of()
    first = Talker(server)
    intruder = Talker(server, (first.session[0], b"guess"))
    assert isinstance(intruder.events[0], SessionGone)
    assert intruder.closed and first.closed
    assert Talker(server, first.session).connected


def test_an_unknown_session_is_refused_with_zeros() -> None:
    answer, length, closed = connect_raw(server_of(), ConnectRequest(timeout_ms=5000, session_id=99).encode() + b"\0")
    assert answer is not None and (answer.timeout_ms, answer.session_id, answer.password) == (0, 0, bytes(16))
    assert length == 41 and closed


def test_a_client_from_the_future_is_closed_without_an_answer_and_keeps_its_session() -> None:
    server = server_of()
    first = Talker(server)
    answer, length, closed = connect_raw(
        server, ConnectRequest(last_zxid_seen=99, timeout_ms=5000, session_id=first.session[0]).encode()
    )
    assert (answer, length, closed) == (None, 0, True)
    assert not first.closed


@pytest.mark.parametrize("content", [b"", b"\0" * 10, b"GET / HTTP/1.1"])
def test_a_first_frame_that_is_no_connect_request_ends_the_connection(content: bytes) -> None:
    assert connect_raw(server_of(), content) == (None, 0, True)


@pytest.mark.parametrize("length", [-1, 1_048_576, 2**31 - 1])
def test_an_absurd_length_ends_the_connection_at_once(length: int) -> None:
    talker = Talker(server_of())
    talker.line.send(length.to_bytes(4, "big", signed=True))
    assert talker.closed


def test_a_frame_as_long_as_the_limit_is_accepted() -> None:
    talker = Talker(server_of())
    talker.create("/a")
    data = bytes(1_048_575 - 8 - 4 - 2 - 4 - 4)
    assert talker.set("/a", data).data_length == len(data)


def test_a_silent_connection_without_a_session_ends_after_ten_to_twenty_seconds() -> None:
    server = server_of()
    line = server.connect()
    server.advance(9.9)
    assert not line.closed
    server.advance(10.2)
    assert line.closed


def test_requests_behind_the_connect_request_are_answered_after_it() -> None:
    server = server_of()
    line = server.connect()
    connect = ConnectRequest(timeout_ms=5000).encode()
    ping = b"\xff\xff\xff\xfe\0\0\0\x0b"
    line.send(len(connect).to_bytes(4, "big") + connect + b"\0\0\0\x08" + ping)
    assert len(line.take()) == 4 + 36 + 4 + 16


def test_a_second_connect_request_is_an_unknown_request() -> None:
    talker = Talker(server_of())
    connect = ConnectRequest(timeout_ms=5000).encode()
    talker.line.send(len(connect).to_bytes(4, "big") + connect)
    assert talker.line.take()[4:] == bytes(4) + b"\xff" * 8 + b"\xff\xff\xff\xfa"
    assert talker.line.closed


def test_too_many_connections_of_one_address_are_closed() -> None:
    server = server_of(max_client_connections=2)
    lines = [server.connect(), server.connect(), server.connect(), server.connect("127.0.0.2")]
    assert [line.closed for line in lines] == [False, False, True, False]


# Expiry


@pytest.mark.parametrize(("timeout_ms", "tick_ms"), [(1000, 500), (1500, 500), (2200, 500), (1000, 300)])
def test_a_silent_session_lives_for_its_timeout_and_ends_within_a_tick_more(timeout_ms: int, tick_ms: int) -> None:
    server = server_of(tick_ms=tick_ms)
    talker = Talker(server, timeout_ms=timeout_ms)
    server.advance((timeout_ms - 1) / 1000)
    assert server.core.sessions.get(talker.session[0]) is not None
    server.advance((tick_ms + 1) / 1000)
    assert server.core.sessions.get(talker.session[0]) is None


def test_an_expired_session_loses_its_nodes_with_events_and_its_connection_without_a_word() -> None:
    server = server_of()
    dying, watching = Talker(server, timeout_ms=1000), Talker(server, timeout_ms=60_000)
    dying.create("/e", flags=1)
    watching.ask(ExistsRequest("/e", True))
    zxid = server.core.last_zxid
    server.advance(2)
    assert dying.closed and dying.line.take() == b""
    assert watching.heard() == [(EventType.DELETED, "/e")]
    assert server.core.last_zxid == zxid + 1
    assert isinstance(Talker(server, dying.session).events[0], SessionGone)


def test_a_ping_keeps_a_session_alive() -> None:
    server = server_of()
    talker = Talker(server, timeout_ms=1000)
    for _ in range(10):
        server.advance(0.9)
        talker.raw(11, xid=-2)
    assert server.core.sessions.get(talker.session[0]) is not None


def test_auth_packets_do_not_keep_a_session_alive() -> None:
    server = server_of()
    talker = Talker(server, timeout_ms=1000)
    for _ in range(10):
        server.advance(0.3)
        talker.auth("ip", b"")
    assert server.core.sessions.get(talker.session[0]) is None


def test_a_lost_connection_leaves_session_and_ephemerals_until_expiry() -> None:
    server = server_of()
    talker, other = Talker(server, timeout_ms=1000), Talker(server, timeout_ms=60_000)
    talker.create("/e", flags=1)
    talker.lose()
    assert other.code(ExistsRequest("/e", False)) == 0
    server.advance(2)
    assert other.code(ExistsRequest("/e", False)) == -101


def test_expire_session_ends_it_at_once() -> None:
    server = server_of()
    talker = Talker(server)
    server.expire_session(talker.session[0])
    assert talker.closed
    with pytest.raises(KeyError, match="no session"):
        server.expire_session(talker.session[0])


# The end


def test_close_session_tells_its_own_deletes_then_answers_then_closes() -> None:
    server = server_of()
    talker = Talker(server)
    talker.create("/e", flags=1)
    talker.ask(ExistsRequest("/e", True))
    exchange = talker.exchange(CloseSessionRequest())
    assert [type(item).__name__ for item in talker.order[-2:]] == ["Notification", "Exchange"]
    assert exchange.error == 0 and exchange.zxid == server.core.last_zxid
    assert talker.closed


def test_requests_behind_close_session_are_dropped() -> None:
    talker = Talker(server_of())
    talker.line.send(b"\0\0\0\x08\0\0\0\x05\xff\xff\xff\xf5" + b"\0\0\0\x08\xff\xff\xff\xfe\0\0\0\x0b")
    assert len(talker.line.take()) == 4 + 16


def test_an_unknown_opcode_is_answered_with_minus_six_and_the_session_survives() -> None:
    server = server_of()
    talker = Talker(server)
    assert talker.raw(999) == [(77, -1, -6, b"")]
    assert talker.closed
    assert Talker(server, talker.session).connected


@pytest.mark.parametrize("version", ["3.6", "3.8", "3.9"])
def test_one_write_behind_an_unknown_opcode_is_done_and_not_answered(version: str) -> None:
    server = server_of(version)
    talker, other = Talker(server), Talker(server)
    frames = [b"\0\0\0\7\0\0\0\x63"]
    frames += [b"\0\0\0\x08" + CreateRequest(path, b"", OPEN, 0).payload() for path in ("/first", "/second")]

    talker.line.send(b"".join(len(content).to_bytes(4, "big") + content for content in frames))

    assert talker.line.take()[4:] == bytes.fromhex("00000007 ffffffffffffffff fffffffa")
    assert talker.line.closed
    assert [other.code(ExistsRequest(path, False)) for path in ("/first", "/second")] == [0, -101]


@pytest.mark.parametrize(("version", "known"), [("3.6", False), ("3.7", True)])
def test_who_am_i_is_known_since_3_7(version: str, known: bool) -> None:
    talker = Talker(server_of(version))
    exchange = talker.exchange(WhoAmIRequest())
    assert exchange.error == (0 if known else -6)
    assert talker.closed is not known


def test_a_client_cannot_create_a_session_by_opcode_but_takes_a_zxid() -> None:
    server = server_of()
    talker = Talker(server)
    before = server.core.last_zxid
    assert talker.raw(-10)[0][2] == -5
    assert server.core.last_zxid == before + 1 and not talker.closed


def test_the_answer_to_a_ping_has_the_xid_of_pings() -> None:
    assert [reply[0] for reply in Talker(server_of()).raw(11, xid=77)] == [-2]


@pytest.mark.parametrize("xid", [0, -1, -4, -8, -9, 2**31 - 1])
def test_any_xid_is_echoed(xid: int) -> None:
    talker = Talker(server_of())
    assert talker.raw(9, b"\0\0\0\1/", xid=xid)[0][0] == xid


def test_replies_carry_the_zxid_of_their_moment() -> None:
    server = server_of()
    talker = Talker(server)
    created = talker.exchange(CreateRequest("/a", b"", OPEN, 0))
    read = talker.exchange(GetDataRequest("/a", False))
    failed = talker.exchange(CreateRequest("/a", b"", OPEN, 0))
    assert (created.zxid, read.zxid, failed.zxid) == (2, 2, 3)
    assert talker.exchange(SyncRequest("/")).zxid == 3
    assert talker.raw(11)[0][1] == 3


@pytest.mark.parametrize("version", ALL_VERSIONS)
def test_a_server_without_sasl_answers_null(version: str) -> None:
    talker = Talker(server_of(version))
    assert talker.raw(102, b"\0\0\0\0") == [(77, 0, 0, b"\xff\xff\xff\xff")]
    assert talker.raw(102, b"\xff\xff\xff\xff") == []
    assert talker.closed


# Authentication that is required


def test_where_authentication_is_required_everything_else_is_refused_and_closed() -> None:
    server = server_of(auth_required=frozenset({"digest"}))
    talker = Talker(server)
    assert talker.raw(11, xid=5) == [(5, 0, -124, b"")]
    assert talker.closed
    again = Talker(server, talker.session)
    assert again.auth("digest", b"a:b") == 0
    assert again.code(ExistsRequest("/", False)) == 0


@pytest.mark.parametrize("version", ["3.6", "3.9"])
def test_a_request_that_cannot_be_decoded_waits_for_authentication_too(version: str) -> None:
    talker = Talker(server_of(version, auth_required=frozenset({"digest"})))
    assert talker.raw(20, xid=5) == [(5, 0, -124, b"")]
    assert talker.closed


def test_no_scheme_is_an_unknown_scheme() -> None:
    talker = Talker(server_of())
    assert talker.raw(100, b"\0\0\0\0" + b"\xff\xff\xff\xff" * 2, xid=5) == [(5, 0, -115, b"")]
    assert talker.closed


# Read-only and starting servers


def test_a_read_only_server_closes_all_and_then_takes_only_those_who_accept_it() -> None:
    server = server_of("3.6")
    talker = Talker(server)
    server.set_mode(Mode.READ_ONLY)
    assert talker.closed
    assert connect_raw(server, ConnectRequest(timeout_ms=5000).encode()) == (None, 0, True)
    assert connect_raw(server, ConnectRequest(timeout_ms=5000, read_only=False).encode()) == (None, 0, True)
    answer, _length, _closed = connect_raw(server, ConnectRequest(timeout_ms=5000, read_only=True).encode())
    assert answer is not None and answer.read_only is True and answer.timeout_ms == 5000


def test_a_read_only_server_of_3_6_ends_sessions_and_counts_them_apart_from_its_history() -> None:
    server = server_of("3.6")
    talker = Talker(server)
    talker.create("/e", flags=1)
    server.set_mode(Mode.READ_ONLY)

    again = Talker(server, talker.session, read_only=True)
    closing = again.exchange(CloseSessionRequest())

    assert (closing.error, closing.zxid) == (0, 2)  # as before
    assert again.closed
    later = Talker(server, read_only=True)
    assert later.exchange(ExistsRequest("/e", False)).error == -101
    assert later.exchange(ExistsRequest("/e", False)).zxid == 2


@pytest.mark.parametrize("version", ["3.7", "3.9"])
def test_a_read_only_server_without_local_sessions_answers_with_a_header_and_goes_deaf(version: str) -> None:
    server = server_of(version)
    server.set_mode(Mode.READ_ONLY)
    line = server.connect()
    content = ConnectRequest(timeout_ms=5000, read_only=True).encode()
    line.send(len(content).to_bytes(4, "big") + content)
    assert line.take() == bytes.fromhex("00000010 00000000 0000000000000000 ffffff89")
    line.send(b"\0\0\0\x08\xff\xff\xff\xfe\0\0\0\x0b")
    assert line.take() == b"" and not line.closed


def test_a_read_only_server_refuses_writes_and_syncs_and_lets_read() -> None:
    server = server_of("3.9", local_sessions=True)
    Talker(server).create("/a")
    server.set_mode(Mode.READ_ONLY)
    talker = Talker(server, read_only=True)
    assert talker.code(CreateRequest("/b", b"", OPEN, 0)) == -119
    assert talker.code(SyncRequest("/")) == -119
    assert talker.code(GetDataRequest("/a", False)) == 0
    talker.close_session()
    assert talker.closed


def test_a_global_session_is_not_taken_by_a_read_only_server_since_3_7() -> None:
    server = server_of("3.9", local_sessions=True)
    first = Talker(server)
    server.set_mode(Mode.READ_ONLY)
    assert Talker(server, first.session, read_only=True).closed
    server.set_mode(Mode.SERVING)
    assert Talker(server, first.session).connected


def test_a_server_that_does_not_serve_drops_connects_and_says_imok() -> None:
    server = server_of()
    server.set_mode(Mode.NOT_SERVING)
    assert connect_raw(server, ConnectRequest(timeout_ms=5000).encode()) == (None, 0, True)
    line = server.connect()
    line.send(b"ruok")
    assert line.take() == b"imok" and line.closed
    line = server.connect()
    line.send(b"srvr")
    assert line.take() == b"This ZooKeeper instance is not currently serving requests\n"


def test_a_refusal_keeps_the_connection() -> None:
    talker = Talker(server_of())
    with pytest.raises(RefusedError):
        talker.ask(GetDataRequest("/nope", False))
    assert not talker.closed
    assert talker.code(SaslRequest(b"")) == 0
