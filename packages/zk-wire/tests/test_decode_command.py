"""`python -m zk_wire decode`: captured bytes of either direction become one JSON line per message."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zk_wire import (
    AuthPacket,
    ConnectRequest,
    ConnectResponse,
    CreateRequest,
    GetDataRequest,
    GetDataResponse,
    RemoteProtocolError,
    SaslRequest,
    SaslResponse,
    ServerConnection,
    SetACLRequest,
    Stat,
    frame,
    make_digest_acl,
)
from zk_wire.__main__ import main
from zk_wire.decode import Decoder
from zk_wire.hextext import HexReader

PASSWORD = b"PASSWORD-16-byte"
CAPTURE = """\
# connect
> 0000002d000000000000000000000000000027100000000000000000000000100000000000000000000000000000000000
< 0000002500000000000027100100000b5c05001e000000105e582384ca50c225d8ce3c65edddd30700
# create /cap (data "hi", world:anyone ALL, flags 0), xid 1
> 000000350000000100000001000000042f636170000000026869000000010000001f00000005776f726c6400000006616e796f6e6500000000
< 00000018000000010000000000035ba600000000000000042f636170
# setData /cap "x" version -1, xid 3 (event first, then the reply)
> 000000190000000300000005000000042f6361700000000178ffffffff
< 00000020ffffffffffffffffffffffff000000000000000300000003000000042f636170
< 00000054000000030000000000035ba7000000000000000000035ba60000000000035ba7000001a2028ca4ff000001a2028ca507
  000000010000000000000000000000000000000000000001000000000000000000035ba6
