"""What a fault proxy decides, without sockets: one link, told what came and at what time."""

from __future__ import annotations

import math
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zk_testing.faults import rules
from zk_testing.faults.core import ProxyCore
from zk_testing.faults.corruption import Corruption, corrupt
from zk_testing.faults.effects import BOTH, TO_CLIENT, TO_SERVER, Direction, Pace
from zk_testing.faults.kinds import KINDS
from zk_testing.faults.link import Link, Order
from zk_wire import OpCode

CONNECT = bytes.fromhex("0000002d" + 12 * "00" + "00002710" + 8 * "00" + "00000010" + 17 * "00")
CONNECTED = bytes.fromhex("00000025" + 4 * "00" + "00002710" + "0000000000000007" + "00000010" + 16 * "ab" + "00")


def request(xid: int, opcode: int, body: bytes = b"") -> bytes:
    content = xid.to_bytes(4, "big", signed=True) + opcode.to_bytes(4, "big", signed=True) + body
    return len(content).to_bytes(4, "big") + content


def reply(xid: int, body: bytes = b"") -> bytes:
    content = xid.to_bytes(4, "big", signed=True) + bytes(12) + body
    return len(content).to_bytes(4, "big") + content


@pytest.fixture
def core() -> ProxyCore:
    return ProxyCore(threading.Condition())


@pytest.fixture
def link(core: ProxyCore) -> Link:
    link = core.connect()
    assert link is not None
    link.received(TO_SERVER, CONNECT, 0.0)
    assert drain(link, TO_SERVER, 0.0) == CONNECT
    link.received(TO_CLIENT, CONNECTED, 0.0)
    assert drain(link, TO_CLIENT, 0.0) == CONNECTED
    return link


def drain(link: Link, direction: Direction, now: float, portion: int = 1 << 20) -> bytes:
    """Hand on what is ready, at most so many bytes at once."""
    passed = b""
    while (data := link.ready(direction, now)) is not None:
        data = data[:portion]
        passed += data
        link.sent(direction, len(data), now)
    return passed


# What passes


@given(
    frames=st.lists(st.binary(min_size=8, max_size=40), max_size=8),
    cuts=st.lists(st.integers(1, 30), max_size=12),
    portion=st.integers(1, 50),
    size=st.integers(1, 9),
)
def test_whatever_the_portions_every_byte_passes_once_and_in_order(
    frames: list[bytes], cuts: list[int], portion: int, size: int
) -> None:
    core = ProxyCore(threading.Condition())
    core.rulebook.add([rules.chop(size, pause=0.0), rules.delay(0.5, direction="both"), rules.slow(1000.0)])
    link = core.connect()
    assert link is not None
    stream = CONNECT + b"".join(len(frame).to_bytes(4, "big") + frame for frame in frames)
    passed, now, rest = b"", 0.0, stream
    for cut in [*cuts, len(stream)]:
        link.received(TO_SERVER, rest[:cut], now)
        rest = rest[cut:]
        now += 0.1
        passed += drain(link, TO_SERVER, now, portion)
    while (at := core.next_at(now)) < math.inf:
        now = at
        passed += drain(link, TO_SERVER, now, portion)
    assert passed == stream
    assert [entry.number for entry in core.record.frames] == list(range(1, len(frames) + 2))


def test_it_is_told_when_to_ask_again_and_not_before(core: ProxyCore, link: Link) -> None:
    core.rulebook.add([rules.delay(0.25, "delete", direction="to_server")])
    frame = request(1, OpCode.DELETE)
    link.received(TO_SERVER, frame, 1.0)
    assert core.next_at(1.0) == 1.25
    assert link.ready(TO_SERVER, 1.2499) is None
    assert drain(link, TO_SERVER, 1.25) == frame
    assert core.next_at(1.25) == math.inf


def test_a_slow_line_hands_each_piece_on_when_its_bytes_have_come(core: ProxyCore, link: Link) -> None:
    core.rulebook.add([rules.slow(400.0, "delete", direction="to_server")])
    link.received(TO_SERVER, request(1, OpCode.DELETE), 10.0)  # 12 bytes, in pieces of 4
    times: list[tuple[float, int]] = []
    now = 10.0
    while (now := core.next_at(now)) < math.inf:
        times.append((round(now - 10.0, 6), len(drain(link, TO_SERVER, now))))
    assert times == [(0.01, 4), (0.02, 4), (0.03, 4)]


def test_two_paces_at_once_are_the_slower_of_both() -> None:
    assert Pace(7, pause=0.5).and_also(Pace(3, per_byte=0.1)) == Pace(3, pause=0.5, per_byte=0.1)


