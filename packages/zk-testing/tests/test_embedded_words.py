"""The four-letter words of the embedded server, as real servers of 3.6 to 3.9 answer them."""

from __future__ import annotations

import re

from embedded_client import OPEN, Talker, server_of

from zk_testing.embedded import MemoryServer
from zk_wire import CreateRequest, DeleteRequest, GetDataRequest, PingRequest, SetDataRequest, SyncRequest


def word(server: MemoryServer, text: str | bytes) -> str:
    line = server.connect()
    line.send(text.encode() if isinstance(text, str) else text)
    return line.take().decode()


def last_answer(server: MemoryServer) -> dict[str, str]:
    """What `cons` tells of the only session."""
    line = next(line for line in word(server, "cons").splitlines() if "sid=" in line)
    return dict(item.split("=") for item in line.partition("(")[2].rstrip(")").split(","))


def test_the_connection_that_asks_is_listed_with_its_question_and_as_not_to_be_read() -> None:
    server = server_of()
    Talker(server)

    stat, cons = word(server, "stat"), word(server, "cons")

    assert re.search(r"^ /127\.0\.0\.1:\d+\[1\]\(queued=0,recved=1,sent=1\)$", stat, re.MULTILINE)
    assert re.search(r"^ /127\.0\.0\.1:\d+\[0\]\(queued=0,recved=1,sent=0\)$", stat, re.MULTILINE)
    assert re.search(r"^ /127\.0\.0\.1:\d+\[0\]\(queued=0,recved=1,sent=0\)$", cons, re.MULTILINE)


def test_words_and_connects_count_as_packets() -> None:
    server = server_of()
    Talker(server).ask(SyncRequest("/"))

    text = word(server, "srvr")

    assert "Received: 3\nSent: 2\n" in text


def test_a_new_session_is_told_as_an_operation_and_a_resumed_one_as_none() -> None:
    server = server_of()
    first = Talker(server)
    assert last_answer(server).items() >= {"lop": "SESS", "lcxid": "0x0", "lzxid": "0x1"}.items()
    first.lose()

    Talker(server, first.session)

    assert last_answer(server).items() >= {"lop": "null", "lcxid": "0x0", "lzxid": "0x0"}.items()


def test_a_refused_write_is_told_as_none_and_a_refused_read_by_its_name() -> None:
    server = server_of()
    talker = Talker(server)

    talker.code(SetDataRequest("/missing", b"", -1))
    assert last_answer(server).items() >= {"lop": "NA", "lcxid": "0x1", "lzxid": "0x2"}.items()

    talker.code(GetDataRequest("/missing", False))
    assert last_answer(server).items() >= {"lop": "GETD", "lcxid": "0x2", "lzxid": "0x2"}.items()


def test_a_ping_is_told_with_its_own_xid_when_that_is_not_negative() -> None:
    server = server_of()
    talker = Talker(server)

    talker.raw(11, xid=77)
    assert last_answer(server).items() >= {"lop": "PING", "lcxid": "0x4d"}.items()

    talker.raw(PingRequest().payload()[3], xid=-2)
    assert last_answer(server)["lcxid"] == "0x4d"


def test_crst_forgets_counts_and_the_last_answer() -> None:
    server = server_of()
    Talker(server).ask(SyncRequest("/"))

    assert word(server, "crst") == "Connection stats reset.\n"

    told = last_answer(server)
    assert told.items() >= {"recved": "0", "sent": "0", "lop": "NA", "lzxid": "0xffffffffffffffff"}.items()
    assert "lcxid" not in told


def test_lists_of_watches_end_with_an_empty_line() -> None:
    server = server_of()
    assert word(server, "wchp") == word(server, "wchc") == "\n"
    talker = Talker(server)

    talker.ask(GetDataRequest("/", True))

    shown = f"0x{talker.session[0]:x}"
    assert word(server, "wchp") == f"/\n\t{shown}\n\n"
    assert word(server, "wchc") == f"{shown}\n\t/\n\n"


def test_whoever_had_a_watch_is_listed_until_the_connection_ends() -> None:
    server = server_of()
    talker = Talker(server)
    talker.ask(GetDataRequest("/", True))
    talker.ask(SetDataRequest("/", b"", -1))

    assert word(server, "wchc") == f"0x{talker.session[0]:x}\n\n"
    assert word(server, "wchs") == "1 connections watching 0 paths\nTotal watches:0\n"

    talker.lose()
    assert word(server, "wchs") == "0 connections watching 0 paths\nTotal watches:0\n"


def test_dump_lists_sessions_ephemerals_and_connections_by_their_dates() -> None:
    server = server_of()
    talker = Talker(server, timeout_ms=10_000)
    talker.ask(CreateRequest("/e", b"", OPEN, 1))
    shown = f"0x{talker.session[0]:x}"
    date = r"\w{3} \w{3} \d\d \d\d:\d\d:\d\d UTC \d{4}"

    assert re.fullmatch(
        rf"SessionTracker dump:\nSession Sets \(1\)/\(1\):\n1 expire at {date}:\n\t{shown}\n"
        rf"ephemeral nodes dump:\nSessions with Ephemerals \(1\):\n{shown}:\n\t/e\n"
        rf"Connections dump:\nConnections Sets \(\d\)/\(2\):\n(\d expire at {date}:\n(\tip: /127.0.0.1:\d+ sessionId: "
        rf"(0x0|{shown})\n)+)+",
        word(server, "dump"),
    )


def test_whoever_had_ephemeral_nodes_is_listed_until_the_session_ends() -> None:
    server = server_of()
    talker, other = Talker(server), Talker(server)
    talker.ask(CreateRequest("/e", b"", OPEN, 1))
    other.ask(DeleteRequest("/e", -1))

    assert f"Sessions with Ephemerals (1):\n0x{talker.session[0]:x}:\nConnections" in word(server, "dump")

    talker.close_session()
    assert "Sessions with Ephemerals (0):\nConnections" in word(server, "dump")


def test_the_trace_mask_is_kept_as_it_was_set() -> None:
    server = server_of()
    assert word(server, "gtmk") == "306"

    assert word(server, b"stmk" + (5).to_bytes(8, "big")) == "5"

    assert word(server, "gtmk") == "5"
