"""Scenes of what comes before any meaning, for servers of the configuration "brief": connects, frames, null, text.

Rule: see conformance_stage.py. Every scene works below a node of its own and takes away what it has created.
"""

from __future__ import annotations

import time

from conformance_stage import Scene, Stage

from zk_wire import (
    OPEN_ACL_UNSAFE,
    AddWatchRequest,
    ConnectRequest,
    CreateRequest,
    DeleteRequest,
    ExistsRequest,
    GetACLRequest,
    GetChildren2Request,
    GetChildrenRequest,
    GetDataRequest,
    GetEphemeralsRequest,
    MultiRequest,
    PingRequest,
    SetACLRequest,
    SetDataRequest,
    SetWatches,
    SyncRequest,
)

__all__ = ["LIMIT", "SCENES"]

OPEN = list(OPEN_ACL_UNSAFE)
CONNECT = ConnectRequest(timeout_ms=5000).encode()
_NULL = b"\xff\xff\xff\xff"


def _framed(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


def _text(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big", signed=True) + value


# Connecting


def timeouts_are_clamped(stage: Stage) -> None:
    for asked in (-(2**31), -5, 0, 1, 199, 200, 201, 4321, 60_000, 60_001, 2**31 - 1):
        stage.meet(f"asks for {asked}", timeout_ms=asked).leave()


def first_packets_are_judged(stage: Stage) -> None:
    older = CONNECT[:-1]
    for first in (
        *(length.to_bytes(4, "big", signed=True) for length in (-(2**31), -1, 0, 0x100000, 2**31 - 1)),
        *(b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"quit", b"RUOK", b"\xff\xf4\xff\xfd"),
        *(_framed(CONNECT[:length]) for length in (1, 3, 4, 12, 27, 28, 43)),
        _framed(older),
        _framed(CONNECT + b"more"),
        _framed(b"\0\0\0\7" + CONNECT[4:]),
        _framed(CONNECT[:28] + b"\0"),
        _framed(CONNECT[:24] + _text(b"") + b"\0"),
        _framed(CONNECT[:24] + b"\xff\xff\xff\xff\0"),
        _framed(CONNECT[:24] + b"\xff\xff\xff\xfe\0"),
        _framed(CONNECT[:24] + _text(b"a") + b"\5"),
        _framed(CONNECT[:24] + _text(bytes(40)) + b"\1"),
        _framed(CONNECT[:24] + b"\0\0\1\0"),
    ):
        caller = stage.call(f"begins with {first[:48].hex()}")
        caller.send(first)
        caller.take_answer()
        if caller.session[0]:
            caller.ping()
            caller.leave()


def sessions_move_and_wrong_passwords_knock_out(stage: Stage) -> None:
    first = stage.meet("first")
    first.ask(CreateRequest("/moved", b"", OPEN, 1))
    second = stage.call("second").resume(first, timeout_ms=3000)
    first.hear_end()
    second.ask(GetEphemeralsRequest("/"))
    own = first.session[1]
    for number, password in enumerate((b"", None, b"wrong", bytes(16), own + b"x", own[:15])):
        stage.call(f"with password {number}").resume(first, password=password)
        second.hear_end()
        second = stage.call("second").resume(first, timeout_ms=4000)
    stage.call("ahead").resume(first, last_zxid_seen=2**40)
    second.ping()
    stage.call("nearly ahead").connect(last_zxid_seen=stage.ear.last_zxid).leave()
    ahead = stage.call("just ahead")
    ahead.connect(last_zxid_seen=stage.ear.last_zxid + 1)
    for number in (1, -1, 2**63 - 1):
        stage.call(f"session {number}").connect(session_id=number, password=bytes(16))
    second.leave()
    stage.call("too late").resume(first)


def requests_come_behind_a_connect(stage: Stage) -> None:
    caller = stage.call("caller").connect([CreateRequest("/behind", b"", OPEN, 0), GetDataRequest("/behind", True)])
    other = stage.call("other").resume(caller, behind=[SetDataRequest("/behind", b"x", -1), PingRequest()])
    caller.hear_end()
    other.ask(DeleteRequest("/behind", -1))
    refused = stage.call("refused")
    refused.connect([CreateRequest("/never", b"", OPEN, 0)], session_id=5, password=bytes(16))
    other.ask(ExistsRequest("/never", False))


def an_address_has_so_many_connections(stage: Stage) -> None:
    host = "127.0.0.3"
    callers = [stage.meet(f"caller {number}", host, timeout_ms=5000) for number in range(LIMIT)]
    late = stage.call("one too many", host)
    late.take_answer()
    stage.meet("from elsewhere", "127.0.0.4").leave()
    callers.pop().leave()
    # The server notices at its leisure that one has gone.
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        again = stage.call("again", host)
        length = len(stage.record)
        again.connect()
        if again.session[0]:
            break
        del stage.record[length:]
    again.leave()
    for caller in callers:
        caller.leave()


LIMIT = 20


# Frames


def later_frames_are_judged(stage: Stage) -> None:
    for length in (-(2**31), -1, 0x100000, 2**31 - 1):
        caller = stage.meet(f"length {length}")
        caller.send(length.to_bytes(4, "big", signed=True))
        caller.hear_end()
    for content in (b"", b"1234", b"1234567"):
        caller = stage.meet(f"frame {content!r}")
        caller.send(_framed(content))
        caller.hear_end()
    caller = stage.meet("connects twice")
    caller.send(_framed(CONNECT))
    caller.hear_end()
    caller = stage.meet("says ruok")
    caller.send(b"ruok")
    caller.hear_end()
    for opcode in (0, -1, 10, 23, 99, 100_000, -12, 2**31 - 1, -(2**31)):
        caller = stage.meet(f"opcode {opcode}")
        caller.ask_bytes(opcode, b"\0\0\0\1x")
        caller.hear_end()
        stage.call("survivor").resume(caller).leave()


def sizes_have_limits(stage: Stage) -> None:
    caller = stage.meet("caller")
    caller.ask(CreateRequest("/big", b"", OPEN, 0))
    overhead = len(SetDataRequest("/big", b"", -1).payload()) + 4
    caller.ask(SetDataRequest("/big", bytes(0xFFFFF - overhead), -1))
    caller.ask(CreateRequest("/big/" + "n" * 300_000, b"", OPEN, 0))
    caller.ask(GetChildrenRequest("/big", False), DeleteRequest("/big/" + "n" * 300_000, -1))
    caller.ask(GetDataRequest("/big", False), SetDataRequest("/big", None, -1), GetDataRequest("/big", False))
    caller.ask(SetWatches(0, [f"/{number:0200d}" for number in range(4900)], [], []))
    other = stage.meet("other")
    other.send((0x100000).to_bytes(4, "big") + bytes(100))
    other.hear_end()
    stage.call("survivor").resume(other).leave()
    caller.ask(DeleteRequest("/big", -1))


def fields_can_be_absurd(stage: Stage) -> None:
    caller = stage.meet("caller")
    for opcode in (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 14, 15, 16, 17, 18, 19, 22, 101, 103, 104, 105, 106):
        for body in (b"", b"\0\0\0\x0a/a", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xf9", _text(b"/a"), _text(b"/a") * 2):
            caller.ask_bytes(opcode, body)
    for mode in (-2, -1, 2, 3):
        caller.ask_bytes(106, _text(b"/a") + mode.to_bytes(4, "big", signed=True))
    for body in (b"\xff\xff\xff\xff", b"\0\0\0\0digest", b"", b"\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"):
        shy = stage.meet(f"auth {body!r}")
        shy.ask_bytes(100, body)
        shy.close()
    for body in (b"", b"\xff\xff\xff\xff", b"\0\0\0\x09x", b"\xff\xff\xff\xf0"):
        shy = stage.meet(f"sasl {body!r}")
        shy.ask_bytes(102, body)
        shy.close()


def null_is_a_value_to_some(stage: Stage) -> None:
    caller = stage.meet("caller")
    everyone = b"\0\0\0\1\0\0\0\x1f" + _text(b"world") + _text(b"anyone")
    write = CreateRequest("/null", b"", OPEN, 0), DeleteRequest("/null", -1)
    in_multi: list[tuple[int, bytes]] = []
    for opcode, rest in (
        *((opcode, _text(b"") + everyone + bytes(4)) for opcode in (1, 15, 19)),
        *((opcode, _NULL) for opcode in (2, 13)),
        (5, _NULL + _NULL),
        (7, everyone + _NULL),
        *((opcode, b"\0") for opcode in (3, 4, 8, 12)),
        *((opcode, b"\1") for opcode in (3, 4, 8, 12)),
        *((opcode, b"") for opcode in (6, 9, 103, 104)),
        *((opcode, kind.to_bytes(4, "big")) for opcode in (17, 18) for kind in (1, 3, 0)),
        (106, b"\0\0\0\1"),  # the second one, and its removal, are beyond servers before 3.9
    ):
        if opcode != 13:
            caller.note("null for", opcode)
            caller.ask_bytes(opcode, _NULL + rest)
            caller.ask(*write)
        if opcode in (1, 2, 4, 5, 8, 13, 15):
            in_multi.append((opcode, _NULL + rest))
    for scheme in (b"", b"world", b"auth", b"digest", b"ip", b"super", b"nosuch"):
        entry = b"\0\0\0\1\0\0\0\x1f" + _text(scheme) + _NULL
        caller.note("nobody of", scheme)
        caller.ask_bytes(1, _text(b"/n") + _NULL + entry + bytes(4))
        caller.ask_bytes(7, _text(b"/") + entry + _NULL)
        in_multi.append((1, _text(b"/n") + _NULL + entry + bytes(4)))
    caller.ask_bytes(1, _text(b"/n") + _NULL + b"\0\0\0\1\0\0\0\x1f" + _NULL + _NULL + bytes(4))
    end = b"\xff\xff\xff\xff\1\xff\xff\xff\xff"
    for opcode, body in in_multi:
        caller.note("null in a multi for", opcode)
        whole = opcode.to_bytes(4, "big") + b"\0" + _NULL + body + end
        caller.ask_bytes(22 if opcode in (4, 8) else 14, whole)
        caller.ask(*write)
        caller.ask_bytes(22 if opcode in (4, 8) else 14, whole[:-5])
        caller.ask(*write)
    for opcode in (1, 2, 7, 15, 19):
        caller.note("null and garbage for", opcode)
        caller.ask_bytes(opcode, _NULL + b"\xff\xff\xff")
        caller.ask_bytes(opcode, _NULL + _NULL + b"\xff")
        caller.ask(*write)


# Text


_ODD_BYTES = (
    b"\xff", b"\xc0\xaf", b"\xc1", b"\xe0\x80\xaf", b"\xe2\x82", b"\xe2\x28\xa1", b"\xf0\x9f\x98\x80", b"\xf0\x9f\x98",
    b"\xf0\x80\x80\xaf", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xed\xa0\x80", b"\xed\xa0\xbd\xed\xb8\x80",
    b"\xed\x9f\xbf", b"\xef\xbf\xbd", b"\xef\xbf\xbe", b"\xc3\x28", b"\x80\x80", b"a\xc3", b"\xc3\xa9\xff\xc3\xa9",
)  # fmt: skip
_ODD_NAMES = (
    *("\u0001", "\u001f", " ", "\u007f", "\u0080", "\u009f", "\u00a0", "\u200b", "\u2028", "\ud7ff", "\ue000"),
    "\uf8ff",
    *("\uf900", "\uffef", "\ufff0", "\uffff", "\U00010000", "\U0010ffff", ".", "..", "...", ".a", "a.", "a..", "a/.b"),
    *("a/./b", "a/../b", "", "a/", "a//b", "/a", "\0", "a\0b", "zookeeper"),
)


def text_is_decoded_like_java(stage: Stage) -> None:
    caller = stage.meet("caller")
    for odd in _ODD_BYTES:
        caller.note("bytes", odd.hex())
        caller.send(_framed(b"\1\0\0\1\0\0\0\x09" + _text(b"/" + odd)))
        caller.hear(1)
        caller.send(_framed(b"\1\0\0\2\0\0\0\x69" + bytes(8) + b"\0\0\0\1" + _text(b"/" + odd) + bytes(16)))
        caller.hear(1)
        caller.send(_framed(b"\1\0\0\3\0\0\0\1" + _text(b"/" + odd) + _text(b"") + b"\0\0\0\1\0\0\0\x1f"
                            + _text(b"world") + _text(b"anyone") + bytes(4)))  # fmt: skip
        caller.hear(1)
        caller.ask(GetChildrenRequest("/", False))
        caller.send(_framed(b"\1\0\0\4\0\0\0\2" + _text(b"/" + odd) + b"\xff\xff\xff\xff"))
        caller.hear(1)


def names_are_checked_character_by_character(stage: Stage) -> None:
    caller = stage.meet("caller")
    caller.ask(CreateRequest("/names", b"", OPEN, 0))
    for name in _ODD_NAMES:
        path = f"/names/{name}"
        caller.note("name", name.encode("unicode-escape"))
        caller.ask(CreateRequest(path, b"", OPEN, 0), CreateRequest(path, b"", OPEN, 2))
        caller.ask(SetDataRequest(path, b"", -1), SetACLRequest(path, OPEN, -1), ExistsRequest(path, False))
        caller.ask(MultiRequest([DeleteRequest(path, -1)]), SyncRequest(path), AddWatchRequest(path, 0))
        caller.ask(GetChildren2Request("/names", False), GetACLRequest(path))
    _delete_all(stage, "/names")


def _delete_all(stage: Stage, path: str) -> None:
    """Take away a tree; what is asked is in the record, in the order of the children."""
    cleaner = stage.meet("cleaner", auth=b"super:test")
    ask = GetChildrenRequest(path, False)
    cleaner.ask(ask)
    children = stage.record[-1][-1]
    names = children[1] if isinstance(children, tuple) and len(children) > 1 else []
    for name in names:
        cleaner.ask(DeleteRequest(f"{path}/{name}", -1))
    cleaner.ask(DeleteRequest(path, -1))
    cleaner.leave()


SCENES: tuple[Scene, ...] = (
    timeouts_are_clamped,
    first_packets_are_judged,
    sessions_move_and_wrong_passwords_knock_out,
    requests_come_behind_a_connect,
    an_address_has_so_many_connections,
    later_frames_are_judged,
    sizes_have_limits,
    fields_can_be_absurd,
    null_is_a_value_to_some,
    text_is_decoded_like_java,
    names_are_checked_character_by_character,
)