def test_a_source_that_is_far_ahead_is_not_read(core: ProxyCore, link: Link) -> None:
    core.freeze((TO_SERVER,), 5.0)
    assert not link.wants(TO_SERVER, 4.9) and link.wants(TO_SERVER, 5.0)
    link.received(TO_SERVER, request(1, OpCode.SET_DATA, bytes(5 << 20)), 5.0)
    assert not link.wants(TO_SERVER, 5.0)
    drain(link, TO_SERVER, 5.0)
    assert link.wants(TO_SERVER, 5.0)


def test_a_freeze_for_a_time_does_not_shorten_one_until_healed(core: ProxyCore, link: Link) -> None:
    core.freeze(BOTH, math.inf)
    core.freeze(BOTH, 2.0)
    assert not link.wants(TO_SERVER, 3.0)


def test_a_full_frame_is_counted_where_it_passed_in_portions(core: ProxyCore, link: Link) -> None:
    link.received(TO_SERVER, request(1, OpCode.DELETE), 1.0)
    data = link.ready(TO_SERVER, 1.0)
    assert data is not None
    link.sent(TO_SERVER, 5, 1.0)
    assert core.record.count == 2
    drain(link, TO_SERVER, 2.0)
    assert core.record.frames[-1].time == 2.0


# Ends


def test_a_cut_orders_both_sides_closed_and_is_forgotten(core: ProxyCore, link: Link) -> None:
    core.cut("reset")
    assert link.take_orders() == [Order("reset", "client"), Order("reset", "server")]
    assert link.take_orders() == []
    assert core.links == () and core.record.connections == 0


def test_the_end_of_one_side_is_passed_behind_its_bytes(core: ProxyCore, link: Link) -> None:
    link.received(TO_SERVER, request(1, OpCode.DELETE), 1.0)
    link.ended(TO_SERVER, 1.0)
    data = link.ready(TO_SERVER, 1.0)
    assert data is not None and link.take_orders() == []
    drain(link, TO_SERVER, 1.0)
    assert link.take_orders() == [Order("end", "server")]
    assert not link.closed


def test_both_ends_close_the_connection(core: ProxyCore, link: Link) -> None:
    for direction in BOTH:
        link.ended(direction, 1.0)
        drain(link, direction, 1.0)
    assert link.closed


def test_after_a_lost_frame_nothing_passes_in_its_direction(core: ProxyCore, link: Link) -> None:
    core.rulebook.add([rules.lose_request("delete", then="freeze")])
    first, lost, later = request(1, OpCode.EXISTS), request(2, OpCode.DELETE), request(3, OpCode.EXISTS)
    link.received(TO_SERVER, first + lost + later, 1.0)
    assert drain(link, TO_SERVER, 1.0) == first
    link.received(TO_SERVER, later, 2.0)
    assert drain(link, TO_SERVER, 2.0) == b""


def test_a_held_link_hands_nothing_on_and_hears_the_end(core: ProxyCore, link: Link) -> None:
    core.freeze(BOTH, math.inf)
    (held,) = core.hold({7})
    assert held is link and core.holding
    link.received(TO_CLIENT, reply(-2), 1.0)
    assert link.wants(TO_CLIENT, 1.0) and link.ready(TO_CLIENT, 1.0) is None
    assert link.hears_server
    link.ended(TO_CLIENT, 1.0)
    assert not link.hears_server and not link.closed
    core.let_go([held])
    core.heal()
    assert drain(link, TO_CLIENT, 1.0) == reply(-2)
    assert not core.holding


def test_a_link_that_the_server_has_ended_is_not_held(core: ProxyCore, link: Link) -> None:
    link.ended(TO_CLIENT, 1.0)
    assert core.hold({7}) == []


def test_only_the_links_of_the_sessions_are_held(core: ProxyCore, link: Link) -> None:
    assert core.hold({8}) == []
    assert not link.held


# What is read of a frame


