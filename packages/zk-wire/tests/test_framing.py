"""Whole frames out of any portions, in bounded memory and linear time."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pairs import portions

from zk_wire import FrameBuffer, RemoteProtocolError
from zk_wire.framing import LARGE_FRAME, PartialFrame


def framed(content: bytes) -> bytes:
    return struct.pack(">i", len(content)) + content


@given(st.lists(st.binary(max_size=60), max_size=8), st.lists(st.integers(0, 400), max_size=12))
def test_any_split_of_the_stream_gives_the_same_frames(contents: list[bytes], cuts: list[int]) -> None:
    buffer = FrameBuffer()
    frames = [frame for part in portions(b"".join(map(framed, contents)), cuts) for frame in buffer.feed(part)]
    assert frames == contents
    assert buffer.rest() == b""


def test_what_is_not_whole_is_kept() -> None:
    buffer = FrameBuffer()
    assert buffer.feed(framed(b"one") + b"\0\0\0\5ab") == [b"one"]
    assert buffer.rest() == b"\0\0\0\5ab"


@pytest.mark.parametrize("length", [101, 2**31 - 1, -1, -(2**31)])
def test_a_bad_length_is_judged_as_soon_as_its_four_bytes_are_there(length: int) -> None:
    buffer = FrameBuffer(max_frame=100)
    assert buffer.feed(framed(b"good") + struct.pack(">i", length)[:3]) == [b"good"]
    assert buffer.pending_error is None
    assert buffer.feed(struct.pack(">i", length)[3:]) == []
    with pytest.raises(RemoteProtocolError, match=f"a frame of {length} bytes, but"):
        buffer.feed(b"")


def test_the_frames_before_a_bad_one_are_not_lost() -> None:
    buffer = FrameBuffer(max_frame=100)
    assert buffer.feed(framed(b"one") + framed(b"two") + framed(bytes(101))) == [b"one", b"two"]
    assert buffer.pending_error is not None


def test_a_frame_of_just_the_limit_passes() -> None:
    assert FrameBuffer(max_frame=100).feed(framed(bytes(100))) == [bytes(100)]


def test_the_missing_bytes_of_a_large_frame_are_told() -> None:
    size = LARGE_FRAME + 1
    buffer = FrameBuffer()
    buffer.feed(framed(bytes(size))[:1000])
    assert buffer.missing == 4 + size - 1000
    buffer.feed(bytes(500))
    assert buffer.missing == 4 + size - 1500
    assert buffer.feed(bytes(buffer.missing)) == [bytes(size)]
    assert buffer.missing == 0


def test_nothing_is_said_to_miss_of_a_small_frame() -> None:
    buffer = FrameBuffer()
    buffer.feed(framed(bytes(LARGE_FRAME))[:1000])
    assert buffer.missing == 0


@pytest.mark.parametrize("portion", [1, 3, 4096])
def test_a_frame_in_small_portions_takes_little_more_memory_than_itself(portion: int) -> None:
    size = 300_000
    stream = framed(bytes(size))
    buffer = FrameBuffer()
    tracemalloc.start()
    try:
        for start in range(0, len(stream) - portion, portion):
            buffer.feed(stream[start : start + portion])
        kept, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1.5 * size


@pytest.mark.parametrize("portion", [1, 1000, 5000])
def test_the_pieces_of_a_large_frame_are_joined_once(portion: int) -> None:
    stream = framed(bytes(500_000))
    partial = PartialFrame(2**20)
    partial.keep(stream[:4], 0)
    joined = [partial.add(stream[at : at + portion]) for at in range(4, len(stream), portion)]
    assert joined == [None] * (len(joined) - 1) + [stream]
    assert len(partial.content()) == 0