# exists /nope, xid 9
> 000000120000000900000003000000052f6e6f706500
< 00000010000000090000000000035baaffffff9b
# ping
> 00000008fffffffe0000000b
< 00000010fffffffe0000000000035baa00000000
# closeSession, xid 14
> 000000080000000efffffff5
< 000000100000000e0000000000035bb000000000
# refused connect (unknown session)
< 0000002500000000000000000000000000000000000000100000000000000000000000000000000000
# read-only server without local sessions: answer to a ConnectRequest
< 00000010000000000000000100000002ffffff89
# NodeDeleted for a path with a character above U+FFFF (CESU-8)
< 00000023ffffffffffffffffffffffff000000000000000200000003000000072feda0bdedb880
"""
STAT = Stat(5, 6, 7, 8, 1, 2, 3, 0, 4, 0, 5)
SERVER = ServerConnection()


def framed(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


CONNECT = framed(ConnectRequest(timeout_ms=10_000, password=PASSWORD, read_only=False).encode())
CONNECTED = SERVER.accept(ConnectResponse(10_000, 0x1234, PASSWORD, False))
GET = frame(1, GetDataRequest("/a", False).payload())
GOT = SERVER.reply(1, 77, GetDataResponse(b"data", STAT))


class Run:
    """The command on some input."""

    def __init__(self, capsys: pytest.CaptureFixture[str], path: Path, data: bytes, *arguments: str) -> None:
        path.write_bytes(data)
        self.status = main(["decode", str(path), *arguments])
        captured = capsys.readouterr()
        self.messages: list[dict[str, Any]] = [json.loads(line) for line in captured.out.splitlines()]
        self.kinds = [message["kind"] for message in self.messages]
        self.errors = captured.err
        self.text = captured.out + captured.err


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    def runner(data: bytes | str, *arguments: str) -> Run:
        return Run(capsys, tmp_path / "capture", data.encode() if isinstance(data, str) else data, *arguments)

    return runner


def hexed(*parts: tuple[str, bytes]) -> str:
    return "".join(f"{mark} {data.hex()}\n" for mark, data in parts)


# What is printed


def test_a_marked_capture_is_read_from_top_to_bottom(run: Any) -> None:
    result = run(CAPTURE)

    assert (result.status, result.errors) == (0, "")
    assert result.kinds == [
        "connect", "connected", "request", "reply", "request", "notification", "reply", "request", "reply",
        "request", "reply", "request", "reply", "session_gone", "connect_rejected", "notification",
    ]  # fmt: skip
    assert [m["direction"] for m in result.messages[:4]] == ["client", "server", "client", "server"]


def test_a_request_shows_its_fields(run: Any) -> None:
    assert run(CAPTURE).messages[2] == {
        "direction": "client",
        "kind": "request",
        "xid": 1,
        "opcode": "CREATE",
        "fields": {
            "path": "/cap",
            "data": {"size": 2, "base64": "aGk=", "text": "hi"},
            "acl": [{"perms": 31, "scheme": "world", "id": "anyone"}],
            "flags": "PERSISTENT",
        },
    }


def test_a_reply_is_read_by_the_request_with_its_xid(run: Any) -> None:
    reply = run(CAPTURE).messages[6]

    assert (reply["opcode"], reply["xid"], reply["zxid"], reply["error"]) == ("SET_DATA", 3, 0x35BA7, None)
    assert reply["fields"]["stat"]["mzxid"] == 0x35BA7


def test_a_failed_reply_names_its_error(run: Any) -> None:
    reply = run(CAPTURE).messages[8]

    assert (reply["opcode"], reply["error"]) == ("EXISTS", "NO_NODE")
    assert "fields" not in reply


def test_a_notification_names_what_happened(run: Any) -> None:
    fields = run(CAPTURE).messages[-1]["fields"]

    assert fields == {"type": "DELETED", "state": "SYNC_CONNECTED", "path": "/😀"}


def test_replies_that_overtake_are_matched_by_xid(run: Any) -> None:
    other = frame(2, CreateRequest("/b", None, [], 0).payload())
    refused = SERVER.reply(2, 78, None, err=-101)
    result = run(hexed((">", CONNECT + GET + other), ("<", CONNECTED + refused + GOT)))

    assert [m["opcode"] for m in result.messages if m["kind"] == "reply"] == ["CREATE", "GET_DATA"]
    assert result.messages[-1]["fields"]["data"]["text"] == "data"


def test_two_requests_with_one_xid_are_answered_in_order(run: Any) -> None:
    create = frame(1, CreateRequest("/b", None, [], 0).payload())
    result = run(hexed((">", CONNECT + GET + create), ("<", CONNECTED + GOT + SERVER.reply(1, 78, None, err=-110))))

    assert [m["opcode"] for m in result.messages if m["kind"] == "reply"] == ["GET_DATA", "CREATE"]


def test_without_its_request_a_reply_shows_its_record_in_hexadecimal(run: Any) -> None:
    reply = run(CONNECTED + GOT).messages[1]

    assert (reply["opcode"], reply["xid"], reply["error"]) == (None, 1, None)
    assert bytes.fromhex(reply["body"]) == GetDataResponse(b"data", STAT).encode()


def test_without_its_request_a_reply_can_be_read_as_a_named_kind(run: Any) -> None:
    reply = run(CONNECTED + GOT, "--replies-to", "get_data").messages[1]

    assert (reply["assumed"], reply["fields"]["data"]["text"]) == ("GET_DATA", "data")


@pytest.mark.parametrize(
    ("stream", "direction", "kinds"),
    [
        (CONNECT + GET, "client", ["connect", "request"]),
        (CONNECTED + GOT, "server", ["connected", "reply"]),
        (GET + GET, "client", ["request", "request"]),
        (GOT + GOT, "server", ["reply", "reply"]),
        (framed(ConnectRequest(timeout_ms=1).encode()), "client", ["connect"]),
        (SERVER.refuse(None), "server", ["session_gone"]),
    ],
    ids=["client", "server", "client-from-the-middle", "server-from-the-middle", "old-client", "refusal"],
)
def test_whose_stream_it_is_shows_in_its_first_frame(run: Any, stream: bytes, direction: str, kinds: list[str]) -> None:
    result = run(stream)

    assert (result.status, result.kinds) == (0, kinds)
    assert {m["direction"] for m in result.messages} == {direction}


def test_the_direction_can_be_told(run: Any) -> None:
    assert run(GOT, "--direction", "server").kinds == ["reply"]
    assert run(GET, "--direction", "client").kinds == ["request"]


def test_a_four_letter_word_and_its_answer_are_text(run: Any) -> None:
    result = run(hexed((">", b"ruok\n"), ("<", b"im"), ("<", b"ok")))

    assert result.status == 0
    assert result.messages == [
        {"direction": "client", "kind": "admin_command", "word": "ruok"},
        {"direction": "server", "kind": "admin_answer", "word": "ruok", "text": "imok"},
    ]


def test_an_unknown_opcode_is_a_message_with_its_number(run: Any) -> None:
    message = run(CONNECT + frame(5, b"\0\0\x01\0rest")).messages[1]

    assert (message["opcode"], message["xid"], message["body"]) == (256, 5, b"rest".hex())


def test_bytes_behind_a_request_are_counted(run: Any) -> None:
    message = run(CONNECT + frame(5, GetDataRequest("/a", True).payload() + b"xyz")).messages[1]

    assert (message["fields"], message["trailing_bytes"]) == ({"path": "/a", "watch": True}, 3)


def test_data_that_is_no_text_has_no_preview_and_keeps_every_byte(run: Any) -> None:
    data = bytes(range(256))
    create = frame(1, CreateRequest("/a", data, [], 0).payload())
    shown = run(CONNECT + create).messages[1]["fields"]["data"]

    assert base64.b64decode(shown["base64"]) == data
    assert "text" not in shown


def test_a_long_text_is_previewed_and_kept_whole(run: Any) -> None:
    data = ("ä" * 5000).encode()
    create = frame(1, CreateRequest("/a", data, [], 0).payload())
    shown = run(CONNECT + create).messages[1]["fields"]["data"]

    assert base64.b64decode(shown["base64"]) == data
    assert shown["text"] == "ä" * 60 + "…"


# Secrets

SECRETS: list[tuple[str, str]] = [
    ("session", hexed((">", CONNECT), ("<", CONNECTED))),
    ("auth", hexed((">", CONNECT + frame(-4, AuthPacket("digest", PASSWORD).payload())))),
    ("sasl", hexed((">", CONNECT + frame(1, SaslRequest(PASSWORD).payload())),
                   ("<", CONNECTED + SERVER.reply(1, 0, SaslResponse(PASSWORD))))),
    ("acl", hexed((">", CONNECT + frame(1, SetACLRequest("/a", [make_digest_acl("u", PASSWORD.decode(), all=True)],
                                                         -1).payload())))),
    ("broken-auth", hexed((">", CONNECT + frame(-4, AuthPacket("digest", PASSWORD).payload()[:-1])))),
    ("broken-connect", hexed((">", framed(ConnectRequest(password=PASSWORD).encode()[:-1])))),
    ("broken-sasl-answer", hexed((">", CONNECT + frame(1, SaslRequest(PASSWORD).payload())),
                                 ("<", CONNECTED + SERVER.reply(1, 0, SaslResponse(PASSWORD))[:3] + b"\x27"
                                  + SERVER.reply(1, 0, SaslResponse(PASSWORD))[4:-1]))),
]  # fmt: skip


def readings(secret: bytes) -> list[str]:
    """A secret as it could show: as text, hexadecimal, base64."""
    return [secret.decode("latin-1"), secret.hex(), base64.b64encode(secret).decode().rstrip("=")[:-1]]


@pytest.mark.parametrize("capture", [c for _, c in SECRETS], ids=[name for name, _ in SECRETS])
def test_no_secret_is_printed(run: Any, capture: str) -> None:
    text = run(capture).text
    digest = make_digest_acl("u", PASSWORD.decode(), all=True).id.id.partition(":")[2]

    assert "<redacted>" in text
    assert not [shown for shown in [*readings(PASSWORD), digest, *readings(PASSWORD[:-1])] if shown in text]


def test_secrets_are_printed_when_asked_for(run: Any) -> None:
    text = run("".join(capture for _, capture in SECRETS[:2]), "--show-secrets").text

    assert "<redacted>" not in text
    assert base64.b64encode(PASSWORD).decode() in text


# Bad input


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (CONNECT.hex() + "0", "line 1: the text ends in half a byte"),
        (CONNECT.hex() + "\n00 0g", "line 2: 'g' is no hexadecimal digit"),
        (f"> {CONNECT.hex()}\n> 000\n< 00", "line 3: the line before it ends in half a byte"),
        (CONNECT.hex() + GET.hex()[:-2], "the client's stream ends inside a frame: 18 of 19 bytes"),
        (CONNECT.hex() + "0000", "the client's stream ends inside a frame: 2 bytes"),
        (CONNECT.hex() + "7fffffff", "frame 2 at byte 49 of the client's stream: a frame of 2147483647 bytes"),
        (CONNECT.hex() + "ffffffff", "a frame of -1 bytes"),
        (CONNECT.hex() + "0000000400000001", "frame 2 at byte 49 of the client's stream"),
        (CONNECT.hex() + frame(1, GetDataRequest("/a", True).payload()[:-1]).hex(), "frame 2 at byte 49"),
        (hexed((">", CONNECT + GET), ("<", CONNECTED + SERVER.reply(1, 2, None))), "GetDataResponse"),
    ],
)
def test_bad_input_is_told_after_the_messages_before_it(run: Any, data: str, message: str) -> None:
    result = run(data)

    assert result.status == 2
    assert result.kinds[0] == "connect"
    assert message in result.errors
    assert result.errors.startswith("zk_wire decode: ")


def test_a_whole_frame_that_cannot_be_read_does_not_hide_the_next(run: Any) -> None:
    broken = frame(1, GetDataRequest("/a", True).payload()[:-1])
    result = run(hexed((">", CONNECT + broken + GET), ("<", CONNECTED + SERVER.reply(1, 5, None, err=-5) + GOT)))

    assert result.status == 2
    assert result.kinds == ["connect", "malformed", "request", "connected", "reply", "reply"]
    assert (result.messages[1]["opcode"], result.messages[1]["xid"]) == ("GET_DATA", 1)
    assert result.messages[4]["error"] == "MARSHALLING_ERROR"


def test_a_first_frame_that_is_cut_is_told(run: Any) -> None:
    result = run(CONNECT[:-1])

    assert (result.status, result.messages) == (2, [])
    assert "the input ends inside a frame: 48 of 49 bytes" in result.errors


def test_a_missing_file_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["decode", str(tmp_path / "nothing")]) == 2
    assert "cannot read" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["decode", "--hex", "--binary"], ["decode", "--replies-to", "nothing"]])
def test_bad_arguments_end_with_status_2(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert capsys.readouterr().err


def test_an_empty_input_has_no_messages(run: Any) -> None:
    assert (run(b"").status, run("# nothing\n").status) == (0, 0)


# Forms of input


def test_white_space_and_comments_may_stand_anywhere(run: Any) -> None:
    digits = "\n".join(f"{d} # comment < > 00" for d in CONNECT.hex())

    assert run(digits).kinds == ["connect"]


def test_binary_bytes_that_look_like_text_are_read_as_asked(run: Any) -> None:
    assert run(b"dump", "--binary").messages == [{"direction": "client", "kind": "admin_command", "word": "dump"}]


def test_text_is_read_as_text_when_asked(run: Any) -> None:
    result = run(CONNECT, "--hex")

    assert result.status == 2
    assert "no hexadecimal digit" in result.errors


def test_the_module_reads_standard_input_and_ends_with_the_status() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "zk_wire", "decode"],
        input=CONNECT + GET[:-1],
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert json.loads(done.stdout)["kind"] == "connect"
    assert b"ends inside a frame" in done.stderr


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    many = CONNECT + GET * 20_000
    with subprocess.Popen(
        [sys.executable, "-m", "zk_wire", "decode"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        process.stdin.write(many[:1000])
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()
        with suppress(BrokenPipeError):
            process.stdin.write(many[1000:])
            process.stdin.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


# Any bytes, in any portions


def decoded(stream: bytes, cuts: list[int]) -> tuple[list[Any], str]:
    decoder, messages = Decoder(), []
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    for start, end in pairwise(places):
        if decoder.pending_error is None:
            messages += decoder.feed(stream[start:end])
    messages += decoder.finish()
    return messages, str(decoder.pending_error)


@given(cuts=st.lists(st.integers(0, 10_000), max_size=30), tail=st.binary(max_size=8))
def test_the_portions_in_which_bytes_come_do_not_matter(cuts: list[int], tail: bytes) -> None:
    stream = CONNECT + GET * 5 + tail

    assert decoded(stream, cuts) == decoded(stream, [])


@given(cuts=st.lists(st.integers(1, len(CAPTURE)), max_size=30))
def test_the_portions_in_which_text_comes_do_not_matter(cuts: list[int]) -> None:
    reader, got = HexReader(), {"client": b"", "server": b""}
    places = [0, *sorted(set(cuts)), len(CAPTURE)]
    for start, end in pairwise(places):
        for side, data in reader.feed(CAPTURE[start:end].encode()):
            assert side is not None
            got[side] += data
    reader.finish()

    whole = HexReader()
    want = {"client": b"", "server": b""}
    for side, data in whole.feed(CAPTURE.encode()):
        assert side is not None
        want[side] += data
    assert got == want


def request(opcode: int, record: bytes) -> bytes:
    return frame(7, opcode.to_bytes(4, "big", signed=True) + record)


@settings(max_examples=500)
@given(
    pieces=st.lists(
        st.tuples(
            st.sampled_from(["client", "server", None]),
            st.one_of(
                st.binary(max_size=60),
                st.sampled_from([CONNECT, CONNECTED, GET, GOT, b"ruok"]),
                st.builds(framed, st.binary(max_size=60)),
                st.builds(request, st.integers(-12, 110), st.binary(max_size=40)),
            ),
        ),
        max_size=8,
    )
)  # fmt: skip
def test_any_bytes_are_messages_or_one_typed_error(pieces: list[tuple[Any, bytes]]) -> None:
    decoder = Decoder()
    for direction, data in pieces:
        try:
            messages = decoder.feed(data, direction)
        except RemoteProtocolError:
            assert decoder.pending_error is not None
            return
        json.dumps(messages)
    json.dumps(decoder.finish())


def test_unanswered_requests_are_remembered_only_up_to_a_bound() -> None:
    decoder = Decoder(direction="client")
    decoder.feed(CONNECT)
    for xid in range(1, 70_000, 1000):
        decoder.feed(b"".join(frame(n, b"\0\0\0\x0b") for n in range(xid, xid + 1000)))

    newest, oldest = SERVER.reply(69_999, 1), SERVER.reply(1, 1)

    assert decoder.feed(CONNECTED + newest, "server")[1]["opcode"] == "PING"
    assert decoder.feed(oldest, "server")[0]["opcode"] is None


def test_a_live_capture_is_printed_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    printed: list[str] = []

    class Output(io.StringIO):
        def flush(self) -> None:
            printed.append(self.getvalue())

    class Input:
        """A pipe in which the second frame is not there before the first was printed."""

        def __init__(self) -> None:
            self.parts = [CONNECT, GET]

        def read1(self, _size: int) -> bytes:
            if len(self.parts) == 1:
                assert printed and '"connect"' in printed[-1]
            return self.parts.pop(0) if self.parts else b""

        read = read1

    monkeypatch.setattr(sys, "stdout", Output())
    monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"buffer": Input()})())

    assert main(["decode"]) == 0