@pytest.mark.parametrize(
    ("frame", "kind", "path"),
    [
        (request(1, OpCode.CREATE, b"\0\0\0\x02/a" + bytes(12)), "create", "/a"),
        (request(1, OpCode.GET_CHILDREN2, b"\0\0\0\x01/\0"), "get_children", "/"),
        (request(1, OpCode.SYNC, b"\0\0\0\x03/\xff\xfe"), "sync", "/\ufffd\ufffd"),
        (request(1, OpCode.EXISTS, b"\0\0\0\x09/a"), "exists", None),
        (request(1, OpCode.EXISTS, b"\xff\xff\xff\xff"), "exists", None),
        (request(-4, OpCode.AUTH, bytes(4) + b"\0\0\0\x06digest\0\0\0\x04/u:p"), "auth", None),
        (request(1, 9999), "unknown", None),
        (b"\0\0\0\x02hi", "unknown", None),
    ],
)
def test_kind_and_path_of_a_request_are_recorded(
    core: ProxyCore, link: Link, frame: bytes, kind: str, path: str | None
) -> None:
    link.received(TO_SERVER, frame, 1.0)
    drain(link, TO_SERVER, 1.0)
    entry = core.record.frames[-1]
    assert (entry.kind, entry.path) == (kind, path)


def test_a_reply_is_recorded_with_its_requests_kind_and_path(core: ProxyCore, link: Link) -> None:
    link.received(TO_SERVER, request(5, OpCode.EXISTS, b"\0\0\0\x02/a\0"), 1.0)
    drain(link, TO_SERVER, 1.0)
    link.received(TO_CLIENT, reply(5), 1.0)
    drain(link, TO_CLIENT, 1.0)
    entry = core.record.frames[-1]
    assert (entry.kind, entry.path, entry.opcode, entry.xid, entry.zxid) == ("exists", "/a", 3, 5, 0)


def test_a_session_is_known_only_when_its_reply_has_passed() -> None:
    core = ProxyCore(threading.Condition())
    link = core.connect()
    assert link is not None
    link.received(TO_SERVER, CONNECT, 0.0)
    link.received(TO_CLIENT, CONNECTED, 0.0)
    assert core.sessions.ids == ()
    drain(link, TO_CLIENT, 0.0)
    assert core.sessions.ids == (7,)
    assert link.conversation.session_id == 7


# Damage


DESTROYING = (OpCode.CHECK, OpCode.CREATE_TTL)


@pytest.mark.parametrize("opcode", [opcode for opcode in OpCode if opcode not in DESTROYING])
def test_no_flipped_byte_makes_a_request_that_destroys_a_server(opcode: OpCode) -> None:
    frame = request(1, opcode, bytes(20))
    for at in range(len(frame)):
        damaged = corrupt(frame, Corruption("flip", at), opcode=opcode, raw=False)
        assert damaged[:4] == frame[:4]
        assert int.from_bytes(damaged[8:12], "big", signed=True) not in DESTROYING


@pytest.mark.parametrize("damage", ["flip", "truncate", "length", "garbage"])
@pytest.mark.parametrize("opcode", [OpCode.MULTI, OpCode.CREATE_TTL])
def test_a_multi_or_ttl_create_becomes_garbage_as_a_whole(opcode: OpCode, damage: str) -> None:
    frame = request(1, opcode, bytes(20))
    damaged = corrupt(frame, Corruption(damage), opcode=opcode, raw=False)  # type: ignore[arg-type]
    assert damaged == frame[:4] + b"\xa5" * (len(frame) - 4)


@pytest.mark.parametrize(
    ("corruption", "damaged"),
    [
        (Corruption("flip"), "00000004 00010002"[:-2] + "fd"),
        (Corruption("flip", at=4), "00000004 ff010002"),
        (Corruption("flip", at=0), "00000004 ff010002"),
        (Corruption("flip", at=-100), "00000004 ff010002"),
        (Corruption("flip", at=100), "00000004 000100fd"),
        (Corruption("truncate"), "00000002 0001"),
        (Corruption("length"), "ffffffff 00010002"),
        (Corruption("length", length=258), "00000102 00010002"),
        (Corruption("garbage"), "00000004 a5a5a5a5"),
    ],
)
def test_each_damage_is_exactly_what_it_says(corruption: Corruption, damaged: str) -> None:
    frame = bytes.fromhex("00000004 00010002")
    assert corrupt(frame, corruption, opcode=None, raw=False) == bytes.fromhex(damaged)


@pytest.mark.parametrize("damage", ["flip", "truncate", "length", "garbage"])
@pytest.mark.parametrize("piece", [b"", b"\0", b"\0\0\0\0"])
def test_damage_to_what_has_no_body_keeps_its_size(piece: bytes, damage: str) -> None:
    for raw in (True, len(piece) < 4):
        assert len(corrupt(piece, Corruption(damage), opcode=None, raw=raw)) == len(piece)  # type: ignore[arg-type]


# Kinds


def test_every_kind_is_one_a_rule_can_name() -> None:
    for kind in KINDS:
        assert rules.lose_reply(kind).line == f"lose_reply {kind} nth=1 then=cut"
